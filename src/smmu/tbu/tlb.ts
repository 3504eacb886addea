/**
 * The second-level TLB of a TBU: knows sizes, tags and provenance (IHI 0070 3.17; REQUIREMENTS D10-D19, H5).
 *
 * A translation is tagged STAGE_1 (VA -> PA, from stage 1 alone or both stages combined) or STAGE_2 (IPA -> PA); there
 * are no VA -> IPA entries. A combined entry keeps the size of its stage 1 leaf beside its own, smaller one: invalidation
 * by VA goes by the leaf, as the whole leaf is what software names. Beside them, tagged TABLE_1 or TABLE_2, lie table
 * descriptors: what a walk cache has.
 *
 * Entries lie in one Int32Array behind a chained hash table, so that neither look-up nor fill allocates. A page number
 * is the input address without its low 12 bits: 40 bits of a 52-bit address, and above them one bit for the TTB1 half.
 * A list through the entries tells which goes first; a capacity of Infinity doubles the array instead.
 */
import type { Replacement } from '../config.js';
import { type Commit, StateError } from '../state.js';
import { alignHi, alignLo, pageOffset } from './page-bits.js';
import { Dice } from './replacement.js';
import type { StreamWorld } from './stream-world.js';

export const STAGE_1 = 0;
export const STAGE_2 = 1;
export const TABLE_1 = 2;
export const TABLE_2 = 3;
export type StageTag = typeof STAGE_1 | typeof STAGE_2;
export type EntryTag = StageTag | typeof TABLE_1 | typeof TABLE_2;

const WORDS = 14;
const PAGE_LO = 0;
const PAGE_HI = 1;
const TAG = 2;
const VMID_ASID = 3;
const OUT_LO = 4;
const OUT_HI = 5;
const PERMISSIONS = 6;
const IPA_LO = 7;
const IPA_HI = 8;
const NEXT = 9;
const USED = 10;
const SPACES_ATTRIBUTES = 11;
const OLDER = 12;
const NEWER = 13;

/** In PERMISSIONS, above the two masks. */
const CLEAN = 1 << 16;

const TAG_STAGE_SHIFT = 3;
/** StreamWorld and kind of an entry. */
const TAG_REGIME = 0x1f;
const TAG_TABLE = TABLE_1 << TAG_STAGE_SHIFT;
const TAG_GLOBAL = 1 << 5;
const TAG_SIZE_SHIFT = 6;
const TAG_LEAF_SHIFT = 12;
const TAG_GRANULE_SHIFT = 18;
const TAG_LEVEL_SHIFT = 20;

/** Page number bit that tells the TTB1 half: bit 40, in the high word. */
export const PAGE_HI_TTB1 = 1 << 8;
const TWO_32 = 0x1_0000_0000;

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
  /** Rows of words as the TLB has them; of entries in one hash chain the one that was linked first comes first. */
  readonly entries: Int32Array;
  /** Slots that were used and are free, in the order in which they are used again. */
  readonly free: readonly number[];
  /** Slots from the one that is replaced first to the one that is last; none where ages do not decide. */
  readonly order: readonly number[];
  /** State of the random replacement. */
  readonly dice: number;
}

const MIN_CAPACITY = 16;
/** No entry has this size. */
const EVICTED_SEVERAL = 63;

export class Tlb {
  readonly #limit: number;
  readonly #replacement: Replacement;
  readonly #dice: Dice;
  /** Whether the list of ages is kept. */
  readonly #ordered: boolean;
  #capacity: number;
  #entries: Int32Array;
  #buckets: Int32Array;
  #oldest = -1;
  #newest = -1;
  #free = -1;
  #top = 0;
  #count = 0;
  /** Entries per size, and the sizes that occur, so that a look-up probes only those. */
  #perSize = new Int32Array(64);
  #sizes = new Int32Array(64);
  #sizeCount = 0;
  /** Told of every fill, while somebody wants to know. */
  onFill: ((index: number, tag: EntryTag) => void) | undefined;
  /** What fills pushed out since the first level last followed: nothing (0), one entry of this size, or several. */
  evictedBits = 0;
  /** Low word of that entry's page number. */
  evictedPageLo = 0;

  /** @param limit capacity in entries; 0 keeps nothing, Infinity grows. */
  constructor(limit: number, replacement: Replacement = 'oldest', seed = 0) {
    this.#limit = limit;
    this.#replacement = replacement;
    this.#dice = new Dice(seed);
    this.#ordered = limit !== Number.POSITIVE_INFINITY && replacement !== 'random';
    this.#capacity =
      Math.min(Math.max(limit, 1), limit === Number.POSITIVE_INFINITY ? 1024 : limit) || MIN_CAPACITY;
    this.#entries = new Int32Array(this.#capacity * WORDS);
    this.#buckets = new Int32Array(bucketCount(this.#capacity)).fill(-1);
  }

  get enabled(): boolean {
    return this.#limit > 0;
  }

  get size(): number {
    return this.#count;
  }

  /** @returns the entry's index, or -1. */
  lookup(
    stage: EntryTag,
    world: StreamWorld,
    vmid: number,
    asid: number,
    aset: number,
    pageLo: number,
    pageHi: number,
  ): number {
    const entries = this.#entries;
    const regime = world | (stage << TAG_STAGE_SHIFT);
    const vmidAsid = (vmid << 16) | asid;
    const vmidAset = (vmid << 16) | aset;
    for (let i = 0; i < this.#sizeCount; i++) {
      const sizeBits = this.#sizes[i]!;
      const shift = sizeBits - 12;
      const lo = alignLo(pageLo, shift);
      const hi = alignHi(pageHi, shift);
      let index = this.#buckets[this.#bucket(regime, sizeBits, lo, hi)]!;
      while (index >= 0) {
        const at = index * WORDS;
        const tag = entries[at + TAG]!;
        if (
          entries[at + PAGE_LO] === lo &&
          entries[at + PAGE_HI] === hi &&
          (tag & TAG_REGIME) === regime &&
          ((tag >>> TAG_SIZE_SHIFT) & 63) === sizeBits &&
          entries[at + VMID_ASID] === ((tag & TAG_GLOBAL) !== 0 ? vmidAset : vmidAsid)
        ) {
          if (this.#replacement === 'lru' && this.#ordered) this.#renew(index);
          return index;
        }
        index = entries[at + NEXT]!;
      }
    }
    return -1;
  }

  /** Output page (address / 4096) of the given input page, which the entry must cover. */
  outPage(index: number, pageLo: number): number {
    const at = index * WORDS;
    const offset = pageOffset(pageLo, this.sizeBits(index) - 12);
    return this.#entries[at + OUT_HI]! * TWO_32 + (this.#entries[at + OUT_LO]! >>> 0) + offset;
  }

  ipaPage(index: number, pageLo: number): number {
    const at = index * WORDS;
    const offset = pageOffset(pageLo, this.sizeBits(index) - 12);
    return this.#entries[at + IPA_HI]! * TWO_32 + (this.#entries[at + IPA_LO]! >>> 0) + offset;
  }

  own(index: number): number {
    return this.#entries[index * WORDS + PERMISSIONS]! & 0xff;
  }

  parent(index: number): number {
    return (this.#entries[index * WORDS + PERMISSIONS]! >>> 8) & 0xff;
  }

  clean(index: number): boolean {
    return (this.#entries[index * WORDS + PERMISSIONS]! & CLEAN) !== 0;
  }

  /** Where the table of a TABLE entry begins, divided by 4096: its PA, and the IPA where stage 2 translates it. */
  tablePage(index: number): number {
    return this.#page(index, OUT_LO);
  }

  tableIpaPage(index: number): number {
    return this.#page(index, IPA_LO);
  }

  #page(index: number, word: number): number {
    const at = index * WORDS + word;
    return this.#entries[at + 1]! * TWO_32 + (this.#entries[at]! >>> 0);
  }

  space(index: number): number {
    return this.#entries[index * WORDS + SPACES_ATTRIBUTES]! & 1;
  }

  ipaSpace(index: number): number {
    return (this.#entries[index * WORDS + SPACES_ATTRIBUTES]! >>> 1) & 1;
  }

  attributes(index: number): number {
    return this.#entries[index * WORDS + SPACES_ATTRIBUTES]! >>> 2;
  }

  sizeBits(index: number): number {
    return (this.#entries[index * WORDS + TAG]! >>> TAG_SIZE_SHIFT) & 63;
  }

  isTable(index: number): boolean {
    return (this.#entries[index * WORDS + TAG]! & TAG_TABLE) !== 0;
  }

  granuleBits(index: number): number {
    return 10 + 2 * ((this.#entries[index * WORDS + TAG]! >>> TAG_GRANULE_SHIFT) & 3);
  }

  level(index: number): number {
    return ((this.#entries[index * WORDS + TAG]! >>> TAG_LEVEL_SHIFT) & 7) - 1;
  }

  /** Stores a translation that has just missed, so that there is never more than one match. */
  fill(fill: TlbFill): void {
    if (this.#limit === 0) return;
    const index = this.#allocate();
    const at = index * WORDS;
    const shift = fill.sizeBits - 12;
    const lo = alignLo(fill.pageLo, shift);
    const hi = alignHi(fill.pageHi, shift);
    const regime = fill.world | (fill.stage << TAG_STAGE_SHIFT);
    // A table descriptor leads to one table, whichever of its pages was asked for.
    const offset = fill.stage >= TABLE_1 ? 0 : pageOffset(fill.pageLo, shift);
    const entries = this.#entries;
    entries[at + PAGE_LO] = lo;
    entries[at + PAGE_HI] = hi;
    entries[at + TAG] =
      regime |
      (fill.global ? TAG_GLOBAL : 0) |
      (fill.sizeBits << TAG_SIZE_SHIFT) |
      (fill.leafBits << TAG_LEAF_SHIFT) |
      (((fill.granuleBits - 10) >>> 1) << TAG_GRANULE_SHIFT) |
      ((fill.level + 1) << TAG_LEVEL_SHIFT);
    entries[at + VMID_ASID] = (fill.vmid << 16) | (fill.global ? fill.aset : fill.asid);
    const out = fill.outPage - offset;
    entries[at + OUT_LO] = out | 0;
    entries[at + OUT_HI] = out / TWO_32;
    entries[at + PERMISSIONS] = fill.own | (fill.parent << 8) | (fill.clean ? CLEAN : 0);
    const ipa = fill.ipaPage - offset;
    entries[at + IPA_LO] = ipa | 0;
    entries[at + IPA_HI] = ipa / TWO_32;
    entries[at + SPACES_ATTRIBUTES] = fill.space | (fill.ipaSpace << 1) | (fill.attributes << 2);
    entries[at + USED] = 1;
    const bucket = this.#bucket(regime, fill.sizeBits, lo, hi);
    entries[at + NEXT] = this.#buckets[bucket]!;
    this.#buckets[bucket] = index;
    if (this.#ordered) this.#append(index);
    this.#count++;
    if (this.#perSize[fill.sizeBits]!++ === 0) this.#listSizes();
    this.onFill?.(index, fill.stage);
  }

  /** Drops one entry; what stands for it in the first level goes as well. */
  drop(index: number): void {
    this.#noteEviction(index);
    this.#release(index);
  }

  invalidateAll(): void {
    this.#entries.fill(0);
    this.#buckets.fill(-1);
    this.#perSize.fill(0);
    this.#top = this.#count = this.#sizeCount = 0;
    this.#free = this.#oldest = this.#newest = -1;
  }

  invalidate(scope: TlbScope): void {
    for (let index = 0; index < this.#top; index++) {
      if (this.#entries[index * WORDS + USED] === 1 && this.#matches(index, scope)) {
        this.#release(index);
      }
    }
  }

  save(): TlbState {
    const entries = new Int32Array(this.#count * WORDS);
    let row = 0;
    for (const first of this.#buckets) {
      for (const index of this.#chain(first).reverse()) {
        entries.set(this.#entries.subarray(index * WORDS, (index + 1) * WORDS), row);
        // Where the slot was linked is made anew; which slot it was is not.
        entries[row + NEXT] = index;
        entries[row + OLDER] = entries[row + NEWER] = 0;
        row += WORDS;
      }
    }
    const order: number[] = [];
    for (let index = this.#oldest; index >= 0; index = this.#entries[index * WORDS + NEWER]!)
      order.push(index);
    return { entries, free: this.#chain(this.#free), order, dice: this.#dice.state };
  }

  /** @throws StateError */
  prepare(state: TlbState): Commit {
    const restored = new Tlb(this.#limit, this.#replacement);
    restored.#load(state);
    return () => {
      this.#capacity = restored.#capacity;
      this.#entries = restored.#entries;
      this.#buckets = restored.#buckets;
      this.#oldest = restored.#oldest;
      this.#newest = restored.#newest;
      this.#dice.state = restored.#dice.state;
      this.#free = restored.#free;
      this.#top = restored.#top;
      this.#count = restored.#count;
      this.#perSize = restored.#perSize;
      this.#sizes = restored.#sizes;
      this.#sizeCount = restored.#sizeCount;
      this.evictedBits = 0;
    };
  }

  /** Takes a state into a TLB that is empty. */
  #load({ entries, free, order, dice }: TlbState): void {
    const rows = entries.length / WORDS;
    const top = rows + free.length;
    if (!Number.isInteger(rows) || top > this.#limit) {
      throw new StateError(`${rows} TLB entries and ${free.length} free slots where ${this.#limit} fit`);
    }
    while (this.#capacity < top) this.#grow();
    this.#dice.state = dice;
    this.#top = top;
    const claimed = new Set<number>();
    const ordered = new Set<number>();
    const claim = (slot: number) => {
      if (!(slot >= 0 && slot < top) || claimed.has(slot)) throw new StateError(`TLB slot ${slot} misplaced`);
      claimed.add(slot);
    };
    for (const slot of free.toReversed()) {
      claim(slot);
      this.#entries[slot * WORDS + NEXT] = this.#free;
      this.#free = slot;
    }
    for (let row = 0; row < entries.length; row += WORDS) {
      const slot = entries[row + NEXT]!;
      claim(slot);
      this.#entries.set(entries.subarray(row, row + WORDS), slot * WORDS);
      this.#entries[slot * WORDS + USED] = 1;
      const sizeBits = this.sizeBits(slot);
      if (sizeBits < 12) throw new StateError(`a TLB entry of 2^${sizeBits} bytes`);
      if (this.isTable(slot) && this.level(slot) > 2) throw new StateError('a table descriptor of level 3');
      this.#link(slot);
      this.#count++;
      this.#perSize[sizeBits]!++;
    }
    this.#listSizes();
    if (order.length !== (this.#ordered ? rows : 0)) {
      throw new StateError(`an order of ${order.length} TLB entries for ${rows}`);
    }
    for (const slot of order) {
      if (this.#entries[slot * WORDS + USED] !== 1 || ordered.has(slot))
        throw new StateError(`TLB slot ${slot} misplaced`);
      ordered.add(slot);
      this.#append(slot);
    }
  }

  /** The slots of a chain, from its first on. */
  #chain(first: number): number[] {
    const slots: number[] = [];
    for (let index = first; index >= 0; index = this.#entries[index * WORDS + NEXT]!) slots.push(index);
    return slots;
  }

  /** Puts an entry in front of its chain. */
  #link(index: number): void {
    const entries = this.#entries;
    const at = index * WORDS;
    const tag = entries[at + TAG]!;
    const sizeBits = (tag >>> TAG_SIZE_SHIFT) & 63;
    const bucket = this.#bucket(tag & TAG_REGIME, sizeBits, entries[at + PAGE_LO]!, entries[at + PAGE_HI]!);
    entries[at + NEXT] = this.#buckets[bucket]!;
    this.#buckets[bucket] = index;
  }

  #matches(index: number, scope: TlbScope): boolean {
    const at = index * WORDS;
    const tag = this.#entries[at + TAG]!;
    if (
      ((scope.worlds >>> (tag & 7)) & 1) === 0 ||
      ((scope.stages >>> ((tag >>> TAG_STAGE_SHIFT) & 3)) & 1) === 0
    ) {
      return false;
    }
    const vmidAsid = this.#entries[at + VMID_ASID]!;
    if (scope.vmid >= 0 && ((vmidAsid >>> 16) ^ scope.vmid) & ~scope.vmidIgnored) return false;
    if (scope.asid >= 0) {
      if (tag & TAG_GLOBAL) {
        if (!scope.global) return false;
      } else if ((vmidAsid & 0xffff) !== scope.asid) return false;
    }
    if (scope.granuleBits !== 0 && ((tag >>> TAG_GRANULE_SHIFT) & 3) !== (scope.granuleBits - 10) >>> 1)
      return false;
    if (scope.level !== -2) {
      const level = ((tag >>> TAG_LEVEL_SHIFT) & 7) - 1;
      // A hint names the leaf's level: table descriptors above it go as well (4.4.1.1).
      if ((tag & TAG_TABLE) !== 0 ? level >= scope.level : level !== scope.level) return false;
    }
    if (scope.firstPage >= 0) {
      const page = this.#entries[at + PAGE_HI]! * TWO_32 + (this.#entries[at + PAGE_LO]! >>> 0);
      const pages = 2 ** (((tag >>> TAG_LEAF_SHIFT) & 63) - 12);
      const first = Math.floor(page / pages) * pages;
      if (first > scope.lastPage || first + pages - 1 < scope.firstPage) return false;
    }
    return true;
  }

  #bucket(regime: number, sizeBits: number, lo: number, hi: number): number {
    let hash = Math.imul((lo >>> (sizeBits - 12)) ^ (sizeBits << 26) ^ (hi << 20) ^ regime, 0x9e3779b1);
    hash ^= hash >>> 15;
    return hash & (this.#buckets.length - 1);
  }

  /** A slot for a new entry: a free one, the next never used, room made by growing, or another's. */
  #allocate(): number {
    if (this.#free >= 0) {
      const index = this.#free;
      this.#free = this.#entries[index * WORDS + NEXT]!;
      return index;
    }
    if (this.#top < this.#capacity) return this.#top++;
    if (this.#limit === Number.POSITIVE_INFINITY) {
      this.#grow();
      return this.#top++;
    }
    const index = this.#replacement === 'random' ? this.#dice.below(this.#capacity) : this.#oldest;
    this.#noteEviction(index);
    this.#remove(index);
    return index;
  }

  /** For the first level, which has STAGE_1 entries only. */
  #noteEviction(index: number): void {
    if (((this.#entries[index * WORDS + TAG]! >>> TAG_STAGE_SHIFT) & 3) !== STAGE_1) return;
    this.evictedBits = this.evictedBits === 0 ? this.sizeBits(index) : EVICTED_SEVERAL;
    this.evictedPageLo = this.#entries[index * WORDS + PAGE_LO]!;
  }

  #grow(): void {
    this.#capacity *= 2;
    const entries = new Int32Array(this.#capacity * WORDS);
    entries.set(this.#entries);
    this.#entries = entries;
    this.#buckets = new Int32Array(bucketCount(this.#capacity)).fill(-1);
    for (let index = 0; index < this.#top; index++) {
      if (entries[index * WORDS + USED] === 1) this.#link(index);
    }
  }

  #release(index: number): void {
    this.#remove(index);
    this.#entries[index * WORDS + NEXT] = this.#free;
    this.#free = index;
  }

  /** Unlinks an entry from its chain and marks its slot unused. */
  #remove(index: number): void {
    const entries = this.#entries;
    const at = index * WORDS;
    const tag = entries[at + TAG]!;
    const sizeBits = (tag >>> TAG_SIZE_SHIFT) & 63;
    const bucket = this.#bucket(tag & TAG_REGIME, sizeBits, entries[at + PAGE_LO]!, entries[at + PAGE_HI]!);
    let link = this.#buckets[bucket]!;
    if (link === index) this.#buckets[bucket] = entries[at + NEXT]!;
    else {
      while (entries[link * WORDS + NEXT] !== index) link = entries[link * WORDS + NEXT]!;
      entries[link * WORDS + NEXT] = entries[at + NEXT]!;
    }
    entries[at + USED] = 0;
    if (this.#ordered) this.#takeOut(index);
    this.#count--;
    if (--this.#perSize[sizeBits]! === 0) this.#listSizes();
  }

  #append(index: number): void {
    const at = index * WORDS;
    this.#entries[at + OLDER] = this.#newest;
    this.#entries[at + NEWER] = -1;
    if (this.#newest < 0) this.#oldest = index;
    else this.#entries[this.#newest * WORDS + NEWER] = index;
    this.#newest = index;
  }

  #takeOut(index: number): void {
    const older = this.#entries[index * WORDS + OLDER]!;
    const newer = this.#entries[index * WORDS + NEWER]!;
    if (older < 0) this.#oldest = newer;
    else this.#entries[older * WORDS + NEWER] = newer;
    if (newer < 0) this.#newest = older;
    else this.#entries[newer * WORDS + OLDER] = older;
  }

  #renew(index: number): void {
    if (index === this.#newest) return;
    this.#takeOut(index);
    this.#append(index);
  }

  #listSizes(): void {
    this.#sizeCount = 0;
    for (let size = 0; size < 64; size++)
      if (this.#perSize[size] !== 0) this.#sizes[this.#sizeCount++] = size;
  }
}

function bucketCount(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(capacity, MIN_CAPACITY)));
}
