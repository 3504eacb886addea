/**
 * Guest memory: the regions of a machine, placed in shared slabs that every thread of the machine attaches to.
 *
 * Slabs are reserved, not committed: the host gives a page when it is first written, so that regions of many GiB
 * cost nothing until the guest uses them.
 */
import { reserveMemory, WASM_PAGE_BYTES, type WasmMemory } from './kernel.js';
import { MappedSpace } from './mapped-space.js';
import { flatten, type MemoryRegionSpec, type PlacedRegion, place } from './placement.js';
import { reservedBytes, Slab } from './slab.js';
import { CHUNK_BYTES, THREADS_MAX } from './slab-layout.js';

/** What another thread needs to attach. Cloneable; posting it shares the memory. */
export interface GuestMemoryHandle {
  readonly memories: readonly WasmMemory[];
  readonly regions: readonly PlacedRegion[];
  readonly workspaceBytes: number;
}

/** Memory beside guest memory, in the same Wasm memory, for a kernel of somebody else's. Shared, and not cleared. */
export interface Workspace {
  readonly memory: WasmMemory;
  /** Byte offset in the memory; a multiple of 64. */
  readonly offset: number;
  readonly words: Int32Array;
}

/** Bytes of a page of a memory image: what is found to be zero, or not, as a whole. */
export const IMAGE_PAGE_BYTES = 4096;

/** A page of a region; the last one of a region may be shorter. */
export interface MemoryPage {
  /** From the start of the region. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class GuestMemory {
  readonly handle: GuestMemoryHandle;
  /** 4 KiB between guest memory and a DMA master of this thread: `space.read(pa, memory.bounce, 0, n)` and back. */
  readonly bounce: Uint8Array;
  private readonly slabs: readonly Slab[];
  private readonly threadIndex: number;

  private constructor(
    { regions, workspaceBytes }: Omit<GuestMemoryHandle, 'memories'>,
    slabs: readonly Slab[],
    threadIndex: number,
  ) {
    this.handle = { memories: slabs.map((slab) => slab.memory), regions, workspaceBytes };
    this.bounce = slabs[0].bounce;
    this.slabs = slabs;
    this.threadIndex = threadIndex;
  }

  /** Reserves memory for these regions, and workspace. The creating thread is thread 0. */
  static create(regions: readonly MemoryRegionSpec[], workspaceBytes = 0): GuestMemory {
    return GuestMemory.build(regions, workspaceBytes, []);
  }

  /** @param threadIndex 1 to 255, and no other thread's: it chooses the scratch and bounce buffers that are its own. */
  static attach(handle: GuestMemoryHandle, threadIndex: number): GuestMemory {
    if (!Number.isInteger(threadIndex) || threadIndex < 1 || threadIndex >= THREADS_MAX) {
      throw new Error(`thread index ${threadIndex}: not 1 to ${THREADS_MAX - 1}`);
    }
    const slabs = handle.memories.map((memory, index) => new Slab(index, memory, threadIndex));
    return new GuestMemory(handle, slabs, threadIndex);
  }

  /**
   * Zeroed memory for another machine, in the slabs of this one, which must not be used any more by any thread.
   * For those who run many machines one after the other: the host gets a dropped memory back only when the engine
   * collects garbage, and the engine does not see how much of it there is.
   */
  recycle(regions: readonly MemoryRegionSpec[]): GuestMemory {
    if (this.threadIndex !== 0) throw new Error('only the thread that created a memory recycles it');
    this.clear();
    return GuestMemory.build(regions, this.handle.workspaceBytes, this.slabs);
  }

  /** Zeroes all regions, at the cost of what was written. No other thread may be using them. */
  clear(): void {
    for (const slab of this.slabs) slab.clear();
  }

  /** A part of the workspace. Parts may not overlap, unless their users are one. @param offset a multiple of 64. */
  workspace(offset: number, sizeBytes: number): Workspace {
    if (offset + sizeBytes > this.handle.workspaceBytes)
      throw new Error('a workspace beyond what was asked for');
    const { memory } = this.slabs[0];
    const at = reservedBytes(0) + offset;
    return { memory, offset: at, words: new Int32Array(memory.buffer, at, sizeBytes / 4) };
  }

  /** The address space in which the first of these regions that claims an address has it. */
  space(regionIdsInPriorityOrder: readonly string[]): MappedSpace {
    const regions = regionIdsInPriorityOrder.map((id) => this.region(id));
    return new MappedSpace(flatten(regions), this.slabs);
  }

  /**
   * The pages of a region that are not all zero, by ascending offset. The bytes are the memory's own.
   * No other thread may be writing.
   */
  *pages(regionId: string): Generator<MemoryPage> {
    const { base, pieces } = this.region(regionId);
    for (const { pa, sizeBytes, slab: index, offset } of pieces) {
      const slab = this.slabs[index];
      for (let at = 0; at < sizeBytes; at += IMAGE_PAGE_BYTES) {
        if ((offset + at) % CHUNK_BYTES === 0 && !slab.wasTouched(offset + at)) {
          at += CHUNK_BYTES - IMAGE_PAGE_BYTES;
          continue;
        }
        const end = Math.min(at + IMAGE_PAGE_BYTES, sizeBytes);
        const words = slab.words.subarray((offset + at) >>> 2, (offset + end) >>> 2);
        if (words.some((word) => word !== 0)) {
          yield { offset: pa - base + at, bytes: slab.bytes.subarray(offset + at, offset + end) };
        }
      }
    }
  }

  /** Puts a page into a region, which has room for it. */
  setPage(regionId: string, { offset, bytes }: MemoryPage): void {
    const { base, pieces } = this.region(regionId);
    for (const piece of pieces) {
      const from = Math.max(piece.pa - base, offset);
      const end = Math.min(piece.pa - base + piece.sizeBytes, offset + bytes.length);
      if (from >= end) continue;
      const slab = this.slabs[piece.slab];
      const at = piece.offset + from - (piece.pa - base);
      slab.touch(at, end - from);
      slab.bytes.set(bytes.subarray(from - offset, end - offset), at);
    }
  }

  private region(id: string): PlacedRegion {
    const region = this.handle.regions.find((candidate) => candidate.id === id);
    if (region === undefined) throw new Error(`no memory region ${id}`);
    return region;
  }

  private static build(
    regions: readonly MemoryRegionSpec[],
    workspaceBytes: number,
    used: readonly Slab[],
  ): GuestMemory {
    const placement = place(regions, workspaceBytes);
    const slabs = placement.slabBytes.map((sizeBytes, index) => {
      const candidate = used[index];
      if (candidate !== undefined && candidate.bytes.length >= sizeBytes) return candidate;
      return new Slab(index, reserveMemory(sizeBytes / WASM_PAGE_BYTES), 0);
    });
    return new GuestMemory({ regions: placement.regions, workspaceBytes }, slabs, 0);
  }
}
