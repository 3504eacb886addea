/**
 * Output attributes of an access: memory type, cacheability, allocation hints, Shareability, privilege, instruction or
 * data (IHI 0070 chapter 13, 5.4 MAIR0; DDI 0487 D8.6).
 *
 * A translation keeps what its leaves say in one word, a stream keeps its overrides in another, and an access that
 * may proceed carries both. What they amount to is worked out here, on demand, so that a TLB hit pays two stores.
 * Not here, because not advertised: tagged memory, FEAT_XS, AIE, PBHA; No_snoop.
 */
import { type Field, f, get, type Words } from '../../arch/layout.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../arch/security.js';
import type { Features } from '../features.js';

/** Orders of strength, strongest first (IHI 0070 figure 13.1). */
const MEMORY_TYPES = ['Device-nGnRnE', 'Device-nGnRE', 'Device-nGRE', 'Device-GRE', 'Normal'] as const;
const POLICIES = ['NC', 'WT', 'WB'] as const;
const SHAREABILITIES = ['OSH', 'ISH', 'NSH'] as const;

export type MemoryType = (typeof MEMORY_TYPES)[number];
export type Policy = (typeof POLICIES)[number];
export type Shareability = (typeof SHAREABILITIES)[number];

interface Hints {
  readonly readAllocate: boolean;
  readonly writeAllocate: boolean;
  readonly transient: boolean;
}

/** Cacheability at one level, inner or outer; NC has no hints: all false. */
export interface Cacheability extends Hints {
  readonly policy: Policy;
}

export interface MemoryAttributes {
  readonly memoryType: MemoryType;
  /** NC for a Device type. */
  readonly inner: Cacheability;
  readonly outer: Cacheability;
  readonly shareability: Shareability;
}

/** What a device supplies with an access; the rest is made up as IHI 0070 13.1.3 says. */
export type IncomingAttributes = Partial<MemoryAttributes>;

export interface OutputAttributes extends MemoryAttributes {
  readonly privileged: boolean;
  readonly instruction: boolean;
  readonly space: SecurityState;
}

/** What of a Transaction decides; all of it is valid when the outcome is OK. */
export interface AttributedAccess {
  readonly write: boolean;
  readonly privileged: boolean;
  readonly instruction: boolean;
  readonly attributes: IncomingAttributes | undefined;
  readonly space: SecurityState;
  readonly translationAttributes: number;
  readonly overrides: number;
}

type Cacheabilities = Omit<MemoryAttributes, 'shareability'>;

const NO_HINTS: Hints = { readAllocate: false, writeAllocate: false, transient: false };
/** Hints where none were given (13.1.3, 13.1.4; DDI 0487 D8.6.3). Combining with them changes nothing. */
const DEFAULT_HINTS: Hints = { readAllocate: true, writeAllocate: true, transient: false };
const NON_CACHEABLE = cacheability('NC', NO_HINTS);

/** The raw attributes of a translation, 19 bits. A stage that does not translate leaves its fields 0. */
const TRANSLATION = {
  /** MAIR byte that the stage 1 leaf's AttrIndx selects. */
  Attr: f(7, 0),
  SH: f(9, 8),
  S2MemAttr: f(13, 10),
  S2SH: f(15, 14),
  stage1: f(16),
  stage2: f(17),
  S2FWB: f(18),
};

/** The fields that STE and GBPA share, packed. */
const OVERRIDES = {
  MemAttr: f(3, 0),
  MTCFG: f(4),
  ALLOCCFG: f(8, 5),
  SHCFG: f(10, 9),
  PRIVCFG: f(12, 11),
  INSTCFG: f(14, 13),
};
const SHCFG_INCOMING = 1;
const ALLOCCFG_OVERRIDE = 8;
const UNPRIVILEGED_OR_DATA = 2;
const PRIVILEGED_OR_INSTRUCTION = 3;

/** @param mair CD.MAIR0 and MAIR1. */
export function stage1Word(mair: readonly [number, number], attrIndx: number, sh: number): number {
  const attr = (mair[attrIndx >>> 2]! >>> ((attrIndx & 3) * 8)) & 0xff;
  return attr | (sh << TRANSLATION.SH.lo) | (1 << TRANSLATION.stage1.lo);
}

export function stage2Word(memAttr: number, sh: number, fwb: boolean): number {
  return (
    (memAttr << TRANSLATION.S2MemAttr.lo) |
    (sh << TRANSLATION.S2SH.lo) |
    (1 << TRANSLATION.stage2.lo) |
    (fwb ? 1 << TRANSLATION.S2FWB.lo : 0)
  );
}

/** Packs the overrides of an STE or GBPA, as far as IDR1 lets them take effect. */
export function overridesWord(
  words: Words,
  fields: Readonly<Record<keyof typeof OVERRIDES, Field>>,
  { attrTypesOvr, attrPermsOvr, archMinor }: Features,
): number {
  const packed = (name: keyof typeof OVERRIDES) => get(words, fields[name]) << OVERRIDES[name].lo;
  const types = attrTypesOvr
    ? packed('MemAttr') | packed('MTCFG') | packed('ALLOCCFG') | packed('SHCFG')
    : SHCFG_INCOMING << OVERRIDES.SHCFG.lo;
  // From SMMUv3.4 on, what goes out is Privileged and Data whatever the permission check saw (13.1.2).
  if (archMinor >= 4) {
    return (
      types |
      (PRIVILEGED_OR_INSTRUCTION << OVERRIDES.PRIVCFG.lo) |
      (UNPRIVILEGED_OR_DATA << OVERRIDES.INSTCFG.lo)
    );
  }
  return attrPermsOvr ? types | packed('PRIVCFG') | packed('INSTCFG') : types;
}

/** The PA space of an access that stage 1 does not translate: STE.NSCFG or S_GBPA.NSCFG for a Secure stream. */
export function outputSpace(security: SecurityState, nscfg: number, incomingNs: boolean): SecurityState {
  if (security === NON_SECURE) return NON_SECURE;
  const nonSecure = nscfg >= 2 ? nscfg === 3 : incomingNs;
  return nonSecure ? NON_SECURE : SECURE;
}

/** Whether stage 2 maps with a Device type, for STE.S2PTW. Reserved encodings are Device (choice: s2-memattr-reserved). */
export function isStage2Device(word: number): boolean {
  const memAttr = get([word], TRANSLATION.S2MemAttr);
  const normal = get([word], TRANSLATION.S2FWB) === 1 ? 0b0100 : 0b1100;
  return (memAttr & normal) === 0 || (memAttr & 0b0011) === 0;
}

/** The attributes with which an access goes on to memory (13.4.4). */
export function outputAttributes(access: AttributedAccess): OutputAttributes {
  const chosen = (field: Field, incoming: boolean) => {
    const configured = get([access.overrides], field);
    return configured < UNPRIVILEGED_OR_DATA ? incoming : configured === PRIVILEGED_OR_INSTRUCTION;
  };
  return {
    ...memoryAttributes(access.attributes, access.overrides, access.translationAttributes),
    privileged: chosen(OVERRIDES.PRIVCFG, access.privileged),
    instruction: !access.write && chosen(OVERRIDES.INSTCFG, access.instruction),
    space: access.space,
  };
}

/**
 * Incoming attributes, then overrides, then the stages that translate (13.4).
 * @param overrides as `overridesWord` packs them.
 * @param word a `stage1Word`, a `stage2Word`, both ORed, or 0 for bypass.
 */
export function memoryAttributes(
  incoming: IncomingAttributes | undefined,
  overrides: number,
  word: number,
): MemoryAttributes {
  let result = replaced(withDefaults(incoming), [overrides]);
  if (get([word], TRANSLATION.stage1) === 1) result = throughStage1(result, [word]);
  if (get([word], TRANSLATION.stage2) === 1) result = throughStage2(result, [word]);
  return consistent(result);
}

function withDefaults(incoming: IncomingAttributes = {}): MemoryAttributes {
  const { memoryType = 'Normal', shareability = 'NSH' } = incoming;
  const unsupplied = memoryType === 'Normal' ? cacheability('WB', DEFAULT_HINTS) : NON_CACHEABLE;
  const { inner = unsupplied, outer = unsupplied } = incoming;
  return { memoryType, inner, outer, shareability };
}

/**
 * Overrides of MTCFG, ALLOCCFG and SHCFG; no Device or Normal-iNC-oNC input is other than OSH (13.1.4). Choices:
 * alloccfg-without-mtcfg, pcie-attribute-overrides.
 */
function replaced(input: MemoryAttributes, overrides: Words): MemoryAttributes {
  let { memoryType, inner, outer, shareability } = input;
  if (get(overrides, OVERRIDES.MTCFG) === 1) {
    const type = decodeMemAttr(get(overrides, OVERRIDES.MemAttr));
    memoryType = type.memoryType;
    inner = cacheability(type.inner.policy, hintsOf(inner));
    outer = cacheability(type.outer.policy, hintsOf(outer));
  }
  const alloccfg = get(overrides, OVERRIDES.ALLOCCFG);
  if (alloccfg >= ALLOCCFG_OVERRIDE) {
    const hints = {
      readAllocate: (alloccfg & 4) !== 0,
      writeAllocate: (alloccfg & 2) !== 0,
      transient: (alloccfg & 1) !== 0,
    };
    inner = cacheability(inner.policy, hints);
    outer = cacheability(outer.policy, hints);
  }
  const shcfg = get(overrides, OVERRIDES.SHCFG);
  if (shcfg !== SHCFG_INCOMING) shareability = decodeSh(shcfg);
  return normalized({ memoryType, inner, outer, shareability });
}

/** Type and Shareability are stage 1's; hints that came with the access are combined with its hints (13.4.2). */
function throughStage1(input: MemoryAttributes, word: Words): MemoryAttributes {
  const type = decodeMair(get(word, TRANSLATION.Attr));
  return normalized({
    memoryType: type.memoryType,
    inner: cacheability(type.inner.policy, combinedHints(type.inner, hintsOf(input.inner))),
    outer: cacheability(type.outer.policy, combinedHints(type.outer, hintsOf(input.outer))),
    shareability: decodeSh(get(word, TRANSLATION.SH)),
  });
}

/** Stage 2 has no hints of its own; a level that it makes cacheable gets the default ones (DDI 0487 D8.6.3). */
function throughStage2(input: MemoryAttributes, word: Words): MemoryAttributes {
  const memAttr = get(word, TRANSLATION.S2MemAttr);
  const { memoryType, inner, outer } =
    get(word, TRANSLATION.S2FWB) === 1 ? forced(input, memAttr) : combined(input, decodeMemAttr(memAttr));
  return {
    memoryType,
    inner: cacheability(inner.policy, hintsOf(input.inner)),
    outer: cacheability(outer.policy, hintsOf(input.outer)),
    shareability: stronger(SHAREABILITIES, input.shareability, decodeSh(get(word, TRANSLATION.S2SH))),
  };
}

/** The stronger of both types (DDI 0487 tables D8-97 and D8-98). */
function combined(input: Cacheabilities, stage2: Cacheabilities): Cacheabilities {
  const level = (a: Cacheability, b: Cacheability) =>
    cacheability(stronger(POLICIES, a.policy, b.policy), DEFAULT_HINTS);
  const memoryType = stronger(MEMORY_TYPES, input.memoryType, stage2.memoryType);
  return typed(memoryType, level(input.inner, stage2.inner), level(input.outer, stage2.outer));
}

/** Stage 2 control of the type: S2FWB == 1 (13.1.6; DDI 0487 tables D8-100 and D8-101). */
function forced(input: Cacheabilities, memAttr: number): Cacheabilities {
  const low = memAttr & 3;
  if ((memAttr & 4) === 0 || low === 0) return combined(input, typed(MEMORY_TYPES[low]!));
  if (low === 2) return normal('WB', 'WB');
  if (low === 1 && input.memoryType === 'Normal') return normal('NC', 'NC');
  return input;
}

/** IHI 0070 13.1.7. */
function consistent({ memoryType, inner, outer, shareability }: MemoryAttributes): MemoryAttributes {
  const level = (one: Cacheability) =>
    one.readAllocate || one.writeAllocate ? one : { ...one, transient: false };
  return normalized({ memoryType, inner: level(inner), outer: level(outer), shareability });
}

/** Any-Device and Normal-iNC-oNC are Outer Shareable, here also between the stages (choice: stage1-sh-normalized). */
function normalized(attributes: MemoryAttributes): MemoryAttributes {
  const { inner, outer } = attributes;
  return inner.policy === 'NC' && outer.policy === 'NC' ? { ...attributes, shareability: 'OSH' } : attributes;
}

/** A MAIR byte; the reserved encodings behave as 5.4 MAIR1 says. */
function decodeMair(attr: number): Cacheabilities {
  const outer = attr >>> 4;
  const inner = attr & 0xf;
  if (outer === 0) return typed(MEMORY_TYPES[inner >>> 2]!);
  return typed('Normal', decodeMairLevel(inner), decodeMairLevel(outer));
}

function decodeMairLevel(bits: number): Cacheability {
  if (bits === 0b0100) return NON_CACHEABLE;
  const RW = bits === 0 ? 3 : bits & 3;
  return {
    policy: (bits & 4) !== 0 ? 'WB' : 'WT',
    readAllocate: (RW & 2) !== 0,
    writeAllocate: (RW & 1) !== 0,
    transient: bits < 8,
  };
}

/** MemAttr[3:0] of STE, GBPA and stage 2 leaves without FWB; reserved encodings are Device-nGnRnE (5.2 MemAttr). */
function decodeMemAttr(memAttr: number): Cacheabilities {
  const outer = memAttr >>> 2;
  const inner = memAttr & 3;
  if (outer === 0 || inner === 0) return typed(MEMORY_TYPES[inner]!);
  return normal(POLICIES[inner - 1]!, POLICIES[outer - 1]!);
}

/** SH and SHCFG encodings; the reserved 0b01 is Non-shareable (choice: sh-reserved). */
function decodeSh(sh: number): Shareability {
  return sh === 2 ? 'OSH' : sh === 3 ? 'ISH' : 'NSH';
}

function normal(inner: Policy, outer: Policy): Cacheabilities {
  return typed('Normal', cacheability(inner, DEFAULT_HINTS), cacheability(outer, DEFAULT_HINTS));
}

function typed(memoryType: MemoryType, inner = NON_CACHEABLE, outer = NON_CACHEABLE): Cacheabilities {
  return memoryType === 'Normal'
    ? { memoryType, inner, outer }
    : { memoryType, inner: NON_CACHEABLE, outer: NON_CACHEABLE };
}

function cacheability(policy: Policy, hints: Hints): Cacheability {
  const { readAllocate, writeAllocate, transient } = policy === 'NC' ? NO_HINTS : hints;
  return { policy, readAllocate, writeAllocate, transient };
}

function hintsOf(level: Cacheability): Hints {
  return level.policy === 'NC' ? DEFAULT_HINTS : level;
}

/** No-allocate and transient are the special cases that win (IHI 0070 13.1.5). */
function combinedHints(a: Hints, b: Hints): Hints {
  return {
    readAllocate: a.readAllocate && b.readAllocate,
    writeAllocate: a.writeAllocate && b.writeAllocate,
    transient: a.transient || b.transient,
  };
}

function stronger<Value>(order: readonly Value[], a: Value, b: Value): Value {
  return order[Math.min(order.indexOf(a), order.indexOf(b))]!;
}
