/** Bytes typed by hand from the tables of IHI 0070 chapters 4 and 5: none comes from our own encoder. */
import { describe, expect, test } from 'vitest';
import * as commands from '../../src/software/commands.js';
import { BYPASS_STE, contextDescriptor, stage1STE, stage2STE } from '../../src/software/context.js';
import { PageAllocator } from '../../src/software/page-allocator.js';
import { PageTables, type TableFormat } from '../../src/software/page-tables.js';
import { invalidationCommands } from '../../src/software/tlb-invalidation.js';
import { FakeMemory } from './fake-memory.js';

const RAM = 0x8_4000_0000;

function tables(format: TableFormat): PageTables {
  return new PageTables(format, new FakeMemory(), new PageAllocator(RAM, 0x100_0000), () => {});
}

/** Double-words, lowest first. */
function doubleWords(words: Uint32Array): string[] {
  const text = (word: number) => word.toString(16).padStart(8, '0');
  return Array.from(
    { length: words.length / 2 },
    (_, i) => `${text(words[2 * i + 1]!)}_${text(words[2 * i]!)}`,
  );
}

const ZERO = '00000000_00000000';

describe('chapter 4: commands', () => {
  test.each([
    ['4.3.1 CMD_CFGI_STE, leaf', commands.cfgiSTE(0x1234, 0, true), '00001234_00000003', '00000000_00000001'],
    ['4.3.1 CMD_CFGI_STE, Secure', commands.cfgiSTE(0x1234, 1, false), '00001234_00000403', ZERO],
    ['4.3.6 CMD_CFGI_ALL', commands.cfgiAll(0), '00000000_00000004', '00000000_0000001f'],
    ['4.3.3 CMD_CFGI_CD', commands.cfgiCD(7, 0xabcde, 0, true), '00000007_abcde005', '00000000_00000001'],
    ['4.3.4 CMD_CFGI_CD_ALL', commands.cfgiCDAll(7, 0), '00000007_00000006', ZERO],
    ['4.4.2.1 CMD_TLBI_NH_ALL', commands.tlbiNHAll(0x12), '00000012_00000010', ZERO],
    ['4.4.2.2 CMD_TLBI_NH_ASID', commands.tlbiNHASID(0, 0x3456), '34560000_00000011', ZERO],
    [
      '4.4.2.4 CMD_TLBI_NH_VA',
      commands.tlbiNHVA(2, 1, { address: 0xffff_1234_5678_9000n, leaf: true }),
      '00010002_00000012',
      'ffff1234_56789001',
    ],
    [
      '4.4.1.1 a range of 3 * 2^9 granules of 4KB at level 2',
      commands.tlbiNHVA(0, 1, {
        address: 0x20_0000n,
        leaf: true,
        range: { TG: 1, TTL: 2, NUM: 2, SCALE: 9 },
      }),
      '00010000_00902012',
      '00000000_00200601',
    ],
    [
      '4.4.3.1 CMD_TLBI_S2_IPA',
      commands.tlbiS2IPA(9, { address: 0x5000n, leaf: false }),
      '00000009_0000002a',
      '00000000_00005000',
    ],
    ['4.4.3.2 CMD_TLBI_S12_VMALL', commands.tlbiS12VMAll(9), '00000009_00000028', ZERO],
    ['4.4.4.1 CMD_TLBI_NSNH_ALL', commands.tlbiNSNHAll(), '00000000_00000030', ZERO],
    [
      '4.7.1 CMD_RESUME, retry',
      commands.resume(7, 0, 0x1234, 'retry'),
      '00000007_00001044',
      '00000000_00001234',
    ],
    [
      '4.7.1 CMD_RESUME, Secure, abort',
      commands.resume(7, 1, 1, 'abort'),
      '00000007_00002444',
      '00000000_00000001',
    ],
    [
      '4.7.1 CMD_RESUME, RAZ/WI',
      commands.resume(7, 0, 1, 'raz-wi'),
      '00000007_00000044',
      '00000000_00000001',
    ],
    ['4.7.2 CMD_STALL_TERM', commands.stallTerm(7, 1), '00000007_00000445', ZERO],
    ['4.7.3 CMD_SYNC, SIG_NONE', commands.sync(), '00000000_00000046', ZERO],
  ])('%s', (_name, words, low, high) => {
    expect(doubleWords(words)).toEqual([low, high]);
  });
});

describe('chapter 5: structures', () => {
  test('5.2 STE: bypass, incoming shareability', () => {
    expect(doubleWords(BYPASS_STE)).toEqual([
      '00000000_00000009',
      '00001000_00000000',
      ...Array(6).fill(ZERO),
    ]);
  });

  test('5.2 STE: stage 1, one CD', () => {
    const words = doubleWords(stage1STE(0x8_4002_0040, 0, 0));
    expect(words).toEqual(['00000008_4002004b', '00001000_000000d4', ...Array(6).fill(ZERO)]);
  });

  test('5.2 STE: stage 1, 2^5 CDs in two levels, substream 0 without a SubstreamID', () => {
    const words = doubleWords(stage1STE(0x8_4002_0000, 5, 1));
    expect(words.slice(0, 2)).toEqual(['28000008_4002001b', '00001000_000000d6']);
  });

  test('5.2 STE: stage 2, 4KB, 40-bit IPA starting at level 1 with two tables', () => {
    const built = tables({ stage: 2, granule: '4KiB', inputBits: 40, outputBits: 40, blocks: true });
    const words = doubleWords(stage2STE(built, 0x21, false));
    expect(words[0]).toBe('00000000_0000000d');
    expect(words[1]).toBe('00001000_00000000');
    // S2R, S2AA64, S2PS 40 bits, S2SH0 inner, S2OR0, S2IR0, S2SL0 = 1, S2T0SZ = 24; S2VMID.
    expect(words[2]).toBe('040a3558_00000021');
    expect(words[3]).toBe(`00000008_${(built.root % 2 ** 32).toString(16).padStart(8, '0')}`);
    expect(words.slice(4)).toEqual(Array(4).fill(ZERO));
  });

  test('5.4 CD: 64KB, 48-bit VA, 44-bit output, ASID 0x5a', () => {
    const built = tables({ stage: 1, granule: '64KiB', inputBits: 48, outputBits: 44, blocks: true });
    const words = doubleWords(contextDescriptor(built, 0x5a, false));
    // V, EPD1, SH0 inner, OR0, IR0, TG0 = 1, T0SZ = 16; ASID, ASET, A, R, AA64, IPS = 4.
    expect(words[0]).toBe('005ae204_c0003550');
    expect(words[1]).toBe(`00000008_${(built.root % 2 ** 32).toString(16).padStart(8, '0')}`);
    expect(words[2]).toBe(ZERO);
    expect(words[3]).toBe('00000000_000004ff');
    expect(words.slice(4)).toEqual(Array(4).fill(ZERO));
  });
});

describe('4.4.1.1 invalidation by range covers exactly what was asked', () => {
  const format: TableFormat = { stage: 1, granule: '4KiB', inputBits: 48, outputBits: 48, blocks: true };
  test.each([1, 2, 3, 31, 32, 33, 1023, 1024 * 33 + 7, 2 ** 27 + 5])('%d pages', (pages) => {
    const ranges = [{ start: 0x7000, sizeBytes: pages * 4096, level: 3 }];
    let next = 0x7000n;
    for (const words of invalidationCommands({ ranges, tables: [] }, format, { VMID: 0, ASID: 1 }, true)) {
      const low = BigInt(words[0]!);
      const high = (BigInt(words[3]!) << 32n) | BigInt(words[2]!);
      expect(low & 0xffn).toBe(0x12n);
      expect((high >> 8n) & 0xfn).toBe(0b0111n);
      expect((high >> 12n) << 12n).toBe(next);
      next += (((low >> 12n) & 0x1fn) + 1n) * (1n << ((low >> 20n) & 0x1fn)) * 4096n;
    }
    expect(next).toBe(0x7000n + BigInt(pages) * 4096n);
  });

  test('without RIL: one command for each leaf, or the whole ASID when that is too many', () => {
    const few = { ranges: [{ start: 0, sizeBytes: 0x40_0000, level: 2 }], tables: [] };
    expect(invalidationCommands(few, format, { VMID: 0, ASID: 1 }, false)).toHaveLength(2);
    const many = { ranges: [{ start: 0, sizeBytes: 2 ** 30, level: 3 }], tables: [] };
    const commandsFor = invalidationCommands(many, format, { VMID: 0, ASID: 1 }, false);
    expect(commandsFor.map((words) => words[0])).toEqual([0x11]);
  });

  test('where a table went, table entries are invalidated too: Leaf == 0', () => {
    const gone = { ranges: [{ start: 0, sizeBytes: 4096, level: 3 }], tables: [RAM] };
    expect(invalidationCommands(gone, format, { VMID: 0, ASID: 1 }, true)[0]![2]! & 1).toBe(0);
  });
});
