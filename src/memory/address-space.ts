/**
 * A physical address space: what an agent in one Security state reaches at a physical address.
 *
 * Stated as an interface so that `smmu` depends on the promise and not on how memory is laid out.
 */
import type { WasmMemory } from './kernel.js';

/** Physical addresses from `start` up to `end` that lie in one Wasm memory, at their sum with `delta`. */
export interface MemoryWindow {
  readonly memory: WasmMemory;
  readonly start: number;
  readonly end: number;
  readonly delta: number;
}

/** What refuses accesses on request (injected-faults.ts). */
export interface Refusals {
  readonly armed: boolean;
}

/** An access that the memory system refuses is an external abort: the methods answer false, they never throw. */
export interface PhysicalAddressSpace {
  /**
   * Loads `count` 64-bit little-endian words, each with single-copy atomicity, into `into` as (low, high) pairs.
   * @param pa 8-byte aligned.
   */
  load(pa: number, into: Int32Array, count: number): boolean;
  /** The contiguous memory around an address, for a kernel in the same Wasm memory that reads there itself. */
  window?(pa: number): MemoryWindow | undefined;
  /** Byte offset in a Wasm memory of a range that lies there in one piece; 0, where nothing of the guest's is, otherwise. */
  placeIn?(memory: WasmMemory, pa: number, sizeBytes: number): number;
  /** While armed, some accesses are refused that a window would let pass. */
  readonly refusals?: Refusals;
  /** Stores one 64-bit word with single-copy atomicity. `pa` is 8-byte aligned. */
  store(pa: number, lo: number, hi: number): boolean;
  /** Stores one 32-bit word (an MSI, a queue field). `pa` is 4-byte aligned. */
  store32(pa: number, value: number): boolean;
  /**
   * Compare-and-swap of one 64-bit word.
   * @returns 1 swapped, 0 the word had another value, -1 external abort.
   */
  compareAndSwap(pa: number, oldLo: number, oldHi: number, newLo: number, newHi: number): 1 | 0 | -1;
  /** Copies bytes out of memory. Any alignment; the range may cross regions that claim adjoining addresses. */
  read(pa: number, into: Uint8Array, offset: number, sizeBytes: number): boolean;
  /** Copies bytes into memory. */
  write(pa: number, from: Uint8Array, offset: number, sizeBytes: number): boolean;
}
