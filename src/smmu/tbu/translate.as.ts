/**
 * The TBU's kernel, in AssemblyScript: look-up, walk and fill of a plain translation in one call, over a TLB that lies in
 * the same Wasm memory as the tables (tlb.as.ts); and the data of an access, where the first level knows the page.
 * `scripts/kernel.mjs` compiles both into `translate.generated.ts`.
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
  CLEAN,
  CONTEXT_ASET,
  CONTEXT_ASID,
  CONTEXT_VMID,
  DESCRIPTOR_READS,
  DIRECT_ACCESSES,
  FAULT_ACCESS,
  FAULT_ADDR_SIZE,
  FAULT_PERMISSION,
  FAULT_TRANSLATION,
  FILLED,
  FIRST_BYTES,
  FIRST_FLAGS,
  FIRST_OPEN,
  FIRST_PLACE,
  FIRST_STREAMS,
  FOUND,
  GLOBAL,
  HALVES,
  HINT_COUNT,
  HINTS,
  MAIR,
  NEEDS_READ,
  NEEDS_WRITE,
  NESTED,
  NOT_PLAIN,
  PAGE_LO,
  PERMISSIONS,
  SHAPE_AF_FAULTS,
  SHAPE_E0PD,
  SHAPE_HIERARCHICAL,
  SHAPE_TBI,
  SPACES_ATTRIBUTES,
  STAGE_1,
  STAGE_1_ON,
  STAGE_2,
  STAGE1_ATTRIBUTES,
  STAGE1_PERMISSIONS,
  STAGE2_ATTRIBUTES,
  STAGE2_PERMISSIONS,
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
  TAG_GRANULE_SHIFT,
  TAG_LEAF_SHIFT,
  TAG_LEVEL_SHIFT,
  TAG_REGIME,
  TAG_SIZE_SHIFT,
  TAG_STAGE_SHIFT,
  USED,
  VMID_ASID,
  WINDOW_BYTES,
  WINDOW_DELTA,
  WINDOW_START,
  WORLD,
} from './kernel-layout.js';
import {
  below,
  fillFirst,
  find,
  firstAnswer,
  firstTag,
  keep,
  PAGE_BYTES,
  pair,
  setWord,
  throughEntry,
  word,
} from './tlb.as.js';

/** Bits [47:12] of a descriptor: its address, in the formats that are plain. */
const ADDRESS: u64 = 0xffff_ffff_f000;
/** What stage 2 has to permit for a stage 1 descriptor to be read. */
const READ: u32 = 0b1001;
const ALL: u32 = 0x3f;
/** The unprivileged kinds of access. */
const UNPRIVILEGED: u32 = 7;
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

function granuleTag(shape: u32): u32 {
  return (((shape & 0xff) - 10) >> 1) << TAG_GRANULE_SHIFT;
}

function countReads(tlb: usize, shape: u32): void {
  setWord(tlb, DESCRIPTOR_READS, word(tlb, DESCRIPTOR_READS) + leafLevel - ((shape >> 8) & 0xf) + 1);
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

/** The counterpart of `read`. */
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

/** Makes all bits one: tags and streams that are none. The engine's own fill of shared memory takes six times as long. */
export function clear(at: usize, sizeBytes: u32): void {
  memory.fill(at, 0xff, sizeBytes);
}
