/** The translation controls of one bank as a TBU holds them: a decoded BANK message (maintenance.ts). */
import { STALL_MODEL } from '../../arch/id-registers.js';
import { get, getAddress } from '../../arch/layout.js';
import { BANKS } from '../../arch/registers.js';
import { NON_SECURE, type SecurityState } from '../../arch/security.js';
import type { Features } from '../features.js';
import {
  BANK_CR0_FLAGS,
  BANK_CR2,
  BANK_GBPA,
  BANK_SECURITY,
  BANK_SMMUEN,
  BANK_STRTAB_BASE_CFG,
  BANK_STRTAB_BASE_HI,
  BANK_STRTAB_BASE_LO,
} from '../maintenance.js';

const { CR2, GBPA, STRTAB_BASE, STRTAB_BASE_CFG } = BANKS[NON_SECURE];
/** Larger CR0.VMW values are reserved and behave as 0 (IHI 0070 6.3.9, 6.3.57). */
const VMW_MAX = 4;

export interface BankControls {
  readonly smmuen: boolean;
  readonly gbpa: number;
  readonly recInvSid: boolean;
  readonly e2h: boolean;
  /** S_CR0.SIF: no instruction fetch of a Secure stream leaves stage 1 for Non-secure space (IHI 0070 6.3.57). */
  readonly sif: boolean;
  /** Low VMID bits that invalidations ignore (IHI 0070 3.17.6, 6.3.9.1 VMW). */
  readonly vmidIgnored: number;
  /** IDR0.STALL_MODEL or S_IDR0.STALL_MODEL, after S_CR0.NSSTALLD (IHI 0070 3.12, 6.3.57.1). */
  readonly stallModel: number;
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
  gbpa: GBPA.reset,
  recInvSid: false,
  e2h: false,
  sif: false,
  vmidIgnored: 0,
  stallModel: STALL_MODEL.terminate,
  strtabBase: 0,
  log2size: 0,
  twoLevel: false,
  split: 6,
};

/** NSSTALLD takes the choice away from Non-secure streams (choice: nsstalld-cached); where Stall is forced there is none to take. */
function effectiveStallModel(stallModel: number, disabled: boolean): number {
  return disabled && stallModel === STALL_MODEL.stall ? STALL_MODEL.terminate : stallModel;
}

export function decodeBank(message: Int32Array, { stLevel, stallModel }: Features): BankControls {
  const security = message[BANK_SECURITY] as SecurityState;
  const config = [message[BANK_STRTAB_BASE_CFG]!];
  const split = get(config, STRTAB_BASE_CFG.fields.SPLIT!);
  const base = [message[BANK_STRTAB_BASE_LO]!, message[BANK_STRTAB_BASE_HI]!];
  const vmw = (message[BANK_CR0_FLAGS]! >>> 3) & 7;
  return {
    smmuen: message[BANK_SMMUEN] !== 0,
    gbpa: message[BANK_GBPA]!,
    e2h: get([message[BANK_CR2]!], CR2.fields.E2H!) === 1,
    sif: (message[BANK_CR0_FLAGS]! & 2) !== 0,
    vmidIgnored: vmw > VMW_MAX ? 0 : (1 << vmw) - 1,
    stallModel: effectiveStallModel(
      stallModel[security],
      security === NON_SECURE && (message[BANK_CR0_FLAGS]! & 4) !== 0,
    ),
    recInvSid: get([message[BANK_CR2]!], CR2.fields.RECINVSID!) === 1,
    strtabBase: getAddress(base, STRTAB_BASE.fields.ADDR!),
    log2size: get(config, STRTAB_BASE_CFG.fields.LOG2SIZE!),
    // Reserved FMT values behave as linear, reserved SPLIT values as 6 (IHI 0070 6.3.25).
    twoLevel: stLevel !== 0 && get(config, STRTAB_BASE_CFG.fields.FMT!) === 1,
    split: split === 8 || split === 10 ? split : 6,
  };
}
