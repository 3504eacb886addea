/** What the coordinator asks of an SMMU's thread, through comlink. Control only; everything else is in shared memory. */

/** Counters of one TCU, exact between two of its turns; what its statistics line has may be a turn old. */
export interface TcuStatistics {
  readonly commands: number;
  readonly invalidations: number;
  readonly events: number;
}

export interface SmmuApi {
  /** Resolves once the SMMU takes register writes. */
  start(): Promise<void>;
  statistics(): Promise<TcuStatistics>;
}
