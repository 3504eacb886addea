/**
 * Looks at a running machine's counters every now and then and keeps what it saw, so much and no more: when there are
 * too many moments, every other one is dropped and the next ones come half as often. Counters are cumulative, so that
 * nothing but detail is lost.
 */
import {
  type Control,
  DEVICE_ACCESSES,
  DEVICE_HITS,
  DEVICE_MISSES,
  LATENCY_BUCKETS,
} from '../../runtime/shared/control.js';
import { latencyOf } from '../../runtime/shared/latency.js';
import type { TrafficSeries } from './report.js';

const MOMENTS_MAX = 240;
const FIRST_INTERVAL_MS = 100;

interface DeviceCounts {
  readonly transactions: number;
  readonly hits: number;
  readonly misses: number;
  readonly latencies: Int32Array;
}

interface Moment {
  readonly timeMs: number;
  readonly residentBytes: number;
  readonly devices: readonly DeviceCounts[];
}

export class Recorder {
  readonly #control: Control;
  readonly #began = performance.now();
  #moments: Moment[] = [];
  #intervalMs = FIRST_INTERVAL_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(control: Control) {
    this.#control = control;
    this.#look();
  }

  get elapsedMs(): number {
    return performance.now() - this.#began;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#look();
      this.start();
    }, this.#intervalMs);
  }

  /** One last look. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#look();
  }

  get timesMs(): number[] {
    return this.#moments.map(({ timeMs }) => Math.round(timeMs));
  }

  get residentBytes(): number[] {
    return this.#moments.map(({ residentBytes }) => residentBytes);
  }

  /** What some devices did together; an SMMU's traffic is that of the devices behind it. */
  seriesOf(devices: readonly number[]): TrafficSeries {
    const sums = this.#moments.map(({ devices: all }) => sumOf(devices.map((device) => all[device]!)));
    return {
      transactions: sums.map(({ transactions }) => transactions),
      hits: sums.map(({ hits }) => hits),
      misses: sums.map(({ misses }) => misses),
      latency: sums.map(({ latencies }, index) =>
        index === 0 ? null : latencyOf(latencies, sums[index - 1]!.latencies),
      ),
    };
  }

  #look(): void {
    const control = this.#control;
    const { devices, latencies } = control.offsets;
    this.#moments.push({
      timeMs: this.elapsedMs,
      residentBytes: process.memoryUsage.rss(),
      devices: devices.map((line, device) => ({
        transactions: control.statistic(line, DEVICE_ACCESSES),
        hits: control.statistic(line, DEVICE_HITS),
        misses: control.statistic(line, DEVICE_MISSES),
        latencies: control.words.slice(latencies[device]!, latencies[device]! + LATENCY_BUCKETS),
      })),
    });
    if (this.#moments.length <= MOMENTS_MAX) return;
    this.#moments = this.#moments.filter((_, index) => index % 2 === 0);
    this.#intervalMs *= 2;
  }
}

function sumOf(counts: readonly DeviceCounts[]): DeviceCounts {
  const sum = (key: 'transactions' | 'hits' | 'misses') =>
    counts.reduce((total, device) => total + device[key], 0);
  const latencies = new Int32Array(LATENCY_BUCKETS);
  for (const device of counts) {
    for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) latencies[bucket]! += device.latencies[bucket]!;
  }
  return { transactions: sum('transactions'), hits: sum('hits'), misses: sum('misses'), latencies };
}
