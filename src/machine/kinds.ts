/**
 * The kinds of values a machine file has: how each is written, and how its text becomes a value.
 *
 * A kind is data and one function. The reader, the override parser and the JSON Schema all use the same kinds.
 */
import type { ScalarNode } from './tree.js';

/** Why a text is no value of a kind: what was expected instead, for the message. */
export interface Refusal {
  readonly refused: string;
}

export type Parsed<T> = { readonly value: T } | Refusal;

/** How a scalar looks to JSON Schema: its patterns and alternatives. */
export type JsonForm =
  | { readonly form: 'text' }
  | { readonly form: 'source-text' }
  | { readonly form: 'text-or-off' }
  | { readonly form: 'words'; readonly words: readonly (string | number | boolean)[] }
  | { readonly form: 'number'; readonly min: number; readonly max?: number; readonly pattern: string }
  | { readonly form: 'or-auto'; readonly of: JsonForm }
  | { readonly form: 'words-or-number'; readonly words: readonly (string | boolean)[] };

export interface ScalarKind<T> {
  readonly kind: 'scalar';
  readonly parse: (node: ScalarNode) => Parsed<T>;
  readonly json: JsonForm;
}

const HEX = /^0[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*$/;
const PLAIN_INTEGER = /^(?:[-+]?[0-9]+|0o[0-7]+)$/;
const PLAIN_NUMBER =
  /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$/;
const PLAIN_NULL = /^(?:~|null|Null|NULL)?$/;
const PLAIN_TRUE = /^(?:true|True|TRUE)$/;
const PLAIN_FALSE = /^(?:false|False|FALSE)$/;
const SIZE = /^([0-9]+)(KiB|MiB|GiB|TiB)$/;
const UNITS = { KiB: 2n ** 10n, MiB: 2n ** 20n, GiB: 2n ** 30n, TiB: 2n ** 40n } as const;

export const HEX_PATTERN = '^0[xX][0-9a-fA-F]+(_[0-9a-fA-F]+)*$';
export const SIZE_PATTERN = '^(0[xX][0-9a-fA-F]+(_[0-9a-fA-F]+)*|[0-9]+(KiB|MiB|GiB|TiB))$';

export function isNull(node: ScalarNode): boolean {
  return node.plain && PLAIN_NULL.test(node.text);
}

function isBoolean(node: ScalarNode): boolean {
  return node.plain && (PLAIN_TRUE.test(node.text) || PLAIN_FALSE.test(node.text));
}

function isNumber(node: ScalarNode): boolean {
  return node.plain && (PLAIN_INTEGER.test(node.text) || PLAIN_NUMBER.test(node.text) || HEX.test(node.text));
}

/** What YAML takes a scalar for: the words of a message about a wrong type. */
export function describeScalar(node: ScalarNode): string {
  if (isNull(node)) return 'nothing';
  if (isBoolean(node)) return `the boolean ${node.text}`;
  if (isNumber(node)) return `the number ${node.text}`;
  return `'${node.text}'`;
}

function wholeNumber(node: ScalarNode): bigint | undefined {
  if (HEX.test(node.text)) return BigInt(node.text.replaceAll('_', ''));
  return node.plain && PLAIN_INTEGER.test(node.text) ? BigInt(node.text) : undefined;
}

/** The whole number that a scalar is, if it is one. */
export function nodeNumber(node: ScalarNode): number | undefined {
  const value = wholeNumber(node);
  return value === undefined ? undefined : Number(value);
}

/** Any text that YAML does not take for a number, a boolean or nothing. */
export function text(): ScalarKind<string> {
  return {
    kind: 'scalar',
    json: { form: 'text' },
    parse: (node) =>
      node.text === '' || isNull(node) || isBoolean(node) || isNumber(node)
        ? { refused: 'a name' }
        : { value: node.text },
  };
}

/** The source text of whatever is not nothing and no boolean: `02.0` stays `02.0`. */
export function sourceText(expected: string): ScalarKind<string> {
  return {
    kind: 'scalar',
    json: { form: 'source-text' },
    parse: (node) => (isNull(node) || isBoolean(node) ? { refused: expected } : { value: node.text }),
  };
}

/** One of a list of words, taken by its text: `2` and `"2"` are one word. */
export function word<const W extends string>(...words: readonly W[]): ScalarKind<W> {
  const known: readonly string[] = words;
  const json = words.flatMap((w) => (/^[0-9]+$/.test(w) ? [w, Number(w)] : [w]));
  return {
    kind: 'scalar',
    json: { form: 'words', words: json },
    parse: (node) =>
      known.includes(node.text) ? { value: node.text as W } : { refused: `one of ${listWords(words)}` },
  };
}

export function listWords(words: readonly string[]): string {
  const quoted = words.map((w) => `'${w}'`);
  return quoted.length < 2 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
}

export type SwitchState = 'on' | 'off' | 'auto';

function switchState(node: ScalarNode): SwitchState | undefined {
  if (node.text === 'on' || node.text === 'true' || (node.plain && PLAIN_TRUE.test(node.text))) return 'on';
  if (node.text === 'off' || node.text === 'false' || (node.plain && PLAIN_FALSE.test(node.text)))
    return 'off';
  return node.text === 'auto' ? 'auto' : undefined;
}

const SWITCH_WORDS = ['on', 'off', 'auto', true, false] as const;

/** on, off or auto. YAML 1.2 has no `yes` and `no`, and 1 is a number. */
export function toggle(): ScalarKind<SwitchState> {
  return {
    kind: 'scalar',
    json: { form: 'words', words: [...SWITCH_WORDS, 'true', 'false'] },
    parse: (node) => {
      const state = switchState(node);
      return state === undefined ? { refused: "a switch: 'on', 'off' or 'auto'" } : { value: state };
    },
  };
}

interface Range {
  readonly min: bigint;
  readonly max?: bigint;
  /** As a message says it: "a StreamID size of 0 to 32 bits". */
  readonly expected: string;
}

function inRange(value: bigint, { min, max, expected }: Range): Parsed<bigint> {
  return value < min || (max !== undefined && value > max) ? { refused: expected } : { value };
}

function jsonNumber({ min, max }: Range, pattern: string): JsonForm {
  const upper = max === undefined || max > BigInt(Number.MAX_SAFE_INTEGER) ? {} : { max: Number(max) };
  return { form: 'number', min: Number(min), pattern, ...upper };
}

/** A whole number, decimal or hex. */
export function bigInteger(range: Range): ScalarKind<bigint> {
  return {
    kind: 'scalar',
    json: jsonNumber(range, HEX_PATTERN),
    parse: (node) => {
      const value = wholeNumber(node);
      return value === undefined ? { refused: range.expected } : inRange(value, range);
    },
  };
}

function asNumber(parsed: Parsed<bigint>): Parsed<number> {
  return 'refused' in parsed ? parsed : { value: Number(parsed.value) };
}

export function integer(min: number, max: number | undefined, expected: string): ScalarKind<number> {
  const kind = bigInteger({ min: BigInt(min), max: BigInt(max ?? Number.MAX_SAFE_INTEGER), expected });
  return { ...kind, parse: (node) => asNumber(kind.parse(node)) };
}

/** In the place of a number: the host's value, for an accelerated SMMU. Whoever has no host has the default. */
export const AUTO = 'auto';

/** A number, or `auto`. */
export function orAuto<T>(kind: ScalarKind<T>): ScalarKind<T | typeof AUTO> {
  return {
    kind: 'scalar',
    json: { form: 'or-auto', of: kind.json },
    parse: (node) => (node.text === AUTO ? { value: AUTO } : kind.parse(node)),
  };
}

/** A physical address: below 2^52 (IHI 0070 3.4). */
export function address(): ScalarKind<number> {
  return integer(0, 2 ** 52 - 1, 'an address below 2^52, as 0x40000000');
}

/** A whole number of bytes, at least 1, as 4096, 0x1000 or 4KiB. */
export function size(max: number = 2 ** 52): ScalarKind<number> {
  const expected = `a size of at least 1, as 4096, 0x1000 or 4KiB${max < 2 ** 52 ? `, at most ${max}` : ''}`;
  const range: Range = { min: 1n, max: BigInt(max), expected };
  return {
    kind: 'scalar',
    json: jsonNumber(range, SIZE_PATTERN),
    parse: (node) => {
      const unit = SIZE.exec(node.text);
      const value = unit ? BigInt(unit[1]!) * UNITS[unit[2] as keyof typeof UNITS] : wholeNumber(node);
      return value === undefined ? { refused: expected } : asNumber(inRange(value, range));
    },
  };
}

export const GRANULE_NAMES = { 4096: '4KiB', 16384: '16KiB', 65536: '64KiB' } as const;
export type GranuleBytes = keyof typeof GRANULE_NAMES;

/** A translation granule, by its size. */
export function granule(): ScalarKind<GranuleBytes> {
  const bytes = size();
  return {
    kind: 'scalar',
    json: { form: 'words', words: Object.values(GRANULE_NAMES) },
    parse: (node) => {
      const parsed = bytes.parse(node);
      return 'value' in parsed && parsed.value in GRANULE_NAMES
        ? { value: parsed.value as GranuleBytes }
        : { refused: "one of '4KiB', '16KiB' or '64KiB'" };
    },
  };
}

/** Cache size: a number of entries, `off` (0), `unbounded`; `on` and `auto` mean the default. */
export function entries(defaultEntries: number): ScalarKind<number> {
  const expected = "a number of entries, 'off' or 'unbounded'";
  const count = integer(0, 2 ** 24, expected);
  return {
    kind: 'scalar',
    json: { form: 'words-or-number', words: [...SWITCH_WORDS, 'unbounded'] },
    parse: (node) => {
      if (node.text === 'unbounded') return { value: Number.POSITIVE_INFINITY };
      const state = switchState(node);
      if (state !== undefined) return { value: state === 'off' ? 0 : defaultEntries };
      return count.parse(node);
    },
  };
}

/** `off`, or the id of something. */
export function idOrOff(): ScalarKind<string> {
  const id = text();
  return {
    kind: 'scalar',
    json: { form: 'text-or-off' },
    parse: (node) => {
      const state = switchState(node);
      return state === 'off' || state === 'auto' ? { value: 'off' } : id.parse(node);
    },
  };
}
