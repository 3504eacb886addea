/**
 * The software's answer to stall records (IHI 0070 3.12.2, 3.12.4): what was left to be mapped on first use is mapped
 * and the access retried; any other access is terminated with an abort.
 */
import { EVENT, EVENTS, F_TRANSLATION } from '../arch/events.js';
import { get, getBig } from '../arch/layout.js';
import type { Context } from './context.js';
import type { SmmuDriver } from './driver.js';
import type { EventRecord } from './event-queue.js';
import type { Permissions } from './page-tables.js';

/** Memory that a context has, and whose page tables do not map it before an access asks for it. */
export interface DeferredRange {
  readonly context: Context;
  readonly iova: bigint;
  readonly sizeBytes: number;
  readonly pa: number;
  readonly permissions: Permissions;
}

export class FaultHandler {
  readonly #driver: SmmuDriver;
  readonly #rangesOf: (StreamID: number) => readonly DeferredRange[];
  readonly #onMap: (StreamID: number, address: bigint) => void;
  /** Pages that have been mapped, by context. */
  readonly #mapped = new WeakMap<Context, Set<bigint>>();

  /**
   * @param rangesOf what may be mapped for a stream, as of now.
   * @param onMap told about each page that is mapped: an address in it, and who asked for it.
   */
  constructor(
    driver: SmmuDriver,
    rangesOf: (StreamID: number) => readonly DeferredRange[],
    onMap: (StreamID: number, address: bigint) => void = () => {},
  ) {
    this.#driver = driver;
    this.#rangesOf = rangesOf;
    this.#onMap = onMap;
  }

  /**
   * Answers a record; one that is not of a stalled access is left alone.
   * @returns what was done.
   */
  handle({ number, StreamID, words }: EventRecord): 'none' | 'retry' | 'abort' {
    const { Stall } = EVENTS.get(number)?.fields ?? {};
    if (Stall === undefined || get(words, Stall) === 0) return 'none';
    const mapped = number === F_TRANSLATION && this.map(StreamID, getBig(words, EVENT.InputAddr));
    const action = mapped ? 'retry' : 'abort';
    this.#driver.resume(StreamID, get(words, EVENT.STAG), action);
    return action;
  }

  /** Maps the page of an address. @returns false where there is none to map. */
  map(StreamID: number, address: bigint): boolean {
    const ranges = this.#rangesOf(StreamID);
    const range = ranges.find(({ iova, sizeBytes }) => iova <= address && address < iova + BigInt(sizeBytes));
    if (range === undefined) return false;
    const { context, iova, pa, permissions } = range;
    const pageBytes = context.tables.granuleBytes;
    const page = address - (address % BigInt(pageBytes));
    const mapped = this.#mapped.get(context) ?? new Set();
    this.#mapped.set(context, mapped);
    // Another access has asked for the page before.
    if (mapped.has(page)) return true;
    mapped.add(page);
    this.#driver.map(context, page, pa + Number(page - iova), pageBytes, permissions);
    this.#onMap(StreamID, address);
    return true;
  }
}
