/**
 * How the plain data of a state is written as JSON and read back: each form is declared once and read both ways. Decoding trusts
 * nothing: types, ranges, sizes and keys are checked, and what is wrong is named by its path.
 *
 * 64-bit values are hex strings, arrays of words and bytes base64. Structures carry a version number (REQUIREMENTS A48).
 */
import { SnapshotError } from './error.js';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Codec<T> {
  readonly isOptional?: true;
  encode(value: T): Json;
  /** @throws SnapshotError, malformed or version */
  decode(json: unknown, path: string): T;
}

function malformed(path: string, expected: string): never {
  throw new SnapshotError('malformed', `${path} is not ${expected}`);
}

export function integer(min: number, max: number): Codec<number> {
  return {
    encode: (value) => value,
    decode: (json, path) =>
      Number.isSafeInteger(json) && (json as number) >= min && (json as number) <= max
        ? (json as number)
        : malformed(path, `a whole number from ${min} to ${max}`),
  };
}

/** Counts things; exact as a double. */
export const count = integer(0, Number.MAX_SAFE_INTEGER);
export const uint32 = integer(0, 0xffff_ffff);
/** An index of an instance: an SMMU, a device, a stream, a slot. */
export const index = integer(0, 0x7fff_ffff);

/** Not negative, with a fraction. */
export const duration: Codec<number> = {
  encode: (value) => value,
  decode: (json, path) =>
    typeof json === 'number' && json >= 0 && json <= Number.MAX_SAFE_INTEGER
      ? json
      : malformed(path, 'a duration'),
};

export const flag: Codec<boolean> = {
  encode: (value) => value,
  decode: (json, path) => (typeof json === 'boolean' ? json : malformed(path, 'true or false')),
};

export function text(max: number): Codec<string> {
  return {
    encode: (value) => value,
    decode: (json, path) =>
      typeof json === 'string' && json.length <= max
        ? json
        : malformed(path, `a text of at most ${max} characters`),
  };
}

export function oneOf<const T extends string | number>(...values: readonly T[]): Codec<T> {
  return {
    encode: (value) => value,
    decode: (json, path) => values.find((value) => value === json) ?? malformed(path, values.join(' or ')),
  };
}

/** Up to 64 bits: registers, input addresses. */
export const hex: Codec<bigint> = {
  encode: (value) => `0x${value.toString(16)}`,
  decode: (json, path) =>
    typeof json === 'string' && /^0x[0-9a-f]{1,16}$/.test(json)
      ? BigInt(json)
      : malformed(path, 'a hex string'),
};

/** @param max elements at most. */
export function bytes(max: number): Codec<Uint8Array> {
  return {
    encode: (value) => Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64'),
    decode: (json, path) => {
      const fits = typeof json === 'string' && json.length <= Math.ceil(max / 3) * 4;
      if (!fits || !/^[A-Za-z0-9+/]*={0,2}$/.test(json)) malformed(path, `base64 of at most ${max} bytes`);
      return new Uint8Array(Buffer.from(json as string, 'base64'));
    },
  };
}

/** 32-bit words, little-endian. */
export function words(max: number): Codec<Int32Array> {
  const raw = bytes(4 * max);
  return {
    encode: (value) => raw.encode(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)),
    decode: (json, path) => {
      const decoded = raw.decode(json, path);
      if (decoded.length % 4 !== 0) malformed(path, 'whole words');
      return new Int32Array(decoded.buffer);
    },
  };
}

export function list<T>(item: Codec<T>, max: number): Codec<readonly T[]> {
  return {
    encode: (values) => values.map((value) => item.encode(value)),
    decode: (json, path) => {
      if (!Array.isArray(json) || json.length > max) malformed(path, `a list of at most ${max}`);
      return (json as unknown[]).map((value, at) => item.decode(value, `${path}[${at}]`));
    },
  };
}

/** The key of a record may be missing. */
export function optional<T>(codec: Codec<T>): Codec<T> {
  return { ...codec, isOptional: true };
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

/** Exactly these keys. */
export function record<T extends object>(
  fields: {
    readonly [K in keyof T]-?: Codec<NonNullable<T[K]>>;
  },
): Codec<T> {
  const entries = Object.entries<Codec<unknown>>(fields as Record<string, Codec<unknown>>);
  const known = new Set(entries.map(([key]) => key));
  return {
    encode: (value) => {
      const from = value as Record<string, unknown>;
      const present = entries.filter(([key]) => from[key] !== undefined);
      return Object.fromEntries(present.map(([key, codec]) => [key, codec.encode(from[key])]));
    },
    decode: (json, path) => {
      if (!isObject(json)) return malformed(path, 'an object');
      const stray = Object.keys(json).find((key) => !known.has(key));
      if (stray !== undefined) malformed(`${path}.${stray}`, 'known');
      const decoded: Record<string, unknown> = {};
      for (const [key, codec] of entries) {
        if (Object.hasOwn(json, key)) decoded[key] = codec.decode(json[key], `${path}.${key}`);
        else if (!codec.isOptional) malformed(`${path}.${key}`, 'there');
      }
      return decoded as T;
    },
  };
}

/** Values by name, where the names are somebody else's to check. */
export function dictionary<T>(item: Codec<T>, max: number): Codec<Readonly<Record<string, T>>> {
  return {
    encode: (values) =>
      Object.fromEntries(Object.entries(values).map(([key, value]) => [key, item.encode(value)])),
    decode: (json, path) => {
      if (!isObject(json) || Object.keys(json).length > max)
        return malformed(path, `an object of at most ${max} keys`);
      return Object.fromEntries(
        Object.entries(json).map(([key, value]) => [key, item.decode(value, `${path}.${key}`)]),
      );
    },
  };
}

/** A structure with a version number of its own. */
export function struct<T extends object>(name: string, version: number, codec: Codec<T>): Codec<T> {
  return {
    encode: (value) => ({ version, ...(codec.encode(value) as object) }),
    decode: (json, path) => {
      if (!isObject(json)) return malformed(path, `a ${name}`);
      const { version: theirs, ...rest } = json;
      if (theirs !== version) refuseVersion(`${path}: ${name}`, theirs, version);
      return codec.decode(rest, path);
    },
  };
}

export function refuseVersion(what: string, theirs: unknown, ours: number): never {
  const named = Number.isSafeInteger(theirs) ? `version ${theirs}` : 'no version';
  throw new SnapshotError('version', `${what} has ${named}; this smmulator reads version ${ours}`);
}

/** Another form of the same data. */
export function mapped<T, U>(
  codec: Codec<U>,
  to: (value: T) => U,
  from: (value: U, path: string) => T,
): Codec<T> {
  return {
    encode: (value) => codec.encode(to(value)),
    decode: (json, path) => from(codec.decode(json, path), path),
  };
}
