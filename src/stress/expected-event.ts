/**
 * The event records that a stress run expects: which ones an access may cause, and how each must look, bit for bit
 * (IHI 0070 7.3). Made from what the device did, not from what the SMMU said.
 */
import { C_BAD_CD, C_BAD_STE, CLASS_IN, EVENTS, F_PERMISSION, F_TRANSLATION } from '../arch/events.js';
import { encode } from '../arch/layout.js';
import type { ExpectedEvent } from './ledger.js';
import { ACCESS_INSTRUCTION, ACCESS_PRIVILEGED, ACCESS_READ } from './legal.js';

export { C_BAD_CD, C_BAD_STE, F_PERMISSION, F_TRANSLATION };
/** Stands for the absence of an event in a mask. */
export const NO_EVENT = 0;

/** Every number that a run expects is below 32. */
export function bit(number: number): number {
  return 1 << number;
}

/** The record of an event number that an access causes. */
export function expectedRecord(number: number, StreamID: number, event: ExpectedEvent): Uint32Array {
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
  });
}
