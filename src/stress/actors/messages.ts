/** What the threads of a stress run are given, and what they post while they work. Plain cloneable data. */
import type { SharedMachine } from '../../runtime/shared/shared-machine.js';
import type { Finding } from '../checker/finding.js';
import type { StressOptions } from '../options.js';
import type { StressPlan } from '../plan.js';
import type { SoftwareStatistics, StreamStatistics } from './actor.js';

/** What every thread of a stress run works from. */
export interface StressShare {
  readonly shared: SharedMachine;
  readonly plan: StressPlan;
  /** Memory of the ledger. */
  readonly ledger: SharedArrayBuffer;
  /** Memory of the device findings that the software is to explain: inbox.ts. */
  readonly inbox: SharedArrayBuffer;
  readonly options: StressOptions;
}

export interface LaneShare extends StressShare {
  readonly lane: number;
  /** Indices into StressPlan.streams. */
  readonly streams: readonly number[];
  /** Accesses of each stream, after which it comes to rest. */
  readonly accesses: number;
}

export interface SoftwareShare extends StressShare {
  /** Of the software threads. */
  readonly index: number;
  /** Indices into StressPlan.interfaces. */
  readonly interfaces: readonly number[];
}

export interface StreamMessage {
  readonly type: 'stream';
  readonly stream: number;
  readonly statistics: StreamStatistics;
}

export interface SoftwareMessage {
  readonly type: 'software';
  readonly interface: number;
  readonly statistics: SoftwareStatistics;
  /** Latency histograms by operation. */
  readonly latencies: Readonly<Record<string, Int32Array>>;
}

export type StressMessage =
  /** A software thread has programmed its interfaces. */
  | { readonly type: 'booted'; readonly index: number }
  | { readonly type: 'finding'; readonly finding: Finding /** A device's. */; readonly stream?: number }
  /** The software has added its story to a finding. */
  | { readonly type: 'explained'; readonly index: number; readonly finding: Finding }
  | StreamMessage
  | SoftwareMessage;

/** Findings of one actor that are told; after the first the run ends, and what follows is its consequence. */
export const FINDINGS_MAX = 20;
