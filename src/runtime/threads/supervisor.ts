/**
 * Watches the threads of a machine: one that dies, throws or stops moving is a failure of the machine, said once, with
 * the thread's name and state. Whatever the coordinator waits for is raced against that, since a message to a dead
 * thread is never answered.
 */
import { type Control, RUNNING, THREAD_STATES, type ThreadOffsets, WAITING } from '../shared/control.js';

/** How often the heartbeats are looked at. */
const WATCH_MS = 100;

/** A thread of the machine died or hangs, or the machine was closed while something was under way. */
export class MachineFailure extends Error {
  override readonly name = 'MachineFailure';
  /** The thread's name: an SMMU's id, "dma thread 0", "software". Or "the machine". */
  readonly instance: string;
  /** What was known of it at that moment. */
  readonly state: string;

  constructor(instance: string, what: string, state: string) {
    super(`${instance} ${what} (${state})`);
    this.instance = instance;
    this.state = state;
  }
}

interface Watched {
  readonly name: string;
  readonly offsets: ThreadOffsets;
  readonly describe: () => string;
  beat: number;
  since: number;
}

export class Supervisor {
  readonly #control: Control;
  readonly #watched: Watched[] = [];
  readonly #timer: NodeJS.Timeout;
  readonly #failed: Promise<never>;
  #reject: (failure: MachineFailure) => void = () => {};
  #failure: MachineFailure | undefined;

  /** @param hungMs a thread whose heartbeat stands still for this long hangs. */
  constructor(control: Control, hungMs: number) {
    this.#control = control;
    this.#failed = new Promise((_resolve, reject) => {
      this.#reject = reject;
    });
    // Nobody may be racing at the moment of a failure.
    this.#failed.catch(() => {});
    this.#timer = setInterval(() => this.#look(hungMs), WATCH_MS);
  }

  get failure(): MachineFailure | undefined {
    return this.#failure;
  }

  /** @param describe adds what only the thread's owner knows. */
  watch(name: string, offsets: ThreadOffsets, describe: () => string): void {
    this.#watched.push({ name, offsets, describe, beat: -1, since: performance.now() });
  }

  /** Where a watched thread tells of itself. */
  offsetsOf(name: string): ThreadOffsets {
    const watched = this.#watched.find((candidate) => candidate.name === name);
    if (watched === undefined) throw new Error(`assertion: there is no thread '${name}'`);
    return watched.offsets;
  }

  /** Reports a failure; the first one counts, what follows from it does not. */
  fail(name: string, what: string): void {
    if (this.#failure !== undefined) return;
    const watched = this.#watched.find((candidate) => candidate.name === name);
    this.#failure = new MachineFailure(
      name,
      what,
      watched === undefined ? 'starting' : this.#stateOf(watched),
    );
    this.#control.raiseFlag(this.#control.offsets.failed);
    this.#reject(this.#failure);
  }

  /** The result of `work`, or the machine's failure or end, whichever comes first. */
  guard<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failed]);
  }

  /** The threads are going to end: nobody waits for them any longer. It is no failure. */
  close(): void {
    clearInterval(this.#timer);
    this.#reject(new MachineFailure('the machine', 'was closed', 'what was under way has no result'));
  }

  #look(hungMs: number): void {
    const now = performance.now();
    for (const thread of this.#watched) {
      const state = Atomics.load(this.#control.words, thread.offsets.state);
      const beat = Atomics.load(this.#control.words, thread.offsets.heartbeat);
      if (beat !== thread.beat || (state !== RUNNING && state !== WAITING)) {
        thread.beat = beat;
        thread.since = now;
      } else if (now - thread.since > hungMs) {
        this.fail(thread.name, `hangs: no sign of life for ${Math.round((now - thread.since) / 100) / 10} s`);
      }
    }
  }

  #stateOf(thread: Watched): string {
    const state = THREAD_STATES[Atomics.load(this.#control.words, thread.offsets.state)];
    return `${state}; ${thread.describe()}`;
  }
}
