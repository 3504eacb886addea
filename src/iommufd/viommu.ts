/**
 * A vIOMMU: one guest's slice of a physical SMMU. Its VMID keeps the guest's ASIDs and TLB entries apart from all others',
 * its vDEVICEs say which guest StreamID a device has, and its nested HWPTs are what devices are attached to.
 */
import { EVENT } from '../arch/events.js';
import { set } from '../arch/layout.js';
import { IommufdError } from './errors.js';
import type { EventSink, HostDevice, HostSmmu } from './host-smmu.js';
import { type Content, hex, type IommufdObject } from './object-table.js';
import type { PagingHwpt } from './paging-hwpt.js';
import type { VEventQueue } from './veventq.js';
import { checkVSTE, NESTED_CONFIGS, type NestedConfig, physicalSTE, type VSTE } from './vste.js';

export class VIommu implements IommufdObject {
  readonly kind = 'viommu';
  readonly host: HostSmmu;
  readonly VMID: number;
  readonly #parent: PagingHwpt;
  readonly #vdevices = new Map<number, VDevice>();
  events: VEventQueue | undefined;

  constructor(host: HostSmmu, parent: PagingHwpt) {
    const { stage1, stage2 } = host.driver.features;
    if (!parent.nestParent) throw new IommufdError('EINVAL', 'the HWPT is no nesting parent');
    if (!stage1 || !stage2) throw new IommufdError('EOPNOTSUPP', `${host.id} has not both stages`);
    if (!parent.fits(host))
      throw new IommufdError('EINVAL', `${host.id} cannot walk the nesting parent's tables`);
    this.host = host;
    this.#parent = parent;
    this.VMID = parent.allocateVMID(host);
  }

  /** The device with a guest StreamID. */
  device(virtualID: number): HostDevice | undefined {
    return this.#vdevices.get(virtualID)?.device;
  }

  /** The guest StreamID of a device; undefined when it has none: 0 is a StreamID (REQUIREMENTS E5, E6). */
  virtualIDOf(device: HostDevice): number | undefined {
    for (const [virtualID, known] of this.#vdevices) if (known.device === device) return virtualID;
    return undefined;
  }

  addDevice(vdevice: VDevice): void {
    this.#vdevices.set(vdevice.virtualID, vdevice);
  }

  removeDevice(vdevice: VDevice): void {
    this.#vdevices.delete(vdevice.virtualID);
  }

  /** The physical STE of a stream under one of this vIOMMU's nested HWPTs. */
  ste(config: NestedConfig, vste: VSTE): Uint32Array {
    const { stall, forcedStall } = this.host.driver.features;
    return physicalSTE(config, vste, this.#parent.ste(this.host, this.VMID), stall && !forcedStall);
  }

  content(): Content {
    return { smmu: this.host.id, VMID: this.VMID };
  }

  release(): void {
    this.#parent.freeVMID(this.host, this.VMID);
  }
}

export class VDevice implements IommufdObject {
  readonly kind = 'vdevice';
  readonly viommu: VIommu;
  readonly device: HostDevice;
  readonly virtualID: number;

  constructor(viommu: VIommu, device: HostDevice, virtualID: number) {
    if (!Number.isInteger(virtualID) || virtualID < 0 || virtualID >= 2 ** 32) {
      throw new IommufdError('EINVAL', `${virtualID} is no StreamID`);
    }
    if (viommu.host !== device.host)
      throw new IommufdError('EINVAL', `${device.name} is not behind ${viommu.host.id}`);
    if (viommu.device(virtualID) !== undefined) throw new IommufdError('EEXIST', `vDEVICE ${hex(virtualID)}`);
    if (viommu.virtualIDOf(device) !== undefined)
      throw new IommufdError('EEXIST', `${device.name} has a vDEVICE`);
    this.viommu = viommu;
    this.device = device;
    this.virtualID = virtualID;
    viommu.addDevice(this);
  }

  content(): Content {
    return { virtualID: hex(this.virtualID), StreamID: hex(this.device.StreamID) };
  }

  release(): void {
    this.viommu.removeDevice(this);
  }
}

/** A nested HWPT. Which of them a device without a vDEVICE can be attached to is in NESTED_CONFIGS. */
export class NestedHwpt implements IommufdObject {
  readonly kind = 'hwpt-nested';
  readonly viommu: VIommu;
  readonly config: NestedConfig;
  readonly #vste: VSTE;

  constructor(viommu: VIommu, words: ArrayLike<number>) {
    const { config, vste } = checkVSTE(words);
    this.viommu = viommu;
    this.config = config;
    this.#vste = vste;
  }

  /** The STE and the receiver of events for a device. @throws IommufdError ENOENT without a needed vDEVICE. */
  attachment(device: HostDevice): { readonly ste: Uint32Array; readonly sink: EventSink } {
    const { viommu } = this;
    if (device.host !== viommu.host)
      throw new IommufdError('EINVAL', `${device.name} is not behind ${viommu.host.id}`);
    const virtualID = viommu.virtualIDOf(device);
    if (virtualID === undefined && NESTED_CONFIGS[this.config].needsVDevice) {
      throw new IommufdError('ENOENT', `${device.name} has no vDEVICE`);
    }
    return { ste: viommu.ste(this.config, this.#vste), sink: new GuestEvents(viommu, virtualID) };
  }

  content(): Content {
    return { config: this.config };
  }

  release(): void {}
}

/** A device's events on their way to its guest, under the StreamID that it had there when it was attached. */
class GuestEvents implements EventSink {
  readonly #viommu: VIommu;
  readonly #virtualID: number | undefined;

  constructor(viommu: VIommu, virtualID: number | undefined) {
    this.#viommu = viommu;
    this.#virtualID = virtualID;
  }

  report(words: Uint32Array): string | undefined {
    if (this.#virtualID === undefined) return 'no vDEVICE';
    const { events } = this.#viommu;
    if (events === undefined) return 'no vEVENTQ';
    const record = words.slice();
    set(record, EVENT.StreamID, this.#virtualID);
    return events.push(record) ? undefined : 'vEVENTQ full';
  }
}
