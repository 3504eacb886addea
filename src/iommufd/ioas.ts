/**
 * An I/O address space: which host physical memory is at which guest physical address, and the page tables that follow it.
 * Areas are mapped and unmapped whole.
 */
import { PAGE_BYTES } from '../software/page-allocator.js';
import { IommufdError } from './errors.js';
import { type Content, hex, type IommufdObject } from './object-table.js';

export interface Area {
  /** Guest physical address: what devices call IOVA without a guest SMMU, and IPA with one. */
  readonly gpa: number;
  readonly pa: number;
  readonly sizeBytes: number;
  /** Default true. */
  readonly readable?: boolean;
  readonly writable: boolean;
}

/** Page tables that hold what an address space maps. */
export interface Domain {
  /** @throws IommufdError ENOMEM, EINVAL; nothing of the area is mapped then. */
  map(area: Area): void;
  unmap(area: Area): void;
}

/** The kernel's iova is 64 bits; ours are exact numbers. */
const ADDRESS_END = 2 ** 52;

const endOf = ({ gpa, sizeBytes }: Area) => gpa + sizeBytes;

export class Ioas implements IommufdObject {
  readonly kind = 'ioas';
  /** By ascending address, without overlaps. */
  #areas: Area[] = [];
  readonly #domains = new Set<Domain>();

  get areas(): readonly Area[] {
    return this.#areas;
  }

  /** @throws IommufdError EINVAL, EOVERFLOW, EEXIST, or what a domain says; then no domain has the area. */
  map(area: Area): void {
    const { gpa, pa, sizeBytes } = area;
    if (sizeBytes <= 0 || [gpa, pa, sizeBytes].some((value) => value % PAGE_BYTES !== 0)) {
      throw new IommufdError('EINVAL', 'addresses and length are multiples of 4 KiB');
    }
    if (endOf(area) > ADDRESS_END || pa + sizeBytes > ADDRESS_END) {
      throw new IommufdError('EOVERFLOW', 'the range ends beyond the address space');
    }
    if (this.#areas.some((other) => gpa < endOf(other) && other.gpa < endOf(area))) {
      throw new IommufdError('EEXIST', `something is mapped at ${hex(gpa)}`);
    }
    const done: Domain[] = [];
    try {
      for (const domain of this.#domains) {
        domain.map(area);
        done.push(domain);
      }
    } catch (error) {
      for (const domain of done) domain.unmap(area);
      throw error;
    }
    this.#areas = [...this.#areas, area].sort((a, b) => a.gpa - b.gpa);
  }

  /**
   * Unmaps all areas in a range.
   * @throws IommufdError ENOENT when there is none, or one reaches beyond the range.
   */
  unmap(gpa: number, sizeBytes: number): void {
    const end = gpa + sizeBytes;
    const hit = this.#areas.filter((area) => area.gpa < end && gpa < endOf(area));
    if (hit.length === 0 || hit.some((area) => area.gpa < gpa || endOf(area) > end)) {
      throw new IommufdError('ENOENT', `${hex(gpa)} is not a range of whole areas`);
    }
    for (const area of hit) for (const domain of this.#domains) domain.unmap(area);
    this.#areas = this.#areas.filter((area) => !hit.includes(area));
  }

  /** Lets page tables follow, beginning with what is mapped now. @throws what the domain says; it is left out then. */
  addDomain(domain: Domain): void {
    const done: Area[] = [];
    try {
      for (const area of this.#areas) {
        domain.map(area);
        done.push(area);
      }
    } catch (error) {
      for (const area of done) domain.unmap(area);
      throw error;
    }
    this.#domains.add(domain);
  }

  removeDomain(domain: Domain): void {
    this.#domains.delete(domain);
  }

  content(): Content {
    const areas = this.#areas.map(({ gpa, pa, sizeBytes, readable = true, writable }) => ({
      ...{ gpa: hex(gpa), pa: hex(pa), sizeBytes, readable, writable },
    }));
    return { areas };
  }

  release(): void {
    this.#areas = [];
  }
}
