/** What `smmulator stress` takes. */
import type { Argv } from 'yargs';
import { MUTATION_NAMES } from '../stress/mutations/mutation-names.js';
import { PROFILE_NAMES, type ProfileName } from '../stress/profiles.js';
import { UsageError } from './exit-status.js';
import { laneCount, machineOptions } from './options.js';

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000, m: 60_000, h: 3_600_000 };
export const DEFAULT_PROFILE: ProfileName = 'everything';
/** A timer cannot wait longer. */
const DURATION_MS_MAX = 2 ** 31 - 1;
export const SEEDS = 2 ** 32;

/** `30s`, `10min`, `1h`; a number alone is seconds. */
export function duration(text: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|min|m|h)?$/.exec(text);
  const ms = match === null ? 0 : Number(match[1]) * UNITS_MS[match[2] ?? 's']!;
  if (ms > 0 && ms <= DURATION_MS_MAX) return ms;
  throw new UsageError(`--duration: '${text}' is not a time like 30s, 10min or 1h`);
}

export function operationCount(text: string): number {
  if (/^[0-9]{1,15}$/.test(text) && Number(text) > 0) return Number(text);
  throw new UsageError(`--operations: '${text}' is not a number of operations`);
}

export function seedNumber(text: string): number {
  if (/^[0-9]{1,10}$/.test(text) && Number(text) < SEEDS) return Number(text);
  throw new UsageError(`--seed: '${text}' is not a number below ${SEEDS}`);
}

export function seedCount(text: string): number {
  if (/^[0-9]{1,9}$/.test(text) && Number(text) > 0) return Number(text);
  throw new UsageError(`--seeds: '${text}' is not a number of seeds`);
}

/** The first of so many seeds, for whoever gives none. */
export function anySeed(seeds = 1): number {
  return Math.floor(Math.random() * (SEEDS - seeds + 1));
}

export function stressOptions<T>(yargs: Argv<T>) {
  return machineOptions(yargs)
    .option('duration', {
      describe: 'How long devices work, as 30s, 10min or 1h (default: 10s)',
      type: 'string',
      requiresArg: true,
      coerce: duration,
    })
    .option('operations', {
      describe: 'How much is done instead: accesses, in deterministic mode with changes of the software',
      type: 'string',
      requiresArg: true,
      coerce: operationCount,
    })
    .option('seed', {
      describe: 'What is done and in which order (default: by chance; every report names it)',
      type: 'string',
      requiresArg: true,
      coerce: seedNumber,
    })
    .option('seeds', {
      describe: 'With --deterministic: so many seeds in a row, up to the first with a finding (default: 1)',
      type: 'string',
      requiresArg: true,
      coerce: seedCount,
    })
    .option('threads', {
      describe: 'DMA threads (default: one per processor, no more than devices)',
      type: 'string',
      requiresArg: true,
      coerce: laneCount('threads'),
    })
    .option('profile', {
      describe: `What the software does to the devices (default: ${DEFAULT_PROFILE})`,
      choices: PROFILE_NAMES,
    })
    .option('report', {
      describe: 'Write the report as an HTML page, too',
      type: 'string',
      requiresArg: true,
    })
    .option('mutate', { describe: 'Build in a fault, which the checker must find', choices: MUTATION_NAMES })
    .option('deterministic', {
      describe: 'One thread and a seeded scheduler: the same seed is the same run',
      type: 'boolean',
      default: false,
    })
    .option('scenario', {
      describe: 'With --deterministic: write a failing run, minimised, as a scenario for replay',
      type: 'string',
      requiresArg: true,
    })
    .option('schedule', {
      describe: 'With --deterministic: write a failing run, minimised, as a schedule',
      type: 'string',
      requiresArg: true,
    })
    .option('replay-schedule', {
      describe: 'Make the run of such a schedule again: seed, profile and fault are in the file',
      type: 'string',
      requiresArg: true,
    })
    .option('check', {
      describe: 'Judge every access (--no-check: load alone)',
      type: 'boolean',
      default: true,
    })
    .example('$0 stress machines/virt-3-smmus.yaml', 'Ten seconds of everything')
    .example('$0 stress board.yaml --duration 1h --report soak.html', 'A soak, with a page of plots')
    .example('$0 stress board.yaml --deterministic --seed 7 --operations 20000', 'The same run every time')
    .example('$0 stress board.yaml --deterministic --seed 1 --seeds 1000', 'A thousand runs in a row')
    .example('$0 stress board.yaml --replay-schedule bug.schedule', 'A run that failed, once more')
    .example('$0 stress board.yaml --mutate skip-tlbi', 'See a fault found')
    .example(
      '$0 stress board.yaml --deterministic --mutate skip-tlbi --scenario bug.jsonl',
      'See it found, minimised and written down',
    );
}
