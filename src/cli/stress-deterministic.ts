/** `smmulator stress FILE --deterministic`: one seed, many, or a recorded schedule, in one thread. */
import { readFile } from 'node:fs/promises';
import type { Machine } from '../machine/types.js';
import type { StressReport } from '../stress/report/report.js';
import { countText } from '../stress/report/units.js';
import type { DeterministicOptions, DeterministicReport } from '../stress/schedule/deterministic.js';
import { deterministicReport } from '../stress/schedule/deterministic-report.js';
import { minimise } from '../stress/schedule/minimise.js';
import { printScenario } from '../stress/schedule/scenario-file.js';
import {
  parseSchedule,
  printSchedule,
  type Schedule,
  ScheduleFormatError,
} from '../stress/schedule/schedule-file.js';
import { runSeeds, type SeedsProgress } from '../stress/schedule/seeds.js';
import { UsageError, unreadable } from './exit-status.js';
import { interruptible } from './interrupt.js';
import { ChangingLine } from './progress.js';
import { complain, counted } from './terminal.js';

export interface DeterministicArguments {
  readonly json: boolean;
  /** Seeds in a row. */
  readonly seeds?: number | undefined;
  readonly scenario?: string | undefined;
  readonly schedule?: string | undefined;
}

export interface OutputFile {
  readonly file: string;
  readonly text: string;
}

export interface Outcome {
  readonly report: StressReport;
  /** To be written after the report. */
  readonly files: readonly OutputFile[];
}

/** @throws UsageError when the file is none. */
export async function readSchedule(file: string): Promise<Schedule> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw unreadable(file, error);
  });
  try {
    return parseSchedule(text);
  } catch (error) {
    if (error instanceof ScheduleFormatError) throw new UsageError(`${file}: ${error.message}`);
    throw error;
  }
}

/** Of a failing run with a file to write, the shortest that fails alike is reported, and how to have it again. */
export async function deterministic(
  machine: Machine,
  options: DeterministicOptions,
  args: DeterministicArguments,
): Promise<Outcome> {
  const count = args.seeds ?? 1;
  const line = new ChangingLine(!args.json);
  const show = (progress: SeedsProgress) => line.show(progressLine(progress, count));
  return interruptible(async (signal) => {
    const { seeds, report, last } = await runSeeds(machine, options, count, signal, show);
    line.clear();
    const isFound = report.findings.length > 0;
    if (isFound && seeds > 1) complain(`seed ${last.options.seed} is the first of ${seeds} with a finding`);
    const isWanted = args.scenario !== undefined || args.schedule !== undefined;
    return isFound && isWanted
      ? await minimised(machine, last.options, last.report, args, signal)
      : { report, files: [] };
  });
}

async function minimised(
  machine: Machine,
  options: DeterministicOptions,
  first: DeterministicReport,
  args: DeterministicArguments,
  signal: AbortSignal,
): Promise<Outcome> {
  complain(`a finding after ${first.schedule.length} steps of the schedule: minimising`);
  const { report, runs } = await minimise(machine, options, first, undefined, signal);
  const early = signal.aborted ? ', interrupted' : '';
  complain(`minimised in ${runs} runs to ${report.schedule.length} steps${early}`);
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

function progressLine({ seeds, transactions }: SeedsProgress, count: number): string {
  return `  ${seeds} of ${counted(count, 'seed')}: ${countText(transactions)} transactions, no finding`;
}
