/**
 * The Wasm kernel, in AssemblyScript: what JavaScript cannot do both tear-free and fast on 64-bit words of shared memory.
 *
 * ECMAScript promises tear-freedom for BigInt atomics only, which are slow; two 32-bit loads tear, re-reading included.
 * `scripts/kernel.mjs` compiles this file into `kernel.generated.ts`. Every slab has an instance of its own, per thread.
 * The kernel holds no state and checks no bounds beyond Wasm's own: placement is the business of `mapped-space.ts`.
 */
import { CHUNK_SHIFT, DIRTY_OFFSET, WHOLE_WORDS_BYTES } from './slab-layout.js';

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

/** Records that a range was written. A chunk already marked is only read, so that threads do not fight for its line. */
function touch(offset: usize, n: u32): void {
  const last = (offset + n - 1) >> CHUNK_SHIFT;
  for (let chunk = offset >> CHUNK_SHIFT; chunk <= last; chunk++) {
    const mark = <usize>DIRTY_OFFSET + chunk;
    if (!load<u8>(mark)) store<u8>(mark, 1);
  }
}

/** Takes 1 to 4096 bytes out of guest memory: aligned words of up to 64 bytes and aligned 32-bit words without tearing. */
export function read(dst: usize, src: usize, n: u32): void {
  if (n <= <u32>WHOLE_WORDS_BYTES && !((<u32>src | n) & 7)) loadWords(src, dst, <i32>(n >> 3));
  else if (n === 4 && !(src & 3)) store<u32>(dst, atomic.load<u32>(src));
  else memory.copy(dst, src, n);
}

/** The counterpart of `read`, with the same promise: software that writes a descriptor writes it whole. */
export function write(dst: usize, src: usize, n: u32): void {
  touch(dst, n);
  if (n <= <u32>WHOLE_WORDS_BYTES && !((<u32>dst | n) & 7)) {
    for (let i: u32 = 0; i < n; i += 8) atomic.store<u64>(dst + i, load<u64>(src + i));
  } else if (n === 4 && !(dst & 3)) atomic.store<u32>(dst, load<u32>(src));
  else memory.copy(dst, src, n);
}
