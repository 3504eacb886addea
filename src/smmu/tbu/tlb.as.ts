/**
 * The TLB's two levels as the TBU's kernel sees them (translate.as.ts): look-up, and a fill that pushes the oldest entry out.
 * What it is that lies here is tlb.ts's and first-level.ts's to say; both work in the same memory.
 */
import {
  ATTRIBUTES_SHIFT,
  BUCKET_MASK,
  CAPACITY,
  COUNT,
  ENTRIES_OFFSET,
  FIRST_ANSWER_BYTES,
  FIRST_ANSWERS,
  FIRST_ATTRIBUTES_SHIFT,
  FIRST_BASE,
  FIRST_BYTES,
  FIRST_EMPTY,
  FIRST_FLAGS,
  FIRST_PAGE_HI,
  FIRST_PAGE_LO,
  FIRST_PLACE,
  FIRST_REGIME_SHIFT,
  FIRST_SLOTS,
  FIRST_TAG_BYTES,
  FIRST_TAGS,
  FREE,
  HASH_FACTOR,
  HASH_FOLD,
  HASH_HI_SHIFT,
  HASH_SIZE_SHIFT,
  IPA_LO,
  NEWER,
  NEWEST,
  NEXT,
  OLDER,
  OLDEST,
  OUT_LO,
  PAGE_HI_TTB1,
  PAGE_LO,
  PER_SIZE,
  PERMISSIONS,
  REGIME_NUMBER,
  SIZE_COUNT,
  SIZES,
  SPACES_ATTRIBUTES,
  STATE_WORDS,
  TAG,
  TAG_GLOBAL,
  TAG_REGIME,
  TAG_SIZE_SHIFT,
  TOP,
  UNPLACED,
  USED,
  VMID_ASID,
  WINDOW_BYTES,
  WINDOW_DELTA,
  WINDOW_START,
} from './kernel-layout.js';

export const PAGE_BYTES: u32 = 4096;
const ENTRY_SHIFT: usize = 6;

export function word(at: usize, index: usize): u32 {
  return load<u32>(at + (index << 2));
}

export function setWord(at: usize, index: usize, value: u32): void {
  store<u32>(at + (index << 2), value);
}

export function pair(at: usize, index: usize): u64 {
  return load<u64>(at + (index << 2));
}

function entryAt(tlb: usize, index: u32): usize {
  return tlb + word(tlb, ENTRIES_OFFSET) + ((<usize>index) << ENTRY_SHIFT);
}

/** 2^bits - 1. */
export function below(bits: u32): u64 {
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
export function find(tlb: usize, regime: u32, asid: u32, aset: u32, page: u64): usize {
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

export function firstTag(tlb: usize, page: u32): usize {
  return tlb - FIRST_BYTES + FIRST_TAGS + <usize>(page & (FIRST_SLOTS - 1)) * FIRST_TAG_BYTES;
}

export function firstAnswer(tlb: usize, page: u32): usize {
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
export function fillFirst(
  tlb: usize,
  context: usize,
  page: u64,
  out: u64,
  permissions: u32,
  attributes: u32,
): i32 {
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
export function keep(
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

/** The output address of an entry for an address that it covers. */
export function throughEntry(entry: usize, address: u64): u64 {
  const within = below((word(entry, TAG) >> TAG_SIZE_SHIFT) & 63);
  return (pair(entry, OUT_LO) << 12) | (address & within);
}
