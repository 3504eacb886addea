/**
 * Readers of single JSON values and the strict object that hands them out: every key must be asked for, so what the
 * format does not know is an error and never ignored.
 */
import { NON_SECURE, SECURE, type SecurityState } from '../arch/security.js';
import { ScenarioFormatError } from './format.js';

/** Turns a JSON value into what it means, or refuses it. `what` names the key for the message. */
export type Reader<T> = (value: unknown, what: string) => T;

function refuse(what: string, expected: string, value: unknown): never {
  const shown = JSON.stringify(value) ?? 'nothing';
  const short = shown.length > 60 ? `${shown.slice(0, 57)}...` : shown;
  throw new ScenarioFormatError(`"${what}" must be ${expected}, not ${short}`);
}

/** A whole number, written as one or as a hex string; everything that may exceed 2^53 is a hex string. */
export const wide: Reader<bigint> = (value, what) => {
  if (typeof value === 'string' && /^0x[0-9a-fA-F]{1,16}$/.test(value)) return BigInt(value);
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  return refuse(what, 'a hex string of up to 64 bits or a whole number', value);
};

function atMost(limit: number, expected: string): Reader<number> {
  return (value, what) => {
    const exact = wide(value, what);
    return exact <= BigInt(limit) ? Number(exact) : refuse(what, expected, value);
  };
}

/** A physical address or a size: 52 bits, and one past the end. */
export const address = atMost(2 ** 52, 'below 2^52');
export const word = atMost(0xffff_ffff, 'a 32-bit value');
export const count = atMost(Number.MAX_SAFE_INTEGER, 'a whole number');
/** Sizes of one step's data; far above what a step needs, far below what would exhaust memory. */
export const dataSize = atMost(1 << 28, 'at most 256 MiB');

export const flag: Reader<boolean> = (value, what) =>
  typeof value === 'boolean' ? value : refuse(what, 'true or false', value);

export const text: Reader<string> = (value, what) =>
  typeof value === 'string' ? value : refuse(what, 'a string', value);

/** Bytes in memory order, lower-case hex without prefix. */
export const bytes: Reader<Uint8Array> = (value, what) => {
  if (typeof value !== 'string' || !/^(?:[0-9a-f]{2})*$/.test(value)) {
    return refuse(what, 'bytes in lower-case hex without prefix', value);
  }
  const result = new Uint8Array(value.length / 2);
  for (let index = 0; index < result.length; index++) {
    result[index] = Number.parseInt(value.slice(2 * index, 2 * index + 2), 16);
  }
  return result;
};

export const security: Reader<SecurityState> = (value, what) => {
  if (value === 'non-secure') return NON_SECURE;
  if (value === 'secure') return SECURE;
  return refuse(what, '"non-secure" or "secure"', value);
};

export function oneOf<const T extends string | number>(...choices: readonly T[]): Reader<T> {
  return (value, what) =>
    choices.includes(value as T)
      ? (value as T)
      : refuse(what, choices.map((choice) => JSON.stringify(choice)).join(' or '), value);
}

export function list<T>(item: Reader<T>): Reader<T[]> {
  return (value, what) =>
    Array.isArray(value)
      ? value.map((entry, index) => item(entry, `${what}[${index}]`))
      : refuse(what, 'a list', value);
}

/** Any value: a key that is known and means nothing to a replay. */
export const ignored: Reader<unknown> = (value) => value;

/** An object whose keys are taken one by one; `finish` refuses those that nobody took. */
export class Fields {
  readonly #values: Map<string, unknown>;
  readonly #what: string;

  constructor(value: unknown, what: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(what, 'an object', value);
    this.#values = new Map(Object.entries(value as Record<string, unknown>));
    this.#what = what;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  required<T>(key: string, read: Reader<T>): T {
    const value = this.optional(key, read);
    if (value === undefined) throw new ScenarioFormatError(`${this.#what} lacks "${key}"`);
    return value;
  }

  optional<T>(key: string, read: Reader<T>): T | undefined {
    if (!this.#values.has(key)) return undefined;
    const value = this.#values.get(key);
    this.#values.delete(key);
    return read(value, key);
  }

  /** The remaining entries: an object whose keys are names. */
  named<T>(read: Reader<T>): [string, T][] {
    const entries = [...this.#values].map(([key, value]): [string, T] => [key, read(value, key)]);
    this.#values.clear();
    return entries;
  }

  finish(): void {
    const [unknown] = this.#values.keys();
    if (unknown !== undefined) throw new ScenarioFormatError(`unknown key "${unknown}" in ${this.#what}`);
  }
}
