/**
 * `smmulator replay FILES...`: plays scenario files and recorded traces, and prints the first difference of each.
 */
import type { CacheSettings } from '../scenario/caches.js';
import { ScenarioFileError } from '../scenario/files.js';
import { MemoryPool } from '../scenario/memory.js';
import type { Difference } from '../scenario/replay.js';
import { replayFile, type ScenarioResult } from '../scenario/run-file.js';
import { FAILURE, SUCCESS, USAGE } from './exit-status.js';
import { cacheSettings } from './options.js';
import { colours, complain, counted, say } from './terminal.js';

export interface ReplayArguments extends Required<CacheSettings> {
  readonly files: readonly string[];
  readonly verbose: boolean;
  readonly json: boolean;
}

interface Report {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly scenarios: readonly ScenarioResult[];
  /** Files that could not be read to their end, one message each. */
  readonly unreadable: readonly string[];
}

function printDifference({ stepNumber, line, smmu, step, expected, got, state }: Difference): void {
  say(`  step ${stepNumber} (line ${line})${smmu === undefined ? '' : `, ${smmu}`}: ${step}`);
  for (const text of expected) say(`    ${colours.green('expected')}  ${text}`);
  for (const text of got) say(`    ${colours.red('got')}       ${text}`);
  for (const text of state) say(`    ${colours.dim('state')}     ${text}`);
}

function printResult(result: ScenarioResult, verbose: boolean): void {
  const where = `${result.file}:${result.line}: ${result.name}`;
  if (result.status === 'ok') {
    if (verbose) say(`${where}: ${colours.green('ok')} (${counted(result.steps, 'step')})`);
  } else if (result.status === 'skipped') {
    say(`${where}: ${colours.yellow('skipped')}: ${result.reason}`);
  } else {
    say(`${where}: ${colours.red('failed')}${result.spec === '' ? '' : ` (${result.spec})`}`);
    printDifference(result.difference);
    for (const text of result.explanation) say(`      ${text}`);
  }
}

async function replayFiles(
  args: ReplayArguments,
  onResult: (result: ScenarioResult) => void,
): Promise<Report> {
  const memories = new MemoryPool();
  const scenarios: ScenarioResult[] = [];
  const unreadable: string[] = [];
  for (const file of args.files) {
    try {
      for await (const result of replayFile(file, cacheSettings(args), memories)) {
        onResult(result);
        scenarios.push(result);
      }
    } catch (error) {
      if (!(error instanceof ScenarioFileError)) throw error;
      complain(`smmulator: ${error.message}`);
      unreadable.push(error.message);
    }
  }
  const count = (status: string) => scenarios.filter((result) => result.status === status).length;
  return { passed: count('ok'), failed: count('failed'), skipped: count('skipped'), scenarios, unreadable };
}

export async function replay(args: ReplayArguments): Promise<number> {
  const report = await replayFiles(args, (result) => {
    if (!args.json) printResult(result, args.verbose);
  });
  if (args.json) say(JSON.stringify(report, undefined, 2));
  else say(`${report.passed} passed, ${report.failed} failed, ${report.skipped} skipped`);
  if (report.unreadable.length > 0) return USAGE;
  return report.failed > 0 ? FAILURE : SUCCESS;
}
