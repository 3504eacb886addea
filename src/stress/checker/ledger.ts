/**
 * The ledger: what is legal right now, as the software declares it and the devices judge by it. In shared memory.
 *
 * It is made of cells, each written by the software of one interface and read by its devices. A cell holds the
 * alternatives that are legal at the moment: one when nothing changes, and from before the change until its CMD_SYNC
 * has completed, the old one and the new ones. Cells exist for
 *
 *     an interface        translating, or disabled with what GBPA says
 *     a stream            what its STE and CD make of it, for each SubstreamID that its device uses and for none
 *     a slot of a context the page that it is mapped to, and the permissions
 *
 * A cell keeps its last {@link DEPTH} states in a ring behind a version. A device reads the version before an access and again
 * after it; what it may have seen is the union of all states from the first to the last. When the ring has been
 * overtaken meanwhile, the access cannot be judged.
 */
import { CONTEXTS, SLOTS, type StreamPlan, type StressPlan } from '../plan.js';

/** One legal alternative: what it says depends on the cell. */
export interface Alternative {
  /** Kind of a stream's or interface's state; the tenure of a slot, 0 for unmapped. */
  readonly what: number;
  /** Context of a translating stream; physical page, PA space and permissions of a slot. */
  readonly detail: number;
}

const DEPTH = 8;
const ALTERNATIVES_MAX = 7;
const STATE_WORDS = 16;
const CELL_WORDS = 16 + DEPTH * STATE_WORDS;
/** Expected events of one stream that the software has not looked at yet. */
const EXPECTED_SLOTS = 1024;
const EXPECTED_WORDS = 8;
/** Started and finished accesses, head and tail of the ring of expected events; a line of memory. */
const STREAM_WORDS = 32;

const STARTED = 0;
const FINISHED = 1;
const HEAD = 2;
const TAIL = 3;
// Of stalled accesses: how many have been answered, how and which the last; changes of what terminates them all.
const ANSWERS = 4;
const ANSWER = 5;
const ANSWERED_STAG = 6;
const TERMINATIONS = 7;

export const ANSWER_RETRY = 1;
export const ANSWER_ABORT = 2;
export const ANSWER_RAZ_WI = 3;

export class Ledger {
  readonly #words: Int32Array;
  /** First cells of each stream, and of each interface's slots. */
  readonly #substreams: readonly number[];
  readonly #slots: readonly number[];
  readonly #streams: number;

  constructor(plan: StressPlan, memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
    let cells = plan.interfaces.length;
    const take = (count: number) => {
      cells += count;
      return cells - count;
    };
    this.#substreams = plan.streams.map((stream) => take(substreamsOf(plan, stream)));
    this.#slots = plan.interfaces.map(() => take(CONTEXTS * SLOTS));
    this.#streams = cells * CELL_WORDS;
  }

  static allocate(plan: StressPlan): SharedArrayBuffer {
    const perStream = STREAM_WORDS + EXPECTED_SLOTS * EXPECTED_WORDS;
    const words = cellCount(plan) * CELL_WORDS + plan.streams.length * perStream;
    return new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT);
  }

  interfaceCell(index: number): number {
    return index;
  }

  /** @param substream index into InterfacePlan.substreams. */
  streamCell(stream: number, substream: number): number {
    return this.#substreams[stream]! + substream;
  }

  slotCell(index: number, context: number, slot: number): number {
    return this.#slots[index]! + context * SLOTS + slot;
  }

  /** The software declares what is legal from now on. */
  declare(cell: number, alternatives: readonly Alternative[]): void {
    const words = this.#words;
    const base = cell * CELL_WORDS;
    const next = (words[base]! + 1) | 0;
    const state = base + 16 + (next & (DEPTH - 1)) * STATE_WORDS;
    Atomics.store(words, state, Math.min(alternatives.length, ALTERNATIVES_MAX));
    for (const [i, { what, detail }] of alternatives.slice(0, ALTERNATIVES_MAX).entries()) {
      Atomics.store(words, state + 1 + 2 * i, what);
      Atomics.store(words, state + 2 + 2 * i, detail);
    }
    Atomics.store(words, base, next);
  }

  version(cell: number): number {
    return Atomics.load(this.#words, cell * CELL_WORDS);
  }

  /** How many alternatives are legal now. */
  count(cell: number): number {
    return Atomics.load(this.#words, this.#now(cell));
  }

  /** What the first alternative that is legal now says. */
  what(cell: number): number {
    return Atomics.load(this.#words, this.#now(cell) + 1);
  }

  detail(cell: number): number {
    return Atomics.load(this.#words, this.#now(cell) + 2);
  }

  /**
   * Gives every alternative that was legal at some time since `version`; some may come twice.
   * @returns false when the ring has been overtaken, and not all are known.
   */
  since(cell: number, version: number, each: (what: number, detail: number) => void): boolean {
    const words = this.#words;
    const base = cell * CELL_WORDS;
    const last = Atomics.load(words, base);
    if (((last - version) | 0) >= DEPTH - 1) return false;
    for (let at = version; ; at = (at + 1) | 0) {
      const state = base + 16 + (at & (DEPTH - 1)) * STATE_WORDS;
      const count = Atomics.load(words, state);
      for (let i = 0; i < count; i++) {
        each(Atomics.load(words, state + 1 + 2 * i), Atomics.load(words, state + 2 + 2 * i));
      }
      if (at === last) break;
    }
    return ((Atomics.load(words, base) - version) | 0) < DEPTH - 1;
  }

  /** Where a cell's newest state is. */
  #now(cell: number): number {
    const base = cell * CELL_WORDS;
    return base + 16 + (Atomics.load(this.#words, base) & (DEPTH - 1)) * STATE_WORDS;
  }

  /** What a stream's devices and the software of its interface tell each other about accesses and events. */
  accesses(stream: number): AccessLog {
    const at = this.#streams + stream * (STREAM_WORDS + EXPECTED_SLOTS * EXPECTED_WORDS);
    return new AccessLog(this.#words, at);
  }
}

function cellCount(plan: StressPlan): number {
  const { interfaces, streams } = plan;
  const substreams = streams.reduce((sum, stream) => sum + substreamsOf(plan, stream), 0);
  return interfaces.length + substreams + interfaces.length * CONTEXTS * SLOTS;
}

function substreamsOf({ interfaces }: StressPlan, stream: StreamPlan): number {
  return interfaces[stream.interface]!.substreams.length;
}

/** Whatever event may come, or none. */
export const ANY_EVENT = -1;

/** An event that an access must or may have caused. */
export interface ExpectedEvent {
  readonly iova: number;
  /** ACCESS_ bits of legal.ts. */
  readonly access: number;
  /** Bits of expected-event.ts, or {@link ANY_EVENT}. */
  readonly events: number;
  /** How many accesses the stream had begun with this one. */
  readonly started: number;
  /** Of a stalled access; -1 of one that is not. */
  readonly stag: number;
}

/** One stream's accesses: how many began and ended, and the events that they must have caused, in order. */
export class AccessLog {
  readonly #words: Int32Array;
  readonly #at: number;

  constructor(words: Int32Array, at: number) {
    this.#words = words;
    this.#at = at;
  }

  get started(): number {
    return Atomics.load(this.#words, this.#at + STARTED);
  }

  get finished(): number {
    return Atomics.load(this.#words, this.#at + FINISHED);
  }

  /** The device begins an access. */
  start(): void {
    Atomics.add(this.#words, this.#at + STARTED, 1);
  }

  /** The access is over, and what was to be expected of it has been posted. */
  finish(): void {
    Atomics.add(this.#words, this.#at + FINISHED, 1);
  }

  /** The software is about to answer a record of a stalled access with CMD_RESUME. */
  answer(answer: number, stag: number): void {
    Atomics.store(this.#words, this.#at + ANSWER, answer);
    Atomics.store(this.#words, this.#at + ANSWERED_STAG, stag);
    Atomics.add(this.#words, this.#at + ANSWERS, 1);
  }

  get answers(): number {
    return this.#load(ANSWERS);
  }

  get lastAnswer(): { readonly answer: number; readonly stag: number } {
    return { answer: this.#load(ANSWER), stag: this.#load(ANSWERED_STAG) };
  }

  /** The software begins or ends doing something that terminates whatever is stalled: odd while it does. */
  changeTermination(): void {
    Atomics.add(this.#words, this.#at + TERMINATIONS, 1);
  }

  get terminations(): number {
    return this.#load(TERMINATIONS);
  }

  /** Room for so many expected events. */
  hasRoom(count: number): boolean {
    return EXPECTED_SLOTS - ((this.#load(TAIL) - this.#load(HEAD)) | 0) >= count;
  }

  /** Expectations posted since the run began. */
  get expectations(): number {
    return this.#load(TAIL);
  }

  /** Expectations taken since the run began. */
  get taken(): number {
    return this.#load(HEAD);
  }

  expect(event: Omit<ExpectedEvent, 'started'>): void {
    const tail = this.#load(TAIL);
    const slot = this.#slot(tail);
    this.#words[slot] = event.iova;
    this.#words[slot + 1] = event.iova / 0x1_0000_0000;
    this.#words[slot + 2] = event.access;
    this.#words[slot + 3] = event.events;
    this.#words[slot + 4] = this.started;
    this.#words[slot + 5] = event.stag;
    Atomics.store(this.#words, this.#at + TAIL, (tail + 1) | 0);
  }

  /** The oldest expectation that has not been taken. */
  peek(): ExpectedEvent | undefined {
    const head = this.#load(HEAD);
    if (head === this.#load(TAIL)) return undefined;
    const slot = this.#slot(head);
    return {
      iova: (this.#words[slot]! >>> 0) + (this.#words[slot + 1]! >>> 0) * 0x1_0000_0000,
      access: this.#words[slot + 2]!,
      events: this.#words[slot + 3]!,
      started: this.#words[slot + 4]!,
      stag: this.#words[slot + 5]!,
    };
  }

  take(): void {
    Atomics.add(this.#words, this.#at + HEAD, 1);
  }

  #load(word: number): number {
    return Atomics.load(this.#words, this.#at + word);
  }

  #slot(index: number): number {
    return this.#at + STREAM_WORDS + (index & (EXPECTED_SLOTS - 1)) * EXPECTED_WORDS;
  }
}
