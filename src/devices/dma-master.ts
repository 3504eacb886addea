/**
 * A DMA master: carries out the steps of a workload against whatever lies between it and memory.
 *
 * It is resumable: {@link DmaMaster.run} performs at most a batch of accesses and comes back, so that a runtime can
 * guard each batch, as the acknowledgement of an invalidation needs. It knows no time and no thread. The device
 * types `dma-engine` and `iommu-testdev` are both this master.
 */

import { StateError } from '../smmu/state.js';
import type { Outcome } from '../smmu/transaction.js';
import { OK, STALL } from '../smmu/transaction.js';
import { countMismatches, fillPattern } from './pattern.js';

/** Accesses of one batch at most: the runtime's guard is checked once per batch. */
export const BATCH_ACCESSES = 64;

/**
 * Bytes of accesses after which it is looked whether somebody waits for them. To look each time would cost accesses of 64 bytes
 * 5 percent; but 4 KiB are made or checked in tens of microseconds, and a batch of them would keep a CMD_SYNC waiting.
 */
export const BYTES_UNLOOKED = 256;
/** The same in accesses, as small ones may be misses. */
const ACCESSES_UNLOOKED = 8;

/** An access never crosses a boundary of this size, as PCIe requests do not (and never leaves a page). */
export const BOUNDARY_BYTES = 4096;

/**
 * The device's way to memory, behind its TBU or not. One access, of at most 4 KiB, inside one 4 KiB page; input
 * addresses are two 32-bit halves. A read puts its bytes at `offset` of `into`; what the outcome is not OK leaves
 * the buffer as it is, or zero for a RAZ/WI. STALL means that the access is not over: the same call asks again.
 */
export interface AccessPort {
  /** Somebody waits for the accesses that have been made: no further one is made in this batch. */
  readonly isAwaited: boolean;
  read(iovaLo: number, iovaHi: number, into: Uint8Array, offset: number, sizeBytes: number): Outcome;
  write(iovaLo: number, iovaHi: number, from: Uint8Array, offset: number, sizeBytes: number): Outcome;
}

export interface DmaStep {
  /** fill: writes a pattern made from `pattern` and the IOVA; check: reads it back and compares; copy: reads at iova, writes at `to`; read: reads and discards. */
  readonly op: 'fill' | 'check' | 'copy' | 'read';
  readonly iova: bigint;
  readonly to?: bigint;
  readonly sizeBytes: number;
  /** Bytes of one access, 1 to 4096; an access never crosses a 4 KiB boundary. */
  readonly blockBytes: number;
  readonly repeat: number;
  readonly pattern: number;
}

/** What a step or a master did so far. Plain data; numbers stay exact up to 2^53. */
export interface DmaCounters {
  accesses: number;
  /** Bytes of accesses that succeeded. */
  bytes: number;
  /** Accesses whose outcome was not OK. */
  aborts: number;
  /** Bytes that a check found to differ from the pattern. */
  mismatches: number;
}

export function noCounters(): DmaCounters {
  return { accesses: 0, bytes: 0, aborts: 0, mismatches: 0 };
}

const TWO_32 = 0x1_0000_0000;

/** An input address that counts up: halves, as the port wants them. */
class Cursor {
  lo: number;
  hi: number;

  constructor(iova: bigint) {
    this.lo = Number(BigInt.asUintN(32, iova));
    this.hi = Number(BigInt.asUintN(32, iova >> 32n));
  }

  advance(bytes: number): void {
    this.lo += bytes;
    if (this.lo < TWO_32) return;
    this.lo -= TWO_32;
    this.hi = (this.hi + 1) >>> 0;
  }

  /** Bytes up to the next boundary that an access must not cross. */
  room(): number {
    return BOUNDARY_BYTES - (this.lo & (BOUNDARY_BYTES - 1));
  }
}

/** Where a master stands, between two accesses. */
export interface MasterState {
  /** Index of the step in progress; the number of steps when all are done. */
  readonly step: number;
  /** Passes of the step that are over, and bytes of this one. */
  readonly pass: number;
  readonly doneBytes: number;
  /** What a copy has read and not written; empty otherwise. */
  readonly held: Uint8Array;
  /** The next access has been made and is held by a TBU. */
  readonly stalled: boolean;
  /** One for each step. */
  readonly counters: readonly Readonly<DmaCounters>[];
}

export class DmaMaster {
  readonly counters: DmaCounters[];
  readonly #steps: readonly DmaStep[];
  readonly #port: AccessPort;
  /** What a copy has on its way. */
  readonly #buffer = new Uint8Array(BOUNDARY_BYTES);
  readonly #passing: Uint8Array;
  #index = 0;
  #pass = 0;
  #done = 0;
  #source = new Cursor(0n);
  #target = new Cursor(0n);
  #stalled = false;
  /** A copy has read the bytes that it writes next; 0 when it has not. */
  #held = 0;

  /**
   * @param steps run in order; `counters` has one entry for each.
   * @param passing 4 KiB for what an access moves. Nothing stays there between two accesses, so masters of one thread may
   * share it; the thread's bounce buffer is several times as fast as memory of one's own.
   */
  constructor(
    steps: readonly DmaStep[],
    port: AccessPort,
    passing: Uint8Array = new Uint8Array(BOUNDARY_BYTES),
  ) {
    this.#passing = passing;
    this.#steps = steps;
    this.#port = port;
    this.counters = steps.map(noCounters);
    this.#skipEmpty();
    this.#begin();
  }

  get finished(): boolean {
    return this.#index >= this.#steps.length;
  }

  /** Index of the step in progress; the number of steps when all are done. */
  get step(): number {
    return this.#index;
  }

  save(): MasterState {
    return {
      step: this.#index,
      pass: this.#pass,
      doneBytes: this.#done,
      held: this.#buffer.slice(0, this.#held),
      stalled: this.#stalled,
      counters: this.counters.map((counters) => ({ ...counters })),
    };
  }

  /** @throws StateError for a place where no master of these steps can stand */
  restore({ step, pass, doneBytes, held, stalled, counters }: MasterState): void {
    const current = this.#steps[step];
    const fits =
      current === undefined
        ? step === this.#steps.length && !stalled && held.length === 0
        : pass < current.repeat && doneBytes < current.sizeBytes && held.length <= BOUNDARY_BYTES;
    if (!fits || counters.length !== this.#steps.length || (held.length > 0 && current?.op !== 'copy')) {
      throw new StateError(`step ${step + 1} is not one that its workload can be in`);
    }
    for (const [index, one] of counters.entries()) Object.assign(this.counters[index]!, one);
    this.#index = step;
    this.#pass = pass;
    this.#begin();
    this.#done = doneBytes;
    this.#source.advance(doneBytes);
    this.#target.advance(doneBytes);
    this.#buffer.set(held);
    this.#held = held.length;
    this.#stalled = stalled;
  }

  /** The current access is stalled: `run` asks what has become of it. A device makes one access at a time. */
  get stalled(): boolean {
    return this.#stalled;
  }

  /**
   * Performs accesses of the current step.
   * @returns how many were performed: at most `limit`, fewer when the step ended, one stalled or somebody waits for those
   * before; 0 when all are done.
   */
  run(limit: number = BATCH_ACCESSES): number {
    const current = this.#index;
    let accesses = 0;
    let unlooked = 0;
    while (accesses < limit && this.#index === current && !this.finished) {
      const step = this.#steps[current]!;
      this.#stalled = this.#access(step, this.counters[current]!) === STALL;
      if (this.#stalled) break;
      accesses++;
      unlooked += step.blockBytes;
      if (unlooked < BYTES_UNLOOKED && accesses % ACCESSES_UNLOOKED !== 0) continue;
      if (this.#port.isAwaited) break;
      unlooked = 0;
    }
    return accesses;
  }

  #access(step: DmaStep, counters: DmaCounters): Outcome {
    switch (step.op) {
      case 'fill':
        return this.#fill(step, counters);
      case 'read':
        return this.#read(step, counters, false);
      case 'check':
        return this.#read(step, counters, true);
      case 'copy':
        return this.#copy(step, counters);
    }
  }

  /** Bytes of the next access. */
  #size(step: DmaStep): number {
    let size = Math.min(step.blockBytes, step.sizeBytes - this.#done, this.#source.room());
    if (step.op === 'copy') size = Math.min(size, this.#target.room());
    return size;
  }

  #fill(step: DmaStep, counters: DmaCounters): Outcome {
    const size = this.#size(step);
    const { lo, hi } = this.#source;
    fillPattern(step.pattern, lo, hi, this.#passing, 0, size);
    const outcome = this.#port.write(lo, hi, this.#passing, 0, size);
    if (outcome === STALL) return outcome;
    this.#count(counters, outcome, size);
    this.#advance(step, size);
    return outcome;
  }

  #read(step: DmaStep, counters: DmaCounters, check: boolean): Outcome {
    const size = this.#size(step);
    const { lo, hi } = this.#source;
    const outcome = this.#port.read(lo, hi, this.#passing, 0, size);
    if (outcome === STALL) return outcome;
    const ok = this.#count(counters, outcome, size);
    if (ok && check) counters.mismatches += countMismatches(step.pattern, lo, hi, this.#passing, 0, size);
    this.#advance(step, size);
    return outcome;
  }

  /** A copy is two accesses, a read and a write; what could not be read is not written. */
  #copy(step: DmaStep, counters: DmaCounters): Outcome {
    const size = this.#size(step);
    if (this.#held === 0) {
      const outcome = this.#port.read(this.#source.lo, this.#source.hi, this.#buffer, 0, size);
      if (outcome === STALL) return outcome;
      if (this.#count(counters, outcome, size)) this.#held = size;
      else this.#advance(step, size);
      return outcome;
    }
    const outcome = this.#port.write(this.#target.lo, this.#target.hi, this.#buffer, 0, size);
    if (outcome === STALL) return outcome;
    this.#held = 0;
    this.#count(counters, outcome, size);
    this.#advance(step, size);
    return outcome;
  }

  #count(counters: DmaCounters, outcome: Outcome, size: number): boolean {
    counters.accesses++;
    if (outcome !== OK) {
      counters.aborts++;
      return false;
    }
    counters.bytes += size;
    return true;
  }

  #advance(step: DmaStep, size: number): void {
    this.#source.advance(size);
    this.#target.advance(size);
    this.#done += size;
    if (this.#done < step.sizeBytes) return;
    this.#pass++;
    if (this.#pass >= step.repeat) {
      this.#index++;
      this.#pass = 0;
      this.#skipEmpty();
    }
    this.#begin();
  }

  #skipEmpty(): void {
    for (; this.#index < this.#steps.length; this.#index++) {
      const { sizeBytes, repeat } = this.#steps[this.#index]!;
      if (sizeBytes > 0 && repeat > 0) return;
    }
  }

  #begin(): void {
    const step = this.#steps[this.#index];
    if (step === undefined) return;
    this.#done = 0;
    this.#source = new Cursor(step.iova);
    this.#target = new Cursor(step.to ?? step.iova);
  }
}
