/**
 * What must come of an access, by the reference walkers and nothing that is cached: outcome, address, event record, and
 * what hardware changes in the tables (IHI 0070 3.12, 3.13). Configuration is legal; Non-secure streams.
 */
import { letterOf, stage1Letters, stage2Letters } from '../reference/permissions.js';
import {
  type Fault,
  type GranuleKiB,
  type HardwareUpdates,
  type Stage1Params,
  type Stage2Params,
  walkStage1,
  walkStage2,
} from '../reference/walker.js';
import { type Access, type CdFields, eventOf, type SteFields } from './tbu-bench.js';

export interface Expected {
  readonly outcome: string;
  readonly pa?: bigint;
  readonly space?: number;
  readonly record?: bigint;
}

/** What does not change about an SMMU and the kind of its streams. */
export interface OracleOptions {
  readonly oas: number;
  readonly stage1: boolean;
  readonly stage2: boolean;
  /** One privilege level. */
  readonly single: boolean;
  readonly load: (pa: bigint) => bigint | undefined;
}

type Numbers = Readonly<Record<string, number>>;

const IPS_BITS = [32, 36, 40, 42, 44, 48, 52] as const;
const EVENT_OF = {
  translation: 0x10,
  'address-size': 0x11,
  'access-flag': 0x12,
  'external-abort': 0x0b,
} as const;
const F_PERMISSION = 0x13;
const AF = 1n << 10n;
/** AP[2], and S2AP[1]. */
const DIRTY = 1n << 7n;

export class Oracle {
  ste: SteFields = {};
  cd: CdFields = {};
  /** New values of descriptors, by PA, after `expected`. */
  updates = new Map<bigint, bigint>();
  readonly #options: OracleOptions;

  constructor(options: OracleOptions) {
    this.#options = options;
  }

  #load(pa: bigint): bigint | undefined {
    return this.updates.get(pa) ?? this.#options.load(pa);
  }

  #granule(tg: number | bigint | undefined, high: boolean): GranuleKiB {
    return (high ? ([4, 16, 4, 64] as const) : ([4, 64, 16, 4] as const))[Number(tg ?? 0)]!;
  }

  params1(va: bigint): Stage1Params {
    const cd = this.cd as Record<string, number | bigint>;
    const { oas, single } = this.#options;
    const on = (name: string) => cd[name] === 1;
    return {
      va,
      TTB0: BigInt(cd.TTB0!) << 4n,
      TTB1: BigInt(cd.TTB1!) << 4n,
      T0SZ: Number(cd.T0SZ),
      T1SZ: Number(cd.T1SZ),
      TG0: this.#granule(cd.TG0, false),
      TG1: this.#granule(cd.TG1, true),
      EPD0: on('EPD0') && !single,
      EPD1: on('EPD1'),
      TBI0: on('TBI0'),
      TBI1: on('TBI1'),
      HAD0: on('HAD0'),
      HAD1: on('HAD1'),
      outputBits: Math.min(IPS_BITS[Number(cd.IPS)]!, oas),
      DS: on('DS'),
      LPA: oas === 52,
      AFFD: on('AFFD'),
      singleRange: single,
    };
  }

  #params2(ipa: bigint): Stage2Params {
    const ste = this.ste as Record<string, number | bigint>;
    const { oas } = this.#options;
    return {
      ipa,
      S2TTB: BigInt(ste.S2TTB!) << 4n,
      S2T0SZ: Number(ste.S2T0SZ),
      S2SL0: Number(ste.S2SL0),
      S2SL0_2: ste.S2SL0_2 === 1,
      S2TG: this.#granule(ste.S2TG, false),
      outputBits: Math.min(IPS_BITS[Number(ste.S2PS)]!, oas),
      DS: ste.S2DS === 1,
      LPA: oas === 52,
      AFFD: ste.S2AFFD === 1,
      updates: {
        HA: ste.S2HA === 1,
        HD: ste.S2HD === 1,
        onTable: (pa, value) => {
          if (ste.S2HAFT === 1) this.#set(pa, value, value | AF);
        },
      },
    };
  }

  #set(pa: bigint, value: bigint, used: bigint): void {
    if (used !== value) this.updates.set(pa, used);
  }

  expected(StreamID: number, access: Access): Expected {
    this.updates = new Map();
    const ste = this.ste as Numbers;
    const cd = this.cd as Numbers;
    const over = (field: number, incoming: boolean) => (field >= 2 ? field === 3 : incoming);
    const write = access.write === true;
    const effective = {
      write,
      privileged: over(ste.PRIVCFG!, access.privileged === true),
      instruction: !write && over(ste.INSTCFG!, access.instruction === true),
    };
    const letter = letterOf(effective);
    const iova = BigInt(access.iova);
    const record = (EventNumber: number, more: object) =>
      eventOf({
        EventNumber,
        StreamID,
        InputAddr: iova,
        RnW: write ? 0 : 1,
        InD: effective.instruction ? 1 : 0,
        PnU: effective.privileged ? 1 : 0,
        CLASS: 2,
        ...more,
      });
    const stage1Fault = (number: number): Expected =>
      cd.S
        ? { outcome: 'stall', record: record(number, { Stall: 1 }) }
        : { outcome: cd.A ? 'abort' : 'raz-wi', ...(cd.R ? { record: record(number, {}) } : {}) };
    const stage2 = (ipa: bigint, CLASS: number, need: string) => this.#stage2(ipa, CLASS, need, record);
    if (!this.#options.stage1) {
      if (iova >> BigInt(this.#options.oas) !== 0n) return { outcome: 'abort', record: record(0x11, {}) };
      return ok(stage2(iova, 2, letter));
    }
    if (this.#options.stage2) {
      const at = stage2((BigInt(ste.S1ContextPtr!) + BigInt(StreamID)) << 6n, 0, 'r');
      if (typeof at !== 'bigint') return at;
    }
    const { single } = this.#options;
    const upper = !single && ((iova >> 55n) & 1n) === 1n;
    if (!single && !effective.privileged && cd[upper ? 'E0PD1' : 'E0PD0']) return stage1Fault(0x10);
    let inner: Expected | undefined;
    const locate = (address: bigint, need: string): bigint | undefined => {
      if (inner !== undefined) return undefined;
      const at = this.#options.stage2 ? stage2(address, 1, need) : address;
      if (typeof at === 'bigint') return at;
      inner = at;
      return undefined;
    };
    /** To stage 2, the update of a stage 1 descriptor is a write. */
    const change = (address: bigint, value: bigint, used: bigint) => {
      const pa = used === value ? undefined : locate(address, 'w');
      if (pa !== undefined) this.#set(pa, value, used);
    };
    const updates: HardwareUpdates = {
      HA: cd.HA === 1,
      HD: cd.HD === 1,
      onTable: (address, value) => {
        if (cd.HAFT === 1) change(address, value, value | AF);
      },
    };
    const leaf = walkStage1({ ...this.params1(iova), updates }, (address) => {
      const pa = locate(address, 'r');
      return pa === undefined ? undefined : this.#load(pa);
    });
    if (inner !== undefined) return inner;
    if (leaf.kind === 'fault') return stage1Fault(EVENT_OF[(leaf as Fault).type]);
    const checks = { single, WXN: cd.WXN === 1, PAN: cd.PAN === 1, EPAN: cd.EPAN === 1 };
    if (!stage1Letters(leaf.UXN, leaf.PXN, leaf.AP, checks).includes(letter))
      return stage1Fault(F_PERMISSION);
    const accessed = leaf.descriptor | (updates.HA ? AF : 0n);
    change(leaf.descriptorAddress, leaf.descriptor, leaf.clean && write ? accessed & ~DIRTY : accessed);
    if (inner !== undefined) return inner;
    return ok(this.#options.stage2 ? stage2(leaf.output, 2, letter) : leaf.output);
  }

  /** @returns the PA, or what becomes of the access that stage 2 refuses. */
  #stage2(
    ipa: bigint,
    CLASS: number,
    need: string,
    record: (EventNumber: number, more: object) => bigint,
  ): bigint | Expected {
    const ste = this.ste as Numbers;
    const writes = need.toLowerCase() === 'w';
    const done = walkStage2(this.#params2(ipa), (address) => this.#load(address));
    const fault = (number: number): Expected => {
      const outcome = ste.S2S ? 'stall' : 'abort';
      if (!ste.S2R && !ste.S2S) return { outcome };
      const TTRnW = number === F_PERMISSION && CLASS < 2 && !writes ? 1 : 0;
      const more = { S2: 1, Stall: ste.S2S!, CLASS, IPA: ipa >> 12n, TTRnW };
      return { outcome, record: record(number, more) };
    };
    if (done.kind === 'fault') return fault(EVENT_OF[done.type]);
    const device = ste.S2FWB ? (done.MemAttr & 4) === 0 : done.MemAttr < 4;
    const permitted = stage2Letters(done.S2AP, done.XN, true).includes(need);
    if (!permitted || (CLASS < 2 && ste.S2PTW === 1 && device)) return fault(F_PERMISSION);
    const accessed = done.descriptor | (ste.S2HA ? AF : 0n);
    this.#set(done.descriptorAddress, done.descriptor, done.clean && writes ? accessed | DIRTY : accessed);
    return done.output;
  }
}

function ok(pa: bigint | Expected): Expected {
  return typeof pa === 'bigint' ? { outcome: 'ok', pa, space: 0 } : pa;
}
