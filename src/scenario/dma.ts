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

/**
 * The parts are accesses of their own: each is attempted, and the whole aborts when one of them does. A part that stalls
 * holds up those after it.
 */
export class DmaAccess {
  readonly #step: DmaStep;
  readonly #driver: ScenarioDriver;
  readonly #transaction = new Transaction();
  readonly #bytes: Uint8Array;
  #at = 0;
  #stalled = false;
  #where: { pa: number; space: SecurityState } | undefined;
  #aborted = false;

  constructor(step: DmaStep, driver: ScenarioDriver) {
    this.#step = step;
    this.#driver = driver;
    this.#bytes = step.write ? step.bytes : new Uint8Array(step.sizeBytes);
  }

  /** The same access, as far as it has come, to go on by itself. */
  copy(): DmaAccess {
    const copy = new DmaAccess({ ...this.#step, bytes: this.#step.bytes.slice() }, this.#driver);
    Object.assign(copy.#transaction, this.#transaction);
    copy.#bytes.set(this.#bytes);
    copy.#at = this.#at;
    copy.#stalled = this.#stalled;
    copy.#where = this.#where;
    copy.#aborted = this.#aborted;
    return copy;
  }

  /** Carries the access out, as far as it goes; after a stall, asks what has become of it and goes on. */
  async proceed(): Promise<DmaResult> {
    const step = this.#step;
    const transaction = this.#transaction;
    while (this.#at < step.sizeBytes) {
      const iova = BigInt.asUintN(64, step.iova + BigInt(this.#at));
      const partBytes = Math.min(step.sizeBytes - this.#at, PART_BYTES - Number(iova % BigInt(PART_BYTES)));
      if (this.#stalled) await this.#driver.resume(step.smmu, transaction);
      else {
        request(step, transaction, iova);
        await this.#driver.translate(step.smmu, transaction);
      }
      this.#stalled = transaction.outcome === STALL;
      if (this.#stalled) return { result: 'stall', stag: transaction.stag };
      this.#conclude(transaction, partBytes);
      this.#at += partBytes;
    }
    if (this.#aborted) return { result: 'abort' };
    return { result: 'ok', ...this.#where, bytes: step.write ? new Uint8Array(0) : this.#bytes };
  }

  #conclude({ outcome, pa, space }: Transaction, partBytes: number): void {
    if (outcome === ABORT) this.#aborted = true;
    if (outcome === OK) {
      if (this.#at === 0) this.#where = { pa, space };
      if (!move(this.#step, this.#driver, this.#transaction, this.#bytes, this.#at, partBytes))
        this.#aborted = true;
    }
    if (outcome === RAZ_WI && !this.#step.write) this.#bytes.fill(0, this.#at, this.#at + partBytes);
  }
}

export function printDmaResult(answer: DmaResult): string {
  if (answer.result === 'abort') return 'abort';
  if (answer.result === 'stall') return `stall, STAG 0x${answer.stag.toString(16)}`;
  const pa = answer.pa === undefined ? '' : `, pa 0x${answer.pa.toString(16)}`;
  const space = answer.space === undefined ? '' : ` ${SECURITY_NAMES[answer.space]}`;
  const data = answer.bytes.length === 0 ? '' : `, data ${hexOf(answer.bytes)}`;
  return `ok${pa}${space}${data}`;
}
