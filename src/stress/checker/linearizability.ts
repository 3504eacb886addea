/**
 * Decides whether what several threads saw of one shared object can be explained by some order of their operations,
 * one after the other, in which none comes before another that had ended when it began (linearizability; Wing and Gong,
 * with the configurations already seen remembered, after Lowe).
 */

/** One thread's operation; the moments are tickets of one counter that all threads draw from. */
export interface Operation {
  readonly invoked: number;
  readonly completed: number;
}

/** The object as one thread alone would see it. */
export interface SequentialObject<State, Op> {
  readonly initial: State;
  /** The state after the operation; undefined when it cannot have gone like this in that state. */
  apply(state: State, operation: Op): State | undefined;
  /** The states that it may go to by itself, at any time. */
  moves?(state: State): readonly State[];
}

export interface Linearization<Op> {
  readonly ok: boolean;
  /** Where not ok: the operations of which none can come next, after the longest order that was found. */
  readonly stuckAt: readonly Op[];
}

interface Configuration<State> {
  /** How many operations of each thread have taken place. */
  readonly done: readonly number[];
  readonly state: State;
}

/**
 * @param threads each thread's operations, in its order.
 * @param object its states must be primitive values, or print as what makes them different.
 */
export function linearize<State, Op extends Operation>(
  threads: readonly (readonly Op[])[],
  object: SequentialObject<State, Op>,
): Linearization<Op> {
  const pending: Configuration<State>[] = [{ done: threads.map(() => 0), state: object.initial }];
  const seen = new Set<string>();
  let longest = -1;
  let stuckAt: Op[] = [];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const { done, state } = at;
    const next = done.flatMap((count, thread) => threads[thread]![count] ?? []);
    if (next.length === 0) return { ok: true, stuckAt: [] };
    const length = done.reduce((sum, count) => sum + count, 0);
    if (length > longest) {
      longest = length;
      stuckAt = next;
    }
    const visit = (next: Configuration<State>) => {
      const key = `${next.done.join()}:${String(next.state)}`;
      if (seen.has(key)) return;
      seen.add(key);
      pending.push(next);
    };
    for (const after of object.moves?.(state) ?? []) visit({ done, state: after });
    const firstEnd = Math.min(...next.map(({ completed }) => completed));
    for (const [thread, count] of done.entries()) {
      const operation = threads[thread]![count];
      // What begins after another has ended cannot come before it.
      if (operation === undefined || operation.invoked > firstEnd) continue;
      const after = object.apply(state, operation);
      if (after === undefined) continue;
      visit({ done: done.with(thread, count + 1), state: after });
    }
  }
  return { ok: false, stuckAt };
}

/** An access to a 64-bit register, whole or one half of it; a 32-bit register is the lower half of one. */
export interface RegisterAccess extends Operation {
  readonly write: boolean;
  readonly part: 'whole' | 'low' | 'high';
  readonly value: bigint;
}

const LOW = 0xffff_ffffn;

/** A register that stores what is written to it and reads as that (IHI 0070 6.2; REQUIREMENTS B5, B6). */
export const REGISTER: SequentialObject<bigint, RegisterAccess> = {
  initial: 0n,
  apply(state, { write, part, value }) {
    if (part === 'whole') return write ? value : value === state ? state : undefined;
    const shift = part === 'low' ? 0n : 32n;
    if (!write) return ((state >> shift) & LOW) === value ? state : undefined;
    return (state & ~(LOW << shift)) | (value << shift);
  },
};
