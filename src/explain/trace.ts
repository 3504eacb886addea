/**
 * One translation as a list of steps, in the order in which the TBU takes them: plain data that can be rendered,
 * compared or printed as JSON. The TBU tells of them through its TranslationObserver, and only while it is observed.
 */
import { CLASS_IN } from '../arch/events.js';
import { NON_SECURE, type SecurityState } from '../arch/security.js';
import type { SmmuConfig } from '../smmu/config.js';
import { type OutputAttributes, outputAttributes } from '../smmu/tbu/attributes.js';
import type { BankControls } from '../smmu/tbu/bank-controls.js';
import type { StructureName } from '../smmu/tbu/config-cache.js';
import type { Origin } from '../smmu/tbu/origin.js';
import type { Ste } from '../smmu/tbu/ste.js';
import type { StreamContext } from '../smmu/tbu/stream-context.js';
import type { Tbu } from '../smmu/tbu/tbu.js';
import type { TranslationObserver } from '../smmu/tbu/translation-observer.js';
import { OK, type Outcome, Transaction } from '../smmu/transaction.js';

export type { StructureName };
export type Stage = 1 | 2;

export type Step =
  | { readonly kind: 'bank'; readonly controls: BankControls; readonly security: SecurityState }
  | {
      readonly kind: 'structure';
      readonly name: StructureName;
      /** An IPA where stage 2 translates the pointer, else the PA. */
      readonly address: number;
      readonly pa: number;
      readonly words: readonly number[];
    }
  | { readonly kind: 'config-hit'; readonly name: StructureName; readonly ste: Ste | undefined }
  /** `need` is the permission bit that the access needs. */
  | { readonly kind: 'context'; readonly context: StreamContext; readonly need: number }
  | {
      readonly kind: 'tlb-hit';
      readonly pa: number;
      /** Permissions of stage 1 and, in a combined entry, of stage 2. */
      readonly own: number;
      readonly parent: number;
      readonly sizeBits: number;
      readonly origin: Origin | undefined;
    }
  /** The walk goes on below a table descriptor of the TLB, in the table at an IPA or PA. */
  | {
      readonly kind: 'table-hit';
      readonly stage: Stage;
      readonly level: number;
      readonly address: number;
      readonly origin: Origin | undefined;
    }
  | {
      readonly kind: 'stage2';
      readonly ipa: number;
      readonly ipaSpace: SecurityState;
      readonly faultClass: number;
    }
  | {
      readonly kind: 'stage2-hit';
      readonly pa: number;
      readonly permissions: number;
      readonly origin: Origin | undefined;
    }
  | {
      readonly kind: 'descriptor';
      readonly stage: Stage;
      readonly level: number;
      readonly address: number;
      readonly pa: number;
      readonly space: SecurityState;
      /** Of a stage 2 descriptor: whose table it is part of. */
      readonly ipaSpace: SecurityState;
      readonly lo: number;
      readonly hi: number;
    }
  | { readonly kind: 'leaf'; readonly stage: Stage; readonly pa: number; readonly permissions: number }
  | {
      readonly kind: 'update';
      readonly stage: Stage;
      readonly pa: number;
      readonly space: SecurityState;
      /** The low word, as it was and as it is now. */
      readonly lo: number;
      readonly newLo: number;
    }
  | { readonly kind: 'fault'; readonly event: number; readonly stage: Stage; readonly faultClass: number }
  | { readonly kind: 'event'; readonly words: readonly number[]; readonly security: SecurityState };

export type StepOf<Kind extends Step['kind']> = Extract<Step, { readonly kind: Kind }>;

/** What was asked of the TBU. */
export interface Request {
  readonly StreamID: number;
  /** -1 without one. */
  readonly SubstreamID: number;
  readonly SEC_SID: SecurityState;
  readonly iova: bigint;
  readonly write: boolean;
  readonly privileged: boolean;
  readonly instruction: boolean;
  readonly ns: boolean;
}

/** A translation, whole: what was asked, how it went, what came of it. */
export interface Translation {
  readonly config: SmmuConfig;
  readonly request: Request;
  readonly steps: readonly Step[];
  readonly outcome: Outcome;
  /** Valid when the outcome is OK. */
  readonly pa: number;
  readonly space: SecurityState;
  /** With which the access goes on to memory; undefined when it does not. */
  readonly attributes: OutputAttributes | undefined;
}

const STRUCTURE_WORDS: Readonly<Record<StructureName, number>> = { L1STD: 2, STE: 16, L1CD: 2, CD: 16 };
const PAGE_BYTES = 4096;

/** Records the steps of one translation. */
export class Trace implements TranslationObserver {
  readonly steps: Step[] = [];
  readonly #iovaOffset: number;
  #ipaOffset = 0;
  #ipaSpace: SecurityState = NON_SECURE;

  constructor(transaction: Transaction) {
    this.#iovaOffset = transaction.iovaLo & (PAGE_BYTES - 1);
  }

  bank(controls: BankControls, security: SecurityState): void {
    this.steps.push({ kind: 'bank', controls, security });
  }

  structure(name: StructureName, address: number, pa: number, words: Int32Array): void {
    this.steps.push({
      kind: 'structure',
      name,
      address,
      pa,
      words: [...words.subarray(0, STRUCTURE_WORDS[name])],
    });
  }

  configHit(name: StructureName, ste: Ste | undefined): void {
    this.steps.push({ kind: 'config-hit', name, ste });
  }

  context(context: StreamContext, need: number): void {
    this.steps.push({ kind: 'context', context, need });
  }

  tlbHit(outPage: number, own: number, parent: number, sizeBits: number, origin: Origin | undefined): void {
    const pa = outPage * PAGE_BYTES + this.#iovaOffset;
    this.steps.push({ kind: 'tlb-hit', pa, own, parent, sizeBits, origin });
  }

  tableHit(stage: Stage, level: number, address: number, origin: Origin | undefined): void {
    this.steps.push({ kind: 'table-hit', stage, level, address, origin });
  }

  stage2(ipa: number, ipaSpace: SecurityState, faultClass: number): void {
    this.#ipaSpace = ipaSpace;
    // For the access itself the walker may ask by page; people look for the IPA of the access.
    this.#ipaOffset = faultClass === CLASS_IN ? this.#iovaOffset : ipa % PAGE_BYTES;
    const whole = ipa - (ipa % PAGE_BYTES) + this.#ipaOffset;
    this.steps.push({ kind: 'stage2', ipa: whole, ipaSpace, faultClass });
  }

  stage2Hit(outPage: number, permissions: number, origin: Origin | undefined): void {
    const pa = outPage * PAGE_BYTES + this.#ipaOffset;
    this.steps.push({ kind: 'stage2-hit', pa, permissions, origin });
  }

  descriptor(
    stage: Stage,
    level: number,
    address: number,
    pa: number,
    space: SecurityState,
    lo: number,
    hi: number,
  ): void {
    const ipaSpace = this.#ipaSpace;
    this.steps.push({ kind: 'descriptor', stage, level, address, pa, space, ipaSpace, lo, hi });
  }

  leaf(stage: Stage, outPage: number, permissions: number): void {
    const offset = stage === 1 ? this.#iovaOffset : this.#ipaOffset;
    this.steps.push({ kind: 'leaf', stage, pa: outPage * PAGE_BYTES + offset, permissions });
  }

  update(stage: Stage, pa: number, space: SecurityState, lo: number, newLo: number): void {
    this.steps.push({ kind: 'update', stage, pa, space, lo, newLo });
  }

  fault(event: number, stage: Stage, faultClass: number): void {
    this.steps.push({ kind: 'fault', event, stage, faultClass });
  }

  event(words: Int32Array, security: SecurityState): void {
    this.steps.push({ kind: 'event', words: [...words], security });
  }
}

function requestOf(transaction: Transaction): Request {
  const { StreamID, SubstreamID, SEC_SID, iovaLo, iovaHi, write, privileged, instruction, ns } = transaction;
  const iova = (BigInt(iovaHi >>> 0) << 32n) | BigInt(iovaLo >>> 0);
  return { StreamID, SubstreamID, SEC_SID, iova, write, privileged, instruction, ns };
}

/** Translates an access, with all that this brings about, and tells how it went. */
export function traceTranslation(tbu: Tbu, config: SmmuConfig, transaction: Transaction): Translation {
  const trace = new Trace(transaction);
  tbu.observe(trace);
  const outcome = tbu.translate(transaction);
  tbu.observe(undefined);
  const { pa, space } = transaction;
  const attributes = outcome === OK ? outputAttributes(transaction) : undefined;
  return { config, request: requestOf(transaction), steps: trace.steps, outcome, pa, space, attributes };
}

/** The same for an access that is described and not under way. */
export function traceRequest(tbu: Tbu, config: SmmuConfig, request: Request): Translation {
  const { iova, ...rest } = request;
  const transaction = Object.assign(new Transaction(), rest);
  transaction.iovaLo = Number(BigInt.asIntN(32, iova));
  transaction.iovaHi = Number(BigInt.asIntN(32, iova >> 32n));
  return traceTranslation(tbu, config, transaction);
}

/** The first step of a kind. */
export function findStep<Kind extends Step['kind']>(
  { steps }: Translation,
  kind: Kind,
): StepOf<Kind> | undefined {
  return steps.find((step): step is StepOf<Kind> => step.kind === kind);
}

/** The last step of a kind that fits. */
export function findLast<Kind extends Step['kind']>(
  { steps }: Translation,
  kind: Kind,
  fits: (step: StepOf<Kind>) => boolean = () => true,
): StepOf<Kind> | undefined {
  return steps.findLast((step): step is StepOf<Kind> => step.kind === kind && fits(step as StepOf<Kind>));
}

/** The last time that a structure was read. */
export function findStructure(
  translation: Translation,
  name: StructureName,
): StepOf<'structure'> | undefined {
  return findLast(translation, 'structure', (step) => step.name === name);
}

/** The state whose bank governs the access: a Secure stream of an SMMU without a Secure bank counts as Non-secure. */
export function securityOf(translation: Translation): SecurityState {
  return findStep(translation, 'bank')?.security ?? NON_SECURE;
}
