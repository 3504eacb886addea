/**
 * Whether a device is there, as its DMA thread and the coordinator agree on it: one word in shared memory.
 *
 *     IDLE -> WORKING -> IDLE      the DMA thread, around the steps of a task
 *     WORKING -> LEAVING -> GONE   the coordinator asks; the thread answers between two batches, when nothing is in flight
 *     IDLE -> GONE                 the coordinator alone: there is nobody to ask
 *
 * Every step is a compare-and-exchange, so that of two who want to move it one does.
 */

import type { Supervisor } from '../threads/supervisor.js';
import type { Control } from './control.js';

const IDLE = 0;
const WORKING = 1;
const LEAVING = 2;
const GONE = 3;

/** How long the coordinator sleeps at most before it looks again. */
const NAP_MS = 20;

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

  #move(from: number, to: number): boolean {
    return Atomics.compareExchange(this.#words, this.#at, from, to) === from;
  }
}
