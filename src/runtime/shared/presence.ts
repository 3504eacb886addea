/**
 * Whether a device is there, as its DMA thread and the coordinator agree on it: a word in shared memory.
 *
 *     IDLE -> WORKING -> IDLE      the DMA thread, around the steps of a task
 *     WORKING -> LEAVING -> GONE   the coordinator asks; the thread answers between two batches, when nothing is in flight
 *     IDLE -> GONE                 the coordinator alone: there is nobody to ask
 *
 * Every step is a compare-and-exchange, so that of two who want to move it one does.
 *
 * A second word holds a device where it is, and a third has the StreamID of its accesses, which may change meanwhile:
 *
 *     FREE -> HELD                 the coordinator asks
 *     HELD -> RESTING              the DMA thread answers between two batches; it has the device do nothing until FREE
 *     HELD, RESTING -> FREE        the coordinator lets go
 */

import type { Supervisor } from '../threads/supervisor.js';
import type { Control } from './control.js';

const IDLE = 0;
const WORKING = 1;
const LEAVING = 2;
const GONE = 3;

const FREE = 0;
const HELD = 1;
const RESTING = 2;
// Words beside the first, in its line.
const HOLD = 1;
const STREAM_ID = 2;

/** How long the coordinator sleeps at most before it looks again. */
const NAP_MS = 20;
/** How long a DMA thread sleeps at most beside a device that rests: others of its devices may have work. */
const REST_MS = 1;

export class Presence {
  readonly #words: Int32Array;
  readonly #at: number;
  /** The device is not there: nothing may be done for it any more. */
  gone = false;

  /** @param device its place in the control memory. */
  constructor({ words, offsets }: Control, device: number) {
    this.#words = words;
    this.#at = offsets.presences[device]!;
  }

  /** The DMA thread takes up the device's work. */
  begin(): void {
    this.gone = !this.#move(IDLE, WORKING);
  }

  /** Whether the device is asked to leave: the DMA thread looks before each batch, and ends its work. */
  get leaving(): boolean {
    return Atomics.load(this.#words, this.#at) === LEAVING;
  }

  /** Whether the device is asked to do nothing for now: the DMA thread looks before each batch, and lets it rest. */
  get held(): boolean {
    return Atomics.load(this.#words, this.#at + HOLD) !== FREE;
  }

  /** Nothing of the device is in flight: gives the processor away for a moment. */
  rest(): void {
    if (Atomics.compareExchange(this.#words, this.#at + HOLD, HELD, RESTING) === HELD)
      Atomics.notify(this.#words, this.#at + HOLD);
    Atomics.wait(this.#words, this.#at + HOLD, RESTING, REST_MS);
  }

  /** The StreamID of its accesses. It changes only while the device is held. */
  get StreamID(): number {
    return Atomics.load(this.#words, this.#at + STREAM_ID) >>> 0;
  }

  set StreamID(StreamID: number) {
    Atomics.store(this.#words, this.#at + STREAM_ID, StreamID | 0);
  }

  /** The DMA thread has done the work, or does no more of it. */
  end(): void {
    if (this.#move(WORKING, IDLE) || !this.#move(LEAVING, GONE)) return;
    this.gone = true;
    Atomics.notify(this.#words, this.#at);
  }

  /** Whether a DMA thread has work for the device. */
  get busy(): boolean {
    return Atomics.load(this.#words, this.#at) === WORKING;
  }

  /** The coordinator puts a device in this place. */
  arrive(): void {
    Atomics.store(this.#words, this.#at, IDLE);
  }

  /** The coordinator takes the device out: resolves when it does nothing any more. */
  async depart(supervisor: Supervisor): Promise<void> {
    while (!this.#move(IDLE, GONE) && Atomics.load(this.#words, this.#at) !== GONE) {
      this.#move(WORKING, LEAVING);
      const wait = Atomics.waitAsync(this.#words, this.#at, LEAVING, NAP_MS);
      if (wait.async) await supervisor.guard(wait.value);
    }
  }

  /** The coordinator has the device do nothing: resolves when nothing of it is in flight. */
  async hold(supervisor: Supervisor): Promise<void> {
    const at = this.#at + HOLD;
    Atomics.store(this.#words, at, HELD);
    // A DMA thread that begins after this look sees the word before its first batch.
    while (this.busy && Atomics.load(this.#words, at) === HELD) {
      const wait = Atomics.waitAsync(this.#words, at, HELD, NAP_MS);
      if (wait.async) await supervisor.guard(wait.value);
    }
  }

  /** The coordinator lets the device go on. */
  release(): void {
    Atomics.store(this.#words, this.#at + HOLD, FREE);
    Atomics.notify(this.#words, this.#at + HOLD);
  }

  #move(from: number, to: number): boolean {
    return Atomics.compareExchange(this.#words, this.#at, from, to) === from;
  }
}
