/**
 * Waiting for another thread: look briefly, then sleep, never for ever.
 *
 * A signal is two words: a counter that grows with every call, and the number of sleepers, which saves the
 * notification while nobody sleeps. A call is never missed: the sleeper reads the counter, looks for work and sleeps
 * only if the counter is still the same; the caller publishes its work before it counts. Where the caller reads
 * "no sleepers", the sleeper's own entry comes later in the one order of all Atomics, and so it finds the counter moved.
 */

declare global {
  interface Atomics {
    /** ES2024, in Node since 16; the language library that the project compiles against ends at ES2023. */
    waitAsync(
      words: Int32Array,
      index: number,
      value: number,
      timeoutMs: number,
    ):
      | { readonly async: false; readonly value: string }
      | { readonly async: true; readonly value: Promise<string> };
  }
}

/** Looks before the first sleep: about a microsecond, so that there are never more spinning threads than cores for long. */
const SPINS = 64;
/** Longest single sleep: how soon a sleeper notices that its partner died without a call. */
const NAP_MS = 20;

/** A wait was given up: the partner is dead, the machine has failed, or the time is over. */
export class WaitAborted extends Error {
  override readonly name = 'WaitAborted';
}

export class Signal {
  readonly #words: Int32Array;
  readonly #counter: number;
  readonly #sleepers: number;

  constructor(words: Int32Array, offset: number) {
    this.#words = words;
    this.#counter = offset;
    this.#sleepers = offset + 1;
  }

  get count(): number {
    return Atomics.load(this.#words, this.#counter);
  }

  raise(): void {
    Atomics.add(this.#words, this.#counter, 1);
    if (Atomics.load(this.#words, this.#sleepers) !== 0) Atomics.notify(this.#words, this.#counter);
  }

  /** Blocks until the counter is no longer `seen`, or the time is over. */
  sleep(seen: number, timeoutMs: number): void {
    Atomics.add(this.#words, this.#sleepers, 1);
    Atomics.wait(this.#words, this.#counter, seen, timeoutMs);
    Atomics.sub(this.#words, this.#sleepers, 1);
  }

  /** The same for a thread with an event loop. It does not keep the loop alive. */
  async sleepAsync(seen: number, timeoutMs: number): Promise<void> {
    Atomics.add(this.#words, this.#sleepers, 1);
    const waiting = Atomics.waitAsync(this.#words, this.#counter, seen, timeoutMs);
    if (waiting.async) await waiting.value;
    Atomics.sub(this.#words, this.#sleepers, 1);
  }
}

/** How a wait ends other than well. */
export interface WaitLimit {
  /** What is being waited for, as the message says it: "smmu0 to take a register write". */
  readonly what: string;
  readonly timeoutMs: number;
  /** The reason why waiting is in vain, or undefined. */
  lost(): string | undefined;
}

/**
 * Blocks until `done()`.
 * @throws WaitAborted when `limit` says so.
 */
export function waitUntil(done: () => boolean, signal: Signal, limit: WaitLimit): void {
  for (let spin = 0; spin < SPINS; spin++) if (done()) return;
  const deadline = performance.now() + limit.timeoutMs;
  for (;;) {
    const seen = signal.count;
    if (done()) return;
    const lost = limit.lost();
    if (lost !== undefined) throw new WaitAborted(`waited for ${limit.what}: ${lost}`);
    if (performance.now() > deadline) {
      throw new WaitAborted(`waited for ${limit.what}: nothing happened within ${limit.timeoutMs} ms`);
    }
    signal.sleep(seen, NAP_MS);
  }
}
