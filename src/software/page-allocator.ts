/**
 * Hands out physical memory of one range: first fit over a sorted list of free extents, joined again when freed.
 * Memory is not cleared; whoever needs zeros writes them.
 */
import { DriverError } from './port.js';

export const PAGE_BYTES = 4096;

interface Extent {
  base: number;
  sizeBytes: number;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

export class PageAllocator {
  /** Sorted by base, no two adjoining. */
  readonly #free: Extent[];

  /** @param base first physical address, 4 KiB aligned as the size. */
  constructor(base: number, sizeBytes: number) {
    if (base % PAGE_BYTES !== 0 || sizeBytes % PAGE_BYTES !== 0) {
      throw new DriverError('a page allocator owns whole pages');
    }
    this.#free = sizeBytes === 0 ? [] : [{ base, sizeBytes }];
  }

  get freeBytes(): number {
    return this.#free.reduce((sum, extent) => sum + extent.sizeBytes, 0);
  }

  /** The longest range that is free; nothing is a range of no bytes. */
  get largest(): { readonly base: number; readonly sizeBytes: number } {
    return this.#free.reduce((best, extent) => (extent.sizeBytes > best.sizeBytes ? extent : best), {
      base: 0,
      sizeBytes: 0,
    });
  }

  /**
   * Takes whole pages.
   * @param alignBytes a multiple of the page size.
   * @throws DriverError when no free extent is large enough.
   */
  allocate(sizeBytes: number, alignBytes: number = PAGE_BYTES): number {
    const size = roundUp(sizeBytes, PAGE_BYTES);
    for (const [index, extent] of this.#free.entries()) {
      const base = roundUp(extent.base, alignBytes);
      if (base + size <= extent.base + extent.sizeBytes) {
        this.#carve(index, base, size);
        return base;
      }
    }
    throw new DriverError(
      `out of memory: ${size} bytes, aligned to ${alignBytes}, of ${this.freeBytes} free`,
    );
  }

  /** Takes a given range out, so that it is never handed out: memory that someone chose by address. */
  reserve(base: number, sizeBytes: number): void {
    const start = Math.floor(base / PAGE_BYTES) * PAGE_BYTES;
    const end = roundUp(base + sizeBytes, PAGE_BYTES);
    for (let index = this.#free.length - 1; index >= 0; index--) {
      const extent = this.#free[index]!;
      const from = Math.max(start, extent.base);
      const to = Math.min(end, extent.base + extent.sizeBytes);
      if (from < to) this.#carve(index, from, to - from);
    }
  }

  free(base: number, sizeBytes: number): void {
    const size = roundUp(sizeBytes, PAGE_BYTES);
    let index = this.#free.findIndex((extent) => extent.base > base);
    if (index < 0) index = this.#free.length;
    const before = this.#free[index - 1];
    const after = this.#free[index];
    if ((before && before.base + before.sizeBytes > base) || (after && after.base < base + size)) {
      throw new DriverError(`0x${base.toString(16)} is freed twice`);
    }
    this.#free.splice(index, 0, { base, sizeBytes: size });
    this.#join(index);
    if (index > 0) this.#join(index - 1);
  }

  #carve(index: number, base: number, sizeBytes: number): void {
    const extent = this.#free[index]!;
    const rest: Extent[] = [
      { base: extent.base, sizeBytes: base - extent.base },
      { base: base + sizeBytes, sizeBytes: extent.base + extent.sizeBytes - base - sizeBytes },
    ];
    this.#free.splice(index, 1, ...rest.filter((part) => part.sizeBytes > 0));
  }

  #join(index: number): void {
    const extent = this.#free[index]!;
    const next = this.#free[index + 1];
    if (next === undefined || extent.base + extent.sizeBytes !== next.base) return;
    extent.sizeBytes += next.sizeBytes;
    this.#free.splice(index + 1, 1);
  }
}
