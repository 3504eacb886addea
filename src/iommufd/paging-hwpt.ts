/**
 * A paging HWPT: stage 2 page tables in the host's memory that follow an IOAS. As a nesting parent it is below every
 * nested HWPT of a machine, whichever SMMU these are for (REQUIREMENTS C3).
 *
 * A VMID names one use of the tables in one SMMU's TLBs: the HWPT's own, for devices that are attached to it, and one
 * of each vIOMMU, whose guest hands out ASIDs as if nobody else did. What changes in the tables is invalidated under
 * each of them.
 */
import { tlbiNHAll } from '../software/commands.js';
import { stage2STE } from '../software/context.js';
import { type Invalidation, PageTables, type TableFormat } from '../software/page-tables.js';
import { invalidationCommands } from '../software/tlb-invalidation.js';
import { IommufdError } from './errors.js';
import { type HostMemory, type HostSmmu, kernelCall } from './host-smmu.js';
import type { Area, Domain, Ioas } from './ioas.js';
import { type Content, hex, type IommufdObject } from './object-table.js';

const INPUT_BITS_MAX = 48;

export class PagingHwpt implements IommufdObject, Domain {
  readonly kind = 'hwpt-paging';
  readonly nestParent: boolean;
  readonly tables: PageTables;
  readonly #kernel: HostMemory;
  readonly #ioas: Ioas;
  /** The VMIDs under which an SMMU's TLBs may hold these tables. */
  readonly #VMIDs = new Map<HostSmmu, Set<number>>();
  /** Of devices attached to this HWPT itself. */
  readonly #own = new Map<HostSmmu, number>();

  /** @param host the SMMU whose formats the tables have. */
  constructor(host: HostSmmu, ioas: Ioas, nestParent: boolean) {
    const { features } = host.driver;
    if (!features.stage2) throw new IommufdError('EOPNOTSUPP', `${host.id} has no stage 2`);
    this.nestParent = nestParent;
    this.#kernel = host.kernel;
    this.#ioas = ioas;
    const { memory, allocator } = host.kernel;
    this.tables = kernelCall(
      () => new PageTables(formatOf(host), memory, allocator, (change) => this.#invalidate(change)),
    );
    try {
      ioas.addDomain(this);
    } catch (error) {
      this.tables.destroy();
      throw error;
    }
  }

  /** Whether an SMMU can walk these tables. */
  fits(host: HostSmmu): boolean {
    const { granule, outputBits } = this.tables.format;
    const { features } = host.driver;
    return (
      host.kernel.memory === this.#kernel.memory &&
      features.stage2 &&
      features.granules.has(granule) &&
      features.outputBits >= outputBits
    );
  }

  /** Takes a VMID of an SMMU for these tables. @throws IommufdError ENOSPC. */
  allocateVMID(host: HostSmmu): number {
    const VMID = kernelCall(() => host.driver.allocateVMID(), 'ENOSPC');
    const known = this.#VMIDs.get(host) ?? new Set();
    this.#VMIDs.set(host, known.add(VMID));
    return VMID;
  }

  freeVMID(host: HostSmmu, VMID: number): void {
    this.#VMIDs.get(host)!.delete(VMID);
    host.driver.freeVMID(VMID);
  }

  /** The STE of a stream that these tables alone translate, or, with a VMID, the stage 2 half of a nested one. */
  ste(host: HostSmmu, VMID: number = this.#ownVMID(host)): Uint32Array {
    return stage2STE(this.tables, VMID, host.driver.features.forcedStall);
  }

  map(area: Area): void {
    const { gpa, pa, sizeBytes, readable = true, writable } = area;
    const { format, granuleBytes } = this.tables;
    if ([gpa, pa, sizeBytes].some((value) => value % granuleBytes !== 0)) {
      throw new IommufdError('EINVAL', `addresses and length are multiples of ${format.granule}`);
    }
    if (gpa + sizeBytes > 2 ** format.inputBits || pa + sizeBytes > 2 ** format.outputBits) {
      throw new IommufdError('EINVAL', `stage 2 has ${format.inputBits} bits of address`);
    }
    try {
      // Whether a page is code is the guest's affair.
      const permissions = { read: readable, write: writable, execute: true };
      kernelCall(() => this.tables.map(BigInt(gpa), pa, sizeBytes, permissions));
    } catch (error) {
      this.unmap(area);
      throw error;
    }
  }

  unmap({ gpa, sizeBytes }: Area): void {
    const change = this.tables.unmap(BigInt(gpa), sizeBytes);
    this.#invalidate(change);
    this.tables.release(change);
  }

  content(): Content {
    const { granule, inputBits } = this.tables.format;
    return { nestParent: this.nestParent, root: hex(this.tables.root), granule, inputBits };
  }

  release(): void {
    this.#ioas.removeDomain(this);
    for (const [host, VMID] of this.#own) this.freeVMID(host, VMID);
    this.tables.destroy();
  }

  #ownVMID(host: HostSmmu): number {
    const known = this.#own.get(host);
    if (known !== undefined) return known;
    const VMID = this.allocateVMID(host);
    this.#own.set(host, VMID);
    return VMID;
  }

  /** Stage 2 entries by address; combined entries of nested streams know no IPA and go by VMID (IHI 0070 16.2.1). */
  #invalidate(change: Invalidation): void {
    if (change.ranges.length === 0) return;
    for (const [host, VMIDs] of this.#VMIDs) {
      const { rangeInvalidation, stage1 } = host.driver.features;
      for (const VMID of VMIDs) {
        const commands = invalidationCommands(
          change,
          this.tables.format,
          { VMID, ASID: 0 },
          rangeInvalidation,
        );
        host.issue(stage1 ? [...commands, tlbiNHAll(VMID)] : commands);
      }
    }
  }
}

function formatOf(host: HostSmmu): TableFormat {
  const { granules, outputBits } = host.driver.features;
  const granule = (['4KiB', '16KiB', '64KiB'] as const).find((one) => granules.has(one))!;
  const bits = Math.min(outputBits, INPUT_BITS_MAX);
  return { stage: 2, granule, inputBits: bits, outputBits: bits, blocks: true };
}
