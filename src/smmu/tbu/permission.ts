/**
 * Access permissions as masks: one bit for each kind of access, so that a check is one bit test (DDI 0487 D8.4,
 * IHI 0070 13.4.1). A mask is worked out when a leaf is read and cached with the translation.
 */
import {
  DESC_AP1,
  DESC_AP2,
  DESC_APTABLE0,
  DESC_APTABLE1,
  DESC_PXN,
  DESC_PXNTABLE,
  DESC_S2AP_R,
  DESC_S2AP_W,
  DESC_UXN,
  DESC_UXNTABLE,
} from '../../arch/descriptor-masks.js';
import type { Cd } from './cd.js';

export const UNPRIV_READ = 1 << 0;
export const UNPRIV_WRITE = 1 << 1;
export const UNPRIV_EXECUTE = 1 << 2;
export const PRIV_READ = 1 << 3;
export const PRIV_WRITE = 1 << 4;
export const PRIV_EXECUTE = 1 << 5;
export const WRITE = UNPRIV_WRITE | PRIV_WRITE;
export const EXECUTE = UNPRIV_EXECUTE | PRIV_EXECUTE;
export const ALL = 0x3f;

/** The bit that an access needs; a write is no instruction fetch. Branches, as they cost half of the arithmetic. */
export function accessBit(write: boolean, instruction: boolean, privileged: boolean): number {
  if (write) return privileged ? PRIV_WRITE : UNPRIV_WRITE;
  if (instruction) return privileged ? PRIV_EXECUTE : UNPRIV_EXECUTE;
  return privileged ? PRIV_READ : UNPRIV_READ;
}

/**
 * Stage 1 permissions by the Direct Permission Scheme.
 * @param lo,hi the leaf descriptor.
 * @param tableHi high-word flags (APTable, UXNTable, PXNTable) of the table descriptors on the way, ORed; 0 with HADx.
 * @param single any-EL2 and EL3: AP[1] counts as 1, one execute-never bit, every access is checked as privileged.
 */
export function stage1Permissions(lo: number, hi: number, tableHi: number, cd: Cd, single: boolean): number {
  const readOnly = (lo & DESC_AP2) !== 0 || (tableHi & DESC_APTABLE1) !== 0;
  if (single) {
    const execute = (hi & DESC_UXN) === 0 && (tableHi & DESC_UXNTABLE) === 0 && !(cd.wxn && !readOnly);
    const mask = UNPRIV_READ | (readOnly ? 0 : UNPRIV_WRITE) | (execute ? UNPRIV_EXECUTE : 0);
    return mask | (mask << 3);
  }
  const unprivileged = (lo & DESC_AP1) !== 0 && (tableHi & DESC_APTABLE0) === 0;
  const unprivWrite = unprivileged && !readOnly;
  // VMSAv8-32 has one XN for both levels, and execution there needs read permission (DDI 0487 G5.6).
  const executeNever = (hi & DESC_UXN) !== 0 || (tableHi & DESC_UXNTABLE) !== 0;
  const unprivExecute = !executeNever && (cd.aa64 || unprivileged) && !(cd.wxn && unprivWrite);
  // What EL0 can write is never executable at EL1 in VMSAv8-64, and with UWXN in VMSAv8-32 (IHI 0070 5.4 UWXN).
  const privExecute =
    (hi & DESC_PXN) === 0 &&
    (tableHi & DESC_PXNTABLE) === 0 &&
    !(cd.wxn && !readOnly) &&
    !((cd.aa64 || cd.uwxn) && unprivWrite) &&
    (cd.aa64 || !executeNever);
  // Choice: epan-and-sif.
  const panned = cd.pan && (unprivileged || (cd.epan && unprivExecute));
  return (
    (unprivileged ? UNPRIV_READ : 0) |
    (unprivWrite ? UNPRIV_WRITE : 0) |
    (unprivExecute ? UNPRIV_EXECUTE : 0) |
    (panned ? 0 : PRIV_READ) |
    (panned || readOnly ? 0 : PRIV_WRITE) |
    (privExecute ? PRIV_EXECUTE : 0)
  );
}

/**
 * Stage 2 permissions: S2AP and XN[1:0], the lower XN bit only with IDR3.XNX. Execute-only is of VMSAv8-64 alone: in
 * VMSAv8-32 LPAE execution needs read permission (DDI 0487 G5.6.3, IHI 0070 5.2 S2AA64).
 */
export function stage2Permissions(lo: number, hi: number, xnx: boolean, lpae: boolean): number {
  const executable = !lpae || (lo & DESC_S2AP_R) !== 0;
  const xn1 = (hi & DESC_UXN) !== 0;
  const xn0 = (hi & DESC_PXN) !== 0;
  const privExecute = xnx ? xn1 === xn0 : !xn1;
  return (
    ((lo & DESC_S2AP_R) !== 0 ? UNPRIV_READ | PRIV_READ : 0) |
    ((lo & DESC_S2AP_W) !== 0 ? UNPRIV_WRITE | PRIV_WRITE : 0) |
    (executable && !xn1 ? UNPRIV_EXECUTE : 0) |
    (executable && privExecute ? PRIV_EXECUTE : 0)
  );
}
