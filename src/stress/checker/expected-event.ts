/**
 * The event records that a stress run expects: which ones an access may cause, and how each must look, bit for bit
 * (IHI 0070 7.3). Made from what the device did, not from what the SMMU said.
 */
import {
  C_BAD_CD,
  C_BAD_STE,
  C_BAD_SUBSTREAMID,
  CLASS_IN,
  CLASS_TT,
  EVENTS,
  F_PERMISSION,
  F_STREAM_DISABLED,
  F_TRANSLATION,
} from '../../arch/events.js';
import { encode } from '../../arch/layout.js';
import { CONTEXTS } from '../plan.js';
import type { ExpectedEvent } from './ledger.js';
import { ACCESS_INSTRUCTION, ACCESS_PRIVILEGED, ACCESS_READ, substreamOf } from './legal.js';

// What an access may cause: numbers of our own, since an access may be faulted by one stage or the other, of one context or the other.
/** Stands for the absence of an event in a mask. */
export const NO_EVENT = 0;
export const BAD_STE = 1;
export const BAD_CD = 2;
export const TRANSLATION = 3;
export const PERMISSION = 4;
export const BAD_SUBSTREAM = 5;
export const DISABLED = 6;
// At stage 2; the context's number is added.
export const S2_TRANSLATION = 8;
export const S2_PERMISSION = 12;
/** Of the first descriptor of the stage 1 tables. */
export const S2_TABLE_TRANSLATION = 16;

/** What a kind of expectation looks like in a record. */
interface Shape {
  readonly number: number;
  /** The access itself failed, and not its configuration. */
  readonly CLASS?: number;
  /** The context of which stage 2 failed. */
  readonly context?: number;
}

const SHAPES: ReadonlyMap<number, Shape> = new Map<number, Shape>([
  [BAD_STE, { number: C_BAD_STE }],
  [BAD_CD, { number: C_BAD_CD }],
  [BAD_SUBSTREAM, { number: C_BAD_SUBSTREAMID }],
  [DISABLED, { number: F_STREAM_DISABLED }],
  [TRANSLATION, { number: F_TRANSLATION, CLASS: CLASS_IN }],
  [PERMISSION, { number: F_PERMISSION, CLASS: CLASS_IN }],
  ...Array.from({ length: CONTEXTS }, (_, context) => [
    [S2_TRANSLATION + context, { number: F_TRANSLATION, CLASS: CLASS_IN, context }] as const,
    [S2_PERMISSION + context, { number: F_PERMISSION, CLASS: CLASS_IN, context }] as const,
    [S2_TABLE_TRANSLATION + context, { number: F_TRANSLATION, CLASS: CLASS_TT, context }] as const,
  ]).flat(),
]);

/** Everything that a run expects, by its bit in a mask. */
export const EXPECTABLE = [...SHAPES.keys()];

/** Whether it is stage 2 that faults. */
export function isStage2(expected: number): boolean {
  return expected >= S2_TRANSLATION;
}

/** Every number that a run expects is below 32. */
export function bit(expected: number): number {
  return 1 << expected;
}

/** The IPA that a context has for an input address, or for the descriptor that its walk begins with. */
export type IntermediateAddress = (context: number, iova: number, CLASS: number) => number;

/** Whose records are expected. */
export interface Subject {
  readonly StreamID: number;
  /** What its accesses have for a SubstreamID, by InterfacePlan.substreams. */
  readonly substreams: readonly number[];
  readonly ipa: IntermediateAddress;
}

/** The record that an access causes, if it is to be the given one of {@link EXPECTABLE}. */
export function expectedRecord(
  expected: number,
  { StreamID, substreams, ipa }: Subject,
  { iova, access }: ExpectedEvent,
): Uint32Array {
  const { number, CLASS, context } = SHAPES.get(expected)!;
  const layout = EVENTS.get(number)!;
  const SubstreamID = substreams[substreamOf(access)]!;
  const header = {
    ...{ EventNumber: number, StreamID },
    // C_BAD_SUBSTREAMID has no SSV (7.3.9).
    ...(SubstreamID >= 0 && { SubstreamID, ...(number !== C_BAD_SUBSTREAMID && { SSV: 1 }) }),
  };
  if (CLASS === undefined) return encode(layout, header);
  return encode(layout, {
    ...header,
    RnW: (access & ACCESS_READ) === 0 ? 0 : 1,
    InD: (access & ACCESS_INSTRUCTION) === 0 ? 0 : 1,
    PnU: (access & ACCESS_PRIVILEGED) === 0 ? 0 : 1,
    CLASS,
    InputAddr: BigInt(iova),
    // A record has the page of the IPA.
    ...(context !== undefined && { S2: 1, IPA: BigInt(ipa(context, iova, CLASS)) >> 12n }),
  });
}
