/**
 * A walk of one stage in one call of the memory's kernel (src/memory/kernel.as.ts), where all of it is plain: tables in one
 * piece of memory, no hardware update, a leaf whose address is in range. A dense stage 1 walk with its permissions costs 73 ns so,
 * 215 step by step. The walker stays the one that knows every case: what is not plain it walks again, and explains.
 */
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import { outputAddress, pageWithin } from './descriptor-bits.js';
import type { TranslationTable } from './table.js';

/** Bits [6:2] of the kernel's answer are bits [31:27] of the high words of table descriptors. */
const FLAGS_SHIFT = 25;

export class KernelWalk {
  // The leaf, after a walk that answered true.
  lo = 0;
  hi = 0;
  level = 3;
  leafBits = 12;
  /** Page (address / 4096) of the input's output. */
  leafPage = 0;
  /** High words of the table descriptors on the way, ORed. */
  tableFlags = 0;

  readonly #spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace];
  readonly #leaf = new Int32Array(2);

  constructor(spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace]) {
    this.#spaces = spaces;
  }

  /** @returns false when the walk is not plain; nothing has been said about it then. */
  descend(table: TranslationTable, inLo: number, inHi: number): boolean {
    const memory = this.#spaces[table.space];
    const { kernelShape } = table;
    if (kernelShape === 0 || memory.descend === undefined) return false;
    const answer = memory.descend(table.base, inLo, inHi, kernelShape, table.walkLimit, this.#leaf);
    if (answer < 0) return false;
    const lo = this.#leaf[0]!;
    const hi = this.#leaf[1]!;
    const level = answer & 3;
    const leafBits = table.granuleBits + (table.granuleBits - 3) * (3 - level);
    const address = outputAddress(table, lo, hi, leafBits);
    if (address >= table.outputLimit) return false;
    this.lo = lo;
    this.hi = hi;
    this.level = level;
    this.leafBits = leafBits;
    this.leafPage = address / 4096 + pageWithin(inLo, inHi, leafBits);
    this.tableFlags = answer << FLAGS_SHIFT;
    return true;
  }
}
