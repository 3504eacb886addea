/**
 * The CDs of a stream with substreams (IHI 0070 3.3.2, 5.3): a linear table, or two levels with 4KB leaves of 64 CDs.
 * A CD changes as an STE does: V comes last (3.21.3.1).
 */
import { encode } from '../arch/layout.js';
import { CD, CD_BYTES, L1CD } from '../arch/structures.js';
import { S1FMT_4KB_LEAF, S1FMT_LINEAR } from './context.js';
import type { PageAllocator } from './page-allocator.js';
import { type CpuMemory, DriverError, doubleWord } from './port.js';

const LEAF_CDS = 64;
const L1CD_BYTES = L1CD.bits / 8;
const LEAF_BYTES = LEAF_CDS * CD_BYTES;
const DOUBLE_WORDS = CD_BYTES / 8;
/** CD.V, in the first double-word. */
const V = doubleWord(encode(CD, { V: 1 }));

/** Makes the SMMU forget a CD, and with `leaf` false the level 1 descriptor before it, and waits for it. */
export type InvalidateCD = (SubstreamID: number, leaf: boolean) => void;

/** What a step has changed: the CD, or with `leaf` false the level 1 descriptor before it. */
export interface ChangedCD {
  readonly leaf: boolean;
}

/** Writes a CD that the SMMU cannot reach yet. */
export function writeCD(memory: CpuMemory, pa: number, words: Uint32Array): void {
  for (let i = 0; i < DOUBLE_WORDS; i++) {
    memory.store64(pa + 8 * i, doubleWord(words, i));
  }
}

export class CDTable {
  readonly S1CDMax: number;
  readonly S1Fmt: number;
  readonly base: number;
  readonly #memory: CpuMemory;
  readonly #allocator: PageAllocator;
  readonly #invalidate: InvalidateCD;
  readonly #sizeBytes: number;
  readonly #leaves = new Map<number, number>();

  /** @param S1CDMax log2 of the number of substreams. */
  constructor(
    S1CDMax: number,
    twoLevel: boolean,
    memory: CpuMemory,
    allocator: PageAllocator,
    invalidate: InvalidateCD,
  ) {
    const count = 2 ** S1CDMax;
    const split = twoLevel && count > LEAF_CDS;
    this.S1CDMax = S1CDMax;
    this.S1Fmt = split ? S1FMT_4KB_LEAF : S1FMT_LINEAR;
    this.#memory = memory;
    this.#allocator = allocator;
    this.#invalidate = invalidate;
    this.#sizeBytes = split ? (count / LEAF_CDS) * L1CD_BYTES : count * CD_BYTES;
    this.base = this.#newTable(this.#sizeBytes);
  }

  /** Replaces the CD of a substream and waits until the SMMU has followed; undefined makes it invalid. */
  write(SubstreamID: number, words: Uint32Array | undefined): void {
    for (const { leaf } of this.changes(SubstreamID, words)) this.#invalidate(SubstreamID, leaf);
  }

  /** Replaces a CD step by step; after each of them, what it says must be invalidated and the CMD_SYNC be waited for. */
  *changes(SubstreamID: number, words: Uint32Array | undefined): Generator<ChangedCD, void> {
    if (!this.isLinked(SubstreamID)) {
      this.#link(Math.floor(SubstreamID / LEAF_CDS));
      yield { leaf: false };
    }
    const pa = this.#entry(SubstreamID);
    if ((this.#memory.load64(pa) & V) !== 0n) {
      this.#memory.store64(pa, this.#memory.load64(pa) & ~V);
      yield { leaf: true };
    }
    if (words === undefined) return;
    const first = doubleWord(words);
    const invalid = words.slice();
    invalid[0] = Number(BigInt.asUintN(32, first & ~V));
    writeCD(this.#memory, pa, invalid);
    yield { leaf: true };
    this.#memory.store64(pa, first);
    yield { leaf: true };
  }

  /** Whether there is a CD for a substream, valid or not: with two levels, whether its leaf is there. */
  isLinked(SubstreamID: number): boolean {
    if (SubstreamID < 0 || SubstreamID >= 2 ** this.S1CDMax) {
      throw new DriverError(`SubstreamID ${SubstreamID} does not fit in ${this.S1CDMax} bits`);
    }
    return this.S1Fmt === S1FMT_LINEAR || this.#leaves.has(Math.floor(SubstreamID / LEAF_CDS));
  }

  /** Gives all memory back. Only when no STE names the table. */
  destroy(): void {
    for (const leaf of this.#leaves.values()) this.#allocator.free(leaf, LEAF_BYTES);
    this.#allocator.free(this.base, this.#sizeBytes);
    this.#leaves.clear();
  }

  #newTable(sizeBytes: number): number {
    const base = this.#allocator.allocate(sizeBytes, Math.max(4096, sizeBytes));
    this.#memory.fill(base, 0, sizeBytes);
    return base;
  }

  #entry(SubstreamID: number): number {
    if (this.S1Fmt === S1FMT_LINEAR) return this.base + SubstreamID * CD_BYTES;
    const leaf = this.#leaves.get(Math.floor(SubstreamID / LEAF_CDS))!;
    return leaf + (SubstreamID % LEAF_CDS) * CD_BYTES;
  }

  #link(index: number): void {
    const leaf = this.#newTable(LEAF_BYTES);
    const words = encode(L1CD, { V: 1, L2Ptr: leaf / 4096 });
    this.#memory.store64(this.base + index * L1CD_BYTES, doubleWord(words));
    this.#leaves.set(index, leaf);
  }
}
