/**
 * How values are printed: fields by name, words as hex, permissions as letters. What decode and explain have in common.
 */
import { type Field, getBig, type Layout, type Words } from '../arch/layout.js';
import type { Cacheability, MemoryAttributes } from '../smmu/tbu/attributes.js';
import {
  PRIV_EXECUTE,
  PRIV_READ,
  PRIV_WRITE,
  UNPRIV_EXECUTE,
  UNPRIV_READ,
  UNPRIV_WRITE,
} from '../smmu/tbu/permission.js';

/** Fields that hold part of an address at its own position: printed as the address. */
const ADDRESS_FIELD =
  /^(?:L2Ptr|S1ContextPtr|VMSPtr|(?:S_)?S2TTB|TTB[01]|NextLevelTable|OutputAddress|B?ADDR|FADDR|Address|MSIAddress|InputAddr|IPA|FetchAddr)$/;
/** Wider fields are bit patterns or identifiers: hex. */
const DECIMAL_BITS_MAX = 6;

export interface FieldValue {
  readonly name: string;
  readonly hi: number;
  readonly lo: number;
  /** As printed: decimal for small fields, hex for wide ones, the address for part of an address. */
  readonly value: string;
  readonly meaning?: string;
  readonly reserved: boolean;
}

export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

export function dword(lo: number, hi: number): string {
  return `0x${(hi >>> 0).toString(16).padStart(8, '0')}${(lo >>> 0).toString(16).padStart(8, '0')}`;
}

/** 64-bit words, lowest first; zeros at the end are not printed. */
export function dwords(words: Words): string[] {
  const all = Array.from({ length: words.length / 2 }, (_, index) => [
    words[2 * index]!,
    words[2 * index + 1]!,
  ]);
  const last = all.findLastIndex(([lo, hi]) => lo !== 0 || hi !== 0);
  const shown = all.slice(0, Math.max(1, last + 1)).map(([lo, hi]) => dword(lo!, hi!));
  const zeros = all.length - shown.length;
  return zeros === 0 ? shown : [...shown, '(rest 0)'];
}

function printValue(name: string, field: Field, value: bigint): string {
  if (ADDRESS_FIELD.test(name)) return hex(value << BigInt(field.lo & 63));
  return field.hi - field.lo < DECIMAL_BITS_MAX ? String(value) : hex(value);
}

/** The fields of a structure in the order of their bits. */
export function fieldValues(of: Layout, words: Words, which: 'all' | 'non-zero'): FieldValue[] {
  return Object.entries(of.fields)
    .map(([name, field]) => ({ name, field, value: getBig(words, field) }))
    .filter(({ value }) => which === 'all' || value !== 0n)
    .sort((a, b) => a.field.lo - b.field.lo)
    .map(({ name, field, value }) => {
      const meaning = field.values?.[Number(value)];
      return {
        name,
        hi: field.hi,
        lo: field.lo,
        value: printValue(name, field, value),
        ...(meaning === undefined ? {} : { meaning }),
        reserved: field.reserved ?? false,
      };
    });
}

/** `Config=5 (stage 1)` */
export function printField({ name, value, meaning }: FieldValue): string {
  return `${name}=${value}${meaning === undefined ? '' : ` (${meaning})`}`;
}

/** As IHI 0070 13.1.1 writes them: `Normal-iWB/RAWAnTR-oNC-ISH`; what is always Outer Shareable does not say so. */
export function printAttributes({ memoryType, inner, outer, shareability }: MemoryAttributes): string {
  const cached = memoryType === 'Normal' && (inner.policy !== 'NC' || outer.policy !== 'NC');
  const levels = memoryType === 'Normal' ? `-i${printCacheability(inner)}-o${printCacheability(outer)}` : '';
  return `${memoryType}${levels}${cached || shareability !== 'OSH' ? `-${shareability}` : ''}`;
}

function printCacheability({ policy, readAllocate, writeAllocate, transient }: Cacheability): string {
  if (policy === 'NC') return policy;
  return `${policy}/${readAllocate ? 'RA' : 'nRA'}${writeAllocate ? 'WA' : 'nWA'}${transient ? 'TR' : 'nTR'}`;
}

/** Pieces joined into lines of at most `width` characters. */
export function wrap(pieces: readonly string[], width: number, separator = ' '): string[] {
  const lines: string[] = [];
  for (const piece of pieces) {
    const last = lines.at(-1);
    if (last === undefined || last.length + separator.length + piece.length > width) lines.push(piece);
    else lines[lines.length - 1] = `${last}${separator}${piece}`;
  }
  return lines;
}

function letters(mask: number, read: number, write: number, execute: number): string {
  return `${mask & read ? 'r' : '-'}${mask & write ? 'w' : '-'}${mask & execute ? 'x' : '-'}`;
}

/** A permission mask (smmu/permission.ts), as `unprivileged r--, privileged rw-`. */
export function printPermissions(mask: number): string {
  const unprivileged = letters(mask, UNPRIV_READ, UNPRIV_WRITE, UNPRIV_EXECUTE);
  const privileged = letters(mask, PRIV_READ, PRIV_WRITE, PRIV_EXECUTE);
  return `unprivileged ${unprivileged}, privileged ${privileged}`;
}

/** One permission bit in words. */
export function printNeed(need: number): string {
  const privileged = need >= PRIV_READ;
  const kind = privileged ? need >>> 3 : need;
  const what = kind === UNPRIV_READ ? 'read' : kind === UNPRIV_WRITE ? 'write' : 'instruction fetch';
  return `${privileged ? 'privileged' : 'unprivileged'} ${what}`;
}
