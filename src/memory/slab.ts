/**
 * A slab: one shared WebAssembly.Memory of at most 4 GiB, as one thread sees it.
 *
 *     0          scratch slots, one per thread: where the kernel leaves words for JavaScript to pick up
 *     128 KiB    dirty map, one byte per 64 KiB chunk of the slab
 *     192 KiB    slab 0 only: bounce buffers, one per thread
 *     ...        slab 0 only: workspace of kernels that work beside guest memory, as much as is asked for
 *     ...        guest memory, from `reservedBytes(index)` on, or behind the workspace
 *
 * Hosts are little-endian, as every platform of Node is; so is the guest.
 */
import { instantiateKernel, type Kernel, type WasmMemory } from './kernel.js';
import {
  BOUNCE_BYTES,
  BOUNCE_OFFSET,
  CHUNK_BYTES,
  CHUNK_SHIFT,
  DIRTY_OFFSET,
  SCRATCH_BYTES,
  SLAB_BYTES_MAX,
  THREADS_MAX,
  WHOLE_WORDS_BYTES,
} from './slab-layout.js';

/** Words that one call of the kernel loads at most. */
export const SCRATCH_WORDS = SCRATCH_BYTES / 8;

/** Up to here a loop over bytes beats the view object that a bulk copy needs. */
const BYTE_LOOP_BYTES_MAX = 32;

/** Bytes at the start of a slab that are neither guest memory nor workspace; a multiple of CHUNK_BYTES. */
export function reservedBytes(index: number): number {
  return index === 0 ? BOUNCE_OFFSET + THREADS_MAX * BOUNCE_BYTES : BOUNCE_OFFSET;
}

/**
 * Offsets are bytes from the start of the slab and lie inside it; the caller has checked.
 * Whoever writes through `bytes` or `words` calls `touch` for what was written, or `clear` leaves it behind.
 */
export class Slab {
  readonly memory: WasmMemory;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly kernel: Kernel;
  /** This thread's bounce buffer; empty in every slab but the first. */
  readonly bounce: Uint8Array;
  private readonly bounceOffset: number;
  private readonly scratchOffset: number;
  private readonly scratch: Int32Array;
  private readonly scratchBytes: Uint8Array;
  private readonly dirty: Uint8Array;

  constructor(index: number, memory: WasmMemory, threadIndex: number) {
    const buffer = memory.buffer;
    this.memory = memory;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.kernel = instantiateKernel(memory);
    this.bounceOffset = BOUNCE_OFFSET + threadIndex * BOUNCE_BYTES;
    this.bounce = index === 0 ? new Uint8Array(buffer, this.bounceOffset, BOUNCE_BYTES) : new Uint8Array(0);
    this.scratchOffset = threadIndex * SCRATCH_BYTES;
    this.scratch = new Int32Array(buffer, this.scratchOffset, SCRATCH_WORDS * 2);
    this.scratchBytes = new Uint8Array(buffer, this.scratchOffset, SCRATCH_BYTES);
    this.dirty = new Uint8Array(buffer, DIRTY_OFFSET, SLAB_BYTES_MAX / CHUNK_BYTES);
  }

  /** Records that a range was written. A chunk already marked is only read, so that threads do not fight for its line. */
  touch(offset: number, sizeBytes: number): void {
    const last = (offset + sizeBytes - 1) >>> CHUNK_SHIFT;
    for (let chunk = offset >>> CHUNK_SHIFT; chunk <= last; chunk++) {
      if (this.dirty[chunk] === 0) this.dirty[chunk] = 1;
    }
  }

  /** Whether anything was written to the chunk of an offset since the slab was zeroed. */
  wasTouched(offset: number): boolean {
    return this.dirty[offset >>> CHUNK_SHIFT] !== 0;
  }

  /** Zeroes what was ever written. No other thread may be using the slab. */
  clear(): void {
    for (let chunk = this.dirty.indexOf(1); chunk >= 0; chunk = this.dirty.indexOf(1, chunk + 1)) {
      const offset = chunk * CHUNK_BYTES;
      this.bytes.fill(0, offset, offset + CHUNK_BYTES);
      this.dirty[chunk] = 0;
    }
  }

  /** Loads at most SCRATCH_WORDS words, each single-copy atomic, as (low, high) pairs into `into[at..]`. */
  load(offset: number, into: Int32Array, at: number, count: number): void {
    this.kernel.loadWords(offset, this.scratchOffset, count);
    const scratch = this.scratch;
    for (let i = 0; i < count * 2; i++) into[at + i] = scratch[i];
  }

  store(offset: number, lo: number, hi: number): void {
    this.touch(offset, 8);
    this.kernel.store64(offset, lo, hi);
  }

  /** Atomic for its ordering: an MSI is not seen before the writes that it announces. */
  store32(offset: number, value: number): void {
    this.touch(offset, 4);
    Atomics.store(this.words, offset >>> 2, value);
  }

  compareAndSwap(offset: number, oldLo: number, oldHi: number, newLo: number, newHi: number): 1 | 0 {
    this.touch(offset, 8);
    return this.kernel.compareAndSwap(offset, oldLo, oldHi, newLo, newHi);
  }

  /** Aligned words of up to 64 bytes and aligned 32-bit words are read without tearing, longer ranges as they come. */
  read(offset: number, into: Uint8Array, at: number, sizeBytes: number): void {
    // Straight into the bounce buffer: 64 bytes cost 10 ns, through the scratch words 80.
    if (into === this.bounce && at + sizeBytes <= BOUNCE_BYTES) {
      this.kernel.read(this.bounceOffset + at, offset, sizeBytes);
    } else if (sizeBytes <= WHOLE_WORDS_BYTES && ((offset | sizeBytes) & 7) === 0) {
      this.kernel.loadWords(offset, this.scratchOffset, sizeBytes >>> 3);
      for (let i = 0; i < sizeBytes; i++) into[at + i] = this.scratchBytes[i];
    } else if (sizeBytes === 4 && (offset & 3) === 0) {
      const word = this.words[offset >>> 2];
      into[at] = word;
      into[at + 1] = word >>> 8;
      into[at + 2] = word >>> 16;
      into[at + 3] = word >>> 24;
    } else if (sizeBytes <= BYTE_LOOP_BYTES_MAX) {
      for (let i = 0; i < sizeBytes; i++) into[at + i] = this.bytes[offset + i];
    } else {
      into.set(this.bytes.subarray(offset, offset + sizeBytes), at);
    }
  }

  /** The counterpart of `read`, with the same promise: software that writes a descriptor writes it whole. */
  write(offset: number, from: Uint8Array, at: number, sizeBytes: number): void {
    if (from === this.bounce && at + sizeBytes <= BOUNCE_BYTES) {
      this.kernel.write(offset, this.bounceOffset + at, sizeBytes);
      return;
    }
    this.touch(offset, sizeBytes);
    if (sizeBytes <= WHOLE_WORDS_BYTES && ((offset | sizeBytes) & 7) === 0) {
      for (let i = 0; i < sizeBytes; i += 8) {
        this.kernel.store64(offset + i, wordAt(from, at + i), wordAt(from, at + i + 4));
      }
    } else if (sizeBytes === 4 && (offset & 3) === 0) {
      Atomics.store(this.words, offset >>> 2, wordAt(from, at));
    } else if (sizeBytes <= BYTE_LOOP_BYTES_MAX) {
      for (let i = 0; i < sizeBytes; i++) this.bytes[offset + i] = from[at + i];
    } else {
      this.bytes.set(from.subarray(at, at + sizeBytes), offset);
    }
  }

  /** Copies from another slab or this one; overlapping ranges come out right. */
  copyFrom(source: Slab, sourceOffset: number, offset: number, sizeBytes: number): void {
    this.touch(offset, sizeBytes);
    if (source === this) this.kernel.copy(offset, sourceOffset, sizeBytes);
    else this.bytes.set(source.bytes.subarray(sourceOffset, sourceOffset + sizeBytes), offset);
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}
