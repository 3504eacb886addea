/**
 * Small numbers that stand for translation regimes (StreamWorld, VMID, ASID, ASET) in the tags of the first-level TLB.
 */
import type { Regime } from './stream-context.js';

/** They have 12 bits beside a page number; the last of them stands for nothing (FIRST_EMPTY). */
export const REGIMES_MAX = 4095;

/** In the place of an ASID, of which there are 2^16: the regime's addresses are IPAs. */
export const ASID_OF_IPAS = 0x1_0000;
/** There: nothing translates, so that no page of anybody else's is for this one, whatever its VMID. */
export const ASID_OF_BYPASS = 0x1_0001;

export class RegimeNumbers {
  readonly #numbers = new Map<number, number>();

  /** Known regimes, in the order of their numbers. */
  get keys(): number[] {
    return [...this.#numbers.keys()];
  }

  /** Gives a regime that is not known the next number. @returns -1 when there are no more. */
  of({ world, vmid, asid, aset }: Regime): number {
    const key = ((world * 2 + aset) * 0x1_0000 + vmid) * 0x2_0000 + asid;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    if (this.#numbers.size === REGIMES_MAX) return -1;
    const number = this.#numbers.size;
    this.#numbers.set(key, number);
    return number;
  }

  clear(): void {
    this.#numbers.clear();
  }

  /** Takes the keys of an earlier life in place of its own. */
  load(keys: readonly number[]): void {
    this.#numbers.clear();
    for (const key of keys) this.#numbers.set(key, this.#numbers.size);
  }
}
