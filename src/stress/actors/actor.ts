/**
 * Who takes part in a stress run. An actor is a state machine over injected ports: a DMA master or the software of one
 * programming interface. In threads each actor's loop runs in its worker; in deterministic mode a scheduler steps them.
 */

/** What a step came to: `idle` waits for somebody else, and may be asked again. */
export type Progress = 'worked' | 'idle';

export interface Actor {
  /** As reports name it: `smmu0/non-secure`, `nic0`. */
  readonly name: string;
  /** Does a bounded piece of work and never blocks. */
  step(): Progress;
  /** Operations completed: accesses of a DMA master, changes of the software. */
  readonly operations: number;
  /** No operation is under way: between two of them, the actor may be left alone for ever. */
  readonly atRest: boolean;
  /** From now on no new operation begins; what is under way is finished by further steps until `atRest`. */
  stop(): void;
}

/** What a DMA master did. */
export interface StreamStatistics {
  accesses: number;
  /** Bytes of accesses that succeeded. */
  bytes: number;
  aborts: number;
  /** Accesses whose outcome the checker compared with the ledger. */
  checked: number;
  /** Accesses that the ledger had moved too far meanwhile to judge (threads only). */
  unjudged: number;
}

export function noStreamStatistics(): StreamStatistics {
  return { accesses: 0, bytes: 0, aborts: 0, checked: 0, unjudged: 0 };
}

/** What the software of one interface did: completed operations by name, and the events that it consumed. */
export interface SoftwareStatistics {
  operations: Record<string, number>;
  commands: number;
  syncs: number;
  events: number;
  overflows: number;
}

export function noSoftwareStatistics(): SoftwareStatistics {
  return { operations: {}, commands: 0, syncs: 0, events: 0, overflows: 0 };
}
