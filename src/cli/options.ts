/**
 * Options that several commands share.
 */
import type { Argv } from 'yargs';
import { CACHINGS, type CacheSettings, REPLACEMENTS } from '../scenario/caches.js';
import { UsageError } from './exit-status.js';

/** A cache size: `off`, a number of entries, or `unbounded`. */
export function cacheEntries(option: string): (text: string) => number {
  return (text) => {
    if (text === 'off') return 0;
    if (text === 'unbounded') return Number.POSITIVE_INFINITY;
    if (/^[0-9]{1,9}$/.test(text)) return Number(text);
    throw new UsageError(`--${option}: '${text}' is not off, unbounded or a number of entries`);
  };
}

const SEED_MAX = 0xffff_ffff;

function seedNumber(text: string): number {
  const seed = /^[0-9]{1,10}$/.test(text) ? Number(text) : -1;
  if (seed >= 0 && seed <= SEED_MAX) return seed;
  throw new UsageError(`--cache-seed: '${text}' is not a number up to ${SEED_MAX}`);
}

/** Of all arguments those of `cacheOptions`. */
export function cacheSettings(args: Required<CacheSettings>): CacheSettings {
  const { tlb, configCache, caching, replacement, cacheSeed, speculativeFills } = args;
  return { tlb, configCache, caching, replacement, cacheSeed, speculativeFills };
}

/** Enough entries that they live, few enough that some are evicted. */
const DEFAULT_TLB = '64';
const DEFAULT_CONFIG_CACHE = '16';

/** The caches of the SMMUs of a scenario, as a machine file's properties of the same names (smmu/config.ts). */
export function cacheOptions<T>(yargs: Argv<T>) {
  return yargs
    .option('tlb', {
      describe: 'TLB entries of a scenario: off, a number, or unbounded',
      type: 'string',
      requiresArg: true,
      default: DEFAULT_TLB,
      coerce: cacheEntries('tlb'),
    })
    .option('config-cache', {
      describe: 'Configuration cache entries of a scenario: off, a number, or unbounded',
      type: 'string',
      requiresArg: true,
      default: DEFAULT_CONFIG_CACHE,
      coerce: cacheEntries('config-cache'),
    })
    .option('caching', {
      describe: 'What the caches of a scenario keep',
      choices: CACHINGS,
      default: 'normal' as const,
    })
    .option('replacement', {
      describe: 'Which entry of a full cache goes',
      choices: REPLACEMENTS,
      default: 'oldest' as const,
    })
    .option('cache-seed', {
      describe: 'Seed of the random replacement',
      type: 'string',
      requiresArg: true,
      default: '0',
      coerce: seedNumber,
    })
    .option('speculative-fills', {
      describe: 'After a miss, fetch the neighbours as well',
      type: 'boolean',
      default: false,
    });
}

/** Each thread attaches to guest memory under a number of its own, of which there are 255. */
const LANES_MAX = 128;

/** How many threads do DMA. */
export function laneCount(option: string): (text: string) => number {
  return (text) => {
    const lanes = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
    if (lanes >= 1 && lanes <= LANES_MAX) return lanes;
    throw new UsageError(`--${option}: '${text}' is not a number from 1 to ${LANES_MAX}`);
  };
}

export function lanesOption<T>(yargs: Argv<T>) {
  return yargs.option('lanes', {
    describe: 'DMA threads (default: one per processor, no more than devices with work)',
    type: 'string',
    requiresArg: true,
    coerce: laneCount('lanes'),
  });
}

export function jsonOption<T>(yargs: Argv<T>) {
  return yargs.option('json', {
    describe: 'Print one JSON document instead of text',
    type: 'boolean',
    default: false,
  });
}

const assignments = (describe: string) =>
  ({
    describe,
    type: 'string',
    array: true,
    nargs: 1,
    default: [] as string[],
    defaultDescription: 'none',
  }) as const;

/** What the command line changes in a machine file. */
export function overrideOptions<T>(yargs: Argv<T>, global: string, set: string) {
  return yargs.option('global', assignments(global)).option('set', assignments(set));
}

/** A machine file and what the command line changes in it. */
export function machineOptions<T>(yargs: Argv<T>) {
  const named = yargs.positional('file', {
    describe: 'The machine file (YAML)',
    type: 'string',
    demandOption: true,
  });
  return jsonOption(
    overrideOptions(
      named,
      'A default for every instance that has no value of its own, as arm-smmuv3.stage=nested',
      'The value of one property, over everything else, as smmus.smmu0.oas=48',
    ),
  );
}

export interface MachineArguments {
  readonly file: string;
  readonly global: readonly string[];
  readonly set: readonly string[];
  readonly json: boolean;
}

/** What may be given any number of times; of every other option two values would contradict each other. */
const REPEATABLE: ReadonlySet<string> = new Set(['global', 'set', 'idr']);

/** @throws UsageError for an option that is given twice, of which yargs makes a list */
export function refuseRepeated(args: readonly string[]): void {
  const end = args.indexOf('--');
  const seen = new Set<string>();
  for (const arg of end < 0 ? args : args.slice(0, end)) {
    const name = /^--([^=]+)/.exec(arg)?.[1]?.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (name === undefined || REPEATABLE.has(name)) continue;
    if (seen.has(name)) throw new UsageError(`--${name} is given more than once`);
    seen.add(name);
  }
}
