/**
 * Where regions lie: cutting regions into pieces over slabs, and folding a priority order of regions into one
 * sorted table without overlaps. Both run when a machine starts, never in an access.
 */
import { reservedBytes } from './slab.js';
import { CHUNK_BYTES, SLAB_BYTES_MAX } from './slab-layout.js';

export interface MemoryRegionSpec {
  readonly id: string;
  /** Physical address of the first byte. */
  readonly base: number;
  readonly sizeBytes: number;
  /** The region has no memory of its own but shows a part of another: a guest's memory, which is some of its host's. */
  readonly alias?: { readonly of: string; readonly offset: number };
}

/** A range of physical addresses that lies in one slab. */
export interface Piece {
  readonly pa: number;
  readonly sizeBytes: number;
  readonly slab: number;
  /** Byte offset in the slab. */
  readonly offset: number;
}

export interface PlacedRegion extends MemoryRegionSpec {
  readonly pieces: readonly Piece[];
}

export interface Placement {
  readonly regions: readonly PlacedRegion[];
  /** Bytes that each slab has to have, its reserved area included; at least one slab. */
  readonly slabBytes: readonly number[];
}

/** A Stage 2 output or a structure pointer has at most 52 bits (SMMU_IDR5.OAS, IHI 0070 6.3.6). */
const PA_LIMIT = 2 ** 52;

/**
 * Places regions one after the other, each from a chunk boundary on, over as many slabs as they need.
 * @param workspaceBytes kept free before them, from `reservedBytes(0)` of the first slab on.
 * @throws Error for a region that realize should have refused.
 */
export function place(regions: readonly MemoryRegionSpec[], workspaceBytes = 0): Placement {
  const slabBytes = [reservedBytes(0) + Math.ceil(workspaceBytes / CHUNK_BYTES) * CHUNK_BYTES];
  const placed = new Map<string, PlacedRegion>();
  // What aliases show is placed before them.
  const inOrder = [...regions.filter(({ alias }) => !alias), ...regions.filter(({ alias }) => alias)];
  for (const region of inOrder) {
    const { id, base, sizeBytes, alias } = region;
    checkRegion(region, placed);
    const pieces =
      alias === undefined
        ? cutIntoPieces(region, slabBytes)
        : aliasPieces(region, placed.get(alias.of), alias.offset);
    placed.set(id, { id, base, sizeBytes, pieces });
  }
  return { regions: regions.map(({ id }) => placed.get(id)!), slabBytes };
}

/** The pieces of a part of another region, at the alias's addresses. */
function aliasPieces(region: MemoryRegionSpec, of: PlacedRegion | undefined, offset: number): Piece[] {
  if (of === undefined || offset < 0 || offset % 8 !== 0 || offset + region.sizeBytes > of.sizeBytes) {
    throw new Error(`memory region ${region.id}: no part of a region that has it`);
  }
  const start = of.base + offset;
  const end = start + region.sizeBytes;
  return of.pieces.flatMap((piece) => {
    const from = Math.max(start, piece.pa);
    const until = Math.min(end, piece.pa + piece.sizeBytes);
    if (from >= until) return [];
    const part = partOf(piece, from, until);
    return [{ ...part, pa: region.base + (from - start) }];
  });
}

/** Takes room at the end of the last slab, and opens slabs as needed. */
function cutIntoPieces(region: MemoryRegionSpec, slabBytes: number[]): Piece[] {
  const pieces: Piece[] = [];
  let placedBytes = 0;
  while (placedBytes < region.sizeBytes) {
    if (slabBytes[slabBytes.length - 1] === SLAB_BYTES_MAX) slabBytes.push(reservedBytes(slabBytes.length));
    const slab = slabBytes.length - 1;
    const offset = slabBytes[slab];
    const sizeBytes = Math.min(region.sizeBytes - placedBytes, SLAB_BYTES_MAX - offset);
    pieces.push({ pa: region.base + placedBytes, sizeBytes, slab, offset });
    slabBytes[slab] = Math.ceil((offset + sizeBytes) / CHUNK_BYTES) * CHUNK_BYTES;
    placedBytes += sizeBytes;
  }
  return pieces;
}

function checkRegion(region: MemoryRegionSpec, earlier: ReadonlyMap<string, PlacedRegion>): void {
  const { id, base, sizeBytes } = region;
  const fits = Number.isSafeInteger(base) && base >= 0 && sizeBytes > 0 && base + sizeBytes <= PA_LIMIT;
  // Aligned to words, or a 64-bit access that is aligned in the guest would not be aligned in the slab.
  if (!fits || base % 8 !== 0 || sizeBytes % 8 !== 0) {
    throw new Error(`memory region ${id}: no multiple of 8 bytes below 2^52 at ${base}, ${sizeBytes} bytes`);
  }
  if (earlier.has(id)) throw new Error(`memory region ${id} is given twice`);
}

/** The pieces that are seen when the first region that claims an address has it, by ascending address. */
export function flatten(regionsInPriorityOrder: readonly PlacedRegion[]): Piece[] {
  let claimed: Piece[] = [];
  for (const region of regionsInPriorityOrder) {
    for (const piece of region.pieces) {
      claimed = [...claimed, ...unclaimedParts(piece, claimed)].sort((a, b) => a.pa - b.pa);
    }
  }
  return joinAdjoining(claimed);
}

/** What is left of a piece between those that are claimed already; `claimed` ascends. */
function unclaimedParts(piece: Piece, claimed: readonly Piece[]): Piece[] {
  const parts: Piece[] = [];
  const end = piece.pa + piece.sizeBytes;
  let from = piece.pa;
  for (const other of claimed) {
    const until = Math.min(other.pa, end);
    if (from < until) parts.push(partOf(piece, from, until));
    from = Math.max(from, other.pa + other.sizeBytes);
  }
  if (from < end) parts.push(partOf(piece, from, end));
  return parts;
}

function partOf(piece: Piece, from: number, until: number): Piece {
  return { pa: from, sizeBytes: until - from, slab: piece.slab, offset: piece.offset + (from - piece.pa) };
}

/** Pieces that adjoin both in the guest and in one slab become one, so that fewer accesses cross a border. */
function joinAdjoining(pieces: readonly Piece[]): Piece[] {
  const joined: Piece[] = [];
  for (const piece of pieces) {
    const before = joined.at(-1);
    const adjoins =
      before !== undefined &&
      before.slab === piece.slab &&
      before.pa + before.sizeBytes === piece.pa &&
      before.offset + before.sizeBytes === piece.offset;
    if (adjoins) joined[joined.length - 1] = { ...before, sizeBytes: before.sizeBytes + piece.sizeBytes };
    else joined.push(piece);
  }
  return joined;
}
