/**
 * The TBU: translates accesses beside the device that makes them (IHI 0070 3.3, 3.4, 3.12, 7.2, 13).
 *
 * A hit touches no lock and no other thread: the first level of the TLB answers it (first-level.ts). Everything that is not
 * a plain hit goes on to `#translateSlowly`, which reads top to bottom as chapter 3.4 does.
 */
import { CLASS_IN, F_ADDR_SIZE, F_PERMISSION, F_TRANSLATION } from '../../arch/events.js';
import { get } from '../../arch/layout.js';
import { S_GBPA_FIELDS as GBPA } from '../../arch/register-fields.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../arch/security.js';
import { CONFIG_BYPASS } from '../../arch/structures.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { Workspace } from '../../memory/guest-memory.js';
import type { SmmuConfig } from '../config.js';
import { type Features, readFeatures } from '../features.js';
import {
  BANK_SECURITY,
  type EventChannel,
  MESSAGE_BANK,
  MESSAGE_COMMAND,
  MESSAGE_INVALIDATE_ALL,
} from '../maintenance.js';
import { RESOLVED_ABORT, RESOLVED_RAZ_WI, RESOLVED_RETRY, type StallRange } from '../stalls.js';
import { type CacheChoice, type Commit, StateError } from '../state.js';
import { ABORT, OK, type Outcome, RAZ_WI, STALL, type Transaction } from '../transaction.js';
import { outputSpace, overridesWord } from './attributes.js';
import { type BankControls, decodeBank } from './bank-controls.js';
import { ConfigCache, SILENT } from './config-cache.js';
import type { DirectStream, StreamKey } from './direct-stream.js';
import { Faults } from './faults.js';
import { FirstLevel, type KnownStream, neededBit, neededPermission } from './first-level.js';
import { pageHiOf, pageLoOf, selectTable } from './input-address.js';
import { Invalidator } from './invalidation.js';
import { FAULT_TRANSLATION, FILLED, STAGE_1, STAGE_2, UNPLACED } from './kernel-layout.js';
import { findEntry, type Origin, OriginLog } from './origin.js';
import { EXECUTE } from './permission.js';
import { REGIMES_MAX, RegimeNumbers } from './regime-numbers.js';
import { Speculation } from './speculation.js';
import type { Regime, StreamContext } from './stream-context.js';
import type { TbuCounters, TbuState } from './tbu-state.js';
import { Tlb } from './tlb.js';
import { TranslationKernel } from './translation-kernel.js';
import type { TranslationObserver } from './translation-observer.js';
import { unlessOutgrown, Walker } from './walker.js';

const TWO_32 = 0x1_0000_0000;

export class Tbu {
  readonly #features: Features;
  readonly #stalls: StallRange;
  readonly #tlb: Tlb;
  readonly #walker: Walker;
  readonly #config: ConfigCache;
  readonly #invalidator: Invalidator;
  readonly #speculation: Speculation;
  /** Whether neighbours are filled after a miss. */
  readonly #speculates: boolean;
  /** Whether translations are kept that do not permit the access. */
  readonly #keepsDenied: boolean;
  /** Absent where it is not for these caches. */
  readonly #kernel: TranslationKernel | undefined;
  /** The kernel, but while somebody watches: nothing is told of what it does. */
  #unwatchedKernel: TranslationKernel | undefined;
  /** Without the first level, the second sees every use: what `lru` goes by. */
  readonly #hasFirstLevel: boolean;

  readonly #first: FirstLevel;
  /** 2^OAS and 2^IAS. */
  readonly #oasLimit: number;
  readonly #iasLimit: number;
  readonly #regimes = new RegimeNumbers();

  /** The stream that was looked up last; for speculation. */
  #lastContext: StreamContext | undefined;

  readonly #faults: Faults;
  #observer: TranslationObserver | undefined;

  /** Transactions that the first level answered, and those that the kernel walked for; the counts below are without them. */
  #known = 0;
  #kernelMisses = 0;
  #others = 0;
  #hits = 0;
  #misses = 0;
  #aborts = 0;

  /** @param workspace of `workspaceBytes(config.tlb)` beside guest memory: plain translations are the kernel's then. */
  constructor(
    config: SmmuConfig,
    spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace],
    events: EventChannel,
    stalls: StallRange,
    workspace?: Workspace,
  ) {
    this.#features = readFeatures(config.idr);
    this.#stalls = stalls;
    this.#oasLimit = 2 ** this.#features.oas;
    this.#iasLimit = 2 ** this.#features.ias;
    this.#faults = new Faults(events, stalls, this.#oasLimit);
    const { caching = 'normal', replacement = 'oldest', cacheSeed = 0, speculativeFills = false } = config;
    const isSimple = caching === 'normal' && replacement === 'oldest' && !speculativeFills;
    if (workspace !== undefined && isSimple) {
      const { xnx } = this.#features;
      this.#kernel = new TranslationKernel(workspace, config.tlb, spaces, xnx);
    }
    this.#unwatchedKernel = this.#kernel;
    this.#first = this.#kernel?.first ?? new FirstLevel();
    this.#tlb = new Tlb(config.tlb, replacement, cacheSeed, this.#kernel?.tlbMemory);
    this.#walker = new Walker(this.#features, spaces, this.#tlb, caching !== 'normal');
    this.#config = new ConfigCache(this.#features, spaces, this.#walker, config, (regime) =>
      this.#numberOf(regime),
    );
    this.#speculation = new Speculation(this.#config, this.#walker, this.#tlb);
    this.#speculates = speculativeFills;
    this.#keepsDenied = caching !== 'normal' && this.#tlb.enabled;
    this.#hasFirstLevel = replacement !== 'lru' || Math.min(config.tlb, config.configCache) === Infinity;
    this.#invalidator = new Invalidator(this.#features, this.#config, this.#tlb);
  }

  get counters(): TbuCounters {
    this.#countInKernel();
    return {
      transactions: this.#transactions,
      hits: this.#known + this.#hits,
      misses: this.#misses + this.#kernelMisses,
      walks: this.#walker.walks + this.#kernelMisses,
      descriptorReads: this.#walker.descriptorReads,
      configFetches: this.#config.fetches,
      events: this.#faults.events,
      aborts: this.#aborts,
      stalls: this.#faults.stalled,
    };
  }

  /** Watches translations from now on, or stops watching. Nothing is told of first-level hits, so there are none. */
  observe(observer: TranslationObserver | undefined): void {
    this.#first.forget();
    this.#observer = observer;
    this.#walker.observer = observer;
    this.#config.observer = observer;
    this.#faults.observer = observer;
    this.#chooseKernel();
  }

  /** From now on remembers what each TLB entry was filled from, or forgets it. Fills pay for it, hits do not. */
  recordOrigins(on: boolean): void {
    this.#tlb.onFill = undefined;
    this.#walker.origins = on ? new OriginLog(this.#tlb) : undefined;
    this.#chooseKernel();
  }

  #chooseKernel(): void {
    const isWatched = this.#observer !== undefined || this.#walker.origins !== undefined;
    this.#unwatchedKernel = isWatched ? undefined : this.#kernel;
  }

  /** Where the TLB entry comes from that answers an access now: undefined without one, or if its fill was not recorded. */
  originOf(txn: Transaction): Origin | undefined {
    const context = this.#config.lookup(txn.StreamID, txn.SubstreamID, txn.SEC_SID);
    const entry = context === undefined ? -1 : findEntry(this.#tlb, context, txn);
    return entry < 0 ? undefined : this.#walker.origins?.of(entry);
  }

  /** Takes one message of the TCU (maintenance.ts). Between two transactions only. */
  handle(message: Int32Array): void {
    switch (message[0]) {
      case MESSAGE_COMMAND:
        // What is said of streams stands after a TLBI: accesses go on from there.
        if (this.#invalidator.command(message)) break;
        this.#first.forgetPages();
        return;
      case MESSAGE_BANK:
        this.#setBank(message[BANK_SECURITY] as SecurityState, decodeBank(message, this.#features));
        break;
      case MESSAGE_INVALIDATE_ALL:
        this.dropCaches();
        break;
      default:
        throw new Error(`TBU: unknown maintenance message ${message[0]}`);
    }
    this.#first.forget();
  }

  /**
   * The translation controls are no part of it: the TCU tells them again.
   * @param caches whether what is cached is kept, to the last replacement, or left behind.
   */
  save(caches: CacheChoice): TbuState {
    const rest = { counters: this.counters, nextStag: this.#stalls.next };
    if (caches === 'dropped') return rest;
    const caching = { tlb: this.#tlb.save(), config: this.#config.save(), regimes: this.#regimes.keys };
    return { ...rest, caches: caching };
  }

  /** @throws StateError */
  prepare({ counters, nextStag, caches }: TbuState): Commit {
    const commits = caches && [this.#tlb.prepare(caches.tlb), this.#config.prepare(caches.config)];
    const regimes = caches?.regimes ?? [];
    if (regimes.length > REGIMES_MAX) {
      throw new StateError(`${regimes.length} translation regimes where ${REGIMES_MAX} fit`);
    }
    if (new Set(regimes).size < regimes.length) throw new StateError('a translation regime with two numbers');
    return () => {
      this.dropCaches();
      this.#regimes.load(regimes);
      for (const commit of commits ?? []) commit();
      this.#walker.origins?.clear();
      this.#stalls.next = nextStag;
      this.#setCounters(counters);
    };
  }

  #setCounters(counters: TbuCounters): void {
    this.#known = 0;
    this.#kernelMisses = 0;
    this.#others = counters.transactions;
    this.#hits = counters.hits;
    this.#misses = counters.misses;
    this.#faults.events = counters.events;
    this.#aborts = counters.aborts;
    this.#faults.stalled = counters.stalls;
    this.#walker.walks = counters.walks;
    this.#walker.descriptorReads = counters.descriptorReads;
    this.#config.fetches = counters.configFetches;
  }

  #setBank(security: SecurityState, controls: BankControls): void {
    this.#config.setBank(security, controls);
    if (security === SECURE) this.#walker.sif = controls.sif;
  }

  /** Forgets everything cached; what is in memory stands. */
  dropCaches(): void {
    this.#countInKernel();
    this.#config.invalidateAll(NON_SECURE);
    this.#config.invalidateAll(SECURE);
    this.#tlb.invalidateAll();
    this.#regimes.clear();
    this.#first.forget();
  }

  get #transactions(): number {
    this.#countInKernel();
    return this.#known + this.#others;
  }

  /**
   * Translates one access. It must not cross a 4 KiB boundary; callers split.
   * @returns the outcome, which is in the transaction as well, with pa and space when it is OK.
   */
  translate(txn: Transaction): Outcome {
    const stream = this.#first.stream(txn);
    if (stream !== undefined && this.#first.translate(txn, stream)) {
      this.#known++;
      txn.outcome = OK;
      return OK;
    }
    return this.#translateUnknown(txn, stream);
  }

  /** The data of a stream's accesses, beside `translate`; undefined without a kernel. */
  direct(stream: StreamKey): DirectStream | undefined {
    return this.#kernel?.direct(stream);
  }

  /**
   * What the first level does not answer. @param known the access's stream, if that was found there.
   * One function for all of it: V8 would inline a smaller one in place of parts of a hit, which then takes 3 ns more.
   */
  #translateUnknown(txn: Transaction, known: KnownStream | undefined): Outcome {
    this.#others++;
    const stream = known ?? this.#first.settledStream(txn);
    if (stream === undefined) {
      const outcome = this.#speculates ? this.#translateAndSpeculate(txn) : this.#translateSlowly(txn);
      return this.#concluded(txn, outcome);
    }
    const { context } = stream;
    const kernel = this.#unwatchedKernel;
    if (kernel === undefined) return this.#concluded(txn, this.#translateBySteps(txn, context));
    const need = 1 << neededBit(stream, txn);
    const answer = kernel.translate(stream.kernelContext, txn.iovaLo, txn.iovaHi, need);
    if (answer >= 0) {
      if ((answer & FILLED) !== 0) this.#kernelMisses++;
      else this.#hits++;
      this.#first.answer(txn, stream);
      if ((answer & UNPLACED) !== 0) {
        // The kernel itself knows the place of pages in the region of the tables only.
        const place = kernel.placeOf(txn.pa - (txn.iovaLo & 0xfff), txn.space);
        this.#first.setPlace((txn.iovaLo >>> 12) | (txn.iovaHi << 20), place);
      }
      txn.outcome = OK;
      return OK;
    }
    if (answer > FAULT_TRANSLATION) return this.#concluded(txn, this.#translateBySteps(txn, context));
    this.#kernelMisses++;
    // The four have numbers in a row.
    const event = F_TRANSLATION + FAULT_TRANSLATION - answer;
    return this.#concluded(txn, this.#faults.stage1(txn, context, need, event));
  }

  /**
   * Asks what has become of a stalled access: STALL while nobody has decided, ABORT or RAZ_WI where it was terminated. One
   * that is to be retried is translated as though it had just arrived, and may stall again (IHI 0070 3.12.2, 4.7.1).
   * @param txn as `translate` left it.
   */
  resume(txn: Transaction): Outcome {
    switch (this.#stalls.collect(txn.stag)) {
      case RESOLVED_RETRY:
        return this.translate(txn);
      case RESOLVED_ABORT:
        return this.#concluded(txn, ABORT);
      case RESOLVED_RAZ_WI:
        return this.#concluded(txn, RAZ_WI);
      default:
        return STALL;
    }
  }

  #concluded(txn: Transaction, outcome: Outcome): Outcome {
    // A walk that ends in a fault may have kept stage 2 entries for its tables.
    this.#followEviction();
    txn.outcome = outcome;
    if (outcome === ABORT || outcome === RAZ_WI) this.#aborts++;
    return outcome;
  }

  #need({ ste }: StreamContext, { write, instruction, privileged }: Transaction): number {
    return neededPermission(ste, write, instruction, privileged);
  }

  #translateAndSpeculate(txn: Transaction): Outcome {
    const fetches = this.#config.fetches;
    const misses = this.#misses;
    this.#lastContext = undefined;
    const outcome = this.#translateSlowly(txn);
    if (this.#config.enabled && this.#config.fetches !== fetches) this.#speculation.fillConfiguration(txn);
    const context = this.#lastContext;
    if (context !== undefined && this.#tlb.enabled && this.#misses !== misses) {
      this.#speculation.fillNeighbour(context, txn.iovaLo, txn.iovaHi);
      this.#followEviction();
    }
    return outcome;
  }

  #translateSlowly(txn: Transaction): Outcome {
    if (this.#walker.origins !== undefined) this.#walker.origins.access = this.#transactions;
    const security = txn.SEC_SID === SECURE && this.#features.secureImpl ? SECURE : NON_SECURE;
    const bank = this.#config.bank(security);
    this.#observer?.bank(bank, security);
    if (!bank.smmuen) return this.#globalBypass(txn, security, bank);
    const context = this.#config.lookup(txn.StreamID, txn.SubstreamID, security);
    this.#followReplacedStream();
    if (context === undefined) return this.#configurationFailure(txn, security);
    this.#rememberStream(context);
    this.#observer?.context(context, this.#need(context, txn));
    return this.#translateBySteps(txn, context);
  }

  #translateBySteps(txn: Transaction, context: StreamContext): Outcome {
    return context.cd === undefined ? this.#stage1Bypass(txn, context) : this.#stage1(txn, context);
  }

  /**
   * SMMUEN == 0: GBPA decides. S_GBPA has all its fields, and NSCFG where it is RES0; an address beyond the OAS aborts without
   * an event (3.4, 6.3.14, 6.3.63).
   */
  #globalBypass(txn: Transaction, security: SecurityState, { gbpa, sif }: BankControls): Outcome {
    const fields = [gbpa];
    if (get(fields, GBPA.ABORT) === 1 || !this.#fitsOas(txn)) return ABORT;
    const overrides = this.#features.attrPermsOvr;
    const space = outputSpace(security, overrides ? get(fields, GBPA.NSCFG) : 0, txn.ns);
    const instcfg = overrides ? get(fields, GBPA.INSTCFG) : 0;
    const instruction = !txn.write && (instcfg >= 2 ? instcfg === 3 : txn.instruction);
    if (sif && instruction && space === NON_SECURE) return ABORT;
    return this.#pass(txn, space, overridesWord(fields, GBPA, this.#features));
  }

  #fitsOas(txn: Transaction): boolean {
    return (txn.iovaHi >>> 0) * TWO_32 + (txn.iovaLo >>> 0) < this.#oasLimit;
  }

  #pass(txn: Transaction, space: SecurityState, overrides: number): Outcome {
    // An IAS of 40 bits may be more than the OAS: the address is cut to that (3.4).
    const pa = ((txn.iovaHi >>> 0) * TWO_32 + (txn.iovaLo >>> 0)) % this.#oasLimit;
    return this.#proceed(txn, pa, space, 0, overrides);
  }

  #proceed(
    txn: Transaction,
    pa: number,
    space: SecurityState,
    attributes: number,
    overrides: number,
  ): Outcome {
    txn.pa = pa;
    txn.space = space;
    txn.translationAttributes = attributes;
    txn.overrides = overrides;
    return OK;
  }

  #configurationFailure(txn: Transaction, security: SecurityState): Outcome {
    const { failure, fetchAddr, fetching } = this.#config;
    if (failure === SILENT) return ABORT;
    if (failure !== 0) return this.#faults.configuration(txn, security, failure, fetchAddr);
    // The fetch of a CD has failed in stage 2: there is no context yet but the one that it was for.
    const need = this.#need(fetching!, txn);
    return this.#faults.walk(txn, fetching!, security, need, this.#walker);
  }

  /** Stage 1 does not translate: STE bypass, S1DSS bypass, or stage 2 alone (3.4). */
  #stage1Bypass(txn: Transaction, context: StreamContext): Outcome {
    const stage2 = context.ste.stage2;
    const need = this.#need(context, txn);
    const ipa = (txn.iovaHi >>> 0) * TWO_32 + (txn.iovaLo >>> 0);
    // A stream that bypasses all stages by its STE has the OAS for a limit, one with any stage the IAS (3.4).
    if (ipa >= (context.ste.config === CONFIG_BYPASS ? this.#oasLimit : this.#iasLimit)) {
      // That is a stage 1 Address Size fault even without stage 1; no A or R bit governs it.
      return this.#faults.ungoverned(txn, context.security, need, F_ADDR_SIZE);
    }
    const space = outputSpace(context.security, context.ste.nscfg, txn.ns);
    if (this.#walker.sif && context.security === SECURE && space === NON_SECURE && (need & EXECUTE) !== 0) {
      return this.#faults.ungoverned(txn, context.security, need, F_PERMISSION);
    }
    if (stage2 === undefined) return this.#pass(txn, space, context.ste.overrides);
    const page = Math.floor(ipa / 4096);
    const known = this.#tlb.lookup(
      STAGE_2,
      context.world,
      context.vmid,
      space,
      0,
      page | 0,
      (page / TWO_32) | 0,
    );
    if (known >= 0) this.#hits++;
    else {
      this.#misses++;
      this.#walker.walks++;
    }
    if (!this.#walker.translateStage2(context, ipa, space, need, CLASS_IN)) {
      return this.#faults.walk(txn, context, context.security, need, this.#walker);
    }
    const { outPage, stage2Permissions, stage2Attributes } = this.#walker;
    // A Secure stream has two IPA spaces, of which an access's NS chooses one: the first level does not know that.
    if (context.security === NON_SECURE && this.#tlb.enabled) {
      this.#followEviction();
      const pageHi = (page / TWO_32) | 0;
      this.#fillFirstLevel(
        context,
        page | 0,
        pageHi,
        outPage,
        stage2Permissions,
        NON_SECURE,
        stage2Attributes,
      );
    }
    const pa = outPage * 4096 + (txn.iovaLo & 0xfff);
    return this.#proceed(txn, pa, this.#walker.space, stage2Attributes, context.ste.overrides);
  }

  /** Accesses of a stream that is kept are seen by no observer, no speculation, and not by a cache that goes by use. */
  #rememberStream(context: StreamContext): void {
    if (!this.#config.enabled) return;
    this.#lastContext = context;
    if (this.#observer !== undefined || this.#speculates || !this.#hasFirstLevel) return;
    // In the kernel a context takes the place of the stream's that the first level replaces: none comes there alone.
    if (this.#first.takes(context)) this.#first.remember(context, this.#kernel?.contextAt(context));
  }

  #followReplacedStream(): void {
    if (this.#config.replaced) this.#first.dropStreams();
    this.#config.replaced = false;
  }

  #stage1(txn: Transaction, context: StreamContext): Outcome {
    const cd = context.cd!;
    const lo = txn.iovaLo;
    const hi = txn.iovaHi;
    const half = selectTable(context, lo, hi);
    const need = this.#need(context, txn);
    const e0pd = (half === 1 ? cd.e0pd1 : cd.e0pd0) && (need & 7) !== 0;
    if (half === -1 || e0pd) return this.#faults.stage1(txn, context, need, F_TRANSLATION);
    const pageLo = pageLoOf(lo, hi);
    const pageHi = pageHiOf(cd, half, hi);
    const { world, vmid, asid, aset } = context;
    const found = this.#tlb.lookup(STAGE_1, world, vmid, asid, aset, pageLo, pageHi);
    const index = unlessOutgrown(this.#tlb, found, need);
    if (index >= 0) {
      this.#hits++;
      const outPage = this.#tlb.outPage(index, pageLo);
      const own = this.#tlb.own(index);
      const parent = this.#tlb.parent(index);
      const origin = this.#walker.origins?.of(index);
      this.#observer?.tlbHit(outPage, own, parent, this.#tlb.sizeBits(index), origin);
      if ((own & need) === 0) return this.#faults.stage1(txn, context, need, F_PERMISSION);
      if ((parent & need) === 0) {
        const ipa = this.#tlb.ipaPage(index, pageLo) * 4096;
        const ipaSpace = this.#tlb.ipaSpace(index) as SecurityState;
        return this.#faults.stage2Permission(txn, context, need, ipa, ipaSpace);
      }
      const allowed = own & parent;
      const space = this.#tlb.space(index) as SecurityState;
      const attributes = this.#tlb.attributes(index);
      this.#fillFirstLevel(context, pageLo, pageHi, outPage, allowed, space, attributes);
      return this.#proceed(txn, outPage * 4096 + (lo & 0xfff), space, attributes, context.ste.overrides);
    }
    this.#misses++;
    if (this.#walker.origins !== undefined) this.#walker.origins.access = this.#transactions;
    const fill = this.#walker.fill;
    const table = half === 1 ? cd.ttb1! : cd.ttb0!;
    if (!this.#walker.translate(context, table, pageLo, pageHi, lo, hi, need)) {
      if (this.#keepsDenied && this.#walker.isWhole) {
        this.#tlb.fill(fill);
        this.#followEviction();
      }
      return this.#faults.walk(txn, context, context.security, need, this.#walker);
    }
    if (this.#tlb.enabled) {
      this.#tlb.fill(fill);
      this.#followEviction();
      const allowed = fill.own & fill.parent;
      this.#fillFirstLevel(
        context,
        pageLo,
        pageHi,
        fill.outPage,
        allowed,
        this.#walker.space,
        fill.attributes,
      );
    }
    const pa = this.#walker.outPage * 4096 + (lo & 0xfff);
    return this.#proceed(txn, pa, this.#walker.space, fill.attributes, context.ste.overrides);
  }

  /** The kernel counts in the TLB, and forgets it with that. */
  #countInKernel(): void {
    this.#walker.descriptorReads += this.#tlb.takeKernelReads();
    this.#known += this.#tlb.takeDirectAccesses();
  }

  /** The first level is a subset of the second: what that one pushed out goes here too. */
  #followEviction(): void {
    const { evictedBits } = this.#tlb;
    if (evictedBits === 0) return;
    if (evictedBits === 12) this.#first.dropPage(this.#tlb.evictedPageLo);
    else this.#first.dropPages();
    this.#tlb.forgetEvictions();
  }

  #fillFirstLevel(
    context: StreamContext,
    pageLo: number,
    pageHi: number,
    outPage: number,
    allowed: number,
    space: SecurityState,
    attributes: number,
  ): void {
    if (this.#observer !== undefined || !this.#hasFirstLevel) return;
    const place = this.#kernel?.placeOf(outPage * 4096, space) ?? 0;
    this.#first.fill(context, pageLo, pageHi, outPage, allowed, space, attributes, place);
  }

  /** A regime's number. When they run out all that is tagged with one is forgotten. */
  #numberOf(regime: Regime): number {
    const number = this.#regimes.of(regime);
    if (number >= 0) return number;
    this.#regimes.clear();
    this.#config.invalidateAll(NON_SECURE);
    this.#config.invalidateAll(SECURE);
    this.#first.dropPages();
    this.#first.dropStreams();
    return this.#regimes.of(regime);
  }
}
