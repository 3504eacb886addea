/**
 * Why a translation ended as it did: the check that failed, in one sentence with its section. Worked out from the
 * trace after the fact, so that the TBU need not carry sentences.
 */
import {
  C_BAD_CD,
  C_BAD_STE,
  C_BAD_STREAMID,
  C_BAD_SUBSTREAMID,
  CLASS_IN,
  EVENT,
  F_ACCESS,
  F_ADDR_SIZE,
  F_CD_FETCH,
  F_PERMISSION,
  F_STE_FETCH,
  F_STREAM_DISABLED,
  F_TRANSLATION,
  F_WALK_EABT,
} from '../arch/events.js';
import { get, getAddress } from '../arch/layout.js';
import { BANKS, type RegisterKey } from '../arch/registers.js';
import { NON_SECURE, SECURE, type SecurityState } from '../arch/security.js';
import { CONFIG_BYPASS, L1CD, L1STD, STE } from '../arch/structures.js';
import { readFeatures } from '../smmu/features.js';
import { brokenCdRules } from '../smmu/tbu/cd.js';
import { selectHalf, selectLpaeHalf } from '../smmu/tbu/input-address.js';
import { EXECUTE, PRIV_READ } from '../smmu/tbu/permission.js';
import { brokenSteRules, decodeSte, type Ste } from '../smmu/tbu/ste.js';
import type { TranslationTable } from '../smmu/tbu/table.js';
import { ABORT, OK, RAZ_WI, STALL } from '../smmu/transaction.js';
import { describeDescriptor } from './descriptor.js';
import { hex, printNeed, printPermissions } from './text.js';
import {
  findLast,
  findStep,
  findStructure,
  type Stage,
  type StepOf,
  securityOf,
  type Translation,
} from './trace.js';

export interface Reason {
  readonly text: string;
  /** As `IHI 0070 5.2` or `DDI 0487 D8.3.1`. */
  readonly section: string;
}

const GBPA = BANKS[SECURE].GBPA.fields;

const because = (text: string, section: string): Reason => ({ text, section });

/** The stream's STE as far as the translation came to know it. */
export function steOf(translation: Translation): Ste | undefined {
  const context = findStep(translation, 'context')?.context;
  if (context !== undefined) return context.ste;
  const hit = findLast(translation, 'config-hit', ({ ste }) => ste !== undefined);
  if (hit !== undefined) return hit.ste;
  const words = findStructure(translation, 'STE')?.words;
  const controls = findStep(translation, 'bank')?.controls;
  if (words === undefined || controls === undefined) return undefined;
  const about = structureContext(translation);
  const illegal = brokenSteRules(words, about).length > 0 || get(words, STE.fields.Config) < 4;
  return illegal ? undefined : decodeSte(words, about, controls.e2h);
}

function structureContext(translation: Translation) {
  const features = readFeatures(translation.config.idr);
  const security = securityOf(translation);
  const controls = findStep(translation, 'bank')?.controls;
  return { features, security, stallModel: controls?.stallModel ?? features.stallModel[security] };
}

/** Which table of stage 1 the address selects: TTB0, TTB1, or -1 where it lies in the range of neither. */
export function tableHalf(translation: Translation): 0 | 1 | -1 {
  const context = findStep(translation, 'context')?.context;
  if (context?.cd === undefined) return -1;
  const { iova } = translation.request;
  const lo = Number(iova & 0xffff_ffffn);
  const hi = Number(iova >> 32n);
  return context.cd.aa64
    ? selectHalf(hi, context.singlePrivilege)
    : selectLpaeHalf(context.cd, lo, hi, context.singlePrivilege);
}

/**
 * The table that a stage of the translation walks; undefined where it has none.
 * @param ipaSpace a Secure stream's stage 2 has a table for each of its IPA spaces (IHI 0070 3.10.2.2).
 */
export function tableOf(
  translation: Translation,
  stage: Stage,
  ipaSpace: SecurityState = NON_SECURE,
): TranslationTable | undefined {
  if (stage === 2) return steOf(translation)?.[ipaSpace === SECURE ? 'stage2Secure' : 'stage2'];
  const cd = findStep(translation, 'context')?.context.cd;
  const half = tableHalf(translation);
  return half < 0 ? undefined : half === 1 ? cd?.ttb1 : cd?.ttb0;
}

/** Where the descriptors of a table are specified. */
export function descriptorSection({ lpae }: TranslationTable): string {
  return lpae ? 'DDI 0487 G5.5.2' : 'DDI 0487 D8.3.1';
}

/** Where a register of a bank is specified. */
export function registerSection(key: RegisterKey, security: SecurityState): string {
  return `IHI 0070 ${BANKS[security][key].section}`;
}

/** Every reason, most specific first; none for an access that went through. */
export function reasonsOf(translation: Translation): Reason[] {
  if (translation.outcome === OK) return [];
  const event = findStep(translation, 'event');
  const bank = findStep(translation, 'bank');
  if (bank !== undefined && !bank.controls.smmuen) return [globalAbort(translation, bank)];
  if (event !== undefined) {
    const number = get(event.words, EVENT.EventNumber);
    const reasons = configurationReasons(translation, number);
    if (reasons !== undefined) return reasons;
  }
  const fault = faultOf(translation);
  if (fault === undefined) return silentReasons(translation);
  return [faultReason(translation, fault), ...terminationReasons(translation, fault)];
}

function globalAbort(translation: Translation, { controls, security }: StepOf<'bank'>): Reason {
  const { oas } = readFeatures(translation.config.idr);
  const bank = security === SECURE ? 'SMMU_S_' : 'SMMU_';
  if (get([controls.gbpa], GBPA.ABORT!) === 1) {
    return because(
      `${bank}GBPA.ABORT == 1 while ${bank}CR0.SMMUEN == 0: no event`,
      registerSection('GBPA', security),
    );
  }
  if (translation.request.iova >> BigInt(oas) !== 0n) {
    return because(`the address exceeds the OAS of ${oas} bits while SMMUEN == 0: no event`, 'IHI 0070 3.4');
  }
  return because(
    'instruction fetch to the Non-secure PA space with SMMU_S_CR0.SIF == 1: no event',
    registerSection('CR0', SECURE),
  );
}

/** Reasons of the events that precede the translation proper; undefined for any other. */
function configurationReasons(translation: Translation, event: number): Reason[] | undefined {
  switch (event) {
    case C_BAD_STREAMID:
      return [streamReason(translation)];
    case F_STE_FETCH:
    case F_CD_FETCH:
      return [fetchReason(translation, event === F_STE_FETCH ? 'STE or L1STD' : 'CD or L1CD')];
    case C_BAD_STE:
      return steReasons(translation);
    case C_BAD_CD:
      return cdReasons(translation);
    case C_BAD_SUBSTREAMID:
      return [substreamReason(translation)];
    case F_STREAM_DISABLED:
      return [disabledReason(translation)];
    default:
      return undefined;
  }
}

function streamReason(translation: Translation): Reason {
  const { StreamID } = translation.request;
  const { controls, security } = findStep(translation, 'bank')!;
  const l1 = findStructure(translation, 'L1STD');
  if (l1 === undefined) {
    const sidSize = readFeatures(translation.config.idr).sidSize[security];
    const bits = Math.min(controls.log2size, sidSize);
    return because(
      `StreamID ${hex(StreamID)} is not below 2^${bits} (STRTAB_BASE_CFG.LOG2SIZE)`,
      registerSection('STRTAB_BASE_CFG', security),
    );
  }
  const span = get(l1.words, L1STD.fields.Span);
  if (span === 0)
    return because(`L1STD at ${hex(l1.pa)}: Span == 0, there is no level 2 array`, 'IHI 0070 5.1');
  const index = StreamID % 2 ** controls.split;
  if (span > 11 || span > controls.split + 1) {
    return because(
      `L1STD at ${hex(l1.pa)}: Span == ${span} is reserved with SPLIT ${controls.split}`,
      'IHI 0070 5.1',
    );
  }
  return because(
    `L1STD at ${hex(l1.pa)}: index ${index} is not below the 2^${span - 1} STEs of Span ${span}`,
    'IHI 0070 5.1',
  );
}

function fetchReason(translation: Translation, what: string): Reason {
  const pa = getAddress(findStep(translation, 'event')!.words, EVENT.FetchAddr);
  return because(`external abort on the fetch of the ${what} at ${hex(pa)}`, 'IHI 0070 7.3');
}

function steReasons(translation: Translation): Reason[] {
  const { words, pa } = findStructure(translation, 'STE')!;
  return brokenSteRules(words, structureContext(translation)).map(({ rule, section }) =>
    because(`STE at ${hex(pa)} is ILLEGAL: ${rule}`, `IHI 0070 ${section}`),
  );
}

function cdReasons(translation: Translation): Reason[] {
  const { words, pa } = findStructure(translation, 'CD')!;
  const about = { ...structureContext(translation), ste: steOf(translation)! };
  return brokenCdRules(words, about).map(({ rule, section }) =>
    because(`CD at ${hex(pa)} is ILLEGAL: ${rule}`, `IHI 0070 ${section}`),
  );
}

function substreamReason(translation: Translation): Reason {
  const { SubstreamID } = translation.request;
  const ste = steOf(translation)!;
  if ((ste.config & 1) === 0) {
    return because(`SubstreamID ${hex(SubstreamID)} on a stream without stage 1`, 'IHI 0070 7.3.9');
  }
  if (ste.s1CDMax === 0) {
    return because(
      `SubstreamID ${hex(SubstreamID)}, but substreams are disabled: S1CDMax == 0`,
      'IHI 0070 5.2',
    );
  }
  if (SubstreamID >= 2 ** ste.s1CDMax) {
    return because(
      `SubstreamID ${hex(SubstreamID)} is not below 2^${ste.s1CDMax} (STE.S1CDMax)`,
      'IHI 0070 5.2',
    );
  }
  const { words, pa } = findStructure(translation, 'L1CD')!;
  const why = get(words, L1CD.fields.V) === 0 ? 'V == 0' : 'L2Ptr is out of range';
  return because(`L1CD at ${hex(pa)}: ${why}`, 'IHI 0070 5.3');
}

function disabledReason(translation: Translation): Reason {
  return translation.request.SubstreamID < 0
    ? because('no SubstreamID, and STE.S1DSS == 0b00 terminates such accesses', 'IHI 0070 5.2')
    : because('SubstreamID 0, which STE.S1DSS == 0b10 keeps for accesses without one', 'IHI 0070 5.2');
}

/** The access was terminated before translation, and nothing was recorded. */
function silentReasons(translation: Translation): Reason[] {
  const ste = findStructure(translation, 'STE');
  if (ste !== undefined) {
    const config = get(ste.words, STE.fields.Config).toString(2).padStart(3, '0');
    return [because(`STE at ${hex(ste.pa)}: Config == 0b${config}, abort without an event`, 'IHI 0070 5.2')];
  }
  return [
    streamReason(translation),
    because('no event: CR2.RECINVSID == 0', registerSection('CR2', securityOf(translation))),
  ];
}

type Fault = Pick<StepOf<'fault'>, 'event' | 'stage' | 'faultClass'>;

/** The fault that ended a translation whose configuration was found. Checks before the walk tell it by the event. */
function faultOf(translation: Translation): Fault | undefined {
  const told = findLast(translation, 'fault');
  if (told !== undefined) return told;
  if (findStep(translation, 'context') === undefined) return undefined;
  const event = findStep(translation, 'event');
  if (event !== undefined) {
    const stage = get(event.words, EVENT.S2) === 1 ? 2 : 1;
    return { event: get(event.words, EVENT.EventNumber), stage, faultClass: CLASS_IN };
  }
  const hit = findStep(translation, 'tlb-hit');
  if (hit === undefined) return { event: F_TRANSLATION, stage: 1, faultClass: CLASS_IN };
  const { need } = findStep(translation, 'context')!;
  return { event: F_PERMISSION, stage: (hit.own & need) === 0 ? 1 : 2, faultClass: CLASS_IN };
}

function faultReason(translation: Translation, fault: Fault): Reason {
  switch (fault.event) {
    case F_TRANSLATION:
      return translationReason(translation, fault);
    case F_ADDR_SIZE:
      return sizeReason(translation, fault);
    case F_ACCESS:
      return accessReason(translation, fault);
    case F_PERMISSION:
      return permissionReason(translation, fault);
    case F_WALK_EABT: {
      const pa = getAddress(findStep(translation, 'event')!.words, EVENT.FetchAddr);
      return because(
        `external abort on the fetch of a stage ${fault.stage} descriptor at ${hex(pa)}`,
        'IHI 0070 7.3.12',
      );
    }
    default:
      throw new Error(`assertion: no fault of a translation has number ${hex(fault.event)}`);
  }
}

function lastDescriptor(translation: Translation, stage: Stage): StepOf<'descriptor'> | undefined {
  return findLast(translation, 'descriptor', (step) => step.stage === stage);
}

function translationReason(translation: Translation, fault: Fault): Reason {
  const early = fault.stage === 1 ? stage1RangeReason(translation) : stage2RangeReason(translation);
  if (early !== undefined) return early;
  const { stage, level, address, ipaSpace, lo, hi } = lastDescriptor(translation, fault.stage)!;
  const table = tableOf(translation, stage, ipaSpace)!;
  const { text } = describeDescriptor(table, stage, level, lo, hi);
  return because(
    `stage ${stage} level ${level} descriptor at ${hex(address)} is ${text}`,
    descriptorSection(table),
  );
}

/** What ends a stage 1 translation before its walk (3.4.1, 5.4). */
function stage1RangeReason(translation: Translation): Reason | undefined {
  const { context } = findStep(translation, 'context')!;
  const cd = context.cd!;
  const half = tableHalf(translation);
  const upper = half === 1;
  const table = tableOf(translation, 1);
  if (half < 0) {
    return because('the address is in the range of neither CD.T0SZ nor CD.T1SZ', 'IHI 0070 3.4.1');
  }
  if (table === undefined) {
    return because(
      `the address selects TTB${half}, and CD.EPD${half} == 1 disables its walks`,
      'IHI 0070 5.4',
    );
  }
  const { need } = findStep(translation, 'context')!;
  if ((upper ? cd.e0pd1 : cd.e0pd0) && (need & 7) !== 0) {
    return because(
      `unprivileged access to the half that CD.E0PD${half} == 1 keeps privileged`,
      'IHI 0070 5.4',
    );
  }
  if (!cd.aa64) return undefined;
  const top = (upper ? cd.tbi1 : cd.tbi0) ? 55 : 63;
  const width = BigInt(top + 1 - table.inputBits);
  const above = (translation.request.iova >> BigInt(table.inputBits)) & ((1n << width) - 1n);
  const expected = upper ? (1n << width) - 1n : 0n;
  if (above === expected) return undefined;
  const tsz = 64 - table.inputBits;
  return because(
    `VA[${top}:${table.inputBits}] is not all ${upper ? 'ones' : 'zeros'} with CD.T${half}SZ == ${tsz}`,
    'IHI 0070 3.4.1',
  );
}

function stage2RangeReason(translation: Translation): Reason | undefined {
  const { ipa, ipaSpace } = findLast(translation, 'stage2')!;
  const { inputBits, lpae } = tableOf(translation, 2, ipaSpace)!;
  if (ipa < 2 ** inputBits) return undefined;
  return because(
    `IPA ${hex(ipa)} exceeds the ${inputBits} bits of STE.${ipaSpace === SECURE ? 'S_' : ''}S2T0SZ == ${(lpae ? 32 : 64) - inputBits}`,
    'IHI 0070 3.4',
  );
}

function sizeReason(translation: Translation, { stage }: Fault): Reason {
  const context = findStep(translation, 'context')?.context;
  if (context !== undefined && stage === 1 && context.cd === undefined) {
    const { ias, oas } = readFeatures(translation.config.idr);
    const limit = context.ste.config === CONFIG_BYPASS ? `OAS of ${oas}` : `IAS of ${ias}`;
    return because(`the address exceeds the ${limit} bits, and stage 1 does not translate`, 'IHI 0070 3.4');
  }
  const { level, address, ipaSpace, lo, hi } = lastDescriptor(translation, stage)!;
  const table = tableOf(translation, stage, ipaSpace)!;
  const out = describeDescriptor(table, stage, level, lo, hi).address;
  const field = table.lpae ? 'VMSAv8-32 LPAE' : stage === 1 ? 'CD.IPS' : 'STE.S2PS';
  // Within the outputs of LPAE, but a next-level table beyond the OAS.
  const { oas } = readFeatures(translation.config.idr);
  const size = out < table.outputLimit ? `OAS of ${oas} bits` : `${table.outputBits} bits of ${field}`;
  return because(
    `stage ${stage} level ${level} descriptor at ${hex(address)}: output address ${hex(out)} exceeds the ${size}`,
    'IHI 0070 3.4',
  );
}

function accessReason(translation: Translation, { stage }: Fault): Reason {
  const { level, address } = lastDescriptor(translation, stage)!;
  const field = stage === 1 ? 'CD.AFFD' : 'STE.S2AFFD';
  return because(
    `stage ${stage} level ${level} descriptor at ${hex(address)}: AF == 0, and ${field} == 0`,
    'DDI 0487 D8.15.1.4',
  );
}

function permissionReason(translation: Translation, { stage, faultClass }: Fault): Reason {
  const context = findStep(translation, 'context')?.context;
  if (context !== undefined && stage === 1 && context.cd === undefined) {
    return because(
      'instruction fetch to the Non-secure PA space with SMMU_S_CR0.SIF == 1',
      registerSection('CR0', SECURE),
    );
  }
  const section = stage === 1 ? 'DDI 0487 D8.4.1' : 'DDI 0487 D8.4.2';
  const granted = grantedBy(translation, stage);
  if (faultClass !== CLASS_IN) {
    const { ipa } = findLast(translation, 'stage2')!;
    const what = faultClass === 0 ? 'a CD' : 'a stage 1 descriptor';
    const why =
      (granted & 9) === 0
        ? 'stage 2 does not permit the read'
        : 'STE.S2PTW == 1 and stage 2 maps it as Device';
    return because(`fetch of ${what} at IPA ${hex(ipa)}: ${why}`, section);
  }
  const { need } = findStep(translation, 'context')!;
  return because(
    `${printNeed(need)} needed, stage ${stage} grants ${printPermissions(granted)}${stage === 1 ? limitedBy(translation, need) : ''}`,
    section,
  );
}

/** The controls that take from what a stage 1 leaf says. */
function limitedBy(translation: Translation, need: number): string {
  const { controls, security } = findStep(translation, 'bank')!;
  const cd = findStep(translation, 'context')?.context.cd;
  const execute = (need & EXECUTE) !== 0;
  const limits = [
    execute && security === SECURE && controls.sif ? 'SMMU_S_CR0.SIF == 1' : '',
    execute && cd?.wxn === true ? 'CD.WXN == 1' : '',
    execute && cd?.uwxn === true ? 'CD.UWXN == 1' : '',
    !execute && need >= PRIV_READ && cd?.pan === true ? 'CD.PAN == 1' : '',
  ].filter((limit) => limit !== '');
  return limits.length === 0 ? '' : ` with ${limits.join(', ')}`;
}

/** The permissions of a stage, from its leaf or from the TLB. */
function grantedBy(translation: Translation, stage: Stage): number {
  const found = translation.steps.findLast(
    (step) =>
      (step.kind === 'leaf' && step.stage === stage) ||
      (step.kind === 'stage2-hit' && stage === 2) ||
      step.kind === 'tlb-hit',
  );
  if (found?.kind === 'tlb-hit') return stage === 1 ? found.own : found.parent;
  return found?.kind === 'leaf' || found?.kind === 'stage2-hit' ? found.permissions : 0;
}

/** Why a fault was not recorded, how it was terminated, or that it stalled, where that is not the usual abort with an event. */
function terminationReasons(translation: Translation, { stage }: Fault): Reason[] {
  const reasons: Reason[] = [];
  if (findStep(translation, 'event') === undefined && translation.outcome === ABORT) {
    reasons.push(because(`no event: ${stage === 1 ? 'CD.R' : 'STE.S2R'} == 0`, 'IHI 0070 5.5'));
  }
  if (translation.outcome === STALL) {
    const words = findStep(translation, 'event')?.words;
    const held =
      words === undefined
        ? 'it waits, without a record, for one of the others that are stalled to be resumed'
        : `held under STAG 0x${get(words, EVENT.STAG).toString(16)} until CMD_RESUME or CMD_STALL_TERM`;
    reasons.push(because(`${stage === 1 ? 'CD.S' : 'STE.S2S'} == 1: ${held}`, 'IHI 0070 3.12.2'));
  }
  if (translation.outcome === RAZ_WI) {
    if (findStep(translation, 'event') === undefined)
      reasons.push(because('no event: CD.R == 0', 'IHI 0070 5.5'));
    reasons.push(because('CD.A == 0: reads as zero, writes are ignored', 'IHI 0070 5.5'));
  }
  return reasons;
}
