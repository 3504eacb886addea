/**
 * The TBU's kernel, in AssemblyScript: look-up, walk and fill of a plain translation in one call, over a TLB that lies in
 * the same Wasm memory as the tables; and the data of an access, where the first level knows the page. `scripts/kernel.mjs` compiles it into `translate.generated.ts`.
 *
 * Plain is what translation-kernel.ts tells the kernel about and what ends well, or in a fault of stage 1 alone. Of everything
 * else (stage 2 faults, tables that are elsewhere, entries that do not permit the access) it says nothing but that it is not
 * plain: the walker, which knows every case, then does the work again. Until then nothing has changed but that stage 2
 * entries are there for what the walk has come to.
 */
import {
  DESC_AF,
  DESC_AP1,
  DESC_AP2,
  DESC_APTABLE0,
  DESC_APTABLE1,
  DESC_NG,
  DESC_PXN,
  DESC_PXNTABLE,
  DESC_TABLE_OR_PAGE,
  DESC_UXN,
  DESC_UXNTABLE,
  DESC_VALID,
} from '../../arch/descriptor-masks.js';
import { read as readBytes, write as writeBytes } from '../../memory/kernel.as.js';
import {
  ATTRIBUTES_S2MEMATTR_SHIFT,
  ATTRIBUTES_S2SH_SHIFT,
  ATTRIBUTES_SH_SHIFT,
  ATTRIBUTES_SHIFT,
  BUCKET_MASK,
  CAPACITY,
  CLEAN,
  CONTEXT_ASET,
  CONTEXT_ASID,
  CONTEXT_VMID,
  COUNT,
  DESCRIPTOR_READS,
  DIRECT_ACCESSES,
  ENTRIES_OFFSET,
  FAULT_ACCESS,
  FAULT_ADDR_SIZE,
  FAULT_PERMISSION,
  FAULT_TRANSLATION,
  FILLED,
  FIRST_ANSWER_BYTES,
  FIRST_ANSWERS,
  FIRST_ATTRIBUTES_SHIFT,
  FIRST_BASE,
  FIRST_BYTES,
  FIRST_EMPTY,
  FIRST_FLAGS,
  FIRST_OPEN,
  FIRST_PAGE_HI,
  FIRST_PAGE_LO,
  FIRST_PLACE,
  FIRST_REGIME_SHIFT,
  FIRST_SLOTS,
  FIRST_STREAMS,
  FIRST_TAG_BYTES,
  FIRST_TAGS,
  FOUND,
  FREE,
  GLOBAL,
  HALVES,
  HASH_FACTOR,
  HASH_FOLD,
  HASH_HI_SHIFT,
  HASH_SIZE_SHIFT,
  HINT_COUNT,
  HINTS,
  IPA_LO,
  MAIR,
  NEEDS_READ,
  NEEDS_WRITE,
  NESTED,
  NEWER,
  NEWEST,
  NEXT,
  NOT_PLAIN,
  OLDER,
  OLDEST,
  OUT_LO,
  PAGE_HI_TTB1,
  PAGE_LO,
  PER_SIZE,
  PERMISSIONS,
  REGIME_NUMBER,
  SHAPE_AF_FAULTS,
  SHAPE_E0PD,
  SHAPE_HIERARCHICAL,
  SHAPE_TBI,
  SIZE_COUNT,
  SIZES,
  SPACES_ATTRIBUTES,
  STAGE_1,
  STAGE_1_ON,
  STAGE_2,
  STAGE1_ATTRIBUTES,
  STAGE1_PERMISSIONS,
  STAGE2_ATTRIBUTES,
  STAGE2_PERMISSIONS,
  STATE_WORDS,
  STREAM_BYTES,
  STREAM_ID,
  STREAM_NEEDS,
  STREAM_REGIME,
  TABLE_BASE,
  TABLE_FIRST,
  TABLE_OUTPUT_LIMIT,
  TABLE_SHAPE,
  TABLE_WALK_LIMIT,
  TABLE_WORDS,
  TABLES,
  TAG,
  TAG_GLOBAL,
  TAG_GRANULE_SHIFT,
  TAG_LEAF_SHIFT,
  TAG_LEVEL_SHIFT,
  TAG_REGIME,
  TAG_SIZE_SHIFT,
  TAG_STAGE_SHIFT,
  TOP,
  UNPLACED,
  USED,
  VMID_ASID,
  WINDOW_BYTES,
  WINDOW_DELTA,
  WINDOW_START,
  WORLD,
} from './kernel-layout.js';

const PAGE_BYTES: u32 = 4096;
/** Bits [47:12] of a descriptor: its address, in the formats that are plain. */
const ADDRESS: u64 = 0xffff_ffff_f000;
/** What stage 2 has to permit for a stage 1 descriptor to be read. */
const READ: u32 = 0b1001;
const ALL: u32 = 0x3f;
/** The unprivileged kinds of access. */
const UNPRIVILEGED: u32 = 7;
const ENTRY_SHIFT: usize = 6;
/** What a table descriptor has, and at level 3 a page. */
const TABLE: u64 = DESC_VALID | DESC_TABLE_OR_PAGE;

// The last leaf: its output address, log2 of its bytes, its level, and the table descriptors on the way to it, ORed; or why
// there is none, with the level of the descriptor that was read last.
let output: u64 = 0;
let leafBits: u32 = 0;
let leafLevel: u32 = 0;
let tableFlags: u64 = 0;
let failure: i32 = NOT_PLAIN;

// The last answer of stage 2: its output address, log2 of the bytes it holds for, permissions with CLEAN, attributes.
let output2: u64 = 0;
let bits2: u32 = 0;
let permissions2: u32 = 0;
let attributes2: u32 = 0;
/** The entry that says so, where it was kept. */
let entry2: usize = 0;

function word(at: usize, index: usize): u32 {
  return load<u32>(at + (index << 2));
}

function setWord(at: usize, index: usize, value: u32): void {
  store<u32>(at + (index << 2), value);
}

function pair(at: usize, index: usize): u64 {
  return load<u64>(at + (index << 2));
}

function entryAt(tlb: usize, index: u32): usize {
  return tlb + word(tlb, ENTRIES_OFFSET) + ((<usize>index) << ENTRY_SHIFT);
}

/** 2^bits - 1. */
function below(bits: u32): u64 {
  return ((<u64>1) << (<u64>bits)) - 1;
}

/** Where the chain of a hash begins. */
function bucketAt(tlb: usize, regime: u32, bits: u32, first: u64): usize {
  const lo = <u32>first;
  const hi = <u32>(first >> 32);
  let hash =
    ((lo >> (bits - 12)) ^ (bits << HASH_SIZE_SHIFT) ^ (hi << HASH_HI_SHIFT) ^ regime) * <u32>HASH_FACTOR;
  hash ^= hash >> HASH_FOLD;
  return tlb + ((<usize>(STATE_WORDS + (hash & word(tlb, BUCKET_MASK)))) << 2);
}

/** @returns the entry for a page, or 0. */
function find(tlb: usize, regime: u32, asid: u32, aset: u32, page: u64): usize {
  const sizes = word(tlb, SIZE_COUNT);
  for (let i: u32 = 0; i < sizes; i++) {
    const bits = word(tlb, SIZES + i);
    const first = page & ~below(bits - 12);
    const key = regime | (bits << TAG_SIZE_SHIFT);
    for (let index = load<i32>(bucketAt(tlb, regime, bits, first)); index >= 0; ) {
      const entry = entryAt(tlb, index);
      const tag = word(entry, TAG);
      if (
        pair(entry, PAGE_LO) === first &&
        (tag & (TAG_REGIME | (63 << TAG_SIZE_SHIFT))) === key &&
        word(entry, VMID_ASID) === (tag & TAG_GLOBAL ? aset : asid)
      ) {
        return entry;
      }
      index = <i32>word(entry, NEXT);
    }
  }
  return 0;
}

function listSizes(tlb: usize): void {
  let count: u32 = 0;
  for (let bits: u32 = 0; bits < 64; bits++) {
    if (word(tlb, PER_SIZE + bits) !== 0) setWord(tlb, SIZES + count++, bits);
  }
  setWord(tlb, SIZE_COUNT, count);
}

function firstTag(tlb: usize, page: u32): usize {
  return tlb - FIRST_BYTES + FIRST_TAGS + <usize>(page & (FIRST_SLOTS - 1)) * FIRST_TAG_BYTES;
}

function firstAnswer(tlb: usize, page: u32): usize {
  return tlb - FIRST_BYTES + FIRST_ANSWERS + <usize>(page & (FIRST_SLOTS - 1)) * FIRST_ANSWER_BYTES;
}

/** The first level is a subset of the second: drops what may be there of an entry of 2^bits bytes. */
function dropFirst(tlb: usize, first: u32, bits: u32): void {
  const pages = min<u64>(below(bits - 12) + 1, FIRST_SLOTS);
  for (let page: u32 = 0; page < <u32>pages; page++) {
    store<i32>(firstTag(tlb, first + page) + FIRST_PAGE_HI, FIRST_EMPTY);
  }
}

/**
 * Puts a page into the first level, where the TBU finds the answer.
 * @param out any address in the page that it is translated to.
 * @returns UNPLACED where that is not in the memory of the tables, else 0.
 */
function fillFirst(tlb: usize, context: usize, page: u64, out: u64, permissions: u32, attributes: u32): i32 {
  const tag = firstTag(tlb, <u32>page);
  const hi = <u32>(page >> 32);
  store<u32>(tag + FIRST_PAGE_LO, <u32>page);
  // Pages of the TTB1 half are only answered here, not found.
  const tagHi = hi | (word(context, REGIME_NUMBER) << FIRST_REGIME_SHIFT);
  store<u32>(tag + FIRST_PAGE_HI, hi & PAGE_HI_TTB1 ? FIRST_EMPTY : tagHi);
  const answer = firstAnswer(tlb, <u32>page);
  const pa = out & ~(<u64>(PAGE_BYTES - 1));
  store<f64>(answer + FIRST_BASE, <f64>(<i64>pa));
  store<u32>(answer + FIRST_FLAGS, permissions | (attributes << FIRST_ATTRIBUTES_SHIFT));
  const within = pa - pair(context, WINDOW_START);
  const bytes = pair(context, WINDOW_BYTES);
  const isHere = within < bytes && within + PAGE_BYTES <= bytes;
  store<u32>(answer + FIRST_PLACE, isHere ? <u32>(pa + pair(context, WINDOW_DELTA)) : 0);
  return isHere ? 0 : UNPLACED;
}

/** Takes the oldest entry out: its chain, its place in the order, its size. */
function removeOldest(tlb: usize, index: i32): void {
  const entry = entryAt(tlb, index);
  const tag = word(entry, TAG);
  const bits = (tag >> TAG_SIZE_SHIFT) & 63;
  dropFirst(tlb, word(entry, PAGE_LO), bits);
  let link = bucketAt(tlb, tag & TAG_REGIME, bits, pair(entry, PAGE_LO));
  for (let other = load<i32>(link); other !== index; other = load<i32>(link)) {
    link = entryAt(tlb, other) + (NEXT << 2);
  }
  store<u32>(link, word(entry, NEXT));
  setWord(entry, USED, 0);
  const newer = <i32>word(entry, NEWER);
  setWord(tlb, OLDEST, newer);
  if (newer < 0) setWord(tlb, NEWEST, -1);
  else setWord(entryAt(tlb, newer), OLDER, -1);
  setWord(tlb, COUNT, word(tlb, COUNT) - 1);
  const left = word(tlb, PER_SIZE + bits) - 1;
  setWord(tlb, PER_SIZE + bits, left);
  if (left === 0) listSizes(tlb);
}

/** A slot for a new entry: a free one, the next never used, or the oldest entry's. */
function allocate(tlb: usize): i32 {
  const free = <i32>word(tlb, FREE);
  if (free >= 0) {
    setWord(tlb, FREE, word(entryAt(tlb, free), NEXT));
    return free;
  }
  const top = word(tlb, TOP);
  if (top < word(tlb, CAPACITY)) {
    setWord(tlb, TOP, top + 1);
    return <i32>top;
  }
  const oldest = <i32>word(tlb, OLDEST);
  removeOldest(tlb, oldest);
  return oldest;
}

/** Keeps a translation of a page that has just missed. @param tag all but the size. @returns the entry. */
function keep(
  tlb: usize,
  page: u64,
  bits: u32,
  tag: u32,
  vmidAsid: u32,
  out: u64,
  ipa: u64,
  permissions: u32,
  attributes: u32,
): usize {
  const index = allocate(tlb);
  const entry = entryAt(tlb, index);
  const within = below(bits - 12);
  const first = page & ~within;
  const offset = page & within;
  store<u64>(entry + (PAGE_LO << 2), first);
  setWord(entry, TAG, tag | (bits << TAG_SIZE_SHIFT));
  setWord(entry, VMID_ASID, vmidAsid);
  store<u64>(entry + (OUT_LO << 2), out - offset);
  store<u64>(entry + (IPA_LO << 2), ipa > offset ? ipa - offset : 0);
  setWord(entry, PERMISSIONS, permissions);
  setWord(entry, SPACES_ATTRIBUTES, attributes << ATTRIBUTES_SHIFT);
  setWord(entry, USED, 1);
  const bucket = bucketAt(tlb, tag & TAG_REGIME, bits, first);
  setWord(entry, NEXT, load<u32>(bucket));
  store<u32>(bucket, index);
  const newest = <i32>word(tlb, NEWEST);
  setWord(entry, OLDER, newest);
  setWord(entry, NEWER, -1);
  if (newest < 0) setWord(tlb, OLDEST, index);
  else setWord(entryAt(tlb, newest), NEWER, index);
  setWord(tlb, NEWEST, index);
  setWord(tlb, COUNT, word(tlb, COUNT) + 1);
  const before = word(tlb, PER_SIZE + bits);
  setWord(tlb, PER_SIZE + bits, before + 1);
  if (before === 0) listSizes(tlb);
  return entry;
}

function granuleTag(shape: u32): u32 {
  return (((shape & 0xff) - 10) >> 1) << TAG_GRANULE_SHIFT;
}

function countReads(tlb: usize, shape: u32): void {
  setWord(tlb, DESCRIPTOR_READS, word(tlb, DESCRIPTOR_READS) + leafLevel - ((shape >> 8) & 0xf) + 1);
}

/** The output address of an entry for an address that it covers. */
function throughEntry(entry: usize, address: u64): u64 {
  const within = below((word(entry, TAG) >> TAG_SIZE_SHIFT) & 63);
  return (pair(entry, OUT_LO) << 12) | (address & within);
}

/**
 * Follows tables, from a stage's first one on, to a descriptor that leads to no other (DDI 0487 D8.3).
 * @returns it; or 0, as an invalid one, with `failure`.
 */
function descend(context: usize, table: usize, shape: u32, input: u64): u64 {
  const stride = (shape & 0xff) - 3;
  const start = pair(context, WINDOW_START);
  const bytes = pair(context, WINDOW_BYTES);
  const delta = pair(context, WINDOW_DELTA);
  const limit = pair(table, TABLE_WALK_LIMIT);
  const addresses = ADDRESS & ~below(shape & 0xff);
  // Indexes as they count in a table, in bytes.
  const indexes = below(stride) << 3;
  let shift = <u64>firstShift(table);
  let within = firstIndexes(table);
  let base = pair(table, TABLE_BASE);
  let level = (shape >> 8) & 0xf;
  let flags: u64 = 0;
  while (true) {
    const at = base + ((input >> shift) & within);
    if (at - start >= bytes) return failed(NOT_PLAIN, level);
    const descriptor = atomic.load<u64>(<usize>(at + delta));
    if ((descriptor & TABLE) !== TABLE || level === 3) return found(descriptor, shift, level, flags);
    base = descriptor & addresses;
    if (base >= limit) return failed(FAULT_ADDR_SIZE, level);
    flags |= descriptor;
    shift -= <u64>stride;
    within = indexes;
    level++;
  }
}

/** The same where stage 2 translates the addresses of the tables. By itself, because calls make the other one slow. */
function descendNested(tlb: usize, context: usize, table: usize, shape: u32, input: u64): u64 {
  const stride = (shape & 0xff) - 3;
  let shift = <u64>firstShift(table);
  let within = firstIndexes(table);
  let base = pair(table, TABLE_BASE);
  let level = (shape >> 8) & 0xf;
  let flags: u64 = 0;
  while (true) {
    const ipa = base + ((input >> shift) & within);
    if (!tableStage2(tlb, context, ipa, level)) return failed(NOT_PLAIN, level);
    const at = output2;
    if (at - pair(context, WINDOW_START) >= pair(context, WINDOW_BYTES)) return failed(NOT_PLAIN, level);
    const descriptor = atomic.load<u64>(<usize>(at + pair(context, WINDOW_DELTA)));
    if ((descriptor & TABLE) !== TABLE || level === 3) return found(descriptor, shift, level, flags);
    base = descriptor & ADDRESS & ~below(shape & 0xff);
    if (base >= pair(table, TABLE_WALK_LIMIT)) return failed(FAULT_ADDR_SIZE, level);
    flags |= descriptor;
    shift -= <u64>stride;
    within = below(stride) << 3;
    level++;
  }
}

/** How far an input address is shifted for its first index in bytes, and what of it counts. */
function firstShift(table: usize): u32 {
  return word(table, TABLE_FIRST) & 0xff;
}

function firstIndexes(table: usize): u64 {
  return below(word(table, TABLE_FIRST) >> 8) << 3;
}

function found(descriptor: u64, shift: u64, level: u32, flags: u64): u64 {
  failure = FAULT_TRANSLATION;
  leafBits = <u32>shift + 3;
  leafLevel = level;
  tableFlags = flags;
  return descriptor;
}

/** A walk's end without a leaf. @param level of the descriptor that was read last, or could not be. */
function failed(why: i32, level: u32): u64 {
  failure = why;
  leafLevel = level;
  return 0;
}

/** What a descriptor says that leads to no other: @returns it where it is a leaf, else 0. */
function leafOf(table: usize, shape: u32, input: u64, descriptor: u64): u64 {
  if (!(descriptor & DESC_VALID)) return 0;
  const isPage = (descriptor & DESC_TABLE_OR_PAGE) !== 0;
  if (leafLevel === 3 ? !isPage : leafLevel < ((shape >> 12) & 0xf)) return 0;
  const within = below(leafBits);
  output = (descriptor & ADDRESS & ~within) | (input & within);
  if (output >= pair(table, TABLE_OUTPUT_LIMIT)) return failed(FAULT_ADDR_SIZE, leafLevel);
  if (!(descriptor & DESC_AF) && shape & SHAPE_AF_FAULTS) return failed(FAULT_ACCESS, leafLevel);
  if (!(shape & SHAPE_HIERARCHICAL)) tableFlags = 0;
  return descriptor;
}

/** Translates the IPA of a stage 1 descriptor. The hint saves most of a look-up; the entry itself tells whether it holds. */
function tableStage2(tlb: usize, context: usize, ipa: u64, level: u32): bool {
  if (level >= <u32>HINT_COUNT) return stage2(tlb, context, ipa, READ, 0);
  const regime = word(context, WORLD) | (STAGE_2 << TAG_STAGE_SHIFT);
  const hint = word(tlb, HINTS + level);
  const bits = (word(hint, TAG) >> TAG_SIZE_SHIFT) & 63;
  if (
    hint !== 0 &&
    word(hint, USED) !== 0 &&
    pair(hint, PAGE_LO) === ((ipa >> 12) & ~below(bits - 12)) &&
    (word(hint, TAG) & TAG_REGIME) === regime &&
    word(hint, VMID_ASID) === word(context, CONTEXT_VMID)
  ) {
    throughStage2(hint, ipa);
    return (permissions2 & READ) !== 0;
  }
  if (!stage2(tlb, context, ipa, READ, 0)) return false;
  setWord(tlb, HINTS + level, entry2);
  return true;
}

/** Answers through a STAGE_2 entry. */
function throughStage2(entry: usize, ipa: u64): void {
  const permissions = word(entry, PERMISSIONS);
  output2 = throughEntry(entry, ipa);
  bits2 = (word(entry, TAG) >> TAG_SIZE_SHIFT) & 63;
  permissions2 = (permissions & 0xff) | (permissions & CLEAN);
  attributes2 = word(entry, SPACES_ATTRIBUTES) >> ATTRIBUTES_SHIFT;
}

/**
 * Translates an IPA, through the STAGE_2 entries.
 * @param stage1Bits of the stage 1 leaf that it is for: a STAGE_2 entry that is no larger is not kept (walker.ts).
 * @returns whether it is plain, and what is needed is permitted.
 */
function stage2(tlb: usize, context: usize, ipa: u64, need: u32, stage1Bits: u32): bool {
  const page = ipa >> 12;
  const regime = word(context, WORLD) | (STAGE_2 << TAG_STAGE_SHIFT);
  const vmid = word(context, CONTEXT_VMID);
  const entry = find(tlb, regime, vmid, vmid, page);
  if (entry !== 0) {
    throughStage2(entry, ipa);
    entry2 = entry;
    return (permissions2 & need) !== 0;
  }
  const table = context + ((TABLES + 2 * TABLE_WORDS) << 2);
  const shape = word(table, TABLE_SHAPE);
  if (ipa >> <u64>((shape >> 16) & 0xff)) return false;
  const descriptor = leafOf(table, shape, ipa, descend(context, table, shape, ipa));
  if (descriptor === 0) return false;
  const access = (<u32>(descriptor >> 6) & 3) | ((<u32>(descriptor >> 53) & 3) << 2);
  permissions2 = load<u8>(context + (STAGE2_PERMISSIONS << 2) + access);
  if (!(permissions2 & need)) return false;
  countReads(tlb, shape);
  output2 = output;
  bits2 = leafBits;
  attributes2 =
    word(context, STAGE2_ATTRIBUTES) |
    ((<u32>(descriptor >> 2) & 0xf) << ATTRIBUTES_S2MEMATTR_SHIFT) |
    ((<u32>(descriptor >> 8) & 3) << ATTRIBUTES_S2SH_SHIFT);
  if (bits2 <= stage1Bits) return true;
  const tag = regime | (bits2 << TAG_LEAF_SHIFT) | granuleTag(shape) | ((leafLevel + 1) << TAG_LEVEL_SHIFT);
  entry2 = keep(tlb, page, bits2, tag, vmid, output2 >> 12, page, permissions2 | (ALL << 8), attributes2);
  return true;
}

/** Whether both stages' masks of an entry permit an access. */
function permitted(entry: usize): u32 {
  const permissions = word(entry, PERMISSIONS);
  return permissions & (permissions >> 8) & ALL;
}

/** Answers an access of a stream with stage 2 alone, as `translate` does. */
function translateIPA(tlb: usize, context: usize, ipa: u64, need: u32): i32 {
  const reads = word(tlb, DESCRIPTOR_READS);
  if (!stage2(tlb, context, ipa, need, 0)) return NOT_PLAIN;
  const placed = fillFirst(tlb, context, ipa >> 12, output2, permissions2 & ALL, attributes2);
  return (word(tlb, DESCRIPTOR_READS) === reads ? FOUND : FILLED) | placed;
}

/**
 * Answers an access in the first level.
 * @param need the permission bit that the access needs.
 * @returns FOUND or FILLED, with UNPLACED; NOT_PLAIN; or what is wrong.
 */
export function translate(tlb: usize, context: usize, inputLo: u32, inputHi: u32, need: u32): i32 {
  const input = ((<u64>inputHi) << 32) | <u64>inputLo;
  if (!word(context, STAGE_1_ON)) return translateIPA(tlb, context, input, need);
  // VA[55] selects the table; a regime with one has no other (IHI 0070 3.4.1).
  const half: u32 = <u32>(input >> 55) & word(context, HALVES);
  const table = context + ((TABLES + half * TABLE_WORDS) << 2);
  const shape = word(table, TABLE_SHAPE);
  if (shape === 0 || (shape & SHAPE_E0PD && need & UNPRIVILEGED)) return NOT_PLAIN;
  const counted = (half ? ~input : input) & (shape & SHAPE_TBI ? below(56) : ~(<u64>0));
  if (counted >> <u64>((shape >> 16) & 0xff)) return NOT_PLAIN;
  const page = ((input >> 12) & below(40)) | ((<u64>half) << 40);
  const regime = word(context, WORLD) | (STAGE_1 << TAG_STAGE_SHIFT);
  const asid = word(context, CONTEXT_ASID);
  const aset = word(context, CONTEXT_ASET);
  const found = find(tlb, regime, asid, aset, page);
  if (found !== 0) {
    const allowed = permitted(found);
    if (!(allowed & need)) return NOT_PLAIN;
    const attributes = word(found, SPACES_ATTRIBUTES) >> ATTRIBUTES_SHIFT;
    return FOUND | fillFirst(tlb, context, page, throughEntry(found, input), allowed, attributes);
  }
  const nested = word(context, NESTED) !== 0;
  const last = nested
    ? descendNested(tlb, context, table, shape, input)
    : descend(context, table, shape, input);
  const descriptor = leafOf(table, shape, input, last);
  if (descriptor === 0) {
    // What stage 2 has to do with is the walker's to explain.
    if (nested || failure === NOT_PLAIN) return NOT_PLAIN;
    countReads(tlb, shape);
    return failure;
  }
  // AP[1], AP[2], UXN and PXN, after what the tables above take away.
  const lo = <u32>descriptor;
  const hi = <u32>(descriptor >> 32);
  const tables = <u32>(tableFlags >> 32);
  const access =
    <u32>((lo & DESC_AP1) !== 0 && (tables & DESC_APTABLE0) === 0) |
    ((<u32>((lo & DESC_AP2) !== 0 || (tables & DESC_APTABLE1) !== 0)) << 1) |
    ((<u32>((hi & DESC_UXN) !== 0 || (tables & DESC_UXNTABLE) !== 0)) << 2) |
    ((<u32>((hi & DESC_PXN) !== 0 || (tables & DESC_PXNTABLE) !== 0)) << 3);
  let permissions: u32 = load<u8>(context + (STAGE1_PERMISSIONS << 2) + access);
  if (!(permissions & need)) {
    if (nested) return NOT_PLAIN;
    countReads(tlb, shape);
    return FAULT_PERMISSION;
  }
  const global = descriptor & DESC_NG ? 0 : word(context, GLOBAL);
  const tag =
    regime | global | (leafBits << TAG_LEAF_SHIFT) | granuleTag(shape) | ((leafLevel + 1) << TAG_LEVEL_SHIFT);
  let attributes =
    word(context, STAGE1_ATTRIBUTES) |
    <u32>load<u8>(context + (MAIR << 2) + (<usize>(descriptor >> 2) & 7)) |
    ((<u32>(descriptor >> 8) & 3) << ATTRIBUTES_SH_SHIFT);
  let bits = leafBits;
  let out = output;
  const level = leafLevel;
  let ipa: u64 = 0;
  if (nested) {
    ipa = out >> 12;
    if (!stage2(tlb, context, out, need, bits)) return NOT_PLAIN;
    out = output2;
    permissions |= ((permissions2 & 0xff) << 8) | (permissions2 & CLEAN);
    attributes |= attributes2;
    bits = min<u32>(bits, bits2);
  } else permissions |= ALL << 8;
  leafLevel = level;
  countReads(tlb, shape);
  keep(tlb, page, bits, tag, global ? aset : asid, out >> 12, ipa, permissions, attributes);
  return FILLED | fillFirst(tlb, context, page, out, permissions & (permissions >> 8) & ALL, attributes);
}

/**
 * Where the data of an access lie, where the first level knows it, or 0. Addresses of the TTB1 half and with a tag are none
 * here: they wait for the second level, after the checks of those.
 * @param needAt NEEDS_READ or NEEDS_WRITE.
 */
function place(
  tlb: usize,
  StreamID: u32,
  substream: i32,
  lo: u32,
  hi: u32,
  sizeBytes: u32,
  needAt: u32,
): usize {
  const first = tlb - FIRST_BYTES;
  const stream = first + <usize>(StreamID & (FIRST_STREAMS - 1)) * STREAM_BYTES;
  const key = ((<u64>(<u32>substream)) << 32) | <u64>StreamID;
  if (load<u64>(stream + STREAM_ID) !== key || !load<u32>(first + FIRST_OPEN)) return 0;
  const page = (((<u64>hi) << 32) | <u64>lo) >> 12;
  const tag = page | ((<u64>load<u32>(stream + STREAM_REGIME)) << 32);
  if (load<u64>(firstTag(tlb, <u32>page)) !== tag) return 0;
  const answer = firstAnswer(tlb, <u32>page);
  const need = (load<u32>(stream + STREAM_NEEDS) >> needAt) & 0xf;
  const at = load<u32>(answer + FIRST_PLACE);
  const offset = lo & (PAGE_BYTES - 1);
  if (!((load<u32>(answer + FIRST_FLAGS) >> need) & 1) || at === 0) return 0;
  if (offset + sizeBytes > PAGE_BYTES) return 0;
  setWord(tlb, DIRECT_ACCESSES, word(tlb, DIRECT_ACCESSES) + 1);
  return at + offset;
}

/** Reads 1 to 4096 bytes to `into`, unprivileged. @param substream SubstreamID and SEC_SID. @returns 0: nothing was done. */
export function read(
  tlb: usize,
  StreamID: u32,
  substream: i32,
  lo: u32,
  hi: u32,
  into: usize,
  sizeBytes: u32,
): i32 {
  const at = place(tlb, StreamID, substream, lo, hi, sizeBytes, NEEDS_READ);
  if (at === 0) return 0;
  readBytes(into, at, sizeBytes);
  return 1;
}

/** The counterpart of \`read\`. */
export function write(
  tlb: usize,
  StreamID: u32,
  substream: i32,
  lo: u32,
  hi: u32,
  from: usize,
  sizeBytes: u32,
): i32 {
  const at = place(tlb, StreamID, substream, lo, hi, sizeBytes, NEEDS_WRITE);
  if (at === 0) return 0;
  writeBytes(at, from, sizeBytes);
  return 1;
}
