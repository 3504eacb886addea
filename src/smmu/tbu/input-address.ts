/** Which table of stage 1 an input address selects, and whether it is in that table's range (IHI 0070 3.4.1). */
import type { Cd } from './cd.js';
import { PAGE_HI_TTB1 } from './kernel-layout.js';
import type { StreamContext } from './stream-context.js';

/** TTB0 (0) or TTB1 (1) of a context with a CD, or -1 where it is in the range of neither or EPDx stops it (choice: epd-hit). */
export function selectTable(context: StreamContext, lo: number, hi: number): 0 | 1 | -1 {
  const cd = context.cd!;
  const half = cd.aa64
    ? selectHalf(hi, context.singlePrivilege)
    : selectLpaeHalf(cd, lo, hi, context.singlePrivilege);
  if (half < 0) return -1;
  const table = half === 1 ? cd.ttb1 : cd.ttb0;
  if (table === undefined) return -1;
  const tbi = half === 1 ? cd.tbi1 : cd.tbi0;
  return !cd.aa64 || inRange(hi, lo, table.inputBits, half === 1, tbi) ? half : -1;
}

/** The page number by which the TLB knows an input address (tlb.ts), in two halves. */
export function pageLoOf(lo: number, hi: number): number {
  return (lo >>> 12) | (hi << 20);
}

export function pageHiOf(cd: Cd, half: 0 | 1, hi: number): number {
  return ((hi >>> 12) & 0xff) | (half === 1 && cd.aa64 ? PAGE_HI_TTB1 : 0);
}

/** VMSAv8-64: VA[55] selects the table; with one table only, its upper half is out of range. */
export function selectHalf(hi: number, single: boolean): 0 | 1 {
  return !single && (hi & (1 << 23)) !== 0 ? 1 : 0;
}

/** VMSAv8-32 LPAE: T0SZ and T1SZ split 4 GiB; between the two, and above, lies what no table translates: -1. */
export function selectLpaeHalf({ t0sz, t1sz }: Cd, lo: number, hi: number, single: boolean): 0 | 1 | -1 {
  if (hi !== 0) return -1;
  const inLower = t0sz === 0 || lo >>> (32 - t0sz) === 0;
  if (single) return inLower ? 0 : -1;
  const inUpper = t1sz === 0 ? !inLower : ~lo >>> (32 - t1sz) === 0;
  return inUpper ? 1 : inLower ? 0 : -1;
}

/** Whether VA[AddrTop:N] is all zeros in the lower half, or VA[AddrTop:N-1] all ones in the upper. */
function inRange(hi: number, lo: number, inputBits: number, upper: boolean, tbi: boolean): boolean {
  const top = tbi ? 0x00ff_ffff : -1;
  const value = upper ? ~hi & top : hi & top;
  if (inputBits >= 32) return value >>> (inputBits - 32) === 0;
  return value === 0 && (upper ? ~lo : lo) >>> inputBits === 0;
}
