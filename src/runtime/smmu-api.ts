/** What the coordinator asks of an SMMU's thread, through comlink. Control only; everything else is in shared memory. */

/** Counters of one TCU. */
export interface TcuStatistics {
  readonly commands: number;
  readonly events: number;
}

export interface SmmuApi {
  /** Resolves once the SMMU takes register writes. */
  start(): Promise<void>;
  statistics(): Promise<TcuStatistics>;
  /** Breaks the thread on purpose: what is to be seen then is tested (REQUIREMENTS F10). */
  sabotage(how: 'throw' | 'exit' | 'hang'): Promise<void>;
}
