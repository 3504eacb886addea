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

export interface SmmuConfig {
  /** The instance's name, used in every message about it (REQUIREMENTS B21). */
  readonly id: string;
  readonly idr: IdRegisters;
  readonly tlb: CacheEntries;
  readonly configCache: CacheEntries;
  /** Non-secure register accesses reach SMMU_S_INIT, as where no Secure software is (IHI 0070 3.11). Default: they do not. */
  readonly nonSecureInit?: boolean;
}
