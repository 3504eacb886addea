/**
 * What this SMMU implements, as limits on the ID registers: "IDRs say exactly what is implemented" is this table.
 * A feature that is not here yet is cleared (or set to its absent value) before an instance is built.
 */
import { IDR0, IDR1, IDR3, IDR5, S_IDR0 } from '../arch/id-registers.js';
import { type Field, get, type Layout, set } from '../arch/layout.js';
import type { IdRegisters } from './config.js';
import { STALLS_MAX } from './stalls.js';

interface Limit {
  readonly register: keyof IdRegisters;
  readonly layout: Layout;
  readonly field: string;
  /** Values that are implemented. */
  readonly allowed: (value: number) => boolean;
  /** What stands there instead. */
  readonly otherwise: (value: number) => number;
}

function absent(register: keyof IdRegisters, of: Layout, ...fields: string[]): Limit[] {
  return fields.map((field) => ({
    register,
    layout: of,
    field,
    allowed: (value) => value === 0,
    otherwise: () => 0,
  }));
}

const LIMITS: readonly Limit[] = [
  { register: 'IDR0', layout: IDR0, field: 'TTF', allowed: (value) => value !== 0, otherwise: () => 2 },
  ...absent(
    'IDR0',
    IDR0,
    'BTM',
    'DORMHINT',
    'ATS',
    'NS1ATS',
    'ATOS',
    'PRI',
    'VATOS',
    'ATSRECERR',
    'RME_IMPL',
  ),
  { register: 'IDR0', layout: IDR0, field: 'STALL_MODEL', allowed: (value) => value < 3, otherwise: () => 1 },
  { register: 'IDR0', layout: IDR0, field: 'ST_LEVEL', allowed: (value) => value < 2, otherwise: () => 1 },
  ...absent('IDR1', IDR1, 'REL', 'QUEUES_PRESET', 'TABLES_PRESET', 'ECMDQ'),
  ...absent(
    'IDR3',
    IDR3,
    'PBHA',
    'PPS',
    'MPAM',
    'PTWNNC',
    'DPT',
    'PASIDTT',
    'S1PI',
    'S2PI',
    'S2PO',
    'THE',
    'MTEPERM',
    'AIE',
  ),
  { register: 'IDR5', layout: IDR5, field: 'OAS', allowed: (value) => value < 7, otherwise: () => 6 },
  { register: 'IDR5', layout: IDR5, field: 'VAX', allowed: (value) => value < 2, otherwise: () => 1 },
  ...absent('IDR5', IDR5, 'D128'),
  {
    register: 'IDR5',
    layout: IDR5,
    field: 'STALL_MAX',
    allowed: (value) => value <= STALLS_MAX,
    otherwise: () => STALLS_MAX,
  },
  {
    register: 'S_IDR0',
    layout: S_IDR0,
    field: 'STALL_MODEL',
    allowed: (value) => value < 3,
    otherwise: () => 1,
  },
  ...absent('S_IDR0', S_IDR0, 'ECMDQ'),
];

/** One limit for people: the field, and the values of it that are implemented, as `0, 2-6`. */
export interface LimitDescription {
  readonly field: string;
  readonly section: string;
  readonly implemented: string;
}

function ranges(ascending: readonly number[]): string {
  const starts = ascending.filter((value) => !ascending.includes(value - 1));
  const ends = ascending.filter((value) => !ascending.includes(value + 1));
  return starts.map((start, i) => (start === ends[i] ? `${start}` : `${start}-${ends[i]}`)).join(', ');
}

/** The table above as the reference page shows it. Fields that are not in it are implemented in all their values. */
export function describeLimits(): LimitDescription[] {
  return LIMITS.map(({ register, layout, field, allowed }) => {
    const { hi, lo } = layout.fields[field] as Field;
    const values = Array.from({ length: 2 ** (hi - lo + 1) }, (_, value) => value).filter(allowed);
    return { field: `${register}.${field}`, section: layout.section, implemented: ranges(values) };
  });
}

/**
 * Reduces ID register words to what is implemented.
 * @returns the words, and the name (`IDR0.ATS`) of each field that was asked for and is not there.
 */
export function implementedIdr(asked: IdRegisters): { idr: IdRegisters; refused: string[] } {
  const idr: Record<keyof IdRegisters, number> = { ...asked };
  const refused: string[] = [];
  for (const limit of LIMITS) {
    const secureAbsent = limit.register.startsWith('S_') && (asked.S_IDR1 & 0x8000_0000) === 0;
    if (secureAbsent) continue;
    const field = limit.layout.fields[limit.field] as Field;
    const words = [idr[limit.register]];
    const value = get(words, field);
    if (limit.allowed(value)) continue;
    set(words, field, limit.otherwise(value));
    idr[limit.register] = words[0]! >>> 0;
    refused.push(`${limit.register}.${limit.field}`);
  }
  return { idr, refused };
}
