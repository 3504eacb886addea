import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import type { Cd } from '../../src/smmu/tbu/cd.js';
import { accessBit, stage1Permissions, stage2Permissions } from '../../src/smmu/tbu/permission.js';
import { lpaeStage1Letters, lpaeStage2Letters } from '../reference/walker-lpae.js';
import {
  type BenchOptions,
  CDS,
  type CdFields,
  eventOf,
  FULL_IDR,
  type SteFields,
  TbuBench,
} from './tbu-bench.js';

const TABLE_0 = 0x10_0000;
const TABLE_1 = 0x11_0000;
const S2_TABLE = 0x12_0000;
/** TTF 0b11: both formats. */
const BOTH = { IDR0: FULL_IDR.IDR0 | 0x4 };
/** OAS 36, all granules, no DS. */
const OAS_36 = { ...BOTH, IDR5: 0x71 };
const CD: CdFields = { AA64: 0, TTB0: TABLE_0 >> 4, TTB1: TABLE_1 >> 4, A: 1, R: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
/** A 32-bit input at level 1. */
const STAGE_2: SteFields = { S2AA64: 0, S2T0SZ: 0, S2SL0: 1, S2TTB: S2_TABLE >> 4, S2R: 1 };
/** Valid, AF, unprivileged read and write, a block. */
const BLOCK = 0x441n;
const S2_BLOCK = 0x401n | (0xfn << 2n) | (3n << 6n);
const C_BAD_STE = 0x04;
const C_BAD_CD = 0x0a;
const F_WALK_EABT = 0x0b;
const F_TRANSLATION = 0x10;
const F_ADDR_SIZE = 0x11;
const F_PERMISSION = 0x13;

function stream(cd: CdFields = {}, ste: SteFields = {}, options: BenchOptions = {}): TbuBench {
  const bench = new TbuBench({ idr: BOTH, ...options });
  bench.ste(1, { ...STAGE_1, ...ste });
  bench.cd(CDS, { ...CD, ...cd });
  return bench;
}

/** The number of the event that an access records, or its PA. */
function result(bench: TbuBench, iova: bigint | number, how: object = {}): bigint | number {
  const { outcome, pa } = bench.access({ StreamID: 1, iova, ...how });
  const [record] = bench.events();
  if (outcome === 'ok') return pa!;
  return Number(record! & 0xffn);
}

describe('3.4.1, DDI 0487 G5.5.4: T0SZ and T1SZ choose the table', () => {
  /** Fills a starting-level table so that outputs tell the table and the index. */
  function fill(bench: TbuBench, at: number, tsz: number, out: bigint): void {
    const shift = tsz < 2 ? 30n : 21n;
    const entries = 1n << (32n - BigInt(tsz) - shift);
    for (let i = 0n; i < entries; i++) bench.store64(BigInt(at) + 8n * i, (out + (i << shift)) | BLOCK);
  }
  const A = 0x10_0000_0000n;
  const B = 0x20_0000_0000n;
  test.each([
    [0, 0, 0x0n, A],
    [0, 0, 0xffff_fffcn, A + 0xffff_fffcn],
    [1, 0, 0x7fff_fffcn, A + 0x7fff_fffcn],
    [1, 0, 0x8000_0000n, B + 0x8000_0000n],
    [3, 0, 0x1fff_fffcn, A + 0x1fff_fffcn],
    [3, 0, 0x4000_0000n, B + 0x4000_0000n],
    [0, 7, 0xbfff_fffcn, A + 0xbfff_fffcn],
    [0, 7, 0xfe00_0000n, B],
    [1, 1, 0x7fff_fffcn, A + 0x7fff_fffcn],
    [1, 1, 0x8000_0000n, B],
    [2, 2, 0x3fff_fffcn, A + 0x3fff_fffcn],
    [2, 2, 0x4000_0000n, F_TRANSLATION],
    [2, 2, 0xbfff_fffcn, F_TRANSLATION],
    [2, 2, 0xc000_0000n, B],
    [7, 7, 0x01ff_fffcn, A + 0x01ff_fffcn],
    [7, 7, 0x0200_0000n, F_TRANSLATION],
    [7, 7, 0xffff_fffcn, B + 0x01ff_fffcn],
    [0, 0, 0x1_0000_0000n, F_TRANSLATION],
    [0, 0, 0xffff_ffff_8000_0000n, F_TRANSLATION],
  ])('T0SZ %i, T1SZ %i: 0x%x', (T0SZ, T1SZ, va, wanted) => {
    // Bits [5:3] of TxSZ, IPS, TGx and TBIx are IGNORED.
    const bench = stream({ T0SZ: T0SZ | 0x38, T1SZ: T1SZ | 0x10, IPS: 0, TG0: 3, TG1: 0, TBI0: 1, TBI1: 1 });
    fill(bench, TABLE_0, T0SZ, A);
    fill(bench, TABLE_1, T1SZ, B);
    expect(result(bench, va)).toBe(wanted);
    expect(result(bench, va), 'again').toBe(wanted);
  });

  test('5.4 EPDx: no walk through that table', () => {
    const bench = stream({ T0SZ: 1, T1SZ: 1, EPD1: 1, TTB1: 1n << 40n });
    bench.store64(TABLE_0, BLOCK);
    expect(result(bench, 0x10)).toBe(0x10n);
    expect(result(bench, 0x8000_0000)).toBe(F_TRANSLATION);
  });

  test('5.4.1: NS-EL2 has TTB0 alone, whatever EPD0 says, and no ASID', () => {
    const bench = stream({ T0SZ: 1, T1SZ: 1, EPD0: 1 }, { STRW: 2 }, { cr2: 2 });
    bench.store64(TABLE_0 + 8, 0x4000_0000n | 0x401n);
    bench.store64(TABLE_1, BLOCK);
    expect(result(bench, 0x4000_0010), 'AP[1] is 1').toBe(0x4000_0010n);
    expect(result(bench, 0x8000_0000)).toBe(F_TRANSLATION);
  });

  test('TTBR alignment: bits below the size of the first table are zero', () => {
    const bench = stream({ T0SZ: 0, TTB0: (TABLE_0 >> 4) | 1 });
    bench.store64(TABLE_0 + 24, 0xc000_0000n | BLOCK);
    expect(result(bench, 0xc000_0000)).toBe(0xc000_0000n);
  });
});

describe('5.4 CdIllegal', () => {
  test.each([
    ['NS-EL1', {}, {}, false],
    ['NS-EL2', {}, { STRW: 2 }, false],
    ['TTB0 beyond 40 bits', { TTB0: 1n << 36n }, {}, true],
    ['TTB1 beyond 40 bits', { TTB1: 1n << 36n }, {}, true],
    ['TTB1 beyond 40 bits, NS-EL2', { TTB1: 1n << 36n }, { STRW: 2 }, false],
    ['HA and HD are IGNORED', { HA: 1, HD: 1 }, {}, false],
    ['AA64 over a VMSAv8-32 stage 2', { AA64: 1, T0SZ: 25, EPD1: 1 }, { ...STAGE_2, Config: 7 }, true],
    ['LPAE over a VMSAv8-32 stage 2', {}, { ...STAGE_2, Config: 7 }, false],
  ] as [string, CdFields, SteFields, boolean][])('%s', (_, cd, ste, illegal) => {
    const bench = stream(cd, ste);
    bench.store64(TABLE_0, BLOCK);
    bench.store64(S2_TABLE, S2_BLOCK);
    expect(result(bench, 0x20)).toBe(illegal ? C_BAD_CD : 0x20n);
  });

  test('StreamWorlds NS-EL2-E2H, EL3, S-EL2 and S-EL2-E2H', () => {
    const e2h = stream({}, { STRW: 2 }, { cr2: 3 });
    expect(result(e2h, 0)).toBe(C_BAD_CD);
    for (const [STRW, cr2] of [
      [1, 2],
      [2, 2],
      [2, 3],
    ] as const) {
      const bench = new TbuBench({ idr: { ...BOTH, S_IDR1: (0xa000_0000 | 16) >>> 0 }, cr2 });
      bench.ste(1, { ...STAGE_1, STRW }, SECURE);
      bench.cd(CDS, CD, SECURE);
      expect(bench.access({ StreamID: 1, iova: 0, security: SECURE }).outcome).toBe('abort');
      expect(bench.events(SECURE)).toEqual([eventOf({ EventNumber: C_BAD_CD, StreamID: 1 })]);
    }
  });

  test('3.4.3: tables of a last stage lie within the OAS, those of a nested stage 1 within 40 bits', () => {
    const alone = stream({ TTB0: 1n << 32n }, {}, { idr: OAS_36 });
    expect(result(alone, 0)).toBe(C_BAD_CD);
    const nested = stream({ TTB0: 1n << 32n }, { ...STAGE_2, Config: 7, S2T0SZ: 8 }, { idr: OAS_36 });
    nested.store64(S2_TABLE, S2_BLOCK);
    nested.store64(S2_TABLE + 8 * 64, S2_BLOCK);
    nested.store64(0, BLOCK);
    expect(result(nested, 0x123), 'TTB0 at IPA 64 GiB').toBe(0x123n);
  });
});

describe('3.4: 40-bit outputs', () => {
  test('bits [47:40] of a leaf or table are an Address Size fault, whatever the OAS', () => {
    const bench = stream();
    bench.store64(TABLE_0, (1n << 40n) | BLOCK);
    bench.store64(TABLE_0 + 8, (1n << 47n) | 3n);
    bench.store64(TABLE_0 + 16, 0xff_c000_0000n | BLOCK);
    expect(result(bench, 0)).toBe(F_ADDR_SIZE);
    expect(result(bench, 0x4000_0000)).toBe(F_ADDR_SIZE);
    expect(result(bench, 0x8000_0004)).toBe(0xff_c000_0004n);
  });

  test('OAS 36: the last stage cuts outputs to the OAS; a table beyond it is an Address Size fault', () => {
    const bench = stream({}, {}, { idr: OAS_36 });
    bench.store64(TABLE_0, 0xff_c000_0000n | BLOCK);
    bench.store64(TABLE_0 + 8, 0x10_0000_0000n | 3n);
    bench.store64(TABLE_0 + 16, 0xf_0000_0000n | 3n);
    for (let i = 0; i < 2; i++) expect(result(bench, 0x3fff_0000)).toBe(0xf_ffff_0000n);
    expect(result(bench, 0x4000_0000)).toBe(F_ADDR_SIZE);
    expect(result(bench, 0x8000_0000)).toBe(F_WALK_EABT);
  });

  test('OAS 36: stage 1 hands 40 bits to a VMSAv8-64 stage 2, whose input may be 40 bits', () => {
    const ste = { Config: 7, S2AA64: 1, S2T0SZ: 24, S2SL0: 1, S2PS: 1, S2TTB: S2_TABLE >> 4, S2R: 1 };
    const bench = stream({}, ste, { idr: OAS_36 });
    bench.store64(S2_TABLE, S2_BLOCK);
    bench.store64(S2_TABLE + 8 * 1023, 0x8_0000_0000n | S2_BLOCK);
    bench.store64(TABLE_0, 0xff_c000_0000n | BLOCK);
    expect(result(bench, 0x1234)).toBe(0x8_0000_1234n);
    // Without VMSAv8-32 the IAS is the OAS.
    const only64 = stream({}, ste, { idr: { IDR5: 0x71 } });
    expect(result(only64, 0)).toBe(C_BAD_STE);
  });

  test('OAS 36: a VMSAv8-32 stage 2 cuts its output, and takes 40 bits in', () => {
    const bench = stream({}, { ...STAGE_2, Config: 6, S2T0SZ: 8 }, { idr: OAS_36 });
    bench.store64(S2_TABLE + 8 * 1023, 0x7f_c000_0000n | S2_BLOCK);
    for (let i = 0; i < 2; i++) expect(result(bench, 0xff_c000_0040n)).toBe(0xf_c000_0040n);
    expect(result(bench, 1n << 40n), 'beyond the IAS').toBe(F_ADDR_SIZE);
  });

  test('OAS 36, 7.3.13: bits [55:OAS] of the IPA in a record are RES0, also of a 40-bit IPA', () => {
    const bench = stream({}, { ...STAGE_2, Config: 6, S2T0SZ: 8 }, { idr: OAS_36 });
    expect(bench.access({ StreamID: 1, iova: 0x7f_c000_1234n }).outcome).toBe('abort');
    expect(bench.events()).toEqual([
      eventOf({
        ...{ EventNumber: F_TRANSLATION, StreamID: 1, InputAddr: 0x7f_c000_1234n, RnW: 1, S2: 1, CLASS: 2 },
        IPA: 0xf_c000_1000n >> 12n,
      }),
    ]);
  });

  test('OAS 36: S1DSS bypass takes the IAS and cuts to the OAS; STE bypass takes the OAS', () => {
    const bench = stream({}, { S1CDMax: 2, S1DSS: 1 }, { idr: OAS_36 });
    expect(result(bench, 0x5f_0000_1000n)).toBe(0xf_0000_1000n);
    expect(result(bench, 1n << 40n)).toBe(F_ADDR_SIZE);
    bench.ste(1, { Config: 4 });
    bench.command([0x03, 1, 1]);
    expect(result(bench, 1n << 36n)).toBe(F_ADDR_SIZE);
    expect(result(bench, (1n << 36n) - 16n)).toBe((1n << 36n) - 16n);
  });
});

describe('5.2 SteIllegal', () => {
  /** DDI 0487 Table G5-5: the range of S2T0SZ for each S2SL0. */
  const RANGES: readonly (readonly [number, number] | undefined)[] = [[-2, 7], [-8, 1], undefined, undefined];

  test('S2T0SZ and S2SL0: every pair', () => {
    for (let S2SL0 = 0; S2SL0 < 4; S2SL0++) {
      for (let t0sz = -8; t0sz < 8; t0sz++) {
        const S2T0SZ = (t0sz & 0xf) | 0x30;
        const bench = stream({}, { ...STAGE_2, Config: 6, S2SL0, S2T0SZ });
        const range = RANGES[S2SL0];
        const legal = range !== undefined && t0sz >= range[0] && t0sz <= range[1];
        expect(result(bench, 0), `${S2SL0} ${t0sz}`).toBe(legal ? F_TRANSLATION : C_BAD_STE);
      }
    }
  });

  test('S2T0SZ is the input range, also with 16 concatenated tables', () => {
    const bench = stream({}, { ...STAGE_2, Config: 6, S2SL0: 0, S2T0SZ: -2 & 0xf });
    bench.store64(S2_TABLE + 8 * 8191, 0x20_0000n | S2_BLOCK);
    expect(result(bench, 0x3_ffe0_0010n)).toBe(0x20_0010n);
    expect(result(bench, 0x4_0000_0000n)).toBe(F_TRANSLATION);
  });

  test.each([
    ['S2TG, S2PS, S2DS and S2SL0_2 mean nothing', { S2TG: 3, S2PS: 0, S2DS: 1, S2SL0_2: 1 }, {}, false],
    ['S2FWB', { S2FWB: 1 }, {}, true],
    ['S2FWB without IDR3.FWB', { S2FWB: 1 }, { IDR3: FULL_IDR.IDR3 & ~0x100 }, false],
    ['S2HA', { S2HA: 1 }, {}, true],
    ['S2HD', { S2HD: 1 }, {}, true],
    ['S2TTB beyond 40 bits', { S2TTB: 1n << 36n }, {}, true],
    ['S2TTB beyond an OAS of 36 bits', { S2TTB: 1n << 32n }, OAS_36, true],
    ['TTF 0b10', {}, { IDR0: FULL_IDR.IDR0 }, true],
    ['TTF 0b01', {}, { IDR0: (FULL_IDR.IDR0 & ~0x8) | 0x4 }, false],
    ['TTF 0b01, S2AA64', { S2AA64: 1, S2T0SZ: 25 }, { IDR0: (FULL_IDR.IDR0 & ~0x8) | 0x4 }, true],
  ] as [string, SteFields, object, boolean][])('%s', (_, ste, idr, illegal) => {
    const bench = stream({}, { ...STAGE_2, Config: 6, ...ste }, { idr: { ...BOTH, ...idr } });
    bench.store64(S2_TABLE, S2_BLOCK);
    expect(result(bench, 0x30)).toBe(illegal ? C_BAD_STE : 0x30n);
  });

  test('a Secure stage 2', () => {
    const bench = new TbuBench({ idr: { ...BOTH, S_IDR1: (0xa000_0000 | 16) >>> 0 } });
    bench.ste(1, { ...STAGE_2, Config: 6 }, SECURE);
    expect(bench.access({ StreamID: 1, iova: 0, security: SECURE }).outcome).toBe('abort');
    expect(bench.events(SECURE)).toEqual([eventOf({ EventNumber: C_BAD_STE, StreamID: 1 })]);
  });
});

describe('DDI 0487 G5.6: permissions', () => {
  const letters = (mask: number) =>
    ['rwx', 'RWX']
      .flatMap((kinds, user) => [...kinds].filter((_, i) => mask & accessBit(i === 1, i === 2, user === 0)))
      .sort()
      .join('');
  const sorted = (text: string) => [...text].sort().join('');

  test('5.4 WXN, UWXN, PAN: every leaf, hierarchy and control', () => {
    for (let i = 0; i < 2 ** 12; i++) {
      const bit = (n: number) => ((i >> n) & 1) === 1;
      const AP = (i >> 4) & 3;
      const APTable = (i >> 6) & 3;
      const checks = { WXN: bit(8), UWXN: bit(9), PAN: bit(10) && !bit(11), hyp: bit(11) };
      const cd = { aa64: false, wxn: checks.WXN, uwxn: checks.UWXN, pan: checks.PAN, epan: false } as Cd;
      const hi = (bit(0) ? 1 << 22 : 0) | (bit(1) ? 1 << 21 : 0);
      const table = (bit(2) ? 1 << 28 : 0) | (bit(3) ? 1 << 27 : 0) | (APTable << 29);
      const leaf = {
        AP: (AP & (APTable & 1 ? 2 : 3)) | (APTable & 2),
        XN: bit(0) || bit(2),
        PXN: bit(1) || bit(3),
      };
      const wanted = sorted(lpaeStage1Letters(leaf, checks));
      expect(letters(stage1Permissions(AP << 6, hi, table, cd, checks.hyp)), `${i}`).toBe(wanted);
    }
  });

  test('5.2 S2AA64: no execute-only at stage 2, with and without XNX', () => {
    for (let i = 0; i < 32; i++) {
      const [AP, xn] = [i & 3, (i >> 2) & 3];
      const xnx = i >> 4 === 1;
      const wanted = lpaeStage2Letters({ AP, XN: (xn & 2) !== 0, PXN: (xn & 1) !== 0 }, xnx);
      expect(letters(stage2Permissions(AP << 6, xn << 21, xnx, true)), `${i}`).toBe(sorted(wanted));
    }
    expect(letters(stage2Permissions(0, 0, true, false)), 'VMSAv8-64 has it').toBe('Xx');
  });

  test('an instruction fetch through a write-only stage 2 page is a stage 2 Permission fault', () => {
    const bench = stream({}, { ...STAGE_2, Config: 6 });
    bench.store64(S2_TABLE, S2_BLOCK & ~(1n << 6n));
    expect(result(bench, 0, { instruction: true })).toBe(F_PERMISSION);
    expect(result(bench, 0, { write: true })).toBe(0n);
  });
});

test('A35: a Secure LPAE stage 1 chooses the space by NSCFGx and NS', () => {
  const bench = new TbuBench({ idr: BOTH });
  bench.ste(1, STAGE_1, SECURE);
  bench.cd(CDS, { ...CD, T0SZ: 1, T1SZ: 1, NSCFG1: 1 }, SECURE);
  bench.store64(TABLE_0, BLOCK, SECURE);
  bench.store64(TABLE_0 + 8, BLOCK | (1n << 5n), SECURE);
  bench.store64(TABLE_1, BLOCK, NON_SECURE);
  const at = (iova: number) => bench.access({ StreamID: 1, iova, security: SECURE }).space;
  expect([at(0), at(0x4000_0000), at(0x8000_0000)]).toEqual([SECURE, NON_SECURE, NON_SECURE]);
});
