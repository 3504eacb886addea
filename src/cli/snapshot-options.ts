/** What the commands that take snapshots have in common: when, into which file, and what to say of it. */
import type { Machine } from '../machine/types.js';
import type { PausePoint } from '../runtime/run.js';
import type { SnapshotOrder, TakenSnapshot } from '../snapshot/snapshot-run.js';
import { UsageError } from './exit-status.js';
import { counted, say } from './terminal.js';

export const CACHE_CHOICES = ['kept', 'dropped'] as const satisfies readonly SnapshotOrder['caches'][];

/** `boot`, `step:N` or `accesses:N`. */
function pausePoint(text: string, { workload }: Machine): PausePoint {
  if (text === 'boot') return { kind: 'boot' };
  const [, kind, digits] = /^(step|accesses):([0-9]{1,15})$/.exec(text) ?? [];
  const number = Number(digits);
  if (kind === 'accesses' && number > 0) return { kind, accesses: number };
  if (kind === 'step' && number >= 1 && number <= workload.length) return { kind, step: number };
  if (kind === 'step') {
    throw new UsageError(`'${text}': the workload has the steps 1 to ${workload.length}`);
  }
  throw new UsageError(`'${text}' is no moment for a snapshot: boot, step:N or accesses:N`);
}

/** @throws UsageError when the moment is none of this machine's. */
export function snapshotOrder(
  [when, file]: readonly string[],
  machine: Machine,
  caches: NonNullable<SnapshotOrder['caches']> = 'kept',
): SnapshotOrder {
  if (when === undefined || file === undefined) throw new UsageError('--snapshot-at: a moment and a file');
  return { file, at: pausePoint(when, machine), caches };
}

export function sayTaken({ file, bytes, accesses }: TakenSnapshot): void {
  say(`${file}: ${counted(bytes, 'byte')}, taken after ${accesses} accesses`);
}
