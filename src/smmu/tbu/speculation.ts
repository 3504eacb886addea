/**
 * Fills of a TBU's caches that no access waits for (IHI 0070 3.14, 3.21.1, 3.21.3): they record nothing, whatever comes of
 * them, and observers are not told. Only what can be reached is read, and only what is valid is kept of translations.
 * They update no descriptor (choice: speculative-updates): one that would have to be is not kept.
 */
import { CLASS_IN } from '../../arch/events.js';
import { NON_SECURE } from '../../arch/security.js';
import type { Transaction } from '../transaction.js';
import type { ConfigCache } from './config-cache.js';
import { pageHiOf, pageLoOf, selectTable } from './input-address.js';
import { STAGE_1 } from './kernel-layout.js';
import { ALL } from './permission.js';
import type { StreamContext } from './stream-context.js';
import type { Tlb } from './tlb.js';
import type { Walker } from './walker.js';

const PAGE_BYTES = 4096;
const TWO_32 = 0x1_0000_0000;

export class Speculation {
  readonly #config: ConfigCache;
  readonly #walker: Walker;
  readonly #tlb: Tlb;

  constructor(config: ConfigCache, walker: Walker, tlb: Tlb) {
    this.#config = config;
    this.#walker = walker;
    this.#tlb = tlb;
  }

  /** The STE and the CD beside those of an access. */
  fillConfiguration({ StreamID, SubstreamID, SEC_SID }: Transaction): void {
    const { observer } = this.#config;
    this.#config.observer = undefined;
    const walking = this.#walker.observer;
    this.#walker.observer = undefined;
    this.#walker.speculative = true;
    this.#config.lookup((StreamID ^ 1) >>> 0, SubstreamID, SEC_SID);
    this.#config.lookup(StreamID, SubstreamID < 0 ? 1 : SubstreamID ^ 1, SEC_SID);
    this.#walker.speculative = false;
    this.#config.observer = observer;
    this.#walker.observer = walking;
  }

  /** The translation of the page beside an access's, whatever it permits; nothing where there is one already. */
  fillNeighbour(context: StreamContext, accessLo: number, hi: number): void {
    const lo = accessLo ^ PAGE_BYTES;
    const { observer } = this.#walker;
    this.#walker.observer = undefined;
    this.#walker.speculative = true;
    if (context.cd !== undefined) this.#fillStage1(context, lo, hi);
    else if (context.ste.stage2 !== undefined && context.security === NON_SECURE) {
      const ipa = (hi >>> 0) * TWO_32 + (lo >>> 0);
      this.#walker.translateStage2(context, ipa, NON_SECURE, ALL, CLASS_IN);
    }
    this.#walker.speculative = false;
    this.#walker.observer = observer;
  }

  #fillStage1(context: StreamContext, lo: number, hi: number): void {
    const half = selectTable(context, lo, hi);
    if (half === -1) return;
    const { world, vmid, asid, aset } = context;
    const cd = context.cd!;
    const pageLo = pageLoOf(lo, hi);
    const pageHi = pageHiOf(cd, half, hi);
    if (this.#tlb.lookup(STAGE_1, world, vmid, asid, aset, pageLo, pageHi) >= 0) return;
    const table = half === 1 ? cd.ttb1! : cd.ttb0!;
    if (this.#walker.translate(context, table, pageLo, pageHi, lo, hi, ALL))
      this.#tlb.fill(this.#walker.fill);
  }
}
