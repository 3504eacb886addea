/**
 * A TCU's way to TBUs in other threads: the maintenance log, and the proof that they have followed (IHI 0070 3.21.1, 4.7.3).
 *
 * The log is a ring of messages, and an epoch that counts them. A TBU works in batches (tbu-guard.ts):
 *
 *     TBU                                          TCU
 *     if EPOCH != SEEN: as in (3)    (0)
 *     ACTIVE := 1                    (1)           log[epoch] := message
 *     e := EPOCH                     (2)           EPOCH := epoch + 1             (a)
 *     if e != SEEN: apply; SEEN := e (3)           settled: ACTIVE == 0           (b)
 *     translate and access, <= 64 times                  or SEEN >= epoch         (c)
 *     ACTIVE := 0                    (4)
 *
 * All of these are Atomics and so have one order that every thread agrees on. When (b) finds ACTIVE 0, either the last
 * batch is over, its accesses and events with it, since (4) comes after them; or (1) comes after (b), hence (2) after (a), and the
 * TBU will see the message before its first access. When (c) finds SEEN >= epoch, the message was applied before the
 * running batch began, and every earlier batch is over. There is no third case: this is Dekker's argument, and it needs
 * the full order, not just acquire and release. (0) is for speed: what is applied while no batch runs keeps nobody waiting; and
 * a batch ends early when EPOCH moves, which is looked at after each access. An idle TBU costs nothing and is never waited for; it catches up
 * when it wakes.
 *
 * The TCU never waits for room in the log. A TBU that has fallen behind by more than the ring, or is new, starts from scratch:
 * it drops everything and takes the controls of both banks from a side area, which is guarded by a version that
 * is odd while it changes. Whether a message was overwritten while it was read shows in RESERVED, which is moved before the words are.
 * A reader that is being overtaken reads while words are written; therefore the words themselves are Atomics, too.
 *
 * Epochs are 32 bits and compared by difference: a TBU that sleeps through 2^31 messages at a stretch is beyond this design.
 *
 * Events: before `settled()` answers true, the event rings have been drained up to where they stood when every TBU was
 * found to have followed, so that the records of finished transactions are in the queue before CMD_SYNC completes.
 *
 * Several ask: the commands and register updates of both Security states. They share one set of marks, which may be older than
 * what the one who asks waits for. That is enough: its own messages are among those that had been followed then, as each
 * new message drops the marks; and what was published before its command became known has been drained before the
 * command is looked at, by the order of a turn (smmu-thread.ts).
 */
import type { SecurityState } from '../../arch/security.js';
import {
  BANK_SECURITY,
  type EventChannel,
  MESSAGE_BANK,
  MESSAGE_WORDS,
  type TbuChannel,
} from '../../smmu/maintenance.js';
import { type Control, LINE_WORDS, LOG_MESSAGES, type SmmuOffsets } from './control.js';
import { EventRingReceiver } from './event-ring.js';

const LOG_MASK = LOG_MESSAGES - 1;

export class SharedTbuChannel implements TbuChannel {
  readonly #words: Int32Array;
  readonly #at: SmmuOffsets;
  readonly #rings: readonly EventRingReceiver[];
  #epoch: number;
  /** Where the event rings stood when all TBUs had followed, per slot; undefined while they have not. */
  #marks: number[] | undefined;

  constructor(control: Control, at: SmmuOffsets) {
    this.#words = control.words;
    this.#at = at;
    this.#rings = at.slots.map((slot) => new EventRingReceiver(control, slot));
    this.#epoch = Atomics.load(control.words, at.logEpoch);
  }

  broadcast(message: Int32Array): void {
    const words = this.#words;
    const next = (this.#epoch + 1) | 0;
    Atomics.store(words, this.#at.logReserved, next);
    storeMessage(words, this.#at.log + (this.#epoch & LOG_MASK) * MESSAGE_WORDS, message);
    if (message[0] === MESSAGE_BANK) this.#keepBank(message);
    this.#epoch = next;
    this.#marks = undefined;
    Atomics.store(words, this.#at.logEpoch, next);
  }

  settled(): boolean {
    if (this.#marks === undefined) {
      // Asked to call before the slots are read: a TBU that moves on in between will call.
      Atomics.store(this.#words, this.#at.awaitsTbus, 1);
      if (!this.#allFollowed()) return false;
      Atomics.store(this.#words, this.#at.awaitsTbus, 0);
      this.#marks = this.#rings.map((ring) => ring.published);
    }
    for (const [slot, ring] of this.#rings.entries()) {
      if (!ring.hasReached(this.#marks[slot]!)) return false;
    }
    this.#marks = undefined;
    return true;
  }

  /** Hands the TBUs' event records to the TCU. */
  drainEvents(into: EventChannel): boolean {
    let worked = false;
    for (const ring of this.#rings) worked = ring.drain(into) || worked;
    return worked;
  }

  #allFollowed(): boolean {
    for (const slot of this.#at.slots) {
      if (
        Atomics.load(this.#words, slot.active) !== 0 &&
        ((Atomics.load(this.#words, slot.seen) - this.#epoch) | 0) < 0
      ) {
        return false;
      }
    }
    return true;
  }

  #keepBank(message: Int32Array): void {
    const words = this.#words;
    const version = this.#at.banks[message[BANK_SECURITY] as SecurityState]!;
    Atomics.add(words, version, 1);
    storeMessage(words, version + LINE_WORDS, message);
    Atomics.add(words, version, 1);
  }
}

function storeMessage(words: Int32Array, at: number, message: Int32Array): void {
  for (let i = 0; i < MESSAGE_WORDS; i++) Atomics.store(words, at + i, message[i]!);
}
