/**
 * What `npm start` and `npm test` have in common: a clone in which nothing was run yet becomes one that works.
 * Needs Node and npm, and none of the project's dependencies.
 */
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a command in the project's directory; ends this process with its status when it fails. */
export function run(command, args) {
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    // npm is a script on Windows, which only a shell can start.
    shell: process.platform === 'win32',
  });
  if (error !== undefined) {
    console.error(`cannot run ${command}: ${error.message}`);
    process.exit(1);
  }
  if (status !== 0) {
    if (signal !== null) console.error(`${command} was ended by ${signal}`);
    process.exit(status ?? 1);
  }
}

/** Runs the command line of an installed package. */
export function runTool(path, args) {
  run(process.execPath, [`node_modules/${path}`, ...args]);
}

function modified(path) {
  return statSync(`${root}${path}`, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Installs what the lockfile says, when that was not done since the lockfile changed. */
export function install() {
  // npm writes this file at the end of an installation.
  if (modified('node_modules/.package-lock.json') >= modified('package-lock.json')) return;
  console.log('Installing dependencies (npm ci) ...');
  run('npm', ['ci']);
}

export function build() {
  console.log('Building (tsc, rolldown) ...');
  runTool('typescript/bin/tsc', ['-p', 'tsconfig.build.json']);
  run(process.execPath, ['scripts/bundle.mjs']);
}
