/**
 * The table descriptors of one stage in the TLB: a walk cache (IHI 0070 3.17, 16.2.1). A walk leaves the descriptors that it
 * read here, and begins at the lowest one that is here. One of a stage 1 table that stage 2 translates holds the table's PA,
 * so that it is combined and subject to invalidation by VA alone, as combined translations are.
 */
import type { SecurityState } from '../../arch/security.js';
import type { TABLE_1, TABLE_2 } from './kernel-layout.js';
import type { StreamContext } from './stream-context.js';
import type { TranslationTable } from './table.js';
import type { Tlb } from './tlb.js';
import { TlbFill } from './tlb-entry.js';

/** The lowest of the hierarchical flags, in the high word. */
const HIERARCHICAL_SHIFT = 27;

export class TableCache {
  readonly #tlb: Tlb;
  readonly #fill = new TlbFill();

  constructor(tlb: Tlb, tag: typeof TABLE_1 | typeof TABLE_2) {
    this.#tlb = tlb;
    this.#fill.stage = tag;
  }

  /**
   * Begins a walk.
   * @param asid of stage 2: the IPA space in its place.
   * @param pageLo,pageHi the input's page number in the TLB.
   * @returns the lowest table descriptor for it, or -1; one of another granule is none.
   */
  begin(
    context: StreamContext,
    table: TranslationTable,
    asid: number,
    pageLo: number,
    pageHi: number,
  ): number {
    const fill = this.#fill;
    fill.world = context.world;
    fill.vmid = context.vmid;
    fill.asid = asid;
    fill.pageLo = pageLo;
    fill.pageHi = pageHi;
    fill.granuleBits = table.granuleBits;
    const hit = this.#tlb.lookup(fill.stage, context.world, context.vmid, asid, 0, pageLo, pageHi);
    if (hit < 0 || this.#tlb.granuleBits(hit) !== table.granuleBits) return -1;
    return this.#tlb.level(hit) < table.startLevel ? -1 : hit;
  }

  /** APTable, UXNTable, PXNTable of an entry and those above it, as they stand in a descriptor's high word. */
  flags(entry: number): number {
    return this.#tlb.own(entry) << HIERARCHICAL_SHIFT;
  }

  /** PA of the descriptor at an address within an entry's table. */
  pa(entry: number, address: number, lsb: number): number {
    return this.#tlb.tablePage(entry) * 4096 + (address % tableBytes(this.#tlb.sizeBits(entry), lsb));
  }

  /**
   * Keeps the table descriptor that led to a read. Where a stage 2 page is smaller than the table, what lies in that page.
   * @param level,lsb of the table that it leads to.
   * @param pageBits log2 of the stage 2 page that the table is in; Infinity where stage 2 does not translate it.
   * @param address,addressSpace where the walk read in that table, an IPA where stage 2 translates it; `pa`, `space` the PA.
   */
  keep(
    level: number,
    lsb: number,
    pageBits: number,
    address: number,
    addressSpace: SecurityState,
    pa: number,
    space: SecurityState,
    flags: number,
  ): void {
    const fill = this.#fill;
    fill.leafBits = lsb + fill.granuleBits - 3;
    fill.sizeBits = Math.min(fill.leafBits, lsb + pageBits - 3);
    fill.level = level - 1;
    const within = address % tableBytes(fill.sizeBits, lsb);
    fill.outPage = (pa - within) / 4096;
    fill.ipaPage = (address - within) / 4096;
    fill.own = flags >>> HIERARCHICAL_SHIFT;
    fill.space = space;
    fill.ipaSpace = addressSpace;
    this.#tlb.fill(fill);
  }
}

/** Bytes of a table, or part of one, whose entries cover 2^lsb bytes each and 2^bits together. */
function tableBytes(bits: number, lsb: number): number {
  return 2 ** (bits - lsb + 3);
}
