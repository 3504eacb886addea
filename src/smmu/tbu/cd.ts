/**
 * CD: validity (IHI 0070 5.4.2) and decoding into what translations need.
 * Not covered because never advertised: permission indirection, 128-bit descriptors.
 */
import { type Field, get, getAddress, type Words } from '../../arch/layout.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../arch/security.js';
import { CD } from '../../arch/structures.js';
import { effectivePs, type Features, hasTableAccessFlag } from '../features.js';
import { endianIllegal, type Ste, type ValidityRule } from './ste.js';
import { EL3, hasAsid, isSinglePrivilege, NS_EL2_E2H, S_EL2, S_EL2_E2H } from './stream-world.js';
import {
  LPAE_OUTPUT_BITS,
  lpaeWalkBits,
  stage1StartLevel,
  TG0_BITS,
  TG1_BITS,
  type TranslationTable,
  translationTable,
} from './table.js';

const F = CD.fields;

export interface Cd {
  /** The structure as memory had it. */
  readonly words: Words;
  /** Tables of the two halves; undefined where EPDx disables the walk. */
  readonly ttb0: TranslationTable | undefined;
  readonly ttb1: TranslationTable | undefined;
  /** VMSAv8-64; otherwise VMSAv8-32 LPAE, with T0SZ and T1SZ choosing the table. */
  readonly aa64: boolean;
  readonly t0sz: number;
  readonly t1sz: number;
  readonly tbi0: boolean;
  readonly tbi1: boolean;
  readonly asid: number;
  /** CD.ASET; 0 where there are no ASIDs. */
  readonly aset: number;
  readonly wxn: boolean;
  readonly uwxn: boolean;
  readonly pan: boolean;
  readonly epan: boolean;
  /** MAIR0 and MAIR1. */
  readonly mair: readonly [number, number];
  readonly e0pd0: boolean;
  readonly e0pd1: boolean;
  /** On a stage 1 fault: abort or RAZ/WI, record, stall (CD.A, R, S; 5.5). */
  readonly a: boolean;
  readonly r: boolean;
  readonly s: boolean;
}

export interface CdContext {
  readonly features: Features;
  readonly security: SecurityState;
  readonly stallModel: number;
  readonly ste: Ste;
}

interface Half {
  readonly tsz: Field;
  readonly tg: Field;
  readonly epd: Field;
  readonly ttb: Field;
  readonly had: Field;
  readonly sh: Field;
  readonly nscfg: Field;
  readonly granules: readonly (0 | 12 | 14 | 16)[];
}

const HALF0: Half = {
  tsz: F.T0SZ,
  tg: F.TG0,
  epd: F.EPD0,
  ttb: F.TTB0,
  had: F.HAD0,
  sh: F.SH0,
  nscfg: F.NSCFG0,
  granules: TG0_BITS,
};
const HALF1: Half = {
  tsz: F.T1SZ,
  tg: F.TG1,
  epd: F.EPD1,
  ttb: F.TTB1,
  had: F.HAD1,
  sh: F.SH1,
  nscfg: F.NSCFG1,
  granules: TG1_BITS,
};

/** Effective EPDx: with any-EL2 or EL3 there is TTB0 alone and it is always on (5.4.1). */
function disabled(words: Words, half: Half, ste: Ste): boolean {
  if (isSinglePrivilege(ste.world)) return half === HALF1;
  return get(words, half.epd) === 1;
}

function usesDs(words: Words, granuleBits: number, features: Features): boolean {
  return features.ds && get(words, F.DS) === 1 && granuleBits !== 16;
}

function halfIllegal(words: Words, half: Half, { features, ste }: CdContext): boolean {
  if (disabled(words, half, ste)) return false;
  if (get(words, F.AA64) === 0)
    return getAddress(words, half.ttb) >= 2 ** lpaeWalkBits(ste.stage2 === undefined, features.oas);
  const granuleBits = half.granules[get(words, half.tg)]!;
  if (granuleBits === 0 || !features.granules[granuleBits]) return true;
  const large = granuleBits === 16 || usesDs(words, granuleBits, features);
  const tsz = get(words, half.tsz);
  const max = !features.stt ? 39 : granuleBits === 16 ? 47 : 48;
  if (tsz < (large && features.vaBits > 48 ? 12 : 16) || tsz > max) return true;
  const ips = effectivePs(get(words, F.IPS), features);
  return getAddress(words, half.ttb) >= 2 ** (large ? ips : Math.min(ips, 48));
}

/** Each rule of CdIllegal that can apply here, in its order. */
export const CD_RULES: readonly ValidityRule<CdContext>[] = [
  { rule: 'V == 0', section: '5.4 V', broken: (w) => get(w, F.V) === 0 },
  {
    rule: 'S == 1 but STE.S1STALLD == 1',
    section: '5.5',
    broken: (w, c) => c.ste.s1STALLD && get(w, F.S) === 1,
  },
  {
    rule: 'A == 0 but IDR0.TERM_MODEL == 1',
    section: '5.5',
    broken: (w, c) => c.features.termModel === 1 && get(w, F.A) === 0,
  },
  {
    rule: 'S == 1 but the Stall model is not supported',
    section: '5.5',
    broken: (w, c) => c.stallModel === 1 && get(w, F.S) === 1,
  },
  {
    rule: 'S == 0 but the Stall model is forced',
    section: '5.5',
    broken: (w, c) => c.stallModel === 2 && get(w, F.S) === 0,
  },
  {
    rule: 'ENDI selects an endianness that IDR0.TTENDIAN does not support',
    section: '5.4 ENDI',
    broken: (w, c) =>
      (!disabled(w, HALF0, c.ste) || !disabled(w, HALF1, c.ste)) && endianIllegal(get(w, F.ENDI), c.features),
  },
  {
    rule: 'AA64 selects a table format that IDR0.TTF or the STE does not allow',
    section: '5.4 AA64',
    broken: (w, c) =>
      (c.features.ttf & (get(w, F.AA64) === 1 ? 2 : 1)) === 0 ||
      (get(w, F.AA64) === 1 && c.ste.stage2 !== undefined && !c.ste.s2AA64),
  },
  {
    rule: 'AA64 == 0 (VMSAv8-32 LPAE) with StreamWorld EL3, any-EL2-E2H or S-EL2',
    section: '5.4 AA64',
    broken: (w, c) =>
      get(w, F.AA64) === 0 && [EL3, NS_EL2_E2H, S_EL2_E2H, S_EL2].some((world) => world === c.ste.world),
  },
  {
    rule: 'HA or HD without IDR0.HTTU support',
    section: '5.4 HA',
    broken: (w, c) =>
      get(w, F.AA64) === 1 &&
      (((get(w, F.HA) === 1 || get(w, F.HD) === 1) && c.features.httu === 0) ||
        (get(w, F.HD) === 1 && c.features.httu === 1)),
  },
  {
    rule: 'HAFT without HA',
    section: '5.4 HAFT',
    broken: (w, c) =>
      get(w, F.AA64) === 1 && hasTableAccessFlag(c.features) && get(w, F.HAFT) === 1 && get(w, F.HA) === 0,
  },
  {
    rule: 'ASID[15:8] is not zero but IDR0.ASID16 == 0',
    section: '5.4 ASID',
    broken: (w, c) => hasAsid(c.ste.world) && !c.features.asid16 && get(w, F.ASID) > 0xff,
  },
  {
    rule: 'TG0, T0SZ and TTB0 do not describe a table',
    section: '5.4 T0SZ',
    broken: (w, c) => halfIllegal(w, HALF0, c),
  },
  {
    rule: 'TG1, T1SZ and TTB1 do not describe a table',
    section: '5.4 T1SZ',
    broken: (w, c) => halfIllegal(w, HALF1, c),
  },
];

/** CdIllegal (5.4.2). */
export function cdIllegal(words: Words, context: CdContext): boolean {
  return CD_RULES.some(({ broken }) => broken(words, context));
}

/** Every broken rule, for people. */
export function brokenCdRules(words: Words, context: CdContext): readonly ValidityRule<CdContext>[] {
  return CD_RULES.filter(({ broken }) => broken(words, context));
}

/** T0SZ and T1SZ of VMSAv8-32 LPAE have three bits (5.4 T0SZ). */
function lpaeTsz(words: Words, half: Half): number {
  return get(words, half.tsz) & 7;
}

function table(
  words: Words,
  half: Half,
  { features, security, ste }: CdContext,
): TranslationTable | undefined {
  if (disabled(words, half, ste)) return undefined;
  const aa64 = get(words, F.AA64) === 1;
  const granuleBits = aa64 ? half.granules[get(words, half.tg)]! : 12;
  const ha = aa64 && get(words, F.HA) === 1;
  const inputBits = aa64 ? 64 - get(words, half.tsz) : 32 - lpaeTsz(words, half);
  return translationTable({
    ttb: getAddress(words, half.ttb),
    granuleBits,
    inputBits,
    startLevel: stage1StartLevel(inputBits, granuleBits),
    outputBits: aa64 ? effectivePs(get(words, F.IPS), features) : LPAE_OUTPUT_BITS,
    walkBits: aa64
      ? effectivePs(get(words, F.IPS), features)
      : lpaeWalkBits(ste.stage2 === undefined, features.oas),
    lpa: granuleBits === 16 && features.oas === 52,
    ds: aa64 && usesDs(words, granuleBits, features),
    sh: get(words, half.sh),
    bigEndian: get(words, F.ENDI) === 1,
    accessFlagFaults: get(words, F.AFFD) === 0 && !ha,
    setsAccessFlag: ha,
    setsDirty: ha && get(words, F.HD) === 1,
    setsTableAccessFlag: ha && hasTableAccessFlag(features) && get(words, F.HAFT) === 1,
    hierarchical: !(features.had && get(words, half.had) === 1),
    lpae: !aa64,
    space: security === SECURE && get(words, half.nscfg) === 0 ? SECURE : NON_SECURE,
    outputSpace: security,
  });
}

/** Decodes a legal CD. */
export function decodeCd(words: Words, context: CdContext): Cd {
  const { features, ste } = context;
  const twoLevels = !isSinglePrivilege(ste.world);
  const aa64 = get(words, F.AA64) === 1;
  return {
    words: Int32Array.from(words),
    ttb0: table(words, HALF0, context),
    ttb1: table(words, HALF1, context),
    aa64,
    t0sz: lpaeTsz(words, HALF0),
    t1sz: lpaeTsz(words, HALF1),
    tbi0: aa64 && get(words, F.TBI0) === 1,
    tbi1: aa64 && twoLevels && get(words, F.TBI1) === 1,
    asid: hasAsid(ste.world) ? get(words, F.ASID) : 0,
    aset: hasAsid(ste.world) ? get(words, F.ASET) : 0,
    wxn: get(words, F.WXN) === 1,
    uwxn: !aa64 && get(words, F.UWXN) === 1,
    pan: twoLevels && get(words, F.PAN) === 1,
    mair: [get(words, F.MAIR0), get(words, F.MAIR1)],
    epan: aa64 && features.epan && get(words, F.EPAN) === 1,
    e0pd0: aa64 && twoLevels && features.e0pd && get(words, F.E0PD0) === 1,
    e0pd1: aa64 && twoLevels && features.e0pd && get(words, F.E0PD1) === 1,
    a: get(words, F.A) === 1,
    r: get(words, F.R) === 1,
    s: get(words, F.S) === 1,
  };
}
