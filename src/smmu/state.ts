/**
 * What of an SMMU outlives a moment, as plain cloneable data: taken by `save`, given back by `restore` (REQUIREMENTS A43-A48).
 *
 * Every part describes its own state beside its own code and has two methods. `save` copies. `prepare` examines a
 * state that may come from anywhere, throws a StateError before anything has changed, and answers with the function
 * that puts it in place: so an SMMU, or a machine of many, takes a state whole or not at all.
 * What follows from the rest is no part of a state: first-level TLB entries, decoded structures, interned numbers.
 */

/** A state does not belong to what it was to be restored into, or no SMMU can have it. One sentence. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

/** Whether a state holds what is cached. A cache may lose what it holds at any time, so that both are right. */
export type CacheChoice = 'kept' | 'dropped';

/** Puts a prepared state in place. Cannot fail. */
export type Commit = () => void;

/** Runs `work` and lets its StateErrors begin with the name of the instance that they are about (REQUIREMENTS A46, B21). */
export function aboutInstance<T>(instance: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof StateError) throw new StateError(`${instance}: ${error.message}`);
    throw error;
  }
}
