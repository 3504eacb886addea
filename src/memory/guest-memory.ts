/**
 * Guest memory: the regions of a machine, placed in shared slabs that every thread of the machine attaches to.
 *
 * Slabs are reserved, not committed: the host gives a page when it is first written, so that regions of many GiB
 * cost nothing until the guest uses them.
 */
import { reserveMemory, WASM_PAGE_BYTES, type WasmMemory } from './kernel.js';
import { MappedSpace } from './mapped-space.js';
import { flatten, type MemoryRegionSpec, type PlacedRegion, place } from './placement.js';
import { Slab, THREADS_MAX } from './slab.js';

/** What another thread needs to attach. Cloneable; posting it shares the memory. */
export interface GuestMemoryHandle {
  readonly memories: readonly WasmMemory[];
  readonly regions: readonly PlacedRegion[];
}

export class GuestMemory {
  readonly handle: GuestMemoryHandle;
  /** 4 KiB between guest memory and a DMA master of this thread: `space.read(pa, memory.bounce, 0, n)` and back. */
  readonly bounce: Uint8Array;
  private readonly slabs: readonly Slab[];
  private readonly threadIndex: number;

  private constructor(regions: readonly PlacedRegion[], slabs: readonly Slab[], threadIndex: number) {
    this.handle = { memories: slabs.map((slab) => slab.memory), regions };
    this.bounce = slabs[0].bounce;
    this.slabs = slabs;
    this.threadIndex = threadIndex;
  }

  /** Reserves memory for these regions. The creating thread is thread 0. */
  static create(regions: readonly MemoryRegionSpec[]): GuestMemory {
    return GuestMemory.build(regions, []);
  }

  /** @param threadIndex 1 to 255, and no other thread's: it chooses the scratch and bounce buffers that are its own. */
  static attach(handle: GuestMemoryHandle, threadIndex: number): GuestMemory {
    if (!Number.isInteger(threadIndex) || threadIndex < 1 || threadIndex >= THREADS_MAX) {
      throw new Error(`thread index ${threadIndex}: not 1 to ${THREADS_MAX - 1}`);
    }
    const slabs = handle.memories.map((memory, index) => new Slab(index, memory, threadIndex));
    return new GuestMemory(handle.regions, slabs, threadIndex);
  }

  /**
   * Zeroed memory for another machine, in the slabs of this one, which must not be used any more by any thread.
   * For those who run many machines one after the other: the host gets a dropped memory back only when the engine
   * collects garbage, and the engine does not see how much of it there is.
   */
  recycle(regions: readonly MemoryRegionSpec[]): GuestMemory {
    if (this.threadIndex !== 0) throw new Error('only the thread that created a memory recycles it');
    this.clear();
    return GuestMemory.build(regions, this.slabs);
  }

  /** Zeroes all regions, at the cost of what was written. No other thread may be using them. */
  clear(): void {
    for (const slab of this.slabs) slab.clear();
  }

  /** The address space in which the first of these regions that claims an address has it. */
  space(regionIdsInPriorityOrder: readonly string[]): MappedSpace {
    const regions = regionIdsInPriorityOrder.map((id) => {
      const region = this.handle.regions.find((candidate) => candidate.id === id);
      if (region === undefined) throw new Error(`no memory region ${id}`);
      return region;
    });
    return new MappedSpace(flatten(regions), this.slabs);
  }

  private static build(regions: readonly MemoryRegionSpec[], used: readonly Slab[]): GuestMemory {
    const placement = place(regions);
    const slabs = placement.slabBytes.map((sizeBytes, index) => {
      const candidate = used[index];
      if (candidate !== undefined && candidate.bytes.length >= sizeBytes) return candidate;
      return new Slab(index, reserveMemory(sizeBytes / WASM_PAGE_BYTES), 0);
    });
    return new GuestMemory(placement.regions, slabs, 0);
  }
}
