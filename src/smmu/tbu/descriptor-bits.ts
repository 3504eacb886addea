/** Arithmetic on addresses and descriptors in two 32-bit halves, without allocation (DDI 0487 D8.2, D8.3). */
import { DESC_APTABLE0, DESC_APTABLE1, DESC_PXNTABLE, DESC_UXNTABLE } from '../../arch/descriptor-masks.js';
import type { TranslationTable } from './table.js';

/** High-word bits of a table descriptor that hold for all below it, unless HADx disables them. */
export const HIERARCHICAL = DESC_APTABLE0 | DESC_APTABLE1 | DESC_UXNTABLE | DESC_PXNTABLE;

const TWO_32 = 0x1_0000_0000;
const TWO_48 = 0x1_0000_0000_0000;

/** Bits [lsb + width - 1 : lsb] of a 64-bit value in two halves; width is at most 30. */
export function extract(hi: number, lo: number, lsb: number, width: number): number {
  const mask = (1 << width) - 1;
  if (lsb >= 32) return (hi >>> (lsb - 32)) & mask;
  return ((lo >>> lsb) | (hi << (32 - lsb))) & mask;
}

/** Number of the 4 KiB page within a leaf of 2^bits bytes. */
export function pageWithin(lo: number, hi: number, bits: number): number {
  if (bits <= 32) return bits === 32 ? lo >>> 12 : (lo & ((1 << bits) - 1)) >>> 12;
  return (hi & ((1 << (bits - 32)) - 1)) * 0x10_0000 + (lo >>> 12);
}

/** The output address of a descriptor, aligned to 2^bits (DDI 0487 D8.3.1, with FEAT_LPA and FEAT_LPA2 formats). */
export function outputAddress(
  table: Pick<TranslationTable, 'lpa' | 'ds'>,
  lo: number,
  hi: number,
  bits: number,
): number {
  let address: number;
  if (bits >= 32) address = (hi & 0xffff & (-1 << (bits - 32))) * TWO_32;
  else address = (hi & 0xffff) * TWO_32 + ((lo & (-1 << bits)) >>> 0);
  if (table.lpa) return address + ((lo >>> 12) & 0xf) * TWO_48;
  if (table.ds) return address + (((lo >>> 8) & 3) * 4 + ((hi >>> 16) & 3)) * TWO_48;
  return address;
}

export function swapBytes(words: Int32Array): void {
  const lo = words[0]!;
  words[0] = swap32(words[1]!);
  words[1] = swap32(lo);
}

export function swap32(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}
