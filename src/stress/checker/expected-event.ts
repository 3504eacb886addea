/**
 * The event records that a stress run expects: which ones an access may cause, and how each must look, bit for bit
 * (IHI 0070 7.3). Made from what the device did, not from what the SMMU said.
 */
import { C_BAD_CD, C_BAD_STE, CLASS_IN, EVENTS, F_PERMISSION, F_TRANSLATION } from '../../arch/events.js';
import { encode } from '../../arch/layout.js';
import type { ExpectedEvent } from './ledger.js';
import { ACCESS_INSTRUCTION, ACCESS_PRIVILEGED, ACCESS_READ } from './legal.js';

export { C_BAD_CD, C_BAD_STE, F_PERMISSION, F_TRANSLATION };
/** Stands for the absence of an event in a mask. */
export const NO_EVENT = 0;

/** Faults of stage 2 are expected under numbers of their own, which no event has. */
const STAGE_2 = 4;
export const S2_TRANSLATION = F_TRANSLATION + STAGE_2;
export const S2_PERMISSION = F_PERMISSION + STAGE_2;

/** Everything that a run expects, by its bit in a mask. */
export const EXPECTABLE = [C_BAD_STE, C_BAD_CD, F_TRANSLATION, F_PERMISSION, S2_TRANSLATION, S2_PERMISSION];

/** Every number that a run expects is below 32. */
export function bit(expected: number): number {
  return 1 << expected;
}

/** The record that an access causes, if it is to be the given one of {@link EXPECTABLE}. */
export function expectedRecord(expected: number, StreamID: number, event: ExpectedEvent): Uint32Array {
  const S2 = expected === S2_TRANSLATION || expected === S2_PERMISSION;
  const number = S2 ? expected - STAGE_2 : expected;
  const layout = EVENTS.get(number)!;
  const header = { EventNumber: number, StreamID };
  if (number === C_BAD_STE || number === C_BAD_CD) return encode(layout, header);
  const { iova, access } = event;
  return encode(layout, {
    ...header,
    RnW: (access & ACCESS_READ) === 0 ? 0 : 1,
    InD: (access & ACCESS_INSTRUCTION) === 0 ? 0 : 1,
    PnU: (access & ACCESS_PRIVILEGED) === 0 ? 0 : 1,
    CLASS: CLASS_IN,
    InputAddr: BigInt(iova),
    // With stage 2 alone the input address is the IPA, of which the record has the page.
    ...(S2 && { S2: 1, IPA: BigInt(iova) >> 12n }),
  });
}
