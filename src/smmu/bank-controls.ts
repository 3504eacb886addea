/** The translation controls of one bank as a TBU holds them: a decoded BANK message (maintenance.ts). */
import {
  BANK_CR2,
  BANK_GBPA,
  BANK_SMMUEN,
  BANK_STRTAB_BASE_CFG,
  BANK_STRTAB_BASE_HI,
  BANK_STRTAB_BASE_LO,
} from './maintenance.js';

const TWO_32 = 0x1_0000_0000;

export interface BankControls {
  readonly smmuen: boolean;
  readonly gbpa: number;
  readonly recInvSid: boolean;
  readonly e2h: boolean;
  /** STRTAB_BASE.ADDR, not yet aligned to the table. */
  readonly strtabBase: number;
  /** Literal LOG2SIZE: what the base is aligned by (IHI 0070 6.3.24). */
  readonly log2size: number;
  readonly twoLevel: boolean;
  readonly split: number;
}

/** A bank after reset: disabled, bypassing. */
export const RESET_CONTROLS: BankControls = {
  smmuen: false,
  gbpa: 0,
  recInvSid: false,
  e2h: false,
  strtabBase: 0,
  log2size: 0,
  twoLevel: false,
  split: 6,
};

export function decodeBank(message: Int32Array, stLevel: number): BankControls {
  const config = message[BANK_STRTAB_BASE_CFG]!;
  const split = (config >>> 6) & 0x1f;
  const lo = message[BANK_STRTAB_BASE_LO]! & ~0x3f;
  return {
    smmuen: message[BANK_SMMUEN] !== 0,
    gbpa: message[BANK_GBPA]!,
    e2h: (message[BANK_CR2]! & 1) !== 0,
    recInvSid: (message[BANK_CR2]! & 2) !== 0,
    strtabBase: (message[BANK_STRTAB_BASE_HI]! & 0xff_ffff) * TWO_32 + (lo >>> 0),
    log2size: config & 0x3f,
    // Reserved FMT values behave as linear, reserved SPLIT values as 6 (IHI 0070 6.3.25).
    twoLevel: stLevel !== 0 && ((config >>> 16) & 3) === 1,
    split: split === 8 || split === 10 ? split : 6,
  };
}
