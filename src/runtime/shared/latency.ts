/**
 * Latency histograms: counts in buckets that are an eighth of an octave wide, so that a percentile is right to a
 * twelfth. Recording is a few integer operations; nothing is allocated. One thread writes, others may read.
 */
import { LATENCY_BUCKETS } from './control.js';

/** Buckets of an octave, as a power of two. */
const LOG2_STEPS = 3;
const STEPS = 1 << LOG2_STEPS;
const NS_MAX = 0x7fff_ffff;

/** Nanoseconds. */
export interface Latency {
  readonly samples: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** @param counts LATENCY_BUCKETS words. */
export function recordLatency(counts: Int32Array, ns: number): void {
  const bucket = bucketOf(ns);
  counts[bucket] = counts[bucket]! + 1;
}

/** Percentiles of what a histogram holds, or of what came to it since it held `before`; null when that is nothing. */
export function latencyOf(counts: ArrayLike<number>, before?: ArrayLike<number>): Latency | null {
  const own = Array.from(
    { length: LATENCY_BUCKETS },
    (_, bucket) => counts[bucket]! - (before?.[bucket] ?? 0),
  );
  const samples = own.reduce((sum, count) => sum + count, 0);
  if (samples === 0) return null;
  const percentile = (share: number) => {
    let left = share * samples;
    return middleOf(
      own.findIndex((count) => {
        left -= count;
        return count > 0 && left <= 0;
      }),
    );
  };
  return { samples, p50: percentile(0.5), p90: percentile(0.9), p99: percentile(0.99), max: percentile(1) };
}

/** Values below two octaves of steps have a bucket each; above, the exponent and the bits after the leading one count. */
function bucketOf(ns: number): number {
  const value = ns < NS_MAX ? ns | 0 : NS_MAX;
  if (value < STEPS) return value > 0 ? value : 0;
  const exponent = 31 - Math.clz32(value);
  return ((exponent - LOG2_STEPS) << LOG2_STEPS) + (value >>> (exponent - LOG2_STEPS));
}

/** The middle of the values that fall into a bucket. */
function middleOf(bucket: number): number {
  if (bucket < 2 * STEPS) return bucket;
  const shift = (bucket >>> LOG2_STEPS) - 1;
  const first = ((bucket & (STEPS - 1)) + STEPS) * 2 ** shift;
  return first + 2 ** (shift - 1);
}
