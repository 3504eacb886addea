/**
 * A VMSAv8-64 translation table descriptor in words (DDI 0487 D8.3.1): what kind it is at its level, where it points
 * and what its attributes say.
 */
import {
  DESC_AF,
  DESC_AP1,
  DESC_AP2,
  DESC_APTABLE0,
  DESC_APTABLE1,
  DESC_DBM,
  DESC_NG,
  DESC_NS,
  DESC_NSTABLE,
  DESC_PXN,
  DESC_PXNTABLE,
  DESC_S2AP_R,
  DESC_S2AP_W,
  DESC_TABLE_OR_PAGE,
  DESC_UXN,
  DESC_UXNTABLE,
  DESC_VALID,
} from '../arch/descriptor-masks.js';
import { outputAddress } from '../smmu/tbu/descriptor-bits.js';
import type { TranslationTable } from '../smmu/tbu/table.js';
import { hex } from './text.js';

/** What of a translation table decides how a descriptor is read. */
export type DescriptorFormat = Pick<
  TranslationTable,
  'granuleBits' | 'minBlockLevel' | 'lpa' | 'ds' | 'hierarchical'
>;

export interface DescriptorMeaning {
  readonly kind: 'invalid' | 'table' | 'block' | 'page';
  /** Next-level table or output address; 0 when invalid. */
  readonly address: number;
  /** In words, or why it is invalid. */
  readonly text: string;
}

const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB'] as const;

/** `4KB`, `2MB` */
export function printSize(bits: number): string {
  const unit = Math.floor(bits / 10);
  return `${2 ** (bits - unit * 10)}${UNITS[unit]}`;
}

/** Number of low address bits that a leaf of a level leaves alone. */
export function leafBits(granuleBits: number, level: number): number {
  return granuleBits + (granuleBits - 3) * (3 - level);
}

function invalidity(format: DescriptorFormat, level: number, lo: number): string | undefined {
  if ((lo & DESC_VALID) === 0) return 'bit 0 == 0';
  if ((lo & DESC_TABLE_OR_PAGE) !== 0) return undefined;
  if (level === 3) return 'bits [1:0] == 0b01, reserved at level 3';
  if (level < format.minBlockLevel) {
    return `bits [1:0] == 0b01, but the ${printSize(format.granuleBits)} granule has no blocks at level ${level}`;
  }
  return undefined;
}

function tableAttributes(hi: number): string[] {
  const said: string[] = [];
  if ((hi & DESC_APTABLE0) !== 0) said.push('APTable[0]: no unprivileged access below');
  if ((hi & DESC_APTABLE1) !== 0) said.push('APTable[1]: read-only below');
  if ((hi & DESC_UXNTABLE) !== 0) said.push('UXNTable');
  if ((hi & DESC_PXNTABLE) !== 0) said.push('PXNTable');
  return said;
}

function stage1Attributes(lo: number, hi: number): string[] {
  const access = (lo & DESC_AP2) !== 0 ? 'read-only' : 'read/write';
  const who = (lo & DESC_AP1) !== 0 ? 'at any privilege' : 'privileged only';
  const said = [`AP=0b${((lo >>> 6) & 3).toString(2).padStart(2, '0')} ${access} ${who}`];
  if ((hi & DESC_UXN) !== 0) said.push('UXN');
  if ((hi & DESC_PXN) !== 0) said.push('PXN');
  if ((hi & DESC_DBM) !== 0) said.push('DBM');
  said.push((lo & DESC_AF) !== 0 ? 'AF=1' : 'AF=0 (not accessed yet)');
  said.push((lo & DESC_NG) !== 0 ? 'nG (this ASID)' : 'global');
  if ((lo & DESC_NS) !== 0) said.push('NS');
  said.push(`AttrIndx=${(lo >>> 2) & 7}`);
  return said;
}

const S2_ACCESS = ['no access', 'read-only', 'write-only', 'read/write'] as const;

function stage2Attributes(lo: number, hi: number): string[] {
  const S2AP = ((lo & DESC_S2AP_W) !== 0 ? 2 : 0) + ((lo & DESC_S2AP_R) !== 0 ? 1 : 0);
  const XN = ((hi & DESC_UXN) !== 0 ? 2 : 0) + ((hi & DESC_PXN) !== 0 ? 1 : 0);
  const binary = (value: number) => `0b${value.toString(2).padStart(2, '0')}`;
  const said = [`S2AP=${binary(S2AP)} ${S2_ACCESS[S2AP]}`];
  if (XN !== 0) said.push(`XN=${binary(XN)}`);
  if ((hi & DESC_DBM) !== 0) said.push('DBM');
  said.push((lo & DESC_AF) !== 0 ? 'AF=1' : 'AF=0 (not accessed yet)');
  said.push(`MemAttr=0b${((lo >>> 2) & 0xf).toString(2).padStart(4, '0')}`);
  return said;
}

/** The meaning of a descriptor at a level of a table. */
export function describeDescriptor(
  format: DescriptorFormat,
  stage: 1 | 2,
  level: number,
  lo: number,
  hi: number,
): DescriptorMeaning {
  const wrong = invalidity(format, level, lo);
  if (wrong !== undefined) return { kind: 'invalid', address: 0, text: `invalid: ${wrong}` };
  if (level < 3 && (lo & DESC_TABLE_OR_PAGE) !== 0) {
    const address = outputAddress(format, lo, hi, format.granuleBits);
    const said = stage === 1 && format.hierarchical ? tableAttributes(hi) : [];
    if (stage === 1 && (hi & DESC_NSTABLE) !== 0) said.push('NSTable: Non-secure below');
    return { kind: 'table', address, text: [`table -> ${hex(address)}`, ...said].join(', ') };
  }
  const bits = leafBits(format.granuleBits, level);
  const address = outputAddress(format, lo, hi, bits);
  const kind = level === 3 ? 'page' : 'block';
  const said = stage === 1 ? stage1Attributes(lo, hi) : stage2Attributes(lo, hi);
  return { kind, address, text: [`${printSize(bits)} ${kind} -> ${hex(address)}`, ...said].join(', ') };
}
