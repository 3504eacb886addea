/**
 * `smmulator stress FILE`: lets devices and software loose on a machine, judges what comes of it, and reports.
 */
import type { Machine } from '../machine/types.js';
import { MachineFailure } from '../runtime/supervisor.js';
import { runDeterministic } from '../stress/deterministic.js';
import { deterministicReport } from '../stress/deterministic-report.js';
import { minimise } from '../stress/minimise.js';
import type { MutationName } from '../stress/mutation-names.js';
import type { StressOptions, StressProgress } from '../stress/options.js';
import { UnfitMachine } from '../stress/plan.js';
import type { ProfileName } from '../stress/profiles.js';
import type { StressReport } from '../stress/report.js';
import { renderHtml } from '../stress/report-html.js';
import { renderTables } from '../stress/report-table.js';
import { printScenario } from '../stress/scenario-file.js';
import { printSchedule } from '../stress/schedule-file.js';
import { runThreaded } from '../stress/threads.js';
import { countText, durationText, percentText } from '../stress/units.js';
import { FAILURE, SUCCESS, USAGE, UsageError } from './exit-status.js';
import { interruptible } from './interrupt.js';
import { isSound, loadMachineFile, reportDiagnostics } from './machine-file.js';
import type { MachineArguments } from './options.js';
import { checkWritable, writeOutput } from './output-file.js';
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
  readonly scenario?: string | undefined;
  readonly schedule?: string | undefined;
  readonly check: boolean;
}

interface OutputFile {
  readonly file: string;
  readonly text: string;
}

interface Outcome {
  readonly report: StressReport;
  /** To be written after the report. */
  readonly files: readonly OutputFile[];
}

/** Options that have no meaning together. */
function refuseContradictions(args: StressArguments): void {
  const { deterministic, duration, operations, threads, scenario, schedule } = args;
  if (duration !== undefined && operations !== undefined) {
    throw new UsageError('--duration and --operations: one of them says how long it takes');
  }
  if (deterministic && duration !== undefined) {
    throw new UsageError('--deterministic knows no time: use --operations instead of --duration');
  }
  if (deterministic && threads !== undefined) throw new UsageError('--deterministic has no --threads');
  if (!deterministic && (scenario !== undefined || schedule !== undefined)) {
    throw new UsageError('--scenario and --schedule come from a run with --deterministic');
  }
}

export async function stress(args: StressArguments): Promise<number> {
  refuseContradictions(args);
  const loaded = await loadMachineFile(args);
  const { machine } = loaded;
  if (!isSound(loaded) || !args.json) reportDiagnostics(loaded, args.json);
  if (machine === undefined) return FAILURE;
  for (const file of [args.report, args.scenario, args.schedule]) {
    if (file !== undefined) await checkWritable(file);
  }
  if (!args.json) introduce(machine, args);
  const outcome = await conduct(machine, args);
  if (outcome === undefined) return FAILURE;
  const { report, files } = outcome;
  if (args.json) say(JSON.stringify({ ...report, diagnostics: loaded.diagnostics }, undefined, 2));
  else say(`\n${renderTables(report)}`);
  let areWritten = true;
  if (args.report !== undefined) areWritten = await writeOutput(args.report, renderHtml(report));
  for (const { file, text } of files) areWritten = (await writeOutput(file, text)) && areWritten;
  if (!report.ok) return FAILURE;
  return areWritten ? SUCCESS : USAGE;
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
async function conduct(machine: Machine, args: StressArguments): Promise<Outcome | undefined> {
  try {
    return args.deterministic
      ? deterministic(machine, args)
      : { report: await threaded(machine, args), files: [] };
  } catch (error) {
    if (error instanceof UnfitMachine) throw new UsageError(`${args.file}: ${error.message}`);
    if (!(error instanceof MachineFailure)) throw error;
    if (args.json)
      say(JSON.stringify({ machine: machine.name, ok: false, failure: error.message }, undefined, 2));
    complain(`smmulator: ${error.message}`);
    return undefined;
  }
}

/** Of a failing run with a file to write, the shortest that fails alike is reported, and how to have it again. */
function deterministic(machine: Machine, args: StressArguments): Outcome {
  const options = { ...optionsOf(args), operations: args.operations ?? DEFAULT_OPERATIONS };
  const first = runDeterministic(machine, options);
  const isWanted = args.scenario !== undefined || args.schedule !== undefined;
  if (first.findings.length === 0 || !isWanted) {
    return { report: deterministicReport(machine, options, first), files: [] };
  }
  const { report, runs } = minimise(machine, options, first);
  complain(
    `minimised in ${runs} runs: ${first.schedule.length} steps of the schedule to ${report.schedule.length}`,
  );
  const files: OutputFile[] = [];
  if (args.schedule !== undefined) files.push({ file: args.schedule, text: printSchedule(options, report) });
  if (args.scenario !== undefined) {
    const scenario = printScenario(machine, options, report);
    if (scenario === undefined) complain(`${args.scenario}: no scenario: the finding is not about an access`);
    else {
      files.push({ file: args.scenario, text: scenario.text });
      if (!scenario.reproduces)
        complain(`${args.scenario}: replay will pass: it takes the fault, or the race, to fail`);
    }
  }
  return { report: deterministicReport(machine, options, report), files };
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
