/**
 * A scenario's memory. A Secure entry exists in the Secure PA space only and lies over the Non-secure ones there;
 * Non-secure entries are visible in both spaces.
 */
import { NON_SECURE, SECURE, type SecurityState } from '../arch/security.js';
import { GuestMemory, type MemoryPage, type Workspace } from '../memory/guest-memory.js';
import type { ArmedFault } from '../memory/injected-faults.js';
import type { MappedSpace } from '../memory/mapped-space.js';
import { workspaceBytes } from '../smmu/tbu/translation-kernel.js';
import type { MemoryDescription } from './format.js';

/** A value for each PA space, indexed by Security state. */
type PerSpace = readonly [MappedSpace, MappedSpace];

export interface ScenarioMemory {
  readonly guest: GuestMemory;
  /** What SMMUs and devices access; faults are injected here. */
  readonly spaces: PerSpace;
  /** The scenario's own hand on the same memory, which no injected fault meets. */
  readonly direct: PerSpace;
}

/** Everything that a scenario's memory holds, and the faults that wait in it. */
export interface MemoryImage {
  readonly pages: readonly (MemoryPage & { readonly region: string })[];
  readonly faults: readonly (readonly ArmedFault[])[];
}

export function saveMemory({ guest, spaces }: ScenarioMemory): MemoryImage {
  const pages = guest.handle.regions.flatMap(({ id: region }) =>
    [...guest.pages(region)].map(({ offset, bytes }) => ({ region, offset, bytes: bytes.slice() })),
  );
  return { pages, faults: spaces.map((space) => space.saveFaults()) };
}

export function restoreMemory({ guest, spaces }: ScenarioMemory, { pages, faults }: MemoryImage): void {
  guest.clear();
  for (const page of pages) guest.setPage(page.region, page);
  for (const [index, space] of spaces.entries()) space.restoreFaults(faults[index]!);
}

/** The TBUs of so many SMMUs, with so many entries, have a kernel: the same for all scenarios, as their memory is one. */
const KERNELS = 8;
const KERNEL_ENTRIES = 4096;

/** Where the kernel of an SMMU's TBU works (tbu/translation-kernel.ts); undefined where there is no room for it. */
export function workspaceOf(
  { guest }: ScenarioMemory,
  index: number,
  entries: number,
): Workspace | undefined {
  const sizeBytes = workspaceBytes(entries);
  if (sizeBytes === 0 || entries > KERNEL_ENTRIES || index >= KERNELS) return undefined;
  return guest.workspace(index * workspaceBytes(KERNEL_ENTRIES), sizeBytes);
}

/** Gives one scenario after the other its memory, zeroed: reserving gigabytes anew for each would cost more than they. */
export class MemoryPool {
  #last: GuestMemory | undefined;

  /** The memory that was taken before must not be used any more. */
  take(memory: readonly MemoryDescription[]): ScenarioMemory {
    const regions = memory.map(({ base, sizeBytes, space }, index) => ({
      id: `memory[${index}]`,
      base,
      sizeBytes,
      space,
    }));
    const workspace = KERNELS * workspaceBytes(KERNEL_ENTRIES);
    const guest = this.#last?.recycle(regions) ?? GuestMemory.create(regions, workspace);
    this.#last = guest;
    const idsIn = (space: SecurityState) =>
      regions.filter((region) => region.space === space).map(({ id }) => id);
    const nonSecure = idsIn(NON_SECURE);
    const secure = [...idsIn(SECURE), ...nonSecure];
    const both = (): PerSpace => [guest.space(nonSecure), guest.space(secure)];
    return { guest, spaces: both(), direct: both() };
  }
}
