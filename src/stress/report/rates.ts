/** From cumulative counters to what a plot shows: rates and shares of the time between two moments. */
import type { Latency } from '../../runtime/shared/latency.js';
import type { DeviceStressReport, TrafficSeries } from './report.js';

/** Per second; nothing is known of the first moment. */
export function perSecond(timesMs: readonly number[], counts: readonly number[]): (number | null)[] {
  return timesMs.map((time, index) => {
    if (index === 0 || time <= timesMs[index - 1]!) return null;
    return ((counts[index]! - counts[index - 1]!) * 1000) / (time - timesMs[index - 1]!);
  });
}

/** Hits of all lookups; null where there was none. */
export function hitShares({ hits, misses }: TrafficSeries): (number | null)[] {
  return hits.map((count, index) => {
    if (index === 0) return null;
    const hit = count - hits[index - 1]!;
    const miss = misses[index]! - misses[index - 1]!;
    return hit + miss === 0 ? null : hit / (hit + miss);
  });
}

export function percentiles(series: TrafficSeries, key: keyof Latency): (number | null)[] {
  return series.latency.map((latency) => (latency === null ? null : latency[key]));
}

/** What is drawn as one line: a device, or all that are left over. */
export interface Drawn {
  readonly name: string;
  readonly series: TrafficSeries;
}

/** At most `most` lines: the devices with the most transactions, and the sum of the others. */
export function drawnDevices(devices: readonly DeviceStressReport[], most: number): Drawn[] {
  const own = devices.map(({ id, series }) => ({ name: id, series }));
  if (devices.length <= most) return own;
  const busiest = new Set(
    devices
      .toSorted((a, b) => b.transactions - a.transactions)
      .slice(0, most - 1)
      .map(({ id }) => id),
  );
  const others = devices.filter(({ id }) => !busiest.has(id)).map(({ series }) => series);
  const sum = (key: 'transactions' | 'hits' | 'misses') =>
    others[0]![key].map((_, index) => others.reduce((total, series) => total + series[key][index]!, 0));
  const rest = {
    transactions: sum('transactions'),
    hits: sum('hits'),
    misses: sum('misses'),
    latency: others[0]!.latency.map(() => null),
  };
  return [...own.filter(({ name }) => busiest.has(name)), { name: `${others.length} others`, series: rest }];
}
