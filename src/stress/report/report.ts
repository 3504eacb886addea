/**
 * What a stress run tells: plain data, as `stress --json` prints it, and from which the terminal's tables and the HTML page
 * are made. Counters of a series are cumulative, one value for each moment of `timesMs`; rates are their differences.
 */
import type { Latency } from '../../runtime/shared/latency.js';
import type { Finding } from '../checker/finding.js';

/** What was asked for: with the machine file, enough to ask for it again. */
export interface StressSettings {
  readonly profile: string;
  readonly seed: number;
  /** Runs in a row that the report is the sum of, each with the next seed. */
  readonly seeds: number;
  readonly mode: 'threads' | 'deterministic';
  /** DMA threads; 1 where everything runs in one thread. */
  readonly threads: number;
  /** `10 s`, `1000000 operations`. */
  readonly limit: string;
  readonly checked: boolean;
  readonly mutation: string | null;
}

export interface TrafficCounters {
  readonly transactions: number;
  readonly hits: number;
  readonly misses: number;
  readonly walks: number;
}

/** Cumulative counters at each moment, and the latency of what came since the moment before. */
export interface TrafficSeries {
  readonly transactions: readonly number[];
  readonly hits: readonly number[];
  readonly misses: readonly number[];
  /** Null where nothing was measured in between. */
  readonly latency: readonly (Latency | null)[];
}

export interface SmmuStressReport extends TrafficCounters {
  readonly id: string;
  readonly commands: number;
  /** CMD_CFGI_*, CMD_TLBI_* and CMD_ATC_INV that its software sent. */
  readonly invalidations: number;
  readonly events: number;
  readonly latency: Latency | null;
  readonly series: TrafficSeries;
}

export interface DeviceStressReport extends TrafficCounters {
  readonly id: string;
  readonly smmu: string;
  readonly StreamID: string;
  readonly SEC_SID: string;
  readonly bytes: number;
  readonly aborts: number;
  readonly events: number;
  /** Accesses that the checker judged, and those that it could not: too much had changed meanwhile. */
  readonly checked: number;
  readonly unjudged: number;
  readonly latency: Latency | null;
  readonly series: TrafficSeries;
}

/** One kind of work that the software did: `map`, `unmap`, `swap CD`. */
export interface OperationReport {
  /** Of which interface: `smmu0/non-secure`. */
  readonly actor: string;
  readonly operation: string;
  readonly count: number;
  readonly latency: Latency | null;
}

export interface StressReport {
  readonly machine: string;
  /** No finding, and nothing of ours failed. */
  readonly ok: boolean;
  readonly end: 'done' | 'interrupted' | 'failed';
  /** Which thread died or hung, and its state then. */
  readonly failure: string | null;
  readonly settings: StressSettings;
  /** Null in deterministic mode, which knows no time and has no series. */
  readonly elapsedMs: number | null;
  /** Moments of the series, from the start of the load. */
  readonly timesMs: readonly number[];
  /** Resident memory of the process at those moments. */
  readonly residentBytes: readonly number[];
  readonly smmus: readonly SmmuStressReport[];
  readonly devices: readonly DeviceStressReport[];
  readonly operations: readonly OperationReport[];
  readonly findings: readonly Finding[];
}
