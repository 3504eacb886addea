/** The report of a threaded stress run, from what its threads published and posted until its end. */
import { SECURITY_NAMES } from '../../arch/security.js';
import type { RunningMachine } from '../../runtime/coordinator.js';
import { hex } from '../../runtime/report/expected-events.js';
import {
  DEVICE_ABORTS,
  DEVICE_ACCESSES,
  DEVICE_BYTES,
  DEVICE_EVENTS,
  DEVICE_HITS,
  DEVICE_MISSES,
  DEVICE_WALKS,
  LATENCY_BUCKETS,
  TBU_HITS,
  TBU_MISSES,
  TBU_TRANSACTIONS,
  TBU_WALKS,
  TCU_COMMANDS,
  TCU_EVENTS,
  TCU_INVALIDATIONS,
} from '../../runtime/shared/control.js';
import { latencyOf } from '../../runtime/shared/latency.js';
import { noStreamStatistics } from '../actors/actor.js';
import type { SoftwareMessage, StreamMessage } from '../actors/messages.js';
import type { Finding } from '../checker/finding.js';
import type { ThreadedOptions } from '../options.js';
import type { StressPlan } from '../plan.js';
import type { Recorder } from './recorder.js';
import type {
  DeviceStressReport,
  OperationReport,
  SmmuStressReport,
  StressReport,
  StressSettings,
} from './report.js';
import { durationText } from './units.js';

export type Ending = Pick<StressReport, 'end' | 'failure'>;

/** What the threads posted last, by stream and by interface. */
export interface Posted {
  readonly streams: Map<number, StreamMessage>;
  readonly software: Map<number, SoftwareMessage>;
}

export interface ThreadedResult {
  readonly running: RunningMachine;
  readonly plan: StressPlan;
  /** DMA threads. */
  readonly lanes: number;
  readonly options: ThreadedOptions;
  readonly ending: Ending;
  readonly recorder: Recorder;
  readonly posted: Posted;
  readonly findings: readonly Finding[];
}

export function threadedReport(result: ThreadedResult): StressReport {
  const { running, ending, recorder, findings } = result;
  const { machine } = running;
  return {
    machine: machine.name,
    ok: findings.length === 0 && ending.end === 'done',
    ...ending,
    settings: settingsOf(result),
    elapsedMs: recorder.timesMs.at(-1)!,
    timesMs: recorder.timesMs,
    residentBytes: recorder.residentBytes,
    smmus: machine.smmus.map((_, smmu) => smmuReport(result, smmu)),
    devices: result.plan.streams.map((_, stream) => deviceReport(result, stream)),
    operations: result.plan.interfaces.flatMap((_, index) => operationReports(result, index)),
    findings,
  };
}

function settingsOf({ options, lanes }: ThreadedResult): StressSettings {
  const { profile, seed, check, mutate, operations, durationMs } = options;
  return {
    ...{ profile, seed, seeds: 1, mode: 'threads', threads: lanes },
    limit: operations === undefined ? durationText(durationMs) : `${operations} accesses`,
    checked: check,
    mutation: mutate ?? null,
  };
}

function smmuReport({ running, plan, recorder }: ThreadedResult, smmu: number): SmmuStressReport {
  const { control } = running.view;
  const at = control.offsets.smmus[smmu]!;
  const sum = (index: number) =>
    at.slots.reduce((total, { statistics }) => total + control.statistic(statistics, index), 0);
  const devices = plan.streams
    .filter((stream) => plan.interfaces[stream.interface]!.smmu === smmu)
    .map(({ device }) => device);
  const latencies = new Int32Array(LATENCY_BUCKETS);
  for (const device of devices) {
    for (const [bucket, count] of latencyCounts(running, device).entries()) latencies[bucket]! += count;
  }
  return {
    id: running.machine.smmus[smmu]!.id,
    transactions: sum(TBU_TRANSACTIONS),
    hits: sum(TBU_HITS),
    misses: sum(TBU_MISSES),
    walks: sum(TBU_WALKS),
    commands: control.statistic(at.statistics, TCU_COMMANDS),
    invalidations: control.statistic(at.statistics, TCU_INVALIDATIONS),
    events: control.statistic(at.statistics, TCU_EVENTS),
    latency: latencyOf(latencies),
    series: recorder.seriesOf(devices),
  };
}

function deviceReport(
  { running, plan, recorder, posted }: ThreadedResult,
  index: number,
): DeviceStressReport {
  const { device } = plan.streams[index]!;
  const { id, smmu, StreamID, SEC_SID } = running.machine.devices[device]!;
  const { control } = running.view;
  const value = (key: number) => control.statistic(control.offsets.devices[device]!, key);
  const { checked, unjudged } = posted.streams.get(index)?.statistics ?? noStreamStatistics();
  return {
    id,
    smmu: running.machine.smmus[smmu]!.id,
    StreamID: hex(StreamID),
    SEC_SID: SECURITY_NAMES[SEC_SID],
    transactions: value(DEVICE_ACCESSES),
    bytes: value(DEVICE_BYTES),
    aborts: value(DEVICE_ABORTS),
    hits: value(DEVICE_HITS),
    misses: value(DEVICE_MISSES),
    walks: value(DEVICE_WALKS),
    events: value(DEVICE_EVENTS),
    checked,
    unjudged,
    latency: latencyOf(latencyCounts(running, device)),
    series: recorder.seriesOf([device]),
  };
}

function operationReports({ plan, posted }: ThreadedResult, index: number): OperationReport[] {
  const last = posted.software.get(index);
  if (last === undefined) return [];
  const counts = Object.entries(last.statistics.operations).toSorted(([, a], [, b]) => b - a);
  return counts.map(([operation, count]) => ({
    actor: plan.interfaces[index]!.name,
    operation,
    count,
    latency: latencyOf(last.latencies[operation] ?? new Int32Array(LATENCY_BUCKETS)),
  }));
}

function latencyCounts({ view }: RunningMachine, device: number): Int32Array {
  const at = view.control.offsets.latencies[device]!;
  return view.control.words.subarray(at, at + LATENCY_BUCKETS);
}
