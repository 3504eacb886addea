/**
 * Starting: machines of 1, 8 and 64 SMMUs, what an idle SMMU takes, and the command line without anything cached in it.
 * Each is measured in a process of its own.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Measurement } from './rows.js';
import { median } from './slices.js';

const MIB = 2 ** 20;
const IDLE = fileURLToPath(new URL('idle.js', import.meta.url));
const CLI = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const MACHINE = fileURLToPath(new URL('../../machines/virt-3-smmus.yaml', import.meta.url));

/** What idle.ts tells. */
interface Idle {
  readonly ms: number;
  readonly residentBytes: number;
}

function run(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return stdout;
}

function idle(what: 'smmus' | 'threads', count: number): Idle {
  return JSON.parse(run(IDLE, what, String(count)));
}

/** The median of some starts of each size; resident memory is compared between equal numbers of threads. */
export function startUp(starts: number): Measurement[] {
  const times = (count: number) => Array.from({ length: starts }, () => idle('smmus', count));
  const ms = (runs: readonly Idle[]) => median(runs.map((each) => each.ms));
  const resident = (runs: readonly Idle[]) => median(runs.map((each) => each.residentBytes));
  const [one, eight, many] = [times(1), times(8), times(64)];
  const threads = resident([idle('threads', 65)]) - resident([idle('threads', 2)]);
  return [
    { row: 'start1', figure: ms(one) },
    { row: 'start8', figure: ms(eight) },
    { row: 'start64', figure: ms(many) },
    { row: 'idleSmmu', figure: (resident(many) - resident(one) - threads) / 63 / MIB },
  ];
}

export function coldCheck(starts: number): Measurement[] {
  const figures = Array.from({ length: starts }, () => {
    const start = performance.now();
    run(CLI, 'check', MACHINE);
    return performance.now() - start;
  });
  return [{ row: 'check', figure: median(figures) }];
}
