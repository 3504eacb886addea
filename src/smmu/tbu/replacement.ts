/** Which entry of a full cache goes (REQUIREMENTS H5). */
import type { Replacement } from '../config.js';

/** Numbers that look random and are the same for the same seed (xorshift32). */
export class Dice {
  /** Never 0, where the generator would stay. */
  state: number;

  constructor(seed: number) {
    this.state = Math.imul(seed + 1, 0x9e37_79b1) || 1;
  }

  /** From 0 up to and without `count`. */
  below(count: number): number {
    let { state } = this;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.state = state;
    return Math.floor(((state >>> 0) / 0x1_0000_0000) * count);
  }
}

/** A map with a limit. Its keys are in the order of their age, or of their last use with `lru`. */
export class BoundedMap<Value> {
  readonly #limit: number;
  readonly #replacement: Replacement;
  readonly #dice: Dice;
  readonly #values = new Map<number, Value>();

  constructor(limit: number, replacement: Replacement, dice: Dice) {
    this.#limit = limit;
    this.#replacement = replacement;
    this.#dice = dice;
  }

  get(key: number): Value | undefined {
    const value = this.#values.get(key);
    if (value !== undefined && this.#replacement === 'lru') {
      this.#values.delete(key);
      this.#values.set(key, value);
    }
    return value;
  }

  /** Stores the value of a key that is not there. With a limit of 0 nothing is kept. @returns whether another had to go. */
  add(key: number, value: Value): boolean {
    if (this.#limit === 0) return false;
    const full = this.#values.size >= this.#limit;
    if (full) this.#values.delete(this.#victim());
    this.#values.set(key, value);
    return full;
  }

  delete(key: number): void {
    this.#values.delete(key);
  }

  clear(): void {
    this.#values.clear();
  }

  entries(): IterableIterator<[number, Value]> {
    return this.#values.entries();
  }

  keys(): IterableIterator<number> {
    return this.#values.keys();
  }

  #victim(): number {
    const keys = this.#values.keys();
    if (this.#replacement === 'random') {
      for (let skip = this.#dice.below(this.#values.size); skip > 0; skip--) keys.next();
    }
    return keys.next().value!;
  }
}
