/**
 * Numbers that TypeScript and the TBU's kernel (translate.as.ts) share: where the two levels of the TLB keep what they know,
 * and how a stream's context is told to the kernel. The first level's offsets are in bytes, all others in 32-bit words.
 */

// What the kernel answers: an entry that was there, one that was made; or that the translation is not plain, or a fault of
// stage 1 alone, in the order of the event numbers.
export const FOUND = 0;
export const FILLED = 1;
/** Beside these: the first level does not know where the page's data lie. */
export const UNPLACED = 2;
export const NOT_PLAIN = -1;
export const FAULT_TRANSLATION = -2;
export const FAULT_ADDR_SIZE = -3;
export const FAULT_ACCESS = -4;
export const FAULT_PERMISSION = -5;

// The first level (first-level.ts), which a kernel's TLB has right before it: streams; tags of pages, side by side so that
// they are soon cleared; and what the tags stand for.
export const FIRST_STREAMS = 256;
export const STREAM_BYTES = 16;
export const STREAM_ID = 0;
/** SubstreamID + 1 above SEC_SID. */
export const STREAM_SUBSTREAM = 4;
/** StreamContext.tag, where the tags of pages have it. */
export const STREAM_REGIME = 8;
/** For each kind of access, four bits: the number of the permission bit that it needs. A kind: write in bit 0, instruction, privileged. */
export const STREAM_NEEDS = 12;
/** The kinds that the kernel moves data for, as places in STREAM_NEEDS: unprivileged reads and writes. */
export const NEEDS_READ = 0;
export const NEEDS_WRITE = 4;
/** Whether the streams may be looked at: not from an invalidation until what it left is cleared. */
export const FIRST_OPEN = FIRST_STREAMS * STREAM_BYTES;
export const FIRST_TAGS = FIRST_OPEN + 64;
export const FIRST_SLOTS = 4096;
export const FIRST_TAG_BYTES = 8;
/** Low and high word of a page number, and in the high one the regime's number above it. */
export const FIRST_PAGE_LO = 0;
export const FIRST_PAGE_HI = 4;
export const FIRST_ANSWERS = FIRST_TAGS + FIRST_SLOTS * FIRST_TAG_BYTES;
export const FIRST_ANSWER_BYTES = 16;
export const FIRST_BASE = 0;
export const FIRST_FLAGS = 8;
/** Where the page lies in the Wasm memory; 0 for one that does not. */
export const FIRST_PLACE = 12;
export const FIRST_BYTES = FIRST_ANSWERS + FIRST_SLOTS * FIRST_ANSWER_BYTES;
export const FIRST_REGIME_SHIFT = 20;
/** In a stream's or a page's slot with nothing that may be found. */
export const FIRST_EMPTY = -1;
export const FIRST_ATTRIBUTES_SHIFT = 12;

// Kinds of TLB entries.
export const STAGE_1 = 0;
export const STAGE_2 = 1;
export const TABLE_1 = 2;
export const TABLE_2 = 3;

/** Page number bit that tells the TTB1 half: bit 40, in the high word. */
export const PAGE_HI_TTB1 = 0x100;

// The memory of a TLB: its state, hash buckets, entries.
export const CAPACITY = 0;
export const BUCKET_MASK = 1;
/** Byte offset of the first entry from the first word. */
export const ENTRIES_OFFSET = 2;
export const OLDEST = 3;
export const NEWEST = 4;
export const FREE = 5;
export const TOP = 6;
export const COUNT = 7;
export const SIZE_COUNT = 8;
/** What fills pushed out since the first level last followed: nothing (0), one entry of this size, or several. */
export const EVICTED_BITS = 9;
/** Low word of that entry's page number. */
export const EVICTED_PAGE_LO = 10;
/** Descriptors that the kernel has read; the walker takes and clears them. */
export const DESCRIPTOR_READS = 11;
/** Accesses whose data the kernel has moved; they are taken and cleared as well. */
export const DIRECT_ACCESSES = 12;
/** For stage 1 tables of levels 0 to 2, the byte offset of the STAGE_2 entry that was last used: mostly it is the next as well. */
export const HINTS = 13;
export const HINT_COUNT = 3;
/** Entries per size, and the sizes that occur, so that a look-up probes only those. */
export const PER_SIZE = 16;
export const SIZES = 80;
export const STATE_WORDS = 144;

/** No entry has this size. */
export const EVICTED_SEVERAL = 63;

// An entry: one line of a host's cache.
export const ENTRY_WORDS = 16;
export const PAGE_LO = 0;
export const PAGE_HI = 1;
export const TAG = 2;
export const VMID_ASID = 3;
export const OUT_LO = 4;
export const OUT_HI = 5;
export const IPA_LO = 6;
export const IPA_HI = 7;
export const PERMISSIONS = 8;
export const SPACES_ATTRIBUTES = 9;
export const NEXT = 10;
export const USED = 11;
export const OLDER = 12;
export const NEWER = 13;

/** In PERMISSIONS, above the two masks. */
export const CLEAN = 0x1_0000;

// In TAG: StreamWorld in bits [2:0], then the kind.
export const TAG_STAGE_SHIFT = 3;
/** StreamWorld and kind of an entry. */
export const TAG_REGIME = 0x1f;
export const TAG_GLOBAL = 0x20;
export const TAG_SIZE_SHIFT = 6;
export const TAG_LEAF_SHIFT = 12;
export const TAG_GRANULE_SHIFT = 18;
export const TAG_LEVEL_SHIFT = 20;

/** What the pages of an entry hash to; both sides mix the same words. */
export const HASH_SIZE_SHIFT = 26;
export const HASH_HI_SHIFT = 20;
export const HASH_FACTOR = 0x9e3779b1;
export const HASH_FOLD = 15;

// A context: what the kernel knows of a stream.
/** The memory that tables may be in: its first physical address, its bytes, and what to add for the offset in Wasm memory. */
export const WINDOW_START = 0;
export const WINDOW_BYTES = 2;
export const WINDOW_DELTA = 4;
export const WORLD = 6;
/** VMID and ASID as an entry has them, of entries that are not global; of global ones; of stage 2. */
export const CONTEXT_ASID = 7;
export const CONTEXT_ASET = 8;
export const CONTEXT_VMID = 9;
/** Whether stage 2 translates what stage 1 puts out. */
export const NESTED = 10;
/** Whether stage 1 translates. */
export const STAGE_1_ON = 50;
/** StreamContext.tag. */
export const REGIME_NUMBER = 16;
/** TAG_GLOBAL where a descriptor may make an entry global, else 0. */
export const GLOBAL = 11;
/** 1 where there is a TTB1 half, 0 for a regime with one table. */
export const HALVES = 17;
/** CD.MAIR0, MAIR1. */
export const MAIR = 12;
/** Attributes of a stage's translations that are not the descriptor's. */
export const STAGE1_ATTRIBUTES = 14;
export const STAGE2_ATTRIBUTES = 15;
/** Masks by AP[2:1], UXN, PXN as they stand after the tables' flags; by S2AP and XN. 16 bytes each. */
export const STAGE1_PERMISSIONS = 18;
export const STAGE2_PERMISSIONS = 22;
/** TTB0, TTB1 and the stage 2 table, of TABLE_WORDS each. */
export const TABLES = 26;
export const TABLE_WORDS = 8;
export const CONTEXT_WORDS = 64;

/** A table of a context: base, first address that is too large for a leaf, for a table, and its shape. */
export const TABLE_BASE = 0;
export const TABLE_OUTPUT_LIMIT = 2;
export const TABLE_WALK_LIMIT = 4;
/**
 * Granule bits in [7:0], start level in [11:8], lowest block level in [15:12], input bits in [23:16]; then flags. 0: the kernel
 * leaves the table alone.
 */
export const TABLE_SHAPE = 6;
/** Of the first table: what an input address is shifted by for its index in bytes, and from bit 8 on the bits of an index. */
export const TABLE_FIRST = 7;
/** AF == 0 faults. */
export const SHAPE_AF_FAULTS = 0x100_0000;
/** APTable, UXNTable and PXNTable count. */
export const SHAPE_HIERARCHICAL = 0x200_0000;
/** The top byte of an input address does not count. */
export const SHAPE_TBI = 0x400_0000;
/** Unprivileged accesses are not let in. */
export const SHAPE_E0PD = 0x800_0000;

/** Where attributes stand in an entry, above the two spaces. */
export const ATTRIBUTES_SHIFT = 2;
/** Where a descriptor's SH, a stage 2 MemAttr and SH go in the attributes (attributes.ts). */
export const ATTRIBUTES_SH_SHIFT = 8;
export const ATTRIBUTES_S2MEMATTR_SHIFT = 10;
export const ATTRIBUTES_S2SH_SHIFT = 14;
