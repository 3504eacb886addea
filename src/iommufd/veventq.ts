/**
 * A virtual event queue: events of a vIOMMU's devices on their way to the VMM, at most `depth` of them. Each has a sequence
 * number. When the queue is full, a mark at its end says that events were lost; the next event takes the mark's
 * place, and the gap in the numbers remains.
 */
import { IommufdError } from './errors.js';
import type { Content } from './object-table.js';

export interface VEvent {
  readonly sequence: number;
  /** Events were lost here, and these are none: there is no record. */
  readonly lost: boolean;
  /** The record, eight words. */
  readonly words?: Uint32Array;
}

/** The kernel's numbers are 31 bits wide. */
const SEQUENCE_MASK = 0x7fff_ffff;

export class VEventQueue {
  readonly #depth: number;
  readonly #events: VEvent[] = [];
  #sequence = 0;

  constructor(depth: number) {
    if (!Number.isInteger(depth) || depth < 1)
      throw new IommufdError('EINVAL', 'a queue has at least one entry');
    this.#depth = depth;
  }

  /** @returns whether there was room. */
  push(words: Uint32Array): boolean {
    if (this.#events.at(-1)?.lost === true) this.#events.pop();
    const sequence = this.#sequence;
    this.#sequence = (sequence + 1) & SEQUENCE_MASK;
    const room = this.#events.length < this.#depth;
    this.#events.push(room ? { sequence, lost: false, words: words.slice() } : { sequence, lost: true });
    return room;
  }

  /** Takes all events, oldest first. */
  read(): VEvent[] {
    return this.#events.splice(0);
  }

  content(): Content {
    return { depth: this.#depth, events: this.#events.length };
  }
}
