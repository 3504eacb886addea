/**
 * What the program's exit status means, and the errors that choose one. A user's mistake is one line on stderr; only a
 * defect of the program itself shows a stack.
 */

/** Everything is as it should be. */
export const SUCCESS = 0;
/** The program did its work, and what it looked at is not as it should be. */
export const FAILURE = 1;
/** A wrong command line, or a file that cannot be read. */
export const USAGE = 2;
/** A defect of this program. */
export const DEFECT = 70;

/** Something is wrong with the command line or a file that it names. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'is a directory',
  EACCES: 'permission denied',
  ENOSPC: 'no space left on the device',
};

/** What is wrong with a file, in words. @throws what is no problem of a file. */
export function fileProblem(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) throw error;
  return FILE_PROBLEMS[String(error.code)] ?? error.message;
}

/** The complaint about a file that could not be read. */
export function unreadable(file: string, error: unknown): UsageError {
  return new UsageError(`${file}: ${fileProblem(error)}`);
}
