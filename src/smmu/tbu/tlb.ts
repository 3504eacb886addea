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
import {
  BUCKET_MASK,
  CAPACITY,
  CLEAN,
  COUNT,
  DESCRIPTOR_READS,
  DIRECT_ACCESSES,
  ENTRIES_OFFSET,
  ENTRY_WORDS,
  EVICTED_BITS,
  EVICTED_PAGE_LO,
  EVICTED_SEVERAL,
  FREE,
  HASH_FACTOR,
  HASH_FOLD,
  HASH_HI_SHIFT,
  HASH_SIZE_SHIFT,
  IPA_HI,
  IPA_LO,
  NEWER,
  NEWEST,
  NEXT,
  OLDER,
  OLDEST,
  OUT_HI,
  OUT_LO,
  PAGE_HI,
  PAGE_LO,
  PER_SIZE,
  PERMISSIONS,
  SIZE_COUNT,
  SIZES,
  SPACES_ATTRIBUTES,
  STATE_WORDS,
  TABLE_1,
  TAG,
  TAG_GLOBAL,
  TAG_GRANULE_SHIFT,
  TAG_LEAF_SHIFT,
  TAG_LEVEL_SHIFT,
  TAG_REGIME,
  TAG_SIZE_SHIFT,
  TAG_STAGE_SHIFT,
  TOP,
  USED,
  VMID_ASID,
} from './kernel-layout.js';
import { alignHi, alignLo, pageOffset } from './page-bits.js';
import { Dice } from './replacement.js';
import type { StreamWorld } from './stream-world.js';
import type { EntryTag, TlbFill, TlbScope, TlbState } from './tlb-entry.js';

/** The state's words from here on are about what is in the TLB. */
const FIRST_OF_CONTENTS = OLDEST;
const TAG_TABLE = TABLE_1 << TAG_STAGE_SHIFT;

/** A row of a state: an entry up to NEXT, in which its slot is. */
const ROW_WORDS = NEXT + 1;

const TWO_32 = 0x1_0000_0000;
/** Bits of a page number: 52-bit addresses. */
const PAGE_BITS = 40;

const MIN_BUCKETS = 16;
/** Of a TLB that grows. */
const FIRST_CAPACITY = 1024;

export class Tlb {
  readonly #limit: number;
  readonly #replacement: Replacement;
  readonly #dice: Dice;
  /** Whether the list of ages is kept. */
  readonly #ordered: boolean;
  #words!: Int32Array;
  #state!: Int32Array;
  #buckets!: Int32Array;
  #entries!: Int32Array;
  /** Told of every fill, while somebody wants to know. */
  onFill: ((index: number, tag: EntryTag) => void) | undefined;

  /**
   * @param limit capacity in entries; 0 keeps nothing, Infinity grows.
   * @param memory of `tlbWords(limit)` words, where the TLB is to be in that of a kernel.
   */
  constructor(limit: number, replacement: Replacement = 'oldest', seed = 0, memory?: Int32Array) {
    this.#limit = limit;
    this.#replacement = replacement;
    this.#dice = new Dice(seed);
    this.#ordered = limit !== Number.POSITIVE_INFINITY && replacement !== 'random';
    const capacity = limit === Number.POSITIVE_INFINITY ? FIRST_CAPACITY : Math.max(limit, 1);
    this.#lieIn(memory ?? new Int32Array(tlbWords(capacity)), capacity);
    this.invalidateAll();
  }

  /** Takes words for its memory; what is in them is not looked at. */
  #lieIn(words: Int32Array, capacity: number): void {
    const buckets = bucketCount(capacity);
    this.#words = words;
    this.#state = words.subarray(0, STATE_WORDS);
    this.#buckets = words.subarray(STATE_WORDS, STATE_WORDS + buckets);
    this.#entries = words.subarray(STATE_WORDS + buckets);
    this.#state[CAPACITY] = capacity;
    this.#state[BUCKET_MASK] = buckets - 1;
    this.#state[ENTRIES_OFFSET] = 4 * (STATE_WORDS + buckets);
  }

  get enabled(): boolean {
    return this.#limit > 0;
  }

  get size(): number {
    return this.#state[COUNT]!;
  }

  /** What fills pushed out since the first level last followed: nothing (0), one entry of this size, or several. */
  get evictedBits(): number {
    return this.#state[EVICTED_BITS]!;
  }

  /** Low word of that entry's page number. */
  get evictedPageLo(): number {
    return this.#state[EVICTED_PAGE_LO]!;
  }

  /** The first level has followed. */
  forgetEvictions(): void {
    this.#state[EVICTED_BITS] = 0;
  }

  /** Descriptors that the kernel has read since it was asked last. */
  takeKernelReads(): number {
    const reads = this.#state[DESCRIPTOR_READS]! >>> 0;
    this.#state[DESCRIPTOR_READS] = 0;
    return reads;
  }

  /** The same of accesses whose data it has moved. */
  takeDirectAccesses(): number {
    const accesses = this.#state[DIRECT_ACCESSES]! >>> 0;
    this.#state[DIRECT_ACCESSES] = 0;
    return accesses;
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
    for (let i = 0; i < this.#state[SIZE_COUNT]!; i++) {
      const sizeBits = this.#state[SIZES + i]!;
      const shift = sizeBits - 12;
      const lo = alignLo(pageLo, shift);
      const hi = alignHi(pageHi, shift);
      let index = this.#buckets[this.#bucket(regime, sizeBits, lo, hi)]!;
      while (index >= 0) {
        const at = index * ENTRY_WORDS;
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
    const at = index * ENTRY_WORDS;
    const offset = pageOffset(pageLo, this.sizeBits(index) - 12);
    return this.#entries[at + OUT_HI]! * TWO_32 + (this.#entries[at + OUT_LO]! >>> 0) + offset;
  }

  ipaPage(index: number, pageLo: number): number {
    const at = index * ENTRY_WORDS;
    const offset = pageOffset(pageLo, this.sizeBits(index) - 12);
    return this.#entries[at + IPA_HI]! * TWO_32 + (this.#entries[at + IPA_LO]! >>> 0) + offset;
  }

  own(index: number): number {
    return this.#entries[index * ENTRY_WORDS + PERMISSIONS]! & 0xff;
  }

  parent(index: number): number {
    return (this.#entries[index * ENTRY_WORDS + PERMISSIONS]! >>> 8) & 0xff;
  }

  clean(index: number): boolean {
    return (this.#entries[index * ENTRY_WORDS + PERMISSIONS]! & CLEAN) !== 0;
  }

  /** Where the table of a TABLE entry begins, divided by 4096: its PA, and the IPA where stage 2 translates it. */
  tablePage(index: number): number {
    return this.#page(index, OUT_LO);
  }

  tableIpaPage(index: number): number {
    return this.#page(index, IPA_LO);
  }

  #page(index: number, word: number): number {
    const at = index * ENTRY_WORDS + word;
    return this.#entries[at + 1]! * TWO_32 + (this.#entries[at]! >>> 0);
  }

  space(index: number): number {
    return this.#entries[index * ENTRY_WORDS + SPACES_ATTRIBUTES]! & 1;
  }

  ipaSpace(index: number): number {
    return (this.#entries[index * ENTRY_WORDS + SPACES_ATTRIBUTES]! >>> 1) & 1;
  }

  attributes(index: number): number {
    return this.#entries[index * ENTRY_WORDS + SPACES_ATTRIBUTES]! >>> 2;
  }

  sizeBits(index: number): number {
    return (this.#entries[index * ENTRY_WORDS + TAG]! >>> TAG_SIZE_SHIFT) & 63;
  }

  isTable(index: number): boolean {
    return (this.#entries[index * ENTRY_WORDS + TAG]! & TAG_TABLE) !== 0;
  }

  granuleBits(index: number): number {
    return 10 + 2 * ((this.#entries[index * ENTRY_WORDS + TAG]! >>> TAG_GRANULE_SHIFT) & 3);
  }

  level(index: number): number {
    return ((this.#entries[index * ENTRY_WORDS + TAG]! >>> TAG_LEVEL_SHIFT) & 7) - 1;
  }

  /** Stores a translation that has just missed, so that there is never more than one match. */
  fill(fill: TlbFill): void {
    if (this.#limit === 0) return;
    const index = this.#allocate();
    const at = index * ENTRY_WORDS;
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
    const ipa = Math.max(fill.ipaPage - offset, 0);
    entries[at + IPA_LO] = ipa | 0;
    entries[at + IPA_HI] = ipa / TWO_32;
    entries[at + SPACES_ATTRIBUTES] = fill.space | (fill.ipaSpace << 1) | (fill.attributes << 2);
    entries[at + USED] = 1;
    const bucket = this.#bucket(regime, fill.sizeBits, lo, hi);
    entries[at + NEXT] = this.#buckets[bucket]!;
    this.#buckets[bucket] = index;
    if (this.#ordered) this.#append(index);
    this.#state[COUNT]++;
    if (this.#state[PER_SIZE + fill.sizeBits]++ === 0) this.#listSizes();
    this.onFill?.(index, fill.stage);
  }

  /** Drops one entry; what stands for it in the first level goes as well. */
  drop(index: number): void {
    this.#noteEviction(index);
    this.#release(index);
  }

  invalidateAll(): void {
    this.#state.fill(0, FIRST_OF_CONTENTS);
    this.#state.fill(-1, OLDEST, FREE + 1);
    this.#buckets.fill(-1);
  }

  invalidate(scope: TlbScope): void {
    for (let index = 0; index < this.#state[TOP]!; index++) {
      if (this.#entries[index * ENTRY_WORDS + USED] === 1 && this.#matches(index, scope)) {
        this.#release(index);
      }
    }
  }

  save(): TlbState {
    const entries = new Int32Array(this.#state[COUNT]! * ROW_WORDS);
    let row = 0;
    for (const first of this.#buckets) {
      for (const index of this.#chain(first).reverse()) {
        const at = index * ENTRY_WORDS;
        entries.set(this.#entries.subarray(at, at + NEXT), row);
        // Where the slot is linked is made anew; which slot it is, is not.
        entries[row + NEXT] = index;
        row += ROW_WORDS;
      }
    }
    const order: number[] = [];
    for (let index = this.#state[OLDEST]!; index >= 0; index = this.#entries[index * ENTRY_WORDS + NEWER]!)
      order.push(index);
    return { entries, free: this.#chain(this.#state[FREE]!), order, dice: this.#dice.state };
  }

  /** @throws StateError */
  prepare(state: TlbState): Commit {
    const restored = new Tlb(this.#limit, this.#replacement);
    restored.#load(state);
    return () => {
      if (this.#limit === Number.POSITIVE_INFINITY) this.#lieIn(restored.#words, restored.#state[CAPACITY]!);
      else this.#words.set(restored.#words);
      this.#dice.state = restored.#dice.state;
    };
  }

  /** Takes a state into a TLB that is empty. */
  #load({ entries, free, order, dice }: TlbState): void {
    const rows = entries.length / ROW_WORDS;
    const top = rows + free.length;
    if (!Number.isInteger(rows) || top > this.#limit) {
      throw new StateError(`${rows} TLB entries and ${free.length} free slots where ${this.#limit} fit`);
    }
    while (this.#state[CAPACITY]! < top) this.#grow();
    this.#dice.state = dice;
    this.#state[TOP] = top;
    const claimed = new Set<number>();
    const ordered = new Set<number>();
    const claim = (slot: number) => {
      if (!(slot >= 0 && slot < top) || claimed.has(slot)) throw new StateError(`TLB slot ${slot} misplaced`);
      claimed.add(slot);
    };
    for (const slot of free.toReversed()) {
      claim(slot);
      this.#entries[slot * ENTRY_WORDS + NEXT] = this.#state[FREE]!;
      this.#state[FREE] = slot;
    }
    for (let row = 0; row < entries.length; row += ROW_WORDS) {
      const slot = entries[row + NEXT]!;
      claim(slot);
      this.#entries.set(entries.subarray(row, row + NEXT), slot * ENTRY_WORDS);
      this.#entries[slot * ENTRY_WORDS + USED] = 1;
      const sizeBits = this.sizeBits(slot);
      if (sizeBits < 12 || sizeBits > 52) throw new StateError(`a TLB entry of 2^${sizeBits} bytes`);
      if ((entries[row + OUT_HI]! | entries[row + IPA_HI]!) >>> (PAGE_BITS - 32) !== 0)
        throw new StateError('a TLB entry for addresses of more than 52 bits');
      if (this.isTable(slot) && this.level(slot) > 2) throw new StateError('a table descriptor of level 3');
      this.#link(slot);
      this.#state[COUNT]++;
      this.#state[PER_SIZE + sizeBits]++;
    }
    this.#listSizes();
    if (order.length !== (this.#ordered ? rows : 0)) {
      throw new StateError(`an order of ${order.length} TLB entries for ${rows}`);
    }
    for (const slot of order) {
      if (this.#entries[slot * ENTRY_WORDS + USED] !== 1 || ordered.has(slot))
        throw new StateError(`TLB slot ${slot} misplaced`);
      ordered.add(slot);
      this.#append(slot);
    }
  }

  /** The slots of a chain, from its first on. */
  #chain(first: number): number[] {
    const slots: number[] = [];
    for (let index = first; index >= 0; index = this.#entries[index * ENTRY_WORDS + NEXT]!) slots.push(index);
    return slots;
  }

  /** Puts an entry in front of its chain. */
  #link(index: number): void {
    const entries = this.#entries;
    const at = index * ENTRY_WORDS;
    const tag = entries[at + TAG]!;
    const sizeBits = (tag >>> TAG_SIZE_SHIFT) & 63;
    const bucket = this.#bucket(tag & TAG_REGIME, sizeBits, entries[at + PAGE_LO]!, entries[at + PAGE_HI]!);
    entries[at + NEXT] = this.#buckets[bucket]!;
    this.#buckets[bucket] = index;
  }

  #matches(index: number, scope: TlbScope): boolean {
    const at = index * ENTRY_WORDS;
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
    const mixed = (lo >>> (sizeBits - 12)) ^ (sizeBits << HASH_SIZE_SHIFT) ^ (hi << HASH_HI_SHIFT) ^ regime;
    const hash = Math.imul(mixed, HASH_FACTOR);
    return (hash ^ (hash >>> HASH_FOLD)) & this.#state[BUCKET_MASK]!;
  }

  /** A slot for a new entry: a free one, the next never used, room made by growing, or another's. */
  #allocate(): number {
    if (this.#state[FREE]! >= 0) {
      const index = this.#state[FREE]!;
      this.#state[FREE] = this.#entries[index * ENTRY_WORDS + NEXT]!;
      return index;
    }
    if (this.#state[TOP]! < this.#state[CAPACITY]!) return this.#state[TOP]++;
    if (this.#limit === Number.POSITIVE_INFINITY) {
      this.#grow();
      return this.#state[TOP]++;
    }
    const index =
      this.#replacement === 'random' ? this.#dice.below(this.#state[CAPACITY]!) : this.#state[OLDEST]!;
    this.#noteEviction(index);
    this.#remove(index);
    return index;
  }

  /** For the first level, which has translations of both stages, and no table descriptors. */
  #noteEviction(index: number): void {
    if (this.isTable(index)) return;
    this.#state[EVICTED_BITS] = this.evictedBits === 0 ? this.sizeBits(index) : EVICTED_SEVERAL;
    this.#state[EVICTED_PAGE_LO] = this.#entries[index * ENTRY_WORDS + PAGE_LO]!;
  }

  #grow(): void {
    const entries = this.#entries;
    const state = this.#state;
    const capacity = 2 * state[CAPACITY]!;
    this.#lieIn(new Int32Array(tlbWords(capacity)), capacity);
    this.#state.set(state.subarray(FIRST_OF_CONTENTS), FIRST_OF_CONTENTS);
    this.#entries.set(entries);
    this.#buckets.fill(-1);
    for (let index = 0; index < this.#state[TOP]!; index++) {
      if (entries[index * ENTRY_WORDS + USED] === 1) this.#link(index);
    }
  }

  #release(index: number): void {
    this.#remove(index);
    this.#entries[index * ENTRY_WORDS + NEXT] = this.#state[FREE]!;
    this.#state[FREE] = index;
  }

  /** Unlinks an entry from its chain and marks its slot unused. */
  #remove(index: number): void {
    const entries = this.#entries;
    const at = index * ENTRY_WORDS;
    const tag = entries[at + TAG]!;
    const sizeBits = (tag >>> TAG_SIZE_SHIFT) & 63;
    const bucket = this.#bucket(tag & TAG_REGIME, sizeBits, entries[at + PAGE_LO]!, entries[at + PAGE_HI]!);
    let link = this.#buckets[bucket]!;
    if (link === index) this.#buckets[bucket] = entries[at + NEXT]!;
    else {
      while (entries[link * ENTRY_WORDS + NEXT] !== index) link = entries[link * ENTRY_WORDS + NEXT]!;
      entries[link * ENTRY_WORDS + NEXT] = entries[at + NEXT]!;
    }
    entries[at + USED] = 0;
    if (this.#ordered) this.#takeOut(index);
    this.#state[COUNT]--;
    if (--this.#state[PER_SIZE + sizeBits] === 0) this.#listSizes();
  }

  #append(index: number): void {
    const at = index * ENTRY_WORDS;
    this.#entries[at + OLDER] = this.#state[NEWEST]!;
    this.#entries[at + NEWER] = -1;
    if (this.#state[NEWEST]! < 0) this.#state[OLDEST] = index;
    else this.#entries[this.#state[NEWEST]! * ENTRY_WORDS + NEWER] = index;
    this.#state[NEWEST] = index;
  }

  #takeOut(index: number): void {
    const older = this.#entries[index * ENTRY_WORDS + OLDER]!;
    const newer = this.#entries[index * ENTRY_WORDS + NEWER]!;
    if (older < 0) this.#state[OLDEST] = newer;
    else this.#entries[older * ENTRY_WORDS + NEWER] = newer;
    if (newer < 0) this.#state[NEWEST] = older;
    else this.#entries[newer * ENTRY_WORDS + OLDER] = older;
  }

  #renew(index: number): void {
    if (index === this.#state[NEWEST]!) return;
    this.#takeOut(index);
    this.#append(index);
  }

  #listSizes(): void {
    this.#state[SIZE_COUNT] = 0;
    for (let size = 0; size < 64; size++)
      if (this.#state[PER_SIZE + size]! !== 0) this.#state[SIZES + this.#state[SIZE_COUNT]++] = size;
  }
}

function bucketCount(capacity: number): number {
  return 8 * 2 ** Math.ceil(Math.log2(Math.max(capacity, MIN_BUCKETS)));
}

/** Words of memory of a TLB with so many entries. */
export function tlbWords(capacity: number): number {
  return STATE_WORDS + bucketCount(capacity) + capacity * ENTRY_WORDS;
}
