/**
 * The same guest twice: on an emulated SMMU, and on an accelerated one over a physical SMMU. What a guest can do and see is one
 * interface, so that one program runs on both.
 */
import { NON_SECURE } from '../../src/arch/security.js';
import { IommufdError } from '../../src/iommufd/errors.js';
import type { VfioDevice } from '../../src/iommufd/vsmmu/vfio-core.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import type { MappedSpace } from '../../src/memory/mapped-space.js';
import { Smmu } from '../../src/smmu/smmu.js';
import { OK, OUTCOME_NAMES, type Transaction } from '../../src/smmu/transaction.js';
import { SpaceMemory } from '../../src/software/port.js';
import { config, GUEST_BYTES, GUEST_RAM, Guest, guestIdRegisters, type Host, request } from './bench.js';

/** StreamIDs of the guest's devices: 0 is one, and one lies beyond a small Stream table. */
export const STREAM_IDS = [0, 5, 70] as const;
const HOST_STREAM_IDS = [0x108, 0x110, 0x3001] as const;

export interface Access {
  readonly device: number;
  readonly iova: bigint;
  readonly write: boolean;
  readonly privileged: boolean;
  readonly instruction: boolean;
  /** -1 for none. */
  readonly SubstreamID: number;
}

/** What a device sees, and where in the guest's memory it was. */
export interface Seen {
  readonly outcome: string;
  readonly gpa?: number;
  readonly bytes?: string;
}

export interface World {
  readonly memory: SpaceMemory;
  /** The SMMU is in another thread. */
  readonly threaded: boolean;
  /** The interrupts since the last call. */
  takeInterrupts(): string[];
  readRegister(offset: number): number;
  /** Resolves when the SMMU has done what the write tells it to. */
  writeRegister(offset: number, sizeBytes: number, value: bigint): Promise<void>;
  access(access: Access, data: Uint8Array): Promise<Seen>;
  reset(): Promise<void>;
  /** What a hypervisor does behind the guest's back, where there is one. */
  disturb(how: 'replug' | 'remap', device: number): Promise<void>;
}

export function toTransaction(access: Access, StreamID: number): Transaction {
  const { iova, write, privileged, instruction, SubstreamID } = access;
  return Object.assign(request(StreamID, iova, write), { privileged, instruction, SubstreamID });
}

/** Moves the data of a translated access. @param base where the guest's memory begins in this space. */
function move(txn: Transaction, space: MappedSpace, base: number, data: Uint8Array): Seen {
  if (txn.outcome !== OK) return { outcome: OUTCOME_NAMES[txn.outcome] };
  const bytes = data.slice();
  const reached = txn.write
    ? space.write(txn.pa, bytes, 0, bytes.length)
    : space.read(txn.pa, bytes, 0, bytes.length);
  if (!reached) return { outcome: 'abort' };
  return { outcome: 'ok', gpa: txn.pa - base, bytes: [...bytes].join(' ') };
}

export class EmulatedWorld implements World {
  readonly memory: SpaceMemory;
  readonly threaded = false;
  readonly #interrupts: string[] = [];
  readonly #space: MappedSpace;
  readonly #smmu: Smmu;

  constructor(memory: GuestMemory, cache: number) {
    this.#space = memory.space(['ram']);
    this.memory = new SpaceMemory(this.#space);
    this.#smmu = new Smmu(config('emulated', guestIdRegisters(), cache), [this.#space, this.#space], {
      interrupt: (name) => this.#interrupts.push(name),
    });
  }

  static memory(): GuestMemory {
    return GuestMemory.create([{ id: 'ram', base: GUEST_RAM, sizeBytes: GUEST_BYTES }]);
  }

  takeInterrupts(): string[] {
    return this.#interrupts.splice(0);
  }

  readRegister(offset: number): number {
    return Number(this.#smmu.readRegister(offset, 4, NON_SECURE));
  }

  async writeRegister(offset: number, sizeBytes: number, value: bigint): Promise<void> {
    this.#smmu.writeRegister(offset, sizeBytes, value, NON_SECURE);
    this.#smmu.runToIdle();
  }

  async access(access: Access, data: Uint8Array): Promise<Seen> {
    const txn = toTransaction(access, STREAM_IDS[access.device]!);
    this.#smmu.tbu.translate(txn);
    this.#smmu.runToIdle();
    return move(txn, this.#space, GUEST_RAM, data);
  }

  async reset(): Promise<void> {
    this.#smmu.reset();
    this.#smmu.runToIdle();
  }

  async disturb(): Promise<void> {}
}

export class AcceleratedWorld implements World {
  readonly memory: SpaceMemory;
  readonly threaded = false;
  readonly #host: Host;
  readonly #index: number;
  readonly #guest: Guest;
  readonly #devices: readonly VfioDevice[];

  constructor(host: Host, index: number) {
    this.#host = host;
    this.#index = index;
    this.#guest = new Guest(host, index, guestIdRegisters());
    this.memory = this.#guest.memory;
    this.#devices = HOST_STREAM_IDS.map((StreamID, device) => {
      const vfio = this.#guest.core.open(host.kernel.probe(`device${device}`, StreamID + index));
      this.#guest.smmu.bind(device, vfio, STREAM_IDS[device]);
      return vfio;
    });
  }

  takeInterrupts(): string[] {
    return this.#guest.interrupts.splice(0);
  }

  get errors(): readonly string[] {
    return this.#guest.errors;
  }

  readRegister(offset: number): number {
    return Number(this.#guest.smmu.readRegister(offset, 4, NON_SECURE));
  }

  async writeRegister(offset: number, sizeBytes: number, value: bigint): Promise<void> {
    this.#guest.smmu.writeRegister(offset, sizeBytes, value, NON_SECURE);
    this.#guest.smmu.runToIdle();
  }

  async access(access: Access, data: Uint8Array): Promise<Seen> {
    const txn = toTransaction(access, HOST_STREAM_IDS[access.device]! + this.#index);
    this.#host.tbu.translate(txn);
    this.#guest.smmu.runToIdle();
    return move(txn, this.#host.space, this.#host.guestBase(this.#index), data);
  }

  async reset(): Promise<void> {
    this.#guest.smmu.reset();
    this.#guest.smmu.runToIdle();
  }

  async disturb(how: 'replug' | 'remap', device: number): Promise<void> {
    const { core, smmu } = this.#guest;
    if (how === 'replug') {
      smmu.unbind(device);
      smmu.bind(device, this.#devices[device], STREAM_IDS[device]);
      return;
    }
    core.unmapMemory(GUEST_RAM, GUEST_BYTES);
    core.mapMemory({
      gpa: GUEST_RAM,
      pa: this.#host.guestBase(this.#index),
      sizeBytes: GUEST_BYTES,
      writable: true,
    });
  }

  /** The devices go back; the guest has left nothing. */
  close(): void {
    for (const [index, vfio] of this.#devices.entries()) {
      this.#guest.smmu.unbind(index);
      this.#guest.core.close(vfio);
      this.#host.kernel.remove(vfio.device);
    }
    this.#guest.core.iommufd.destroy(this.#guest.core.ioas);
    const left = this.#guest.core.iommufd.objects.print();
    if (left !== '') throw new IommufdError('EBUSY', left);
  }
}
