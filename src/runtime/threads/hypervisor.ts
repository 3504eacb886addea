/**
 * What is above a physical SMMU whose host runs guests: the kernel's driver, and for each guest the VMM with the accelerated
 * SMMUs that it emulates. All of it is stepped in one place, as a thread of the physical SMMU or in process.
 *
 * SMMUs with one memory are of one guest: their devices share its nesting parent. The host's own devices are blocked.
 */
import { NON_SECURE } from '../../arch/security.js';
import { HostSmmu } from '../../iommufd/host-smmu.js';
import { AcceleratedSmmu } from '../../iommufd/vsmmu/accelerated-smmu.js';
import { VfioCore } from '../../iommufd/vsmmu/vfio-core.js';
import type { TcuIo } from '../../smmu/tcu/tcu.js';
import { SmmuDriver } from '../../software/driver.js';
import { type SmmuPort, SpaceMemory } from '../../software/port.js';
import { kernelAllocator, LOG2_EVENTS } from '../boot-plan.js';
import type { IommufdReport } from '../report/report.js';
import { guestsOf, hostBase, type MachineView } from '../shared/shared-machine.js';

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

  /**
   * Enables the physical SMMU and binds every device that is passed through.
   * @param port the physical SMMU, which runs in `relax`.
   * @throws DriverError, BindError.
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
    for (const device of machine.devices) {
      const guest = this.guests.get(device.smmu);
      if (guest === undefined || device.host === undefined) continue;
      const physical = machine.devices[device.host]!;
      const core = this.#cores.get(machine.smmus[device.smmu]!.memory)!;
      guest.bind(
        device.requesterID,
        core.open(this.host.probe(physical.id, physical.StreamID)),
        device.StreamID,
      );
    }
  }

  /** The iommufd of each guest. */
  iommufds(): IommufdReport[] {
    return [...this.#cores].map(([memory, { iommufd }]) => ({
      ...{ smmu: this.host.id, memory },
      objects: iommufd.objects.list(),
    }));
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
