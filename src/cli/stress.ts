/**
 * `smmulator stress FILE`: lets devices and software loose on a machine, judges what comes of it, and reports.
 */
import type { Machine } from '../machine/types.js';
import { MachineFailure } from '../runtime/threads/supervisor.js';
import type { MutationName } from '../stress/mutations/mutation-names.js';
import type { StressOptions, StressProgress } from '../stress/options.js';
import { UnfitMachine } from '../stress/plan.js';
import type { ProfileName } from '../stress/profiles.js';
import type { StressReport } from '../stress/report/report.js';
import { renderHtml } from '../stress/report/report-html.js';
import { renderTables } from '../stress/report/report-table.js';
import { countText, durationText, percentText } from '../stress/report/units.js';
import type { DeterministicOptions } from '../stress/schedule/deterministic.js';
import { runThreaded } from '../stress/threads.js';
import { FAILURE, SUCCESS, USAGE, UsageError } from './exit-status.js';
import { interruptible } from './interrupt.js';
import { loadRunnable } from './machine-file.js';
import type { MachineArguments } from './options.js';
import { checkWritable, writeOutput } from './output-file.js';
import { ChangingLine } from './progress.js';
import {
  type DeterministicArguments,
  deterministic,
  type Outcome,
  readSchedule,
} from './stress-deterministic.js';
import { anySeed, DEFAULT_PROFILE, SEEDS } from './stress-options.js';
import { colours, complain, counted, say } from './terminal.js';

const DEFAULT_DURATION_MS = 10_000;
const DEFAULT_OPERATIONS = 10_000;

export interface StressArguments extends MachineArguments, DeterministicArguments {
  readonly duration?: number | undefined;
  readonly operations?: number | undefined;
  readonly seed?: number | undefined;
  readonly threads?: number | undefined;
  readonly profile?: ProfileName | undefined;
  readonly report?: string | undefined;
  readonly mutate?: MutationName | undefined;
  readonly deterministic: boolean;
  readonly replaySchedule?: string | undefined;
  readonly check: boolean;
}

/** What the run is, wherever that was said. */
interface Settings {
  readonly options: StressOptions;
  /** Undefined: in threads. */
  readonly deterministic: DeterministicOptions | undefined;
}

/** Options that have no meaning together. */
function refuseContradictions(args: StressArguments): void {
  const { deterministic: isDeterministic, duration, operations, threads } = args;
  const { seed, seeds, profile, mutate, check, scenario, schedule, replaySchedule } = args;
  const deterministic = isDeterministic || replaySchedule !== undefined;
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
  if (!deterministic && seeds !== undefined) throw new UsageError('--seeds are of runs with --deterministic');
  if (seed !== undefined && seed + (seeds ?? 1) > SEEDS)
    throw new UsageError(`--seeds: there are only ${SEEDS}`);
  const isSaid = [seed, seeds, profile, mutate, operations].some((option) => option !== undefined) || !check;
  if (replaySchedule !== undefined && isSaid) {
    throw new UsageError(
      '--replay-schedule: the file says it all: no --seed, --seeds, --profile, --mutate, --operations or --no-check',
    );
  }
}

export async function stress(args: StressArguments): Promise<number> {
  refuseContradictions(args);
  const loaded = await loadRunnable(args);
  if (loaded === undefined) return FAILURE;
  const { machine, diagnostics } = loaded;
  const settings = await settingsOf(machine, args);
  for (const file of [args.report, args.scenario, args.schedule]) {
    if (file !== undefined) await checkWritable(file);
  }
  if (!args.json) introduce(machine, settings.options);
  const outcome = await conduct(machine, settings, args);
  if (outcome === undefined) return FAILURE;
  const { report, files } = outcome;
  if (args.json) say(JSON.stringify({ ...report, diagnostics }, undefined, 2));
  else say(`\n${renderTables(report)}`);
  let areWritten = true;
  if (args.report !== undefined) areWritten = await writeOutput(args.report, renderHtml(report));
  for (const { file, text } of files) areWritten = (await writeOutput(file, text)) && areWritten;
  if (!report.ok) return FAILURE;
  return areWritten ? SUCCESS : USAGE;
}

async function settingsOf(machine: Machine, args: StressArguments): Promise<Settings> {
  const {
    seed = anySeed(args.seeds),
    profile = DEFAULT_PROFILE,
    check,
    mutate,
    operations,
    replaySchedule,
  } = args;
  if (args.scenario !== undefined && machine.smmus.some(({ accel }) => accel !== undefined))
    throw new UsageError(`${args.file}: a scenario has no host above an SMMU: write a --schedule`);
  if (replaySchedule !== undefined) {
    const { machine: recorded, options } = await readSchedule(replaySchedule);
    if (recorded !== machine.name)
      throw new UsageError(`${replaySchedule}: of the machine ${recorded}, not of ${machine.name}`);
    return { options, deterministic: options };
  }
  const options = { seed, profile, check, ...(mutate === undefined ? {} : { mutate }) };
  const deterministic = { ...options, operations: operations ?? DEFAULT_OPERATIONS };
  return { options, deterministic: args.deterministic ? deterministic : undefined };
}

function introduce({ name, smmus }: Machine, { profile, seed, mutate, check }: StressOptions): void {
  const devices = counted(smmus.length, 'SMMU');
  const what = [
    ...[devices, `profile ${profile}`, `seed ${seed}`],
    ...(mutate === undefined ? [] : [`mutation ${mutate}`]),
    ...(check ? [] : ['not checked']),
  ];
  say(`machine ${colours.bold(name)}: ${what.join(', ')}`);
}

/** @returns undefined when the machine did not even start, which is told then. */
async function conduct(
  machine: Machine,
  { options, deterministic: scheduled }: Settings,
  args: StressArguments,
): Promise<Outcome | undefined> {
  try {
    return scheduled === undefined
      ? { report: await threaded(machine, options, args), files: [] }
      : await deterministic(machine, scheduled, args);
  } catch (error) {
    if (error instanceof UnfitMachine) throw new UsageError(`${args.file}: ${error.message}`);
    if (!(error instanceof MachineFailure)) throw error;
    if (args.json)
      say(JSON.stringify({ machine: machine.name, ok: false, failure: error.message }, undefined, 2));
    complain(`smmulator: ${error.message}`);
    return undefined;
  }
}

async function threaded(
  machine: Machine,
  options: StressOptions,
  args: StressArguments,
): Promise<StressReport> {
  const line = new ChangingLine(!args.json);
  try {
    return await interruptible((signal) =>
      runThreaded(machine, {
        ...options,
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
