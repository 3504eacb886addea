/** A stress report with everything that a page can show, made by hand. */
import type { DeviceStressReport, StressReport, TrafficSeries } from '../../src/stress/report/report.js';

const LATENCY = { samples: 100, p50: 120, p90: 400, p99: 2000, max: 90_000 };

/** `count` moments; nothing happens between the second and the third. */
export function series(count: number, rate: number): TrafficSeries {
  const at = (index: number) => rate * (index < 2 ? index : index - 1);
  const indices = Array.from({ length: count }, (_, index) => index);
  return {
    transactions: indices.map(at),
    hits: indices.map((index) => at(index) * 0.75),
    misses: indices.map((index) => at(index) * 0.25),
    latency: indices.map((index) => (index === 0 || index === 2 ? null : LATENCY)),
  };
}

export function device(id: string, rate: number, moments = 10): DeviceStressReport {
  return {
    ...{ id, smmu: 'smmu0', StreamID: '0x10', SEC_SID: 'non-secure', bytes: 640, aborts: 1, events: 1 },
    ...{ checked: 5, unjudged: 0 },
    ...{ transactions: rate * moments, hits: 3, misses: 1, walks: 1, latency: LATENCY },
    series: series(moments, rate),
  };
}

export function sampleReport(changes: Partial<StressReport> = {}): StressReport {
  return {
    machine: 'sample',
    ok: true,
    end: 'done',
    failure: null,
    settings: {
      ...{
        profile: 'everything',
        seed: 42,
        seeds: 1,
        mode: 'threads',
        threads: 2,
        limit: '10 s',
        checked: true,
      },
      mutation: null,
    },
    elapsedMs: 10_000,
    timesMs: Array.from({ length: 10 }, (_, index) => index * 1000),
    residentBytes: Array.from({ length: 10 }, () => 2 ** 28),
    smmus: [
      {
        ...{ id: 'smmu0', transactions: 1000, hits: 750, misses: 250, walks: 250, commands: 60, events: 1 },
        ...{ invalidations: 20, latency: LATENCY, series: series(10, 100) },
      },
    ],
    devices: [device('nic0', 100)],
    operations: [{ actor: 'smmu0/non-secure', operation: 'unmap', count: 17, latency: LATENCY }],
    findings: [],
    ...changes,
  };
}
