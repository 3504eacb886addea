/**
 * Builds VMSAv8-64 translation tables in memory (DDI 0487 D8.2, D8.3): stage 1 for TTB0 and TTB1, stage 2 with
 * concatenated start tables, granules of 4KB, 16KB and 64KB, blocks where address and size allow.
 *
 * A descriptor is one 64-bit store. Whatever a TLB may still hold after a change is returned as an
 * {@link Invalidation}; tables that became empty are memory of ours again only when that has been carried out.
 * A block that must become a table goes through break-before-make (D8.17.1), for which the caller lends a `flush`.
 *
 * Leaves out: the Contiguous bit, hierarchical attributes, 4KB and 16KB tables with 52-bit addresses (DS).
 */
import { S1_LEAF_DESCRIPTOR, S2_LEAF_DESCRIPTOR, TABLE_DESCRIPTOR } from '../arch/descriptors.js';
import { encode, type Field } from '../arch/layout.js';
import type { PageAllocator } from './page-allocator.js';
import { type CpuMemory, DriverError, doubleWord } from './port.js';

export type Granule = '4KiB' | '16KiB' | '64KiB';

export const GRANULE_BITS: Readonly<Record<Granule, number>> = { '4KiB': 12, '16KiB': 14, '64KiB': 16 };

/** Bytes that one entry at a level covers, as a power of two (DDI 0487 D8.2). */
export function entryBits(granule: Granule, level: number): number {
  const pageBits = GRANULE_BITS[granule];
  return pageBits + (3 - level) * (pageBits - 3);
}

export interface TableFormat {
  readonly stage: 1 | 2;
  readonly granule: Granule;
  /** 64 - TxSZ. */
  readonly inputBits: number;
  readonly outputBits: number;
  /** Whether blocks are used where they fit; pages only otherwise. */
  readonly blocks: boolean;
}

/** What a mapping permits. Stage 1 knows no write-only access: it grants reading with it. */
export interface Permissions {
  readonly read: boolean;
  readonly write: boolean;
  /** Default false. */
  readonly execute?: boolean;
  /** Only privileged accesses; stage 1. Default false. */
  readonly privilegedOnly?: boolean;
  /** Device-nGnRE rather than Normal Write-Back memory. Default false. */
  readonly device?: boolean;
  /** The leaf's NS bit: for a Secure stage 1, output in the Non-secure PA space. Default false. */
  readonly ns?: boolean;
  /** Shared by all ASIDs; stage 1. Default false. */
  readonly global?: boolean;
  /**
   * Hardware notes the first access (AF), with `dirty` also the first write (DBM; DDI 0487 D8.5). The CD must have HA and
   * HD, for stage 2 the STE S2HA and S2HD. Default: nothing is left to be noted.
   */
  readonly noted?: 'accessed' | 'dirty';
}

/** What hardware has noted in a leaf. */
export interface LeafNotes {
  readonly accessed: boolean;
  /** Writes are permitted: nothing is left to be noted of them. */
  readonly dirty: boolean;
}

/** Leaves of one level over a run of input addresses. */
export interface LeafRange {
  /** Input address, without the bits above the input range (as in TTB0). */
  readonly start: number;
  readonly sizeBytes: number;
  readonly level: number;
}

export interface Invalidation {
  readonly ranges: LeafRange[];
  /** Tables that are no longer linked: a TLB may hold pointers to them until they are invalidated, too. */
  readonly tables: number[];
}

/** MAIR0 that goes with the AttrIndx of stage 1 leaves: 0 Normal Write-Back, 1 Device-nGnRE. */
export const MAIR0 = 0x0000_04ff;

/** The bits of one field, in place. */
function mask(field: Field): bigint {
  return ((1n << BigInt(field.hi - field.lo + 1)) - 1n) << BigInt(field.lo);
}

const VALID = mask(TABLE_DESCRIPTOR.fields.Valid);
/** Bit 1: a table above level 3, a page at level 3. */
const TABLE_OR_PAGE = mask(TABLE_DESCRIPTOR.fields.Type);
const AF = mask(S1_LEAF_DESCRIPTOR.fields.AF);
/** AP[2]. */
const AP_READ_ONLY = mask({ ...S1_LEAF_DESCRIPTOR.fields.AP, lo: S1_LEAF_DESCRIPTOR.fields.AP.hi });
/** S2AP[1]. */
const S2AP_WRITE = mask({ ...S2_LEAF_DESCRIPTOR.fields.S2AP, lo: S2_LEAF_DESCRIPTOR.fields.S2AP.hi });
/** D8.3.1: address bits of all three granules; with 64KB granules bits [15:12] hold address bits [51:48]. */
const ADDRESS_47_12 = mask({ hi: 47, lo: 12 });
/** Everything of a leaf that is neither address nor type: the lower and the upper attributes. */
const LEAF_ATTRIBUTES = mask({ hi: 11, lo: 2 }) | mask({ hi: 63, lo: 50 });

const SH_INNER = 3;
const ATTR_NORMAL = 0;
const ATTR_DEVICE = 1;
const MEMATTR_NORMAL = 0b1111;
const MEMATTR_DEVICE = 0b0001;
/** XN[1:0]: no execution at any privilege (D8.4.2). */
const XN_NEVER = 0b10;

/** Tables that a stage 2 start level may consist of (D8.2.4). */
const MAX_CONCATENATED = 16;

function stage1Attributes(permissions: Permissions): bigint {
  const never = permissions.execute ? 0 : 1;
  const clean = permissions.write && permissions.noted === 'dirty';
  return doubleWord(
    encode(S1_LEAF_DESCRIPTOR, {
      AttrIndx: permissions.device ? ATTR_DEVICE : ATTR_NORMAL,
      NS: permissions.ns ? 1 : 0,
      // AP[2:1]: bit 0 lets unprivileged accesses in, bit 1 forbids writes.
      AP: (permissions.privilegedOnly ? 0 : 1) | (permissions.write && !clean ? 0 : 2),
      SH: SH_INNER,
      AF: permissions.noted === undefined ? 1 : 0,
      DBM: clean ? 1 : 0,
      nG: permissions.global ? 0 : 1,
      PXN: never,
      UXN: never,
    }),
  );
}

function stage2Attributes(permissions: Permissions): bigint {
  const clean = permissions.write && permissions.noted === 'dirty';
  return doubleWord(
    encode(S2_LEAF_DESCRIPTOR, {
      MemAttr: permissions.device ? MEMATTR_DEVICE : MEMATTR_NORMAL,
      S2AP: (permissions.read ? 1 : 0) | (permissions.write && !clean ? 2 : 0),
      SH: SH_INNER,
      AF: permissions.noted === undefined ? 1 : 0,
      DBM: clean ? 1 : 0,
      XN: permissions.execute ? 0 : XN_NEVER,
    }),
  );
}

export class PageTables {
  readonly format: TableFormat;
  readonly startLevel: number;
  /** Physical address for TTBx or S2TTB. */
  readonly root: number;
  readonly #memory: CpuMemory;
  readonly #allocator: PageAllocator;
  readonly #flush: (invalidation: Invalidation) => void;
  readonly #pageBits: number;
  readonly #stride: number;
  readonly #rootBytes: number;
  /** How many entries of each table are in use. */
  readonly #live = new Map<number, number>();

  /**
   * @param flush invalidates and waits (CMD_TLBI, CMD_SYNC); called in the middle of splitting a block.
   */
  constructor(
    format: TableFormat,
    memory: CpuMemory,
    allocator: PageAllocator,
    flush: (invalidation: Invalidation) => void,
  ) {
    this.format = format;
    this.#memory = memory;
    this.#allocator = allocator;
    this.#flush = flush;
    this.#pageBits = GRANULE_BITS[format.granule];
    this.#stride = this.#pageBits - 3;
    this.startLevel = this.#chooseStartLevel();
    this.#rootBytes = 8 * 2 ** (format.inputBits - this.#shift(this.startLevel));
    const align = Math.max(this.#rootBytes, 2 ** this.#pageBits);
    this.root = allocator.allocate(this.#rootBytes, align);
    memory.fill(this.root, 0, this.#rootBytes);
    this.#live.set(this.root, 0);
  }

  get granuleBytes(): number {
    return 2 ** this.#pageBits;
  }

  /** Maps a range. @throws DriverError when it is misaligned, out of range or already mapped in part. */
  map(iova: bigint, pa: number, sizeBytes: number, permissions: Permissions): void {
    const start = this.#checked(iova, sizeBytes);
    if (pa % this.granuleBytes !== 0)
      throw new DriverError(`physical address 0x${pa.toString(16)} is misaligned`);
    if (pa + sizeBytes > 2 ** this.format.outputBits) {
      throw new DriverError(`physical address 0x${pa.toString(16)} is beyond ${this.format.outputBits} bits`);
    }
    this.#checkUnmapped(this.root, this.startLevel, start, start + sizeBytes);
    const attributes = this.#attributes(permissions);
    this.#map(this.root, this.startLevel, start, start + sizeBytes, pa - start, attributes);
  }

  /** Unmaps whatever is mapped in a range. */
  unmap(iova: bigint, sizeBytes: number): Invalidation {
    const start = this.#checked(iova, sizeBytes);
    const result: Invalidation = { ranges: [], tables: [] };
    this.#change(this.root, this.startLevel, start, start + sizeBytes, undefined, result);
    return result;
  }

  /** Changes the permissions of whatever is mapped in a range. */
  protect(iova: bigint, sizeBytes: number, permissions: Permissions): Invalidation {
    const start = this.#checked(iova, sizeBytes);
    const result: Invalidation = { ranges: [], tables: [] };
    this.#change(this.root, this.startLevel, start, start + sizeBytes, this.#attributes(permissions), result);
    return result;
  }

  /** What hardware has noted in the leaf of a mapped page. */
  notes(iova: bigint): LeafNotes {
    const input = this.#checked(iova, this.granuleBytes);
    for (let table = this.root, level = this.startLevel; ; level++) {
      const descriptor = this.#memory.load64(this.#entryAddress(table, level, input));
      if (!this.#isTable(descriptor, level))
        return { accessed: (descriptor & AF) !== 0n, dirty: this.#isWritable(descriptor) };
      table = this.#tableAddress(descriptor);
    }
  }

  #isWritable(leaf: bigint): boolean {
    return this.format.stage === 1 ? (leaf & AP_READ_ONLY) === 0n : (leaf & S2AP_WRITE) !== 0n;
  }

  /** Physical address of the descriptor that a walk for an input address reads first. */
  firstEntry(iova: bigint): number {
    const input = Number(BigInt.asUintN(this.format.inputBits, iova));
    return this.#entryAddress(this.root, this.startLevel, input);
  }

  /** Takes back the tables of an invalidation that has been carried out. */
  release(invalidation: Invalidation): void {
    for (const table of invalidation.tables) this.#allocator.free(table, this.granuleBytes);
  }

  /** Gives all memory back. Only when no stream uses the tables and the TLBs have been invalidated. */
  destroy(): void {
    for (const table of this.#live.keys()) {
      this.#allocator.free(table, table === this.root ? this.#rootBytes : this.granuleBytes);
    }
    this.#live.clear();
  }

  #chooseStartLevel(): number {
    const { stage, inputBits, granule } = this.format;
    const level = 4 - Math.ceil((inputBits - this.#pageBits) / this.#stride);
    if (stage === 1) return level;
    // Stage 2 saves a level where few enough tables of the next can stand side by side.
    const deepest = granule === '4KiB' ? 2 : 3;
    const tables = 2 ** (inputBits - this.#shift(level));
    return level < deepest && tables <= MAX_CONCATENATED ? level + 1 : level;
  }

  #attributes(permissions: Permissions): bigint {
    return this.format.stage === 1 ? stage1Attributes(permissions) : stage2Attributes(permissions);
  }

  #shift(level: number): number {
    return entryBits(this.format.granule, level);
  }

  /** D8.3: 4KB tables have blocks at levels 1 and 2, the others at level 2. */
  #leafAllowed(level: number): boolean {
    if (level === 3) return true;
    return this.format.blocks && (level === 2 || (level === 1 && this.format.granule === '4KiB'));
  }

  #checked(iova: bigint, sizeBytes: number): number {
    const start = Number(BigInt.asUintN(this.format.inputBits, iova));
    if (start % this.granuleBytes !== 0 || sizeBytes % this.granuleBytes !== 0 || sizeBytes <= 0) {
      throw new DriverError(
        `range 0x${iova.toString(16)}+0x${sizeBytes.toString(16)} is no multiple of the granule`,
      );
    }
    if (start + sizeBytes > 2 ** this.format.inputBits) {
      throw new DriverError(
        `range 0x${iova.toString(16)}+0x${sizeBytes.toString(16)} exceeds the input range`,
      );
    }
    return start;
  }

  #entryAddress(table: number, level: number, input: number): number {
    const size = 2 ** this.#shift(level);
    const entries = table === this.root ? this.#rootBytes / 8 : 2 ** this.#stride;
    return table + (Math.floor(input / size) % entries) * 8;
  }

  #write(table: number, entryPa: number, before: bigint, after: bigint): void {
    this.#memory.store64(entryPa, after);
    const change = (after === 0n ? 0 : 1) - (before === 0n ? 0 : 1);
    this.#live.set(table, this.#live.get(table)! + change);
  }

  #newTable(): number {
    const table = this.#allocator.allocate(this.granuleBytes, this.granuleBytes);
    this.#memory.fill(table, 0, this.granuleBytes);
    this.#live.set(table, 0);
    return table;
  }

  /** D8.3.1: with 64KB granules bits [51:48] of an address stand in [15:12]. */
  #withAddress(pa: number): bigint {
    const address = BigInt(pa);
    return (address & ADDRESS_47_12) | ((address >> 48n) << 12n);
  }

  #addressOf(descriptor: bigint, level: number): number {
    const shift = BigInt(this.#shift(level));
    const low = ((descriptor & ADDRESS_47_12) >> shift) << shift;
    const high = this.format.granule === '64KiB' ? ((descriptor >> 12n) & 0xfn) << 48n : 0n;
    return Number(high | low);
  }

  #tableAddress(descriptor: bigint): number {
    return this.#addressOf(descriptor, 3);
  }

  #isTable(descriptor: bigint, level: number): boolean {
    return level < 3 && (descriptor & TABLE_OR_PAGE) !== 0n;
  }

  #leaf(pa: number, level: number, attributes: bigint): bigint {
    return this.#withAddress(pa) | attributes | VALID | (level === 3 ? TABLE_OR_PAGE : 0n);
  }

  /** Calls `visit` for each entry of a table that a range touches, with the part of the range inside it. */
  #eachEntry(
    level: number,
    start: number,
    end: number,
    visit: (from: number, to: number, whole: boolean) => void,
  ) {
    const size = 2 ** this.#shift(level);
    for (let from = start; from < end; ) {
      const next = (Math.floor(from / size) + 1) * size;
      const to = Math.min(next, end);
      visit(from, to, to - from === size);
      from = to;
    }
  }

  #checkUnmapped(table: number, level: number, start: number, end: number): void {
    this.#eachEntry(level, start, end, (from, to) => {
      const descriptor = this.#memory.load64(this.#entryAddress(table, level, from));
      if (descriptor === 0n) return;
      if (!this.#isTable(descriptor, level))
        throw new DriverError(`0x${from.toString(16)} is already mapped`);
      this.#checkUnmapped(this.#tableAddress(descriptor), level + 1, from, to);
    });
  }

  /** `delta` is what must be added to an input address for its output address. */
  #map(table: number, level: number, start: number, end: number, delta: number, attributes: bigint): void {
    const size = 2 ** this.#shift(level);
    this.#eachEntry(level, start, end, (from, to, whole) => {
      const entryPa = this.#entryAddress(table, level, from);
      const descriptor = this.#memory.load64(entryPa);
      if (descriptor === 0n && whole && this.#leafAllowed(level) && (from + delta) % size === 0) {
        this.#write(table, entryPa, descriptor, this.#leaf(from + delta, level, attributes));
        return;
      }
      if (descriptor !== 0n) {
        this.#map(this.#tableAddress(descriptor), level + 1, from, to, delta, attributes);
        return;
      }
      // The new table is complete before it is linked, so that no walk sees half of it.
      const next = this.#newTable();
      this.#map(next, level + 1, from, to, delta, attributes);
      this.#write(table, entryPa, 0n, this.#withAddress(next) | VALID | TABLE_OR_PAGE);
    });
  }

  /** Unmaps (attributes undefined) or changes the attributes of what is mapped between start and end. */
  #change(
    table: number,
    level: number,
    start: number,
    end: number,
    attributes: bigint | undefined,
    result: Invalidation,
  ): void {
    this.#eachEntry(level, start, end, (from, to, whole) => {
      const entryPa = this.#entryAddress(table, level, from);
      let descriptor = this.#memory.load64(entryPa);
      if (descriptor === 0n) return;
      if (!this.#isTable(descriptor, level)) {
        if (whole) {
          const after = attributes === undefined ? 0n : (descriptor & ~LEAF_ATTRIBUTES) | attributes;
          this.#write(table, entryPa, descriptor, after);
          this.#record(result, from, to - from, level);
          return;
        }
        descriptor = this.#split(table, entryPa, level, from, descriptor);
      }
      const next = this.#tableAddress(descriptor);
      this.#change(next, level + 1, from, to, attributes, result);
      if (this.#live.get(next) !== 0) return;
      this.#write(table, entryPa, descriptor, 0n);
      this.#live.delete(next);
      result.tables.push(next);
    });
  }

  /** Break-before-make: the block goes, the TLBs forget it, and only then the table of its parts comes. */
  #split(table: number, entryPa: number, level: number, input: number, block: bigint): bigint {
    const size = 2 ** this.#shift(level);
    const start = Math.floor(input / size) * size;
    this.#write(table, entryPa, block, 0n);
    this.#flush({ ranges: [{ start, sizeBytes: size, level }], tables: [] });
    const next = this.#newTable();
    const delta = this.#addressOf(block, level) - start;
    this.#map(next, level + 1, start, start + size, delta, block & LEAF_ATTRIBUTES);
    const descriptor = this.#withAddress(next) | VALID | TABLE_OR_PAGE;
    this.#write(table, entryPa, 0n, descriptor);
    return descriptor;
  }

  #record(result: Invalidation, start: number, sizeBytes: number, level: number): void {
    const last = result.ranges.at(-1);
    if (last !== undefined && last.level === level && last.start + last.sizeBytes === start) {
      result.ranges[result.ranges.length - 1] = { ...last, sizeBytes: last.sizeBytes + sizeBytes };
      return;
    }
    result.ranges.push({ start, sizeBytes, level });
  }
}
