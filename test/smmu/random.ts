/** xorshift32: everything of a case follows from its seed. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = (seed * 2654435761 + 1) | 0 || 1;
  }
  below(n: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % n;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  bits(n: number): bigint {
    let value = 0n;
    for (let i = 0; i < n; i += 16) value = (value << 16n) | BigInt(this.below(0x1_0000));
    return value & ((1n << BigInt(n)) - 1n);
  }
}
