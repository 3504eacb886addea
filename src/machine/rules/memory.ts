/** Memory: regions, the SMMUs' windows, and the address spaces that SMMUs are linked to (REQUIREMENTS F1, F3, F5). */
import { errorRule, type Reporter, usable, type Value, warningRule } from '../diagnostics.js';
import type { RegionItem } from '../file-shape.js';
import {
  byOffset,
  extent,
  formatRange,
  hex,
  isGuestMemory,
  type Model,
  type Smmu,
  type Space,
} from '../model.js';
import { DEFAULT_OAS, numberOr } from '../properties.js';
import { schema } from './schema.js';

export const regionMisaligned = errorRule(
  'region-misaligned',
  "A region's base or size is no multiple of 4 KiB.",
);
export const regionOverlap = errorRule('region-overlap', 'Two regions of one Security state overlap.');
export const mmioOverlap = errorRule(
  'mmio-overlap',
  "An SMMU's 128 KiB register window lies over memory or another window, or is not 64 KiB aligned.",
);
export const memoryNotPlain = errorRule(
  'memory-not-plain',
  "An SMMU's `memory` is linked to an address space that has a Secure region: Non-secure streams would reach it.",
);
export const secureMemoryPlain = warningRule(
  'secure-memory-plain',
  "An SMMU's `secure-memory` is linked to an address space that has no Secure region.",
);
export const memoryBeyondOas = warningRule(
  'memory-beyond-oas',
  'An address space of an SMMU has memory above what its output address size reaches.',
);

export const rules = [
  regionMisaligned,
  regionOverlap,
  mmioOverlap,
  memoryNotPlain,
  secureMemoryPlain,
  memoryBeyondOas,
] as const;

const PAGE_BYTES = 4096;
const WINDOW_BYTES = 0x2_0000;
const WINDOW_ALIGNMENT_BYTES = 0x1_0000;
const ADDRESS_LIMIT = 2 ** 52;

export function checkMemory(model: Model, reporter: Reporter): void {
  for (const region of model.regions) {
    checkAlignment(region.base, region, reporter);
    checkAlignment(region.size, region, reporter);
    checkAlignment(region.offset, region, reporter);
  }
  checkRegions(model, reporter);
  checkWindows(model, reporter);
}

function checkAlignment(value: Value<number>, region: RegionItem, reporter: Reporter): void {
  const number = usable(value);
  if (number === undefined || number % PAGE_BYTES === 0) return;
  const message = `region ${region.label}: ${hex(number)} is not 4 KiB aligned`;
  reporter.value(regionMisaligned, value, message, 'use a multiple of 0x1000');
}

/** Whether two regions are in one's way: a guest's memory has addresses of its own. */
function areRivals(a: RegionItem, b: RegionItem, { spaces }: Model): boolean {
  if (isGuestMemory(a) !== isGuestMemory(b)) return false;
  if (!isGuestMemory(a)) return a.security.value === b.security.value;
  return [...spaces.values()].some(({ regions }) => regions.includes(a) && regions.includes(b));
}

function checkRegions(model: Model, reporter: Reporter): void {
  const { regions } = model;
  const good: RegionItem[] = [];
  for (const region of [...regions].sort((a, b) => byOffset(a.base, b.base))) {
    const mine = extent(region);
    const security = usable(region.security);
    if (mine === undefined || security === undefined) continue;
    if (mine.end > ADDRESS_LIMIT) {
      const message = `region ${region.label} (${formatRange(mine.start, mine.end)}) ends above 2^52`;
      reporter.value(schema, region.size, message, 'make it smaller, or choose a lower base');
      continue;
    }
    const other = good.find((r) => areRivals(region, r, model) && overlaps(mine, extent(r)!));
    if (other === undefined) good.push(region);
    else reportRegions(region, other, reporter);
  }
}

function reportRegions(region: RegionItem, other: RegionItem, reporter: Reporter): void {
  const [a, b] = [extent(region)!, extent(other)!];
  const message =
    `region ${region.label} (${formatRange(a.start, a.end)}) overlaps ` +
    `region ${other.label} (${formatRange(b.start, b.end)})`;
  reporter.value(
    regionOverlap,
    region.base,
    message,
    `move it to ${hex(b.end)} or above, or make it smaller`,
  );
}

interface Extent {
  readonly start: number;
  readonly end: number;
}

function overlaps(a: Extent, b: Extent): boolean {
  return a.start < b.end && b.start < a.end;
}

function checkWindows(model: Model, reporter: Reporter): void {
  const good: { smmu: Smmu; window: Extent }[] = [];
  for (const smmu of [...model.smmus].sort((a, b) => byOffset(a.item.base, b.item.base))) {
    const start = usable(smmu.item.base);
    if (start === undefined) continue;
    const window = { start, end: start + WINDOW_BYTES };
    const regions = model.regions.filter((region) => sees(smmu, region));
    const trouble = windowTrouble(window, regions, good);
    if (trouble === undefined) good.push({ smmu, window });
    else {
      const message = `the window of SMMU ${smmu.item.label} (${formatRange(window.start, window.end)}) ${trouble}`;
      reporter.value(mmioOverlap, smmu.item.base, message, 'give it 128 KiB of its own, 64 KiB aligned');
    }
  }
}

/** Whether a region is at its address for the software that programs an SMMU. */
function sees({ memory }: Smmu, region: RegionItem): boolean {
  if (isGuestMemory(region)) return memory?.regions.includes(region) ?? false;
  return memory?.regions.some(isGuestMemory) !== true;
}

function windowTrouble(
  window: Extent,
  regions: readonly RegionItem[],
  windows: readonly { smmu: Smmu; window: Extent }[],
): string | undefined {
  if (window.start % WINDOW_ALIGNMENT_BYTES !== 0) return 'is not 64 KiB aligned';
  const region = regions.find((r) => {
    const memory = extent(r);
    return memory !== undefined && overlaps(window, memory);
  });
  if (region !== undefined) {
    const { start, end } = extent(region)!;
    return `lies over memory region ${region.label} (${formatRange(start, end)})`;
  }
  const other = windows.find((w) => overlaps(window, w.window));
  if (other === undefined) return undefined;
  return `lies over the window of SMMU ${other.smmu.item.label} (${formatRange(other.window.start, other.window.end)})`;
}

/** Needs effective Secure support: what an SMMU never accesses is not held against it. */
export function checkSpaces(model: Model, reporter: Reporter): void {
  for (const smmu of model.smmus) {
    const { item, memory, secureMemory } = smmu;
    if (secureMemory?.known === true && !secureMemory.regions.some(isSecure)) {
      const message = `secure-memory of SMMU ${item.label} is address space '${secureMemory.id}', which has no secure region`;
      reporter.value(
        secureMemoryPlain,
        item['secure-memory'],
        message,
        'link a space with a `security: secure` region',
      );
    }
    const secret = memory?.regions.find(isSecure);
    if (memory !== undefined && secret !== undefined) {
      const message = `memory of SMMU ${item.label} is address space '${memory.id}', which has the secure region ${secret.label}`;
      reporter.intrinsic(
        memoryNotPlain,
        item.memory,
        message,
        'link an address space of non-secure regions only',
      );
    }
    checkReach(smmu, reporter);
  }
}

function isSecure(region: RegionItem): boolean {
  return usable(region.security) === 'secure';
}

function checkReach(smmu: Smmu, reporter: Reporter): void {
  const oas = numberOr(smmu.item.oas, DEFAULT_OAS);
  if (oas === undefined) return;
  const spaces = [smmu.memory, smmu.secure === true ? smmu.secureMemory : undefined];
  const limit = 2 ** Number(oas);
  const regions = spaces
    .filter((space): space is Space => space !== undefined)
    .flatMap((space) => space.regions);
  const beyond = regions.find((region) => (extent(region)?.end ?? 0) > limit);
  if (beyond === undefined) return;
  const { start, end } = extent(beyond)!;
  const message = `SMMU ${smmu.item.label} reaches addresses below ${hex(limit)}; region ${beyond.label} is ${formatRange(start, end)}`;
  reporter.value(memoryBeyondOas, smmu.item.oas, message, 'choose a larger oas, or move the region');
}
