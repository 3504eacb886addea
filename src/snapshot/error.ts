/** What can be wrong with a snapshot file: one class, one sentence, and a kind for programs. */

/**
 * `foreign`: not a snapshot. `version`: written by a newer smmulator. `truncated`, `damaged`: not what was written.
 * `malformed`: written by no smmulator. `mismatch`: of another machine. `unsupported`: the machine
 * has parts that no snapshot holds. `unreadable`, `unwritable`: the file system refuses.
 */
export type SnapshotProblem =
  | 'foreign'
  | 'version'
  | 'truncated'
  | 'damaged'
  | 'malformed'
  | 'mismatch'
  | 'unsupported'
  | 'unreadable'
  | 'unwritable';

export class SnapshotError extends Error {
  override readonly name = 'SnapshotError';
  readonly problem: SnapshotProblem;

  constructor(problem: SnapshotProblem, message: string) {
    super(message);
    this.problem = problem;
  }
}
