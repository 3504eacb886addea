/** Random leaf descriptors of VMSAv8-64, by the figures of DDI 0487 D8.3: mostly good ones. */
import type { Random } from './random.js';
import { addressField, shiftAt, type TableShape } from './tables.js';

/** @param sizes output address sizes in bits; now and then it is 52. */
export function randomStage1Leaf(
  r: Random,
  shape: TableShape,
  level: number,
  sizes: readonly number[],
): bigint {
  if (r.chance(7)) return r.bits(64) & ~1n;
  const shift = shiftAt(shape.granule, level);
  const size = r.pick(sizes);
  const out = (r.bits(r.chance(3) ? 52 : size) >> shift) << shift;
  const attributes =
    (BigInt(r.below(8)) << 2n) |
    (BigInt(r.below(4)) << 6n) |
    (r.chance(88) ? 1n << 10n : 0n) |
    (r.chance(60) ? 1n << 11n : 0n) |
    (r.chance(60) ? 1n << 51n : 0n) |
    (r.chance(20) ? 1n << 52n : 0n) |
    (r.chance(30) ? 1n << 53n : 0n) |
    (r.chance(30) ? 1n << 54n : 0n);
  return addressField(shape, out) | attributes | (level === 3 ? 3n : 1n);
}

export function randomStage2Leaf(r: Random, shape: TableShape, level: number): bigint {
  if (r.chance(7)) return r.bits(64) & ~1n;
  const shift = shiftAt(shape.granule, level);
  const out = (r.bits(r.chance(4) ? 52 : r.pick([36, 40, 42])) >> shift) << shift;
  const attributes =
    (BigInt(r.below(16)) << 2n) |
    (BigInt(r.chance(60) ? 3 : r.below(4)) << 6n) |
    (r.chance(88) ? 1n << 10n : 0n) |
    (r.chance(60) ? 1n << 51n : 0n) |
    (r.chance(20) ? 1n << 52n : 0n) |
    (BigInt(r.chance(50) ? 0 : r.below(4)) << 53n);
  return addressField(shape, out) | attributes | (level === 3 ? 3n : 1n);
}
