/**
 * The scheduler of deterministic mode: one thread, and every actor a coroutine of it as far as JavaScript allows.
 *
 * A schedule is a list of grants: who may go on. There is one at the beginning of each step of an actor and one at each
 * point inside it, where others can see or change what it works with (a descriptor load, a store of the
 * software, a register write, a DMA beat). At a point
 *
 *     - a grant for the actor that runs lets it go on,
 *     - a grant for an actor that does not run begins a step of that one, inside this one; afterwards the next grant counts,
 *     - a grant for an actor further down waits until the steps above it are over, which get no more points.
 *
 * So a preempted step can be resumed only when what preempted it is over: the schedules of a stack. Steps never block,
 * and so every step ends. A list of grants from which some are taken away is a schedule, too: minimise.ts relies on it.
 */
import type { Actor } from '../actors/actor.js';
import type { Random } from '../random.js';

/** How often the actor at a point goes on, in percent. */
const STAY_PERCENT = 85;

/** Where grants come from. */
export interface GrantSource {
  /** @param top the actor that asks, or -1 between two steps. @returns undefined when the schedule is over. */
  next(top: number): number | undefined;
}

/** Grants by chance. */
export class RandomGrants implements GrantSource {
  readonly #random: Random;
  readonly #actors: number;

  constructor(random: Random, actors: number) {
    this.#random = random;
    this.#actors = actors;
  }

  next(top: number): number {
    if (top >= 0 && this.#random.chance(STAY_PERCENT)) return top;
    return this.#random.below(this.#actors);
  }
}

/** Grants of a recorded schedule. */
export class RecordedGrants implements GrantSource {
  readonly #grants: ArrayLike<number>;
  #next = 0;

  constructor(grants: ArrayLike<number>) {
    this.#grants = grants;
  }

  next(): number | undefined {
    return this.#grants[this.#next++];
  }
}

export class Scheduler {
  /** The grants of this run so far. */
  readonly grants: number[] = [];
  readonly #actors: readonly Actor[];
  readonly #source: GrantSource;
  readonly #isOver: () => boolean;
  readonly #stacked: boolean[];
  #top = -1;
  #running = false;
  /** Drawn, and not consumed yet; undefined: none drawn. */
  #pending: number | undefined;
  #exhausted = false;

  /** @param isOver asked between two steps and at each point. */
  constructor(actors: readonly Actor[], source: GrantSource, isOver: () => boolean) {
    this.#actors = actors;
    this.#source = source;
    this.#isOver = isOver;
    this.#stacked = actors.map(() => false);
  }

  /** Runs until `isOver`, until the schedule is over, or for so many steps. @returns whether there is more to do. */
  run(steps: number): boolean {
    this.#running = true;
    let next: number | undefined = -1;
    for (let step = 0; step < steps && next !== undefined; step++) {
      next = this.#isOver() ? undefined : this.#peek();
      if (next === undefined) break;
      this.#consume();
      this.#step(next);
    }
    this.#running = false;
    return next !== undefined;
  }

  /** Lets others go first, perhaps. */
  point(): void {
    if (!this.#running) return;
    while (!this.#isOver()) {
      const next = this.#peek();
      if (next === undefined) return;
      if (next !== this.#top && this.#stacked[next]) return;
      this.#consume();
      if (next === this.#top) return;
      this.#step(next);
    }
  }

  /** Steps everybody in turn, without points, until `done`. @returns false when that does not come. */
  settle(done: () => boolean, rounds: number): boolean {
    for (let round = 0; round < rounds; round++) {
      if (done()) return true;
      for (const actor of this.#actors) actor.step();
    }
    return done();
  }

  #step(index: number): void {
    const below = this.#top;
    this.#top = index;
    this.#stacked[index] = true;
    this.#actors[index]!.step();
    this.#stacked[index] = false;
    this.#top = below;
  }

  #peek(): number | undefined {
    if (this.#exhausted) return undefined;
    this.#pending ??= this.#source.next(this.#top);
    this.#exhausted = this.#pending === undefined;
    return this.#pending;
  }

  #consume(): void {
    this.grants.push(this.#pending!);
    this.#pending = undefined;
  }
}
