/**
 * What is above a physical SMMU whose host runs guests: the kernel's driver, and for each guest the VMM with the accelerated
 * SMMUs that it emulates. All of it is stepped in one place, as a thread of the physical SMMU or in process.
 *
 * SMMUs with one memory are of one guest: their devices share its nesting parent. The host's own devices are blocked.
 */
import { NON_SECURE } from '../../arch/security.js';
import { IommufdError } from '../../iommufd/errors.js';
import { HostSmmu } from '../../iommufd/host-smmu.js';
import { AcceleratedSmmu } from '../../iommufd/vsmmu/accelerated-smmu.js';
import { BindError } from '../../iommufd/vsmmu/guest-devices.js';
import { VfioCore, type VfioDevice } from '../../iommufd/vsmmu/vfio-core.js';
import type { DeviceInstance } from '../../machine/types.js';
import type { TcuIo } from '../../smmu/tcu/tcu.js';
import { SmmuDriver } from '../../software/driver.js';
import { DriverError, type SmmuPort, SpaceMemory } from '../../software/port.js';
import { kernelAllocator, LOG2_EVENTS } from '../boot-plan.js';
import type { IommufdReport } from '../report/report.js';
import { guestsOf, hostBase, type MachineView } from '../shared/shared-machine.js';
import type { DeviceMove } from './smmu-api.js';

/** What an accelerated SMMU is wired to. */
export interface GuestWiring {
  readonly io: TcuIo;
  /** Memory of its register file, where other threads share it. */
  readonly registers?: ArrayBufferLike;
}

export class Hypervisor {
  /** By index of the SMMU in the machine. */
  readonly guests = new Map<number, AcceleratedSmmu>();
  readonly host: HostSmmu;
  readonly #view: MachineView;
  /** By address space. */
  readonly #cores = new Map<string, VfioCore>();
  /** By the name that the device has in its guest. */
  readonly #passed = new Map<string, VfioDevice>();

  /**
   * Enables the physical SMMU and binds every device that is passed through.
   * @param port the physical SMMU, which runs in `relax`.
   * @throws DriverError, BindError, IommufdError.
   */
  constructor(view: MachineView, host: number, port: SmmuPort, wiring: (smmu: number) => GuestWiring) {
    const { machine } = view;
    const { id } = machine.smmus[host]!;
    const memory = new SpaceMemory(view.spacesOf(host)[NON_SECURE]);
    const allocator = kernelAllocator(machine, host);
    const driver = new SmmuDriver({
      smmu: id,
      security: NON_SECURE,
      port,
      memory,
      allocator,
      log2Events: LOG2_EVENTS,
    });
    driver.enable();
    this.#view = view;
    this.host = new HostSmmu({ id, driver, port, memory, allocator });
    for (const index of guestsOf(machine, host)) this.#addGuest(index, wiring(index));
    for (const device of machine.devices) if (device.host?.smmu === host) this.#passThrough(device);
  }

  /** Gives a device of the host to a guest. @returns why that cannot be; all is then as before. */
  passThrough(device: DeviceInstance): string | undefined {
    try {
      this.#passThrough(device);
      return undefined;
    } catch (error) {
      if (error instanceof BindError || error instanceof IommufdError || error instanceof DriverError)
        return error.message;
      throw error;
    }
  }

  /** Takes a device away from its guest; it is blocked. */
  takeBack({ id, smmu, requesterID }: DeviceInstance): void {
    const vfio = this.#passed.get(id)!;
    this.#passed.delete(id);
    this.guests.get(smmu)!.unbind(requesterID);
    this.#coreOf(smmu).close(vfio);
    this.host.remove(vfio.device);
  }

  /** Devices are found under other StreamIDs. Those that change places have all left theirs before the first has its new one. */
  renumber(moves: readonly DeviceMove[]): void {
    for (const { from } of moves) this.guests.get(from.smmu)!.renumber(from.requesterID, undefined);
    for (const { from, to } of moves)
      this.guests.get(from.smmu)!.renumber(from.requesterID, to.StreamID, to.requesterID);
  }

  /** The iommufd of each guest. */
  iommufds(): IommufdReport[] {
    return [...this.#cores].map(([memory, { iommufd }]) => ({
      ...{ smmu: this.host.id, memory },
      objects: iommufd.objects.list(),
    }));
  }

  /** @throws BindError, IommufdError, DriverError; nothing is kept then. */
  #passThrough({ id, smmu, requesterID, StreamID, host }: DeviceInstance): void {
    const guest = this.guests.get(smmu)!;
    const core = this.#coreOf(smmu);
    const device = this.host.probe(host!.id, host!.StreamID);
    let vfio: VfioDevice | undefined;
    try {
      vfio = core.open(device);
      guest.bind(requesterID, vfio, StreamID);
    } catch (error) {
      if (vfio !== undefined) core.close(vfio);
      this.host.remove(device);
      throw error;
    }
    this.#passed.set(id, vfio);
  }

  #coreOf(smmu: number): VfioCore {
    return this.#cores.get(this.#view.machine.smmus[smmu]!.memory)!;
  }

  #addGuest(index: number, { io, registers }: GuestWiring): void {
    const { config, memory } = this.#view.machine.smmus[index]!;
    const core = this.#cores.get(memory) ?? this.#makeCore(memory);
    this.#cores.set(memory, core);
    this.guests.set(index, new AcceleratedSmmu(config, this.#view.spacesOf(index), io, core, {}, registers));
  }

  /** A guest's VMM, with the guest's memory mapped at the guest's addresses. */
  #makeCore(memory: string): VfioCore {
    const { machine } = this.#view;
    const core = new VfioCore();
    for (const id of machine.addressSpaces.find((space) => space.id === memory)!.regions) {
      const region = machine.regions.find((candidate) => candidate.id === id)!;
      const { base, sizeBytes } = region;
      core.mapMemory({ gpa: base, pa: hostBase(machine, region), sizeBytes, writable: true });
    }
    return core;
  }
}
