/**
 * One access as it arrives at a TBU, and what became of it. The record is reused: the hot path allocates nothing.
 */
import { NON_SECURE, type SecurityState } from '../arch/security.js';
import type { IncomingAttributes } from './tbu/attributes.js';

/** The access may proceed to `pa` in `space`. */
export const OK = 0;
/** Terminated with an abort to the device. */
export const ABORT = 1;
/** Terminated, reads as zero and ignores writes (CD.A == 0; IHI 0070 3.12.1). */
export const RAZ_WI = 2;
/** Held until CMD_RESUME or CMD_STALL_TERM (IHI 0070 3.12.2). */
export const STALL = 3;

export type Outcome = typeof OK | typeof ABORT | typeof RAZ_WI | typeof STALL;
export const OUTCOME_NAMES = ['ok', 'abort', 'raz-wi', 'stall'] as const;

export class Transaction {
  // The request.
  StreamID = 0;
  /** -1 when the access carries no SubstreamID (SSV == 0). */
  SubstreamID = -1;
  SEC_SID: SecurityState = NON_SECURE;
  /** Input address, two 32-bit halves. */
  iovaLo = 0;
  iovaHi = 0;
  write = false;
  privileged = false;
  /** Instruction fetch; only meaningful for reads. */
  instruction = false;
  /** Incoming NS attribute; only meaningful for a Secure stream. */
  ns = false;
  /** Memory attributes that the device supplies; undefined where the interconnect conveys none (IHI 0070 13.1.3). */
  attributes: IncomingAttributes | undefined = undefined;

  // The answer.
  outcome: Outcome = OK;
  /** Output address, valid when outcome is OK. */
  pa = 0;
  /** PA space of the output address. */
  space: SecurityState = NON_SECURE;
  /** Raw attributes of translation and stream, valid when outcome is OK: `outputAttributes` reads them (tbu/attributes.ts). */
  translationAttributes = 0;
  overrides = 0;
  /** STAG of a stalled access, valid when outcome is STALL: `Tbu.resume` then tells what became of it. */
  stag = 0;
}
