/**
 * A host for tests: physical SMMUs in this thread over one memory, with their kernel's driver, and guests whose memory is a part
 * of the host's at other addresses.
 */
import { AIDR, IDR0, IDR1, IDR3, IDR5 } from '../../src/arch/id-registers.js';
import { encode } from '../../src/arch/layout.js';
import { BANKS, type RegisterKey } from '../../src/arch/registers.js';
import { NON_SECURE } from '../../src/arch/security.js';
import { HostSmmu } from '../../src/iommufd/host-smmu.js';
import type { IommufdOptions } from '../../src/iommufd/iommufd.js';
import { AcceleratedSmmu } from '../../src/iommufd/vsmmu/accelerated-smmu.js';
import { VfioCore, type VfioDevice } from '../../src/iommufd/vsmmu/vfio-core.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import type { MappedSpace } from '../../src/memory/mapped-space.js';
import type { IdRegisters, SmmuConfig } from '../../src/smmu/config.js';
import { Smmu } from '../../src/smmu/smmu.js';
import { Transaction } from '../../src/smmu/transaction.js';
import { SmmuDriver } from '../../src/software/driver.js';
import { PageAllocator } from '../../src/software/page-allocator.js';
import { type SmmuPort, SpaceMemory } from '../../src/software/port.js';

export const HOST_RAM = 0x8000_0000;
/** Of the host's memory: the kernel's own part, then one part for each guest. */
const KERNEL_BYTES = 0x200_0000;
export const GUEST_RAM = 0x4000_0000;
export const GUEST_BYTES = 0x80_0000;
export const GUESTS = 2;

type Fields<Layout extends { fields: object }> = Partial<Record<keyof Layout['fields'], number>>;

export interface IdChoices {
  readonly IDR0?: Fields<typeof IDR0>;
  readonly IDR1?: Fields<typeof IDR1>;
  readonly IDR3?: Fields<typeof IDR3>;
  readonly IDR5?: Fields<typeof IDR5>;
}

/** Both stages and substreams; a guest's SMMU has less. */
export function idRegisters(choices: IdChoices = {}): IdRegisters {
  return {
    IDR0: encode(IDR0, {
      S1P: 1,
      S2P: 1,
      TTF: 2,
      COHACC: 1,
      ASID16: 1,
      VMID16: 1,
      CD2L: 1,
      HTTU: 2,
      TTENDIAN: 2,
      STALL_MODEL: 1,
      ST_LEVEL: 1,
      ...choices.IDR0,
    })[0]!,
    IDR1: encode(IDR1, { SIDSIZE: 16, SSIDSIZE: 4, EVENTQS: 8, CMDQS: 8, ...choices.IDR1 })[0]!,
    IDR3: encode(IDR3, { HAD: 1, RIL: 1, ...choices.IDR3 })[0]!,
    IDR5: encode(IDR5, { OAS: 4, GRAN4K: 1, GRAN16K: 1, GRAN64K: 1, ...choices.IDR5 })[0]!,
    IIDR: 0,
    AIDR: encode(AIDR, { ArchMinorRev: 2 })[0]!,
    S_IDR0: 0,
    S_IDR1: 0,
  };
}

/** What an accelerated SMMU can offer on such a host: stage 1. */
export function guestIdRegisters(choices: IdChoices = {}): IdRegisters {
  return idRegisters({ ...choices, IDR0: { S2P: 0, VMID16: 0, ...choices.IDR0 } });
}

export function config(id: string, idr: IdRegisters, cache = Number.POSITIVE_INFINITY): SmmuConfig {
  return { id, idr, tlb: cache, configCache: cache };
}

export function portOf(smmu: Pick<Smmu, 'readRegister' | 'writeRegister' | 'runToIdle'>): SmmuPort {
  return {
    read32: (offset) => Number(smmu.readRegister(offset, 4, NON_SECURE)),
    write32: (offset, value) => smmu.writeRegister(offset, 4, BigInt(value >>> 0), NON_SECURE),
    read64: (offset) => smmu.readRegister(offset, 8, NON_SECURE),
    write64: (offset, value) => smmu.writeRegister(offset, 8, value, NON_SECURE),
    relax: () => smmu.runToIdle(),
  };
}

export function request(StreamID: number, iova: number | bigint, write = false): Transaction {
  const txn = new Transaction();
  txn.StreamID = StreamID;
  txn.iovaLo = Number(BigInt(iova) & 0xffff_ffffn) | 0;
  txn.iovaHi = Number(BigInt(iova) >> 32n) | 0;
  txn.write = write;
  return txn;
}

export class Host {
  readonly space: MappedSpace;
  readonly allocator = new PageAllocator(HOST_RAM, KERNEL_BYTES);
  readonly smmus: readonly { readonly smmu: Smmu; readonly kernel: HostSmmu }[];
  readonly #memory: GuestMemory;
  readonly #kernelMemory: SpaceMemory;

  constructor(count = 1, idr: IdRegisters = idRegisters(), cache?: number) {
    const guests = Array.from({ length: GUESTS }, (_, index) => ({
      id: `guest${index}`,
      base: GUEST_RAM,
      sizeBytes: GUEST_BYTES,
      alias: { of: 'host', offset: KERNEL_BYTES + index * GUEST_BYTES },
    }));
    const sizeBytes = KERNEL_BYTES + GUESTS * GUEST_BYTES;
    this.#memory = GuestMemory.create([{ id: 'host', base: HOST_RAM, sizeBytes }, ...guests]);
    this.space = this.#memory.space(['host']);
    this.#kernelMemory = new SpaceMemory(this.space);
    this.smmus = Array.from({ length: count }, (_, index) => this.#makeSmmu(`host${index}`, idr, cache));
  }

  get kernel(): HostSmmu {
    return this.smmus[0]!.kernel;
  }

  get tbu() {
    return this.smmus[0]!.smmu.tbu;
  }

  /** A guest's memory, at the guest's addresses. */
  guestSpace(index: number): MappedSpace {
    return this.#memory.space([`guest${index}`]);
  }

  /** Where the host has a guest's memory. */
  guestBase(index: number): number {
    return HOST_RAM + KERNEL_BYTES + index * GUEST_BYTES;
  }

  #makeSmmu(id: string, idr: IdRegisters, cache?: number) {
    const smmu = new Smmu(config(id, idr, cache), [this.space, this.space], { interrupt() {} });
    const memory = this.#kernelMemory;
    const { allocator } = this;
    const port = portOf(smmu);
    const driver = new SmmuDriver({ smmu: id, security: NON_SECURE, port, memory, allocator });
    driver.enable();
    return { smmu, kernel: new HostSmmu({ id, driver, port, memory, allocator }) };
  }
}

/** A guest with an accelerated SMMU, and a driver for it that a test may use. */
export class Guest {
  readonly smmu: AcceleratedSmmu;
  readonly core: VfioCore;
  readonly errors: string[] = [];
  readonly trace: string[] = [];
  readonly interrupts: string[] = [];
  readonly #space: MappedSpace;
  #allocator = new PageAllocator(GUEST_RAM + GUEST_BYTES / 2, GUEST_BYTES / 2);

  constructor(host: Host, index = 0, idr: IdRegisters = guestIdRegisters(), options: GuestOptions = {}) {
    this.#space = host.guestSpace(index);
    this.core = options.core ?? new VfioCore(options);
    const gpa = GUEST_RAM;
    if (options.core === undefined) {
      this.core.mapMemory({ gpa, pa: host.guestBase(index), sizeBytes: GUEST_BYTES, writable: true });
    }
    const io = { interrupt: (name: string) => this.interrupts.push(name) };
    const name = options.name ?? `vsmmu${index}`;
    this.smmu = new AcceleratedSmmu(config(name, idr), [this.#space, this.#space], io, this.core, {
      bound: (devfn, devID) => this.trace.push(`bound ${devfn} ${devID}`),
      unbound: (devfn, devID) => this.trace.push(`unbound ${devfn} ${devID}`),
      error: (message) => this.errors.push(message),
    });
  }

  get memory(): SpaceMemory {
    return new SpaceMemory(this.#space);
  }

  /** The guest's own driver, with its structures in the upper half of the guest's memory. */
  driver(): SmmuDriver {
    return new SmmuDriver({
      smmu: 'vsmmu',
      security: NON_SECURE,
      port: portOf(this.smmu),
      memory: this.memory,
      allocator: this.#allocator,
      sidBits: 9,
    });
  }

  register(key: RegisterKey): number {
    return Number(this.smmu.readRegister(BANKS[NON_SECURE][key].offset, 4, NON_SECURE));
  }

  /** Objects by kind, in the order of their numbers. */
  kinds(): string[] {
    return this.core.iommufd.objects
      .print()
      .split('\n')
      .map((line) => line.split(' ')[1]!);
  }

  attachedTo({ devID }: VfioDevice): string {
    const { objects } = this.core.iommufd;
    const hwpt = this.core.iommufd.attachedTo(devID);
    if (hwpt === undefined) return 'blocked';
    const { config = 'nesting parent' } = objects.find(hwpt).content();
    return String(config);
  }
}

export interface GuestOptions extends IommufdOptions {
  readonly name?: string;
  /** Of the same guest: for a second SMMU. */
  readonly core?: VfioCore;
}
