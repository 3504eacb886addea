import { describe, expect, test } from 'vitest';
import { addressField, TableMemory, type TableShape, Tables } from './tables.js';
import { CDS, type CdFields, eventOf, HIGH, RAM_BYTES, type SteFields, TbuBench } from './tbu-bench.js';

/** Tables that are big-endian, and those of 52-bit addresses with their additional level (DDI 0487 D8.2, D8.3). */
const L1 = 0x10_0000;
const S2_L1 = 0x20_0000;
const GIB = 0x4000_0000;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 6, TTB0: L1 >> 4, A: 1, R: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
const STAGE_2: SteFields = { S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 6, S2TTB: S2_L1 >> 4, S2R: 1 };
const S2_ATTRIBUTES = (1n << 10n) | (3n << 6n) | (0xfn << 2n);
const S1_ATTRIBUTES = (1n << 10n) | (1n << 6n);

function swapped(value: bigint): bigint {
  let result = 0n;
  for (let i = 0n; i < 64n; i += 8n) result = (result << 8n) | ((value >> i) & 0xffn);
  return result;
}

describe('5.4 ENDI, 5.2 S2ENDI: big-endian tables', () => {
  const cases = [
    ['stage 1', 5, 0, 0],
    ['stage 1', 5, 1, 0],
    ['stage 2', 6, 0, 0],
    ['stage 2', 6, 0, 1],
    ['nested', 7, 0, 0],
    ['nested', 7, 0, 1],
    ['nested', 7, 1, 0],
    ['nested', 7, 1, 1],
  ] as const;
  test.each(cases)('%s, Config %i, ENDI %i, S2ENDI %i', (_, Config, ENDI, S2ENDI) => {
    for (const wrong of [false, true]) {
      const bench = new TbuBench();
      bench.ste(1, { ...STAGE_1, ...STAGE_2, Config, S2ENDI });
      bench.cd(CDS, { ...CD, ENDI });
      const put = (at: number, value: bigint, big: boolean) =>
        bench.store64(at, big !== wrong ? swapped(value) : value);
      // Three levels of stage 1 to the second gigabyte, of which stage 2 maps the first page to the third.
      put(L1, BigInt(L1 + 0x1000) | 3n, ENDI === 1);
      put(L1 + 0x1000, BigInt(L1 + 0x2000) | 3n, ENDI === 1);
      put(L1 + 0x2000 + 8, BigInt(GIB) | S1_ATTRIBUTES | 3n, ENDI === 1);
      put(S2_L1, S2_ATTRIBUTES | 1n, S2ENDI === 1);
      put(S2_L1 + 8, BigInt(S2_L1 + 0x1000) | 3n, S2ENDI === 1);
      put(S2_L1 + 0x1000, BigInt(S2_L1 + 0x2000) | 3n, S2ENDI === 1);
      put(S2_L1 + 0x2000, BigInt(2 * GIB) | S2_ATTRIBUTES | 3n, S2ENDI === 1);
      const iova = Config === 6 ? GIB + 0x12 : 0x1012;
      const { outcome, pa } = bench.access({ StreamID: 1, iova });
      if (wrong) expect(outcome).toBe('abort');
      else expect(pa).toBe(BigInt(Config === 5 ? GIB : 2 * GIB) + 0x12n);
    }
  });

  test('the structures stay little-endian, and each TTB follows the one ENDI', () => {
    const bench = new TbuBench();
    bench.ste(1, STAGE_1);
    const both = { EPD1: 0, T1SZ: 25, TG1: 2, TTB1: (L1 + 0x1000) >> 4 };
    bench.cd(CDS, { ...CD, ...both, ENDI: 1 });
    bench.store64(L1, swapped(BigInt(GIB) | S1_ATTRIBUTES | 1n));
    bench.store64(L1 + 0x1000, swapped(BigInt(2 * GIB) | S1_ATTRIBUTES | 1n));
    expect(bench.access({ StreamID: 1, iova: 0x1012 }).pa).toBe(BigInt(GIB) + 0x1012n);
    expect(bench.access({ StreamID: 1, iova: 0xffff_ff80_0000_1012n }).pa).toBe(BigInt(2 * GIB) + 0x1012n);
  });
});

const DS: TableShape = { granule: 4, inputBits: 52, startLevel: -1, ds: true, lpa: false };
/** An address with something in every part that the DS format moves: OA[51:50], OA[49:48], OA[47:12]. */
const OUT = BigInt(HIGH) + 0x5000n;

function dsTables(bench: TbuBench): Tables {
  return new Tables(new TableMemory(bench, 0x40_0000n, BigInt(RAM_BYTES)), DS);
}

describe('DS == 1: 4KB tables that start at level -1', () => {
  const VA = 0x9_8765_4321_0123n;

  test('stage 1: five levels to a 52-bit output (5.4 DS, D8.2.6)', () => {
    const bench = new TbuBench();
    const tables = dsTables(bench);
    bench.ste(1, STAGE_1);
    bench.cd(CDS, { ...CD, DS: 1, T0SZ: 12, TTB0: tables.base >> 4n });
    tables.map(VA, 3, () => addressField(DS, OUT) | S1_ATTRIBUTES | 3n);
    expect(bench.access({ StreamID: 1, iova: VA }).pa).toBe(OUT + 0x123n);
    expect(bench.smmu.tbu.counters.descriptorReads).toBe(5);
    // The 48 bits that four levels resolve alone are another address.
    expect(bench.access({ StreamID: 1, iova: VA & 0xffff_ffff_ffffn }).outcome).toBe('abort');
    expect(bench.smmu.tbu.counters.descriptorReads).toBe(6);
    const record = { EventNumber: 0x10, StreamID: 1, RnW: 1, CLASS: 2, InputAddr: VA & 0xffff_ffff_ffffn };
    expect(bench.events()).toEqual([eventOf(record)]);
    expect(bench.access({ StreamID: 1, iova: VA | (1n << 52n) }).outcome).toBe('abort');
  });

  test('stage 1: a table at level -1 of 16 entries, aligned to 128 bytes', () => {
    const bench = new TbuBench();
    const tables = dsTables(bench);
    bench.ste(1, STAGE_1);
    // Bits below the alignment of the table do not count.
    bench.cd(CDS, { ...CD, DS: 1, T0SZ: 12, TTB0: (tables.base | 0x40n) >> 4n });
    tables.map(VA, 3, () => addressField(DS, OUT) | S1_ATTRIBUTES | 3n);
    expect(bench.access({ StreamID: 1, iova: VA }).pa).toBe(OUT + 0x123n);
  });

  test('stage 2: S2SL0_2 with S2SL0 0 (5.2 S2SL0_2)', () => {
    const bench = new TbuBench();
    const tables = dsTables(bench);
    const fields = { S2DS: 1, S2T0SZ: 12, S2SL0: 0, S2SL0_2: 1, S2TTB: tables.base >> 4n };
    bench.ste(1, { ...STAGE_2, ...fields, Config: 6 });
    const IPA = VA & ~0xfffn;
    tables.map(IPA, 3, () => addressField(DS, OUT) | S2_ATTRIBUTES | 3n);
    expect(bench.access({ StreamID: 1, iova: IPA | 0x123n }).pa).toBe(OUT + 0x123n);
    expect(bench.smmu.tbu.counters.descriptorReads).toBe(5);
  });

  test('a block of 512 GB at level 0, none at level -1 (D8.3.1)', () => {
    const bench = new TbuBench();
    const tables = dsTables(bench);
    bench.ste(1, STAGE_1);
    bench.cd(CDS, { ...CD, DS: 1, T0SZ: 12, TTB0: tables.base >> 4n });
    const out = (VA >> 39n) << 39n;
    tables.map(VA, 0, () => addressField(DS, out) | S1_ATTRIBUTES | 1n);
    expect(bench.access({ StreamID: 1, iova: VA }).pa).toBe(VA);
    bench.store64(tables.base, addressField(DS, 0n) | S1_ATTRIBUTES | 1n);
    expect(bench.access({ StreamID: 1, iova: 0x1000 }).outcome).toBe('abort');
    expect(bench.events()[0]! & 0xffn).toBe(0x10n);
  });
});
