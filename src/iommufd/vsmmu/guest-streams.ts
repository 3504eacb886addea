/**
 * What the guest's Stream table says of a stream, now. An ordinary TBU without caches looks it up, for an access with a
 * SubstreamID that no stream has: the access ends as soon as the STE is known, and nothing is translated.
 */
import { C_BAD_SUBSTREAMID, EVENT } from '../../arch/events.js';
import { get } from '../../arch/layout.js';
import { NON_SECURE } from '../../arch/security.js';
import type { SmmuConfig } from '../../smmu/config.js';
import type { EventChannel } from '../../smmu/maintenance.js';
import type { Spaces } from '../../smmu/smmu.js';
import { StallTable } from '../../smmu/stalls.js';
import { Tbu } from '../../smmu/tbu/tbu.js';
import type { TranslationObserver } from '../../smmu/tbu/translation-observer.js';
import { Transaction } from '../../smmu/transaction.js';

/** One more than the 20 bits of a SubstreamID hold. */
const NO_SUBSTREAM_ID = 2 ** 20;

export type GuestStream =
  /** A valid STE that lets accesses in. */
  | { readonly kind: 'ste'; readonly words: Int32Array }
  /** Accesses abort and are recorded so. */
  | { readonly kind: 'error'; readonly record: Int32Array }
  /** Accesses abort, and nothing tells. */
  | { readonly kind: 'silent' };

export class GuestStreams {
  readonly #tbu: Tbu;
  readonly #access = new Transaction();
  #ste: Int32Array | undefined;
  #record: Int32Array | undefined;

  constructor(config: SmmuConfig, spaces: Spaces) {
    const events: EventChannel = {
      record: (words) => {
        this.#record = words.slice(0, 8);
      },
    };
    const uncached = { ...config, tlb: 0, configCache: 0 };
    this.#tbu = new Tbu(uncached, spaces, events, new StallTable(config.idr).range());
    this.#tbu.observe(this.#observer());
    this.#access.SEC_SID = NON_SECURE;
    this.#access.SubstreamID = NO_SUBSTREAM_ID;
  }

  /** Takes the bank's controls (maintenance.ts). */
  handle(message: Int32Array): void {
    this.#tbu.handle(message);
  }

  read(StreamID: number): GuestStream {
    this.#ste = undefined;
    this.#record = undefined;
    this.#access.StreamID = StreamID;
    this.#tbu.translate(this.#access);
    const record = this.#record as Int32Array | undefined;
    if (record === undefined) return { kind: 'silent' };
    if (get(record, EVENT.EventNumber) === C_BAD_SUBSTREAMID) return { kind: 'ste', words: this.#ste! };
    return { kind: 'error', record };
  }

  #observer(): TranslationObserver {
    const ignore = () => {};
    return {
      structure: (name, _address, _pa, words) => {
        if (name === 'STE') this.#ste = words.slice();
      },
      configHit: ignore,
      bank: ignore,
      context: ignore,
      tlbHit: ignore,
      event: ignore,
      descriptor: ignore,
      tableHit: ignore,
      stage2: ignore,
      stage2Hit: ignore,
      leaf: ignore,
      update: ignore,
      fault: ignore,
    };
  }
}
