/**
 * What a machine's software needs to know before it programs the SMMUs: which streams are whose, and which memory is
 * free for tables, queues and buffers.
 */
import { SECURE, type SecurityState } from '../arch/security.js';
import type { Machine, MemoryRegion } from '../machine/types.js';
import type { BootStream } from '../software/boot.js';
import { PageAllocator } from '../software/page-allocator.js';

/** The programs of the streams behind one programming interface. */
export function streamsOf(machine: Machine, smmu: number, security: SecurityState): BootStream[] {
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

/**
 * Allocators over all regions, less what the machine file itself places: mappings with an address of their own, and
 * the memory that devices reach untranslated.
 */
export function regionAllocators(machine: Machine): ReadonlyMap<string, PageAllocator> {
  const taken = [...placedByFile(machine)];
  return new Map(
    machine.regions.map((region) => {
      const allocator = new PageAllocator(region.base, region.sizeBytes);
      for (const [base, sizeBytes] of taken) allocator.reserve(base, sizeBytes);
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
