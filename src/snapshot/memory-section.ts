/**
 * Sections of guest memory: some pages of one region each, the zero ones left out. The content is a u32 with the number of
 * pages, a u64 for each with its offset in the region, and the pages' bytes; the last of a region may be shorter.
 */
import type { MemoryRegion } from '../machine/types.js';
import { type GuestMemory, IMAGE_PAGE_BYTES, type MemoryPage } from '../memory/guest-memory.js';
import { describeSection, inflateSection, type Section, type StoredSection } from './container.js';
import { SnapshotError } from './error.js';

export const MEMORY_SECTION = 'memory';
export const MEMORY_VERSION = 1;
/** Pages of one section: so many that they deflate well, so few that a block of them is nothing. */
const PAGES_MAX = 256;

/** The sections of a region, one after the other. */
export function* memorySections(memory: GuestMemory, region: string): Generator<Section> {
  let pages: MemoryPage[] = [];
  for (const page of memory.pages(region)) {
    pages.push(page);
    if (pages.length < PAGES_MAX) continue;
    yield section(region, pages);
    pages = [];
  }
  if (pages.length > 0) yield section(region, pages);
}

function section(instance: string, pages: readonly MemoryPage[]): Section {
  const header = Buffer.alloc(4 + 8 * pages.length);
  header.writeUInt32LE(pages.length, 0);
  for (const [index, { offset }] of pages.entries()) header.writeBigUInt64LE(BigInt(offset), 4 + 8 * index);
  const bytes = Buffer.concat([header, ...pages.map((page) => page.bytes)]);
  return { name: MEMORY_SECTION, instance, version: MEMORY_VERSION, bytes };
}

/**
 * The pages of a section.
 * @throws SnapshotError, malformed: a page that the region does not have
 */
export function decodePages(stored: StoredSection, regions: readonly MemoryRegion[]): MemoryPage[] {
  const wrong = (what: string): never => {
    throw new SnapshotError('malformed', `${describeSection(stored)}: ${what}`);
  };
  const region = regions.find(({ id }) => id === stored.instance);
  if (region === undefined) return wrong('the machine has no such region');
  const content = inflateSection(stored);
  const pageCount = content.length < 4 ? 0 : content.readUInt32LE(0);
  if (pageCount < 1 || pageCount > PAGES_MAX || content.length < 4 + 8 * pageCount) return wrong('no pages');
  const pages: MemoryPage[] = [];
  let at = 4 + 8 * pageCount;
  for (let index = 0; index < pageCount; index++) {
    const offset = Number(content.readBigUInt64LE(4 + 8 * index));
    if (offset % IMAGE_PAGE_BYTES !== 0 || offset >= region.sizeBytes) return wrong(`a page at ${offset}`);
    const sizeBytes = Math.min(IMAGE_PAGE_BYTES, region.sizeBytes - offset);
    pages.push({ offset, bytes: content.subarray(at, at + sizeBytes) });
    at += sizeBytes;
  }
  return at === content.length ? pages : wrong('not whole pages');
}
