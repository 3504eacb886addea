/**
 * One thread: translations, DMA and faults of the real TBU in turns with the C kernels.
 */
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { BANKS } from '../src/arch/registers.js';
import { NON_SECURE } from '../src/arch/security.js';
import type { LaneTbu } from '../src/runtime/threads/lane-tbu.js';
import { OK, Transaction } from '../src/smmu/transaction.js';
import type { CKernel } from './c-kernel.js';
import { ACCESSES, type AccessList, type Kind, LOG2_EVENTS, PAGES } from './guest.js';
import { Readers } from './readers.js';
import type { Rig } from './rig.js';
import type { Measurement, RowId } from './rows.js';
import { interleave, slices, type Turns } from './slices.js';

/** Translates accesses of a list; answers the sum of the output addresses. */
export function translateAll(
  tbu: Pick<LaneTbu['tbu'], 'translate'>,
  { streams, lo, hi }: AccessList,
  txn: Transaction,
  first: number,
  count: number,
): number {
  let sum = 0;
  for (let i = first; i < first + count; i++) {
    txn.StreamID = streams[i]!;
    txn.iovaLo = lo[i]!;
    txn.iovaHi = hi[i]!;
    if (tbu.translate(txn) === OK) sum += txn.pa;
  }
  return sum;
}

/** Accesses of a batch at most, in a list that is gone through whole. */
const PART = 1024;

/**
 * Goes through a list whole, in parts: a function whose first call is one long loop is compiled in the middle of it, and the
 * engine then knows nothing of how it begins.
 */
function throughAll(run: (first: number, count: number) => number): number {
  let sum = 0;
  for (let first = 0; first < ACCESSES; first += PART) sum += run(first, PART);
  return sum;
}

/** As Node documents it; its types leave `detail` open. */
interface GcEntry {
  readonly detail: { readonly kind: number };
}

export class Translate {
  readonly #rig: Rig;
  readonly #c: CKernel | undefined;
  readonly #turns: Turns;
  readonly #tbu: LaneTbu;
  readonly #readers: Readers;
  readonly #txn = new Transaction();

  constructor(rig: Rig, c: CKernel | undefined, turns: Turns) {
    this.#rig = rig;
    this.#c = c;
    this.#turns = turns;
    this.#tbu = rig.tbu();
    this.#readers = new Readers(rig.view, this.#tbu);
    this.#txn.ns = true;
  }

  /** Translations without data: `pages` of 64 or 1024 hit, all of them miss. */
  async translate(row: RowId, kind: Kind, pages: number): Promise<Measurement> {
    const list = this.#rig.guest.accesses(kind, pages);
    const { tbu } = this.#tbu;
    const run = (first: number, count: number) => translateAll(tbu, list, this.#txn, first, count);
    await this.#compare(list, throughAll(run));
    const ours = (first: number, count: number) => void run(first, count);
    return this.#measure(row, ours, 0);
  }

  /** Reads through devices' ports, whole. */
  async dma(row: RowId, bytes: number): Promise<Measurement> {
    const list = this.#rig.guest.accesses('stage 1', 64);
    this.#c?.use(list);
    const run = (first: number, count: number) => this.#readers.read(list, first, first + count, bytes);
    if (throughAll(run) !== 0) throw new Error('a read has failed');
    const ours = (first: number, count: number) => void run(first, count);
    return this.#measure(row, ours, bytes);
  }

  /** The TBU's side of faults, a ring of records at a time; the TCU writes them, software takes them, off the clock. */
  async fault(): Promise<Measurement> {
    const list = this.#rig.guest.accesses('stage 1', PAGES, true);
    const smmu = this.#rig.smmus[0]!;
    const { EVENTQ_PROD, EVENTQ_CONS } = BANKS[NON_SECURE];
    const batch = 64;
    let first = 0;
    const { tbu } = this.#tbu;
    const burst = () => {
      const before = tbu.counters.events;
      const start = performance.now();
      this.#tbu.begin();
      for (let i = first; i < first + batch; i++) {
        this.#txn.StreamID = list.streams[i]!;
        this.#txn.iovaLo = list.lo[i]!;
        this.#txn.iovaHi = list.hi[i]!;
        tbu.translate(this.#txn);
      }
      this.#tbu.end();
      const ns = (performance.now() - start) * 1e6;
      first = (first + batch) % ACCESSES;
      while (smmu.step());
      const prod = smmu.read32(EVENTQ_PROD.offset);
      const seen = (prod - smmu.read32(EVENTQ_CONS.offset)) & (2 ** (LOG2_EVENTS + 1) - 1);
      if (tbu.counters.events - before !== batch || seen !== batch) throw new Error('an event is missing');
      smmu.write32(EVENTQ_CONS.offset, prod);
      return ns / batch;
    };
    const [ns] = await interleave(
      [
        () => {
          let best = Number.POSITIVE_INFINITY;
          for (let i = 0; i < 64; i++) best = Math.min(best, burst());
          return best;
        },
      ],
      this.#turns,
    );
    return { row: 'fault', figure: ns! };
  }

  /** What the guard around each 64 accesses adds to them, in percent. */
  async guard(): Promise<Measurement> {
    const list = this.#rig.guest.accesses('stage 1', 1024);
    const bare = (first: number, count: number): undefined => {
      for (let i = first; i < first + count; i += 64) this.#readers.read(list, i, i + 64, 64);
    };
    const guarded = (first: number, count: number): undefined => {
      for (let i = first; i < first + count; ) i += this.#readers.batch(list, i);
    };
    const [without, within] = await interleave(
      [slices(ACCESSES, bare), slices(ACCESSES, guarded)],
      this.#turns,
    );
    return { row: 'guard', figure: Math.max(0, (within! / without! - 1) * 100) };
  }

  /** Young collections while ten million translations run, half of them misses. */
  async scavenges(transactions: number): Promise<Measurement> {
    let count = 0;
    const observer = new PerformanceObserver((entries) => {
      for (const { detail } of entries.getEntriesByType('gc') as unknown as GcEntry[]) {
        if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) count++;
      }
    });
    const hits = this.#rig.guest.accesses('stage 1', 1024);
    const misses = this.#rig.guest.accesses('nested', PAGES);
    // Until the engine has compiled the paths, it allocates for itself.
    for (let warm = 0; warm < 16; warm++) {
      translateAll(this.#tbu.tbu, hits, this.#txn, 0, ACCESSES);
      translateAll(this.#tbu.tbu, misses, this.#txn, 0, ACCESSES);
    }
    await sleep(20);
    observer.observe({ entryTypes: ['gc'] });
    for (let done = 0; done < transactions; done += 2 * ACCESSES) {
      translateAll(this.#tbu.tbu, hits, this.#txn, 0, ACCESSES);
      translateAll(this.#tbu.tbu, misses, this.#txn, 0, ACCESSES);
    }
    await sleep(20);
    observer.disconnect();
    return { row: 'scavenges', figure: count };
  }

  async #measure(
    row: RowId,
    ours: (first: number, count: number) => undefined,
    bytes: number,
  ): Promise<Measurement> {
    const c = this.#c;
    const contestants = [slices(ACCESSES, ours)];
    if (c !== undefined) {
      contestants.push(slices(ACCESSES, async (first, count) => (await c.slice(bytes, first, count)).ns));
    }
    const [figure, inC] = await interleave(contestants, this.#turns);
    return { row, figure: figure!, ...(inC === undefined ? {} : { c: inC }) };
  }

  /** Both sides must come to the same addresses, or they are not doing the same. */
  async #compare(list: AccessList, sum: number): Promise<void> {
    if (this.#c === undefined) return;
    this.#c.use(list);
    const { sum: expected, faults } = await this.#c.slice(0, 0, ACCESSES);
    if (BigInt(sum) !== expected || faults !== 0)
      throw new Error(`sum ${sum}, C ${expected}, ${faults} faults`);
  }
}
