/**
 * The bytes that a device fills memory with, made from a step's pattern and the input address of each byte.
 *
 * Every aligned group of four bytes has a value of its own, so that data which lands a page, a line or a word
 * off, or comes from another step, does not look right. Cheap: a multiplication mix per four bytes.
 */

function mix(pattern: number, groupLo: number, hi: number): number {
  let x = Math.imul(groupLo ^ 0x9e37_79b9, 0x85eb_ca6b) ^ Math.imul(hi + pattern, 0xc2b2_ae35) ^ pattern;
  x = Math.imul(x ^ (x >>> 15), 0x2c1b_3c6d);
  return x ^ (x >>> 13);
}

/** The byte at one input address. */
export function patternByte(pattern: number, iovaLo: number, iovaHi: number): number {
  return (mix(pattern, iovaLo >>> 2, iovaHi) >>> ((iovaLo & 3) << 3)) & 0xff;
}

/** Writes the bytes of a range into a buffer. The range does not cross a 4 GiB boundary. */
export function fillPattern(
  pattern: number,
  iovaLo: number,
  iovaHi: number,
  into: Uint8Array,
  offset: number,
  sizeBytes: number,
): void {
  let group = 0;
  for (let i = 0; i < sizeBytes; i++) {
    const lo = iovaLo + i;
    if (i === 0 || (lo & 3) === 0) group = mix(pattern, lo >>> 2, iovaHi);
    into[offset + i] = group >>> ((lo & 3) << 3);
  }
}

/** How many bytes of a buffer are not what the pattern says. */
export function countMismatches(
  pattern: number,
  iovaLo: number,
  iovaHi: number,
  bytes: Uint8Array,
  offset: number,
  sizeBytes: number,
): number {
  let group = 0;
  let mismatches = 0;
  for (let i = 0; i < sizeBytes; i++) {
    const lo = iovaLo + i;
    if (i === 0 || (lo & 3) === 0) group = mix(pattern, lo >>> 2, iovaHi);
    if (bytes[offset + i] !== ((group >>> ((lo & 3) << 3)) & 0xff)) mismatches++;
  }
  return mismatches;
}
