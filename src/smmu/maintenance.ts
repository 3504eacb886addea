/**
 * What a TCU tells its TBUs: the contract between the serial and the concurrent half of an SMMU.
 *
 * A message is 16 words, so that it fits a ring in shared memory as it is. Word 0 is the kind, the rest its payload.
 * What concerns stalled transactions goes through the stall table (stalls.ts), not through messages.
 * - COMMAND: words 1-4 are the 16 bytes of a CFGI or TLBI command that the TCU found legal, word 5 the Security state
 *   of the queue that it came from. Its scope follows from opcode, SSec and that state (IHI 0070 4.3, 4.4).
 * - BANK: words 1.. are a bank's translation controls (see BankControls), word 15 the bank's Security state.
 *   All of a bank travel together, so that no translation sees half of an update (REQUIREMENTS B8).
 * - INVALIDATE_ALL: S_INIT.INV_ALL; everything of every Security state goes.
 */
import type { SecurityState } from '../arch/security.js';

export const MESSAGE_WORDS = 16;
export const MESSAGE_COMMAND = 1;
export const MESSAGE_BANK = 2;
export const MESSAGE_INVALIDATE_ALL = 3;

/** What a translation needs of one bank's registers; word offsets within a BANK message. */
export const BANK_SMMUEN = 1;
export const BANK_GBPA = 2;
export const BANK_CR1 = 3;
export const BANK_CR2 = 4;
export const BANK_STRTAB_BASE_LO = 5;
export const BANK_STRTAB_BASE_HI = 6;
export const BANK_STRTAB_BASE_CFG = 7;
/** CR0.ATSCHK in bit 0, S_CR0.SIF in bit 1, S_CR0.NSSTALLD in bit 2 (of both banks), CR0.VMW in bits [5:3]. */
export const BANK_CR0_FLAGS = 8;
export const BANK_SECURITY = 15;

/** The TCU's way to its TBUs. In one thread the TBUs are called; between threads a ring in shared memory carries it. */
export interface TbuChannel {
  /** Sends a message to every TBU, in order. The words are copied. */
  broadcast(message: Int32Array): void;
  /**
   * Whether every TBU has taken every message so far and finished each access that began before it took them.
   * CMD_SYNC completes, and an ACK register follows its request, only then (IHI 0070 3.21.1, 4.7.3).
   */
  settled(): boolean;
  /**
   * Carries out what it has gathered, for a channel that forwards COMMAND messages to where they can fail: the
   * SMMU below an accelerated one. Asked before their consumption shows in CMDQ_CONS.
   * @returns how many of the latest COMMAND messages were not carried out; these and only these have had no effect.
   */
  carryOut?(): number;
}

/** A TBU's way to its TCU: event records, in order. */
export interface EventChannel {
  /**
   * Delivers an event record of 8 words, which are copied, to the event queue of a Security state.
   * A `stall` record is never lost: it is written, or its transaction retried (IHI 0070 7.2.1). Events are never merged, whatever STE.MEV says (7.3.1).
   */
  record(words: Int32Array, security: SecurityState, stall: boolean): void;
}
