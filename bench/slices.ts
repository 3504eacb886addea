/**
 * How time is taken: contestants take turns of about a millisecond, each after an untimed warm-up, and the best turn
 * of each counts. What disturbs the machine disturbs all of them, and what is left of it is not the best turn.
 */

/** One turn; answers the nanoseconds of one operation. */
export type Slice = () => number | Promise<number>;

/** Turns of every contestant: at least this many, and more while the best still improves. */
export interface Turns {
  readonly least: number;
  readonly most: number;
}

export const FULL_TURNS: Turns = { least: 24, most: 96 };
export const SHORT_TURNS: Turns = { least: 20, most: 40 };

/** Turns without a better figure of any contestant after which it is settled. */
const SETTLED_TURNS = 16;

export async function interleave(contestants: readonly Slice[], turns: Turns): Promise<number[]> {
  const best = contestants.map(() => Number.POSITIVE_INFINITY);
  let settled = 0;
  for (let turn = 0; turn < turns.most && (turn < turns.least || settled < SETTLED_TURNS); turn++) {
    settled++;
    for (const [index, slice] of contestants.entries()) {
      const ns = await slice();
      // Half a percent is no improvement, or no end would be found.
      if (ns < best[index]! * 0.995) settled = 0;
      best[index] = Math.min(best[index]!, ns);
    }
  }
  return best;
}

const WARM_PARTS = 3;

/** How long a slice takes: long against the clock, short against what a busy machine does to a thread. */
const SLICE_NS = 1e6;

/**
 * Slices of a list of `length` operations, of about a millisecond, one after the other and from the start again; three times
 * as many go before the clock starts, because while the other side has its turn the caches are somebody else's.
 * @param run does the operations from `first` on; answers what they took, where it is not this clock that says.
 */
export function slices(
  length: number,
  run: (first: number, count: number) => undefined | number | Promise<number>,
): Slice {
  let count = Math.min(1024, length);
  let first = 0;
  const part = async (size: number): Promise<number> => {
    if (first + size > length) first = 0;
    const start = performance.now();
    const ns = run(first, size);
    const elapsed = ((performance.now() - start) * 1e6) / size;
    first += size;
    return (await ns) ?? elapsed;
  };
  return async () => {
    for (let warm = 0; warm < WARM_PARTS; warm++) await part(count);
    const ns = await part(count);
    // Whole batches of the guard's 64.
    count = Math.min(length, Math.max(256, 2 ** Math.floor(Math.log2(SLICE_NS / ns))));
    return ns;
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))]!;
}
