import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encode,
  f,
  get,
  getAddress,
  getBig,
  layout,
  put,
  res,
  set,
  setAddress,
} from '../../src/arch/layout.js';

const words = fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 8, maxLength: 8 });
const bitsOf = (value: readonly number[]) =>
  value.reduceRight((all, word) => (all << 32n) | BigInt(word >>> 0), 0n);
const cut = (value: bigint, hi: number, lo: number) =>
  (value >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);

describe('layout', () => {
  test('a declaration with a field outside or two fields over one bit is refused', () => {
    expect(() => layout('X', '0', 32, { A: f(32) })).toThrow('X.A');
    expect(() => layout('X', '0', 32, { A: f(1, 2) })).toThrow('X.A');
    expect(() => layout('X', '0', 32, { A: f(3, 1), B: f(3) })).toThrow('A and B share bit 3');
  });

  test('fields are read as bits of one number, across words too', () => {
    fc.assert(
      fc.property(words, fc.nat(255), fc.nat(31), (value, lo, wide) => {
        const field = f(Math.min(lo + wide, 255), lo);
        expect(BigInt(get(value, field))).toBe(cut(bitsOf(value), field.hi, lo));
        expect(getBig(value, field)).toBe(cut(bitsOf(value), field.hi, lo));
      }),
    );
  });

  test('a field is written without its neighbours', () => {
    fc.assert(
      fc.property(
        words,
        fc.nat(255),
        fc.nat(63),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        (value, lo, wide, to) => {
          const field = f(Math.min(lo + wide, 255), lo);
          const written = Uint32Array.from(value);
          set(written, field, to);
          const mask = ((1n << BigInt(field.hi - lo + 1)) - 1n) << BigInt(lo);
          const expected = (bitsOf(value) & ~mask) | ((to << BigInt(lo)) & mask);
          expect(bitsOf([...written])).toBe(expected);
        },
      ),
    );
  });

  test('put writes as set does where no word is crossed', () => {
    fc.assert(
      fc.property(words, fc.nat(7), fc.nat(31), fc.nat(31), fc.integer(), (value, word, a, b, to) => {
        const field = f(32 * word + Math.max(a, b), 32 * word + Math.min(a, b));
        const one = Int32Array.from(value);
        const other = Int32Array.from(value);
        put(one, field, to);
        set(other, field, BigInt.asUintN(32, BigInt(to)));
        expect(one).toEqual(other);
      }),
    );
  });

  test('an address field is read and written in place', () => {
    fc.assert(
      fc.property(
        words,
        fc.nat(3),
        fc.integer({ min: 4, max: 31 }),
        fc.integer({ min: 47, max: 55 }),
        (value, pair, lo, hi) => {
          const field = f(64 * pair + hi, 64 * pair + lo);
          const expected = cut(bitsOf(value), field.hi, field.lo) << BigInt(lo);
          expect(BigInt(getAddress(value, field))).toBe(expected);
          const written = new Uint32Array(8);
          setAddress(written, field, expected);
          expect(getBig(written, field)).toBe(expected >> BigInt(lo));
        },
      ),
    );
  });

  test('encode leaves what is not named zero', () => {
    const of = layout('X', '0', 64, { A: f(3, 0), Res: res(30, 4), B: f(40, 31), C: f(63, 41) });
    expect([...encode(of, { B: 0x201 })]).toEqual([0x8000_0000, 0x100]);
  });
});
