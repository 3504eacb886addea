/**
 * Configuration look-up of a TBU: StreamID to STE to CD (IHI 0070 3.3.1, 3.3.2, 5.1-5.4), and its cache.
 *
 * An STE is cached with the CDs that were fetched through it, because CFGI_STE takes both and a CD is known by
 * (StreamID, SubstreamID). Normally L1STDs and L1CDs are not cached, and neither is a structure that made its look-up
 * fail: software that makes an invalid structure valid is then served at once, as recorded drivers expect. The caching
 * `stale` keeps L1STDs and L1CDs, `maximally-stale` whatever was fetched (3.21.3). What an external abort or stage 2
 * kept from being fetched is never remembered. The capacity counts STEs, and L1STDs by themselves.
 */
import {
  C_BAD_CD,
  C_BAD_STE,
  C_BAD_STREAMID,
  C_BAD_SUBSTREAMID,
  CLASS_CD,
  F_CD_FETCH,
  F_STE_FETCH,
  F_STREAM_DISABLED,
} from '../../arch/events.js';
import { STALL_MODEL } from '../../arch/id-registers.js';
import { get, getAddress } from '../../arch/layout.js';
import { SECURITY_STATES, type SecurityState } from '../../arch/security.js';
import { CD_BYTES, L1CD, L1STD, STE, STE_BYTES } from '../../arch/structures.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { CacheSettings } from '../config.js';
import type { Features } from '../features.js';
import { type Commit, StateError } from '../state.js';
import { type BankControls, RESET_CONTROLS } from './bank-controls.js';
import { type Cd, cdIllegal, decodeCd } from './cd.js';
import { PRIV_READ, UNPRIV_READ } from './permission.js';
import { ASID_OF_BYPASS, ASID_OF_IPAS } from './regime-numbers.js';
import { BoundedMap, Dice } from './replacement.js';
import { decodeSte, type Ste, type SteContext, steIllegal } from './ste.js';
import type { Regime, StreamContext } from './stream-context.js';
import { isE2h, isSinglePrivilege } from './stream-world.js';
import { alignDown } from './table.js';
import type { Walker } from './walker.js';

const POINTER_BYTES = 8;
/** L1STD.Span values above this are reserved and behave as 0 (IHI 0070 5.1). */
const SPAN_MAX = 11;
const S1DSS_BYPASS = 1;
const S1DSS_SUBSTREAM_0 = 2;

interface CachedSte {
  /** Undefined when every access of the stream fails: an ILLEGAL STE, or one that disables the stream. */
  readonly ste: Ste | undefined;
  /** Why, then. */
  readonly failure: number;
  /** By SubstreamID, -1 without one; undefined for a CD that is ILLEGAL. */
  readonly contexts: Map<number, StreamContext | undefined>;
  /** By index. */
  readonly l1cds: Map<number, CachedL1Cd>;
}

interface CachedL1Cd {
  readonly valid: boolean;
  readonly l2Ptr: number;
}

interface CachedL1Std {
  /** STRTAB_BASE_CFG.SPLIT at the time: which StreamIDs it is for. */
  readonly split: number;
  readonly span: number;
  readonly l2Ptr: number;
}

export type StructureName = 'L1STD' | 'STE' | 'L1CD' | 'CD';

/** A stream in the cache: its structures as memory had them when they were fetched. */
export interface CachedStream {
  readonly StreamID: number;
  readonly security: SecurityState;
  /** Absent when it is ILLEGAL or disables the stream. */
  readonly ste?: Int32Array;
  /** What comes of the stream's accesses then: an event number, or SILENT. */
  readonly failure: number;
  /** CR2.E2H as it was when the STE was fetched (IHI 0070 5.2 STRW). */
  readonly e2h: boolean;
  readonly substreams: readonly {
    /** -1 for accesses without a SubstreamID. */
    readonly SubstreamID: number;
    /** Absent when stage 1 does not translate for it, and when the CD is ILLEGAL. */
    readonly cd?: Int32Array;
    readonly isIllegal: boolean;
  }[];
  readonly l1cds: readonly (CachedL1Cd & { readonly index: number })[];
}

export interface ConfigCacheState {
  readonly streams: readonly CachedStream[];
  readonly l1stds: readonly (CachedL1Std & { readonly index: number; readonly security: SecurityState })[];
  /** State of the random replacement. */
  readonly dice: number;
}

/** Told about each structure of a look-up; absent in normal running. */
export interface ConfigObserver {
  structure(name: StructureName, address: number, pa: number, words: Int32Array): void;
  /** A structure was in the configuration cache; with its STE, where there is a valid one. */
  configHit(name: StructureName, ste: Ste | undefined): void;
}

/** Terminated without an event: STE.Config 0b0xx, or an invalid StreamID with RECINVSID == 0. */
export const SILENT = -1;

export class ConfigCache {
  /** Why the last look-up failed: an event number, SILENT, or 0 with the walker holding a stage 2 fault of CLASS CD. */
  failure = 0;
  /** Address of an F_STE_FETCH or F_CD_FETCH. */
  fetchAddr = 0;
  fetches = 0;
  /** Whose CD was being fetched when a stage 2 fault of CLASS CD ended the look-up. */
  fetching: StreamContext | undefined;
  observer: ConfigObserver | undefined;
  /** An STE has gone to make room for another; whoever keeps contexts beside the cache follows, and takes this back. */
  replaced = false;

  readonly #features: Features;
  readonly #spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace];
  readonly #walker: Walker;
  readonly enabled: boolean;
  readonly #limit: number;
  readonly #dice: Dice;
  readonly #keepsPointers: boolean;
  readonly #keepsInvalid: boolean;
  readonly #banks: [BankControls, BankControls] = [RESET_CONTROLS, RESET_CONTROLS];
  readonly #stes: readonly [BoundedMap<CachedSte>, BoundedMap<CachedSte>];
  /** By index in the first level of the Stream table. */
  readonly #l1stds: readonly [BoundedMap<CachedL1Std>, BoundedMap<CachedL1Std>];
  readonly #words = new Int32Array(16);
  readonly #tagOf: (regime: Regime) => number;

  constructor(
    features: Features,
    spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace],
    walker: Walker,
    settings: CacheSettings,
    tagOf: (regime: Regime) => number,
  ) {
    this.#features = features;
    this.#spaces = spaces;
    this.#walker = walker;
    this.#tagOf = tagOf;
    const { configCache, caching = 'normal', replacement = 'oldest', cacheSeed = 0 } = settings;
    this.enabled = configCache > 0;
    this.#keepsPointers = this.enabled && caching !== 'normal';
    this.#keepsInvalid = this.enabled && caching === 'maximally-stale';
    this.#limit = configCache;
    this.#dice = new Dice(cacheSeed);
    const map = <Value>() => new BoundedMap<Value>(configCache, replacement, this.#dice);
    this.#stes = [map(), map()];
    this.#l1stds = [map(), map()];
  }

  bank(security: SecurityState): BankControls {
    return this.#banks[security];
  }

  setBank(security: SecurityState, controls: BankControls): void {
    this.#banks[security] = controls;
  }

  /**
   * Finds the configuration of a stream or substream.
   * @returns undefined when the access must not proceed; `failure` says why.
   */
  lookup(StreamID: number, SubstreamID: number, security: SecurityState): StreamContext | undefined {
    let cached = this.#stes[security].get(StreamID);
    if (cached !== undefined) this.observer?.configHit('STE', cached.ste);
    else cached = this.#fetchSte(StreamID, security);
    if (cached === undefined) return undefined;
    const { ste, contexts } = cached;
    if (ste === undefined) return this.#fail(cached.failure);
    const known = contexts.get(SubstreamID);
    if (known === undefined && !contexts.has(SubstreamID))
      return this.#makeContext(cached, ste, StreamID, SubstreamID, security);
    this.observer?.configHit('CD', ste);
    return known ?? this.#fail(C_BAD_CD);
  }

  invalidateAll(security: SecurityState): void {
    this.#stes[security].clear();
    this.#l1stds[security].clear();
  }

  /** What is cached, in the order in which it will be replaced. */
  save(): ConfigCacheState {
    return {
      streams: SECURITY_STATES.flatMap((security) =>
        [...this.#stes[security].entries()].map(([StreamID, cached]) => saved(StreamID, security, cached)),
      ),
      l1stds: SECURITY_STATES.flatMap((security) =>
        [...this.#l1stds[security].entries()].map(([index, l1std]) => ({ ...l1std, index, security })),
      ),
      dice: this.#dice.state,
    };
  }

  /** @throws StateError */
  prepare({ streams, l1stds, dice }: ConfigCacheState): Commit {
    for (const security of SECURITY_STATES) {
      for (const all of [streams, l1stds]) {
        const count = all.filter((one) => one.security === security).length;
        if (count > this.#limit) throw new StateError(`${count} structures in a cache of ${this.#limit}`);
      }
    }
    const entries = streams.map((stream) => this.#restored(stream));
    return () => {
      for (const security of SECURITY_STATES) this.invalidateAll(security);
      for (const [i, { StreamID, security }] of streams.entries())
        this.#stes[security].add(StreamID, entries[i]!());
      for (const { index, security, ...l1std } of l1stds) this.#l1stds[security].add(index, l1std);
      this.#dice.state = dice;
    };
  }

  /** A cached stream out of its state; the regimes' numbers are asked for when it is put in place. */
  #restored(stream: CachedStream): () => CachedSte {
    const { StreamID, security, failure, substreams } = stream;
    const l1cds = new Map(stream.l1cds.map(({ index, ...l1cd }) => [index, l1cd]));
    if (stream.ste === undefined) {
      if (failure !== C_BAD_STE && failure !== SILENT) throw new StateError(`a cached failure ${failure}`);
      return () => ({ ste: undefined, failure, contexts: new Map(), l1cds });
    }
    const ste = this.#legalSte(stream, stream.ste);
    const cds = substreams.map(({ SubstreamID, cd, isIllegal }) => ({
      SubstreamID,
      isIllegal,
      cd: cd && this.#legalCd(cd, ste, stream),
    }));
    return () => {
      const contexts = new Map<number, StreamContext | undefined>();
      for (const { SubstreamID, isIllegal, cd } of cds) {
        const context = makeContext(StreamID, SubstreamID, security, ste, cd, this.#tagOf);
        contexts.set(SubstreamID, isIllegal ? undefined : context);
      }
      return { ste, failure: 0, contexts, l1cds };
    };
  }

  #legalSte({ StreamID, security, e2h }: CachedStream, ste: Int32Array): Ste {
    const legal = this.#stallModels(security).some((stallModel) => {
      return !steIllegal(ste, { features: this.#features, security, stallModel });
    });
    if (ste.length !== STE_BYTES / 4 || !legal || get(ste, STE.fields.Config) < 4) {
      throw new StateError(`no legal STE cached for StreamID 0x${StreamID.toString(16)}`);
    }
    return decodeSte(ste, this.#steContext(security), e2h);
  }

  #legalCd(words: Int32Array, ste: Ste, { StreamID, security }: CachedStream): Cd {
    const legal = this.#stallModels(security).some((stallModel) => {
      return !cdIllegal(words, { features: this.#features, security, stallModel, ste });
    });
    if (words.length !== CD_BYTES / 4 || !legal) {
      throw new StateError(`no legal CD cached for StreamID 0x${StreamID.toString(16)}`);
    }
    return decodeCd(words, { ...this.#steContext(security), ste });
  }

  /** The stall models under which a structure may have been fetched: NSSTALLD changes them (6.3.57). */
  #stallModels(security: SecurityState): number[] {
    return [this.#features.stallModel[security], STALL_MODEL.terminate];
  }

  /** CFGI_STE: the STE and all that was found through it; with Leaf == 0 also the L1STD that led to it (4.3.1). */
  invalidateSte(security: SecurityState, StreamID: number, leaf: boolean): void {
    this.#stes[security].delete(StreamID);
    if (!leaf) this.#l1stds[security].delete(Math.floor(StreamID / 2 ** this.#banks[security].split));
  }

  /** CFGI_STE_RANGE: the same for the STEs first to last, inclusive (4.3.2). */
  invalidateStes(security: SecurityState, first: number, last: number): void {
    const stes = this.#stes[security];
    for (const StreamID of stes.keys()) if (StreamID >= first && StreamID <= last) stes.delete(StreamID);
    const l1stds = this.#l1stds[security];
    const ids = 2 ** this.#banks[security].split;
    for (const index of l1stds.keys())
      if (index * ids <= last && (index + 1) * ids > first) l1stds.delete(index);
  }

  /**
   * CFGI_CD: the CD of one index, which also serves accesses without a SubstreamID where the index is 0; with Leaf == 0
   * also the L1CD that led to it (4.3.3).
   */
  invalidateCd(security: SecurityState, StreamID: number, SubstreamID: number, leaf: boolean): void {
    const cached = this.#stes[security].get(StreamID);
    cached?.contexts.delete(SubstreamID);
    if (SubstreamID === 0) cached?.contexts.delete(-1);
    if (!leaf && cached?.ste !== undefined) cached.l1cds.delete(SubstreamID >>> cdSplit(cached.ste));
  }

  invalidateCds(security: SecurityState, StreamID: number): void {
    const cached = this.#stes[security].get(StreamID);
    cached?.contexts.clear();
    cached?.l1cds.clear();
  }

  #fail(event: number, fetchAddr = 0): undefined {
    this.failure = event;
    this.fetchAddr = fetchAddr;
    return undefined;
  }

  #fetchSte(StreamID: number, security: SecurityState): CachedSte | undefined {
    const address = this.#steAddress(StreamID, security);
    if (address === undefined) return undefined;
    const words = this.#words;
    this.fetches++;
    if (address >= 2 ** this.#features.oas || !this.#spaces[security].load(address, words, STE_BYTES / 8)) {
      return this.#fail(F_STE_FETCH, address);
    }
    this.observer?.structure('STE', address, address, words);
    const context = this.#steContext(security);
    const { e2h } = this.#banks[security];
    if (steIllegal(words, context)) return this.#keepInvalidSte(StreamID, security, C_BAD_STE);
    // V == 1 and Config 0b0xx: terminated, and nothing is recorded (5.2 Config).
    if (get(words, STE.fields.Config) < 4) return this.#keepInvalidSte(StreamID, security, SILENT);
    const ste = decodeSte(words, context, e2h);
    return this.#keepSte(StreamID, security, ste, 0);
  }

  #keepSte(StreamID: number, security: SecurityState, ste: Ste | undefined, failure: number): CachedSte {
    const entry = { ste, failure, contexts: new Map(), l1cds: new Map() };
    if (this.#stes[security].add(StreamID, entry)) this.replaced = true;
    return entry;
  }

  #keepInvalidSte(StreamID: number, security: SecurityState, failure: number): undefined {
    if (this.#keepsInvalid) this.#keepSte(StreamID, security, undefined, failure);
    return this.#fail(failure);
  }

  #steContext(security: SecurityState): SteContext {
    return { features: this.#features, security, stallModel: this.#banks[security].stallModel };
  }

  /** Where the Stream table has the STE (3.3.1, 6.3.24, 6.3.25; choice: l1std-fetch-range). */
  #steAddress(StreamID: number, security: SecurityState): number | undefined {
    const bank = this.#banks[security];
    const invalid = bank.recInvSid ? C_BAD_STREAMID : SILENT;
    if (StreamID >= 2 ** Math.min(bank.log2size, this.#features.sidSize[security]))
      return this.#fail(invalid);
    if (!bank.twoLevel) return alignDown(bank.strtabBase, bank.log2size + 6) + StreamID * STE_BYTES;
    const l1std = this.#l1std(StreamID, security, bank);
    if (l1std === undefined) return undefined;
    const index = StreamID % 2 ** bank.split;
    if (!spanIsValid(l1std) || index >= 2 ** (l1std.span - 1)) return this.#fail(invalid);
    return l1std.l2Ptr + index * STE_BYTES;
  }

  #l1std(StreamID: number, security: SecurityState, bank: BankControls): CachedL1Std | undefined {
    const index = Math.floor(StreamID / 2 ** bank.split);
    const cached = this.#l1stds[security].get(index);
    if (cached !== undefined && cached.split === bank.split) {
      this.observer?.configHit('L1STD', undefined);
      return cached;
    }
    const base = alignDown(bank.strtabBase, Math.max(6, bank.log2size - bank.split + 3));
    const address = base + index * POINTER_BYTES;
    const words = this.#words;
    this.fetches++;
    if (address >= 2 ** this.#features.oas || !this.#spaces[security].load(address, words, 1)) {
      return this.#fail(F_STE_FETCH, address);
    }
    this.observer?.structure('L1STD', address, address, words);
    const span = get(words, L1STD.fields.Span);
    const l2Ptr = alignDown(getAddress(words, L1STD.fields.L2Ptr), Math.max(6, 6 + span - 1));
    const l1std = { split: bank.split, span, l2Ptr };
    if (this.#keepsInvalid || (this.#keepsPointers && spanIsValid(l1std))) {
      this.#l1stds[security].delete(index);
      this.#l1stds[security].add(index, l1std);
    }
    return l1std;
  }

  #makeContext(
    cached: CachedSte,
    ste: Ste,
    StreamID: number,
    SubstreamID: number,
    security: SecurityState,
  ): StreamContext | undefined {
    const index = this.#cdIndex(ste, SubstreamID);
    if (index === undefined) return undefined;
    let cd: Cd | undefined;
    if (index >= 0) {
      cd = this.#fetchCd(cached, ste, StreamID, SubstreamID, index, security);
      if (cd === undefined) {
        if (this.#keepsInvalid && this.failure === C_BAD_CD) cached.contexts.set(SubstreamID, undefined);
        return undefined;
      }
    }
    const context = makeContext(StreamID, SubstreamID, security, ste, cd, this.#tagOf);
    if (this.enabled) cached.contexts.set(SubstreamID, context);
    return context;
  }

  /** Index of the CD to use, -1 where stage 1 does not translate, undefined where the access ends here (5.2 S1DSS). */
  #cdIndex(ste: Ste, SubstreamID: number): number | undefined {
    const stage1 = (ste.config & 1) !== 0;
    if (SubstreamID >= 0) {
      if (!stage1 || ste.s1CDMax === 0 || SubstreamID >= 2 ** ste.s1CDMax)
        return this.#fail(C_BAD_SUBSTREAMID);
      if (SubstreamID === 0 && ste.s1DSS === S1DSS_SUBSTREAM_0) return this.#fail(F_STREAM_DISABLED);
      return SubstreamID;
    }
    if (!stage1) return -1;
    if (ste.s1CDMax === 0 || ste.s1DSS === S1DSS_SUBSTREAM_0) return 0;
    return ste.s1DSS === S1DSS_BYPASS ? -1 : this.#fail(F_STREAM_DISABLED);
  }

  #fetchCd(
    cached: CachedSte,
    ste: Ste,
    StreamID: number,
    SubstreamID: number,
    index: number,
    security: SecurityState,
  ): Cd | undefined {
    // Stage 2 translates the pointers of a nested stream: the walker needs to know whose stage 2.
    const fetching = makeContext(StreamID, SubstreamID, security, ste, undefined, this.#tagOf);
    this.fetching = fetching;
    const address = this.#cdAddress(cached, fetching, index);
    if (address === undefined) return undefined;
    const words = this.#words;
    if (!this.#loadThroughStage2(fetching, address, 'CD', CD_BYTES / 8)) return undefined;
    const context = { ...this.#steContext(security), ste };
    return cdIllegal(words, context) ? this.#fail(C_BAD_CD) : decodeCd(words, context);
  }

  /**
   * Where the CD is, an IPA with stage 2: one CD, a linear table or a two-level one (5.2 S1Fmt; choice:
   * s1contextptr-alignment).
   */
  #cdAddress(cached: CachedSte, context: StreamContext, index: number): number | undefined {
    const { ste } = context;
    if (ste.s1CDMax === 0) return ste.s1ContextPtr;
    if (ste.s1Fmt !== 1 && ste.s1Fmt !== 2)
      return alignDown(ste.s1ContextPtr, ste.s1CDMax + 6) + index * CD_BYTES;
    const split = cdSplit(ste);
    const l1cd = this.#l1cd(cached, context, index >>> split);
    if (l1cd === undefined) return undefined;
    const range = ste.stage2 === undefined ? this.#features.oas : this.#features.ias;
    // An invalid or out-of-range L1CD is the substream's fault (7.3.9, 3.4.3; choice: l1cd-range).
    if (!l1cd.valid || l1cd.l2Ptr >= 2 ** range) return this.#fail(C_BAD_SUBSTREAMID);
    return l1cd.l2Ptr + (index % 2 ** split) * CD_BYTES;
  }

  #l1cd(cached: CachedSte, context: StreamContext, index: number): CachedL1Cd | undefined {
    const { ste } = context;
    const known = cached.l1cds.get(index);
    if (known !== undefined) {
      this.observer?.configHit('L1CD', ste);
      return known;
    }
    const split = cdSplit(ste);
    const base = alignDown(ste.s1ContextPtr, Math.max(6, ste.s1CDMax - split + 3));
    if (!this.#loadThroughStage2(context, base + index * POINTER_BYTES, 'L1CD', 1)) return undefined;
    const l1cd = {
      valid: get(this.#words, L1CD.fields.V) === 1,
      l2Ptr: alignDown(getAddress(this.#words, L1CD.fields.L2Ptr), split + 6),
    };
    if (this.#keepsInvalid || (this.#keepsPointers && l1cd.valid)) cached.l1cds.set(index, l1cd);
    return l1cd;
  }

  #loadThroughStage2(context: StreamContext, address: number, name: 'L1CD' | 'CD', count: number): boolean {
    let pa = address;
    let space: SecurityState = context.security;
    this.fetches++;
    if (context.ste.stage2 !== undefined) {
      const walker = this.#walker;
      if (!walker.translateStage2(context, address, context.security, UNPRIV_READ | PRIV_READ, CLASS_CD)) {
        this.failure = 0;
        return false;
      }
      pa = walker.outPage * 4096 + (address % 4096);
      space = walker.space;
    }
    if (!this.#spaces[space].load(pa, this.#words, count)) {
      this.#fail(F_CD_FETCH, pa);
      return false;
    }
    this.observer?.structure(name, address, pa, this.#words);
    return true;
  }
}

function makeContext(
  StreamID: number,
  SubstreamID: number,
  security: SecurityState,
  ste: Ste,
  cd: Cd | undefined,
  tagOf: (regime: Regime) => number,
): StreamContext {
  const regime = { world: ste.world, vmid: ste.vmid, asid: cd?.asid ?? 0, aset: cd?.aset ?? 0 };
  // What comes in without stage 1 is an IPA, and no VA of ASID 0.
  const asidOfNoCd = ste.stage2 === undefined ? ASID_OF_BYPASS : ASID_OF_IPAS;
  return {
    StreamID,
    SubstreamID,
    security,
    ste,
    cd,
    ...regime,
    singlePrivilege: isSinglePrivilege(ste.world),
    tag: tagOf(cd === undefined ? { ...regime, asid: asidOfNoCd } : regime),
  };
}

function spanIsValid({ span, split }: CachedL1Std): boolean {
  return span > 0 && span <= SPAN_MAX && span <= split + 1;
}

/** log2 of the CDs in a second-level table (5.2 S1Fmt). */
function cdSplit(ste: Ste): number {
  return ste.s1Fmt === 1 ? 6 : 10;
}

function saved(
  StreamID: number,
  security: SecurityState,
  { ste, failure, contexts, l1cds }: CachedSte,
): CachedStream {
  return {
    StreamID,
    security,
    ...(ste && { ste: Int32Array.from(ste.words) }),
    failure,
    e2h: ste !== undefined && isE2h(ste.world),
    substreams: [...contexts].map(([SubstreamID, context]) => ({
      SubstreamID,
      ...(context?.cd && { cd: Int32Array.from(context.cd.words) }),
      isIllegal: context === undefined,
    })),
    l1cds: [...l1cds].map(([index, l1cd]) => ({ index, ...l1cd })),
  };
}
