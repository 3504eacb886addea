/**
 * The first level of a TBU's TLB, which answers nearly every access: the streams of late and their pages, both direct-mapped.
 *
 * It is always a subset of the configuration cache and of the second level (tlb.ts), and knows neither sizes nor
 * invalidation: whatever is invalidated, all of it goes. A page is keyed by its number and by a small number that stands
 * for its regime, with the permissions of both stages ANDed at fill, so that a hit is one compare and one bit test.
 *
 * Direct-mapped, because which way of a set hits is a branch that the host cannot predict: a four-way TLB alone
 * costs 4 to 8 ns more. Typed arrays and no objects, because a hit then touches three lines of memory and allocates nothing.
 */
import type { SecurityState } from '../../arch/security.js';
import type { Transaction } from '../transaction.js';
import type { StreamContext } from './stream-context.js';

const PAGES = 4096;
const PAGE_MASK = PAGES - 1;
const STREAMS = 256;
const STREAM_MASK = STREAMS - 1;
const TWO_32 = 0x1_0000_0000;
/** A page number has 41 bits; the number of a regime stands above it, in the same exact double: one compare for both. */
const REGIME_SCALE = 2 ** 41;
const EMPTY = -1;

// Words of flags: permissions in bits [5:0], PA space in bit 8, raw attributes from bit 12 on.
const SPACE_SHIFT = 8;
const ATTRIBUTES_SHIFT = 12;

const NO_STREAMS: readonly (StreamContext | undefined)[] = new Array(STREAMS).fill(undefined);

export class FirstLevel {
  /** What look-ups go by: the own streams, or none after an invalidation, which so costs one store. */
  #streams = NO_STREAMS;
  readonly #ownStreams: (StreamContext | undefined)[] = new Array(STREAMS).fill(undefined);
  readonly #tags = new Float64Array(PAGES).fill(EMPTY);
  /** Physical addresses of the pages. */
  readonly #bases = new Float64Array(PAGES);
  readonly #flags = new Int32Array(PAGES);
  /** There may be what an invalidation took. */
  #stale = false;

  /** The configuration of an access, if its stream is known here. Devices take turns: 80 ns without, 12 with it. */
  stream(txn: Transaction): StreamContext | undefined {
    const context = this.#streams[txn.StreamID & STREAM_MASK];
    const known =
      context !== undefined &&
      context.StreamID === txn.StreamID &&
      context.SubstreamID === txn.SubstreamID &&
      context.security === txn.SEC_SID;
    return known ? context : undefined;
  }

  /** Answers an access that is known here to be permitted. @returns false otherwise, with the transaction as it was. */
  translate(txn: Transaction, context: StreamContext, need: number): boolean {
    const hi = txn.iovaHi;
    const pageLo = (txn.iovaLo >>> 12) | (hi << 20);
    const slot = pageLo & PAGE_MASK;
    const page = ((hi >>> 12) & 0xff) * TWO_32 + (pageLo >>> 0);
    if (this.#tags[slot] !== page + context.tag * REGIME_SCALE) return false;
    const flags = this.#flags[slot]!;
    // Addresses of the TTB1 half and with a tag wait for the second level, which comes after the checks of those.
    if ((flags & need) === 0 || hi >>> 20 !== 0) return false;
    txn.pa = this.#bases[slot]! + (txn.iovaLo & 0xfff);
    txn.space = ((flags >>> SPACE_SHIFT) & 1) as SecurityState;
    txn.translationAttributes = flags >>> ATTRIBUTES_SHIFT;
    txn.overrides = context.ste.overrides;
    return true;
  }

  /** Takes a stream with a TTB0 half that E0PD does not guard: what is answered here is not checked for that again. */
  remember(context: StreamContext): void {
    if (context.cd?.ttb0 === undefined || context.cd.e0pd0) return;
    this.#streams = this.#ownStreams;
    this.#ownStreams[context.StreamID & STREAM_MASK] = context;
  }

  fill(
    context: StreamContext,
    pageLo: number,
    pageHi: number,
    outPage: number,
    allowed: number,
    space: SecurityState,
    attributes: number,
  ): void {
    const slot = pageLo & PAGE_MASK;
    this.#tags[slot] = (pageHi & 0x1ff) * TWO_32 + (pageLo >>> 0) + context.tag * REGIME_SCALE;
    this.#bases[slot] = outPage * 4096;
    this.#flags[slot] = allowed | (space << SPACE_SHIFT) | (attributes << ATTRIBUTES_SHIFT);
  }

  /** Drops whatever is in the slot of a page. */
  dropPage(pageLo: number): void {
    this.#tags[pageLo & PAGE_MASK] = EMPTY;
  }

  dropPages(): void {
    this.#tags.fill(EMPTY);
  }

  dropStreams(): void {
    this.#ownStreams.fill(undefined);
  }

  /** Forgets everything, at once: without streams nothing is found. What that leaves is cleared by `settle`. */
  forget(): void {
    this.#streams = NO_STREAMS;
    this.#stale = true;
  }

  /** Before anything is put in: clears once, however often everything was forgotten. */
  settle(): void {
    if (!this.#stale) return;
    this.#stale = false;
    this.dropPages();
    this.dropStreams();
  }
}
