/** The report of a deterministic stress run: without time, and so the same for the same run. */
import { SECURITY_NAMES } from '../../arch/security.js';
import type { Machine } from '../../machine/types.js';
import { hex } from '../../runtime/report/expected-events.js';
import type { TbuCounters } from '../../smmu/tbu/tbu-state.js';
import type { StressOutcome } from '../outcome.js';
import { planStress } from '../plan.js';
import type {
  DeviceStressReport,
  SmmuStressReport,
  StressReport,
  TrafficCounters,
} from '../report/report.js';
import type { DeterministicOptions, DeterministicReport } from './deterministic.js';

const NO_SERIES = { transactions: [], hits: [], misses: [], latency: [] };

export function deterministicReport(
  machine: Machine,
  options: DeterministicOptions,
  outcome: DeterministicReport,
): StressReport {
  const { profile, seed, check, mutate, operations } = options;
  return {
    machine: machine.name,
    ok: outcome.findings.length === 0 && outcome.end === 'done',
    end: outcome.end,
    failure: null,
    settings: {
      ...{ profile, seed, seeds: 1, mode: 'deterministic', threads: 1, limit: `${operations} operations` },
      ...{ checked: check, mutation: mutate ?? null },
    },
    elapsedMs: null,
    timesMs: [],
    residentBytes: [],
    smmus: outcome.smmus.map(smmuReport),
    devices: deviceReports(machine, seed, outcome),
    operations: outcome.software.flatMap(({ name, operations }) =>
      Object.entries(operations).map(([operation, count]) => ({
        actor: name,
        operation,
        count,
        latency: null,
      })),
    ),
    findings: outcome.findings,
  };
}

function smmuReport({
  name,
  commands,
  invalidations,
  events,
  tbus,
}: StressOutcome['smmus'][number]): SmmuStressReport {
  return { id: name, ...sumOf(tbus), commands, invalidations, events, latency: null, series: NO_SERIES };
}

function deviceReports(machine: Machine, seed: number, outcome: StressOutcome): DeviceStressReport[] {
  const { streams, interfaces } = planStress(machine, seed);
  return streams.map((stream, index) => {
    const { smmu } = interfaces[stream.interface]!;
    const { id, StreamID, SEC_SID } = machine.devices[stream.device]!;
    const { accesses, bytes, aborts, checked, unjudged, traffic } = outcome.streams[index]!;
    return {
      ...{ id, smmu: machine.smmus[smmu]!.id, StreamID: hex(StreamID), SEC_SID: SECURITY_NAMES[SEC_SID] },
      ...traffic,
      ...{ transactions: accesses, bytes, aborts, checked, unjudged },
      latency: null,
      series: NO_SERIES,
    };
  });
}

function sumOf(tbus: readonly TbuCounters[]): TrafficCounters {
  const sum = (key: keyof TrafficCounters) => tbus.reduce((total, tbu) => total + tbu[key], 0);
  return { transactions: sum('transactions'), hits: sum('hits'), misses: sum('misses'), walks: sum('walks') };
}
