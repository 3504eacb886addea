/**
 * A Stream table in memory (IHI 0070 3.3.1, 5.1, 5.2): linear, or two levels of which the second appears as needed,
 * and the procedures by which an entry changes while the SMMU may be reading it (3.21.3.1).
 */
import { encode, get } from '../arch/layout.js';
import { L1STD, STE, STE_BYTES } from '../arch/structures.js';
import type { PageAllocator } from './page-allocator.js';
import { type CpuMemory, DriverError, doubleWord } from './port.js';
import type { RegisterInterface } from './register-interface.js';

const L1STD_BYTES = L1STD.bits / 8;
/** STRTAB_BASE_CFG.SPLIT: a level 2 table of 256 STEs, the middle of the three allowed values. */
const SPLIT = 8;
const LEVEL2_BYTES = 2 ** SPLIT * STE_BYTES;
/** Double-words of an STE. */
const DOUBLE_WORDS = STE_BYTES / 8;

/** Makes the SMMU forget an STE, and with `leaf` false the level 1 descriptor before it, and waits for it. */
export type InvalidateSTE = (StreamID: number, leaf: boolean) => void;

/** What must be invalidated, and waited for, before a change may go on. */
export interface STEInvalidation {
  /** Any STE that is concerned. */
  readonly StreamID: number;
  /** False: the level 1 descriptor is concerned, and every STE behind it. */
  readonly leaf: boolean;
}

function doubleWords(words: Uint32Array): bigint[] {
  return Array.from({ length: DOUBLE_WORDS }, (_, i) => doubleWord(words, i));
}

type SteField = keyof typeof STE.fields;

/** The bits that fields have in one double-word of an STE. */
function bitsOf(index: number, names: readonly SteField[]): bigint {
  const words = encode(STE, Object.fromEntries(names.map((name) => [name, -1n])));
  return doubleWord(words, index);
}

const V = bitsOf(0, ['V']);
const CONFIG = bitsOf(0, ['Config']);
/** What stage 1 alone looks at. */
const STAGE_1: readonly SteField[] = [
  ...(['S1Fmt', 'S1ContextPtr', 'S1CDMax', 'S1DSS', 'S1CIR', 'S1COR', 'S1CSH'] as const),
  ...(['S1PIE', 'S1MPAM', 'S1STALLD', 'STRW'] as const),
];
const STAGE_1_BITS = [bitsOf(0, STAGE_1), bitsOf(1, STAGE_1)] as const;
/** What matters at any time and never to whether or how an access is translated: it may be new while the rest is old. */
const SAFE_BITS = bitsOf(1, ['MEV']);
const ALL = 2n ** 64n - 1n;

/** The bits of an STE that the SMMU looks at, by V and Config (5.2), and that must change with the rest. */
function usedBits([first]: readonly bigint[]): bigint[] {
  const used = new Array<bigint>(DOUBLE_WORDS).fill(0n);
  used[0] = V;
  if ((first! & V) === 0n) return used;
  used[0] = V | CONFIG;
  const config = get([Number(first! & 0xffff_ffffn)], STE.fields.Config);
  if (config < 4) return used;
  used[1] = ALL & ~STAGE_1_BITS[1] & ~SAFE_BITS;
  if ((config & 1) !== 0) {
    used[0] |= STAGE_1_BITS[0];
    used[1] = ALL & ~SAFE_BITS;
    // S2VMID tags the TLB entries of stage 1 as well.
    used[2] = bitsOf(2, ['S2VMID']);
  }
  return (config & 2) === 0 ? used : used.fill(ALL, 2);
}

/** The same STE with V == 0. */
function invalid([first, ...rest]: readonly bigint[]): bigint[] {
  return [first! & ~V, ...rest];
}

export class StreamTable {
  readonly #memory: CpuMemory;
  readonly #allocator: PageAllocator;
  readonly #invalidate: InvalidateSTE;
  readonly #sidBits: number;
  readonly #twoLevel: boolean;
  readonly #base: number;
  /** Level 2 tables by index in level 1. */
  readonly #level2 = new Map<number, number>();

  constructor(
    sidBits: number,
    twoLevel: boolean,
    memory: CpuMemory,
    allocator: PageAllocator,
    invalidate: InvalidateSTE,
  ) {
    this.#memory = memory;
    this.#allocator = allocator;
    this.#invalidate = invalidate;
    this.#sidBits = sidBits;
    this.#twoLevel = twoLevel && sidBits > SPLIT;
    this.#base = this.#newTable(
      this.#twoLevel ? 2 ** (sidBits - SPLIT) * L1STD_BYTES : 2 ** sidBits * STE_BYTES,
    );
  }

  /** Programs STRTAB_BASE and STRTAB_BASE_CFG. Translation must be disabled. */
  program(registers: RegisterInterface): void {
    registers.writeFields('STRTAB_BASE', { ADDR: this.#base / 64, RA: 1 });
    registers.writeFields('STRTAB_BASE_CFG', {
      LOG2SIZE: this.#sidBits,
      SPLIT: this.#twoLevel ? SPLIT : 0,
      FMT: this.#twoLevel ? 1 : 0,
    });
  }

  /** Replaces an STE, and waits until the SMMU has followed. */
  write(StreamID: number, words: Uint32Array): void {
    for (const { leaf } of this.changes(StreamID, words)) this.#invalidate(StreamID, leaf);
  }

  /**
   * Replaces an STE step by step, each of which ends with what must be invalidated. What the SMMU does not look at is
   * written first; if one double-word remains, it is the change, since 64 bits are single-copy atomic, and the stream
   * always has an old or a new STE. Otherwise the entry is invalid while its parts are written, and V comes last.
   */
  *changes(StreamID: number, words: Uint32Array): Generator<STEInvalidation, void> {
    const pa = this.#entry(StreamID);
    const next = doubleWords(words);
    const current = next.map((_, i) => this.#memory.load64(pa + 8 * i));
    const used = usedBits(current);
    const usedNext = usedBits(next);
    const prepared = next.map((value, i) => (current[i]! & used[i]!) | (value & ~used[i]!));
    const critical = next.flatMap((value, i) =>
      (prepared[i]! & usedNext[i]!) === (value & usedNext[i]!) ? [] : [i],
    );
    if (critical.length > 1) {
      yield* this.#store(StreamID, pa, current, invalid(current));
      yield* this.#store(StreamID, pa, invalid(current), invalid(next));
      yield* this.#store(StreamID, pa, invalid(next), next);
      return;
    }
    // The critical double-word keeps all its old bits until it changes as a whole.
    const before = prepared.map((value, i) => (critical.includes(i) ? current[i]! : value));
    const after = before.map((value, i) => (critical.includes(i) ? next[i]! : value));
    yield* this.#store(StreamID, pa, current, before);
    yield* this.#store(StreamID, pa, before, after);
    yield* this.#store(StreamID, pa, after, next);
  }

  /** Stores the double-words that change; the STE must be forgotten if one does. */
  *#store(
    StreamID: number,
    pa: number,
    from: readonly bigint[],
    to: readonly bigint[],
  ): Generator<STEInvalidation, void> {
    const changed = to.flatMap((value, i) => (value === from[i] ? [] : [i]));
    for (const i of changed) this.#memory.store64(pa + 8 * i, to[i]!);
    if (changed.length > 0) yield { StreamID, leaf: true };
  }

  /**
   * Moves a stream's level 2 table to other memory, step by step. The old one is cleared and given back when what
   * was to be invalidated has been. Does nothing where the table is linear.
   */
  *relocations(StreamID: number): Generator<STEInvalidation, void> {
    const index = Math.floor(StreamID / 2 ** SPLIT);
    const old = this.#level2.get(index);
    if (old === undefined) return;
    const table = this.#newTable(LEVEL2_BYTES);
    this.#memory.writeBytes(table, this.#memory.readBytes(old, LEVEL2_BYTES));
    this.#point(index, table);
    yield { StreamID, leaf: false };
    this.#memory.fill(old, 0, LEVEL2_BYTES);
    this.#allocator.free(old, LEVEL2_BYTES);
  }

  /** Provides for a stream. @throws DriverError where there is no STE for it, or no memory. */
  reserve(StreamID: number): void {
    this.#entry(StreamID);
  }

  read(StreamID: number): Uint32Array {
    const bytes = this.#memory.readBytes(this.#entry(StreamID), STE_BYTES);
    return new Uint32Array(bytes.buffer, bytes.byteOffset, STE_BYTES / 4);
  }

  /** Makes an STE invalid: the stream's transactions abort with C_BAD_STE. */
  clear(StreamID: number): void {
    this.write(StreamID, new Uint32Array(STE_BYTES / 4));
  }

  #newTable(sizeBytes: number): number {
    const base = this.#allocator.allocate(sizeBytes, Math.max(4096, sizeBytes));
    this.#memory.fill(base, 0, sizeBytes);
    return base;
  }

  #entry(StreamID: number): number {
    if (StreamID < 0 || StreamID >= 2 ** this.#sidBits) {
      throw new DriverError(`StreamID 0x${StreamID.toString(16)} does not fit in ${this.#sidBits} bits`);
    }
    if (!this.#twoLevel) return this.#base + StreamID * STE_BYTES;
    const index = Math.floor(StreamID / 2 ** SPLIT);
    const table = this.#level2.get(index) ?? this.#link(index, StreamID);
    return table + (StreamID % 2 ** SPLIT) * STE_BYTES;
  }

  /** Adds a level 2 table of invalid STEs. */
  #link(index: number, StreamID: number): number {
    const table = this.#newTable(LEVEL2_BYTES);
    this.#point(index, table);
    this.#invalidate(StreamID, false);
    return table;
  }

  /** Lets a level 1 descriptor point to a level 2 table. */
  #point(index: number, table: number): void {
    // A level 2 array holds 2^(Span - 1) STEs.
    const words = encode(L1STD, { Span: SPLIT + 1, L2Ptr: table / 64 });
    this.#memory.store64(this.#base + index * L1STD_BYTES, doubleWord(words));
    this.#level2.set(index, table);
  }
}
