import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { OFFSETS, OPCODES } from '../spec-numbers.js';
import { CDS, type CdFields, eventOf, FULL_IDR, STRTAB, type SteFields, TbuBench } from './tbu-bench.js';

const L0 = 0x10_0000;
const L1 = 0x11_0000;
const S2_L1 = 0x12_0000;
const ABSENT = 0x1_0000_0000;
const PAGE = 0x403n;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
/** A 39-bit stage 2 at level 1, its first gigabyte identity-mapped. */
const STAGE_2: SteFields = { S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: S2_L1 >> 4, S2R: 1 };
const IDENTITY = 0x401n | (0xfn << 2n) | (3n << 6n);

/** A stream with a gigabyte of VA on a block at `out`. */
function stage1(options: ConstructorParameters<typeof TbuBench>[0] = {}, cd: CdFields = {}): TbuBench {
  const bench = new TbuBench(options);
  bench.ste(1, STAGE_1);
  bench.cd(CDS, { ...CD, ...cd });
  bench.store64(L1, 0x4000_0000n | 0x401n | (1n << 6n));
  return bench;
}

function nested(cd: CdFields = {}, ste: SteFields = {}): TbuBench {
  const bench = stage1({}, cd);
  bench.ste(1, { ...STAGE_1, ...STAGE_2, Config: 7, ...ste });
  bench.store64(S2_L1, IDENTITY);
  bench.store64(S2_L1 + 8, 0x8000_0000n | IDENTITY);
  return bench;
}

function one(bench: TbuBench, StreamID: number, SubstreamID = -1, security: 0 | 1 = NON_SECURE): bigint[] {
  expect(bench.access({ StreamID, SubstreamID, iova: 0x1234, security }).outcome).toBe('abort');
  return bench.events(security);
}

describe('7.3 configuration records, bit for bit', () => {
  test('C_BAD_STREAMID: beyond LOG2SIZE, with RECINVSID; silent without', () => {
    expect(one(new TbuBench(), 64)).toEqual([eventOf({ EventNumber: 2, StreamID: 64 })]);
    expect(one(new TbuBench({ cr2: 0 }), 64)).toEqual([]);
    const withSsv = one(new TbuBench(), 0xffff_ffff, 0xf_ffff);
    expect(withSsv).toEqual([
      eventOf({ EventNumber: 2, StreamID: 0xffff_ffff, SSV: 1, SubstreamID: 0xf_ffff }),
    ]);
  });

  test('6.3.25: LOG2SIZE is limited by SIDSIZE, its alignment of the base is not', () => {
    const bench = new TbuBench({
      strtabBaseCfg: 20,
      strtabBase: 0x400_0040,
      idr: { IDR1: (FULL_IDR.IDR1 & ~0x3f) | 4 },
    });
    bench.ste(15, { Config: 4 }, NON_SECURE, 0);
    expect(bench.access({ StreamID: 16, iova: 0 }).outcome).toBe('abort');
    expect(bench.events()).toEqual([eventOf({ EventNumber: 2, StreamID: 16 })]);
    bench.access({ StreamID: 15, iova: 0 });
    expect(bench.events()).toEqual([
      eventOf({ EventNumber: 3, StreamID: 15, FetchAddr: (0x400_0000 + 15 * 64) >> 3 }),
    ]);
  });

  const twoLevel = (split: number) => ({ strtabBaseCfg: (1 << 16) | (split << 6) | 12 });
  test.each([
    ['0', 0, 0, false],
    ['12, reserved', 12, 0, false],
    ['8, more than SPLIT + 1', 8, 0, false],
    ['7, the whole leaf', 7, 63, true],
    ['6, half of it, inside', 6, 31, true],
    ['6, half of it, outside', 6, 32, false],
    ['1, one STE', 1, 0, true],
    ['1, the second', 1, 1, false],
  ])('5.1: Span %s', (_, span, StreamID, valid) => {
    const bench = new TbuBench(twoLevel(6));
    bench.l1std(STRTAB, span, 0x6_0000);
    bench.ste(StreamID, { Config: 4 }, NON_SECURE, 0x6_0000);
    const { outcome } = bench.access({ StreamID, iova: 0x5000 });
    expect(outcome).toBe(valid ? 'ok' : 'abort');
    expect(bench.events()).toEqual(valid ? [] : [eventOf({ EventNumber: 2, StreamID })]);
  });

  test('6.3.25: reserved SPLIT values behave as 6, and 8 and 10 as themselves', () => {
    for (const [split, shift] of [
      [6, 6],
      [8, 8],
      [10, 10],
      [7, 6],
      [0, 6],
      [31, 6],
    ] as const) {
      const bench = new TbuBench(twoLevel(split));
      bench.l1std(STRTAB + 8, shift + 1, 0x10_0000);
      bench.ste(5, { Config: 4 }, NON_SECURE, 0x10_0000);
      expect(bench.access({ StreamID: (1 << shift) + 5, iova: 0 }).outcome, `SPLIT ${split}`).toBe('ok');
    }
  });

  test('F_STE_FETCH: of the STE and of the L1STD, also beyond the OAS', () => {
    const bench = new TbuBench();
    bench.spaces[0].injectFault({ pa: STRTAB + 64, sizeBytes: 64, access: 'read', times: 1 });
    expect(one(bench, 1)).toEqual([eventOf({ EventNumber: 3, StreamID: 1, FetchAddr: (STRTAB + 64) >> 3 })]);
    const two = new TbuBench(twoLevel(6));
    two.spaces[0].injectFault({ pa: STRTAB, sizeBytes: 8, access: 'read', times: 1 });
    expect(one(two, 1)).toEqual([eventOf({ EventNumber: 3, StreamID: 1, FetchAddr: STRTAB >> 3 })]);
  });

  test('F_STREAM_DISABLED: S1DSS 0b00 and 0b11 without a substream, 0b10 with substream 0', () => {
    for (const S1DSS of [0, 3]) {
      const bench = new TbuBench();
      bench.ste(1, { ...STAGE_1, S1CDMax: 2, S1DSS });
      expect(one(bench, 1)).toEqual([eventOf({ EventNumber: 6, StreamID: 1 })]);
    }
    const bench = new TbuBench();
    bench.ste(1, { ...STAGE_1, S1CDMax: 2, S1DSS: 2 });
    expect(one(bench, 1, 0)).toEqual([eventOf({ EventNumber: 6, StreamID: 1, SSV: 1 })]);
  });

  test('C_BAD_SUBSTREAMID: without SSV in the record', () => {
    const cases: [SteFields, number, object?][] = [
      [{ Config: 4 }, 5],
      [{ ...STAGE_2, Config: 6 }, 5],
      [STAGE_1, 5],
      [{ ...STAGE_1, S1CDMax: 2, S1DSS: 2 }, 5],
      [{ ...STAGE_1, S1CDMax: 4, S1Fmt: 1 }, 5],
      [{ ...STAGE_1, S1CDMax: 4 }, 5, { IDR1: FULL_IDR.IDR1 & ~(31 << 6) }],
    ];
    for (const [fields, SubstreamID, idr] of cases) {
      const bench = new TbuBench({ idr: idr ?? {} });
      bench.ste(1, fields);
      expect(one(bench, 1, SubstreamID)).toEqual([eventOf({ EventNumber: 8, StreamID: 1, SubstreamID })]);
    }
    const bench = new TbuBench();
    bench.ste(1, { ...STAGE_1, S1CDMax: 4, S1Fmt: 1, S1DSS: 2 });
    expect(one(bench, 1), '7.3.9: index 0 for an access without one').toEqual([
      eventOf({ EventNumber: 8, StreamID: 1 }),
    ]);
  });

  test('F_CD_FETCH: of the CD and of the L1CD', () => {
    const bench = stage1();
    bench.spaces[0].injectFault({ pa: CDS, sizeBytes: 64, access: 'read', times: 2 });
    expect(one(bench, 1)).toEqual([eventOf({ EventNumber: 9, StreamID: 1, FetchAddr: CDS >> 3 })]);
    bench.ste(2, { ...STAGE_1, S1CDMax: 8, S1Fmt: 1 });
    expect(one(bench, 2, 0)).toEqual([eventOf({ EventNumber: 9, StreamID: 2, SSV: 1, FetchAddr: CDS >> 3 })]);
  });

  test('3.3.2: linear, 4KB and 64KB CD tables by SubstreamID', () => {
    for (const [S1Fmt, split] of [
      [0, 0],
      [1, 6],
      [2, 10],
    ] as const) {
      const bench = stage1();
      bench.ste(1, { ...STAGE_1, S1CDMax: 12, S1Fmt });
      const SubstreamID = 0x801;
      if (S1Fmt === 0) bench.ste(1, { ...STAGE_1, S1ContextPtr: 0x40_0000 >> 6, S1CDMax: 12 });
      else bench.l1cd(CDS + 8 * (SubstreamID >> split), 1, 0x40_0000);
      const index = S1Fmt === 0 ? SubstreamID : SubstreamID & ((1 << split) - 1);
      bench.cd(0x40_0000 + 64 * index, CD);
      expect(bench.access({ StreamID: 1, SubstreamID, iova: 0x12_3456 }).pa).toBe(0x4012_3456n);
    }
  });
});

describe('7.3.12 F_WALK_EABT', () => {
  const fields = { EventNumber: 0x0b, StreamID: 1, RnW: 1, InputAddr: 0x1234n };

  test('stage 1: S2 0, CLASS TT; A and R do not govern it', () => {
    const bench = stage1({}, { A: 0, R: 0 });
    bench.store64(L1, BigInt(ABSENT) | 3n);
    expect(one(bench, 1)).toEqual([eventOf({ ...fields, CLASS: 1, FetchAddr: (BigInt(ABSENT) + 0n) >> 3n })]);
  });

  test('nested: the stage 1 descriptor by its PA; stage 2 descriptors with CLASS CD, TT, IN', () => {
    const first = nested();
    first.store64(L1, 0x8000_0000n | 3n);
    first.store64(S2_L1 + 16, 0x1_0000_0000n | IDENTITY);
    expect(one(first, 1)).toEqual([eventOf({ ...fields, CLASS: 1, FetchAddr: 0x1_0000_0000n >> 3n })]);
    for (const [CLASS, skip] of [
      [0, 0],
      [1, 1],
      [2, 2],
    ] as const) {
      const bench = nested({}, { S2R: 0 });
      // CD, stage 1 table and output lie in three gigabytes, so that each needs a stage 2 walk of its own.
      bench.store64(S2_L1 + 8 * 4, IDENTITY);
      bench.ste(1, {
        ...STAGE_1,
        ...STAGE_2,
        Config: 7,
        S2R: 0,
        S1ContextPtr: (0x1_0000_0000n + BigInt(CDS)) >> 6n,
      });
      bench.spaces[0].injectFault({ pa: S2_L1, sizeBytes: 4096, access: 'read', times: 1, skip });
      const at = S2_L1 + [32, 0, 8][CLASS]!;
      expect(one(bench, 1), `CLASS ${CLASS}`).toEqual([
        eventOf({ ...fields, S2: 1, CLASS, FetchAddr: at >> 3 }),
      ]);
    }
  });
});

describe('5.2 S2PTW', () => {
  test('a CD on Device memory is a stage 2 Permission fault of CLASS CD', () => {
    const bench = nested({}, { S2PTW: 1 });
    bench.store64(S2_L1, IDENTITY & ~(0xfn << 2n));
    const record = { EventNumber: 0x13, StreamID: 1, S2: 1, RnW: 1, TTRnW: 1, InputAddr: 0x1234n };
    expect(one(bench, 1)).toEqual([eventOf({ ...record, CLASS: 0, IPA: CDS >> 12 })]);
  });
});

describe('security states', () => {
  function both(): TbuBench {
    const bench = new TbuBench();
    for (const security of [NON_SECURE, SECURE] as const) {
      bench.ste(1, STAGE_1, security);
      bench.cd(CDS, CD, security);
    }
    bench.store64(L1, 0x4000_0000n | (PAGE & ~2n), NON_SECURE);
    bench.store64(L1, 0x8000_0000n | (PAGE & ~2n), SECURE);
    return bench;
  }

  test('A33, A42: one StreamID and ASID in both states, through its own tables, at once', () => {
    const bench = both();
    for (let i = 0; i < 3; i++) {
      expect(bench.access({ StreamID: 1, iova: 0x10, privileged: true })).toEqual({
        outcome: 'ok',
        pa: 0x4000_0010n,
        space: NON_SECURE,
      });
      expect(bench.access({ StreamID: 1, iova: 0x10, privileged: true, security: SECURE })).toEqual({
        outcome: 'ok',
        pa: 0x8000_0010n,
        space: SECURE,
      });
    }
  });

  test('A17: NS and NSTable of a Non-secure stream mean nothing', () => {
    const bench = both();
    bench.store64(L1, 0x4000_0000n | 0x401n, NON_SECURE);
    expect(bench.access({ StreamID: 1, iova: 0, privileged: true, ns: false }).space).toBe(NON_SECURE);
    bench.ste(2, { Config: 4, NSCFG: 2 });
    expect(bench.access({ StreamID: 2, iova: 0, ns: false }).space).toBe(NON_SECURE);
  });

  test('A35: NS of the leaf, NSTable and NSCFGx choose the space', () => {
    const bench = both();
    bench.store64(L1 + 8, 0xc000_0000n | 0x421n, SECURE);
    bench.store64(L1 + 16, BigInt(L0) | 3n | (1n << 63n), SECURE);
    bench.store64(L0, 0x20_0000n | 0x401n, NON_SECURE);
    const at = (iova: number) => bench.access({ StreamID: 1, iova, privileged: true, security: SECURE });
    expect(at(0x4000_0000)).toEqual({ outcome: 'ok', pa: 0xc000_0000n, space: NON_SECURE });
    expect(at(0x8000_0000), 'the level 2 table is read in Non-secure space').toEqual({
      outcome: 'ok',
      pa: 0x20_0000n,
      space: NON_SECURE,
    });
    bench.ste(2, { ...STAGE_1, S1ContextPtr: (CDS + 64) >> 6 }, SECURE);
    bench.cd(CDS + 64, { ...CD, NSCFG0: 1, ASID: 2 }, SECURE);
    expect(bench.access({ StreamID: 2, iova: 0, privileged: true, security: SECURE })).toEqual({
      outcome: 'ok',
      pa: 0x4000_0000n,
      space: NON_SECURE,
    });
  });

  test('A22: without SECURE_IMPL every stream is Non-secure', () => {
    const bench = new TbuBench({ idr: { S_IDR1: 0 } });
    bench.ste(1, { Config: 4, NSCFG: 2 });
    expect(bench.access({ StreamID: 1, iova: 0x77, security: SECURE })).toEqual({
      outcome: 'ok',
      pa: 0x77n,
      space: NON_SECURE,
    });
    bench.access({ StreamID: 64, iova: 0, security: SECURE });
    expect(bench.events(NON_SECURE)).toEqual([eventOf({ EventNumber: 2, StreamID: 64 })]);
  });

  test('A37, 6.3.14: each state bypasses or aborts by its own GBPA', () => {
    const bench = new TbuBench({ cr0: 0 });
    expect(bench.access({ iova: 0x99 })).toEqual({ outcome: 'ok', pa: 0x99n, space: NON_SECURE });
    expect(bench.access({ iova: 1n << 52n }).outcome, '3.4: beyond the OAS').toBe('abort');
    bench.write(OFFSETS.GBPA, 0x8010_0000);
    expect(bench.access({ iova: 0x99 }).outcome).toBe('abort');
    expect(bench.events()).toEqual([]);
  });
});

describe('caches', () => {
  const INFINITE = Number.POSITIVE_INFINITY;

  test('D21: a stage 2 that moves under TTB0 is seen after S2_IPA and NH_ALL alone; D17: not after S2_IPA alone', () => {
    const bench = nested();
    const at = () => bench.access({ StreamID: 1, iova: 0, privileged: true }).pa;
    expect(at()).toBe(0x8000_0000n);
    // The page of the level 1 table now lies elsewhere, with another block in it.
    bench.store64(S2_L1 + 8, 0xc000_0000n | IDENTITY);
    expect(at(), 'tlb Infinity keeps what it may').toBe(0x8000_0000n);
    bench.command([OPCODES.CMD_TLBI_S2_IPA, 0, 0x4000_0000]);
    expect(at(), 'D17: the combined entry stays').toBe(0x8000_0000n);
    bench.command([OPCODES.CMD_TLBI_NH_ALL]);
    expect(at()).toBe(0xc000_0000n);
  });

  test('D16: NH commands leave STAGE_2 entries', () => {
    const bench = nested();
    const L2 = 0x13_0000;
    // Stage 2's block of 1 GiB serves more than the 2 MiB of stage 1's.
    bench.store64(L1, BigInt(L2) | 3n);
    bench.store64(L2, 0x4000_0441n);
    const at = () => bench.access({ StreamID: 1, iova: 0, privileged: true }).pa;
    expect(at()).toBe(0x8000_0000n);
    bench.store64(S2_L1 + 8, 0xc000_0000n | IDENTITY);
    bench.command([OPCODES.CMD_TLBI_NH_ALL]);
    expect(at(), 'the STAGE_2 entry still maps the output').toBe(0x8000_0000n);
    bench.command([OPCODES.CMD_TLBI_S12_VMALL]);
    expect(at(), 'D18').toBe(0xc000_0000n);
  });

  test('D16: what a combined entry says in full is no STAGE_2 entry beside it', () => {
    const bench = nested();
    const at = () => bench.access({ StreamID: 1, iova: 0, privileged: true }).pa;
    expect(at()).toBe(0x8000_0000n);
    bench.store64(S2_L1 + 8, 0xc000_0000n | IDENTITY);
    expect(at()).toBe(0x8000_0000n);
    bench.command([OPCODES.CMD_TLBI_NH_ALL]);
    expect(at()).toBe(0xc000_0000n);
  });

  test('D14: every fragment of a stage 1 block goes when any address of the block is invalidated', () => {
    const bench = nested();
    const S2_L2 = 0x13_0000;
    bench.store64(S2_L1 + 8, BigInt(S2_L2) | 3n);
    bench.store64(S2_L2, 0x8000_0000n | IDENTITY);
    bench.store64(S2_L2 + 8, 0xa000_0000n | IDENTITY);
    const at = (iova: number) => bench.access({ StreamID: 1, iova }).pa;
    const both = () => [at(0x1000), at(0x20_1000)];
    expect(both()).toEqual([0x8000_1000n, 0xa000_1000n]);
    bench.store64(L1, 0x441n);
    expect(both(), 'both are cached').toEqual([0x8000_1000n, 0xa000_1000n]);
    bench.command([OPCODES.CMD_TLBI_NH_VA, 1 << 16, 0x3fff_f000]);
    expect(both()).toEqual([0x1000n, 0x20_1000n]);
  });

  test('D19: other ASIDs and VMIDs stay', () => {
    const bench = stage1();
    const at = () => bench.access({ StreamID: 1, iova: 0 }).pa;
    bench.store64(L1, 0x4000_0000n | 0xc41n);
    expect(at()).toBe(0x4000_0000n);
    bench.store64(L1, 0x8000_0000n | 0xc41n);
    bench.command([OPCODES.CMD_TLBI_NH_ASID, 2 << 16]);
    bench.command([OPCODES.CMD_TLBI_NH_ASID, (1 << 16) | 1]);
    bench.command([OPCODES.CMD_TLBI_NH_ALL, 1]);
    bench.command([OPCODES.CMD_TLBI_NH_VA, 1 << 16, 0x4000_0000]);
    bench.command([OPCODES.CMD_TLBI_EL2_ALL]);
    expect(at()).toBe(0x4000_0000n);
    bench.command([OPCODES.CMD_TLBI_NH_ASID, 1 << 16]);
    expect(at()).toBe(0x8000_0000n);
  });

  test('4.4.2.2: NH_ASID leaves global entries, NH_VA takes them', () => {
    const bench = stage1();
    const at = () => bench.access({ StreamID: 1, iova: 0 }).pa;
    at();
    bench.store64(L1, 0x8000_0000n | 0x441n);
    bench.command([OPCODES.CMD_TLBI_NH_ASID, 1 << 16]);
    expect(at()).toBe(0x4000_0000n);
    bench.command([OPCODES.CMD_TLBI_NH_VA, 7 << 16, 0x3fff_f000]);
    expect(at()).toBe(0x8000_0000n);
  });

  test('4.4.1.1: TG, TTL, NUM and SCALE limit the scope with RIL and mean nothing without', () => {
    const range = (tg: number, ttl: number, num: number, scale: number, va: number) =>
      [OPCODES.CMD_TLBI_NH_VAA | (num << 12) | (scale << 20), 0, va | (tg << 10) | (ttl << 8)] as const;
    const cases = [
      [range(1, 1, 0, 0, 0), true],
      [range(1, 2, 0, 0, 0), false],
      [range(2, 3, 0, 0, 0), false],
      [range(1, 0, 1, 0, 0), true],
      [range(1, 0, 1, 0, 0x4000_0000), false],
    ] as const;
    for (const ril of [true, false]) {
      for (const [command, scoped] of cases) {
        const bench = stage1(ril ? {} : { idr: { IDR3: FULL_IDR.IDR3 & ~0x400 } });
        const at = () => bench.access({ StreamID: 1, iova: 0 }).pa;
        at();
        bench.store64(L1, 0x8000_0000n | 0x441n);
        bench.command(command);
        const gone = ril ? scoped : command[2] >>> 12 === 0;
        expect(at(), `RIL ${ril} ${command}`).toBe(gone ? 0x8000_0000n : 0x4000_0000n);
      }
    }
  });

  test('B23: an STE that becomes invalid aborts from CFGI_STE on, and other scopes leave it cached', () => {
    const bench = stage1({ configCache: INFINITE });
    const at = () => bench.access({ StreamID: 1, iova: 0 }).outcome;
    expect(at()).toBe('ok');
    bench.ste(1, { V: 0 });
    bench.command([OPCODES.CMD_CFGI_STE, 2, 1]);
    bench.command([OPCODES.CMD_CFGI_STE_RANGE, 2, 0]);
    bench.command([OPCODES.CMD_CFGI_CD, 1, 1]);
    expect(at(), 'permitted staleness').toBe('ok');
    bench.command([OPCODES.CMD_CFGI_STE, 1, 1]);
    expect(at()).toBe('abort');
    expect(bench.events()).toEqual([eventOf({ EventNumber: 4, StreamID: 1 })]);
  });

  test('4.3.3: CFGI_CD with index 0 serves accesses without a SubstreamID; the STE stays', () => {
    const bench = stage1({ configCache: INFINITE, tlb: 0 });
    const at = () => bench.access({ StreamID: 1, iova: 0 }).outcome;
    at();
    bench.cd(CDS, { ...CD, V: 0 });
    bench.command([OPCODES.CMD_CFGI_CD | (5 << 12), 1, 1]);
    expect(at()).toBe('ok');
    bench.command([OPCODES.CMD_CFGI_CD, 1, 1]);
    expect(at()).toBe('abort');
  });

  test('A40: SSec of a command on the Secure queue chooses the Stream table', () => {
    const bench = new TbuBench();
    for (const security of [NON_SECURE, SECURE] as const) bench.ste(1, { Config: 4 }, security);
    const at = (security: 0 | 1) => bench.access({ StreamID: 1, iova: 0, security }).outcome;
    expect([at(NON_SECURE), at(SECURE)]).toEqual(['ok', 'ok']);
    for (const security of [NON_SECURE, SECURE] as const) bench.ste(1, { V: 0 }, security);
    bench.command([OPCODES.CMD_CFGI_STE | (1 << 10), 1, 1], SECURE);
    expect([at(NON_SECURE), at(SECURE)]).toEqual(['ok', 'abort']);
    bench.command([OPCODES.CMD_CFGI_STE, 1, 1], SECURE);
    expect([at(NON_SECURE), at(SECURE)]).toEqual(['abort', 'abort']);
  });
});

test('6.3.53: S_SIDSIZE limits Secure StreamIDs, SIDSIZE Non-secure ones', () => {
  const bench = new TbuBench({ idr: { S_IDR1: ((FULL_IDR.S_IDR1 & ~0x3f) | 4) >>> 0 } });
  for (const security of [NON_SECURE, SECURE] as const) {
    for (const StreamID of [15, 16]) bench.ste(StreamID, { Config: 4 }, security);
  }
  const at = (StreamID: number, security: 0 | 1) => bench.access({ StreamID, iova: 0, security }).outcome;
  expect([at(15, SECURE), at(16, SECURE), at(16, NON_SECURE)]).toEqual(['ok', 'abort', 'ok']);
  expect(bench.events(SECURE)).toEqual([eventOf({ EventNumber: 2, StreamID: 16 })]);
});
