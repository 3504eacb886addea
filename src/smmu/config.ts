/**
 * What one SMMUv3 instance is: its ID registers and the simulator's own dials. Plain cloneable data.
 */

/** ID register words, unsigned 32-bit. */
export interface IdRegisters {
  readonly IDR0: number;
  readonly IDR1: number;
  readonly IDR3: number;
  readonly IDR5: number;
  readonly IIDR: number;
  readonly AIDR: number;
  readonly S_IDR0: number;
  readonly S_IDR1: number;
}

/** Cache size in entries: 0 is off, Infinity unbounded. */
export type CacheEntries = number;

/**
 * What the caches of a TBU keep, from what a plain implementation has to all that the architecture lets one have
 * (IHI 0070 3.21, 16.2; choice: caching). `normal`: valid STEs and CDs, and translations that let their access through. `stale`: L1STDs,
 * L1CDs, table descriptors, and translations that do not permit the access, too. `maximally-stale`: structures that are
 * invalid or ILLEGAL as well, an L1STD with Span 0 among them.
 */
export const CACHINGS = ['normal', 'stale', 'maximally-stale'] as const;
export type Caching = (typeof CACHINGS)[number];

/** Which entry goes when a cache is full: the oldest, the least recently used, or one at random. */
export const REPLACEMENTS = ['oldest', 'lru', 'random'] as const;
export type Replacement = (typeof REPLACEMENTS)[number];

/** The dial of a TBU's caches (REQUIREMENTS H5). Correct software behaves alike with every setting. */
export interface CacheSettings {
  readonly tlb: CacheEntries;
  readonly configCache: CacheEntries;
  /** Default: normal. */
  readonly caching?: Caching;
  /** Default: oldest. */
  readonly replacement?: Replacement;
  /** Seed of the random replacement; default 0. */
  readonly cacheSeed?: number;
  /** After a miss, fetch the neighbours as well: structures and translations that nobody asked for (choice: speculative-fills). */
  readonly speculativeFills?: boolean;
}

export interface SmmuConfig extends CacheSettings {
  /** The instance's name, used in every message about it (REQUIREMENTS B21). */
  readonly id: string;
  readonly idr: IdRegisters;
  /** Non-secure register accesses reach SMMU_S_INIT, as where no Secure software is (IHI 0070 3.11). Default: they do not. */
  readonly nonSecureInit?: boolean;
}
