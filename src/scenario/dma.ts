/**
 * A device's access as a scenario states it: cut at 4 KiB boundaries, each part translated and then carried out on
 * the memory that the translation answered with.
 */
import { SECURITY_NAMES, type SecurityState } from '../arch/security.js';
import { ABORT, OK, RAZ_WI, STALL, Transaction } from '../smmu/transaction.js';
import type { ScenarioDriver } from './driver.js';
import type { DmaStep } from './format.js';
import { hexOf } from './print.js';

const PART_BYTES = 4096;

export type DmaResult =
  | {
      readonly result: 'ok';
      /** Where the first byte went; absent when the access was RAZ/WI. */
      readonly pa?: number;
      readonly space?: SecurityState;
      /** What a read returned. */
      readonly bytes: Uint8Array;
    }
  | { readonly result: 'abort' }
  | { readonly result: 'stall'; readonly stag: number };

function request(step: DmaStep, transaction: Transaction, iova: bigint): void {
  transaction.StreamID = step.StreamID;
  transaction.SubstreamID = step.SubstreamID;
  transaction.SEC_SID = step.SEC_SID;
  transaction.iovaLo = Number(BigInt.asIntN(32, iova));
  transaction.iovaHi = Number(BigInt.asIntN(32, iova >> 32n));
  transaction.write = step.write;
  transaction.privileged = step.privileged;
  transaction.instruction = step.instruction;
  transaction.ns = step.ns;
}

/** Moves one part's data; false is an external abort. */
function move(
  step: DmaStep,
  driver: ScenarioDriver,
  transaction: Transaction,
  bytes: Uint8Array,
  at: number,
  sizeBytes: number,
): boolean {
  if (step.translateOnly) return true;
  const part = bytes.subarray(at, at + sizeBytes);
  if (!step.write) return driver.read(transaction.space, transaction.pa, part);
  return driver.write(transaction.space, transaction.pa, part);
}

/** The parts are accesses of their own: each is attempted, and the whole aborts when one of them does. */
export async function performDma(step: DmaStep, driver: ScenarioDriver): Promise<DmaResult> {
  const transaction = new Transaction();
  const bytes = step.write ? step.bytes : new Uint8Array(step.sizeBytes);
  let where: { pa: number; space: SecurityState } | undefined;
  let aborted = false;
  for (let at = 0, partBytes = 0; at < step.sizeBytes; at += partBytes) {
    const iova = BigInt.asUintN(64, step.iova + BigInt(at));
    partBytes = Math.min(step.sizeBytes - at, PART_BYTES - Number(iova % BigInt(PART_BYTES)));
    request(step, transaction, iova);
    await driver.translate(step.smmu, transaction);
    if (transaction.outcome === STALL) return { result: 'stall', stag: transaction.stag };
    if (transaction.outcome === ABORT) aborted = true;
    if (transaction.outcome === OK) {
      if (at === 0) where = { pa: transaction.pa, space: transaction.space };
      if (!move(step, driver, transaction, bytes, at, partBytes)) aborted = true;
    }
    if (transaction.outcome === RAZ_WI && !step.write) bytes.fill(0, at, at + partBytes);
  }
  return aborted
    ? { result: 'abort' }
    : { result: 'ok', ...where, bytes: step.write ? new Uint8Array(0) : bytes };
}

export function printDmaResult(answer: DmaResult): string {
  if (answer.result === 'abort') return 'abort';
  if (answer.result === 'stall') return `stall, STAG 0x${answer.stag.toString(16)}`;
  const pa = answer.pa === undefined ? '' : `, pa 0x${answer.pa.toString(16)}`;
  const space = answer.space === undefined ? '' : ` ${SECURITY_NAMES[answer.space]}`;
  const data = answer.bytes.length === 0 ? '' : `, data ${hexOf(answer.bytes)}`;
  return `ok${pa}${space}${data}`;
}
