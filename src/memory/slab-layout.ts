/** Where in a slab is what is not guest memory (slab.ts): numbers that its kernel knows as well. */

export const THREADS_MAX = 256;
/** The bound of 32-bit Wasm: 65536 pages. */
export const SLAB_BYTES_MAX = 0x1_0000_0000;
/** Pieces of regions begin at a chunk, and a chunk is what is zeroed at once. */
export const CHUNK_SHIFT = 16;
export const CHUNK_BYTES = 0x1_0000;

/** Scratch of each thread: no two share a cache line. */
export const SCRATCH_BYTES = 512;
/** One byte for each chunk: whether it was written. */
export const DIRTY_OFFSET = THREADS_MAX * SCRATCH_BYTES;
export const BOUNCE_OFFSET = DIRTY_OFFSET + SLAB_BYTES_MAX / CHUNK_BYTES;
/** What a thread may hold on its way between guest memory and a DMA master. */
export const BOUNCE_BYTES = 4096;

/** Aligned words up to here are read and written whole, each of them. */
export const WHOLE_WORDS_BYTES = 64;
