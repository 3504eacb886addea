/** The indexes of the circular queues (IHI 0070 3.5.1): LOG2SIZE bits and a wrap flag above them. */

/** The bits of a PROD or CONS register that are index and wrap flag. */
export function indexMask(log2Size: number): number {
  return (2 << log2Size) - 1;
}

/** Entries between CONS and PROD; more than the queue has when the indexes are inconsistent (3.5.1). */
export function entriesUsed(prod: number, cons: number, log2Size: number): number {
  return (prod - cons) & indexMask(log2Size);
}

export function nextIndex(index: number, log2Size: number): number {
  return (index + 1) & indexMask(log2Size);
}
