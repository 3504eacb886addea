import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PageAllocator } from '../../src/software/page-allocator.js';
import {
  type Granule,
  type Invalidation,
  PageTables,
  type TableFormat,
} from '../../src/software/page-tables.js';
import {
  type GranuleKiB,
  stage1Permits,
  stage2Permits,
  walkStage1,
  walkStage2,
} from '../reference/walker.js';
import { FakeMemory } from './fake-memory.js';

const RAM = 0x4000_0000;
const RAM_BYTES = 0x1000_0000;
const PAGE: Record<Granule, number> = { '4KiB': 4096, '16KiB': 16384, '64KiB': 65536 };
const KIB: Record<Granule, GranuleKiB> = { '4KiB': 4, '16KiB': 16, '64KiB': 64 };
const RW = { read: true, write: true };
const RO = { read: true, write: false };

function make(format: Partial<TableFormat> = {}) {
  const memory = new FakeMemory();
  const allocator = new PageAllocator(RAM, RAM_BYTES);
  const flushed: Invalidation[] = [];
  const tables = new PageTables(
    { stage: 1, granule: '4KiB', inputBits: 48, outputBits: 48, blocks: true, ...format },
    memory,
    allocator,
    (invalidation) => flushed.push(invalidation),
  );
  return { memory, allocator, flushed, tables };
}

describe('DDI 0487 D8.3 golden descriptors', () => {
  test('a 4KB stage 1 page: table descriptors at levels 0 to 2, a page at level 3', () => {
    const { memory, tables } = make();
    tables.map(0x1000n, 0x8000_5000, 4096, RW);
    expect(memory.load64(tables.root) & 0xfffn).toBe(0x003n);
    const leaf = memory.stores[0]!;
    // UXN, PXN, nG, AF, SH inner, AP[2:1] = 01, AttrIndx 0, page.
    expect(leaf.value).toBe(0x0060_0000_8000_5f43n);
    expect(leaf.pa % 4096).toBe(8);
  });

  test('a read-only, executable, privileged, global device block of 2 MiB', () => {
    const { memory, tables } = make();
    tables.map(0x20_0000n, 0xc020_0000, 0x20_0000, {
      read: true,
      write: false,
      execute: true,
      privilegedOnly: true,
      device: true,
      global: true,
      ns: true,
    });
    // AF, SH inner, AP[2:1] = 10, NS, AttrIndx 1, block.
    expect(memory.stores[0]!.value).toBe(0x0000_0000_c020_07a5n);
  });

  test('a 64KB page with a 52-bit address: bits [51:48] stand in [15:12]', () => {
    const { memory, tables } = make({ granule: '64KiB', outputBits: 52 });
    tables.map(0x1_0000n, 0xa_1234_5678_0000, 0x1_0000, RW);
    expect(memory.stores[0]!.value).toBe(0x0060_1234_5678_af43n);
  });

  test('a stage 2 page: S2AP write-only, Normal Write-Back, XN', () => {
    const { memory, tables } = make({ stage: 2, inputBits: 40 });
    tables.map(0n, 0x8000_0000, 4096, { read: false, write: true });
    expect(memory.stores[0]!.value).toBe(0x0040_0000_8000_07bfn);
  });

  test('a table is complete before it is linked', () => {
    const { memory, tables } = make();
    tables.map(0n, 0x8000_0000, 4096, RW);
    const levels = memory.stores.map(({ value }) => (value === memory.stores[0]!.value ? 'page' : 'table'));
    expect(levels).toEqual(['page', 'table', 'table', 'table']);
    expect(memory.stores.at(-1)!.pa).toBe(tables.root);
  });
});

describe('DDI 0487 D8.2.4 stage 2 start levels', () => {
  test.each([
    ['4KiB', 40, 1, 2],
    ['4KiB', 44, 0, 1],
    ['4KiB', 43, 1, 16],
    ['4KiB', 48, 0, 1],
    ['16KiB', 40, 2, 16],
    ['16KiB', 48, 1, 2],
    ['64KiB', 40, 2, 0],
    ['64KiB', 48, 1, 1],
  ] as const)('%s with %d input bits starts at level %d', (granule, inputBits, level, concatenated) => {
    const { tables, allocator } = make({ stage: 2, granule, inputBits });
    expect(tables.startLevel).toBe(level);
    if (concatenated > 1) {
      expect(RAM_BYTES - allocator.freeBytes).toBe(concatenated * PAGE[granule]);
      expect(tables.root % (concatenated * PAGE[granule])).toBe(0);
    }
  });
});

describe('DDI 0487 D8.17.1 splitting', () => {
  test('unmapping a part of a block breaks, flushes, then makes', () => {
    const { memory, flushed, tables } = make();
    tables.map(0n, 0x8000_0000, 0x20_0000, RW);
    memory.stores.length = 0;
    const invalidation = tables.unmap(0x3000n, 4096);
    expect(memory.stores[0]!.value).toBe(0n);
    expect(flushed).toEqual([{ ranges: [{ start: 0, sizeBytes: 0x20_0000, level: 2 }], tables: [] }]);
    expect(invalidation).toEqual({ ranges: [{ start: 0x3000, sizeBytes: 4096, level: 3 }], tables: [] });
  });

  test('protecting a whole block needs no split', () => {
    const { flushed, tables } = make();
    tables.map(0n, 0x8000_0000, 0x4000_0000, RW);
    expect(tables.protect(0n, 0x4000_0000, RO).ranges).toEqual([
      { start: 0, sizeBytes: 0x4000_0000, level: 1 },
    ]);
    expect(flushed).toEqual([]);
  });
});

describe('what cannot be mapped', () => {
  test.each([
    ['a misaligned IOVA', 0x800n, 0x8000_0000, 4096],
    ['a misaligned size', 0n, 0x8000_0000, 100],
    ['a misaligned physical address', 0n, 0x8000_0800, 4096],
    ['an address beyond the output size', 0n, 2 ** 48, 4096],
    ['a range beyond the input size', 0xffff_ffff_f000n, 0x8000_0000, 8192],
  ])('%s is refused', (_what, iova, pa, sizeBytes) => {
    expect(() => make().tables.map(iova, pa, sizeBytes, RW)).toThrow();
  });

  test('a range that is mapped in part is refused and left as it is', () => {
    const { memory, tables } = make();
    tables.map(0x4000n, 0x8000_0000, 4096, RW);
    const before = new Map(memory.words);
    expect(() => tables.map(0x3000n, 0x9000_0000, 0x3000, RW)).toThrow('already mapped');
    expect(memory.words).toEqual(before);
  });
});

interface Page {
  readonly pa: number;
  readonly write: boolean;
}

/** Operations over a window of pages around a block boundary, so that blocks, pages and tables all occur. */
const operation = fc.record({
  op: fc.constantFrom('map', 'map-block', 'unmap', 'protect' as const),
  page: fc.nat(63),
  count: fc.integer({ min: 1, max: 24 }),
  write: fc.boolean(),
});

const formats: ReadonlyArray<Pick<TableFormat, 'stage' | 'granule' | 'inputBits' | 'blocks'>> = [
  { stage: 1, granule: '4KiB', inputBits: 48, blocks: true },
  { stage: 1, granule: '4KiB', inputBits: 39, blocks: false },
  { stage: 1, granule: '16KiB', inputBits: 48, blocks: true },
  { stage: 1, granule: '16KiB', inputBits: 36, blocks: true },
  { stage: 1, granule: '64KiB', inputBits: 48, blocks: true },
  { stage: 2, granule: '4KiB', inputBits: 40, blocks: true },
  { stage: 2, granule: '4KiB', inputBits: 48, blocks: true },
  { stage: 2, granule: '16KiB', inputBits: 40, blocks: true },
  { stage: 2, granule: '64KiB', inputBits: 42, blocks: true },
];

describe('map, unmap and protect agree with a naive map, as an independent walker sees them (G4, G5)', () => {
  test.each(formats)('stage $stage, $granule, $inputBits input bits, blocks $blocks', (format) => {
    const page = PAGE[format.granule];
    const stride = Math.log2(page) - 3;
    const block = page * 2 ** stride;
    // The window begins half-way before the end of the first block.
    const base = block - 32 * page;
    const SL0 = (startLevel: number) => (format.granule === '4KiB' ? 2 - startLevel : 3 - startLevel);

    fc.assert(
      fc.property(fc.array(operation, { maxLength: 25 }), (operations) => {
        const { memory, allocator, tables } = make(format);
        const empty = allocator.freeBytes;
        const model = new Map<number, Page>();
        const finish = (invalidation: Invalidation, changed: readonly number[]) => {
          for (const iova of changed) {
            const told = invalidation.ranges.some(
              ({ start, sizeBytes }) => iova >= start && iova < start + sizeBytes,
            );
            expect(told).toBe(true);
          }
          tables.release(invalidation);
        };
        for (const { op, page: index, count, write } of operations) {
          const start = op === 'map-block' ? (index < 32 ? 0 : block) : base + index * page;
          const size = op === 'map-block' ? block : count * page;
          const pages = Array.from({ length: size / page }, (_, i) => start + i * page);
          const mapped = pages.filter((iova) => model.has(iova));
          const permissions = write ? RW : RO;
          if (op === 'map' || op === 'map-block') {
            const pa = 0x10_0000_0000 + start;
            if (mapped.length > 0) {
              expect(() => tables.map(BigInt(start), pa, size, permissions)).toThrow('already mapped');
            } else {
              tables.map(BigInt(start), pa, size, permissions);
              for (const iova of pages) model.set(iova, { pa: 0x10_0000_0000 + iova, write });
            }
          } else if (op === 'unmap') {
            finish(tables.unmap(BigInt(start), size), mapped);
            for (const iova of mapped) model.delete(iova);
          } else {
            finish(tables.protect(BigInt(start), size, permissions), mapped);
            for (const iova of mapped) model.set(iova, { ...model.get(iova)!, write });
          }
        }
        const samples = new Set<number>([0, block - page, block, 2 * block - page]);
        for (let i = 0; i < 90; i++) samples.add(base + i * page);
        for (const iova of samples) {
          const expected = model.get(iova);
          const address = BigInt(iova) + 0x123n;
          const read = (pa: bigint) => memory.load64(Number(pa));
          if (format.stage === 1) {
            const T0SZ = 64 - format.inputBits;
            const got = walkStage1(
              { va: address, TTB0: BigInt(tables.root), T0SZ, TG0: KIB[format.granule], outputBits: 48 },
              read,
            );
            if (expected === undefined) expect(got).toMatchObject({ kind: 'fault', type: 'translation' });
            else if (got.kind === 'fault') expect.fail(`0x${iova.toString(16)} faults`);
            else {
              expect(got.output).toBe(BigInt(expected.pa) + 0x123n);
              expect(stage1Permits(got, {})).toBe(true);
              expect(stage1Permits(got, { write: true })).toBe(expected.write);
              expect(stage1Permits(got, { instruction: true })).toBe(false);
            }
          } else {
            const got = walkStage2(
              {
                ipa: address,
                S2TTB: BigInt(tables.root),
                S2T0SZ: 64 - format.inputBits,
                S2SL0: SL0(tables.startLevel),
                S2TG: KIB[format.granule],
                outputBits: 48,
              },
              read,
            );
            if (expected === undefined) expect(got).toMatchObject({ kind: 'fault', type: 'translation' });
            else if (got.kind === 'fault') expect.fail(`0x${iova.toString(16)} faults`);
            else {
              expect(got.output).toBe(BigInt(expected.pa) + 0x123n);
              expect(stage2Permits(got, { write: true })).toBe(expected.write);
            }
          }
        }
        tables.release(tables.unmap(0n, 4 * block));
        expect(allocator.freeBytes).toBe(empty);
        tables.destroy();
        expect(allocator.freeBytes).toBe(RAM_BYTES);
      }),
      { numRuns: format.granule === '64KiB' ? 8 : 25 },
    );
  });
});
