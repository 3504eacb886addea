/**
 * Makes a failing deterministic run shorter (REQUIREMENTS H6): takes grants away, as long as what is left still ends in a
 * finding of the same kind. Any part of a schedule is a schedule (scheduler.ts), and what an actor wants does not depend
 * on the others, so that delta debugging over the grants does it: first whole actors, then ever smaller pieces.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Machine } from '../../machine/types.js';
import { GuestMemory } from '../../memory/guest-memory.js';
import { type DeterministicOptions, type DeterministicReport, runInSlices } from './deterministic.js';

/** Grants of all runs that are made in search of a shorter one: what is short already is worth many runs. */
const GRANTS_MAX = 3_000_000;
/** What it costs to begin a run, in grants. */
const BOOT_GRANTS = 1000;

export interface Minimised {
  /** The shortest run that was found; the given one, if none is shorter. */
  readonly report: DeterministicReport;
  /** Runs that it took. */
  readonly runs: number;
}

/**
 * @param failing the report of a run with these options that has a finding.
 * @param signal ends the search early, with what it has found until then.
 */
export async function minimise(
  machine: Machine,
  options: DeterministicOptions,
  failing: DeterministicReport,
  grantsMax: number = GRANTS_MAX,
  signal?: AbortSignal,
): Promise<Minimised> {
  const search = new Search(machine, options, failing, grantsMax, signal);
  await search.dropActors();
  await search.dropPieces();
  return { report: search.best, runs: search.runs };
}

class Search {
  best: DeterministicReport;
  runs = 0;
  readonly #machine: Machine;
  readonly #options: DeterministicOptions;
  #grantsLeft: number;
  readonly #signal: AbortSignal | undefined;
  readonly #kind: string;
  #memory: GuestMemory;

  constructor(
    machine: Machine,
    options: DeterministicOptions,
    failing: DeterministicReport,
    grantsMax: number,
    signal: AbortSignal | undefined,
  ) {
    this.best = failing;
    this.#machine = machine;
    this.#options = options;
    this.#grantsLeft = grantsMax;
    this.#signal = signal;
    this.#kind = failing.findings[0]!.kind;
    this.#memory = GuestMemory.create(machine.regions);
  }

  async dropActors(): Promise<void> {
    const count = Math.max(...this.best.schedule) + 1;
    for (let actor = 0; actor < count; actor++) {
      await this.#try(this.best.schedule.filter((grant) => grant !== actor));
    }
  }

  /**
   * Pieces of half the schedule, then of a quarter, down to single grants; and again, as long as that helps: what a piece was
   * needed for may have gone later.
   */
  async dropPieces(): Promise<void> {
    for (let before = Number.POSITIVE_INFINITY; this.best.schedule.length < before && !this.#isOver; ) {
      before = this.best.schedule.length;
      await this.#sweep();
    }
  }

  async #sweep(): Promise<void> {
    for (let size = Math.ceil(this.best.schedule.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < this.best.schedule.length && !this.#isOver; ) {
        const { schedule } = this.best;
        const isShorter = await this.#try([...schedule.slice(0, at), ...schedule.slice(at + size)]);
        // What was behind the piece has moved up to where it was.
        if (!isShorter) at += size;
      }
    }
  }

  get #isOver(): boolean {
    return this.#grantsLeft <= 0 || this.#signal?.aborted === true;
  }

  async #try(schedule: readonly number[]): Promise<boolean> {
    await nextTurn();
    if (schedule.length === this.best.schedule.length || this.#isOver) return false;
    this.runs++;
    this.#grantsLeft -= BOOT_GRANTS + schedule.length;
    this.#memory = this.#memory.recycle(this.#machine.regions);
    const options = { ...this.#options, schedule, memory: this.#memory };
    const report = await runInSlices(this.#machine, options, this.#signal);
    // What it came to by then is not what the schedule comes to.
    if (report.end === 'interrupted') return false;
    const isShorter =
      report.findings[0]?.kind === this.#kind && report.schedule.length < this.best.schedule.length;
    if (isShorter) this.best = report;
    return isShorter;
  }
}
