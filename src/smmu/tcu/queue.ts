/**
 * Where a circular queue is and how large (IHI 0070 3.5.1, 6.3.26).
 */
import { get, getAddress, type Words } from '../../arch/layout.js';
import { BANKS, type RegisterKey } from '../../arch/registers.js';
import type { Bank } from './registers.js';

export interface QueueGeometry {
  /** Physical address of entry 0. */
  readonly base: number;
  /** log2 of the number of entries. */
  readonly log2Size: number;
  readonly entryBytes: number;
}

/** Queues are aligned to their size, and to 32 bytes at least (6.3.26). */
const ALIGNMENT_MIN_BYTES = 32;

/** A queue's BASE register. What it says is worked out when it has changed: a TCU asks several times in each step. */
export class QueueBase {
  readonly #bank: Bank;
  readonly #key: RegisterKey;
  readonly #log2Max: number;
  readonly #entryBytes: number;
  #lo = 0;
  #hi = 0;
  #geometry: QueueGeometry | undefined;

  /**
   * @param log2Max IDR1.CMDQS or its like: what LOG2SIZE is capped to wherever it is used, though not where it is read
   * (6.3.26).
   */
  constructor(bank: Bank, key: RegisterKey, log2Max: number, entryBytes: number) {
    this.#bank = bank;
    this.#key = key;
    this.#log2Max = log2Max;
    this.#entryBytes = entryBytes;
  }

  get geometry(): QueueGeometry {
    const lo = this.#bank.read(this.#key);
    const hi = this.#bank.readHigh(this.#key);
    if (this.#geometry === undefined || lo !== this.#lo || hi !== this.#hi) {
      this.#lo = lo;
      this.#hi = hi;
      this.#geometry = this.#geometryOf([lo, hi]);
    }
    return this.#geometry;
  }

  #geometryOf(words: Words): QueueGeometry {
    const { LOG2SIZE, ADDR } = BANKS[this.#bank.security][this.#key].fields;
    const log2Size = Math.min(get(words, LOG2SIZE!), this.#log2Max);
    const alignment = Math.max(this.#entryBytes * 2 ** log2Size, ALIGNMENT_MIN_BYTES);
    const address = getAddress(words, ADDR!);
    return { base: Math.floor(address / alignment) * alignment, log2Size, entryBytes: this.#entryBytes };
  }
}

export function entryAddress(queue: QueueGeometry, index: number): number {
  return queue.base + (index & ((1 << queue.log2Size) - 1)) * queue.entryBytes;
}
