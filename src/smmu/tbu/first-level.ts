/**
 * The first level of a TBU's TLB, which answers nearly every access: the streams of late and their pages, both direct-mapped.
 *
 * It is always a subset of the configuration cache and of the second level (tlb.ts), and knows neither sizes nor
 * invalidation: whatever is invalidated, all of it goes. A page is keyed by its number and by a small number that stands
 * for its regime, with the permissions of both stages ANDed at fill, so that a hit is one compare and one bit test.
 *
 * Direct-mapped, because which way of a set hits is a branch that the host cannot predict: a four-way TLB alone
 * costs 4 to 8 ns more. Typed arrays and no objects, because a hit then touches two lines of memory and allocates nothing.
 */
import type { SecurityState } from '../../arch/security.js';
import type { Transaction } from '../transaction.js';
import {
  FIRST_ANSWER_BYTES,
  FIRST_ANSWERS,
  FIRST_ATTRIBUTES_SHIFT,
  FIRST_BASE,
  FIRST_BYTES,
  FIRST_EMPTY,
  FIRST_FLAGS,
  FIRST_OPEN,
  FIRST_PAGE_HI,
  FIRST_PAGE_LO,
  FIRST_PLACE,
  FIRST_REGIME_SHIFT,
  FIRST_SLOTS,
  FIRST_STREAMS,
  FIRST_TAG_BYTES,
  FIRST_TAGS,
  PAGE_HI_TTB1,
  STREAM_BYTES,
  STREAM_ID,
  STREAM_NEEDS,
  STREAM_REGIME,
  STREAM_SUBSTREAM,
} from './kernel-layout.js';
import { accessBit } from './permission.js';
import type { Ste } from './ste.js';
import type { StreamContext } from './stream-context.js';

const SLOT_MASK = FIRST_SLOTS - 1;
const TAG_WORDS = FIRST_TAG_BYTES / 4;
const ANSWER_DOUBLES = FIRST_ANSWER_BYTES / 8;
const ANSWER_WORDS = FIRST_ANSWER_BYTES / 4;
const STREAM_WORDS = STREAM_BYTES / 4;
const LO = FIRST_PAGE_LO / 4;
const HI = FIRST_PAGE_HI / 4;
const BASE = FIRST_BASE / 8;
const FLAGS = FIRST_FLAGS / 4;
const PLACE = FIRST_PLACE / 4;
const OPEN = FIRST_OPEN / 4;
const REGIME_SHIFT = FIRST_REGIME_SHIFT;
const EMPTY = FIRST_EMPTY;
const STREAM_MASK = FIRST_STREAMS - 1;

// Words of flags: permissions in bits [5:0], PA space in bit 8, raw attributes from bit 12 on.
const SPACE_SHIFT = 8;
const ATTRIBUTES_SHIFT = FIRST_ATTRIBUTES_SHIFT;

/** A stream as look-ups need it, in one object: through its context a hit takes a nanosecond more. */
export interface KnownStream {
  readonly StreamID: number;
  readonly SubstreamID: number;
  readonly security: SecurityState;
  /** Its regime's number, as tags of pages have it. */
  readonly regime: number;
  /** For each kind of access, four bits: the number of the permission bit that it needs. */
  readonly needs: number;
  readonly overrides: number;
  readonly context: StreamContext;
  /** Where a kernel has the context; 0 where it has none. */
  readonly kernelContext: number;
}

const NO_STREAMS: readonly (KnownStream | undefined)[] = new Array(FIRST_STREAMS).fill(undefined);

export class FirstLevel {
  /** What look-ups go by: the own streams, or none after an invalidation, which so costs one store. */
  #streams = NO_STREAMS;
  readonly #ownStreams: (KnownStream | undefined)[] = new Array(FIRST_STREAMS).fill(undefined);
  /** The same for a kernel, and whether they are looked at. */
  readonly #streamWords: Int32Array;
  readonly #tags: Int32Array;
  /** Of each slot the physical address of the page; the same memory as words, for flags and place. */
  readonly #doubles: Float64Array;
  readonly #words: Int32Array;
  readonly #clear: Clear;
  readonly #offset: number;
  /** There may be pages, and streams, that an invalidation took. */
  #pagesAreStale = false;
  #streamsAreStale = false;

  /** @param memory of FIRST_BYTES from `offset` on, which a kernel fills as well. @param clear makes all bits one there. */
  constructor(memory: ArrayBufferLike = new ArrayBuffer(FIRST_BYTES), offset = 0, clear = filler(memory)) {
    const answers = offset + FIRST_ANSWERS;
    this.#clear = clear;
    this.#offset = offset;
    this.#streamWords = new Int32Array(memory, offset, FIRST_TAGS / 4);
    this.#tags = new Int32Array(memory, offset + FIRST_TAGS, FIRST_SLOTS * TAG_WORDS);
    this.#doubles = new Float64Array(memory, answers, FIRST_SLOTS * ANSWER_DOUBLES);
    this.#words = new Int32Array(memory, answers, FIRST_SLOTS * ANSWER_WORDS);
    this.forget();
    this.settle();
  }

  /** The configuration of an access, if its stream is known here. Devices take turns: 80 ns without, 12 with it. */
  stream(txn: Transaction): KnownStream | undefined {
    const stream = this.#streams[txn.StreamID & STREAM_MASK];
    const known =
      stream !== undefined &&
      stream.StreamID === txn.StreamID &&
      stream.SubstreamID === txn.SubstreamID &&
      stream.security === txn.SEC_SID;
    return known ? stream : undefined;
  }

  /** Answers an access that is known here to be permitted. @returns false otherwise, with the transaction as it was. */
  translate(txn: Transaction, stream: KnownStream): boolean {
    const hi = txn.iovaHi;
    const pageLo = (txn.iovaLo >>> 12) | (hi << 20);
    const slot = pageLo & SLOT_MASK;
    // Addresses of the TTB1 half and with a tag are none here: they wait for the second level, after the checks of those.
    if (
      this.#tags[slot * TAG_WORDS + LO] !== pageLo ||
      this.#tags[slot * TAG_WORDS + HI] !== ((hi >>> 12) | stream.regime)
    )
      return false;
    const flags = this.#words[slot * ANSWER_WORDS + FLAGS]!;
    if (((flags >>> neededBit(stream, txn)) & 1) === 0) return false;
    this.answer(txn, stream);
    return true;
  }

  /** Answers an access of which the page is known to be here, as the kernel leaves it. */
  answer(txn: Transaction, stream: KnownStream): void {
    const slot = ((txn.iovaLo >>> 12) | (txn.iovaHi << 20)) & SLOT_MASK;
    const flags = this.#words[slot * ANSWER_WORDS + FLAGS]!;
    txn.pa = this.#doubles[slot * ANSWER_DOUBLES + BASE]! + (txn.iovaLo & 0xfff);
    txn.space = ((flags >>> SPACE_SHIFT) & 1) as SecurityState;
    txn.translationAttributes = flags >>> ATTRIBUTES_SHIFT;
    txn.overrides = stream.overrides;
  }

  /** Any stream but one whose TTB0 half is off or guarded by E0PD: what is answered here is not checked for that again. */
  takes({ cd }: StreamContext): boolean {
    return cd === undefined || (cd.ttb0 !== undefined && !cd.e0pd0);
  }

  /**
   * Takes a stream.
   * @param kernelContext where a kernel has its context; 0 where it has none.
   */
  remember(context: StreamContext, kernelContext = 0): void {
    const { ste, StreamID, SubstreamID, security } = context;
    const slot = StreamID & STREAM_MASK;
    const regime = context.tag << REGIME_SHIFT;
    const needs = needsOf(ste);
    const { overrides } = ste;
    this.#ownStreams[slot] = {
      StreamID,
      SubstreamID,
      security,
      regime,
      needs,
      overrides,
      context,
      kernelContext,
    };
    const words = this.#streamWords;
    const at = slot * STREAM_WORDS;
    words[at + STREAM_ID / 4] = StreamID;
    words[at + STREAM_SUBSTREAM / 4] = substreamKey(SubstreamID, security);
    words[at + STREAM_REGIME / 4] = regime;
    words[at + STREAM_NEEDS / 4] = needs;
  }

  fill(
    context: StreamContext,
    pageLo: number,
    pageHi: number,
    outPage: number,
    allowed: number,
    space: SecurityState,
    attributes: number,
    place: number,
  ): void {
    if ((pageHi & PAGE_HI_TTB1) !== 0) return;
    const slot = pageLo & SLOT_MASK;
    this.#tags[slot * TAG_WORDS + LO] = pageLo;
    this.#tags[slot * TAG_WORDS + HI] = pageHi | (context.tag << REGIME_SHIFT);
    this.#doubles[slot * ANSWER_DOUBLES + BASE] = outPage * 4096;
    this.#words[slot * ANSWER_WORDS + FLAGS] =
      allowed | (space << SPACE_SHIFT) | (attributes << ATTRIBUTES_SHIFT);
    this.#words[slot * ANSWER_WORDS + PLACE] = place;
  }

  /** @param place where a page lies in the kernel's memory; 0 for one that does not. */
  setPlace(pageLo: number, place: number): void {
    this.#words[(pageLo & SLOT_MASK) * ANSWER_WORDS + PLACE] = place;
  }

  /** Drops whatever is in the slot of a page. */
  dropPage(pageLo: number): void {
    this.#tags[(pageLo & SLOT_MASK) * TAG_WORDS + HI] = EMPTY;
  }

  dropPages(): void {
    this.#clear(this.#offset + FIRST_TAGS, FIRST_SLOTS * FIRST_TAG_BYTES);
  }

  dropStreams(): void {
    this.#ownStreams.fill(undefined);
    this.#clear(this.#offset, FIRST_OPEN);
  }

  /** Forgets all pages, at once: without streams nothing is found. What that leaves is cleared by `settle`. */
  forgetPages(): void {
    this.#streams = NO_STREAMS;
    this.#streamWords[OPEN] = 0;
    this.#pagesAreStale = true;
  }

  /** The same with the streams. */
  forget(): void {
    this.forgetPages();
    this.#streamsAreStale = true;
  }

  /** The stream of an access for which none was found, after what was forgotten has been cleared. */
  settledStream(txn: Transaction): KnownStream | undefined {
    this.settle();
    return this.stream(txn);
  }

  /** Clears once, however often everything was forgotten. Nothing may be put in before. */
  settle(): void {
    if (!this.#pagesAreStale) return;
    this.dropPages();
    if (this.#streamsAreStale) this.dropStreams();
    this.#pagesAreStale = this.#streamsAreStale = false;
    this.#streams = this.#ownStreams;
    this.#streamWords[OPEN] = 1;
  }
}

type Clear = (offset: number, sizeBytes: number) => void;

function filler(memory: ArrayBufferLike): Clear {
  const bytes = new Uint8Array(memory);
  return (offset, sizeBytes) => void bytes.fill(0xff, offset, offset + sizeBytes);
}

/** Number of the permission bit that an access needs. Shifts, as three branches cost a nanosecond more. */
export function neededBit({ needs }: KnownStream, { write, instruction, privileged }: Transaction): number {
  const kind = (write ? 1 : 0) | (instruction ? 2 : 0) | (privileged ? 4 : 0);
  return (needs >>> (4 * kind)) & 0xf;
}

/** STREAM_SUBSTREAM. */
export function substreamKey(SubstreamID: number, security: SecurityState): number {
  return ((SubstreamID + 1) << 1) | security;
}

/** The permission that an access needs, after STE.PRIVCFG and INSTCFG (IHI 0070 5.2). */
export function neededPermission(
  { privcfg, instcfg }: Ste,
  write: boolean,
  instruction: boolean,
  privileged: boolean,
): number {
  const asPrivileged = privcfg >= 2 ? privcfg === 3 : privileged;
  const asInstruction = instcfg >= 2 ? instcfg === 3 : instruction;
  return accessBit(write, asInstruction, asPrivileged);
}

function needsOf(ste: Ste): number {
  let needs = 0;
  for (let kind = 0; kind < 8; kind++) {
    const need = neededPermission(ste, (kind & 1) !== 0, (kind & 2) !== 0, (kind & 4) !== 0);
    needs |= (31 - Math.clz32(need)) << (4 * kind);
  }
  return needs;
}
