/**
 * Many seeds of a deterministic run in a row (REQUIREMENTS H6), up to the first one with a finding. What is told of them
 * is one report: that of the seed with the finding, or the sum of all.
 */
import type { Machine } from '../../machine/types.js';
import { GuestMemory } from '../../memory/guest-memory.js';
import type { OperationReport, StressReport, TrafficCounters } from '../report/report.js';
import { type DeterministicOptions, type DeterministicReport, runInSlices } from './deterministic.js';
import { deterministicReport } from './deterministic-report.js';

export interface SeedsProgress {
  /** Seeds that are done. */
  readonly seeds: number;
  readonly transactions: number;
}

export interface SeedsOutcome {
  /** Seeds that were begun. */
  readonly seeds: number;
  readonly report: StressReport;
  /** The last run, with its options: the one with the finding, if there is one. */
  readonly last: { readonly options: DeterministicOptions; readonly report: DeterministicReport };
}

/**
 * @param options of the first seed; `count` of them follow each other.
 * @param signal ends the run early.
 */
export async function runSeeds(
  machine: Machine,
  options: DeterministicOptions,
  count: number,
  signal?: AbortSignal,
  onProgress?: (progress: SeedsProgress) => void,
): Promise<SeedsOutcome> {
  let memory = GuestMemory.create(machine.regions);
  let sum: StressReport | undefined;
  for (let seeds = 1; ; seeds++) {
    const own = { ...options, seed: options.seed + seeds - 1 };
    const last = await runInSlices(machine, { ...own, memory }, signal);
    const report = deterministicReport(machine, own, last);
    const total = sum === undefined ? report : added(sum, report);
    if (!report.ok || seeds === count) {
      const told = report.findings.length > 0 ? report : total;
      return { seeds, report: told, last: { options: own, report: last } };
    }
    sum = total;
    onProgress?.({ seeds, transactions: sum.smmus.reduce((all, { transactions }) => all + transactions, 0) });
    memory = memory.recycle(machine.regions);
  }
}

/** The sum of two reports of the same machine, without its findings: there are none. */
function added(one: StressReport, other: StressReport): StressReport {
  return {
    ...other,
    settings: { ...one.settings, seeds: one.settings.seeds + other.settings.seeds },
    smmus: one.smmus.map((smmu, i) => ({
      ...smmu,
      ...sums(smmu, other.smmus[i]!, ['commands', 'invalidations', 'events', ...TRAFFIC]),
    })),
    devices: one.devices.map((device, i) => ({
      ...device,
      ...sums(device, other.devices[i]!, ['bytes', 'aborts', 'events', 'checked', 'unjudged', ...TRAFFIC]),
    })),
    operations: addedOperations([...one.operations, ...other.operations]),
  };
}

const TRAFFIC = ['transactions', 'hits', 'misses', 'walks'] as const satisfies (keyof TrafficCounters)[];

function sums<Key extends string>(
  one: Readonly<Record<Key, number>>,
  other: Readonly<Record<Key, number>>,
  keys: readonly Key[],
): Record<Key, number> {
  return Object.fromEntries(keys.map((key) => [key, one[key] + other[key]])) as Record<Key, number>;
}

function addedOperations(all: readonly OperationReport[]): OperationReport[] {
  const byName = new Map<string, OperationReport>();
  for (const one of all) {
    const name = `${one.actor} ${one.operation}`;
    byName.set(name, { ...one, count: one.count + (byName.get(name)?.count ?? 0) });
  }
  return [...byName.values()];
}
