/**
 * The Wasm kernel, in AssemblyScript: what JavaScript cannot do both tear-free and fast on 64-bit words of shared memory.
 *
 * ECMAScript promises tear-freedom for BigInt atomics only, which are slow; two 32-bit loads tear, re-reading included.
 * `scripts/kernel.mjs` compiles this file into `kernel.generated.ts`. Every slab has an instance of its own, per thread.
 * The kernel holds no state and checks no bounds beyond Wasm's own: placement is the business of `mapped-space.ts`.
 */

/** Loads `count` words at `src`, each single-copy atomic, into thread-private scratch at `dst`. */
export function loadWords(src: usize, dst: usize, count: i32): void {
  for (let i = 0; i < count; i++) {
    store<u64>(dst, atomic.load<u64>(src));
    src += 8;
    dst += 8;
  }
}

/** Stores one 64-bit word, single-copy atomic. */
export function store64(dst: usize, lo: u32, hi: u32): void {
  atomic.store<u64>(dst, ((<u64>hi) << 32) | <u64>lo);
}

/** Compare-and-swap of one 64-bit word: 1 when it held the expected value and now holds the new one, else 0. */
export function compareAndSwap(dst: usize, oldLo: u32, oldHi: u32, newLo: u32, newHi: u32): i32 {
  const expected = ((<u64>oldHi) << 32) | <u64>oldLo;
  const replacement = ((<u64>newHi) << 32) | <u64>newLo;
  return i32(atomic.cmpxchg<u64>(dst, expected, replacement) === expected);
}

/** Copies `n` bytes; the ranges may overlap. */
export function copy(dst: usize, src: usize, n: usize): void {
  memory.copy(dst, src, n);
}

/** Bits [47:12] of a descriptor: its address, in the formats that `descend` knows. */
const ADDRESS: u64 = 0xffff_ffff_f000;

/**
 * Follows the table descriptors of one stage of a VMSAv8 walk (DDI 0487 D8.3) as long as all is plain, and leaves the leaf
 * descriptor at `out`. It answers the level of the leaf in bits [1:0] and bits [63:59] of all table descriptors, ORed, in
 * bits [6:2]; or -1 for whatever is not plain: a fault, a table elsewhere. The walker then walks again and explains.
 * @param shape granule bits in [7:0], start level in [15:8], input bits in [23:16], lowest block level in [31:24].
 * @param start,limit the physical addresses that this memory holds at their sum with `delta`, and that tables may have.
 */
export function descend(
  base: f64,
  inputLo: u32,
  inputHi: u32,
  shape: u32,
  start: f64,
  limit: f64,
  delta: f64,
  out: usize,
): i32 {
  const input = ((<u64>inputHi) << 32) | <u64>inputLo;
  const granule = shape & 0xff;
  const lowestBlock = shape >> 24;
  const stride = granule - 3;
  const from = <u64>start;
  const bytes = <u64>limit - from;
  const place = <u64>(<i64>delta);
  let level = (shape >> 8) & 0xff;
  let shift = granule + stride * (3 - level);
  let mask = ((<u64>1) << (<u64>(((shape >> 16) & 0xff) - shift))) - 1;
  const table = <u64>base;
  let flags: u64 = 0;
  let at = table + (((input >> <u64>shift) & mask) << 3);
  while (at - from < bytes) {
    const descriptor = atomic.load<u64>(<usize>(at + place));
    if (!(descriptor & 1)) return -1;
    if (level === 3 || !(descriptor & 2)) {
      if (level === 3 ? !(descriptor & 2) : level < lowestBlock) return -1;
      store<u64>(out, descriptor);
      return <i32>(((<u32>(flags >> 59)) << 2) | level);
    }
    flags |= descriptor;
    mask = ((<u64>1) << (<u64>stride)) - 1;
    shift -= stride;
    level++;
    at = (descriptor & ADDRESS & ~(((<u64>1) << (<u64>granule)) - 1)) + (((input >> <u64>shift) & mask) << 3);
  }
  return -1;
}
