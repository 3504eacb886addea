/**
 * Several threads: scaling over one SMMU and over several, CMD_SYNC while devices are busy, registers from another thread,
 * and what must never be seen while tables change under the walks.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { BANKS } from '../src/arch/registers.js';
import { NON_SECURE } from '../src/arch/security.js';
import { startMachine } from '../src/runtime/coordinator.js';
import { Transaction } from '../src/smmu/transaction.js';
import { sync, tlbiNHASID } from '../src/software/commands.js';
import type { SmmuPort } from '../src/software/port.js';
import {
  type AccessList,
  benchMachine,
  COMMAND_QUEUE,
  firstStream,
  GENERATIONS,
  Guest,
  LOG2_COMMANDS,
} from './guest.js';
import type { LaneOrder, LaneSetup } from './lane.js';
import { Rig } from './rig.js';
import type { Measurement } from './rows.js';
import { interleave, percentile, type Turns } from './slices.js';

const AT = BANKS[NON_SECURE];
/** One turn of threads that run side by side: long against their starting one after the other. */
const TURN_MS = 50;

class Lane {
  readonly #worker: Worker;
  readonly #flags: Int32Array;
  readonly #ready: Promise<unknown>;

  constructor(setup: LaneSetup) {
    this.#flags = new Int32Array(setup.flags);
    this.#worker = new Worker(new URL('lane.js', import.meta.url), { workerData: setup });
    this.#ready = once(this.#worker, 'message');
  }

  async do(order: LaneOrder): Promise<number> {
    await this.#ready;
    this.#worker.postMessage(order);
    const [answer] = await once(this.#worker, 'message');
    return answer;
  }

  async end(): Promise<void> {
    Atomics.store(this.#flags, 0, 1);
    await this.#worker.terminate();
  }
}

function startLane(rig: Rig, list: AccessList, lane = 0, smmu = 0): Lane {
  return new Lane({ shared: rig.shared, smmu, lane, list, flags: new SharedArrayBuffer(4) });
}

const endAll = (all: readonly Lane[]) => Promise.all(all.map((lane) => lane.end()));

/** Total rate of n threads against that of one, on one SMMU or on as many; for every n up to the processors. */
export async function scaling(row: 'oneSmmu' | 'twoSmmus', turns: Turns): Promise<Measurement[]> {
  const count = Math.max(2, availableParallelism());
  const rig = Rig.make(benchMachine(row === 'oneSmmu' ? 1 : count), count);
  const list = rig.guest.accesses('stage 1', 1024);
  const all = Array.from({ length: count }, (_, lane) =>
    startLane(rig, list, lane, row === 'oneSmmu' ? 0 : lane),
  );
  // The best turn is the one with the least time of an access.
  const slices = all.map((_, n) => async () => {
    const rates = await Promise.all(all.slice(0, n + 1).map((lane) => lane.do({ do: 'read', ms: TURN_MS })));
    return 1 / rates.reduce((sum, rate) => sum + rate, 0);
  });
  const best = await interleave(slices, turns);
  await endAll(all);
  const series = best.map((time) => best[0]! / time);
  return [{ row, figure: series[1]!, series }];
}

/** Puts TLBI and CMD_SYNC into the queue again and again. */
class Maintenance {
  readonly #rig: Rig;
  readonly #port: SmmuPort;
  #prod = 0;

  constructor(rig: Rig, port: SmmuPort) {
    this.#rig = rig;
    this.#port = port;
  }

  /** @returns microseconds from the write of CMDQ_PROD until CMDQ_CONS has followed. */
  run(): number {
    const mask = 2 ** (LOG2_COMMANDS + 1) - 1;
    const space = this.#rig.spaces[NON_SECURE];
    for (const words of [tlbiNHASID(0, 1), sync()]) {
      const at = COMMAND_QUEUE + (this.#prod & (mask >>> 1)) * 16;
      space.store(at, words[0]! | 0, words[1]! | 0);
      space.store(at + 8, words[2]! | 0, words[3]! | 0);
      this.#prod = (this.#prod + 1) & mask;
    }
    const start = performance.now();
    this.#port.write32(AT.CMDQ_PROD.offset, this.#prod);
    while (this.#port.read32(AT.CMDQ_CONS.offset) !== this.#prod) this.#port.relax();
    return (performance.now() - start) * 1000;
  }
}

/** CMD_SYNC while a device thread reads without a pause: first the TCU in this thread, then an SMMU in a thread of its own. */
export async function commandSync(count: number): Promise<Measurement[]> {
  const rig = Rig.make(benchMachine(), 1);
  const lane = startLane(rig, rig.guest.accesses('stage 1', 1024));
  await lane.do({ do: 'load' });
  const direct = latencies(new Maintenance(rig, rig.smmus[0]!), count);
  await lane.end();
  return [
    { row: 'syncP50', figure: percentile(direct, 50) },
    { row: 'syncP99', figure: percentile(direct, 99) },
  ];
}

function latencies(maintenance: Maintenance, count: number): number[] {
  for (let i = 0; i < count / 10; i++) maintenance.run();
  return Array.from({ length: count }, () => maintenance.run());
}

/** The registers of an SMMU in a thread of its own, from this thread; and CMD_SYNC as software sees it, under load. */
export async function registers(turns: Turns, syncs: number): Promise<Measurement[]> {
  const running = await startMachine(benchMachine(), { lanes: 1 });
  try {
    const port = running.port(0);
    const offset = AT.IRQ_CTRL.offset;
    const timed = (count: number, body: () => void) => () => {
      const start = performance.now();
      for (let i = 0; i < count; i++) body();
      return ((performance.now() - start) * 1e6) / count;
    };
    const [read, write, applied] = await interleave(
      [
        timed(4096, () => port.read32(AT.IDR0.offset)),
        // No more than the mailbox holds, or it is the SMMU's thread that is measured.
        timed(128, () => port.write32(AT.GERRORN.offset, 0)),
        timed(64, () => {
          port.write32(offset, 0);
          port.read32(offset);
        }),
      ],
      turns,
    );
    const software = Rig.over(running);
    const lane = startLane(software, software.guest.accesses('stage 1', 1024));
    await lane.do({ do: 'load' });
    const seen = latencies(new Maintenance(software, port), syncs);
    await lane.end();
    return [
      { row: 'registerRead', figure: read! },
      { row: 'registerWrite', figure: write! },
      { row: 'registerApplied', figure: applied! / 1000 },
      { row: 'softwareSyncP50', figure: percentile(seen, 50) },
      { row: 'softwareSyncP99', figure: percentile(seen, 99) },
    ];
  } finally {
    await running.close();
  }
}

/** Walks, without a TLB, of a descriptor that another thread flips between two values that differ in both halves. */
export async function torn(reads: number): Promise<Measurement[]> {
  const rig = Rig.make(benchMachine(1, ', tlb: "off"'), 2);
  const pas = [Guest.dataPage(1), 0xabc_1234_5000] as const;
  const writer = startLane(rig, rig.guest.accesses('stage 1', 64), 1);
  await writer.do({ do: 'flip', descriptor: rig.guest.leafAddress(0), pas });
  const { tbu } = rig.tbu();
  const txn = new Transaction();
  const list = rig.guest.accesses('stage 1', 1);
  txn.ns = true;
  let torn = 0;
  const seen = [0, 0];
  for (let i = 0; i < reads; i++) {
    txn.StreamID = firstStream('stage 1');
    txn.iovaLo = list.lo[0]!;
    txn.iovaHi = list.hi[0]!;
    tbu.translate(txn);
    if (txn.pa === pas[0]) seen[0]!++;
    else if (txn.pa === pas[1]) seen[1]!++;
    else torn++;
  }
  await writer.end();
  if (reads > 1e6 && seen.includes(0)) throw new Error('the descriptor did not change under the walks');
  return [{ row: 'torn', figure: torn }];
}

/**
 * Two threads translate, nearly always with a miss, while this one moves page after page and invalidates. A page's floor is the
 * place that the last completed CMD_SYNC left it in, its ceiling the newest that was written.
 */
export async function invalidation(accesses: number): Promise<Measurement[]> {
  const pages = 256;
  const rig = Rig.make(benchMachine(1, ', tlb: 16'), 2);
  const list = rig.guest.accesses('stage 1', pages);
  const space = rig.spaces[NON_SECURE];
  const descriptors = Array.from({ length: pages }, (_, page) => rig.guest.leafAddress(page));
  const place = (page: number, generation: number) =>
    Guest.remap(
      space,
      descriptors[page]!,
      Guest.dataPage(page * GENERATIONS + (generation & (GENERATIONS - 1))),
    );
  for (let page = 0; page < pages; page++) place(page, 0);
  const flags = new SharedArrayBuffer((1 + 2 * pages) * 4);
  const words = new Int32Array(flags);
  const all = [0, 1].map((lane) => new Lane({ shared: rig.shared, smmu: 0, lane, list, flags }));
  const maintenance = new Maintenance(rig, rig.smmus[0]!);
  let running = true;
  const results = Promise.all(all.map((lane) => lane.do({ do: 'verify', pages, accesses })));
  const done = results.finally(() => {
    running = false;
  });
  for (let generation = 1; running; generation++) {
    for (let page = 0; page < pages; page++) {
      Atomics.store(words, 1 + pages + page, generation);
      place(page, generation);
      maintenance.run();
      Atomics.store(words, 1 + page, generation);
    }
    // Lets the messages in.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const wrong = await done;
  await endAll(all);
  return [{ row: 'wrong', figure: wrong[0]! + wrong[1]! }];
}
