/**
 * An open iommufd, simulated: what a VMM does with devices that it passes through to a guest (Linux: uapi/linux/iommufd.h).
 * One object table for each guest; operations fail as the kernel's do and then have changed nothing.
 *
 * Left out: automatic domains (attaching a device to an IOAS), faults that page (IOPF), dirty tracking, PASIDs, vQUEUEs.
 */
import type { Words } from '../arch/layout.js';
import type { CommandWords } from '../software/commands.js';
import { IommufdError } from './errors.js';
import type { EventSink, HostDevice, HwInfo } from './host-smmu.js';
import { convertCommand } from './invalidation.js';
import { type Area, Ioas } from './ioas.js';
import { type Content, hex, type IommufdObject, ObjectTable } from './object-table.js';
import { PagingHwpt } from './paging-hwpt.js';
import { type VEvent, VEventQueue } from './veventq.js';
import { NestedHwpt, VDevice, VIommu } from './viommu.js';

/** Points at which an operation can be made to fail, as the kernel's fault injection does. */
export type FaultPoint =
  | 'bind'
  | 'ioas'
  | 'map'
  | 'hwpt-paging'
  | 'viommu'
  | 'hwpt-nested'
  | 'vdevice'
  | 'veventq'
  | 'attach'
  | 'invalidate';

export interface IommufdOptions {
  /** Asked at each point; true makes the operation fail, with EIO for invalidations and ENOMEM for all others. */
  readonly fails?: (point: FaultPoint) => boolean;
}

export interface Invalidated {
  /** Commands that were carried out. */
  readonly handled: number;
  /** Why the next one was not. */
  readonly error?: IommufdError;
}

class BoundDevice implements IommufdObject {
  readonly kind = 'device';
  readonly device: HostDevice;
  /** The HWPT that it is attached to; without one it is blocked. */
  hwpt: number | undefined;

  constructor(device: HostDevice) {
    this.device = device;
  }

  content(): Content {
    const { name, host, StreamID } = this.device;
    return { name, smmu: host.id, StreamID: hex(StreamID), hwpt: this.hwpt ?? null };
  }

  release(): void {
    owners.delete(this.device);
  }
}

/** Devices that some iommufd owns: the kernel gives each to one user at a time. */
const owners = new WeakSet<HostDevice>();

export class Iommufd {
  readonly objects = new ObjectTable();
  readonly #fails: (point: FaultPoint) => boolean;

  constructor({ fails = () => false }: IommufdOptions = {}) {
    this.#fails = fails;
  }

  /** Takes a device. @throws EBUSY when it has an owner. */
  bind(device: HostDevice): number {
    this.#point('bind');
    if (owners.has(device)) throw new IommufdError('EBUSY', `${device.name} has an owner`);
    owners.add(device);
    return this.objects.add(new BoundDevice(device));
  }

  /** Gives a device back; it is blocked. */
  unbind(devID: number): void {
    this.detach(devID);
    this.objects.destroy(devID);
  }

  /** GET_HW_INFO. */
  hwInfo(devID: number): HwInfo {
    return this.#device(devID).device.host.info;
  }

  allocIOAS(): number {
    this.#point('ioas');
    return this.objects.add(new Ioas());
  }

  map(ioasID: number, area: Area): void {
    const ioas = this.objects.get<Ioas>(ioasID, 'ioas');
    this.#point('map');
    ioas.map(area);
  }

  unmap(ioasID: number, gpa: number, sizeBytes: number): void {
    this.objects.get<Ioas>(ioasID, 'ioas').unmap(gpa, sizeBytes);
  }

  /** HWPT_ALLOC of an IOAS, in the formats of a device's SMMU. */
  allocPagingHwpt(devID: number, ioasID: number, nestParent: boolean): number {
    const { device } = this.#device(devID);
    const ioas = this.objects.get<Ioas>(ioasID, 'ioas');
    this.#point('hwpt-paging');
    return this.objects.add(new PagingHwpt(device.host, ioas, nestParent), [ioasID]);
  }

  allocVIommu(devID: number, hwptID: number): number {
    const { device } = this.#device(devID);
    const parent = this.objects.get<PagingHwpt>(hwptID, 'hwpt-paging');
    this.#point('viommu');
    return this.objects.add(new VIommu(device.host, parent), [hwptID]);
  }

  /** HWPT_ALLOC under a vIOMMU. @param vste STE[127:0]. @throws EIO for a vSTE that says more than it may. */
  allocNestedHwpt(viommuID: number, vste: Words): number {
    const viommu = this.objects.get<VIommu>(viommuID, 'viommu');
    this.#point('hwpt-nested');
    return this.objects.add(new NestedHwpt(viommu, vste), [viommuID]);
  }

  /** @param virtualID the guest StreamID, any of 32 bits, 0 included. @throws EEXIST when the vIOMMU has it. */
  allocVDevice(devID: number, viommuID: number, virtualID: number): number {
    const { device } = this.#device(devID);
    const viommu = this.objects.get<VIommu>(viommuID, 'viommu');
    this.#point('vdevice');
    return this.objects.add(new VDevice(viommu, device, virtualID), [viommuID, devID]);
  }

  /** @throws EINVAL for depth 0, EEXIST for a second one. */
  allocVEventQueue(viommuID: number, depth: number): number {
    const viommu = this.objects.get<VIommu>(viommuID, 'viommu');
    this.#point('veventq');
    if (viommu.events !== undefined) throw new IommufdError('EEXIST', 'the vIOMMU has a vEVENTQ');
    const queue = new VEventQueue(depth);
    viommu.events = queue;
    return this.objects.add(
      {
        kind: 'veventq',
        content: () => queue.content(),
        release: () => {
          viommu.events = undefined;
        },
      },
      [viommuID],
    );
  }

  /**
   * Attaches a device to an HWPT, or replaces what it is attached to. On failure the old attachment stays.
   * @throws ENOENT for a translating nested HWPT when the device has no vDEVICE, EINVAL when device and HWPT do not go together.
   */
  attach(devID: number, hwptID: number): void {
    const bound = this.#device(devID);
    const { ste, sink } = this.#attachment(bound.device, hwptID);
    this.#point('attach');
    bound.device.host.install(bound.device, ste, sink);
    this.objects.hold(hwptID);
    if (bound.hwpt !== undefined) this.objects.drop(bound.hwpt);
    bound.hwpt = hwptID;
  }

  /** Blocks a device. Never fails. */
  detach(devID: number): void {
    const bound = this.#device(devID);
    if (bound.hwpt === undefined) return;
    bound.device.host.block(bound.device);
    this.objects.drop(bound.hwpt);
    bound.hwpt = undefined;
  }

  /** What a device is attached to. */
  attachedTo(devID: number): number | undefined {
    return this.#device(devID).hwpt;
  }

  /** HWPT_INVALIDATE of a vIOMMU: commands as a guest's queue holds them, in order, until one fails. */
  invalidate(viommuID: number, commands: readonly Words[]): Invalidated {
    const viommu = this.objects.get<VIommu>(viommuID, 'viommu');
    const converted: CommandWords[] = [];
    try {
      for (const command of commands) {
        if (this.#fails('invalidate')) throw new IommufdError('EIO', 'injected fault');
        converted.push(convertCommand(viommu, command));
      }
    } catch (error) {
      // What came before the bad one is carried out.
      return { handled: viommu.host.issue(converted), error: asIommufdError(error) };
    }
    const handled = viommu.host.issue(converted);
    if (handled === commands.length) return { handled };
    return { handled, error: new IommufdError('EIO', `${viommu.host.id} stopped at a command`) };
  }

  /**
   * Waits for the physical SMMU: events of accesses that are over are in their queues then. A kernel has no such call, and a
   * guest of a real host may see events later than its CMD_SYNC.
   */
  settle(viommuID: number): void {
    this.objects.get<VIommu>(viommuID, 'viommu').host.settle();
  }

  /** Takes the events of a vIOMMU's queue. */
  readEvents(viommuID: number): VEvent[] {
    const viommu = this.objects.get<VIommu>(viommuID, 'viommu');
    viommu.host.pumpEvents();
    return viommu.events?.read() ?? [];
  }

  /** @throws ENOENT, EBUSY. */
  destroy(id: number): void {
    if (this.objects.find(id).kind === 'device')
      throw new IommufdError('EBUSY', `device ${id} is unbound, not destroyed`);
    this.objects.destroy(id);
  }

  /** The file is closed: devices are blocked, everything goes. */
  close(): void {
    for (const id of this.objects.ids('device')) this.detach(id);
    this.objects.clear();
  }

  #attachment(device: HostDevice, hwptID: number): { ste: Uint32Array; sink: EventSink | undefined } {
    const hwpt = this.objects.find(hwptID);
    if (hwpt instanceof NestedHwpt) return hwpt.attachment(device);
    if (!(hwpt instanceof PagingHwpt))
      throw new IommufdError('EINVAL', `a device is not attached to ${hwpt.kind} ${hwptID}`);
    if (!hwpt.fits(device.host))
      throw new IommufdError('EINVAL', `${device.host.id} cannot walk these tables`);
    return { ste: hwpt.ste(device.host), sink: undefined };
  }

  #device(id: number): BoundDevice {
    return this.objects.get<BoundDevice>(id, 'device');
  }

  #point(point: FaultPoint): void {
    if (this.#fails(point)) throw new IommufdError('ENOMEM', `injected fault: ${point}`);
  }
}

function asIommufdError(error: unknown): IommufdError {
  if (error instanceof IommufdError) return error;
  throw error;
}
