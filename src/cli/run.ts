/**
 * `smmulator run FILE`: starts a machine, drives its workload, verifies every byte and reports.
 */
import type { Diagnostic } from '../machine/diagnostics.js';
import type { Machine } from '../machine/types.js';
import type { RunReport } from '../runtime/report.js';
import { renderReport } from '../runtime/report-table.js';
import { type RunOptions, runMachine } from '../runtime/run.js';
import { MachineFailure } from '../runtime/supervisor.js';
import { FAILURE, SUCCESS } from './exit-status.js';
import { interruptible } from './interrupt.js';
import { isSound, loadMachineFile, reportDiagnostics } from './machine-file.js';
import type { MachineArguments } from './options.js';
import { ProgressPrinter } from './progress.js';
import { colours, complain, counted, say } from './terminal.js';

function introduce({ name, smmus, devices, software, workload }: Machine): void {
  const counts = [
    `${counted(smmus.length, 'SMMU')} (${smmus.map(({ id }) => id).join(', ')})`,
    counted(devices.length, 'device'),
    counted(software.length, 'programmed stream'),
    counted(workload.length, 'workload step'),
  ];
  say(`machine ${colours.bold(name)}: ${counts.join(', ')}`);
}

/** As JSON the report is one document, and the machine file's warnings are part of it. */
function printReport(report: RunReport, json: boolean, diagnostics: readonly Diagnostic[]): void {
  if (json) say(JSON.stringify({ ...report, diagnostics }, undefined, 2));
  else say(`\n${renderReport(report)}`);
}

async function drive(machine: Machine, options: RunOptions, json: boolean): Promise<RunReport> {
  if (json) return await runMachine(machine, options);
  introduce(machine);
  const printer = new ProgressPrinter();
  try {
    return await runMachine(machine, options, (progress) => printer.show(progress));
  } finally {
    printer.clear();
  }
}

export interface RunArguments extends MachineArguments {
  readonly lanes?: number | undefined;
}

export async function run(args: RunArguments): Promise<number> {
  const loaded = await loadMachineFile(args);
  const { machine } = loaded;
  // A document on stdout is the run's alone, unless there is no run.
  if (!isSound(loaded) || !args.json) reportDiagnostics(loaded, args.json);
  if (machine === undefined) return FAILURE;
  const lanes = args.lanes === undefined ? {} : { lanes: args.lanes };
  try {
    const report = await interruptible((signal) => drive(machine, { signal, ...lanes }, args.json));
    printReport(report, args.json, loaded.diagnostics);
    return report.ok ? SUCCESS : FAILURE;
  } catch (error) {
    if (!(error instanceof MachineFailure)) throw error;
    if (args.json)
      say(JSON.stringify({ machine: machine.name, ok: false, failures: [error.message] }, undefined, 2));
    complain(`smmulator: ${error.message}`);
    return FAILURE;
  }
}
