/**
 * How an architectural structure is declared: its fields by the spec's names and bit positions, said once.
 *
 * A layout is data. Emulator, decoders, encoders, reference pages and tests read the same declaration.
 * Bits are numbered over the whole structure as the spec numbers them (STE.S2TTB is bits [247:196]), and a
 * structure is an array of 32-bit words, word 0 holding bits [31:0]. Fields may cross word boundaries.
 */

export interface Field {
  /** Most significant bit, counted over the whole structure. */
  readonly hi: number;
  /** Least significant bit. */
  readonly lo: number;
  /** Meaning of some values, for printing. */
  readonly values?: Readonly<Record<number, string>>;
  /** RES0 and software-reserved ranges are declared too, so that every bit of a structure has a name. */
  readonly reserved?: boolean;
}

export interface Layout<Name extends string = string> {
  readonly name: string;
  /** Section of IHI 0070 (or DDI 0487 where prefixed with D). */
  readonly section: string;
  readonly bits: number;
  readonly fields: Readonly<Record<Name, Field>>;
}

/** Anything that holds 32-bit words of a structure; element sign does not matter. */
export type Words = ArrayLike<number>;
export type MutableWords = Int32Array | Uint32Array | number[];

/** Declares a field, most significant bit first, as the spec writes it: `f(3, 1)` is bits [3:1], `f(0)` bit [0]. */
export function f(hi: number, lo: number = hi, values?: Readonly<Record<number, string>>): Field {
  return values === undefined ? { hi, lo } : { hi, lo, values };
}

/** A reserved range: RES0, IMPLEMENTATION DEFINED unused here, or reserved for software. */
export function res(hi: number, lo: number = hi): Field {
  return { hi, lo, reserved: true };
}

/**
 * Builds a layout and checks it: no field outside the structure, no two fields over one bit.
 * @throws Error when the declaration itself is wrong; this happens at import, so a wrong table cannot be shipped.
 */
export function layout<const Name extends string>(
  name: string,
  section: string,
  bits: number,
  fields: Readonly<Record<Name, Field>>,
): Layout<Name> {
  let below: [string, Field] | undefined;
  for (const entry of Object.entries<Field>(fields).sort(([, a], [, b]) => a.lo - b.lo)) {
    const [fieldName, field] = entry;
    if (field.hi < field.lo || field.hi >= bits) throw new Error(`${name}.${fieldName}: bits out of range`);
    if (below !== undefined && below[1].hi >= field.lo)
      throw new Error(`${name}: ${below[0]} and ${fieldName} share bit ${field.lo}`);
    below = entry;
  }
  return { name, section, bits, fields };
}

/** Reads a field of up to 32 bits as an unsigned number. */
export function get(words: Words, field: Field): number {
  const width = field.hi - field.lo + 1;
  const index = field.lo >>> 5;
  const shift = field.lo & 31;
  let value = words[index]! >>> shift;
  if (shift !== 0 && shift + width > 32) value |= words[index + 1]! << (32 - shift);
  return width === 32 ? value >>> 0 : (value & ((1 << width) - 1)) >>> 0;
}

/** Reads a field of up to 64 bits as a bigint: for printing, files and tests, never on a hot path. */
export function getBig(words: Words, field: Field): bigint {
  let value = 0n;
  for (let bit = field.hi; bit >= field.lo; bit--) {
    value = (value << 1n) | BigInt((words[bit >>> 5]! >>> (bit & 31)) & 1);
  }
  return value;
}

/**
 * Reads an address field in place: the bits keep their position within the 64-bit word that holds them, so
 * STE.S1ContextPtr, bits [55:6], yields the pointer itself. The result is an exact number (at most 56 bits are
 * declared; values above 2^53 lose no bit because addresses are at least 16-byte aligned).
 */
export function getAddress(words: Words, field: Field): number {
  const base = (field.lo >>> 6) << 1;
  const lo = field.lo & 63;
  const hi = field.hi & 63;
  const loMask = lo >= 32 ? 0 : -1 << lo;
  const hiMask = hi >= 63 ? -1 : hi >= 32 ? (1 << (hi - 31)) - 1 : 0;
  return (words[base + 1]! & hiMask) * 0x1_0000_0000 + ((words[base]! & loMask) >>> 0);
}

/** Writes a field; bits of `value` that do not fit are an error of the caller and are cut off. */
export function set(words: MutableWords, field: Field, value: number | bigint): void {
  let rest = BigInt(value);
  for (let bit = field.lo; bit <= field.hi; bit++) {
    const mask = 1 << (bit & 31);
    const index = bit >>> 5;
    words[index] = rest & 1n ? words[index]! | mask : words[index]! & ~mask;
    rest >>= 1n;
  }
}

/** Writes a field of up to 32 bits that does not cross a word: for hot paths, which set() is too slow for. */
export function put(words: Int32Array, field: Field, value: number): void {
  const index = field.lo >>> 5;
  const width = field.hi - field.lo + 1;
  const mask = (width === 32 ? -1 : (1 << width) - 1) << (field.lo & 31);
  words[index] = (words[index]! & ~mask) | ((value << (field.lo & 31)) & mask);
}

/** Writes an address field in place: the counterpart of {@link getAddress}; bits outside the field are dropped. */
export function setAddress(words: MutableWords, field: Field, address: number | bigint): void {
  set(words, field, BigInt(address) >> BigInt(field.lo & 63));
}

/**
 * Makes a structure from field values by name.
 * @returns the words, lowest first.
 */
export function encode<Name extends string>(
  of: Layout<Name>,
  values: Partial<Record<Name, number | bigint>>,
): Uint32Array {
  const words = new Uint32Array(Math.ceil(of.bits / 32));
  for (const [name, value] of Object.entries<number | bigint | undefined>(values)) {
    if (value !== undefined) set(words, of.fields[name as Name], value);
  }
  return words;
}
