/**
 * A device's way to memory in a DMA thread: through the TBU beside it, or straight where it sits behind no SMMU. The data
 * is moved at once, while the batch's guard still holds: what CMD_SYNC waits for is the access, not the translation.
 */
import { NON_SECURE } from '../../arch/security.js';
import type { AccessPort } from '../../devices/dma-master.js';
import type { DeviceInstance } from '../../machine/types.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import { BOUNCE_BYTES } from '../../memory/slab-layout.js';
import type { DirectStream } from '../../smmu/tbu/direct-stream.js';
import type { Tbu } from '../../smmu/tbu/tbu.js';
import { ABORT, OK, type Outcome, RAZ_WI, STALL, Transaction } from '../../smmu/transaction.js';
import type { AddressSpaces } from '../shared/shared-machine.js';
import type { LaneTbu } from './lane-tbu.js';

const TWO_32 = 0x1_0000_0000;

/** Remembers where the first access of a step that did not succeed went. */
export abstract class DevicePort implements AccessPort {
  /** Input address of the first failed access since `watch`, or undefined. */
  failedAt: bigint | undefined;

  /** Input address of the access that is stalled, while one is: the next call is the same access again. */
  stalledAt: bigint | undefined;

  /** The StreamID of further accesses; of none where no SMMU looks at it. */
  set StreamID(_StreamID: number) {}

  /** Begins a new step. */
  watch(): void {
    this.failedAt = undefined;
  }

  abstract get isAwaited(): boolean;
  abstract read(lo: number, hi: number, into: Uint8Array, offset: number, sizeBytes: number): Outcome;
  abstract write(lo: number, hi: number, from: Uint8Array, offset: number, sizeBytes: number): Outcome;

  protected failed(lo: number, hi: number, outcome: Outcome): Outcome {
    this.failedAt ??= wide(lo, hi);
    return outcome;
  }
}

/** What a port needs of a LaneTbu. */
export type PortLane = Pick<LaneTbu, 'tbu' | 'spaces' | 'bounce' | 'isBehind'>;

export class TranslatedPort extends DevicePort {
  readonly #lane: PortLane;
  readonly #tbu: Tbu;
  readonly #spaces: AddressSpaces;
  readonly #transaction = new Transaction();
  /** The thread's bounce buffer, and where it lies in its memory: into it and out of it data are moved directly. */
  readonly #bounce: Uint8Array;
  readonly #bounceAt: number;
  #direct: DirectStream | undefined;

  constructor(device: Pick<DeviceInstance, 'StreamID' | 'SEC_SID'>, lane: PortLane) {
    super();
    this.#lane = lane;
    this.#tbu = lane.tbu;
    this.#spaces = lane.spaces;
    this.#bounce = lane.bounce;
    this.#bounceAt = lane.bounce.byteOffset;
    this.#transaction.StreamID = device.StreamID;
    this.#transaction.SEC_SID = device.SEC_SID;
    // A Secure stream's accesses are to the Secure PA space unless a translation says otherwise.
    this.#transaction.ns = device.SEC_SID === NON_SECURE;
    this.#direct = lane.tbu.direct(this.#transaction);
  }

  override set StreamID(StreamID: number) {
    if (this.#transaction.StreamID === StreamID) return;
    this.#transaction.StreamID = StreamID;
    this.#direct = this.#tbu.direct(this.#transaction);
  }

  read(lo: number, hi: number, into: Uint8Array, offset: number, sizeBytes: number): Outcome {
    if (this.#isDirect(into, offset, sizeBytes)) {
      if (this.#direct!.read(lo, hi, this.#bounceAt + offset, sizeBytes)) return OK;
    }
    const outcome = this.#translate(lo, hi, false);
    if (outcome === OK) {
      const { pa, space } = this.#transaction;
      return this.#spaces[space].read(pa, into, offset, sizeBytes) ? OK : this.failed(lo, hi, ABORT);
    }
    if (outcome === RAZ_WI) into.fill(0, offset, offset + sizeBytes);
    return outcome === STALL ? STALL : this.failed(lo, hi, outcome);
  }

  write(lo: number, hi: number, from: Uint8Array, offset: number, sizeBytes: number): Outcome {
    if (this.#isDirect(from, offset, sizeBytes)) {
      if (this.#direct!.write(lo, hi, this.#bounceAt + offset, sizeBytes)) return OK;
    }
    const outcome = this.#translate(lo, hi, true);
    if (outcome === STALL) return STALL;
    if (outcome !== OK) return this.failed(lo, hi, outcome);
    const { pa, space } = this.#transaction;
    return this.#spaces[space].write(pa, from, offset, sizeBytes) ? OK : this.failed(lo, hi, ABORT);
  }

  get isAwaited(): boolean {
    return this.#lane.isBehind;
  }

  /** Whether data may be moved directly: between memory and the bounce buffer, for an access that is not stalled. */
  #isDirect(buffer: Uint8Array, offset: number, sizeBytes: number): boolean {
    const fits = buffer === this.#bounce && offset + sizeBytes <= BOUNCE_BYTES;
    return fits && this.stalledAt === undefined && this.#direct !== undefined;
  }

  /** The STAG under which the TBU holds the stalled access. */
  get stag(): number {
    return this.#transaction.stag;
  }

  /** Takes up an access that the TBU holds; the device makes it again. */
  restoreStalled(iova: bigint, stag: number, write: boolean): void {
    const transaction = this.#transaction;
    transaction.iovaLo = Number(BigInt.asIntN(32, iova));
    transaction.iovaHi = Number(BigInt.asIntN(32, iova >> 32n));
    transaction.write = write;
    transaction.stag = stag;
    transaction.outcome = STALL;
    this.stalledAt = iova;
  }

  #translate(lo: number, hi: number, write: boolean): Outcome {
    const outcome =
      this.stalledAt === undefined ? this.#begin(lo, hi, write) : this.#tbu.resume(this.#transaction);
    if (outcome !== STALL) this.stalledAt = undefined;
    return outcome;
  }

  #begin(lo: number, hi: number, write: boolean): Outcome {
    const transaction = this.#transaction;
    transaction.iovaLo = lo;
    transaction.iovaHi = hi;
    transaction.write = write;
    const outcome = this.#tbu.translate(transaction);
    if (outcome === STALL) this.stalledAt = wide(lo, hi);
    return outcome;
  }
}

export class DirectPort extends DevicePort {
  readonly #space: PhysicalAddressSpace;

  constructor(space: PhysicalAddressSpace) {
    super();
    this.#space = space;
  }

  get isAwaited(): boolean {
    return false;
  }

  read(lo: number, hi: number, into: Uint8Array, offset: number, sizeBytes: number): Outcome {
    return this.#space.read(address(lo, hi), into, offset, sizeBytes) ? OK : this.failed(lo, hi, ABORT);
  }

  write(lo: number, hi: number, from: Uint8Array, offset: number, sizeBytes: number): Outcome {
    return this.#space.write(address(lo, hi), from, offset, sizeBytes) ? OK : this.failed(lo, hi, ABORT);
  }
}

function wide(lo: number, hi: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

function address(lo: number, hi: number): number {
  return (hi >>> 0) * TWO_32 + (lo >>> 0);
}
