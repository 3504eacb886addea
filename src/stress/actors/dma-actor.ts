/**
 * A DMA master of a stress run: reads and writes lines of its interface's input pages, at random, in guarded batches as
 * a DMA thread does (runtime/shared/tbu-guard.ts), and lets the checker judge each access.
 */
import { NON_SECURE } from '../../arch/security.js';
import type { AddressSpaces } from '../../runtime/shared/shared-machine.js';
import type { Origin } from '../../smmu/tbu/origin.js';
import { ABORT, OK, type Outcome, STALL, Transaction } from '../../smmu/transaction.js';
import { AccessChecker, NO_TENURE } from '../checker/access-checker.js';
import type { Report } from '../checker/finding.js';
import type { AccessLog, Ledger } from '../checker/ledger.js';
import { accessBit, accessesOf, STREAM_TRANSLATES } from '../checker/legal.js';
import { LINE_WORDS, lineStride, writeLine } from '../checker/pattern.js';
import { LINE_BYTES, LINES, SLOTS, type StreamPlan, type StressPlan } from '../plan.js';
import { Random } from '../random.js';
import { type Actor, noStreamStatistics, type Progress, type StreamStatistics } from './actor.js';

/** Accesses of one batch at most; CMD_SYNC waits for a whole batch. */
const BATCH_MAX = 16;
/** Accesses that go anywhere, mapped or not. */
const STRAY_PERCENT = 5;
/** Accesses to where an access went lately, and to where the software is changing something. */
const RECENT_PERCENT = 20;
const CONTESTED_PERCENT = 25;
/** How often a page comes to mind that is not being changed. */
const FORGOTTEN_PERCENT = 10;
/** Accesses with the SubstreamID of the one before. */
const SAME_PERCENT = 40;
/** Accesses that do not care whether they fault, where faults stall. */
const CARELESS_PERCENT = 5;
const TWO_32 = 0x1_0000_0000;
/** Generators of the devices are apart from those of the software. */
const DEVICE_CHANCE = 1000;

/** A device's TBU with its guard. */
export interface TbuLink {
  /** Opens a batch: takes what the TCU has sent. */
  begin(): void;
  /** Closes it: what CMD_SYNC waits for is over. */
  end(): void;
  translate(transaction: Transaction): Outcome;
  /** Asks about an access that is stalled: undefined while nothing has become of it, STALL when it has stalled anew. */
  resume(transaction: Transaction): Outcome | undefined;
  /** No batch may begin now. */
  readonly isBarred?: boolean;
  /** What the TLB entry was filled from that answers a transaction; undefined without one, or where nobody takes it down. */
  origin?(transaction: Transaction): Origin | undefined;
  /** What an access reaches once it is translated. */
  readonly spaces: AddressSpaces;
}

export interface DmaSetup {
  readonly plan: StressPlan;
  /** Index into StressPlan.streams. */
  readonly stream: number;
  readonly link: TbuLink;
  readonly ledger: Ledger;
  readonly seed: number;
  readonly check: boolean;
  readonly report: Report;
}

export class DmaActor implements Actor {
  readonly name: string;
  readonly statistics: StreamStatistics = noStreamStatistics();
  readonly #stream: StreamPlan;
  readonly #window: number;
  readonly #granuleBytes: number;
  readonly #stride: number;
  /** Faults may stall. */
  readonly #stalls: boolean;
  readonly #link: TbuLink;
  readonly #ledger: Ledger;
  /** By substream. */
  readonly #cells: readonly number[];
  readonly #substreams: readonly number[];
  readonly #log: AccessLog;
  readonly #random: Random;
  readonly #checker: AccessChecker | undefined;
  readonly #transaction = new Transaction();
  readonly #words = new Int32Array(LINE_WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  readonly #recent = [0, 1, 2];
  #batch = -1;
  #stopped = false;
  // The access that is under way.
  #slot = 0;
  #line = 0;
  #iova = 0;
  #substream = 0;
  #held = false;

  constructor(setup: DmaSetup) {
    const { plan, ledger } = setup;
    this.#stream = plan.streams[setup.stream]!;
    const { security, window, granuleBytes, substreams, stalls } = plan.interfaces[this.#stream.interface]!;
    this.name = this.#stream.name;
    this.#window = window;
    this.#granuleBytes = granuleBytes;
    this.#stride = lineStride(granuleBytes);
    this.#stalls = stalls !== undefined;
    this.#link = setup.link;
    this.#ledger = ledger;
    this.#substreams = substreams;
    this.#cells = substreams.map((_, substream) => ledger.streamCell(setup.stream, substream));
    this.#log = ledger.accesses(setup.stream);
    this.#random = new Random(setup.seed, DEVICE_CHANCE + setup.stream);
    if (setup.check) {
      this.#checker = new AccessChecker(plan, setup.stream, ledger, this.statistics, {
        report: setup.report,
        origin: (transaction) => setup.link.origin?.(transaction),
      });
    }
    this.#transaction.StreamID = this.#stream.arrival.StreamID;
    this.#transaction.SEC_SID = security;
    this.#transaction.ns = security === NON_SECURE;
  }

  get operations(): number {
    return this.statistics.accesses;
  }

  get inBatch(): boolean {
    return this.#batch >= 0;
  }

  /** Its access is stalled: it makes no other until that is over. */
  get isHeld(): boolean {
    return this.#held;
  }

  get atRest(): boolean {
    return !this.inBatch && !this.#held;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Opens a batch, makes one access, or closes the batch. */
  step(): Progress {
    if (this.#batch < 0) return this.#begin();
    if (this.#batch === 0) {
      this.#link.end();
      this.#batch = -1;
    } else {
      this.#batch--;
      if (this.#held) this.#resume();
      else this.#access();
      if (this.#held) this.#batch = 0;
    }
    return 'worked';
  }

  #begin(): Progress {
    // Without room for what is to be expected, the software is behind: it must look at its events first.
    if (this.#link.isBarred === true) return 'idle';
    if ((this.#stopped && !this.#held) || !this.#log.hasRoom(2 * BATCH_MAX)) return 'idle';
    this.#batch = this.#held ? 1 : 1 + this.#random.below(BATCH_MAX);
    this.#link.begin();
    return 'worked';
  }

  #access(): void {
    const random = this.#random;
    const transaction = this.#transaction;
    const substream = this.#anySubstream();
    const cell = this.#cells[substream]!;
    const isCareful = this.#stalls && !random.chance(CARELESS_PERCENT);
    const any = this.#anySlot(cell);
    const slot = isCareful ? this.#find(cell, any, false) : any;
    // With more streams than lines, the last ones have none of their own.
    const write = this.#stream.writer < LINES && random.chance(50);
    const line = write ? this.#ownLine() : random.below(LINES);
    const iova = this.#window + slot * this.#granuleBytes + line * this.#stride;
    transaction.iovaLo = (iova % TWO_32) | 0;
    transaction.iovaHi = (iova / TWO_32) | 0;
    transaction.SubstreamID = this.#substreams[substream]!;
    transaction.write = write;
    transaction.privileged = random.chance(50);
    transaction.instruction = !write && random.chance(30);
    if (isCareful) this.#permit(cell, slot);
    this.#slot = slot;
    this.#line = line;
    this.#iova = iova;
    this.#substream = substream;
    this.#log.start();
    this.#checker?.begin(slot, substream);
    this.#conclude(this.#link.translate(transaction));
  }

  /** Asks what has become of a stalled access; it is retried here and now, if it is. */
  #resume(): void {
    this.#checker?.begin(this.#slot, this.#substream);
    const outcome = this.#link.resume(this.#transaction);
    if (outcome === undefined) return;
    this.#checker?.released(this.#transaction, outcome, this.#iova);
    this.#conclude(outcome);
  }

  #conclude(outcome: Outcome): void {
    this.#held = outcome === STALL;
    if (this.#held) {
      this.#checker?.stalled(this.#transaction, this.#iova);
      return;
    }
    const slot = this.#slot;
    const tenure = this.#checker?.translated(this.#transaction, this.#iova, slot) ?? NO_TENURE;
    const done = outcome === OK ? this.#move(slot, this.#line, tenure) : outcome;
    this.#count(done);
    if (done !== OK) this.#checker?.failed(this.#transaction, done, this.#iova, slot);
    this.#log.finish();
  }

  /** A device that a fault may stall for long makes mostly accesses that the page permits. */
  #permit(cell: number, slot: number): void {
    const ledger = this.#ledger;
    if (ledger.what(cell) !== STREAM_TRANSLATES) return;
    const page = this.#slotCell(cell, slot);
    const { write, instruction, privileged } = this.#transaction;
    if ((accessesOf(ledger.detail(page)) & accessBit(write, instruction, privileged)) !== 0) return;
    this.#transaction.write = false;
    this.#transaction.instruction = false;
    this.#transaction.privileged = true;
  }

  /** Mostly one that translates: a device knows its substreams. Often the same as before, or one that is being changed. */
  #anySubstream(): number {
    const random = this.#random;
    const { length } = this.#cells;
    if (length === 1) return 0;
    const kind = random.below(100);
    if (kind < SAME_PERCENT) return this.#substream;
    const any = random.below(length);
    if (kind < SAME_PERCENT + STRAY_PERCENT || this.#ledger.count(this.#cells[any]!) > 1) return any;
    for (let at = any; ; ) {
      if (this.#ledger.what(this.#cells[at]!) === STREAM_TRANSLATES) return at;
      at = at + 1 === length ? 0 : at + 1;
      if (at === any) return at;
    }
  }

  /**
   * Mostly one that the stream may use: a device knows its buffers. But often one that is being changed right now or that
   * it used lately, for there a stale translation shows.
   */
  #anySlot(cell: number): number {
    const random = this.#random;
    const any = random.below(SLOTS);
    const kind = random.below(100);
    if (this.#ledger.what(cell) !== STREAM_TRANSLATES || kind < STRAY_PERCENT) return any;
    if (kind < STRAY_PERCENT + RECENT_PERCENT) return random.pick(this.#recent);
    const isContested = kind < STRAY_PERCENT + RECENT_PERCENT + CONTESTED_PERCENT;
    const slot = this.#find(cell, any, isContested);
    // What was changed is kept in mind for longer: there a stale translation is.
    const isChanging = isContested && this.#ledger.count(this.#slotCell(cell, slot)) > 1;
    if (isChanging || random.chance(FORGOTTEN_PERCENT))
      this.#recent[random.below(this.#recent.length)] = slot;
    return slot;
  }

  /** The first slot from a given one on that is being changed, or that is mapped; that one, if there is none. */
  #find(cell: number, from: number, contested: boolean): number {
    const ledger = this.#ledger;
    const first = this.#slotCell(cell, 0);
    for (let slot = from; ; ) {
      if (contested ? ledger.count(first + slot) > 1 : ledger.what(first + slot) !== 0) return slot;
      slot = slot + 1 === SLOTS ? 0 : slot + 1;
      if (slot === from) return from;
    }
  }

  /** The cell of a slot in the context that a stream's cell has now. */
  #slotCell(cell: number, slot: number): number {
    return this.#ledger.slotCell(this.#stream.interface, this.#ledger.detail(cell), slot);
  }

  /** A line that no other stream writes. */
  #ownLine(): number {
    const { writer, writers } = this.#stream;
    return writer + writers * this.#random.below(Math.floor((LINES - 1 - writer) / writers) + 1);
  }

  /** Where a checked access must not go, or nobody knows whether it may, it stops short of memory. */
  #move(slot: number, line: number, tenure: number): Outcome {
    if (tenure === NO_TENURE && this.#checker !== undefined) return OK;
    const { pa, space, write } = this.#transaction;
    const memory = this.#link.spaces[space];
    if (!write) {
      if (!memory.read(pa, this.#bytes, 0, LINE_BYTES)) return ABORT;
      this.#checker?.didRead(this.#words, tenure, slot, line);
      return OK;
    }
    const sequence = this.#checker?.nextSequence(tenure, slot, line) ?? 0;
    writeLine(this.#words, tenure, line, sequence);
    return memory.write(pa, this.#bytes, 0, LINE_BYTES) ? OK : ABORT;
  }

  #count(outcome: Outcome): void {
    this.statistics.accesses++;
    if (outcome === OK) this.statistics.bytes += LINE_BYTES;
    else this.statistics.aborts++;
  }
}
