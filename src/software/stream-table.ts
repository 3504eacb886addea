/**
 * A Stream table in memory (IHI 0070 3.3.1, 5.1, 5.2): linear, or two levels of which the second appears as needed,
 * and the procedures by which an entry changes while the SMMU may be reading it (3.21.3.1).
 */
import { encode } from '../arch/layout.js';
import { L1STD } from '../arch/structures.js';
import type { PageAllocator } from './page-allocator.js';
import { type CpuMemory, DriverError } from './port.js';
import type { RegisterInterface } from './register-interface.js';

export const STE_BYTES = 64;
const L1STD_BYTES = 8;
/** STRTAB_BASE_CFG.SPLIT: a level 2 table of 256 STEs, the middle of the three allowed values. */
const SPLIT = 8;
/** Double-words of an STE. */
const DOUBLE_WORDS = 8;

/** Makes the SMMU forget an STE, and with `leaf` false the level 1 descriptor before it, and waits for it. */
export type InvalidateSTE = (StreamID: number, leaf: boolean) => void;

function doubleWords(words: Uint32Array): bigint[] {
  return Array.from(
    { length: DOUBLE_WORDS },
    (_, i) => (BigInt(words[2 * i + 1]!) << 32n) | BigInt(words[2 * i]!),
  );
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

  /**
   * Replaces an STE. A valid entry of which one double-word changes is changed by one store, since 64 bits are
   * single-copy atomic; otherwise the entry is invalid while its parts are written, and V comes last.
   */
  write(StreamID: number, words: Uint32Array): void {
    const pa = this.#entry(StreamID);
    const next = doubleWords(words);
    const current = next.map((_, i) => this.#memory.load64(pa + 8 * i));
    const changed = next.flatMap((value, i) => (value === current[i] ? [] : [i]));
    const V = 1n;
    if (changed.length === 0) return;
    if (changed.length === 1 && (current[0]! & V) === V) {
      this.#memory.store64(pa + 8 * changed[0]!, next[changed[0]!]!);
      this.#invalidate(StreamID, true);
      return;
    }
    if ((current[0]! & V) === V) {
      this.#memory.store64(pa, current[0]! & ~V);
      this.#invalidate(StreamID, true);
    }
    for (let i = 1; i < DOUBLE_WORDS; i++) this.#memory.store64(pa + 8 * i, next[i]!);
    this.#memory.store64(pa, next[0]! & ~V);
    this.#invalidate(StreamID, true);
    this.#memory.store64(pa, next[0]!);
    this.#invalidate(StreamID, true);
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
    const table = this.#newTable(2 ** SPLIT * STE_BYTES);
    // A level 2 array holds 2^(Span - 1) STEs.
    const words = encode(L1STD, { Span: SPLIT + 1, L2Ptr: table / 64 });
    this.#memory.store64(this.#base + index * L1STD_BYTES, (BigInt(words[1]!) << 32n) | BigInt(words[0]!));
    this.#level2.set(index, table);
    this.#invalidate(StreamID, false);
    return table;
  }
}
