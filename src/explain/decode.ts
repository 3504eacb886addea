/**
 * Decoding by the declarations in arch: words or bytes of any structure, command, event record, descriptor or register
 * to its fields, and what is wrong with it.
 *
 * An STE or CD is judged by the validity rules that the SMMU itself uses; a CD as one that a plain stage 1 STE selects.
 */
import {
  acceptedCommands,
  CERROR_ILL,
  COMMAND_BYTES,
  COMMANDS_BY_OPCODE,
  hasIllegalParameters,
} from '../arch/commands.js';
import {
  S1_LEAF_DESCRIPTOR,
  S2_LEAF_DESCRIPTOR,
  TABLE_DESCRIPTOR,
  wideDescriptor,
} from '../arch/descriptors.js';
import { EVENT_BYTES, EVENTS } from '../arch/events.js';
import { IDR3 } from '../arch/id-registers.js';
import { encode, get, type Layout, type Words } from '../arch/layout.js';
import { REGISTERS, type Register } from '../arch/registers.js';
import type { SecurityState } from '../arch/security.js';
import { CD, L1CD, L1STD, STE } from '../arch/structures.js';
import type { IdRegisters } from '../smmu/config.js';
import { readFeatures } from '../smmu/features.js';
import { brokenCdRules } from '../smmu/tbu/cd.js';
import { brokenSteRules, decodeSte } from '../smmu/tbu/ste.js';
import { minBlockLevel } from '../smmu/tbu/table.js';
import { describeDescriptor } from './descriptor.js';
import type { Reason } from './reason.js';
import { dwords, type FieldValue, fieldValues, hex, printField } from './text.js';

export interface DecodeOptions {
  /** The SMMU by whose features a structure is judged. */
  readonly idr: IdRegisters;
  /** The stream's, or the queue's. */
  readonly security: SecurityState;
  /** Of a pte: its stage and granule, and its level where that is known. */
  readonly stage: 1 | 2;
  readonly granuleBits: 12 | 14 | 16;
  readonly level?: number;
  /** Address bits of a pte's format: 52 is DS, or with the 64KB granule a 52-bit OAS. */
  readonly addressBits: 48 | 52;
}

export interface Decoded {
  readonly name: string;
  /** As `IHI 0070 5.2`. */
  readonly section: string;
  readonly words: Words;
  /** All of them, reserved and zero ones too. */
  readonly fields: readonly FieldValue[];
  /** What it comes to, in words. */
  readonly notes: readonly string[];
  /** What the SMMU makes of it for those reasons: an error, or nothing there. */
  readonly verdict: 'ILLEGAL' | 'invalid';
  /** Why the SMMU does not accept it; none when it does. */
  readonly illegal: readonly Reason[];
}

/** What was given is not what was named; the message is for whoever typed it. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

interface Kind {
  readonly sizeBytes: number;
  readonly what: string;
  readonly decode: (words: Words, options: DecodeOptions) => readonly Decoded[];
}

const SPAN_MAX = 11;

function decoded(
  of: Layout,
  words: Words,
  illegal: readonly Reason[] = [],
  notes: readonly string[] = [],
  verdict: Decoded['verdict'] = 'ILLEGAL',
): Decoded {
  const section = `${of.section.startsWith('D') ? 'DDI 0487' : 'IHI 0070'} ${of.section}`;
  return { name: of.name, section, words, fields: fieldValues(of, words, 'all'), notes, verdict, illegal };
}

function decodeStructureSte(words: Words, { idr, security }: DecodeOptions): Decoded[] {
  const features = readFeatures(idr);
  const broken = brokenSteRules(words, { features, security, stallModel: features.stallModel[security] });
  return [decoded(STE, words, broken.map(reasonOfRule))];
}

function decodeStructureCd(words: Words, { idr, security }: DecodeOptions): Decoded[] {
  const features = readFeatures(idr);
  const about = { features, security, stallModel: features.stallModel[security] };
  const ste = decodeSte(encode(STE, { V: 1, Config: 5 }), about, false);
  return [decoded(CD, words, brokenCdRules(words, { ...about, ste }).map(reasonOfRule))];
}

function reasonOfRule({ rule, section }: { readonly rule: string; readonly section: string }): Reason {
  return { text: rule, section: `IHI 0070 ${section}` };
}

function decodeL1Std(words: Words): Decoded[] {
  const span = get(words, L1STD.fields.Span);
  const broken =
    span === 0
      ? ['Span == 0: there is no level 2 array, its StreamIDs are invalid']
      : span > SPAN_MAX
        ? [`Span == ${span} is reserved and behaves as 0`]
        : [];
  const notes = broken.length > 0 ? [] : [`${2 ** (span - 1)} STEs of 64 bytes`];
  return [
    decoded(
      L1STD,
      words,
      broken.map((text) => ({ text, section: 'IHI 0070 5.1' })),
      notes,
      'invalid',
    ),
  ];
}

function decodeL1Cd(words: Words): Decoded[] {
  const invalid = get(words, L1CD.fields.V) === 0;
  return [decoded(L1CD, words, invalid ? [{ text: 'V == 0', section: 'IHI 0070 5.3' }] : [], [], 'invalid')];
}

function decodeCommand(words: Words, { idr, security }: DecodeOptions): Decoded[] {
  const opcode = words[0]! & 0xff;
  const of = COMMANDS_BY_OPCODE.get(opcode);
  if (of === undefined) {
    throw new DecodeError(`no command has opcode ${hex(opcode)} (CERROR_ILL, IHI 0070 4.1.3)`);
  }
  const features = readFeatures(idr);
  const range = { ril: get([idr.IDR3], IDR3.fields.RIL) === 1, ds: features.ds };
  const accepted = acceptedCommands(security, idr)[opcode] !== undefined;
  const illegal: Reason[] = [];
  if (!accepted)
    illegal.push(illegalCommand('the command does not exist on this queue with these ID registers'));
  else if (hasIllegalParameters(of, words, security, range)) {
    illegal.push(illegalCommand('its parameters are reserved or illegal on this queue'));
  }
  return [decoded(of, words, illegal)];
}

function illegalCommand(why: string): Reason {
  return { text: `CERROR_ILL (${CERROR_ILL}): ${why}`, section: 'IHI 0070 4.1.3' };
}

function decodeEvent(words: Words): Decoded[] {
  const number = words[0]! & 0xff;
  const of = EVENTS.get(number);
  if (of === undefined) throw new DecodeError(`no event record has number ${hex(number)} (IHI 0070 7.3)`);
  return [decoded(of, words)];
}

/** A descriptor's kind depends on its level: without one, each reading that its low bits allow. */
function decodePte(words: Words, options: DecodeOptions): Decoded[] {
  const { stage, granuleBits, level, addressBits } = options;
  const readings = level === undefined ? [2, 3] : [level];
  const shown: Decoded[] = [];
  for (const at of readings) {
    const meaning = describe(words, options, at);
    const narrow =
      meaning.kind === 'table' ? TABLE_DESCRIPTOR : stage === 1 ? S1_LEAF_DESCRIPTOR : S2_LEAF_DESCRIPTOR;
    const of = addressBits === 52 ? wideDescriptor(narrow, granuleBits === 16) : narrow;
    const invalid = meaning.kind === 'invalid';
    const where = level === undefined && at === 2 && !invalid ? 'below level 3' : `at level ${at}`;
    const illegal = invalid
      ? [{ text: `${where}, ${meaning.text.replace('invalid: ', '')}`, section: 'DDI 0487 D8.3.1' }]
      : [];
    if (invalid && shown.length > 0) continue;
    shown.push(decoded(of, words, illegal, invalid ? [] : [`${where}: ${meaning.text}`], 'invalid'));
  }
  return shown;
}

function describe(words: Words, { stage, granuleBits, addressBits }: DecodeOptions, level: number) {
  const lpa = addressBits === 52 && granuleBits === 16;
  const ds = addressBits === 52 && granuleBits !== 16;
  const format = {
    granuleBits,
    minBlockLevel: minBlockLevel(granuleBits, ds, lpa),
    lpa,
    ds,
    hierarchical: true,
  };
  return describeDescriptor(format, stage, level, words[0]!, words[1]!);
}

const KINDS: ReadonlyMap<string, Kind> = new Map(
  Object.entries({
    ste: { sizeBytes: 64, what: 'an STE', decode: decodeStructureSte },
    cd: { sizeBytes: 64, what: 'a CD', decode: decodeStructureCd },
    l1std: { sizeBytes: 8, what: 'an L1STD', decode: decodeL1Std },
    'cd-l1': { sizeBytes: 8, what: 'an L1CD', decode: decodeL1Cd },
    pte: { sizeBytes: 8, what: 'a translation table descriptor', decode: decodePte },
    cmd: { sizeBytes: COMMAND_BYTES, what: 'a command', decode: decodeCommand },
    event: { sizeBytes: EVENT_BYTES, what: 'an event record', decode: decodeEvent },
  } satisfies Record<string, Kind>),
);

/** The names that are no registers. */
export const STRUCTURE_NAMES: readonly string[] = [...KINDS.keys()];

function findRegister(name: string): Register | undefined {
  const wanted = name.toUpperCase();
  return REGISTERS.find((of) => of.name === wanted || of.name === `SMMU_${wanted}`);
}

function kindOf(name: string): Kind {
  const kind = KINDS.get(name.toLowerCase());
  if (kind !== undefined) return kind;
  const of = findRegister(name);
  if (of === undefined) {
    throw new DecodeError(
      `nothing is called '${name}': ${STRUCTURE_NAMES.join(', ')} or a register, as CR0 or S_GBPA`,
    );
  }
  return { sizeBytes: of.bits / 8, what: of.name, decode: (words) => [decoded(of, words)] };
}

/** Words of the structure that was typed: all 64-bit or all 32-bit with 0x, or bytes in memory order without. */
function readWords(tokens: readonly string[], { sizeBytes, what }: Kind): number[] {
  const texts = tokens.map((token) => token.replaceAll('_', ''));
  for (const [index, text] of texts.entries()) {
    if (!/^(?:0[xX])?[0-9a-fA-F]+$/.test(text))
      throw new DecodeError(`'${tokens[index]}' is not hexadecimal`);
  }
  const prefixed = texts.filter((text) => /^0[xX]/.test(text)).length;
  // Among words a plain 0 can only be the word.
  if (prefixed > 0 && texts.some((text) => !/^0(?:[xX]|$)/.test(text))) {
    throw new DecodeError('words begin with 0x and bytes do not: one or the other');
  }
  return prefixed === 0 ? fromBytes(texts.join(''), sizeBytes, what) : fromNumbers(texts, sizeBytes, what);
}

function sizeError(what: string, sizeBytes: number, got: string): DecodeError {
  const long = sizeBytes >= 8 ? `${count(sizeBytes / 8, '64-bit word')}, ` : '';
  return new DecodeError(
    `${what} has ${sizeBytes} bytes: ${long}${count(sizeBytes / 4, '32-bit word')} or ${2 * sizeBytes} hex digits ` +
      `in memory order; got ${got}`,
  );
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function fromBytes(digits: string, sizeBytes: number, what: string): number[] {
  if (digits.length !== 2 * sizeBytes) throw sizeError(what, sizeBytes, count(digits.length, 'hex digit'));
  return Array.from({ length: sizeBytes / 4 }, (_, index) => {
    const bytes = digits.slice(8 * index, 8 * index + 8).match(/../g)!;
    return Number.parseInt(bytes.reverse().join(''), 16);
  });
}

function fromNumbers(texts: readonly string[], sizeBytes: number, what: string): number[] {
  const bits = (8 * sizeBytes) / texts.length;
  if (bits !== 64 && bits !== 32) throw sizeError(what, sizeBytes, count(texts.length, 'word'));
  return texts.flatMap((text) => {
    const value = BigInt(text);
    if (value >> BigInt(bits) !== 0n) throw new DecodeError(`${text} has more than ${bits} bits`);
    return bits === 32 ? [Number(value)] : [Number(value & 0xffff_ffffn), Number(value >> 32n)];
  });
}

/**
 * Decodes what was typed.
 * @returns one reading, or several where the bits alone do not tell.
 * @throws DecodeError when the name is unknown or the size is not the structure's.
 */
export function decode(name: string, tokens: readonly string[], options: DecodeOptions): readonly Decoded[] {
  const kind = kindOf(name);
  return kind.decode(readWords(tokens, kind), options);
}

/** As lines of text. */
export function renderDecoded(
  { name, section, words, fields, notes, verdict, illegal }: Decoded,
  all: boolean,
): string[] {
  const shown = all ? fields : fields.filter(({ value, reserved }) => !reserved && !isZero(value));
  const bits = shown.map(({ hi, lo }) => `[${hi === lo ? hi : `${hi}:${lo}`}]`);
  const width = Math.max(0, ...bits.map((text) => text.length));
  const values = words.length % 2 === 0 ? dwords(words) : [`0x${words[0]!.toString(16).padStart(8, '0')}`];
  const reserved = all ? [] : fields.filter(({ value, reserved: is }) => is && !isZero(value));
  return [
    `${name} (${section})  ${values.join(' ')}`,
    ...notes.map((note) => `  ${note}`),
    ...shown.map((field, index) => `  ${bits[index]!.padEnd(width)}  ${printField(field)}`),
    ...(shown.length === 0 ? ['  all fields are 0'] : []),
    ...reserved.map(
      ({ name: field, hi, lo, value }) => `  reserved bits [${hi}:${lo}] are not 0: ${field}=${value}`,
    ),
    ...illegal.map(({ text, section: at }) => `  ${verdict}: ${text} (${at})`),
  ];
}

function isZero(value: string): boolean {
  return BigInt(value) === 0n;
}
