/**
 * Where a device's input addresses lead, from the machine file and what the software placed: the answer that the run's
 * verification trusts. It shares nothing with the SMMU's tables and walker.
 */
import { NON_SECURE, type SecurityState } from '../../arch/security.js';
import type { Machine } from '../../machine/types.js';
import { hostBase } from '../shared/shared-machine.js';
import type { PlacedMapping } from '../threads/software-thread.js';

/** A range of physical addresses, and the bytes of the asked range that it holds. */
export interface PhysicalRange {
  readonly pa: number;
  readonly sizeBytes: number;
  readonly space: SecurityState;
  readonly iova: bigint;
}

export class Placement {
  readonly #machine: Machine;
  readonly #mappings: readonly PlacedMapping[];

  constructor(machine: Machine, mappings: readonly PlacedMapping[]) {
    this.#machine = machine;
    this.#mappings = mappings;
  }

  /** The mapped parts of a range of a device's input addresses, in ascending order; a guest's as its host has them. */
  resolve(device: number, iova: bigint, sizeBytes: number): PhysicalRange[] {
    const ranges = this.#resolve(device, iova, sizeBytes);
    const { smmu, host } = this.#machine.devices[device]!;
    if (host === undefined) return ranges;
    return ranges.flatMap((range) => hostRanges(this.#machine, this.#machine.smmus[smmu]!.memory, range));
  }

  #resolve(device: number, iova: bigint, sizeBytes: number): PhysicalRange[] {
    const { id, smmu, SEC_SID } = this.#machine.devices[device]!;
    const program = this.#machine.software.find((candidate) => candidate.device === id);
    if (smmu < 0) return [{ pa: Number(iova), sizeBytes, space: NON_SECURE, iova }];
    if (program === undefined || program.config === 'bypass') {
      return [{ pa: Number(iova), sizeBytes, space: SEC_SID, iova }];
    }
    if (program.config === 'abort') return [];
    const end = iova + BigInt(sizeBytes);
    return this.#mappings
      .filter((one) => one.smmu === smmu && one.security === SEC_SID && one.context === program.context)
      .flatMap((one) => {
        const from = one.iova > iova ? one.iova : iova;
        const mappedEnd = one.iova + BigInt(one.sizeBytes);
        const to = mappedEnd < end ? mappedEnd : end;
        if (from >= to) return [];
        return [
          {
            pa: one.pa + Number(from - one.iova),
            sizeBytes: Number(to - from),
            space: one.space,
            iova: from,
          },
        ];
      })
      .toSorted((a, b) => (a.iova < b.iova ? -1 : 1));
  }
}

/** Where the host has a range of a guest's memory. */
function hostRanges(machine: Machine, memory: string, range: PhysicalRange): PhysicalRange[] {
  const { regions: ids } = machine.addressSpaces.find(({ id }) => id === memory)!;
  return ids.flatMap((id) => {
    const region = machine.regions.find((candidate) => candidate.id === id)!;
    const { base, sizeBytes } = region;
    const from = Math.max(range.pa, base);
    const to = Math.min(range.pa + range.sizeBytes, base + sizeBytes);
    if (from >= to) return [];
    const iova = range.iova + BigInt(from - range.pa);
    return [{ ...range, pa: hostBase(machine, region) + (from - base), sizeBytes: to - from, iova }];
  });
}
