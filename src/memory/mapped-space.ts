/**
 * A physical address space over slabs: the table that says which slab and offset is behind a physical address.
 *
 * Hot: an access allocates nothing, and after the last-hit test costs one binary search. Instances belong to one thread.
 */
import type { MemoryWindow, PhysicalAddressSpace, Refusals } from './address-space.js';
import {
  ACCESS_BOTH,
  ACCESS_READ,
  ACCESS_WRITE,
  type ArmedFault,
  type InjectedFault,
  InjectedFaults,
} from './injected-faults.js';
import type { WasmMemory } from './kernel.js';
import type { Piece } from './placement.js';
import { SCRATCH_WORDS, type Slab } from './slab.js';

export class MappedSpace implements PhysicalAddressSpace {
  /** Where the last successful `resolve` ended: its slab, and the bytes from there to the end of the piece. */
  slab: Slab;
  contiguousBytes = 0;

  // The table, by ascending address and without overlaps. An empty one holds an empty piece that nothing hits.
  private readonly starts: Float64Array;
  private readonly ends: Float64Array;
  /** Added to a physical address gives the offset in the slab. */
  private readonly deltas: Float64Array;
  private readonly slabs: readonly Slab[];
  private lastHit = 0;
  private readonly faults = new InjectedFaults();
  readonly refusals: Refusals = this.faults;

  /** @param pieces as `flatten` gives them. */
  constructor(pieces: readonly Piece[], slabs: readonly Slab[]) {
    const table = pieces.length > 0 ? pieces : [{ pa: 0, sizeBytes: 0, slab: 0, offset: 0 }];
    this.starts = Float64Array.from(table, (piece) => piece.pa);
    this.ends = Float64Array.from(table, (piece) => piece.pa + piece.sizeBytes);
    this.deltas = Float64Array.from(table, (piece) => piece.offset - piece.pa);
    this.slabs = table.map((piece) => slabs[piece.slab]);
    this.slab = slabs[0];
  }

  load(pa: number, into: Int32Array, count: number): boolean {
    if (this.faults.armed && this.faults.refuses(pa, count * 8, ACCESS_READ)) return false;
    let piece = this.locateRange(pa, count * 8);
    if (piece < 0) return false;
    let done = 0;
    for (;;) {
      const left = (this.ends[piece] - pa) / 8;
      const n = Math.min(count - done, left, SCRATCH_WORDS);
      this.slabs[piece].load(pa + this.deltas[piece], into, done * 2, n);
      done += n;
      if (done >= count) return true;
      pa += n * 8;
      if (n === left) piece++;
    }
  }

  window(pa: number): MemoryWindow | undefined {
    const piece = this.locate(pa);
    if (piece < 0) return undefined;
    const { memory } = this.slabs[piece];
    return { memory, start: this.starts[piece], end: this.ends[piece], delta: this.deltas[piece] };
  }

  placeIn(memory: WasmMemory, pa: number, sizeBytes: number): number {
    const piece = this.locate(pa);
    if (piece < 0 || pa + sizeBytes > this.ends[piece] || this.slabs[piece].memory !== memory) return 0;
    return pa + this.deltas[piece];
  }

  store(pa: number, lo: number, hi: number): boolean {
    if (this.faults.armed && this.faults.refuses(pa, 8, ACCESS_WRITE)) return false;
    const piece = this.locate(pa);
    if (piece < 0) return false;
    this.slabs[piece].store(pa + this.deltas[piece], lo, hi);
    return true;
  }

  store32(pa: number, value: number): boolean {
    if (this.faults.armed && this.faults.refuses(pa, 4, ACCESS_WRITE)) return false;
    const piece = this.locate(pa);
    if (piece < 0) return false;
    this.slabs[piece].store32(pa + this.deltas[piece], value);
    return true;
  }

  compareAndSwap(pa: number, oldLo: number, oldHi: number, newLo: number, newHi: number): 1 | 0 | -1 {
    if (this.faults.armed && this.faults.refuses(pa, 8, ACCESS_BOTH)) return -1;
    const piece = this.locate(pa);
    if (piece < 0) return -1;
    return this.slabs[piece].compareAndSwap(pa + this.deltas[piece], oldLo, oldHi, newLo, newHi);
  }

  /** Fastest into the `bounce` buffer of the GuestMemory, which the kernel fills itself. */
  read(pa: number, into: Uint8Array, offset: number, sizeBytes: number): boolean {
    if (sizeBytes === 0) return true;
    if (this.faults.armed && this.faults.refuses(pa, sizeBytes, ACCESS_READ)) return false;
    let piece = this.locateRange(pa, sizeBytes);
    if (piece < 0) return false;
    const end = pa + sizeBytes;
    if (end <= this.ends[piece]) {
      this.slabs[piece].read(pa + this.deltas[piece], into, offset, sizeBytes);
      return true;
    }
    for (; pa < end; piece++) {
      const n = Math.min(end, this.ends[piece]) - pa;
      this.slabs[piece].read(pa + this.deltas[piece], into, offset, n);
      pa += n;
      offset += n;
    }
    return true;
  }

  /** Eight aligned bytes are one 64-bit store. */
  write(pa: number, from: Uint8Array, offset: number, sizeBytes: number): boolean {
    if (sizeBytes === 0) return true;
    if (this.faults.armed && this.faults.refuses(pa, sizeBytes, ACCESS_WRITE)) return false;
    let piece = this.locateRange(pa, sizeBytes);
    if (piece < 0) return false;
    const end = pa + sizeBytes;
    if (end <= this.ends[piece]) {
      this.slabs[piece].write(pa + this.deltas[piece], from, offset, sizeBytes);
      return true;
    }
    for (; pa < end; piece++) {
      const n = Math.min(end, this.ends[piece]) - pa;
      this.slabs[piece].write(pa + this.deltas[piece], from, offset, n);
      pa += n;
      offset += n;
    }
    return true;
  }

  /** Copies within the space, as if through a buffer of the whole size: overlapping ranges come out right. */
  copy(dstPA: number, srcPA: number, sizeBytes: number): boolean {
    if (sizeBytes === 0) return true;
    if (this.faults.armed) {
      if (this.faults.refuses(srcPA, sizeBytes, ACCESS_READ)) return false;
      if (this.faults.refuses(dstPA, sizeBytes, ACCESS_WRITE)) return false;
    }
    const src = this.locateRange(srcPA, sizeBytes);
    const dst = this.locateRange(dstPA, sizeBytes);
    if (src < 0 || dst < 0) return false;
    if (dstPA > srcPA && dstPA < srcPA + sizeBytes) this.copyDescending(dstPA, srcPA, sizeBytes);
    else this.copyAscending(dst, dstPA, src, srcPA, sizeBytes);
    return true;
  }

  /**
   * For code that goes to memory itself: the byte offset in `slab` of a physical address, or -1 for an external abort.
   * `contiguousBytes` from there on may be accessed. It consults no injected fault; after a write, call `slab.touch`.
   */
  resolve(pa: number): number {
    const piece = this.locate(pa);
    if (piece < 0) return -1;
    this.slab = this.slabs[piece];
    this.contiguousBytes = this.ends[piece] - pa;
    return pa + this.deltas[piece];
  }

  /** Refuses coming accesses to a range, through this space and in this thread only. */
  injectFault(fault: InjectedFault): void {
    this.faults.inject(fault);
  }

  /** The faults that are armed. */
  saveFaults(): readonly ArmedFault[] {
    return this.faults.save();
  }

  restoreFaults(faults: readonly ArmedFault[]): void {
    this.faults.restore(faults);
  }

  disarmFaults(): void {
    this.faults.disarm();
  }

  /** The piece that holds an address, or -1. */
  private locate(pa: number): number {
    const hit = this.lastHit;
    if (pa >= this.starts[hit] && pa < this.ends[hit]) return hit;
    let low = 0;
    let high = this.ends.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (pa < this.ends[middle]) high = middle;
      else low = middle + 1;
    }
    if (pa < this.starts[low] || pa >= this.ends[low]) return -1;
    this.lastHit = low;
    return low;
  }

  /** The piece that holds the first byte of a range, or -1 when any byte of it is claimed by no region. */
  private locateRange(pa: number, sizeBytes: number): number {
    const first = this.locate(pa);
    if (first < 0) return -1;
    const end = pa + sizeBytes;
    for (let piece = first; this.ends[piece] < end; piece++) {
      // Past the last piece the comparison is with undefined, and fails as it should.
      if (this.starts[piece + 1] !== this.ends[piece]) return -1;
    }
    return first;
  }

  private copyAscending(dst: number, dstPA: number, src: number, srcPA: number, sizeBytes: number): void {
    for (let left = sizeBytes; ; ) {
      const n = Math.min(left, this.ends[src] - srcPA, this.ends[dst] - dstPA);
      const srcOffset = srcPA + this.deltas[src];
      this.slabs[dst].copyFrom(this.slabs[src], srcOffset, dstPA + this.deltas[dst], n);
      left -= n;
      if (left === 0) return;
      srcPA += n;
      dstPA += n;
      if (srcPA === this.ends[src]) src++;
      if (dstPA === this.ends[dst]) dst++;
    }
  }

  /** From the end backwards, so that what is still to be read is not overwritten. */
  private copyDescending(dstPA: number, srcPA: number, sizeBytes: number): void {
    for (let left = sizeBytes; left > 0; ) {
      const src = this.locate(srcPA + left - 1);
      const dst = this.locate(dstPA + left - 1);
      const n = Math.min(left, srcPA + left - this.starts[src], dstPA + left - this.starts[dst]);
      left -= n;
      const srcOffset = srcPA + left + this.deltas[src];
      this.slabs[dst].copyFrom(this.slabs[src], srcOffset, dstPA + left + this.deltas[dst], n);
    }
  }
}
