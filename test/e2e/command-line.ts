/** Runs the built command line, as a user would, in a process of its own. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Without colours; a test runner asks its children for them. */
const { FORCE_COLOR: _, ...environment } = process.env;

export function smmulator(...args: string[]): Ended {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, ['dist/src/cli/main.js', ...args], {
    cwd: root,
    encoding: 'utf8',
    env: { ...environment, NO_COLOR: '1' },
    maxBuffer: 1 << 28,
  });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

export function lastLine({ stdout }: Ended): string {
  return stdout.trimEnd().split('\n').at(-1) ?? '';
}
