/**
 * The oracle of permissions: DDI 0487 tables D8-65 and D8-66 typed row by row, and the stage 2 tables of D8.4.2.
 * Letters: r, w, x privileged; R, W, X unprivileged.
 */

/** UXN, PXN, AP[2:1], WXN. */
export const DIRECT: Readonly<Record<string, string>> = {
  '0 0 00 0': 'rwxX',
  '0 0 00 1': 'rwX',
  '0 0 01 0': 'rwRWX',
  '0 0 01 1': 'rwRW',
  '0 0 10 0': 'rxX',
  '0 0 10 1': 'rxX',
  '0 0 11 0': 'rxRX',
  '0 0 11 1': 'rxRX',
  '0 1 00 0': 'rwX',
  '0 1 00 1': 'rwX',
  '0 1 01 0': 'rwRWX',
  '0 1 01 1': 'rwRW',
  '0 1 10 0': 'rX',
  '0 1 10 1': 'rX',
  '0 1 11 0': 'rRX',
  '0 1 11 1': 'rRX',
  '1 0 00 0': 'rwx',
  '1 0 00 1': 'rw',
  '1 0 01 0': 'rwRW',
  '1 0 01 1': 'rwRW',
  '1 0 10 0': 'rx',
  '1 0 10 1': 'rx',
  '1 0 11 0': 'rxR',
  '1 0 11 1': 'rxR',
  '1 1 00 0': 'rw',
  '1 1 00 1': 'rw',
  '1 1 01 0': 'rwRW',
  '1 1 01 1': 'rwRW',
  '1 1 10 0': 'r',
  '1 1 10 1': 'r',
  '1 1 11 0': 'rR',
  '1 1 11 1': 'rR',
};

/** XN, AP[2], WXN. One privilege level: every access counts as privileged. */
export const DIRECT_SINGLE: Readonly<Record<string, string>> = {
  '0 0 0': 'rwx',
  '0 0 1': 'rw',
  '0 1 0': 'rx',
  '0 1 1': 'rx',
  '1 0 0': 'rw',
  '1 0 1': 'rw',
  '1 1 0': 'r',
  '1 1 1': 'r',
};

/** XN[1:0] with FEAT_XNX. */
export const STAGE_2_EXECUTE: readonly string[] = ['xX', 'X', '', 'x'];

export interface Checks {
  readonly single: boolean;
  readonly WXN: boolean;
  readonly PAN: boolean;
  readonly EPAN: boolean;
}

/** The letters that stage 1 permits, by the effective attributes of a leaf. */
export function stage1Letters(UXN: boolean, PXN: boolean, AP: number, checks: Checks): string {
  const bit = (value: boolean) => (value ? 1 : 0);
  if (checks.single) {
    const letters = DIRECT_SINGLE[`${bit(UXN)} ${AP >> 1} ${bit(checks.WXN)}`]!;
    return letters + letters.toUpperCase();
  }
  const letters = DIRECT[`${bit(UXN)} ${bit(PXN)} ${AP.toString(2).padStart(2, '0')} ${bit(checks.WXN)}`]!;
  const panned = /[RW]/.test(letters) || (checks.EPAN && letters.includes('X'));
  return checks.PAN && panned ? letters.replace(/[rw]/g, '') : letters;
}

/** The letters that stage 2 permits. */
export function stage2Letters(S2AP: number, XN: number, XNX: boolean): string {
  const execute = XNX ? STAGE_2_EXECUTE[XN]! : XN & 2 ? '' : 'xX';
  return `${S2AP & 1 ? 'rR' : ''}${S2AP & 2 ? 'wW' : ''}${execute}`;
}

/** The letter that an access needs. */
export function letterOf(access: { write?: boolean; instruction?: boolean; privileged?: boolean }): string {
  const letter = access.write ? 'w' : access.instruction ? 'x' : 'r';
  return access.privileged ? letter : letter.toUpperCase();
}
