/**
 * A TBU's side of the maintenance log: the guard around each batch of transactions. The protocol, and why it is
 * right, is in tbu-channel.ts.
 */
import { MESSAGE_INVALIDATE_ALL, MESSAGE_WORDS } from '../../smmu/maintenance.js';
import { type Control, LINE_WORDS, LOG_MESSAGES, type SlotOffsets, type SmmuOffsets } from './control.js';
import { Signal, type WaitLimit, waitUntil } from './signal.js';

/**
 * Transactions of one batch at most: fewer when a message comes. At 64 the guard costs 3 to 5 percent of a transaction of
 * 64 bytes.
 */
export const BATCH_TRANSACTIONS = 64;

const LOG_MASK = LOG_MESSAGES - 1;

/** What takes the messages; a Tbu is one. */
export interface MessageHandler {
  handle(message: Int32Array): void;
}

export class TbuGuard {
  readonly #words: Int32Array;
  readonly #at: SmmuOffsets;
  readonly #epochAt: number;
  readonly #slot: SlotOffsets;
  readonly #tbu: MessageHandler;
  readonly #doorbell: Signal;
  readonly #progress: Signal;
  readonly #limit: WaitLimit;
  readonly #message = new Int32Array(MESSAGE_WORDS);
  #seen = 0;
  /** Nothing of the log is known yet. */
  #fresh = true;

  constructor(control: Control, at: SmmuOffsets, slot: SlotOffsets, tbu: MessageHandler, limit: WaitLimit) {
    this.#words = control.words;
    this.#at = at;
    this.#epochAt = at.logEpoch;
    this.#slot = slot;
    this.#tbu = tbu;
    this.#doorbell = new Signal(control.words, at.doorbell);
    this.#progress = new Signal(control.words, at.progress);
    this.#limit = limit;
  }

  /** Opens a batch: afterwards the TBU's state is as new as the log, and stays so until `end`. */
  begin(): void {
    // What is applied while no batch runs keeps no CMD_SYNC waiting.
    if (this.isBehind || this.#fresh) this.#follow(Atomics.load(this.#words, this.#epochAt));
    Atomics.store(this.#words, this.#slot.active, 1);
    const epoch = Atomics.load(this.#words, this.#epochAt);
    if (epoch !== this.#seen) this.#follow(epoch);
  }

  /**
   * A message has come since the batch was opened: who ends the batch now lets a CMD_SYNC complete that much sooner.
   * Read plainly, after each access; what a stale value costs is time.
   */
  get isBehind(): boolean {
    return this.#words[this.#epochAt] !== this.#seen;
  }

  /** Closes a batch. */
  end(): void {
    Atomics.store(this.#words, this.#slot.active, 0);
    this.#tellWaitingTcu();
  }

  #follow(epoch: number): void {
    if (this.#fresh || ((epoch - this.#seen) | 0) > LOG_MESSAGES || !this.#applyFrom(this.#seen, epoch)) {
      this.#startFromScratch();
    }
    this.#fresh = false;
    this.#seen = epoch;
    Atomics.store(this.#words, this.#slot.seen, epoch);
    this.#tellWaitingTcu();
  }

  /** @returns false when the ring was overwritten under the reader. */
  #applyFrom(first: number, end: number): boolean {
    for (let epoch = first; epoch !== end; epoch = (epoch + 1) | 0) {
      this.#loadMessage(this.#at.log + (epoch & LOG_MASK) * MESSAGE_WORDS);
      const reserved = Atomics.load(this.#words, this.#at.logReserved);
      if (((reserved - epoch) | 0) > LOG_MESSAGES) return false;
      this.#tbu.handle(this.#message);
    }
    return true;
  }

  #startFromScratch(): void {
    this.#message.fill(0);
    this.#message[0] = MESSAGE_INVALIDATE_ALL;
    this.#tbu.handle(this.#message);
    for (const version of this.#at.banks) {
      if (this.#loadBank(version)) this.#tbu.handle(this.#message);
    }
  }

  /** @returns false when the TCU has not spoken of this bank yet: it is as after reset. */
  #loadBank(version: number): boolean {
    let before = 0;
    waitUntil(
      () => {
        before = Atomics.load(this.#words, version);
        this.#loadMessage(version + LINE_WORDS);
        return (before & 1) === 0 && Atomics.load(this.#words, version) === before;
      },
      this.#progress,
      this.#limit,
    );
    return before !== 0;
  }

  #loadMessage(at: number): void {
    for (let i = 0; i < MESSAGE_WORDS; i++) this.#message[i] = Atomics.load(this.#words, at + i);
  }

  #tellWaitingTcu(): void {
    if (Atomics.load(this.#words, this.#at.awaitsTbus) !== 0) this.#doorbell.raise();
  }
}
