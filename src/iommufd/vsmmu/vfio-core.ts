/**
 * The part of a VMM that owns devices, whatever IOMMU its guest sees: one iommufd, the guest's memory in an IOAS, and
 * the nesting parent, which every accelerated SMMU of the guest builds upon and none of them owns (REQUIREMENTS C3).
 */
import type { HostDevice } from '../host-smmu.js';
import type { Area } from '../ioas.js';
import { Iommufd, type IommufdOptions } from '../iommufd.js';
import type { PagingHwpt } from '../paging-hwpt.js';

/** A device that this guest has. */
export interface VfioDevice {
  readonly device: HostDevice;
  /** Its number in the iommufd. */
  readonly devID: number;
  /** The nesting parent that it is attached to while no guest SMMU has it. */
  readonly s2Hwpt: number;
}

export class VfioCore {
  readonly iommufd: Iommufd;
  readonly ioas: number;
  /** As a rule one: a further one for an SMMU that cannot walk the tables of the others. */
  readonly #parents = new Map<number, number>();

  constructor(options: IommufdOptions = {}) {
    this.iommufd = new Iommufd(options);
    this.ioas = this.iommufd.allocIOAS();
  }

  mapMemory(area: Area): void {
    this.iommufd.map(this.ioas, area);
  }

  unmapMemory(gpa: number, sizeBytes: number): void {
    this.iommufd.unmap(this.ioas, gpa, sizeBytes);
  }

  /** Takes a device for the guest: from now on its DMA reaches the guest's memory, by GPA. */
  open(device: HostDevice): VfioDevice {
    const { iommufd } = this;
    const devID = iommufd.bind(device);
    try {
      const s2Hwpt = this.#attachToParent(devID, device);
      this.#parents.set(s2Hwpt, (this.#parents.get(s2Hwpt) ?? 0) + 1);
      return { device, devID, s2Hwpt };
    } catch (error) {
      iommufd.unbind(devID);
      throw error;
    }
  }

  /** Gives a device back. It is blocked; the nesting parent goes with the last device. */
  close({ devID, s2Hwpt }: VfioDevice): void {
    this.iommufd.unbind(devID);
    const left = this.#parents.get(s2Hwpt)! - 1;
    this.#parents.set(s2Hwpt, left);
    if (left > 0) return;
    this.#parents.delete(s2Hwpt);
    this.iommufd.destroy(s2Hwpt);
  }

  #attachToParent(devID: number, device: HostDevice): number {
    const { iommufd } = this;
    for (const known of this.#parents.keys()) {
      if (!iommufd.objects.get<PagingHwpt>(known, 'hwpt-paging').fits(device.host)) continue;
      iommufd.attach(devID, known);
      return known;
    }
    const made = iommufd.allocPagingHwpt(devID, this.ioas, true);
    try {
      iommufd.attach(devID, made);
    } catch (error) {
      iommufd.destroy(made);
      throw error;
    }
    return made;
  }
}
