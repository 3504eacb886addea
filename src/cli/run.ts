/**
 * `smmulator run FILE`: starts a machine, drives its workload, verifies every byte and reports.
 */
import type { Diagnostic } from '../machine/diagnostics.js';
import type { Machine } from '../machine/types.js';
import type { RunProgress, RunReport } from '../runtime/report/report.js';
import { renderReport } from '../runtime/report/report-table.js';
import { runMachine } from '../runtime/run.js';
import { MachineFailure } from '../runtime/threads/supervisor.js';
import { SnapshotError } from '../snapshot/error.js';
import { runWithSnapshot, type SnapshotOrder, type TakenSnapshot } from '../snapshot/snapshot-run.js';
import { FAILURE, SUCCESS, UsageError } from './exit-status.js';
import { interruptible } from './interrupt.js';
import { loadRunnable } from './machine-file.js';
import type { MachineArguments } from './options.js';
import { ProgressPrinter } from './progress.js';
import { sayTaken, snapshotOrder } from './snapshot-options.js';
import { colours, complain, counted, say } from './terminal.js';

export function introduce({ name, smmus, devices, software, workload }: Machine): void {
  const counts = [
    counted(smmus.length, 'SMMU') + (smmus.length > 0 ? ` (${smmus.map(({ id }) => id).join(', ')})` : ''),
    counted(devices.length, 'device'),
    counted(software.length, 'programmed stream'),
    counted(workload.length, 'workload step'),
  ];
  say(`machine ${colours.bold(name)}: ${counts.join(', ')}`);
}

/** As JSON the report is one document, and the machine file's warnings are part of it. */
export function printReport(report: RunReport, json: boolean, diagnostics: readonly Diagnostic[]): void {
  if (json) say(JSON.stringify({ ...report, diagnostics }, undefined, 2));
  else say(`\n${renderReport(report)}`);
}

/** What is to be seen of a run while it goes: nothing where the output is one document. */
export async function watched<Result>(
  machine: Machine,
  json: boolean,
  work: (onProgress: (progress: RunProgress) => void) => Promise<Result>,
  first: RunProgress['phase'] = 'boot',
): Promise<Result> {
  if (json) return await work(() => {});
  introduce(machine);
  const printer = new ProgressPrinter(first);
  try {
    return await work((progress) => printer.show(progress));
  } finally {
    printer.clear();
  }
}

/** A run's exit status, and what to say where a thread of the machine died. */
export async function concluded(
  machine: Machine,
  json: boolean,
  run: () => Promise<RunReport>,
): Promise<number> {
  try {
    return (await run()).ok ? SUCCESS : FAILURE;
  } catch (error) {
    if (error instanceof SnapshotError) throw new UsageError(error.message);
    if (!(error instanceof MachineFailure)) throw error;
    if (json)
      say(JSON.stringify({ machine: machine.name, ok: false, failures: [error.message] }, undefined, 2));
    complain(`smmulator: ${error.message}`);
    return FAILURE;
  }
}

export interface RunArguments extends MachineArguments {
  readonly lanes?: number | undefined;
  /** When, and the file. */
  readonly snapshotAt?: readonly string[] | undefined;
  readonly caches?: NonNullable<SnapshotOrder['caches']>;
}

export async function run(args: RunArguments): Promise<number> {
  const loaded = await loadRunnable(args);
  if (loaded === undefined) return FAILURE;
  const { machine, diagnostics } = loaded;
  const order = args.snapshotAt && snapshotOrder(args.snapshotAt, machine, args.caches);
  return await concluded(machine, args.json, async () => {
    const { report, snapshot } = await interruptible((signal) =>
      watched(machine, args.json, (onProgress) => drive(machine, { ...args, order, signal }, onProgress)),
    );
    printReport(report, args.json, diagnostics);
    if (snapshot !== undefined && !args.json) sayTaken(snapshot);
    return report;
  });
}

async function drive(
  machine: Machine,
  args: RunArguments & { readonly order: SnapshotOrder | undefined; readonly signal: AbortSignal },
  onProgress: (progress: RunProgress) => void,
): Promise<{ readonly report: RunReport; readonly snapshot?: TakenSnapshot }> {
  const options = { signal: args.signal, ...(args.lanes === undefined ? {} : { lanes: args.lanes }) };
  if (args.order === undefined) return { report: await runMachine(machine, options, onProgress) };
  return await runWithSnapshot(machine, args.order, options, onProgress);
}
