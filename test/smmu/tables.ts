/** Builds translation tables of any granule in a bench's memory, with bigint, from the figures of DDI 0487 D8.3. */
import type { GranuleKiB } from '../reference/walker.js';
import type { TbuBench } from './tbu-bench.js';

const PAGE_BITS = { 4: 12, 16: 14, 64: 16 } as const;

export interface TableShape {
  readonly granule: GranuleKiB;
  readonly inputBits: number;
  readonly startLevel: number;
  readonly ds: boolean;
  readonly lpa: boolean;
}

/** Lowest input bit that an index at `level` uses. */
export function shiftAt(granule: GranuleKiB, level: number): bigint {
  return BigInt(PAGE_BITS[granule] + (3 - level) * (PAGE_BITS[granule] - 3));
}

/** An address in the place where a descriptor has it. */
export function addressField({ granule, ds, lpa }: TableShape, address: bigint): bigint {
  const low = address & 0xffff_ffff_f000n;
  if (granule === 64) return low | (lpa ? ((address >> 48n) & 0xfn) << 12n : 0n);
  if (!ds) return low;
  return low | (((address >> 48n) & 3n) << 48n) | (((address >> 50n) & 3n) << 8n);
}

/** Hands out memory for tables, and remembers how far it went. */
export class TableMemory {
  readonly #bench: TbuBench;
  #next: bigint;
  readonly #limit: bigint;
  constructor(bench: TbuBench, from: bigint, limit: bigint) {
    this.#bench = bench;
    this.#next = from;
    this.#limit = limit;
  }
  take(sizeBytes: bigint): bigint {
    const base = (this.#next + sizeBytes - 1n) & ~(sizeBytes - 1n);
    this.#next = base + sizeBytes;
    if (this.#next > this.#limit) throw new Error('the bench is out of table memory');
    return base;
  }
  get bench(): TbuBench {
    return this.#bench;
  }
}

/** One tree of tables. Addresses in it are physical ones plus `offset`: an IPA where stage 2 maps the tables. */
export class Tables {
  readonly shape: TableShape;
  /** As the tables' own users see it. */
  readonly base: bigint;
  readonly #memory: TableMemory;
  readonly #offset: bigint;
  readonly #onTable: (address: bigint, sizeBytes: bigint) => void;

  constructor(
    memory: TableMemory,
    shape: TableShape,
    offset = 0n,
    onTable: (address: bigint, sizeBytes: bigint) => void = () => {},
  ) {
    this.shape = shape;
    this.#memory = memory;
    this.#offset = offset;
    this.#onTable = onTable;
    const entries = 1n << (BigInt(shape.inputBits) - shiftAt(shape.granule, shape.startLevel));
    const sizeBytes = entries * 8n > 64n ? entries * 8n : 64n;
    this.base = memory.take(sizeBytes) + offset;
    onTable(this.base, sizeBytes);
  }

  /**
   * Writes a leaf for an input address, with the tables on the way to it. A table where the leaf should be, or a leaf on
   * the way, stays: the leaf is then written where it can be.
   * @param leafAt the descriptor to write, for the level that it came to.
   */
  map(
    input: bigint,
    leafLevel: number,
    leafAt: (level: number) => bigint,
    tableBits: () => bigint = () => 0n,
  ): { level: number; at: bigint } {
    const { granule, inputBits, startLevel } = this.shape;
    const bench = this.#memory.bench;
    let base = this.base - this.#offset;
    let top = BigInt(inputBits);
    for (let level = startLevel; ; level++) {
      const shift = shiftAt(granule, level);
      const index = (input & ((1n << top) - 1n)) >> shift;
      const at = base + index * 8n;
      const present = bench.load64(at)!;
      const isTable = level < 3 && (present & 3n) === 3n && this.#isMemory(this.#untangle(present));
      if (!isTable && (level >= leafLevel || (level < 3 && (present & 1n) === 1n))) {
        bench.store64(at, leafAt(level));
        return { level, at };
      }
      if (isTable) base = this.#untangle(present) - this.#offset;
      else {
        const size = 1n << BigInt(PAGE_BITS[granule]);
        base = this.#memory.take(size);
        this.#onTable(base + this.#offset, size);
        bench.store64(at, addressField(this.shape, base + this.#offset) | tableBits() | 3n);
      }
      top = shift;
    }
  }

  /**
   * Moves the table below the descriptor at a level to another place, and clears the old one.
   * @returns where it was and is, as physical addresses; undefined where there is no such table.
   */
  move(input: bigint, atLevel: number): { from: bigint; to: bigint; sizeBytes: bigint } | undefined {
    const { granule, inputBits, startLevel } = this.shape;
    const bench = this.#memory.bench;
    let base = this.base - this.#offset;
    let top = BigInt(inputBits);
    for (let level = startLevel; level < 3; level++) {
      const shift = shiftAt(granule, level);
      const at = base + ((input & ((1n << top) - 1n)) >> shift) * 8n;
      const present = bench.load64(at)!;
      if ((present & 3n) !== 3n || !this.#isMemory(this.#untangle(present))) return undefined;
      const from = this.#untangle(present) - this.#offset;
      if (level === atLevel) {
        const sizeBytes = 1n << BigInt(PAGE_BITS[granule]);
        const to = this.#memory.take(sizeBytes);
        this.#onTable(to + this.#offset, sizeBytes);
        for (let i = 0n; i < sizeBytes; i += 8n) {
          bench.store64(to + i, bench.load64(from + i)!);
          bench.store64(from + i, 0n);
        }
        const kept = present & ~addressField(this.shape, (1n << 52n) - 1n);
        bench.store64(at, kept | addressField(this.shape, to + this.#offset));
        return { from, to, sizeBytes };
      }
      base = from;
      top = shift;
    }
    return undefined;
  }

  /** A table descriptor that leads out of memory is a leaf like another. */
  #isMemory(address: bigint): boolean {
    return address >= this.#offset && this.#memory.bench.load64(address - this.#offset) !== undefined;
  }

  #untangle(descriptor: bigint): bigint {
    const { granule, ds, lpa } = this.shape;
    if (granule === 64) {
      return (descriptor & 0xffff_ffff_0000n) | (lpa ? ((descriptor >> 12n) & 0xfn) << 48n : 0n);
    }
    const low = descriptor & 0xffff_ffff_f000n;
    return ds ? low | (((descriptor >> 48n) & 3n) << 48n) | (((descriptor >> 8n) & 3n) << 50n) : low;
  }
}

/** Levels at which a tree of this shape may have leaves. */
export function leafLevels({ granule, startLevel, ds, lpa }: TableShape): number[] {
  const lowest = granule === 4 ? (ds ? 0 : 1) : granule === 16 ? (ds ? 1 : 2) : lpa ? 1 : 2;
  const first = Math.max(lowest, startLevel);
  return Array.from({ length: 4 - first }, (_, i) => first + i);
}
