/**
 * Register writes on their way to a TCU: a bounded ring with many producers and one consumer.
 *
 * A producer draws a ticket with one Atomics.add, waits until the slot of that ticket is free, fills it and publishes it
 * through the slot's sequence word (free: the ticket; filled: the ticket plus 1). The TCU takes slots in ticket
 * order, applies each write and then counts it as consumed. A producer's reads wait until its own last write is
 * consumed: reads and writes of one agent to one device stay in order, as Device memory has it (DDI 0487 B2.3);
 * writes of different agents are ordered by their tickets, and each is applied whole (REQUIREMENTS B5, B6).
 */
import type { SecurityState } from '../../arch/security.js';
import { type Control, MAILBOX_SLOT_WORDS, MAILBOX_SLOTS, type SmmuOffsets } from './control.js';
import { Signal, type WaitLimit, waitUntil } from './signal.js';

const SLOT_MASK = MAILBOX_SLOTS - 1;
// Words of a slot.
const SEQUENCE = 0;
const OFFSET = 1;
const SIZE_AND_SECURITY = 2;
const VALUE_LO = 3;
const VALUE_HI = 4;

/** Makes the slots of a fresh mailbox free for their first tickets. */
export function initializeMailbox(words: Int32Array, at: SmmuOffsets): void {
  for (let slot = 0; slot < MAILBOX_SLOTS; slot++) {
    Atomics.store(words, at.mailbox + slot * MAILBOX_SLOT_WORDS + SEQUENCE, slot);
  }
}

/** A producer's end: one per agent, since the order of reads is that agent's own. */
export class MailboxSender {
  readonly #words: Int32Array;
  readonly #at: SmmuOffsets;
  readonly #doorbell: Signal;
  readonly #progress: Signal;
  readonly #limit: WaitLimit;
  /** What `mailboxConsumed` must reach before this agent may read. */
  #lastTicketEnd: number;

  constructor(control: Control, at: SmmuOffsets, limit: WaitLimit) {
    this.#words = control.words;
    this.#at = at;
    this.#doorbell = new Signal(control.words, at.doorbell);
    this.#progress = new Signal(control.words, at.progress);
    this.#limit = limit;
    this.#lastTicketEnd = Atomics.load(control.words, at.mailboxConsumed);
  }

  /** @throws WaitAborted when the TCU takes no more writes. */
  post(offset: number, sizeBytes: number, value: bigint, security: SecurityState): void {
    const words = this.#words;
    const ticket = Atomics.add(words, this.#at.mailboxTail, 1);
    const slot = this.#at.mailbox + (ticket & SLOT_MASK) * MAILBOX_SLOT_WORDS;
    waitUntil(() => Atomics.load(words, slot + SEQUENCE) === ticket, this.#progress, this.#limit);
    words[slot + OFFSET] = offset;
    words[slot + SIZE_AND_SECURITY] = sizeBytes | (security << 8);
    words[slot + VALUE_LO] = Number(BigInt.asIntN(32, value));
    words[slot + VALUE_HI] = Number(BigInt.asIntN(32, value >> 32n));
    this.#lastTicketEnd = (ticket + 1) | 0;
    Atomics.store(words, slot + SEQUENCE, this.#lastTicketEnd);
    this.#doorbell.raise();
  }

  /** Waits until this agent's last write has been applied. */
  flush(): void {
    const { mailboxConsumed } = this.#at;
    waitUntil(
      () => ((Atomics.load(this.#words, mailboxConsumed) - this.#lastTicketEnd) | 0) >= 0,
      this.#progress,
      this.#limit,
    );
  }
}

/** What the TCU does with a write; a Tcu is one. */
export interface RegisterWriter {
  writeRegister(offset: number, sizeBytes: number, value: bigint, security: SecurityState): void;
}

/** The TCU's end. */
export class MailboxReceiver {
  readonly #words: Int32Array;
  readonly #at: SmmuOffsets;
  #head: number;

  constructor(control: Control, at: SmmuOffsets) {
    this.#words = control.words;
    this.#at = at;
    this.#head = Atomics.load(control.words, at.mailboxConsumed);
  }

  get pending(): boolean {
    return Atomics.load(this.#words, this.#slot() + SEQUENCE) === ((this.#head + 1) | 0);
  }

  /** Applies at most one ring's worth of writes, so that no producer can hold the TCU for ever (REQUIREMENTS B18). */
  drain(into: RegisterWriter): boolean {
    const words = this.#words;
    let taken = 0;
    while (taken < MAILBOX_SLOTS && this.pending) {
      const slot = this.#slot();
      const sizeAndSecurity = words[slot + SIZE_AND_SECURITY]!;
      const low = BigInt(words[slot + VALUE_LO]! >>> 0);
      const high = BigInt(words[slot + VALUE_HI]! >>> 0);
      into.writeRegister(
        words[slot + OFFSET]!,
        sizeAndSecurity & 0xff,
        (high << 32n) | low,
        (sizeAndSecurity >>> 8) as SecurityState,
      );
      Atomics.store(words, slot + SEQUENCE, (this.#head + MAILBOX_SLOTS) | 0);
      this.#head = (this.#head + 1) | 0;
      Atomics.store(words, this.#at.mailboxConsumed, this.#head);
      taken++;
    }
    return taken > 0;
  }

  #slot(): number {
    return this.#at.mailbox + (this.#head & SLOT_MASK) * MAILBOX_SLOT_WORDS;
  }
}
