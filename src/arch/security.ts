/**
 * Security states. A SEC_SID and a PA space are one of several states, never a boolean:
 * Realm (IHI 0070 3.10.3) has its number reserved here and nowhere else yet.
 */

export const NON_SECURE = 0;
export const SECURE = 1;

/** Security state of a stream (SEC_SID), a programming interface or a physical address space. */
export type SecurityState = typeof NON_SECURE | typeof SECURE;

export const SECURITY_STATES: readonly SecurityState[] = [NON_SECURE, SECURE];

export const SECURITY_NAMES = ['non-secure', 'secure'] as const;
export type SecurityName = (typeof SECURITY_NAMES)[number];

export function securityState(name: SecurityName): SecurityState {
  return name === 'secure' ? SECURE : NON_SECURE;
}
