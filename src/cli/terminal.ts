/**
 * Writing to the terminal: lines, and colours where there is a terminal to show them.
 */
import pc from 'picocolors';
import { fileProblem, USAGE } from './exit-status.js';

// picocolors looks at FORCE_COLOR and at the platform too; a pipe gets plain text unless the user asks otherwise.
const asked = process.env.FORCE_COLOR !== undefined && process.env.FORCE_COLOR !== '0';
export const colours = pc.createColors(pc.isColorSupported && (process.stdout.isTTY === true || asked));

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function complain(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** `1 device`, `2 devices`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A reader that went away, as `head` does, is no error: there is nobody left to tell. A full disk is one. */
export function endOnClosedOutput(): void {
  process.stderr.on('error', () => process.exit());
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    complain(`smmulator: standard output: ${fileProblem(error)}`);
    process.exit(USAGE);
  });
}
