/**
 * `smmulator snapshot FILE SNAPSHOT`: runs a machine up to a moment and keeps it in a file.
 * `smmulator restore SNAPSHOT`: runs the rest, verifies and reports as `run` does.
 */
import { SnapshotError } from '../snapshot/error.js';
import { forMachine, readSnapshot, type Snapshot } from '../snapshot/snapshot-file.js';
import { restoreMachine, runWithSnapshot } from '../snapshot/snapshot-run.js';
import { FAILURE, UsageError } from './exit-status.js';
import { interruptible } from './interrupt.js';
import { loadRunnable } from './machine-file.js';
import { concluded, printReport, type RunArguments, watched } from './run.js';
import { sayTaken, snapshotOrder } from './snapshot-options.js';
import { complain, say } from './terminal.js';

export interface SnapshotArguments extends RunArguments {
  readonly snapshot: string;
  readonly at: string;
}

export async function takeSnapshot(args: SnapshotArguments): Promise<number> {
  const loaded = await loadRunnable(args);
  if (loaded === undefined) return FAILURE;
  const { machine } = loaded;
  const order = { ...snapshotOrder([args.at, args.snapshot], machine, args.caches), thenEnd: true };
  return await concluded(machine, args.json, async () => {
    const { report, snapshot } = await interruptible((signal) =>
      watched(machine, args.json, (onProgress) => {
        const lanes = args.lanes === undefined ? {} : { lanes: args.lanes };
        return runWithSnapshot(machine, order, { signal, ...lanes }, onProgress);
      }),
    );
    if (args.json)
      say(
        JSON.stringify(
          { machine: machine.name, ok: report.ok, failures: report.failures, snapshot },
          undefined,
          2,
        ),
      );
    else if (snapshot !== undefined) sayTaken(snapshot);
    else for (const failure of report.failures) complain(`smmulator: ${failure}`);
    return report;
  });
}

export interface RestoreArguments {
  readonly snapshot: string;
  readonly machine?: string | undefined;
  readonly global: readonly string[];
  readonly set: readonly string[];
  readonly json: boolean;
}

export async function restore(args: RestoreArguments): Promise<number> {
  if (args.machine === undefined && args.set.length + args.global.length > 0) {
    throw new UsageError('--set and --global change a machine file, which --machine names');
  }
  let snapshot = await sound(() => readSnapshot(args.snapshot));
  if (args.machine !== undefined) {
    const loaded = await loadRunnable({ ...args, file: args.machine });
    if (loaded === undefined) return FAILURE;
    const own = snapshot;
    snapshot = await sound(async () => forMachine(own, loaded.machine));
  }
  const { machine } = snapshot;
  return await concluded(machine, args.json, async () => {
    const report = await interruptible((signal) =>
      watched(machine, args.json, (onProgress) => restoreMachine(snapshot, { signal }, onProgress), 'dma'),
    );
    printReport(report, args.json, []);
    return report;
  });
}

/** What is wrong with a snapshot is the user's to know, as with any file. */
async function sound(work: () => Promise<Snapshot>): Promise<Snapshot> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SnapshotError) throw new UsageError(error.message);
    throw error;
  }
}
