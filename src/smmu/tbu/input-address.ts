/** Which of a context's two tables an input address belongs to, and whether it is within its range (IHI 0070 3.4.1). */
import type { Cd } from './cd.js';

/** VMSAv8-64: VA[55] selects the table; with one table only, its upper half is out of range (3.4.1). */
export function selectHalf(hi: number, single: boolean): 0 | 1 {
  return !single && (hi & (1 << 23)) !== 0 ? 1 : 0;
}

/** VMSAv8-32 LPAE: T0SZ and T1SZ split 4 GiB; between the two, and above, lies what no table translates: -1 (3.4.1). */
export function selectLpaeHalf({ t0sz, t1sz }: Cd, lo: number, hi: number, single: boolean): 0 | 1 | -1 {
  if (hi !== 0) return -1;
  const inLower = t0sz === 0 || lo >>> (32 - t0sz) === 0;
  if (single) return inLower ? 0 : -1;
  const inUpper = t1sz === 0 ? !inLower : ~lo >>> (32 - t1sz) === 0;
  return inUpper ? 1 : inLower ? 0 : -1;
}

/** Whether VA[AddrTop:N] is all zeros in the lower half, or VA[AddrTop:N-1] all ones in the upper (3.4.1). */
export function inRange(hi: number, lo: number, inputBits: number, upper: boolean, tbi: boolean): boolean {
  const top = tbi ? 0x00ff_ffff : -1;
  const value = upper ? ~hi & top : hi & top;
  if (inputBits >= 32) return value >>> (inputBits - 32) === 0;
  return value === 0 && (upper ? ~lo : lo) >>> inputBits === 0;
}
