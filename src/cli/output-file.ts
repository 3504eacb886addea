/** Files that a command writes beside what it prints. */
import { access, constants, open, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileProblem, UsageError } from './exit-status.js';
import { complain } from './terminal.js';

/** That a file cannot be written is told before the work, not after an hour of it. @throws UsageError */
export async function checkWritable(file: string): Promise<void> {
  try {
    await (await open(file, 'r+')).close();
  } catch (error) {
    if (!(await canBeMade(file, error))) throw new UsageError(`${file}: ${fileProblem(error)}`);
  }
}

/** A file that is not there, in a folder that takes it. */
async function canBeMade(file: string, error: unknown): Promise<boolean> {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) return false;
  return await access(dirname(file), constants.W_OK).then(
    () => true,
    () => false,
  );
}

/** @returns whether that went well; a full disk must not take with it what is printed. */
export async function writeOutput(file: string, text: string): Promise<boolean> {
  try {
    await writeFile(file, text);
    return true;
  } catch (error) {
    complain(`smmulator: ${file}: could not be written: ${fileProblem(error)}`);
    return false;
  }
}
