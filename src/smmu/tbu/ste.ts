/**
 * STE: validity (IHI 0070 5.2.2) and decoding into what translations need.
 * Not covered because never advertised: DPT, MPAM, permission indirection, 128-bit descriptors, Realm STEs.
 */
import { type Field, get, getAddress, type Words } from '../../arch/layout.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../arch/security.js';
import { STE } from '../../arch/structures.js';
import { effectivePs, type Features, hasStage2, hasTableAccessFlag } from '../features.js';
import { overridesWord } from './attributes.js';
import {
  EL3,
  NS_EL1,
  NS_EL2,
  NS_EL2_E2H,
  S_EL2,
  S_EL2_E2H,
  SECURE_EL1,
  type StreamWorld,
} from './stream-world.js';
import {
  LPAE_OUTPUT_BITS,
  lpaeWalkBits,
  startIndexBits,
  TG0_BITS,
  type TranslationTable,
  translationTable,
} from './table.js';

const F = STE.fields;

export interface Ste {
  /** The structure as memory had it. */
  readonly words: Words;
  /** STE.Config. */
  readonly config: number;
  readonly world: StreamWorld;
  readonly s1ContextPtr: number;
  /** 0 when substreams are disabled or unsupported. */
  readonly s1CDMax: number;
  readonly s1Fmt: number;
  readonly s1DSS: number;
  readonly s1STALLD: boolean;
  readonly vmid: number;
  /** The table of the (Non-secure) IPA space, S2TTB; undefined when stage 2 does not translate. */
  readonly stage2: TranslationTable | undefined;
  /** The table of a Secure stream's Secure IPA space, S_S2TTB (3.10.2.2). */
  readonly stage2Secure: TranslationTable | undefined;
  /** Record and stall on a stage 2 fault: STE.S2R, S2S (5.5). */
  readonly s2R: boolean;
  readonly s2S: boolean;
  readonly s2PTW: boolean;
  readonly s2FWB: boolean;
  readonly s2AA64: boolean;
  /** STE.PRIVCFG, INSTCFG, NSCFG; 0 is "use incoming". */
  readonly privcfg: number;
  readonly instcfg: number;
  readonly nscfg: number;
  /** Attribute overrides, packed (attributes.ts). */
  readonly overrides: number;
}

/** One rule of STE or CD validity: the name of what is ILLEGAL, where that is said, and the test. */
export interface ValidityRule<Context> {
  readonly rule: string;
  readonly section: string;
  readonly broken: (words: Words, context: Context) => boolean;
}

export interface SteContext {
  readonly features: Features;
  readonly security: SecurityState;
  /** Effective stall model of the stream's Security state. */
  readonly stallModel: number;
}

const config = (words: Words) => get(words, F.Config);
const stage1On = (words: Words) => (config(words) & 5) === 5;
const stage2On = (words: Words) => (config(words) & 6) === 6;

/** IgnoreSTESTRW of 5.2.2: whether STRW is unused. */
function strwUnused(words: Words, { features, security }: SteContext): boolean {
  if (!features.s1p) return true;
  if (security === NON_SECURE && !features.hyp) return true;
  return stage2On(words) || config(words) === 4;
}

/** IgnoreSTES2VMID of 5.2.2. */
function vmidIgnored(words: Words, context: SteContext): boolean {
  if (config(words) < 4 || config(words) === 4 || !hasStage2(context.features, context.security)) return true;
  if (get(words, F.STRW) !== 0 && !strwUnused(words, context)) return true;
  return context.security === SECURE && config(words) === 5;
}

/** S2T0SZ of VMSAv8-32 LPAE is a signed 4-bit number (5.2 S2T0SZ). */
function lpaeInputBits(words: Words): number {
  return 32 - ((get(words, F.S2T0SZ) << 28) >> 28);
}

function lpaeStartLevel(words: Words): number {
  return 2 - get(words, F.S2SL0);
}

function s2LpaeTableIllegal(words: Words, features: Features): boolean {
  if (getAddress(words, F.S2TTB) >= 2 ** lpaeWalkBits(true, features.oas) || get(words, F.S2SL0) > 1)
    return true;
  const indexBits = startIndexBits(lpaeInputBits(words), 12, lpaeStartLevel(words));
  return indexBits < 1 || indexBits > 9 + 4;
}

/** The fields of one of the two stage 2 tables; all others they share (5.2 S_S2TTB). */
interface S2Fields {
  readonly tg: Field;
  readonly ttb: Field;
  readonly t0sz: Field;
  readonly sl0: Field;
  readonly sl0High: Field;
}

const S2: S2Fields = { tg: F.S2TG, ttb: F.S2TTB, t0sz: F.S2T0SZ, sl0: F.S2SL0, sl0High: F.S2SL0_2 };
const S_S2: S2Fields = {
  tg: F.S_S2TG,
  ttb: F.S_S2TTB,
  t0sz: F.S_S2T0SZ,
  sl0: F.S_S2SL0,
  sl0High: F.S_S2SL0_2,
};

function s2TableIllegal(words: Words, { features }: SteContext, table: S2Fields): boolean {
  const granuleBits = TG0_BITS[get(words, table.tg)]!;
  if (granuleBits === 0 || !features.granules[granuleBits]) return true;
  const ds = features.ds && get(words, F.S2DS) === 1 && granuleBits !== 16;
  const ps = effectivePs(get(words, F.S2PS), features);
  const range = granuleBits === 16 || ds ? ps : Math.min(ps, 48);
  if (getAddress(words, table.ttb) >= 2 ** range) return true;
  const t0sz = get(words, table.t0sz);
  const max = !features.stt ? 39 : granuleBits === 16 ? 47 : 48;
  const min = Math.max(granuleBits === 16 || ds ? 12 : 16, 64 - features.ias);
  if (t0sz < min || t0sz > max) return true;
  return s2StartLevel(words, table, granuleBits, ds, features) === undefined;
}

/** Starting level by S2SL0 and S2SL0_2, or undefined where reserved or inconsistent with S2T0SZ (DDI 0487 D8.2.7). */
function s2StartLevel(
  words: Words,
  table: S2Fields,
  granuleBits: number,
  ds: boolean,
  features: Features,
): number | undefined {
  const sl0 = get(words, table.sl0);
  const sl2 = ds ? get(words, table.sl0High) : 0;
  let level: number;
  if (granuleBits === 12) {
    if (sl2 === 1) {
      if (sl0 !== 0) return undefined;
      level = -1;
    } else {
      if (sl0 === 3 && !features.stt) return undefined;
      if (sl0 === 2 && features.oas < 44) return undefined;
      level = sl0 === 3 ? 3 : 2 - sl0;
    }
  } else {
    if (sl0 === 3 && !(granuleBits === 14 && ds)) return undefined;
    if (sl0 === 2 && features.oas < (granuleBits === 14 ? 42 : 44)) return undefined;
    level = 3 - sl0;
  }
  // Up to 16 concatenated tables: at most four index bits more than one table resolves.
  const indexBits = startIndexBits(64 - get(words, table.t0sz), granuleBits, level);
  return indexBits >= 1 && indexBits <= granuleBits - 3 + 4 ? level : undefined;
}

/** Each rule of SteIllegal that can apply here, in its order. V == 0 is first, as there. */
export const STE_RULES: readonly ValidityRule<SteContext>[] = [
  { rule: 'V == 0', section: '5.2 V', broken: (w) => get(w, F.V) === 0 },
  {
    rule: 'Config enables stage 1 but IDR0.S1P == 0',
    section: '5.2 Config',
    broken: (w, c) => stage1On(w) && !c.features.s1p,
  },
  {
    rule: 'Config enables stage 2 but it is not supported for this Security state',
    section: '5.2 Config',
    broken: (w, c) => stage2On(w) && !hasStage2(c.features, c.security),
  },
  {
    rule: 'S2AA64 == 0 (VMSAv8-32 LPAE) in a Secure STE with stage 2',
    section: '5.2 S2AA64',
    broken: (w, c) => stage2On(w) && c.security === SECURE && get(w, F.S2AA64) === 0,
  },
  {
    rule: 'EATS == 0b10 without two stages, with S2S == 1, or with IDR0.NS1ATS == 1',
    section: '5.2 EATS',
    broken: (w, c) =>
      c.features.ats &&
      c.security === NON_SECURE &&
      (config(w) & 3) !== 0 &&
      get(w, F.EATS) === 2 &&
      (config(w) !== 7 || get(w, F.S2S) === 1 || c.features.ns1ats),
  },
  {
    rule: 'EATS == 0b01 with stage 2 and S2S == 1',
    section: '5.2 EATS',
    broken: (w, c) =>
      c.features.ats &&
      c.security === NON_SECURE &&
      stage2On(w) &&
      get(w, F.EATS) === 1 &&
      get(w, F.S2S) === 1,
  },
  {
    rule: 'STRW is reserved for this Security state',
    section: '5.2 STRW',
    broken: (w, c) =>
      !strwUnused(w, c) && (c.security === SECURE ? get(w, F.STRW) === 3 : (get(w, F.STRW) & 1) === 1),
  },
  {
    rule: 'STRW selects EL3 but IDR0.RME_IMPL == 1',
    section: '5.2 STRW',
    broken: (w, c) => c.security === SECURE && c.features.rme && !strwUnused(w, c) && get(w, F.STRW) === 1,
  },
  {
    rule: 'STRW selects Secure EL2 but S_IDR1.SEL2 == 0',
    section: '5.2 STRW',
    broken: (w, c) => c.security === SECURE && !c.features.sel2 && get(w, F.STRW) === 2 && config(w) === 5,
  },
  {
    rule: 'S1STALLD == 1 but the Stall model is not configurable',
    section: '5.2 S1STALLD',
    broken: (w, c) => stage1On(w) && get(w, F.S1STALLD) === 1 && c.stallModel !== 0,
  },
  {
    rule: 'S1CDMax exceeds IDR1.SSIDSIZE',
    section: '5.2 S1CDMax',
    broken: (w, c) => stage1On(w) && c.features.ssidSize !== 0 && get(w, F.S1CDMax) > c.features.ssidSize,
  },
  {
    rule: 'S1Fmt selects a 2-level CD table but IDR0.CD2L == 0',
    section: '5.2 S1Fmt',
    broken: (w, c) =>
      stage1On(w) &&
      c.features.ssidSize !== 0 &&
      get(w, F.S1CDMax) !== 0 &&
      !c.features.cd2l &&
      (get(w, F.S1Fmt) === 1 || get(w, F.S1Fmt) === 2),
  },
  {
    rule: 'S1ContextPtr is out of range',
    section: '3.4.3',
    // Choice: s1contextptr-range.
    broken: (w, c) =>
      stage1On(w) && getAddress(w, F.S1ContextPtr) >= 2 ** (stage2On(w) ? c.features.ias : c.features.oas),
  },
  {
    rule: 'S2FWB == 1 with VMSAv8-32 LPAE tables',
    section: '5.2 S2FWB',
    broken: (w, c) => stage2On(w) && c.features.fwb && get(w, F.S2FWB) === 1 && get(w, F.S2AA64) === 0,
  },
  {
    rule: 'S2S == 1 but the Stall model is not supported',
    section: '5.2 S2S',
    broken: (w, c) => stage2On(w) && get(w, F.S2S) === 1 && c.stallModel === 1,
  },
  {
    rule: 'S2S == 0 but the Stall model is forced',
    section: '5.2 S2S',
    broken: (w, c) => stage2On(w) && get(w, F.S2S) === 0 && c.stallModel === 2,
  },
  {
    rule: 'S2AA64 selects a table format that IDR0.TTF does not advertise',
    section: '5.2 S2AA64',
    broken: (w, c) => stage2On(w) && (c.features.ttf & (get(w, F.S2AA64) === 1 ? 2 : 1)) === 0,
  },
  {
    rule: 'S2HA or S2HD without IDR0.HTTU support',
    section: '5.2 S2HA',
    broken: (w, c) =>
      stage2On(w) &&
      (((get(w, F.S2HA) === 1 || get(w, F.S2HD) === 1) &&
        (get(w, F.S2AA64) === 0 || c.features.httu === 0)) ||
        (get(w, F.S2HD) === 1 && c.features.httu === 1)),
  },
  {
    rule: 'S2HAFT without S2HA',
    section: '5.2 S2HAFT',
    broken: (w, c) =>
      stage2On(w) && hasTableAccessFlag(c.features) && get(w, F.S2HAFT) === 1 && get(w, F.S2HA) === 0,
  },
  {
    rule: 'S2TG, S2TTB, S2T0SZ and S2SL0 do not describe a table',
    section: '5.2 S2T0SZ',
    broken: (w, c) =>
      stage2On(w) && (get(w, F.S2AA64) === 0 ? s2LpaeTableIllegal(w, c.features) : s2TableIllegal(w, c, S2)),
  },
  {
    rule: 'S_S2TG, S_S2TTB, S_S2T0SZ and S_S2SL0 do not describe a table',
    section: '5.2 S_S2T0SZ',
    broken: (w, c) => stage2On(w) && c.security === SECURE && s2TableIllegal(w, c, S_S2),
  },
  {
    rule: 'S2ENDI selects an endianness that IDR0.TTENDIAN does not support',
    section: '5.2 S2ENDI',
    broken: (w, c) => stage2On(w) && endianIllegal(get(w, F.S2ENDI), c.features),
  },
  {
    rule: 'S2VMID[15:8] is not zero but IDR0.VMID16 == 0',
    section: '5.2 S2VMID',
    broken: (w, c) => !vmidIgnored(w, c) && !c.features.vmid16 && get(w, F.S2VMID) > 0xff,
  },
];

/** Whether an ENDI bit contradicts IDR0.TTENDIAN. */
export function endianIllegal(endi: number, features: Features): boolean {
  return (features.ttendian === 2 && endi === 1) || (features.ttendian === 3 && endi === 0);
}

/** SteIllegal (5.2.2), with the exception that Config 0b0xx is never ILLEGAL once V == 1. */
export function steIllegal(words: Words, context: SteContext): boolean {
  if (get(words, F.V) === 0) return true;
  if (config(words) < 4) return false;
  return STE_RULES.some(({ broken }) => broken(words, context));
}

/** Every broken rule, for people. */
export function brokenSteRules(words: Words, context: SteContext): readonly ValidityRule<SteContext>[] {
  if (get(words, F.V) === 1 && config(words) < 4) return [];
  return STE_RULES.filter(({ broken }) => broken(words, context));
}

function streamWorld(words: Words, context: SteContext, e2h: boolean): StreamWorld {
  const strw = strwUnused(words, context) ? 0 : get(words, F.STRW);
  if (context.security === SECURE) {
    if (strw === 1) return EL3;
    if (strw === 2) return e2h ? S_EL2_E2H : S_EL2;
    return SECURE_EL1;
  }
  if (strw === 2) return e2h ? NS_EL2_E2H : NS_EL2;
  return NS_EL1;
}

/** PA spaces of the walk through a stage 2 table and of what it maps to. */
interface Stage2Spaces {
  readonly walk: SecurityState;
  readonly output: SecurityState;
}

function spaceOf(ns: boolean): SecurityState {
  return ns ? NON_SECURE : SECURE;
}

/** NS bits of the walks and of the output, for a Secure stream's two IPA spaces (3.10.2.2). */
function secureStage2Spaces(words: Words): readonly [Stage2Spaces, Stage2Spaces] {
  const flag = (field: Field) => get(words, field) === 1;
  const secureToNonSecure = flag(F.S2SW) || flag(F.S2SA);
  const allNonSecure = secureToNonSecure || flag(F.S2NSW) || flag(F.S2NSA);
  return [
    { walk: spaceOf(flag(F.S2NSW)), output: spaceOf(allNonSecure) },
    { walk: spaceOf(flag(F.S2SW)), output: spaceOf(secureToNonSecure) },
  ];
}

/** @param ipaSpace whose table: S2TTB is the Non-secure IPA space's, S_S2TTB the Secure one's. */
function stage2Table(
  words: Words,
  { features, security }: SteContext,
  ipaSpace: SecurityState,
): TranslationTable {
  const table = ipaSpace === SECURE ? S_S2 : S2;
  const aa64 = get(words, F.S2AA64) === 1;
  const granuleBits = aa64 ? TG0_BITS[get(words, table.tg)]! : 12;
  const ds = aa64 && features.ds && get(words, F.S2DS) === 1 && granuleBits !== 16;
  const ha = get(words, F.S2HA) === 1;
  const spaces: Stage2Spaces =
    security === SECURE ? secureStage2Spaces(words)[ipaSpace] : { walk: NON_SECURE, output: NON_SECURE };
  return translationTable({
    ttb: getAddress(words, table.ttb),
    granuleBits,
    inputBits: aa64 ? 64 - get(words, table.t0sz) : lpaeInputBits(words),
    startLevel: aa64 ? s2StartLevel(words, table, granuleBits, ds, features)! : lpaeStartLevel(words),
    outputBits: aa64 ? effectivePs(get(words, F.S2PS), features) : LPAE_OUTPUT_BITS,
    walkBits: aa64 ? effectivePs(get(words, F.S2PS), features) : lpaeWalkBits(true, features.oas),
    lpa: granuleBits === 16 && features.oas === 52,
    ds,
    sh: get(words, F.S2SH0),
    bigEndian: get(words, F.S2ENDI) === 1,
    accessFlagFaults: get(words, F.S2AFFD) === 0 && !ha,
    setsAccessFlag: ha,
    setsDirty: ha && get(words, F.S2HD) === 1,
    setsTableAccessFlag: ha && hasTableAccessFlag(features) && get(words, F.S2HAFT) === 1,
    hierarchical: false,
    lpae: !aa64,
    space: spaces.walk,
    outputSpace: spaces.output,
  });
}

/**
 * Decodes a legal STE with Config 0b1xx.
 * @param e2h CR2.E2H of the STE's Security state.
 */
export function decodeSte(words: Words, context: SteContext, e2h: boolean): Ste {
  const { features } = context;
  const overrides = features.attrPermsOvr;
  return {
    words: Int32Array.from(words),
    config: config(words),
    world: streamWorld(words, context, e2h),
    s1ContextPtr: getAddress(words, F.S1ContextPtr),
    s1CDMax: features.ssidSize === 0 ? 0 : get(words, F.S1CDMax),
    s1Fmt: get(words, F.S1Fmt),
    s1DSS: get(words, F.S1DSS),
    s1STALLD: get(words, F.S1STALLD) === 1,
    vmid: vmidIgnored(words, context) ? 0 : get(words, F.S2VMID),
    stage2: stage2On(words) ? stage2Table(words, context, NON_SECURE) : undefined,
    stage2Secure:
      stage2On(words) && context.security === SECURE ? stage2Table(words, context, SECURE) : undefined,
    s2R: get(words, F.S2R) === 1,
    s2S: get(words, F.S2S) === 1,
    s2PTW: get(words, F.S2PTW) === 1,
    s2FWB: features.fwb && get(words, F.S2FWB) === 1,
    s2AA64: get(words, F.S2AA64) === 1,
    privcfg: overrides ? get(words, F.PRIVCFG) : 0,
    instcfg: overrides ? get(words, F.INSTCFG) : 0,
    nscfg: overrides ? get(words, F.NSCFG) : 0,
    overrides: overridesWord(words, F, features),
  };
}
