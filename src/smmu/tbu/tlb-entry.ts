/** What goes into a TLB and what is taken out of it (tlb.ts). */
import { STAGE_1, type STAGE_2, type TABLE_1, type TABLE_2 } from './kernel-layout.js';
import type { StreamWorld } from './stream-world.js';

export type StageTag = typeof STAGE_1 | typeof STAGE_2;
export type EntryTag = StageTag | typeof TABLE_1 | typeof TABLE_2;

/** What a fill stores; filled in by the walker and reused. Addresses are page numbers as exact doubles. */
export class TlbFill {
  stage: EntryTag = STAGE_1;
  world: StreamWorld = 0;
  vmid = 0;
  asid = 0;
  /** CD.ASET: a global entry serves look-ups of the same ASET only (3.17.1). */
  aset = 0;
  global = false;
  pageLo = 0;
  pageHi = 0;
  /** log2 of the bytes that the entry maps. */
  sizeBits = 12;
  /** log2 of what the entry's own descriptor covers. */
  leafBits = 12;
  /** 12, 14 or 16, of the entry's own stage. */
  granuleBits = 12;
  level = 3;
  /** Output address of the first byte of the accessed 4 KiB page, or the next-level table, divided by 4096. */
  outPage = 0;
  /** The stage's own permissions, one bit per kind of access; see permission.ts. Of a table descriptor, its flags. */
  own = 0;
  /** Stage 2's permissions of a combined entry; all ones otherwise. */
  parent = 0;
  /** A descriptor is writable-clean (DDI 0487 D8.5.2): a write, which the permissions lack, walks and changes it. */
  clean = false;
  /** IPA of the accessed page divided by 4096, of a combined entry. */
  ipaPage = 0;
  /** PA space of the output. */
  space = 0;
  /** IPA space, of a combined entry; a STAGE_2 entry has it in place of an ASID. */
  ipaSpace = 0;
  /** Raw attributes of both stages (attributes.ts). */
  attributes = 0;
}

/** Which entries an invalidation takes. Fields left at their defaults do not restrict. */
export class TlbScope {
  /** One bit per StreamWorld. */
  worlds = 0;
  /** One bit per EntryTag. */
  stages = 0;
  vmid = -1;
  /** Bits of the VMID that do not count (CR0.VMW). */
  vmidIgnored = 0;
  asid = -1;
  /** With an ASID: whether global entries go as well. */
  global = true;
  /** First and last page number of a range, or -1. */
  firstPage = -1;
  lastPage = -1;
  /** Granule and level hints of RIL commands; 0 and -2 do not restrict. */
  granuleBits = 0;
  level = -2;

  reset(worlds: number, stages: number): this {
    this.worlds = worlds;
    this.stages = stages;
    this.vmid = this.asid = this.firstPage = this.lastPage = -1;
    this.global = true;
    this.vmidIgnored = 0;
    this.granuleBits = 0;
    this.level = -2;
    return this;
  }
}

/** The entries, and all that decides which is replaced next. */
export interface TlbState {
  /** Rows of eleven words; of entries in one hash chain the one that was linked first comes first. */
  readonly entries: Int32Array;
  /** Slots that were used and are free, in the order in which they are used again. */
  readonly free: readonly number[];
  /** Slots from the one that is replaced first to the one that is last; none where ages do not decide. */
  readonly order: readonly number[];
  /** State of the random replacement. */
  readonly dice: number;
}
