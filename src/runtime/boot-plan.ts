/**
 * What a machine's software needs to know before it programs the SMMUs: which streams are whose, and which memory is
 * free for tables, queues and buffers.
 */
import { NON_SECURE, SECURE, type SecurityState } from '../arch/security.js';
import type { Machine, MemoryRegion } from '../machine/types.js';
import type { BootStream } from '../software/boot.js';
import { PageAllocator } from '../software/page-allocator.js';

/** Records of an event queue, so that a burst of faults is not lost. */
export const LOG2_EVENTS = 12;

/** The programs of the streams behind one programming interface. */
export function streamsOf(machine: Machine, smmu: number, security: SecurityState): BootStream[] {
  // Above a physical SMMU with guests there is the host's kernel.
  if (hostsOf(machine).includes(smmu)) return [];
  return machine.software.flatMap((program) => {
    const device = machine.devices.find((candidate) => candidate.id === program.device)!;
    if (device.smmu !== smmu || device.SEC_SID !== security) return [];
    return [{ ...program, StreamID: device.StreamID }];
  });
}

/** Where an interface's structures and buffers are allocated: the largest region of its own Security state. */
export function homeRegion(machine: Machine, smmu: number, security: SecurityState): MemoryRegion {
  const { memory, secureMemory } = machine.smmus[smmu]!;
  const space = machine.addressSpaces.find(({ id }) => id === (security === SECURE ? secureMemory : memory));
  if (space === undefined) throw new Error(`assertion: ${machine.smmus[smmu]!.id} has no such address space`);
  const regions = space.regions.map((id) => machine.regions.find((region) => region.id === id)!);
  const own = regions.filter((region) => region.security === security);
  const largest = (own.length > 0 ? own : regions).toSorted((a, b) => b.sizeBytes - a.sizeBytes)[0];
  if (largest === undefined) throw new Error(`assertion: address space ${space.id} is empty`);
  return largest;
}

/** Most of what the kernel above a physical SMMU has for STEs, queues and stage 2 tables. */
const KERNEL_BYTES_MAX = 0x100_0000;
/** Which part of its region it is. */
const KERNEL_SHARE = 8;

/** The kernel's part of memory, above a physical SMMU with guests. */
export function kernelAllocator(machine: Machine, host: number): PageAllocator {
  const part = kernelMemory(machine, openAllocators(machine)).get(host);
  if (part === undefined) throw new Error(`assertion: ${machine.smmus[host]!.id} has no guests`);
  return new PageAllocator(part.base, part.sizeBytes);
}

function kernelMemory(
  machine: Machine,
  allocators: ReadonlyMap<string, PageAllocator>,
): ReadonlyMap<number, { readonly base: number; readonly sizeBytes: number }> {
  return new Map(
    hostsOf(machine).map((host) => {
      const region = homeRegion(machine, host, NON_SECURE);
      const sizeBytes = Math.min(KERNEL_BYTES_MAX, Math.floor(region.sizeBytes / KERNEL_SHARE / 4096) * 4096);
      return [host, { base: allocators.get(region.id)!.allocate(sizeBytes, 4096), sizeBytes }];
    }),
  );
}

/** The physical SMMUs that translate for guests, by index. */
export function hostsOf(machine: Machine): number[] {
  return [...new Set(machine.smmus.flatMap(({ accel }) => (accel === undefined ? [] : [accel])))];
}

/**
 * Allocators over all regions, less what the machine file itself places: mappings with an address of their own, and
 * the memory that devices reach untranslated, that of guests and of the kernel above them.
 */
export function regionAllocators(machine: Machine): ReadonlyMap<string, PageAllocator> {
  const allocators = openAllocators(machine);
  kernelMemory(machine, allocators);
  return allocators;
}

function openAllocators(machine: Machine): ReadonlyMap<string, PageAllocator> {
  const taken = [...placedByFile(machine)];
  return new Map(
    machine.regions.map((region) => {
      const allocator = new PageAllocator(region.base, region.sizeBytes);
      for (const [base, sizeBytes] of taken) allocator.reserve(base, sizeBytes);
      for (const guest of machine.regions) {
        if (guest.alias?.of === region.id)
          allocator.reserve(region.base + guest.alias.offset, guest.sizeBytes);
      }
      return [region.id, allocator];
    }),
  );
}

function* placedByFile(machine: Machine): Iterable<readonly [base: number, sizeBytes: number]> {
  for (const { mappings } of machine.software) {
    for (const { pa, sizeBytes } of mappings) if (pa !== undefined) yield [pa, sizeBytes];
  }
  for (const step of machine.workload) {
    const device = machine.devices.find((candidate) => candidate.id === step.device)!;
    const program = machine.software.find((candidate) => candidate.device === step.device);
    if (device.smmu >= 0 && program !== undefined && program.config !== 'bypass') continue;
    yield [Number(step.iova), step.sizeBytes];
    if (step.to !== undefined) yield [Number(step.to), step.sizeBytes];
  }
}
