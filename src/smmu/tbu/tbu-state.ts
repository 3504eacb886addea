/** What a TBU counts, and what of it outlives a moment (state.ts). */
import type { ConfigCacheState } from './config-cache.js';
import type { TlbState } from './tlb-entry.js';

export interface TbuState {
  readonly counters: TbuCounters;
  /** Where the TBU looks for its next STAG. */
  readonly nextStag: number;
  /** Absent: the caches are empty, as they may be at any time (IHI 0070 3.17, 3.21). */
  readonly caches?: {
    readonly tlb: TlbState;
    readonly config: ConfigCacheState;
    /** Translation regimes that have a number, in the order of their numbers; see #internContext. */
    readonly regimes: readonly number[];
  };
}

/** Plain counters of one TBU, since it was made. */
export interface TbuCounters {
  transactions: number;
  hits: number;
  misses: number;
  walks: number;
  descriptorReads: number;
  configFetches: number;
  events: number;
  aborts: number;
  /** Times that an access was held for software to decide. */
  stalls: number;
}
