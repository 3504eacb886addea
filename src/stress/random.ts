/** Chance from a seed: each actor has a generator of its own, so that what it wants does not depend on who ran before. */

/** xorshift32 over a mixed seed. */
export class Random {
  #state: number;

  /** @param stream tells the generators of one seed apart. */
  constructor(seed: number, stream = 0) {
    let x = (Math.imul(seed | 0, 0x9e37_79b1) ^ Math.imul((stream + 1) | 0, 0x85eb_ca6b)) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x45d9_f3b);
    this.#state = x ^ (x >>> 15) || 1;
  }

  /** An integer from 0 to n - 1. */
  below(n: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % n;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** An index, each as likely as its weight says; the sum of the weights is not 0. */
  weighted(weights: readonly number[]): number {
    let left = this.below(weights.reduce((sum, weight) => sum + weight, 0));
    return weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
  }
}
