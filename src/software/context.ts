/**
 * A translation context: one set of page tables, its ASID or VMID, and the CD or the STE fields that name it
 * (IHI 0070 5.2, 5.4). Stage 1 contexts use TTB0 alone; TTB1 is disabled.
 */
import { OAS_BITS } from '../arch/id-registers.js';
import { encode } from '../arch/layout.js';
import { CD, CONFIG_ABORT, CONFIG_BYPASS, CONFIG_STAGE_1, CONFIG_STAGE_2, STE } from '../arch/structures.js';
import { MAIR0, type PageTables } from './page-tables.js';

/** Walks are made Inner Shareable, Write-Back Read- and Write-Allocate. */
const WRITE_BACK = 1;
const INNER_SHAREABLE = 3;
const SHCFG_INCOMING = 1;

/** CD.TG0 and STE.S2TG have one encoding. */
const TG = { '4KiB': 0, '64KiB': 1, '16KiB': 2 } as const;

/** STE.S1Fmt. */
export const S1FMT_LINEAR = 0;
export const S1FMT_4KB_LEAF = 1;

/** STE.S1DSS: an access without a SubstreamID is terminated, bypasses stage 1, or uses the CD of substream 0. */
export const S1DSS_TERMINATE = 0;
export const S1DSS_BYPASS = 1;
export const S1DSS_SUBSTREAM_0 = 2;

export interface Context {
  readonly stage: 1 | 2;
  readonly tables: PageTables;
  /** 0 for stage 2. */
  readonly ASID: number;
  /** 0 for stage 1. */
  readonly VMID: number;
  /** Faults stall the access instead of terminating it. */
  readonly stall: boolean;
  /** The CD, and a table of one for streams without substreams; 0 for stage 2. */
  readonly cd: number;
}

/** IDR5.OAS's encoding, which CD.IPS and STE.S2PS share; unused sizes round down. */
function addressSize(bits: number): number {
  return OAS_BITS.findLastIndex((size) => size <= bits);
}

export function contextDescriptor(tables: PageTables, ASID: number, stall: boolean, HTTU = 0): Uint32Array {
  const { granule, inputBits, outputBits } = tables.format;
  return encode(CD, {
    V: 1,
    AA64: 1,
    T0SZ: 64 - inputBits,
    TG0: TG[granule],
    IR0: WRITE_BACK,
    OR0: WRITE_BACK,
    SH0: INNER_SHAREABLE,
    EPD1: 1,
    IPS: addressSize(outputBits),
    // Faults are recorded, and abort the access or stall it.
    A: 1,
    R: 1,
    S: stall ? 1 : 0,
    HA: HTTU >= 1 ? 1 : 0,
    HD: HTTU >= 2 ? 1 : 0,
    // The ASID is this SMMU's own: no broadcast invalidation of a PE concerns it.
    ASET: 1,
    ASID,
    TTB0: BigInt(tables.root) >> 4n,
    MAIR0,
  });
}

export const ABORT_STE: Uint32Array = encode(STE, { V: 1, Config: CONFIG_ABORT });

export const BYPASS_STE: Uint32Array = encode(STE, { V: 1, Config: CONFIG_BYPASS, SHCFG: SHCFG_INCOMING });

/**
 * An STE for stage 1 with CDs at `cd`: one, or 2^S1CDMax in the given format.
 * @param S1DSS what becomes of accesses without a SubstreamID, where there are substreams. Default: they use the CD of substream 0.
 */
export function stage1STE(
  cd: number,
  S1CDMax: number,
  S1Fmt: number,
  S1DSS: number = S1DSS_SUBSTREAM_0,
): Uint32Array {
  return encode(STE, {
    V: 1,
    Config: CONFIG_STAGE_1,
    S1Fmt,
    S1ContextPtr: BigInt(cd) >> 6n,
    S1CDMax,
    S1DSS: S1CDMax === 0 ? 0 : S1DSS,
    S1CIR: WRITE_BACK,
    S1COR: WRITE_BACK,
    S1CSH: INNER_SHAREABLE,
    SHCFG: SHCFG_INCOMING,
  });
}

export function stage2STE(tables: PageTables, VMID: number, stall: boolean, HTTU = 0): Uint32Array {
  const { granule, inputBits, outputBits } = tables.format;
  // S2SL0 counts start levels from the deepest that the granule allows (DDI 0487 D8.2.4).
  const S2SL0 = (granule === '4KiB' ? 2 : 3) - tables.startLevel;
  return encode(STE, {
    V: 1,
    Config: CONFIG_STAGE_2,
    SHCFG: SHCFG_INCOMING,
    S2VMID: VMID,
    S2T0SZ: 64 - inputBits,
    S2SL0,
    S2IR0: WRITE_BACK,
    S2OR0: WRITE_BACK,
    S2SH0: INNER_SHAREABLE,
    S2TG: TG[granule],
    S2PS: addressSize(outputBits),
    S2AA64: 1,
    S2R: 1,
    S2S: stall ? 1 : 0,
    S2HA: HTTU >= 1 ? 1 : 0,
    S2HD: HTTU >= 2 ? 1 : 0,
    S2TTB: BigInt(tables.root) >> 4n,
  });
}
