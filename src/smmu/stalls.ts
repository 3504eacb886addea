/**
 * The stalled transactions of one SMMU (IHI 0070 3.12.2, 4.7.1, 4.7.2): a table with an entry per STAG.
 *
 * TBUs and TCU meet here and nowhere else about stalls, so that no CMD_RESUME can be lost on the way. The table is
 * words that may lie in shared memory, two per STAG: a state with its Security state, and the StreamID. Each TBU
 * has a range of STAGs to itself, so that a STAG is unique over all of them. An entry goes
 *
 *     FREE -> ANNOUNCED -> RECORDED -> RETRY, ABORT or RAZ_WI -> FREE
 *                    \-> UNWRITTEN -/
 *
 * Its TBU alone makes the first step and the last, the TCU alone those between: no state has two writers.
 * Nothing is retried before it is resumed, but for what is UNWRITTEN (choice: early-retry).
 * The transaction itself stays with the device that made it, which asks its TBU what has become of it.
 */
import { IDR5 } from '../arch/id-registers.js';
import { get } from '../arch/layout.js';
import type { SecurityState } from '../arch/security.js';
import type { IdRegisters } from './config.js';
import { type Commit, StateError } from './state.js';

/** Most STAGs of one SMMU; IDR5.STALL_MAX is at most this. */
export const STALLS_MAX = 256;
const ENTRY_WORDS = 2;
/** Words of the table of any SMMU. */
export const STALL_TABLE_WORDS = STALLS_MAX * ENTRY_WORDS;
/** The STAG of an access that found all taken: it waits in front of the SMMU (choice: stalls-beyond-the-maximum). */
export const NO_STAG = -1;

const FREE = 0;
/** The record is on its way to the Event queue. */
const ANNOUNCED = 1;
/** The record found the Event queue not writable. */
const UNWRITTEN = 2;
/** The record is in the Event queue: software may resume. */
const RECORDED = 3;

/** What {@link StallRange.collect} tells of an access that software has not decided on. */
export const HELD = 4;
/** To be translated anew, as though it had just arrived. */
export const RESOLVED_RETRY = 5;
export const RESOLVED_ABORT = 6;
export const RESOLVED_RAZ_WI = 7;

const STATE_MASK = 0xff;
const SECURITY_SHIFT = 8;

/** How many transactions an instance can hold: IDR5.STALL_MAX, or as many as there are where that says nothing. */
export function stallCapacity(idr: IdRegisters): number {
  const stated = get([idr.IDR5], IDR5.fields.STALL_MAX);
  return stated === 0 ? STALLS_MAX : Math.min(stated, STALLS_MAX);
}

export class StallTable {
  readonly words: Int32Array;
  readonly #count: number;

  /** @param words {@link STALL_TABLE_WORDS} of them, zero at first. */
  constructor(idr: IdRegisters, words: Int32Array = new Int32Array(STALL_TABLE_WORDS)) {
    this.words = words;
    this.#count = stallCapacity(idr);
  }

  /** The STAGs of one of several TBUs. Where there are more TBUs than STAGs, the last have none, and cannot stall. */
  range(tbu = 0, tbus = 1): StallRange {
    const size = Math.max(1, Math.floor(this.#count / tbus));
    const first = tbu * size;
    return new StallRange(this, first, first < this.#count ? size : 0);
  }

  save(): Int32Array {
    return this.words.slice();
  }

  /** @throws StateError */
  prepare(words: Int32Array): Commit {
    const sound = words.every((word, index) => {
      if (index % ENTRY_WORDS !== 0) return true;
      const known = (word & STATE_MASK) <= RESOLVED_RAZ_WI && (word & STATE_MASK) !== HELD;
      return known && word >>> SECURITY_SHIFT <= 1 && (index < this.#count * ENTRY_WORDS || word === 0);
    });
    if (words.length !== STALL_TABLE_WORDS || !sound) throw new StateError('no stall table');
    return () => {
      for (const [index, word] of words.entries()) Atomics.store(this.words, index, word);
    };
  }

  /** The record of a transaction is in the Event queue. */
  recorded(stag: number): void {
    if (this.state(stag) === ANNOUNCED) this.#move(stag, RECORDED);
  }

  /** The record of a transaction could not be written. */
  unwritten(stag: number): void {
    if (this.state(stag) === ANNOUNCED) this.#move(stag, UNWRITTEN);
  }

  /**
   * The Event queue is writable: the transactions whose records could not be written are retried, so that
   * no record tells of a configuration that was invalidated meanwhile (7.2.1, 4.7.3; choice: unwritten-stall).
   * @returns whether there was any.
   */
  retryUnwritten(security: SecurityState): boolean {
    let any = false;
    for (let stag = 0; stag < this.#count; stag++) {
      if (this.state(stag) !== UNWRITTEN || this.#security(stag) !== security) continue;
      this.#move(stag, RESOLVED_RETRY);
      any = true;
    }
    return any;
  }

  /** CMD_RESUME: the pair of StreamID and STAG selects; any other is ignored (4.7.1; choice: resume-unrecorded). */
  resume(security: SecurityState, StreamID: number, stag: number, resolution: number): void {
    if (stag >= this.#count || this.state(stag) !== RECORDED) return;
    if (this.#isOf(stag, security, StreamID)) this.#move(stag, resolution);
  }

  /** Terminates with an abort what is stalled: of a stream (CMD_STALL_TERM), or of a Security state (SMMUEN to 0). */
  terminate(security: SecurityState, StreamID?: number): void {
    for (let stag = 0; stag < this.#count; stag++) {
      const state = this.state(stag);
      if (state === FREE || state > RECORDED) continue;
      if (this.#isOf(stag, security, StreamID)) this.#move(stag, RESOLVED_ABORT);
    }
  }

  /** A TBU begins to hold a transaction. */
  announce(stag: number, security: SecurityState, StreamID: number): void {
    Atomics.store(this.words, stag * ENTRY_WORDS + 1, StreamID | 0);
    Atomics.store(this.words, stag * ENTRY_WORDS, ANNOUNCED | (security << SECURITY_SHIFT));
  }

  free(stag: number): void {
    Atomics.store(this.words, stag * ENTRY_WORDS, FREE);
  }

  state(stag: number): number {
    return Atomics.load(this.words, stag * ENTRY_WORDS) & STATE_MASK;
  }

  isFree(stag: number): boolean {
    return this.state(stag) === FREE;
  }

  #isOf(stag: number, security: SecurityState, StreamID: number | undefined): boolean {
    if (this.#security(stag) !== security) return false;
    return StreamID === undefined || Atomics.load(this.words, stag * ENTRY_WORDS + 1) === (StreamID | 0);
  }

  #security(stag: number): number {
    return Atomics.load(this.words, stag * ENTRY_WORDS) >>> SECURITY_SHIFT;
  }

  #move(stag: number, state: number): void {
    Atomics.store(this.words, stag * ENTRY_WORDS, state | (this.#security(stag) << SECURITY_SHIFT));
  }
}

/** The STAGs of one TBU. */
export class StallRange {
  readonly #table: StallTable;
  readonly #first: number;
  readonly #size: number;
  /** Where the search for a free STAG begins: the one that was freed last comes up last. */
  #next = 0;

  constructor(table: StallTable, first: number, size: number) {
    this.#table = table;
    this.#first = first;
    this.#size = size;
  }

  /** Where the search for a STAG begins: what a TBU knows of its range. */
  get next(): number {
    return this.#next;
  }

  set next(next: number) {
    this.#next = next % Math.max(this.#size, 1);
  }

  /** @returns the STAG of a transaction that is held from now on, or NO_STAG. */
  claim(security: SecurityState, StreamID: number): number {
    for (let tried = 0; tried < this.#size; tried++) {
      const stag = this.#first + ((this.#next + tried) % this.#size);
      if (!this.#table.isFree(stag)) continue;
      this.#next = (stag - this.#first + 1) % this.#size;
      this.#table.announce(stag, security, StreamID);
      return stag;
    }
    return NO_STAG;
  }

  /** What has become of a transaction: HELD or a resolution, with which its STAG is given back. */
  collect(stag: number): number {
    if (stag === NO_STAG) return this.#hasRoom() ? RESOLVED_RETRY : HELD;
    const state = this.#table.state(stag);
    if (state <= RECORDED) return HELD;
    this.#table.free(stag);
    return state;
  }

  #hasRoom(): boolean {
    for (let i = 0; i < this.#size; i++) if (this.#table.isFree(this.#first + i)) return true;
    return false;
  }
}
