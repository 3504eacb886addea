/**
 * The vocabulary of the ledger: what the alternatives of a cell say, and which accesses they permit. It is worked out
 * from what the software intends and shares nothing with the SMMU's tables and walker.
 */
import type { SecurityState } from '../../arch/security.js';
import type { Permissions } from '../../software/page-tables.js';
import { type InterfacePlan, SLOTS, type Stage } from '../plan.js';
import type { Alternative } from './ledger.js';

// An interface's cell.
export const TRANSLATING = 1;
export const DISABLED_BYPASS = 2;
export const DISABLED_ABORT = 3;

// A cell of a stream, for its accesses with one SubstreamID or with none; `detail` is the context.
export const STREAM_TRANSLATES = 1;
export const STREAM_BYPASSES = 2;
export const STREAM_ABORTS = 3;
export const STREAM_BAD_STE = 4;
export const STREAM_BAD_CD = 5;
export const STREAM_BAD_SUBSTREAM = 6;
/** By S1DSS. */
export const STREAM_DISABLED = 7;

/**
 * A slot's cell: `what` is the tenure of the page that it leads to, `detail` says where that is and what each stage permits.
 * Where it leads to none, `what` is 0 and `detail` says why: here, as stage 1 maps nothing.
 */
export const UNMAPPED: Alternative = { what: 0, detail: 0 };

/** The first descriptor of the stage 1 tables cannot be read: stage 2 does not map it. */
export const TABLES_GONE: Alternative = { what: 0, detail: 1 << 13 };

const PAGE_GONE = 1 << 12;

/** Stage 1 leads to an intermediate page that stage 2 does not map; without stage 1, so does every slot that is unmapped. */
export function pageGone(stage1: number): Alternative {
  return { what: 0, detail: PAGE_GONE | stage1 };
}

/** What a stage permits that is not there, or does not care. */
export const ALL_ACCESSES = 0x3f;

/** The bit of one kind of access in a mask of six. */
export function accessBit(write: boolean, instruction: boolean, privileged: boolean): number {
  return 1 << ((write ? 1 : instruction ? 2 : 0) + (privileged ? 3 : 0));
}

/** Which accesses a page permits, with AArch64 tables: at stage 1 of EL1, or at stage 2 (DDI 0487 D8.4). */
export function permittedAccesses(
  stage: Stage,
  { read, write, execute, privilegedOnly }: Permissions,
): number {
  const allow = (isAllowed: boolean, isWrite: boolean, instruction: boolean, privileged: boolean) =>
    isAllowed ? accessBit(isWrite, instruction, privileged) : 0;
  // Stage 2 knows no privilege, and stage 1 nothing that cannot be read.
  const unprivileged = privilegedOnly !== true || stage === 2;
  const readable = read || stage === 1;
  const executable = execute === true;
  return (
    allow(readable && unprivileged, false, false, false) |
    allow(unprivileged && write, true, false, false) |
    allow(executable, false, true, false) |
    allow(readable, false, false, true) |
    allow(write, true, false, true) |
    // What EL0 can write at stage 1 is never executable at EL1.
    allow(executable && (stage === 2 || !(unprivileged && write)), false, true, true)
  );
}

/** A frame, by the position of its pool and in it. */
export interface Frame {
  readonly pool: number;
  readonly index: number;
}

/** @param stage1,stage2 what each permits. */
export function mapped(tenure: number, frame: Frame, stage1: number, stage2: number): Alternative {
  return { what: tenure, detail: (frame.pool << 24) | (frame.index << 12) | (stage2 << 6) | stage1 };
}

export function frameOf(detail: number): Frame {
  return { pool: detail >>> 24, index: (detail >>> 12) & 0xfff };
}

/** Without a page as well as with one. */
export function stage1Accesses(detail: number): number {
  return detail & ALL_ACCESSES;
}

/** What both stages permit. */
export function accessesOf(detail: number): number {
  return detail & (detail >>> 6) & ALL_ACCESSES;
}

/** Of a slot that leads to no page: whether stage 2 is what is missing, and whether under the tables themselves. */
export function isPageGone(detail: number): boolean {
  return (detail & PAGE_GONE) !== 0;
}

export function areTablesGone(detail: number): boolean {
  return detail === TABLES_GONE.detail;
}

/** The intermediate page that a slot of a nested context has for ever; numerically, it is another slot's frame as a rule. */
export function intermediatePage(
  { pools, granuleBytes }: InterfacePlan,
  context: number,
  slot: number,
): number {
  return pools[0]!.base + (context * SLOTS + slot) * granuleBytes;
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
const ACCESS_SUBSTREAM_SHIFT = 3;

/** @param substream index into InterfacePlan.substreams. */
export function ofSubstream(substream: number): number {
  return substream << ACCESS_SUBSTREAM_SHIFT;
}

export function substreamOf(access: number): number {
  return access >>> ACCESS_SUBSTREAM_SHIFT;
}
