/**
 * The vocabulary of the ledger: what the alternatives of a cell say, and which accesses they permit. It is worked out
 * from what the software intends and shares nothing with the SMMU's tables and walker.
 */
import type { SecurityState } from '../../arch/security.js';
import type { Permissions } from '../../software/page-tables.js';
import type { ContextKind, InterfacePlan } from '../plan.js';
import type { Alternative } from './ledger.js';

// An interface's cell.
export const TRANSLATING = 1;
export const DISABLED_BYPASS = 2;
export const DISABLED_ABORT = 3;

// A stream's cell; `detail` is the context.
export const STREAM_TRANSLATES = 1;
export const STREAM_BYPASSES = 2;
export const STREAM_ABORTS = 3;
export const STREAM_BAD_STE = 4;
export const STREAM_BAD_CD = 5;

/** A slot's cell: `what` is the tenure. */
export const UNMAPPED: Alternative = { what: 0, detail: 0 };

/** The bit of one kind of access in a mask of six. */
export function accessBit(write: boolean, instruction: boolean, privileged: boolean): number {
  return 1 << ((write ? 1 : instruction ? 2 : 0) + (privileged ? 3 : 0));
}

/** Which accesses a page permits, with AArch64 tables: at stage 1 of EL1, or at stage 2 (DDI 0487 D8.4). */
export function permittedAccesses(
  kind: ContextKind,
  { write, execute, privilegedOnly }: Permissions,
): number {
  const allow = (isAllowed: boolean, isWrite: boolean, instruction: boolean, privileged: boolean) =>
    isAllowed ? accessBit(isWrite, instruction, privileged) : 0;
  // Stage 2 knows no privilege.
  const unprivileged = privilegedOnly !== true || kind === 'stage2';
  const executable = execute === true;
  return (
    allow(unprivileged, false, false, false) |
    allow(unprivileged && write, true, false, false) |
    allow(executable, false, true, false) |
    allow(true, false, false, true) |
    allow(write, true, false, true) |
    // What EL0 can write at stage 1 is never executable at EL1.
    allow(executable && (kind === 'stage2' || !(unprivileged && write)), false, true, true)
  );
}

/** A frame, by the position of its pool and in it. */
export interface Frame {
  readonly pool: number;
  readonly index: number;
}

export function mapped(tenure: number, frame: Frame, accesses: number): Alternative {
  return { what: tenure, detail: (frame.pool << 24) | (frame.index << 8) | accesses };
}

export function frameOf(detail: number): Frame {
  return { pool: detail >>> 24, index: (detail >>> 8) & 0xffff };
}

export function accessesOf(detail: number): number {
  return detail & 0xff;
}

export function framePA(plan: InterfacePlan, { pool, index }: Frame): number {
  return plan.pools[pool]!.base + index * plan.granuleBytes;
}

/** PA space as the pool has it. */
export function frameSpace(plan: InterfacePlan, { pool }: Frame): SecurityState {
  return plan.pools[pool]!.space;
}

/** The tenure of a window page: it has one owner for ever. Tenures of frames are counted from {@link FIRST_TENURE} on. */
export function windowTenure(interfaceIndex: number, slot: number): number {
  return tenureOf(interfaceIndex, slot + 1);
}

export const FIRST_TENURE = 256;

/** Unique over all interfaces. */
export function tenureOf(interfaceIndex: number, count: number): number {
  return (count << 6) | interfaceIndex;
}

/** The bits of an access that its event record repeats. */
export const ACCESS_READ = 1;
export const ACCESS_INSTRUCTION = 2;
export const ACCESS_PRIVILEGED = 4;
