import { describe, expect, test } from 'vitest';
import type { CacheSettings } from '../../src/smmu/config.js';
import { OPCODES } from '../spec-numbers.js';
import { CDS, type CdFields, eventOf, STRTAB, type SteFields, TbuBench } from './tbu-bench.js';

/**
 * The dial of the caches, from both sides: what a setting lets stay does stay until a command names it, and goes then.
 * Every test changes memory under a cached structure and looks which of the two answers.
 */
const NORMAL: Partial<CacheSettings> = { caching: 'normal' };
const STALE: Partial<CacheSettings> = { caching: 'stale' };
const MAXIMAL: Partial<CacheSettings> = { caching: 'maximally-stale' };
const SPECULATIVE: Partial<CacheSettings> = { caching: 'normal', speculativeFills: true };

const ASID = 1;
const VMID = 5;
const L1 = 0x10_0000;
const S2_L1 = 0x20_0000;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, ASID };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6, S2VMID: VMID };
const STAGE_2: SteFields = { S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: S2_L1 >> 4, S2R: 1 };
/** A page descriptor: AF, any privilege, nG. */
const PAGE = 0xc43n;
const READ_ONLY = 1n << 7n;
const S2_PAGE = 0x4c3n | (0xfn << 2n);

type Words = readonly number[];
const leafBit = (leaf: boolean) => (leaf ? 1 : 0);
const cfgiSte = (StreamID: number, leaf: boolean): Words => [OPCODES.CMD_CFGI_STE, StreamID, leafBit(leaf)];
const cfgiRange = (StreamID: number, Range: number): Words => [OPCODES.CMD_CFGI_STE_RANGE, StreamID, Range];
const cfgiCd = (ssid: number, leaf: boolean): Words => [
  OPCODES.CMD_CFGI_CD + ssid * 0x1000,
  1,
  leafBit(leaf),
];
const nhVa = (va: number, low = 0, asid = ASID): Words => [
  OPCODES.CMD_TLBI_NH_VA,
  asid * 0x1_0000 + VMID,
  va + low,
];
const LEAF = 1;
const TTL = (level: number) => level << 8;
const TG = { '4KB': 1 << 10, '64KB': 3 << 10 };

/** Whether an access of StreamID 1, page by page, goes to the old tree of tables or to the new one. */
class Moved extends TbuBench {
  constructor(caches: Partial<CacheSettings>, ste: SteFields = STAGE_1) {
    super({ caches });
    this.ste(1, ste);
    this.cd(CDS, CD);
  }
  where(page: number, StreamID = 1): string {
    const { outcome, pa } = this.access({ StreamID, iova: page * 0x1000 });
    return outcome === 'ok' ? (pa! < 0x5000_0000n ? 'old' : 'new') : outcome;
  }
}

/** Two levels of tables below a first one, with 512 pages of output from `out` on. */
function tree(bench: TbuBench, at: number, out: bigint, leaf: bigint): void {
  bench.store64(at, BigInt(at + 0x1000) | 3n);
  for (let i = 0; i < 512; i++) bench.store64(at + 0x1000 + 8 * i, out | (BigInt(i) << 12n) | leaf);
}

describe('H5, 3.21.3: L1STDs', () => {
  const TWO_LEVEL = (1 << 16) | (6 << 6) | 12;
  function moved(caches: Partial<CacheSettings>, before = 7): TbuBench {
    const bench = new TbuBench({ caches, strtabBaseCfg: TWO_LEVEL });
    for (let sid = 0; sid < 64; sid++) bench.ste(sid, { Config: 4 }, 0, 0x6_0000);
    bench.l1std(STRTAB, before, 0x6_0000);
    bench.access({ StreamID: 1, iova: 0 });
    bench.events();
    // The new array disables every stream.
    for (let sid = 0; sid < 64; sid++) bench.ste(sid, { Config: before === 0 ? 4 : 0 }, 0, 0x7_0000);
    bench.l1std(STRTAB, 7, 0x7_0000);
    return bench;
  }
  const old = (bench: TbuBench, StreamID = 2) => bench.access({ StreamID, iova: 0 }).outcome === 'ok';

  test('read anew normally, kept by stale', () => {
    expect(old(moved(NORMAL))).toBe(false);
    expect(old(moved(STALE))).toBe(true);
    expect(old(moved(MAXIMAL))).toBe(true);
  });

  test.each([
    ['CFGI_STE Leaf 1', cfgiSte(2, true), true],
    ['CFGI_STE Leaf 0 of another L1STD', cfgiSte(64, false), true],
    ['CFGI_STE Leaf 0', cfgiSte(2, false), false],
    ['CFGI_STE Leaf 0 of another STE of the same', cfgiSte(63, false), false],
    ['CFGI_STE_RANGE elsewhere', cfgiRange(64, 5), true],
    ['CFGI_STE_RANGE of a part', cfgiRange(2, 0), false],
    ['CFGI_STE_RANGE of more', cfgiRange(64, 7), false],
    ['CFGI_ALL', cfgiRange(0, 31), false],
    ['CFGI_CD', [OPCODES.CMD_CFGI_CD, 2, 0], true],
    ['TLBI_NSNH_ALL', [OPCODES.CMD_TLBI_NSNH_ALL], true],
  ] as const)('4.3: after %s', (_, command, stays) => {
    const bench = moved(STALE);
    bench.command(command);
    expect(old(bench)).toBe(stays);
  });

  test('4.3.1: the STE that was read through it is a structure of its own', () => {
    const bench = moved(STALE);
    bench.command(cfgiSte(2, false));
    expect(old(bench, 1)).toBe(true);
    bench.command(cfgiSte(1, true));
    expect(old(bench, 1)).toBe(false);
  });

  test('3.21.3: Span 0 is kept by maximally-stale alone, until CFGI_STE with Leaf 0', () => {
    expect(old(moved(NORMAL, 0), 1)).toBe(true);
    expect(old(moved(STALE, 0), 1)).toBe(true);
    const bench = moved(MAXIMAL, 0);
    const bad = [eventOf({ EventNumber: 2, StreamID: 1 })];
    expect([old(bench, 1), bench.events()]).toEqual([false, bad]);
    bench.command(cfgiSte(1, true));
    expect([old(bench, 1), bench.events()]).toEqual([false, bad]);
    bench.command(cfgiSte(1, false));
    expect([old(bench, 1), bench.events()]).toEqual([true, []]);
  });
});

describe('H5, 3.21.3: invalid STEs and CDs', () => {
  test.each([
    ['V == 0', { V: 0 }, [eventOf({ EventNumber: 4, StreamID: 1 })]],
    ['ILLEGAL', { Config: 5, S1CDMax: 31 }, [eventOf({ EventNumber: 4, StreamID: 1 })]],
    ['Config 0b000', { Config: 0 }, []],
  ])('an STE with %s', (_, fields, events) => {
    for (const caches of [NORMAL, STALE, MAXIMAL]) {
      const bench = new TbuBench({ caches });
      const go = () => [bench.access({ StreamID: 1, iova: 0 }).outcome, bench.events()];
      bench.ste(1, fields);
      expect(go()).toEqual(['abort', events]);
      bench.ste(1, { Config: 4 });
      expect(go()).toEqual(caches === MAXIMAL ? ['abort', events] : ['ok', []]);
      bench.command(cfgiSte(0, false));
      expect(go()).toEqual(caches === MAXIMAL ? ['abort', events] : ['ok', []]);
      bench.command(cfgiSte(1, true));
      expect(go()).toEqual(['ok', []]);
    }
  });

  test('a CD with V == 0', () => {
    for (const caches of [NORMAL, STALE, MAXIMAL]) {
      const bench = new Moved(caches);
      tree(bench, L1, 0x4000_0000n, PAGE & ~2n);
      bench.cd(CDS, { V: 0 });
      const bad = [eventOf({ EventNumber: 0x0a, StreamID: 1 })];
      expect([bench.where(0), bench.events()]).toEqual(['abort', bad]);
      bench.cd(CDS, CD);
      bench.store64(L1, 0x4000_0000n | (PAGE & ~2n));
      expect([bench.where(0), bench.events()]).toEqual(caches === MAXIMAL ? ['abort', bad] : ['old', []]);
      bench.command(cfgiCd(1, false));
      expect(bench.where(0)).toBe(caches === MAXIMAL ? 'abort' : 'old');
      bench.command(cfgiCd(0, true));
      expect(bench.where(0)).toBe('old');
    }
  });

  test('3.21.3: a fetch that aborted is not remembered', () => {
    const bench = new TbuBench({ caches: MAXIMAL });
    bench.ste(1, { Config: 4 });
    bench.spaces[0].injectFault({ pa: STRTAB + 64, sizeBytes: 64, access: 'read', times: 1 });
    expect(bench.access({ StreamID: 1, iova: 0 }).outcome).toBe('abort');
    expect(bench.access({ StreamID: 1, iova: 0 }).outcome).toBe('ok');
  });
});

describe('H5, 3.21.3: L1CDs', () => {
  function moved(caches: Partial<CacheSettings>): TbuBench {
    const bench = new Moved(caches, { ...STAGE_1, S1CDMax: 8, S1Fmt: 1 });
    bench.store64(L1, 0x4000_0000n | (PAGE & ~2n));
    for (let ssid = 0; ssid < 64; ssid++) bench.cd(0x40_0000 + 64 * ssid, CD);
    bench.l1cd(CDS, 1, 0x40_0000);
    bench.access({ StreamID: 1, SubstreamID: 1, iova: 0 });
    // In the new table every CD is invalid.
    bench.l1cd(CDS, 1, 0x41_0000);
    return bench;
  }
  const old = (bench: TbuBench, SubstreamID = 2) =>
    bench.access({ StreamID: 1, SubstreamID, iova: 0 }).outcome === 'ok';

  test('read anew normally, kept by stale', () => {
    expect(old(moved(NORMAL))).toBe(false);
    expect(old(moved(STALE))).toBe(true);
  });

  test.each([
    ['CFGI_CD Leaf 1', cfgiCd(2, true), true],
    ['CFGI_CD Leaf 0 of another L1CD', cfgiCd(64, false), true],
    ['CFGI_CD Leaf 0', cfgiCd(2, false), false],
    ['CFGI_CD Leaf 0 of another CD of the same', cfgiCd(63, false), false],
    ['CFGI_CD_ALL', [OPCODES.CMD_CFGI_CD_ALL, 1], false],
    ['CFGI_CD_ALL of another stream', [OPCODES.CMD_CFGI_CD_ALL, 0], true],
    ['CFGI_STE Leaf 1', cfgiSte(1, true), false],
    ['CFGI_ALL', cfgiRange(0, 31), false],
    ['TLBI_NSNH_ALL', [OPCODES.CMD_TLBI_NSNH_ALL], true],
  ] as const)('4.3.3: after %s', (_, command, stays) => {
    const bench = moved(STALE);
    bench.command(command);
    expect(old(bench)).toBe(stays);
  });
});

describe('H5, D16: table descriptors of stage 1', () => {
  function moved(caches: Partial<CacheSettings>, ste = STAGE_1): Moved {
    const bench = new Moved(caches, ste);
    bench.store64(L1, BigInt(L1 + 0x1000) | 3n);
    tree(bench, L1 + 0x1000, 0x4000_0000n, PAGE);
    bench.access({ StreamID: 1, iova: 0x10_0000 });
    tree(bench, L1 + 0x8000, 0x8000_0000n, PAGE);
    bench.store64(L1, BigInt(L1 + 0x8000) | 3n);
    return bench;
  }

  test('read anew normally, kept by stale', () => {
    expect(moved(NORMAL).where(1)).toBe('new');
    expect(moved(STALE).where(1)).toBe('old');
    expect(moved({ ...STALE, replacement: 'lru' }).where(1)).toBe('old');
  });

  test.each<[string, Words, 'old' | 'new']>([
    ['NH_VA', nhVa(0x1000), 'new'],
    ['NH_VA of another page below the same table', nhVa(0x7000), 'new'],
    ['NH_VA Leaf', nhVa(0x1000, LEAF), 'old'],
    ['NH_VA of another ASID', nhVa(0x1000, 0, 2), 'old'],
    ['NH_VA of another VMID', [OPCODES.CMD_TLBI_NH_VA, 0x1_0000, 0x1000], 'old'],
    ['NH_VA of another region', nhVa(0x4000_0000), 'old'],
    ['NH_VA TTL 3', nhVa(0x1000, TG['4KB'] | TTL(3)), 'new'],
    ['NH_VA TTL 2: tables above level 2', nhVa(0, TG['4KB'] | TTL(2)), 'old'],
    ['NH_VA TTL 3 Leaf', nhVa(0x1000, TG['4KB'] | TTL(3) | LEAF), 'old'],
    ['NH_VA TG 64KB', nhVa(0x10000, TG['64KB'] | TTL(3)), 'old'],
    ['NH_VAA', [OPCODES.CMD_TLBI_NH_VAA, VMID, 0x1000], 'new'],
    ['NH_VAA Leaf', [OPCODES.CMD_TLBI_NH_VAA, VMID, 0x1000 | LEAF], 'old'],
    ['NH_ASID', [OPCODES.CMD_TLBI_NH_ASID, ASID * 0x1_0000 + VMID], 'new'],
    ['NH_ASID of another', [OPCODES.CMD_TLBI_NH_ASID, 2 * 0x1_0000 + VMID], 'old'],
    ['NH_ALL', [OPCODES.CMD_TLBI_NH_ALL, VMID], 'new'],
    ['S2_IPA', [OPCODES.CMD_TLBI_S2_IPA, VMID, 0x1000], 'old'],
    ['S12_VMALL', [OPCODES.CMD_TLBI_S12_VMALL, VMID], 'new'],
    ['NSNH_ALL', [OPCODES.CMD_TLBI_NSNH_ALL], 'new'],
    ['EL2_ALL', [OPCODES.CMD_TLBI_EL2_ALL], 'old'],
    ['CFGI_ALL', cfgiRange(0, 31), 'old'],
  ])('4.4: after TLBI %s', (_, command, where) => {
    const bench = moved(STALE);
    bench.command(command);
    expect(bench.where(1)).toBe(where);
  });

  test('4.4.1.1: TTL 2 with Leaf 0 takes the level 1 descriptor, not the level 2 one', () => {
    const bench = moved(STALE);
    bench.command(nhVa(0, TG['4KB'] | TTL(2)));
    expect(bench.where(1)).toBe('old');
    // Another 2 MiB has no level 2 descriptor in the TLB: it shows where level 1 leads.
    bench.store64(L1 + 0x1008, BigInt(L1 + 0x2000) | 3n);
    bench.store64(L1 + 0x8008, BigInt(L1 + 0x9000) | 3n);
    expect(bench.where(512)).toBe('new');
  });

  test('D8.3.1: table flags are kept with the descriptor', () => {
    const bench = new Moved(STALE);
    // APTable: read-only below.
    bench.store64(L1, BigInt(L1 + 0x1000) | 3n | (1n << 62n));
    tree(bench, L1 + 0x1000, 0x4000_0000n, PAGE);
    expect(bench.access({ StreamID: 1, iova: 0 }).outcome).toBe('ok');
    expect(bench.access({ StreamID: 1, iova: 0x1000, write: true }).outcome).toBe('abort');
  });
});

describe('H5, D17, D21: table descriptors of stage 2', () => {
  function moved(): Moved {
    const bench = new Moved(STALE, { ...STAGE_1, ...STAGE_2, Config: 6 });
    bench.store64(S2_L1, BigInt(S2_L1 + 0x1000) | 3n);
    tree(bench, S2_L1 + 0x1000, 0x4000_0000n, S2_PAGE);
    expect(bench.where(9)).toBe('old');
    tree(bench, S2_L1 + 0x8000, 0x8000_0000n, S2_PAGE);
    bench.store64(S2_L1, BigInt(S2_L1 + 0x8000) | 3n);
    return bench;
  }

  test.each<[string, Words, 'old' | 'new']>([
    ['S2_IPA', [OPCODES.CMD_TLBI_S2_IPA, VMID, 0x1000], 'new'],
    ['S2_IPA Leaf', [OPCODES.CMD_TLBI_S2_IPA, VMID, 0x1000 | LEAF], 'old'],
    ['S2_IPA of another VMID', [OPCODES.CMD_TLBI_S2_IPA, 6, 0x1000], 'old'],
    ['S2_IPA of another region', [OPCODES.CMD_TLBI_S2_IPA, VMID, 0x4000_0000], 'old'],
    ['NH_ALL', [OPCODES.CMD_TLBI_NH_ALL, VMID], 'old'],
    ['NH_VAA', [OPCODES.CMD_TLBI_NH_VAA, VMID, 0x1000], 'old'],
    ['S12_VMALL', [OPCODES.CMD_TLBI_S12_VMALL, VMID], 'new'],
    ['NSNH_ALL', [OPCODES.CMD_TLBI_NSNH_ALL], 'new'],
  ])('4.4.3: after TLBI %s', (_, command, where) => {
    const bench = moved();
    bench.command(command);
    expect(bench.where(1)).toBe(where);
  });

  /** Stage 1 tables lie in the first 2 MiB of IPA, which stage 2 maps page by page. */
  function nested(): Moved {
    const bench = new Moved(STALE, { ...STAGE_1, ...STAGE_2, Config: 7 });
    bench.store64(S2_L1, BigInt(S2_L1 + 0x1000) | 3n);
    tree(bench, S2_L1 + 0x1000, 0n, S2_PAGE);
    bench.store64(S2_L1 + 8, 0x4000_0000n | (S2_PAGE & ~2n));
    bench.store64(S2_L1 + 16, 0x8000_0000n | (S2_PAGE & ~2n));
    bench.store64(L1, BigInt(L1 + 0x1000) | 3n);
    tree(bench, L1 + 0x1000, 0x4000_0000n, PAGE);
    expect(bench.where(9)).toBe('old');
    // The IPA of the level 3 table now leads to another table, whose pages are the new ones.
    for (let i = 0; i < 512; i++) bench.store64(0x30_0000 + 8 * i, 0x8000_0000n | (BigInt(i) << 12n) | PAGE);
    bench.store64(S2_L1 + 0x2000 + 8 * ((L1 + 0x2000) >> 12), 0x30_0000n | S2_PAGE);
    return bench;
  }

  test('16.2.1: a stage 1 table keeps its PA over S2_IPA, and loses it with S2_IPA and NH_ALL', () => {
    const bench = nested();
    bench.command([OPCODES.CMD_TLBI_S2_IPA, VMID, L1 + 0x2000]);
    expect(bench.where(1)).toBe('old');
    bench.command([OPCODES.CMD_TLBI_NH_ALL, VMID]);
    expect(bench.where(1)).toBe('new');
  });

  test('16.2.1: NH_ALL alone leaves the stage 2 translation of the table', () => {
    const bench = nested();
    bench.command([OPCODES.CMD_TLBI_NH_ALL, VMID]);
    expect(bench.where(1)).toBe('old');
  });
});

describe('H5, 3.21.1: translations', () => {
  const setups = [
    ['stage 1', STAGE_1],
    ['nested, denied by stage 2', { ...STAGE_1, ...STAGE_2, Config: 7 }],
  ] as const;
  test.each(setups)('one that does not permit the access is kept by stale: %s', (_, ste) => {
    const nested = ste !== STAGE_1;
    for (const caches of [NORMAL, STALE, MAXIMAL]) {
      const bench = new Moved(caches, ste);
      const set = (readOnly: boolean) => {
        bench.store64(L1, 0x4000_0000n | (PAGE & ~2n) | (readOnly && !nested ? READ_ONLY : 0n));
        bench.store64(S2_L1, S2_PAGE & ~2n);
        const block = 0x4000_0000n | (S2_PAGE & ~2n);
        bench.store64(S2_L1 + 8, readOnly && nested ? block & ~(1n << 7n) : block);
      };
      const write = () => bench.access({ StreamID: 1, iova: 0x3000, write: true }).outcome;
      set(true);
      expect(write()).toBe('abort');
      const events = bench.events();
      set(false);
      if (nested) bench.command([OPCODES.CMD_TLBI_S2_IPA, VMID, 0x4000_3000]);
      expect(write()).toBe(caches === NORMAL ? 'ok' : 'abort');
      expect(bench.events()).toEqual(caches === NORMAL ? [] : events);
      bench.command(nhVa(0x3000, LEAF));
      expect(write()).toBe('ok');
    }
  });

  test.each([
    ['invalid', 0x4000_0000n | (PAGE & ~3n)],
    ['AF == 0', 0x4000_0000n | (PAGE & ~2n & ~(1n << 10n))],
    ['an output beyond the address size', (1n << 47n) | (PAGE & ~2n)],
  ])('a descriptor that faults is never kept: %s', (_, descriptor) => {
    const bench = new Moved({ ...MAXIMAL, speculativeFills: true });
    bench.cd(CDS, { ...CD, IPS: 2 });
    bench.store64(L1, descriptor);
    expect(bench.where(0)).toBe('abort');
    bench.store64(L1, 0x4000_0000n | (PAGE & ~2n));
    expect(bench.where(0)).toBe('old');
  });
});

describe('H5, 3.14: speculative fills', () => {
  test('the neighbouring STE, until CFGI_STE', () => {
    for (const caches of [NORMAL, SPECULATIVE]) {
      const bench = new TbuBench({ caches });
      bench.ste(2, { Config: 4 });
      bench.ste(3, { Config: 4 });
      bench.access({ StreamID: 2, iova: 0 });
      bench.ste(3, { Config: 0 });
      const go = () => bench.access({ StreamID: 3, iova: 0 }).outcome;
      expect(go()).toBe(caches === NORMAL ? 'abort' : 'ok');
      bench.command(cfgiSte(3, true));
      expect(go()).toBe('abort');
      expect(bench.events()).toEqual([]);
    }
  });

  test('the neighbouring CD, until CFGI_CD', () => {
    for (const caches of [NORMAL, SPECULATIVE]) {
      const bench = new Moved(caches, { ...STAGE_1, S1CDMax: 4 });
      bench.store64(L1, 0x4000_0000n | (PAGE & ~2n));
      for (const ssid of [2, 3]) bench.cd(CDS + 64 * ssid, CD);
      const go = (SubstreamID: number) => bench.access({ StreamID: 1, SubstreamID, iova: 0 }).outcome;
      expect(go(2)).toBe('ok');
      bench.cd(CDS + 64 * 3, { ...CD, V: 0 });
      expect(go(3)).toBe(caches === NORMAL ? 'abort' : 'ok');
      bench.command(cfgiCd(3, true));
      expect(go(3)).toBe('abort');
    }
  });

  test.each([
    ['stage 1', STAGE_1, L1, PAGE, nhVa(0x5000)],
    [
      'stage 2',
      { ...STAGE_1, ...STAGE_2, Config: 6 },
      S2_L1,
      S2_PAGE,
      [OPCODES.CMD_TLBI_S2_IPA, VMID, 0x5000],
    ],
  ])('the neighbouring page, until TLBI: %s', (_, ste, at, leaf, command) => {
    for (const caches of [NORMAL, SPECULATIVE]) {
      const bench = new Moved(caches, ste);
      bench.store64(at, BigInt(at + 0x1000) | 3n);
      tree(bench, at + 0x1000, 0x4000_0000n, leaf);
      expect(bench.where(4)).toBe('old');
      tree(bench, at + 0x1000, 0x8000_0000n, leaf);
      expect(bench.where(5)).toBe(caches === NORMAL ? 'new' : 'old');
      expect(bench.where(6)).toBe('new');
      bench.command(command);
      expect(bench.where(5)).toBe('new');
    }
  });

  test('3.14: whatever comes of them, nothing is recorded', () => {
    const bench = new TbuBench({ caches: { ...MAXIMAL, speculativeFills: true } });
    bench.ste(2, { Config: 4 });
    bench.ste(3, { V: 0 });
    bench.spaces[0].injectFault({ pa: STRTAB + 5 * 64, sizeBytes: 64, access: 'read', times: 9 });
    bench.ste(4, { Config: 4 });
    bench.access({ StreamID: 2, iova: 0 });
    bench.access({ StreamID: 4, iova: 0 });
    expect(bench.events()).toEqual([]);
  });
});

describe('H5: replacement', () => {
  function pages(options: ConstructorParameters<typeof TbuBench>[0]): TbuBench {
    const bench = new TbuBench(options);
    for (const StreamID of [0, 1, 2, 3]) bench.ste(StreamID, STAGE_1);
    bench.cd(CDS, CD);
    bench.store64(L1, BigInt(L1 + 0x1000) | 3n);
    tree(bench, L1 + 0x1000, 0x4000_0000n, PAGE);
    return bench;
  }
  /** Whether a page is in a TLB of `tlb` entries after accesses to others. */
  function isKept(caches: Partial<CacheSettings>, before: readonly number[], page: number, tlb = 2): boolean {
    const bench = pages({ caches, tlb });
    for (const one of before) bench.access({ StreamID: 1, iova: one * 0x1000 });
    const { walks } = bench.smmu.tbu.counters;
    bench.access({ StreamID: 1, iova: page * 0x1000 });
    return bench.smmu.tbu.counters.walks === walks;
  }

  test('TLB: oldest and lru differ in what a use means', () => {
    for (const [replacement, kept] of [
      ['oldest', [false, true, true]],
      ['lru', [true, false, true]],
    ] as const) {
      expect([1, 2, 3].map((page) => isKept({ replacement }, [1, 2, 1, 1, 3], page))).toEqual(kept);
    }
  });

  test('TLB: an entry that was invalidated makes room, whatever its age', () => {
    const bench = pages({ tlb: 2 });
    for (const page of [1, 2]) bench.access({ StreamID: 1, iova: page * 0x1000 });
    bench.command([OPCODES.CMD_TLBI_NH_VAA, VMID, 0x2000]);
    bench.access({ StreamID: 1, iova: 0x3000 });
    const { walks } = bench.smmu.tbu.counters;
    for (const page of [1, 3]) bench.access({ StreamID: 1, iova: page * 0x1000 });
    expect(bench.smmu.tbu.counters.walks).toBe(walks);
  });

  test('TLB: random is the same for the same seed and another for another', () => {
    const before = Array.from({ length: 40 }, (_, i) => i);
    const kept = (cacheSeed: number, replacement: 'random' | 'oldest' = 'random') =>
      before.map((page) => isKept({ replacement, cacheSeed }, before, page, 8)).join();
    expect(kept(1)).toBe(kept(1));
    expect(new Set([kept(1), kept(2), kept(3), kept(0, 'oldest')]).size).toBe(4);
  });

  test('configuration cache: oldest and lru', () => {
    for (const [replacement, kept] of [
      ['oldest', [false, true, true]],
      ['lru', [true, false, true]],
    ] as const) {
      const known = [0, 1, 2].map((looked) => {
        const bench = pages({ caches: { replacement }, configCache: 2 });
        for (const StreamID of [0, 1, 0, 2]) bench.access({ StreamID, iova: 0 });
        const { configFetches } = bench.smmu.tbu.counters;
        bench.access({ StreamID: looked, iova: 0 });
        return bench.smmu.tbu.counters.configFetches === configFetches;
      });
      expect(known).toEqual(kept);
    }
  });
});

describe('3.17.1: ASET', () => {
  test('global entries serve their own ASET, others serve both', () => {
    for (const [nG, where] of [
      [1n, 'old'],
      [0n, 'new'],
    ] as const) {
      const bench = new Moved(NORMAL);
      bench.ste(2, { ...STAGE_1, S1ContextPtr: (CDS + 64) >> 6 });
      bench.cd(CDS, { ...CD, ASET: 0 });
      bench.cd(CDS + 64, { ...CD, ASET: 1 });
      const block = (PAGE & ~2n & ~(1n << 11n)) | (nG << 11n);
      bench.store64(L1, 0x4000_0000n | block);
      expect(bench.where(0, 1)).toBe('old');
      bench.store64(L1, 0x8000_0000n | block);
      expect(bench.where(0, 2)).toBe(where);
      // 4.4: commands disregard the ASET.
      bench.command(nhVa(0));
      expect([bench.where(0, 1), bench.where(0, 2)]).toEqual(['new', 'new']);
    }
  });

  test('global entries of one ASET serve every ASID of it', () => {
    const bench = new Moved(NORMAL);
    bench.ste(2, { ...STAGE_1, S1ContextPtr: (CDS + 64) >> 6 });
    bench.cd(CDS + 64, { ...CD, ASID: 9 });
    bench.store64(L1, 0x4000_0000n | (PAGE & ~2n & ~(1n << 11n)));
    expect(bench.where(0, 1)).toBe('old');
    bench.store64(L1, 0x8000_0000n | (PAGE & ~2n));
    expect(bench.where(0, 2)).toBe('old');
    bench.command([OPCODES.CMD_TLBI_NH_ASID, ASID * 0x1_0000 + VMID]);
    expect(bench.where(0, 2)).toBe('old');
  });
});
