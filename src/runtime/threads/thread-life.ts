/**
 * What every thread of a machine tells of itself: its state and a heartbeat, which the supervisor watches. With a
 * heartbeat a thread also looks for an order to break down, which tests of that supervision give (REQUIREMENTS F10, H9).
 */
import type { Control, ThreadOffsets } from '../shared/control.js';

export const BREAKDOWNS = ['throw', 'exit', 'hang'] as const;
export type Breakdown = (typeof BREAKDOWNS)[number];

/** The word after a thread's heartbeat. */
const ORDER = 1;

export class ThreadLife {
  readonly #words: Int32Array;
  readonly #at: ThreadOffsets;

  constructor(control: Control, at: ThreadOffsets) {
    this.#words = control.words;
    this.#at = at;
  }

  set state(state: number) {
    Atomics.store(this.#words, this.#at.state, state);
  }

  beat(): void {
    Atomics.add(this.#words, this.#at.heartbeat, 1);
    const order = Atomics.load(this.#words, this.#at.heartbeat + ORDER);
    if (order !== 0) breakDown(BREAKDOWNS[order - 1]!);
  }
}

/** Has a thread break down at its next heartbeat. */
export function orderBreakdown(control: Control, at: ThreadOffsets, how: Breakdown): void {
  Atomics.store(control.words, at.heartbeat + ORDER, 1 + BREAKDOWNS.indexOf(how));
}

function breakDown(how: Breakdown): void {
  if (how === 'exit') process.exit(3);
  if (how === 'throw') throw new Error('sabotaged');
  for (;;);
}
