/**
 * Event records (IHI 0070 7.3): number, name and fields of every record that this architecture version defines.
 * Records are 32 bytes, little-endian. E_PAGE_REQUEST and IMPDEF records are not generated and not listed.
 */
import { type Field, f, getBig, type Layout, layout, type Words } from './layout.js';

export const EVENT_BYTES = 32;

export const F_UUT = 0x01;
export const C_BAD_STREAMID = 0x02;
export const F_STE_FETCH = 0x03;
export const C_BAD_STE = 0x04;
export const F_BAD_ATS_TREQ = 0x05;
export const F_STREAM_DISABLED = 0x06;
export const F_TRANSL_FORBIDDEN = 0x07;
export const C_BAD_SUBSTREAMID = 0x08;
export const F_CD_FETCH = 0x09;
export const C_BAD_CD = 0x0a;
export const F_WALK_EABT = 0x0b;
export const F_TRANSLATION = 0x10;
export const F_ADDR_SIZE = 0x11;
export const F_ACCESS = 0x12;
export const F_PERMISSION = 0x13;
export const F_TLB_CONFLICT = 0x20;
export const F_CFG_CONFLICT = 0x21;
export const F_VMS_FETCH = 0x25;

/** CLASS: the operation that caused the fault. */
export const CLASS_CD = 0;
export const CLASS_TT = 1;
export const CLASS_IN = 2;

const HEADER = { EventNumber: f(7, 0), SSV: f(11), SubstreamID: f(31, 12), StreamID: f(63, 32) } as const;
const SUBSTREAM_ERROR: Partial<Record<EventField, Field>> = {
  EventNumber: HEADER.EventNumber,
  SubstreamID: HEADER.SubstreamID,
  StreamID: HEADER.StreamID,
};
const ACCESS = { PnU: f(97), InD: f(98), RnW: f(99), InputAddr: f(191, 128) } as const;
const FETCH = { Reason: f(79, 64), GPCF: f(80), FetchAddr: f(247, 195) } as const;
const CLASS = f(105, 104, { 0: 'CD', 1: 'TT', 2: 'IN' });
const STAGE = { S2: f(103), CLASS } as const;
const FAULT = {
  STAG: f(79, 64),
  Stall: f(95),
  ...ACCESS,
  NSIPA: f(100),
  ...STAGE,
  IPA: f(247, 204),
} as const;

/** Low address bits that a field leaves out, for printing. */
const ADDRESS_SHIFT: Readonly<Record<string, bigint>> = { FetchAddr: 3n, IPA: 12n };
const ALWAYS_PRINTED: ReadonlySet<string> = new Set(['StreamID', 'InputAddr', 'RnW']);

export type EventField =
  | keyof typeof HEADER
  | keyof typeof FAULT
  | keyof typeof FETCH
  | 'TTRnW'
  | 'UUTReason'
  | 'ConflictReason';

function event(
  name: string,
  section: string,
  fields: Partial<Record<EventField, Field>>,
): Layout<EventField> {
  return layout(name, section, 256, { ...HEADER, ...fields } as Record<EventField, Field>);
}

/** The union of all fields of all records: for writers, which know what they write. */
export const EVENT = {
  ...HEADER,
  ...FAULT,
  FetchAddr: FETCH.FetchAddr,
  TTRnW: f(108),
} as const;

export const EVENTS: ReadonlyMap<number, Layout<EventField>> = new Map([
  [F_UUT, event('F_UUT', '7.3.2', { UUTReason: f(95, 80), ...ACCESS })],
  [C_BAD_STREAMID, event('C_BAD_STREAMID', '7.3.3', {})],
  [F_STE_FETCH, event('F_STE_FETCH', '7.3.4', FETCH)],
  [C_BAD_STE, event('C_BAD_STE', '7.3.5', {})],
  [F_BAD_ATS_TREQ, event('F_BAD_ATS_TREQ', '7.3.6', {})],
  [F_STREAM_DISABLED, event('F_STREAM_DISABLED', '7.3.7', {})],
  [
    F_TRANSL_FORBIDDEN,
    event('F_TRANSL_FORBIDDEN', '7.3.8', { RnW: ACCESS.RnW, InputAddr: ACCESS.InputAddr }),
  ],
  // No SSV: the SubstreamID is always valid.
  [
    C_BAD_SUBSTREAMID,
    layout('C_BAD_SUBSTREAMID', '7.3.9', 256, SUBSTREAM_ERROR as Record<EventField, Field>),
  ],
  [F_CD_FETCH, event('F_CD_FETCH', '7.3.10', FETCH)],
  [C_BAD_CD, event('C_BAD_CD', '7.3.11', {})],
  [F_WALK_EABT, event('F_WALK_EABT', '7.3.12', { ...FETCH, ...ACCESS, ...STAGE })],
  [F_TRANSLATION, event('F_TRANSLATION', '7.3.13', FAULT)],
  [F_ADDR_SIZE, event('F_ADDR_SIZE', '7.3.14', FAULT)],
  [F_ACCESS, event('F_ACCESS', '7.3.15', FAULT)],
  [F_PERMISSION, event('F_PERMISSION', '7.3.16', { ...FAULT, TTRnW: f(108) })],
  [
    F_TLB_CONFLICT,
    event('F_TLB_CONFLICT', '7.3.17', { ConflictReason: f(95, 64), ...ACCESS, ...STAGE, IPA: FAULT.IPA }),
  ],
  [F_CFG_CONFLICT, event('F_CFG_CONFLICT', '7.3.18', { ConflictReason: f(95, 64) })],
  [F_VMS_FETCH, event('F_VMS_FETCH', '7.3.20', FETCH)],
]);

/** The record's name, or its number in hex where the architecture does not define it. */
export function eventName(number: number): string {
  return EVENTS.get(number)?.name ?? `event 0x${number.toString(16).padStart(2, '0')}`;
}

/**
 * The fields of a record that say something, by name, printed: labels where the architecture has them, else hex;
 * addresses in full. Zero fields are left out, but not who, where and whether it read.
 */
export function eventFields(words: Words): Record<string, string> {
  const of = EVENTS.get(words[0]! & 0xff);
  const printed: Record<string, string> = {};
  if (of === undefined) return printed;
  const hasSubstream = of.fields.SSV === undefined || getBig(words, of.fields.SSV) === 1n;
  for (const [name, field] of Object.entries<Field>(of.fields)) {
    if (name === 'EventNumber' || (name === 'SubstreamID' && !hasSubstream)) continue;
    const value = getBig(words, field) << (ADDRESS_SHIFT[name] ?? 0n);
    const label = field.values?.[Number(value)];
    if (label !== undefined) printed[name] = label;
    else if (value !== 0n || ALWAYS_PRINTED.has(name)) printed[name] = `0x${value.toString(16)}`;
  }
  return printed;
}

/** A record in one line, as `F_TRANSLATION StreamID=0x8 RnW=0x1 InputAddr=0x1000 CLASS=IN`. */
export function formatEvent(words: Words): string {
  const fields = Object.entries(eventFields(words)).map(([name, value]) => `${name}=${value}`);
  return [eventName(words[0]! & 0xff), ...fields].join(' ');
}
