/**
 * Index arithmetic of the circular queues (IHI 0070 3.5.1): an index is LOG2SIZE bits and a wrap flag above them.
 */
import { getAddress } from '../../arch/layout.js';
import { BANKS, type RegisterKey } from '../../arch/registers.js';
import type { Bank } from './registers.js';

export interface QueueGeometry {
  /** Physical address of entry 0. */
  base: number;
  /** log2 of the number of entries. */
  log2Size: number;
  entryBytes: number;
}

/** Queues are aligned to their size, and to 32 bytes at least (6.3.26). */
const ALIGNMENT_MIN_BYTES = 32;

/**
 * Where a queue is, from its BASE register.
 * @param log2Max IDR1.CMDQS or its like: what LOG2SIZE is capped to wherever it is used, though not where it is read (6.3.26).
 */
export function queueGeometry(
  bank: Bank,
  baseKey: RegisterKey,
  log2Max: number,
  entryBytes: number,
): QueueGeometry {
  const log2Size = Math.min(bank.field(baseKey, 'LOG2SIZE'), log2Max);
  const alignment = Math.max(entryBytes * 2 ** log2Size, ALIGNMENT_MIN_BYTES);
  const address = getAddress(bank.pair(baseKey), BANKS[bank.security][baseKey].fields.ADDR!);
  return { base: Math.floor(address / alignment) * alignment, log2Size, entryBytes };
}

/** The bits of a PROD or CONS register that are index and wrap flag. */
export function indexMask(log2Size: number): number {
  return 2 ** (log2Size + 1) - 1;
}

/** Entries between CONS and PROD; more than the queue has when the indexes are inconsistent (3.5.1). */
export function entriesUsed(prod: number, cons: number, log2Size: number): number {
  return (prod - cons) & indexMask(log2Size);
}

export function nextIndex(index: number, log2Size: number): number {
  return (index + 1) & indexMask(log2Size);
}

export function entryAddress(queue: QueueGeometry, index: number): number {
  return queue.base + (index & (2 ** queue.log2Size - 1)) * queue.entryBytes;
}
