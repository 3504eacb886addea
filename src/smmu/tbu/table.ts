/**
 * One translation table as a walk needs it: the TTBx of a CD or the S2TTB of an STE with all that governs it, worked
 * out once when the structure is decoded (DDI 0487 D8.2).
 */
import type { SecurityState } from '../../arch/security.js';

export interface TranslationTable {
  /** Base address, aligned to the size of the starting-level table. An IPA when stage 2 translates it. */
  readonly base: number;
  /** log2 of the granule: 12, 14 or 16. */
  readonly granuleBits: number;
  /** Input address size in bits. */
  readonly inputBits: number;
  /** -1 to 3. */
  readonly startLevel: number;
  /** Effective output size in bits (CD.IPS or STE.S2PS, capped to the OAS). */
  readonly outputBits: number;
  /** 2^outputBits: the first address that is too large. Kept because a walk compares with it at each level. */
  readonly outputLimit: number;
  /**
   * The first address that is too large for a next-level table. Smaller than outputLimit in a last stage of VMSAv8-32
   * LPAE beyond the OAS: leaves are cut to the OAS, table addresses fault (IHI 0070 3.4, 3.4.3).
   */
  readonly walkLimit: number;
  /** Lowest level at which a block descriptor is legal. */
  readonly minBlockLevel: number;
  /** Descriptor bits [15:12] hold OA[51:48]: 64KB granule and a 52-bit OAS. */
  readonly lpa: boolean;
  /** Shareability of all leaves with DS, whose bits [9:8] are an address (CD.SHx, STE.S2SH0). */
  readonly sh: number;
  /** Descriptor bits [9:8] hold OA[51:50] and [49:48] OA[49:48]: DS == 1. */
  readonly ds: boolean;
  readonly bigEndian: boolean;
  /** AF == 0 faults: neither AFFD nor HA. */
  readonly accessFlagFaults: boolean;
  /** Hardware sets AF (HA, S2HA). */
  readonly setsAccessFlag: boolean;
  /** Hardware makes writable-clean descriptors writable-dirty (HD, S2HD, with HA or S2HA). */
  readonly setsDirty: boolean;
  /** Hardware sets AF of Table descriptors, too (HAFT, S2HAFT). */
  readonly setsTableAccessFlag: boolean;
  /** APTable, UXNTable, PXNTable count: not HADx. */
  readonly hierarchical: boolean;
  /** VMSAv8-32 LPAE: an output beyond a smaller OAS is cut to it where this is the last stage (IHI 0070 3.4). */
  readonly lpae: boolean;
  /** PA (or IPA) space in which the walk starts (CD.NSCFGx, STE.S2SW). */
  readonly space: SecurityState;
  /** PA space of what a stage 2 table maps to (STE.S2SA, S2NSA); a stage 1 leaf has its own NS bit. */
  readonly outputSpace: SecurityState;
}

/** What a structure says of a table; the rest follows. */
export interface TableFormat
  extends Omit<TranslationTable, 'base' | 'outputLimit' | 'walkLimit' | 'minBlockLevel'> {
  /** Size in bits of the addresses that the walk's own reads may have. */
  readonly walkBits: number;
  /** The TTBx or S2TTB field, not yet aligned. */
  readonly ttb: number;
}

export function translationTable(format: TableFormat): TranslationTable {
  const { granuleBits, inputBits, startLevel, outputBits, ds, lpa } = format;
  // Field by field: spread objects are of a hidden class each, and the walk's loads from them cost 150 ns a stage 2 miss.
  return {
    base: tableBase(format.ttb, startIndexBits(inputBits, granuleBits, startLevel), outputBits),
    granuleBits,
    inputBits,
    startLevel,
    outputBits,
    outputLimit: 2 ** outputBits,
    walkLimit: 2 ** format.walkBits,
    minBlockLevel: minBlockLevel(granuleBits, ds, lpa),
    lpa,
    ds,
    sh: format.sh,
    bigEndian: format.bigEndian,
    accessFlagFaults: format.accessFlagFaults,
    setsAccessFlag: format.setsAccessFlag,
    setsDirty: format.setsDirty,
    setsTableAccessFlag: format.setsTableAccessFlag,
    hierarchical: format.hierarchical,
    lpae: format.lpae,
    space: format.space,
    outputSpace: format.outputSpace,
  };
}

/** CD.TG0 and STE.S2TG encodings to granule bits; 0 is reserved. */
export const TG0_BITS = [12, 16, 14, 0] as const;
/** CD.TG1 encodings, which are others. */
export const TG1_BITS = [0, 14, 12, 16] as const;

/** Index bits resolved by the starting-level table, concatenated stage 2 tables included. */
export function startIndexBits(inputBits: number, granuleBits: number, startLevel: number): number {
  return inputBits - granuleBits - (granuleBits - 3) * (3 - startLevel);
}

/** Starting level of a stage 1 walk (DDI 0487 D8.2.6). */
export function stage1StartLevel(inputBits: number, granuleBits: number): number {
  return 3 - Math.floor((inputBits - 1 - granuleBits) / (granuleBits - 3));
}

/** Output size of VMSAv8-32 LPAE tables in bits; IPS and S2PS do not count there (IHI 0070 3.4). */
export const LPAE_OUTPUT_BITS = 40;

/**
 * Size in bits of the addresses at which tables may lie: a walk of the last stage reads physical addresses, which end at
 * the OAS whatever LPAE outputs (IHI 0070 3.4.3).
 */
export function lpaeWalkBits(lastStage: boolean, oas: number): number {
  return lastStage ? Math.min(LPAE_OUTPUT_BITS, oas) : LPAE_OUTPUT_BITS;
}

/** Lowest level with block descriptors (DDI 0487 D8.3.1): level 0 with DS for 4KB, level 1 with DS or LPA for the others. */
export function minBlockLevel(granuleBits: number, ds: boolean, lpa: boolean): number {
  if (granuleBits === 12) return ds ? 0 : 1;
  if (granuleBits === 14) return ds ? 1 : 2;
  return lpa ? 1 : 2;
}

/** Clears address bits below 2^bits without 32-bit truncation. */
export function alignDown(address: number, bits: number): number {
  const unit = 2 ** bits;
  return Math.floor(address / unit) * unit;
}

/**
 * Base of a starting-level table, aligned to its size; at least 64 bytes when the output is 52 bits (IHI 0070 5.4 TTB0).
 * RES0 bits [55:52] of the field are already range-checked by the validity rules.
 */
function tableBase(ttb: number, indexBits: number, outputBits: number): number {
  return alignDown(ttb, Math.max(indexBits + 3, outputBits === 52 ? 6 : 0));
}
