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
