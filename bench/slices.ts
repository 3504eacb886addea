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

/** A slice of `count` operations in this thread, the first quarter of them before the clock starts. */
export function slice(run: (count: number) => void, count: number): Slice {
  return () => {
    run(count >>> 2);
    const start = performance.now();
    run(count);
    return ((performance.now() - start) * 1e6) / count;
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
