/**
 * The data of a stream's accesses, moved in the call of the kernel (translate.as.ts) that finds where they are: 64 bytes that
 * cost 36 ns as a translation and a copy cost 18 so.
 */
import { NON_SECURE, SECURE } from '../../arch/security.js';
import type { Refusals } from '../../memory/address-space.js';
import type { Transaction } from '../transaction.js';
import { substreamKey } from './first-level.js';

export type StreamKey = Pick<Transaction, 'StreamID' | 'SubstreamID' | 'SEC_SID'>;

export type Move = (
  tlb: number,
  StreamID: number,
  substream: number,
  lo: number,
  hi: number,
  at: number,
  sizeBytes: number,
) => number;

export class DirectStream {
  readonly #read: Move;
  readonly #write: Move;
  readonly #tlb: number;
  readonly #nonSecure: Refusals;
  readonly #secure: Refusals;
  readonly #StreamID: number;
  readonly #substream: number;

  constructor(
    kernel: { readonly read: Move; readonly write: Move },
    tlb: number,
    refusals: readonly [Refusals, Refusals],
    { StreamID, SubstreamID, SEC_SID }: StreamKey,
  ) {
    this.#read = kernel.read;
    this.#write = kernel.write;
    this.#tlb = tlb;
    this.#nonSecure = refusals[NON_SECURE];
    this.#secure = refusals[SECURE];
    this.#StreamID = StreamID;
    this.#substream = substreamKey(SubstreamID, SEC_SID);
  }

  /**
   * Reads for an unprivileged access, where the first level knows that it is permitted and the page lies in the kernel's memory.
   * The access must not cross a 4 KiB boundary. It is counted as a transaction and a hit.
   * @param into byte offset in that memory of `sizeBytes` bytes, 1 to 4096.
   * @returns false when nothing was done: a translation tells more.
   */
  read(lo: number, hi: number, into: number, sizeBytes: number): boolean {
    // Of memory that refuses accesses the kernel knows nothing. (In a private getter this takes 3 ns more.)
    if (this.#nonSecure.armed || this.#secure.armed) return false;
    return this.#read(this.#tlb, this.#StreamID, this.#substream, lo, hi, into, sizeBytes) !== 0;
  }

  /** The same for a write. */
  write(lo: number, hi: number, from: number, sizeBytes: number): boolean {
    if (this.#nonSecure.armed || this.#secure.armed) return false;
    return this.#write(this.#tlb, this.#StreamID, this.#substream, lo, hi, from, sizeBytes) !== 0;
  }
}
