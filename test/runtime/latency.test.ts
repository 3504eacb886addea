import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LATENCY_BUCKETS } from '../../src/runtime/shared/control.js';
import { latencyOf, recordLatency } from '../../src/runtime/shared/latency.js';

function histogram(...samples: number[]): Int32Array {
  const counts = new Int32Array(LATENCY_BUCKETS);
  for (const sample of samples) recordLatency(counts, sample);
  return counts;
}

describe('H7 latency histogram', () => {
  it('a single sample is every percentile, to a twelfth', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 2 ** 31 - 1, noNaN: true }), (ns) => {
        const latency = latencyOf(histogram(ns))!;
        expect(Math.abs(latency.p50 - ns)).toBeLessThanOrEqual(Math.max(1, ns / 12));
        expect(latency).toEqual({
          samples: 1,
          p50: latency.p50,
          p90: latency.p50,
          p99: latency.p50,
          max: latency.p50,
        });
      }),
    );
  });

  it('every bucket is reached, in order, and what is out of range goes to the ends', () => {
    const buckets = Array.from({ length: 31 * 8 }, (_, step) => 2 ** (step / 8)).map((ns) =>
      histogram(ns).indexOf(1),
    );
    expect(buckets).toEqual(buckets.toSorted((a, b) => a - b));
    expect(histogram(-5).indexOf(1)).toBe(0);
    expect(histogram(1e15).indexOf(1)).toBe(histogram(2 ** 31 - 1).indexOf(1));
  });

  it('percentiles count samples from below', () => {
    const samples = Array.from({ length: 100 }, (_, index) =>
      index < 50 ? 1 : index < 90 ? 2 : index < 99 ? 3 : 4,
    );
    expect(latencyOf(histogram(...samples))).toEqual({ samples: 100, p50: 1, p90: 2, p99: 3, max: 4 });
  });

  it('tells what came since an earlier moment, and null when that is nothing', () => {
    const before = histogram(1, 1, 1);
    expect(latencyOf(histogram(1, 1, 1, 5, 6), before)).toMatchObject({ samples: 2, p50: 5, max: 6 });
    expect(latencyOf(before, before)).toBeNull();
    expect(latencyOf(histogram())).toBeNull();
  });
});
