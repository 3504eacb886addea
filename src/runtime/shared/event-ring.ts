/**
 * Event records on their way from one TBU to the TCU, which alone writes event queues: a ring with one producer and
 * one consumer. A record is never dropped here: a TBU that finds the ring full waits for the TCU, and the TCU, which
 * never waits for a TBU without looking at the rings, makes room. Dropping is the event queue's business (IHI 0070 7.4).
 *
 * A record costs one Atomics operation, by which it is published at once. The TCU is called once, at the end of the batch:
 * until then a TCU that sleeps has nothing to do for the records, since CMD_SYNC waits for the end of the batch, too.
 */
import type { SecurityState } from '../../arch/security.js';
import type { EventChannel } from '../../smmu/maintenance.js';
import {
  type Control,
  EVENT_SLOT_WORDS,
  EVENT_SLOTS,
  type SlotOffsets,
  type SmmuOffsets,
} from './control.js';
import { Signal, type WaitLimit, waitUntil } from './signal.js';

const SLOT_MASK = EVENT_SLOTS - 1;
const RECORD_WORDS = 8;
const SECURITY = 8;
const STALL = 9;

/** The TBU's end. */
export class EventRingSender implements EventChannel {
  readonly #words: Int32Array;
  readonly #at: SlotOffsets;
  readonly #doorbell: Signal;
  readonly #progress: Signal;
  readonly #limit: WaitLimit;
  #tail: number;
  /** Where the ring was full when last looked at; there is room up to here. */
  #end: number;
  /** Up to where the TCU has been called. */
  #called: number;

  constructor(control: Control, smmu: SmmuOffsets, slot: SlotOffsets, limit: WaitLimit) {
    this.#words = control.words;
    this.#at = slot;
    this.#doorbell = new Signal(control.words, smmu.doorbell);
    this.#progress = new Signal(control.words, smmu.progress);
    this.#limit = limit;
    this.#tail = this.#called = Atomics.load(control.words, slot.eventTail);
    this.#end = this.#endNow();
  }

  record(record: Int32Array, security: SecurityState, stall: boolean): void {
    if (this.#tail === this.#end) this.#awaitRoom();
    const words = this.#words;
    const at = this.#at.events + (this.#tail & SLOT_MASK) * EVENT_SLOT_WORDS;
    for (let i = 0; i < RECORD_WORDS; i++) words[at + i] = record[i]!;
    words[at + SECURITY] = security;
    words[at + STALL] = stall ? 1 : 0;
    this.#tail = (this.#tail + 1) | 0;
    Atomics.store(words, this.#at.eventTail, this.#tail);
  }

  /** Calls the TCU when there are records that it has not been called for: at the end of a batch. */
  call(): void {
    if (this.#called === this.#tail) return;
    this.#called = this.#tail;
    this.#doorbell.raise();
  }

  #awaitRoom(): void {
    this.#end = this.#endNow();
    if (this.#tail !== this.#end) return;
    this.call();
    waitUntil(() => this.#tail !== this.#endNow(), this.#progress, this.#limit);
    this.#end = this.#endNow();
  }

  #endNow(): number {
    return (Atomics.load(this.#words, this.#at.eventHead) + EVENT_SLOTS) | 0;
  }
}

/** The TCU's end. */
export class EventRingReceiver {
  readonly #words: Int32Array;
  readonly #at: SlotOffsets;
  readonly #record = new Int32Array(RECORD_WORDS);
  #head: number;

  constructor(control: Control, slot: SlotOffsets) {
    this.#words = control.words;
    this.#at = slot;
    this.#head = Atomics.load(control.words, slot.eventHead);
  }

  /** Records that have been published, as a position: the ring is drained up to it once `hasReached` says so. */
  get published(): number {
    return Atomics.load(this.#words, this.#at.eventTail);
  }

  hasReached(position: number): boolean {
    return ((this.#head - position) | 0) >= 0;
  }

  /** Hands what is there to the TCU, at most one ring's worth. */
  drain(into: EventChannel): boolean {
    const words = this.#words;
    const end = this.published;
    if (end === this.#head) return false;
    while (this.#head !== end) {
      const at = this.#at.events + (this.#head & SLOT_MASK) * EVENT_SLOT_WORDS;
      for (let i = 0; i < RECORD_WORDS; i++) this.#record[i] = words[at + i]!;
      into.record(this.#record, words[at + SECURITY] as SecurityState, words[at + STALL] !== 0);
      this.#head = (this.#head + 1) | 0;
    }
    Atomics.store(words, this.#at.eventHead, this.#head);
    return true;
  }
}
