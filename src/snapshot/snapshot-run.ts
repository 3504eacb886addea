/** Runs that leave a snapshot, and runs that begin with one. */
import type { Machine } from '../machine/types.js';
import { accessesOf, refuseAccelerated } from '../runtime/machine-state.js';
import type { RunProgress, RunReport } from '../runtime/report/report.js';
import { type PausePoint, type RunOptions, runMachine } from '../runtime/run.js';
import { type CacheChoice, StateError } from '../smmu/state.js';
import { SnapshotError } from './error.js';
import { forMachine, type Snapshot, writeSnapshot } from './snapshot-file.js';

export interface SnapshotOrder {
  readonly file: string;
  readonly at: PausePoint;
  /** Default: kept. */
  readonly caches?: CacheChoice;
  /** Default: false, the run goes on. */
  readonly thenEnd?: boolean;
}

/** What became of an order. */
export interface TakenSnapshot {
  readonly file: string;
  readonly bytes: number;
  /** Accesses of all devices up to then. */
  readonly accesses: number;
}

/**
 * Runs a machine's workload and takes a snapshot on the way: everything is brought to rest, written, and goes on or ends.
 * @returns the run's report; `snapshot` is absent when the workload ended before its moment, which is a failure of the run.
 * @throws SnapshotError when the file cannot be written or the machine not be kept, MachineFailure when a thread dies.
 */
export async function runWithSnapshot(
  machine: Machine,
  order: SnapshotOrder,
  options: RunOptions = {},
  onProgress: (progress: RunProgress) => void = () => {},
): Promise<{ readonly report: RunReport; readonly snapshot?: TakenSnapshot }> {
  const { file, at, caches = 'kept', thenEnd = false } = order;
  refuseUnkept(machine);
  const taken: TakenSnapshot[] = [];
  const report = await runMachine(
    machine,
    {
      ...options,
      pause: {
        at,
        caches,
        thenEnd,
        save: async (state, memory) => {
          const bytes = await writeSnapshot(file, machine, state, memory);
          taken.push({ file, bytes, accesses: accessesOf(state) });
        },
      },
    },
    onProgress,
  );
  return taken[0] === undefined ? { report } : { report, snapshot: taken[0] };
}

/**
 * Restores a machine and runs the rest of its workload, to its verification and report.
 * @param machine to restore into: realized anew, and the same in all that the snapshot depends on. Default: the snapshot's own.
 * @throws SnapshotError when the machine is another one; then nothing has been started.
 */
export async function restoreMachine(
  snapshot: Snapshot,
  options: RunOptions & { readonly machine?: Machine } = {},
  onProgress: (progress: RunProgress) => void = () => {},
): Promise<RunReport> {
  const { machine, ...rest } = options;
  const from = machine === undefined ? snapshot : forMachine(snapshot, machine);
  return await runMachine(from.machine, { ...rest, from }, onProgress);
}

/** Before anything is started: a machine that cannot be kept. */
function refuseUnkept(machine: Machine): void {
  try {
    refuseAccelerated(machine);
  } catch (error) {
    if (error instanceof StateError) throw new SnapshotError('unsupported', error.message);
    throw error;
  }
}
