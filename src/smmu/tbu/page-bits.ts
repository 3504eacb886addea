/** Arithmetic on page numbers in two halves, without allocation: tags of the TLB. */

/** A page number with its low `shift` bits cleared, by halves. */
export function alignLo(lo: number, shift: number): number {
  return shift >= 32 ? 0 : lo & (-1 << shift);
}

export function alignHi(hi: number, shift: number): number {
  return shift > 32 ? hi & (-1 << (shift - 32)) : hi;
}

/** Offset of a page within an aligned group of 2^shift pages; groups above 2^32 pages do not occur (a 16 TiB leaf). */
export function pageOffset(lo: number, shift: number): number {
  return shift === 0 ? 0 : shift >= 32 ? lo >>> 0 : (lo & ~(-1 << shift)) >>> 0;
}
