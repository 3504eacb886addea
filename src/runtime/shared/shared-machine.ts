/**
 * A machine in shared memory: what the coordinator allocates, posts to every thread, and what a thread makes of it.
 */
import { REGISTER_BYTES } from '../../arch/registers.js';
import { NON_SECURE } from '../../arch/security.js';
import type { Machine, MemoryRegion } from '../../machine/types.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import { GuestMemory, type GuestMemoryHandle } from '../../memory/guest-memory.js';
import { Control, type ControlShape } from './control.js';
import { initializeMailbox } from './mailbox.js';
import type { WaitLimit } from './signal.js';
import { workspacesBytes } from './workspaces.js';

/** Longest wait of one thread for another before it says so. Generous: the host may have fewer cores than threads. */
export const PARTNER_TIMEOUT_MS = 20_000;

/** Devices that may be plugged in at one time beyond those of the machine file. */
export const PLUGGED_DEVICES = 16;
/** The DMA thread of the plugged devices, which starts with the first of them: the last of the lanes. */
export const PLUGGED_LANES = 1;

/** Cloneable; posting it shares the memory. */
export interface SharedMachine {
  readonly machine: Machine;
  readonly shape: ControlShape;
  readonly control: SharedArrayBuffer;
  /** One register file per SMMU, of both pages. */
  readonly registers: readonly SharedArrayBuffer[];
  readonly memory: GuestMemoryHandle;
}

/** A Non-secure and a Secure physical address space, by Security state. */
export type AddressSpaces = readonly [PhysicalAddressSpace, PhysicalAddressSpace];

/**
 * Reserves everything that the threads of a machine share. The caller is thread 0 of the guest memory.
 * @param software threads of software.
 * @param memory zeroed memory of the machine's regions, for those who recycle it.
 */
export function shareMachine(
  machine: Machine,
  lanes: number,
  software = 1,
  memory?: GuestMemory,
): { shared: SharedMachine; view: MachineView } {
  const shape = {
    smmus: machine.smmus.length,
    lanes: lanes + PLUGGED_LANES,
    software,
    devices: machine.devices.length + PLUGGED_DEVICES,
  };
  const own = memory ?? GuestMemory.create(machine.regions, workspacesBytes(machine, shape.lanes));
  const shared: SharedMachine = {
    machine,
    shape,
    control: Control.allocate(shape),
    registers: machine.smmus.map(() => new SharedArrayBuffer(REGISTER_BYTES)),
    memory: own.handle,
  };
  const view = new MachineView(shared, own);
  for (const smmu of view.control.offsets.smmus) initializeMailbox(view.control.words, smmu);
  return { shared, view };
}

/** Indexes of the accelerated SMMUs on a physical one. */
export function guestsOf(machine: Machine, host: number): number[] {
  return [...machine.smmus.keys()].filter((index) => machine.smmus[index]!.accel === host);
}

/** Where the memory of a region is in truth: a guest's is a part of its host's. */
export function hostBase({ regions }: Machine, { base, alias }: MemoryRegion): number {
  return alias === undefined ? base : regions.find(({ id }) => id === alias.of)!.base + alias.offset;
}

/** The thread indices of a machine's guest memory; thread 0 is the coordinator. */
export const memoryThreads = {
  smmu: (index: number) => 1 + index,
  lane: (shape: ControlShape, lane: number) => 1 + shape.smmus + lane,
  software: (shape: ControlShape, index: number) => 1 + shape.smmus + shape.lanes + index,
} as const;

/** One thread's view of a shared machine. */
export class MachineView {
  readonly shared: SharedMachine;
  readonly machine: Machine;
  readonly control: Control;
  readonly memory: GuestMemory;

  constructor(shared: SharedMachine, memory: GuestMemory) {
    this.shared = shared;
    this.machine = shared.machine;
    this.control = new Control(shared.shape, shared.control);
    this.memory = memory;
  }

  static attach(shared: SharedMachine, thread: number): MachineView {
    return new MachineView(shared, GuestMemory.attach(shared.memory, thread));
  }

  /** The physical address spaces that an SMMU is wired to. */
  spacesOf(smmu: number): AddressSpaces {
    const instance = this.machine.smmus[smmu]!;
    const secure =
      instance.secureMemory === undefined
        ? new UnwiredSpace(instance.id)
        : this.#addressSpace(instance.secureMemory);
    return [this.#addressSpace(instance.memory), secure];
  }

  /** What an agent behind no SMMU reaches: all Non-secure memory. */
  systemSpace(): PhysicalAddressSpace {
    const regions = this.machine.regions.filter(({ security, alias }) => security === NON_SECURE && !alias);
    return this.memory.space(regions.map((region) => region.id));
  }

  /** The end of a wait for an SMMU. */
  smmuLimit(smmu: number, purpose: string): WaitLimit {
    return {
      what: `${this.machine.smmus[smmu]!.id} ${purpose}`,
      timeoutMs: PARTNER_TIMEOUT_MS,
      lost: () => this.control.lost,
    };
  }

  #addressSpace(id: string): PhysicalAddressSpace {
    const space = this.machine.addressSpaces.find((candidate) => candidate.id === id);
    if (space === undefined) throw new Error(`assertion: a realized machine has no address space ${id}`);
    return this.memory.space(space.regions);
  }
}

/**
 * Stands where a Secure address space is not wired. Realize has made sure that nobody selects it; whoever does is a
 * defect of the simulator, which must not end in Non-secure memory instead (REQUIREMENTS A16).
 */
class UnwiredSpace implements PhysicalAddressSpace {
  readonly #smmu: string;

  constructor(smmu: string) {
    this.#smmu = smmu;
  }

  load(): boolean {
    return this.#refuse();
  }

  store(): boolean {
    return this.#refuse();
  }

  store32(): boolean {
    return this.#refuse();
  }

  compareAndSwap(): -1 {
    return this.#refuse();
  }

  read(): boolean {
    return this.#refuse();
  }

  write(): boolean {
    return this.#refuse();
  }

  #refuse(): never {
    throw new Error(`assertion: ${this.#smmu} selected the Secure address space, which is not wired`);
  }
}
