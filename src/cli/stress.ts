/**
 * `smmulator stress FILE`: lets devices and software loose on a machine, judges what comes of it, and reports.
 */
import { open, writeFile } from 'node:fs/promises';
import type { Machine } from '../machine/types.js';
import { MachineFailure } from '../runtime/supervisor.js';
import { runDeterministic } from '../stress/deterministic.js';
import { deterministicReport } from '../stress/deterministic-report.js';
import type { MutationName } from '../stress/mutation-names.js';
import type { StressOptions, StressProgress } from '../stress/options.js';
import { UnfitMachine } from '../stress/plan.js';
import type { ProfileName } from '../stress/profiles.js';
import type { StressReport } from '../stress/report.js';
import { renderHtml } from '../stress/report-html.js';
import { renderTables } from '../stress/report-table.js';
import { runThreaded } from '../stress/threads.js';
import { countText, durationText, percentText } from '../stress/units.js';
import { FAILURE, fileProblem, SUCCESS, USAGE, UsageError } from './exit-status.js';
import { interruptible } from './interrupt.js';
import { isSound, loadMachineFile, reportDiagnostics } from './machine-file.js';
import type { MachineArguments } from './options.js';
import { ChangingLine } from './progress.js';
import { colours, complain, counted, say } from './terminal.js';

const DEFAULT_DURATION_MS = 10_000;
const DEFAULT_OPERATIONS = 10_000;

export interface StressArguments extends MachineArguments {
  readonly duration?: number | undefined;
  readonly operations?: number | undefined;
  readonly seed: number;
  readonly threads?: number | undefined;
  readonly profile: ProfileName;
  readonly report?: string | undefined;
  readonly mutate?: MutationName | undefined;
  readonly deterministic: boolean;
  readonly check: boolean;
}

/** Options that have no meaning together. */
function refuseContradictions({ deterministic, duration, operations, threads }: StressArguments): void {
  if (duration !== undefined && operations !== undefined) {
    throw new UsageError('--duration and --operations: one of them says how long it takes');
  }
  if (deterministic && duration !== undefined) {
    throw new UsageError('--deterministic knows no time: use --operations instead of --duration');
  }
  if (deterministic && threads !== undefined) throw new UsageError('--deterministic has no --threads');
}

export async function stress(args: StressArguments): Promise<number> {
  refuseContradictions(args);
  const loaded = await loadMachineFile(args);
  const { machine } = loaded;
  if (!isSound(loaded) || !args.json) reportDiagnostics(loaded, args.json);
  if (machine === undefined) return FAILURE;
  if (args.report !== undefined) await checkWritable(args.report);
  if (!args.json) introduce(machine, args);
  const report = await conduct(machine, args);
  if (report === undefined) return FAILURE;
  if (args.json) say(JSON.stringify({ ...report, diagnostics: loaded.diagnostics }, undefined, 2));
  else say(`\n${renderTables(report)}`);
  const isWritten = args.report === undefined || (await write(args.report, renderHtml(report)));
  if (!report.ok) return FAILURE;
  return isWritten ? SUCCESS : USAGE;
}

function optionsOf({ seed, profile, check, mutate }: StressArguments): StressOptions {
  return { seed, profile, check, ...(mutate === undefined ? {} : { mutate }) };
}

function introduce({ name, smmus }: Machine, args: StressArguments): void {
  const devices = counted(smmus.length, 'SMMU');
  const what = [
    ...[devices, `profile ${args.profile}`, `seed ${args.seed}`],
    ...(args.mutate === undefined ? [] : [`mutation ${args.mutate}`]),
    ...(args.check ? [] : ['not checked']),
  ];
  say(`machine ${colours.bold(name)}: ${what.join(', ')}`);
}

/** @returns undefined when the machine did not even start, which is told then. */
async function conduct(machine: Machine, args: StressArguments): Promise<StressReport | undefined> {
  try {
    return args.deterministic ? deterministic(machine, args) : await threaded(machine, args);
  } catch (error) {
    if (error instanceof UnfitMachine) throw new UsageError(`${args.file}: ${error.message}`);
    if (!(error instanceof MachineFailure)) throw error;
    if (args.json)
      say(JSON.stringify({ machine: machine.name, ok: false, failure: error.message }, undefined, 2));
    complain(`smmulator: ${error.message}`);
    return undefined;
  }
}

function deterministic(machine: Machine, args: StressArguments): StressReport {
  const options = { ...optionsOf(args), operations: args.operations ?? DEFAULT_OPERATIONS };
  return deterministicReport(machine, options, runDeterministic(machine, options));
}

async function threaded(machine: Machine, args: StressArguments): Promise<StressReport> {
  const line = new ChangingLine(!args.json);
  try {
    return await interruptible((signal) =>
      runThreaded(machine, {
        ...optionsOf(args),
        signal,
        durationMs: args.duration ?? DEFAULT_DURATION_MS,
        ...(args.operations === undefined ? {} : { operations: args.operations }),
        ...(args.threads === undefined ? {} : { lanes: args.threads }),
        onProgress: (progress) => line.show(progressLine(progress)),
      }),
    );
  } finally {
    line.clear();
  }
}

function progressLine(progress: StressProgress): string {
  const { elapsedMs, transactions, hits, misses, invalidations, findings } = progress;
  const rate = countText((transactions * 1000) / elapsedMs);
  const share = hits + misses === 0 ? '-' : percentText(hits / (hits + misses));
  return `  ${durationText(elapsedMs)}: ${countText(transactions)} transactions (${rate}/s), ${share} hits, ${countText(invalidations)} invalidations, ${counted(findings, 'finding')}`;
}

/** A report that cannot be written is known before the run, not after an hour of it. */
async function checkWritable(file: string): Promise<void> {
  try {
    await (await open(file, 'a')).close();
  } catch (error) {
    throw new UsageError(`${file}: ${fileProblem(error)}`);
  }
}

/** @returns whether that went well; a full disk must not take the rest of the report with it. */
async function write(file: string, text: string): Promise<boolean> {
  try {
    await writeFile(file, text);
    return true;
  } catch (error) {
    complain(`smmulator: ${file}: the report could not be written: ${fileProblem(error)}`);
    return false;
  }
}
