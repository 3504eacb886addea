/**
 * Configuration look-up of a TBU: StreamID to STE to CD (IHI 0070 3.3.1, 3.3.2, 5.1-5.4), and its cache.
 *
 * An STE is cached with the CDs that were fetched through it, because CFGI_STE takes both and a CD is known by
 * (StreamID, SubstreamID). L1STDs and L1CDs are not cached, and neither is a structure that made its look-up fail:
 * software that makes an invalid structure valid is then served at once, as recorded drivers expect.
 * The capacity counts STEs; the oldest goes first.
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
import { get, getAddress } from '../../arch/layout.js';
import { SECURITY_STATES, type SecurityState } from '../../arch/security.js';
import { L1CD, L1STD, STE } from '../../arch/structures.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { Features } from '../features.js';
import { type Commit, StateError } from '../state.js';
import { type BankControls, RESET_CONTROLS, TERMINATE_ONLY } from './bank-controls.js';
import { type Cd, cdIllegal, decodeCd } from './cd.js';
import { PRIV_READ, UNPRIV_READ } from './permission.js';
import { decodeSte, type Ste, type SteContext, steIllegal } from './ste.js';
import type { StreamContext } from './stream-context.js';
import { isE2h, isSinglePrivilege } from './stream-world.js';
import { alignDown } from './table.js';
import type { Walker } from './walker.js';

const STE_BYTES = 64;
const CD_BYTES = 64;
const POINTER_BYTES = 8;
/** L1STD.Span values above this are reserved and behave as 0 (IHI 0070 5.1). */
const SPAN_MAX = 11;
const S1DSS_BYPASS = 1;
const S1DSS_SUBSTREAM_0 = 2;

interface CachedSte {
  readonly ste: Ste;
  /** By SubstreamID, -1 without one. */
  readonly contexts: Map<number, StreamContext>;
}

/** A stream in the cache: its structures as memory had them when they were fetched. */
export interface CachedStream {
  readonly StreamID: number;
  readonly security: SecurityState;
  readonly ste: Int32Array;
  /** CR2.E2H as it was when the STE was fetched (IHI 0070 5.2 STRW). */
  readonly e2h: boolean;
  readonly substreams: readonly {
    /** -1 for accesses without a SubstreamID. */
    readonly SubstreamID: number;
    /** Absent when stage 1 does not translate for it. */
    readonly cd?: Int32Array;
  }[];
}

/** Told about each structure of a look-up; absent in normal running. */
export interface ConfigObserver {
  structure(name: 'L1STD' | 'STE' | 'L1CD' | 'CD', address: number, pa: number, words: Int32Array): void;
  /** A structure was in the configuration cache; with its STE. */
  configHit(name: 'STE' | 'CD', ste: Ste): void;
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

  readonly #features: Features;
  readonly #spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace];
  readonly #walker: Walker;
  readonly #limit: number;
  readonly #banks: [BankControls, BankControls] = [RESET_CONTROLS, RESET_CONTROLS];
  readonly #cached = [new Map<number, CachedSte>(), new Map<number, CachedSte>()] as const;
  readonly #words = new Int32Array(16);
  readonly #tagOf: (context: Pick<StreamContext, 'world' | 'vmid' | 'asid'>) => number;

  /** @param limit capacity in STEs; 0 caches nothing. */
  constructor(
    features: Features,
    spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace],
    walker: Walker,
    limit: number,
    tagOf: (context: Pick<StreamContext, 'world' | 'vmid' | 'asid'>) => number,
  ) {
    this.#features = features;
    this.#spaces = spaces;
    this.#walker = walker;
    this.#limit = limit;
    this.#tagOf = tagOf;
  }

  get enabled(): boolean {
    return this.#limit > 0;
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
    let cached = this.#cached[security].get(StreamID);
    if (cached !== undefined) this.observer?.configHit('STE', cached.ste);
    else cached = this.#fetchSte(StreamID, security);
    if (cached === undefined) return undefined;
    const known = cached.contexts.get(SubstreamID);
    if (known !== undefined) {
      this.observer?.configHit('CD', cached.ste);
      return known;
    }
    return this.#makeContext(cached, StreamID, SubstreamID, security);
  }

  invalidateAll(security: SecurityState): void {
    this.#cached[security].clear();
  }

  /** What is cached, in the order in which it will be replaced. */
  save(): CachedStream[] {
    return SECURITY_STATES.flatMap((security) =>
      [...this.#cached[security]].map(([StreamID, { ste, contexts }]) => ({
        StreamID,
        security,
        ste: Int32Array.from(ste.words),
        e2h: isE2h(ste.world),
        substreams: [...contexts].map(([SubstreamID, { cd }]) =>
          cd === undefined ? { SubstreamID } : { SubstreamID, cd: Int32Array.from(cd.words) },
        ),
      })),
    );
  }

  /** @throws StateError */
  prepare(streams: readonly CachedStream[]): Commit {
    const decoded = streams.map((stream) => ({ stream, ste: this.#legalSte(stream) }));
    for (const security of SECURITY_STATES) {
      const count = streams.filter((stream) => stream.security === security).length;
      if (count > this.#limit) throw new StateError(`${count} STEs in a cache of ${this.#limit}`);
    }
    const entries = decoded.map(({ stream, ste }) => ({
      stream,
      ste,
      cds: stream.substreams.map(({ SubstreamID, cd }) => ({
        SubstreamID,
        cd: cd && this.#legalCd(cd, ste, stream),
      })),
    }));
    return () => {
      for (const cached of this.#cached) cached.clear();
      for (const { stream, ste, cds } of entries) {
        const { StreamID, security } = stream;
        const contexts = new Map(
          cds.map(({ SubstreamID, cd }) => [
            SubstreamID,
            makeContext(StreamID, SubstreamID, security, ste, cd, this.#tagOf),
          ]),
        );
        this.#cached[security].set(StreamID, { ste, contexts });
      }
    };
  }

  #legalSte({ StreamID, security, ste, e2h }: CachedStream): Ste {
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
    return [this.#features.stallModel[security], TERMINATE_ONLY];
  }

  /** CFGI_STE, CFGI_STE_RANGE: the STEs first to last, inclusive, and the CDs found through them. */
  invalidateStes(security: SecurityState, first: number, last: number): void {
    const cached = this.#cached[security];
    if (first === last) cached.delete(first);
    else
      for (const StreamID of cached.keys())
        if (StreamID >= first && StreamID <= last) cached.delete(StreamID);
  }

  /** CFGI_CD: the CD of one index, which also serves accesses without a SubstreamID where the index is 0. */
  invalidateCd(security: SecurityState, StreamID: number, SubstreamID: number): void {
    const contexts = this.#cached[security].get(StreamID)?.contexts;
    contexts?.delete(SubstreamID);
    if (SubstreamID === 0) contexts?.delete(-1);
  }

  invalidateCds(security: SecurityState, StreamID: number): void {
    this.#cached[security].get(StreamID)?.contexts.clear();
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
    if (steIllegal(words, context)) return this.#fail(C_BAD_STE);
    // V == 1 and Config 0b0xx: terminated, and nothing is recorded (5.2 Config).
    if (get(words, STE.fields.Config) < 4) return this.#fail(SILENT);
    const entry = { ste: decodeSte(words, context, e2h), contexts: new Map() };
    if (this.#limit > 0) {
      const cached = this.#cached[security];
      if (cached.size >= this.#limit) cached.delete(cached.keys().next().value!);
      cached.set(StreamID, entry);
    }
    return entry;
  }

  #steContext(security: SecurityState): SteContext {
    return { features: this.#features, security, stallModel: this.#banks[security].stallModel };
  }

  /** Where the Stream table has the STE (3.3.1, 6.3.24, 6.3.25). */
  #steAddress(StreamID: number, security: SecurityState): number | undefined {
    const bank = this.#banks[security];
    const invalid = bank.recInvSid ? C_BAD_STREAMID : SILENT;
    if (StreamID >= 2 ** Math.min(bank.log2size, this.#features.sidSize[security]))
      return this.#fail(invalid);
    if (!bank.twoLevel) return alignDown(bank.strtabBase, bank.log2size + 6) + StreamID * STE_BYTES;
    const base = alignDown(bank.strtabBase, Math.max(6, bank.log2size - bank.split + 3));
    const address = base + Math.floor(StreamID / 2 ** bank.split) * POINTER_BYTES;
    const words = this.#words;
    this.fetches++;
    if (address >= 2 ** this.#features.oas || !this.#spaces[security].load(address, words, 1)) {
      return this.#fail(F_STE_FETCH, address);
    }
    this.observer?.structure('L1STD', address, address, words);
    const span = get(words, L1STD.fields.Span);
    const index = StreamID % 2 ** bank.split;
    if (span === 0 || span > SPAN_MAX || span > bank.split + 1 || index >= 2 ** (span - 1))
      return this.#fail(invalid);
    return alignDown(getAddress(words, L1STD.fields.L2Ptr), 6 + span - 1) + index * STE_BYTES;
  }

  #makeContext(
    cached: CachedSte,
    StreamID: number,
    SubstreamID: number,
    security: SecurityState,
  ): StreamContext | undefined {
    const { ste } = cached;
    const index = this.#cdIndex(ste, SubstreamID);
    if (index === undefined) return undefined;
    let cd: Cd | undefined;
    if (index >= 0) {
      cd = this.#fetchCd(ste, StreamID, SubstreamID, index, security);
      if (cd === undefined) return undefined;
    }
    const context = makeContext(StreamID, SubstreamID, security, ste, cd, this.#tagOf);
    if (this.#limit > 0) cached.contexts.set(SubstreamID, context);
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
    ste: Ste,
    StreamID: number,
    SubstreamID: number,
    index: number,
    security: SecurityState,
  ): Cd | undefined {
    // Stage 2 translates the pointers of a nested stream: the walker needs to know whose stage 2.
    const fetching = makeContext(StreamID, SubstreamID, security, ste, undefined, this.#tagOf);
    this.fetching = fetching;
    const address = this.#cdAddress(fetching, index);
    if (address === undefined) return undefined;
    const words = this.#words;
    if (!this.#loadThroughStage2(fetching, address, 'CD', CD_BYTES / 8)) return undefined;
    const context = { ...this.#steContext(security), ste };
    return cdIllegal(words, context) ? this.#fail(C_BAD_CD) : decodeCd(words, context);
  }

  /** Where the CD is: one CD, a linear table or a two-level one (5.2 S1Fmt). An IPA with stage 2. */
  #cdAddress(context: StreamContext, index: number): number | undefined {
    const { ste } = context;
    if (ste.s1CDMax === 0) return ste.s1ContextPtr;
    if (ste.s1Fmt !== 1 && ste.s1Fmt !== 2)
      return alignDown(ste.s1ContextPtr, ste.s1CDMax + 6) + index * CD_BYTES;
    const split = ste.s1Fmt === 1 ? 6 : 10;
    const base = alignDown(ste.s1ContextPtr, Math.max(6, ste.s1CDMax - split + 3));
    if (!this.#loadThroughStage2(context, base + (index >>> split) * POINTER_BYTES, 'L1CD', 1))
      return undefined;
    const l2 = alignDown(getAddress(this.#words, L1CD.fields.L2Ptr), split + 6);
    const range = ste.stage2 === undefined ? this.#features.oas : this.#features.ias;
    // An invalid or out-of-range L1CD is the substream's fault (7.3.9, 3.4.3).
    if (get(this.#words, L1CD.fields.V) === 0 || l2 >= 2 ** range) return this.#fail(C_BAD_SUBSTREAMID);
    return l2 + (index % 2 ** split) * CD_BYTES;
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
  tagOf: (context: Pick<StreamContext, 'world' | 'vmid' | 'asid'>) => number,
): StreamContext {
  const regime = { world: ste.world, vmid: ste.vmid, asid: cd?.asid ?? 0 };
  return {
    StreamID,
    SubstreamID,
    security,
    ste,
    cd,
    ...regime,
    singlePrivilege: isSinglePrivilege(ste.world),
    tag: tagOf(regime),
  };
}
