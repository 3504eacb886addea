import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { CDS, eventOf, FULL_IDR, type SteFields, TbuBench } from './tbu-bench.js';

/** Legal as they stand with every feature: one bit away from each rule. */
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
const STAGE_2: SteFields = {
  Config: 6,
  S2AA64: 1,
  S2T0SZ: 24,
  S2SL0: 1,
  S2PS: 5,
  S2TTB: 0x10_0000 >> 4,
  S2R: 1,
};
const NESTED: SteFields = { ...STAGE_2, Config: 7, S1ContextPtr: CDS >> 6 };

const { IDR0, IDR1, IDR3, IDR5, S_IDR1 } = FULL_IDR;
const STALL_BOTH = { IDR0: IDR0 & ~0x300_0000, S_IDR0: 0 };
const STALL_FORCED = { IDR0: (IDR0 & ~0x300_0000) | 0x200_0000, S_IDR0: 0x200_0000 };
const NO_STT = { IDR3: IDR3 & ~0x200 };
const OAS = (encoding: number) => ({ IDR5: (IDR5 & ~0x87) | encoding });
const at = (address: number) => BigInt(address) >> 4n;

type Row = readonly [
  what: string,
  illegal: boolean,
  fields: SteFields,
  idr?: object,
  security?: SecurityState,
];
interface Case {
  readonly what: string;
  readonly illegal: boolean;
  readonly fields: SteFields;
  readonly idr: object;
  readonly security: SecurityState;
}

const ROWS: readonly Row[] = [
  ['V == 0', true, { ...STAGE_1, V: 0 }],
  ['V == 0 with Config 0b000', true, { V: 0, Config: 0 }],
  ['Config 0b0xx: nothing else is checked', false, { Config: 2, STRW: 1, S2TG: 3, S1CDMax: 31 }],
  ['stage 1', false, STAGE_1],
  ['stage 1, S1P == 0', true, STAGE_1, { IDR0: IDR0 & ~2 }],
  ['stage 2', false, STAGE_2],
  ['stage 2, S2P == 0', true, STAGE_2, { IDR0: IDR0 & ~1 }],
  ['nested', false, NESTED],
  ['nested, S1P == 0', true, NESTED, { IDR0: IDR0 & ~2 }],
  ['bypass without either stage', false, { Config: 4 }, { IDR0: IDR0 & ~3 }],
  ['A36: Secure stage 2, SEL2 == 0', true, STAGE_2, {}, SECURE],
  ['A36: Secure nested, SEL2 == 0', true, NESTED, {}, SECURE],
  ['EATS 0b10 without ATS', false, { ...STAGE_1, EATS: 2 }],
  ['EATS 0b10, ATS, stage 1 alone', true, { ...STAGE_1, EATS: 2 }, { IDR0: IDR0 | 0x400 }],
  ['EATS 0b10, ATS, nested', false, { ...NESTED, EATS: 2 }, { IDR0: IDR0 | 0x400 }],
  ['EATS 0b10, ATS and NS1ATS, nested', true, { ...NESTED, EATS: 2 }, { IDR0: IDR0 | 0xc00 }],
  [
    'EATS 0b10, ATS, nested, S2S',
    true,
    { ...NESTED, EATS: 2, S2S: 1 },
    { ...STALL_BOTH, IDR0: STALL_BOTH.IDR0 | 0x400 },
  ],
  [
    'EATS 0b01, ATS, stage 2, S2S',
    true,
    { ...STAGE_2, EATS: 1, S2S: 1 },
    { ...STALL_BOTH, IDR0: STALL_BOTH.IDR0 | 0x400 },
  ],
  ['EATS 0b01, ATS, stage 2', false, { ...STAGE_2, EATS: 1 }, { IDR0: IDR0 | 0x400 }],
  ['EATS 0b10, ATS, bypass', false, { Config: 4, EATS: 2 }, { IDR0: IDR0 | 0x400 }],
  ['EATS 0b10, ATS, Secure', false, { ...STAGE_1, EATS: 2 }, { IDR0: IDR0 | 0x400 }, SECURE],
  ['STRW 0b01', true, { ...STAGE_1, STRW: 1 }],
  ['STRW 0b11', true, { ...STAGE_1, STRW: 3 }],
  ['STRW 0b10', false, { ...STAGE_1, STRW: 2 }],
  ['STRW 0b01, Hyp == 0', false, { ...STAGE_1, STRW: 1 }, { IDR0: IDR0 & ~0x200 }],
  ['STRW 0b01, nested', false, { ...NESTED, STRW: 1 }],
  ['STRW 0b01, bypass', false, { Config: 4, STRW: 1 }],
  ['STRW 0b01, S1P == 0, bypass', false, { Config: 4, STRW: 3 }, { IDR0: IDR0 & ~2 }],
  ['STRW 0b01, Secure', false, { ...STAGE_1, STRW: 1 }, {}, SECURE],
  ['STRW 0b01, Secure, Hyp == 0', false, { ...STAGE_1, STRW: 1 }, { IDR0: IDR0 & ~0x200 }, SECURE],
  ['STRW 0b11, Secure, Hyp == 0', true, { ...STAGE_1, STRW: 3 }, { IDR0: IDR0 & ~0x200 }, SECURE],
  ['STRW 0b11, Secure', true, { ...STAGE_1, STRW: 3 }, {}, SECURE],
  ['STRW 0b10, Secure, SEL2 == 0', true, { ...STAGE_1, STRW: 2 }, {}, SECURE],
  [
    'STRW 0b10, Secure, SEL2 == 1',
    false,
    { ...STAGE_1, STRW: 2 },
    { S_IDR1: (S_IDR1 | 0x2000_0000) >>> 0 },
    SECURE,
  ],
  ['STRW 0b01, Secure, RME_IMPL', true, { ...STAGE_1, STRW: 1 }, { IDR0: IDR0 | 0x4000_0000 }, SECURE],
  ['S1STALLD, STALL_MODEL 0b01', true, { ...STAGE_1, S1STALLD: 1 }],
  ['S1STALLD, STALL_MODEL 0b00', false, { ...STAGE_1, S1STALLD: 1 }, STALL_BOTH],
  ['S1STALLD, STALL_MODEL 0b10', true, { ...STAGE_1, S1STALLD: 1 }, STALL_FORCED],
  ['S1STALLD, Secure by S_IDR0', true, { ...STAGE_1, S1STALLD: 1 }, { S_IDR0: 0x200_0000 }, SECURE],
  ['S1STALLD, Secure, S_IDR0 0b00', false, { ...STAGE_1, S1STALLD: 1 }, { S_IDR0: 0 }, SECURE],
  ['S1STALLD without stage 1', false, { ...STAGE_2, S1STALLD: 1 }],
  ['S1CDMax 16 of SSIDSIZE 16', false, { ...STAGE_1, S1CDMax: 16, S1DSS: 2 }],
  ['S1CDMax 17 of SSIDSIZE 16', true, { ...STAGE_1, S1CDMax: 17, S1DSS: 2 }],
  ['S1CDMax without substreams', false, { ...STAGE_1, S1CDMax: 17 }, { IDR1: IDR1 & ~(31 << 6) }],
  ['S1CDMax without stage 1', false, { ...STAGE_2, S1CDMax: 31 }],
  ['S1Fmt 1, CD2L == 0', true, { ...STAGE_1, S1CDMax: 4, S1Fmt: 1, S1DSS: 2 }, { IDR0: IDR0 & ~0x8_0000 }],
  ['S1Fmt 2, CD2L == 0', true, { ...STAGE_1, S1CDMax: 4, S1Fmt: 2, S1DSS: 2 }, { IDR0: IDR0 & ~0x8_0000 }],
  ['S1Fmt 3 is linear', false, { ...STAGE_1, S1CDMax: 4, S1Fmt: 3, S1DSS: 2 }, { IDR0: IDR0 & ~0x8_0000 }],
  ['S1Fmt 1, CD2L == 0, S1CDMax == 0', false, { ...STAGE_1, S1Fmt: 1 }, { IDR0: IDR0 & ~0x8_0000 }],
  ['S1ContextPtr at 2^44 of OAS 44', true, { ...STAGE_1, S1ContextPtr: 1n << 38n }, OAS(4)],
  ['S1ContextPtr at 2^43 of OAS 44', false, { ...STAGE_1, S1ContextPtr: 1n << 37n }, OAS(4)],
  ['S1ContextPtr at 2^52', true, { ...STAGE_1, S1ContextPtr: 1n << 46n }],
  ['S1ContextPtr at 2^44 of IAS 44', true, { ...NESTED, S1ContextPtr: 1n << 38n, S2PS: 4 }, OAS(4)],
  ['S2S, STALL_MODEL 0b01', true, { ...STAGE_2, S2S: 1 }],
  ['S2S, STALL_MODEL 0b00', false, { ...STAGE_2, S2S: 1 }, STALL_BOTH],
  ['no S2S, STALL_MODEL 0b10', true, STAGE_2, STALL_FORCED],
  ['S2S, STALL_MODEL 0b10', false, { ...STAGE_2, S2S: 1 }, STALL_FORCED],
  ['S2AA64 == 0, TTF AArch64 only', true, { ...STAGE_2, S2AA64: 0 }],
  ['S2HA, HTTU 0b00', true, { ...STAGE_2, S2HA: 1 }],
  ['S2HD, HTTU 0b00', true, { ...STAGE_2, S2HD: 1 }],
  ['S2HD, HTTU 0b01', true, { ...STAGE_2, S2HD: 1, S2HA: 1 }, { IDR0: IDR0 | 0x40 }],
  ['S2HA, HTTU 0b01', false, { ...STAGE_2, S2HA: 1 }, { IDR0: IDR0 | 0x40 }],
  ['S2TG 0b11', true, { ...STAGE_2, S2TG: 3 }],
  ['S2TG 4KB, GRAN4K == 0', true, STAGE_2, { IDR5: IDR5 & ~0x10 }],
  ['S2TG 16KB', false, { ...STAGE_2, S2TG: 2, S2T0SZ: 24 }],
  ['S2TG 16KB, GRAN16K == 0', true, { ...STAGE_2, S2TG: 2 }, { IDR5: IDR5 & ~0x20 }],
  ['S2TG 64KB', false, { ...STAGE_2, S2TG: 1 }],
  ['S2TG 64KB, GRAN64K == 0', true, { ...STAGE_2, S2TG: 1 }, { IDR5: IDR5 & ~0x40 }],
  ['S2TTB outside S2PS', true, { ...STAGE_2, S2PS: 0, S2TTB: at(2 ** 32) }],
  ['S2TTB at the top of S2PS', false, { ...STAGE_2, S2PS: 0, S2TTB: at(2 ** 31) }],
  ['S2TTB above 2^48, 4KB without S2DS', true, { ...STAGE_2, S2PS: 6, S2TTB: at(2 ** 48) }],
  ['S2TTB above 2^48, 4KB with S2DS', false, { ...STAGE_2, S2PS: 6, S2DS: 1, S2TTB: at(2 ** 48) }],
  [
    'S2TTB above 2^48, S2DS without IDR5.DS',
    true,
    { ...STAGE_2, S2PS: 6, S2DS: 1, S2TTB: at(2 ** 48) },
    { IDR5: IDR5 & ~0x80 },
  ],
  ['S2TTB above 2^48, 64KB', false, { ...STAGE_2, S2PS: 6, S2TG: 1, S2TTB: at(2 ** 48) }],
  ['S2TTB above 2^48, 64KB, S2PS 48', true, { ...STAGE_2, S2PS: 5, S2TG: 1, S2TTB: at(2 ** 48) }],
  ['S2T0SZ 15, 4KB', true, { ...STAGE_2, S2T0SZ: 15, S2SL0: 2 }],
  ['S2T0SZ 16, 4KB', false, { ...STAGE_2, S2T0SZ: 16, S2SL0: 2 }],
  ['S2T0SZ 12, 4KB, S2DS, level -1', false, { ...STAGE_2, S2T0SZ: 12, S2DS: 1, S2SL0: 0, S2SL0_2: 1 }],
  ['S2T0SZ 12, 4KB, S2DS, level 0, 8 tables', false, { ...STAGE_2, S2T0SZ: 13, S2DS: 1, S2SL0: 2 }],
  ['S2T0SZ 12, 4KB, S2DS, level 0, 16 tables', false, { ...STAGE_2, S2T0SZ: 12, S2DS: 1, S2SL0: 2 }],
  ['S2T0SZ 11, 4KB, S2DS', true, { ...STAGE_2, S2T0SZ: 11, S2DS: 1, S2SL0: 0, S2SL0_2: 1 }],
  ['S2SL0_2 with S2SL0 1', true, { ...STAGE_2, S2T0SZ: 12, S2DS: 1, S2SL0: 1, S2SL0_2: 1 }],
  ['S2T0SZ below 64 - IAS', true, { ...STAGE_2, S2T0SZ: 19, S2SL0: 2, S2PS: 4 }, OAS(4)],
  ['S2T0SZ 64 - IAS', false, { ...STAGE_2, S2T0SZ: 20, S2SL0: 2, S2PS: 4 }, OAS(4)],
  ['S2T0SZ 40 without STT', true, { ...STAGE_2, S2T0SZ: 40, S2SL0: 0 }, NO_STT],
  ['S2T0SZ 39 without STT', false, { ...STAGE_2, S2T0SZ: 39, S2SL0: 0 }, NO_STT],
  ['S2T0SZ 48, 4KB, level 3', false, { ...STAGE_2, S2T0SZ: 48, S2SL0: 3 }],
  ['S2SL0 3, 4KB, without STT', true, { ...STAGE_2, S2T0SZ: 39, S2SL0: 3 }, NO_STT],
  ['S2T0SZ 49, 4KB', true, { ...STAGE_2, S2T0SZ: 49, S2SL0: 3 }],
  ['S2T0SZ 48, 64KB', true, { ...STAGE_2, S2TG: 1, S2T0SZ: 48, S2SL0: 0 }],
  ['S2T0SZ 47, 64KB, level 3', false, { ...STAGE_2, S2TG: 1, S2T0SZ: 47, S2SL0: 0 }],
  ['16 concatenated tables at level 1', false, { ...STAGE_2, S2T0SZ: 21, S2SL0: 1 }],
  ['32 concatenated tables at level 1', true, { ...STAGE_2, S2T0SZ: 20, S2SL0: 1 }],
  ['a level that resolves nothing', true, { ...STAGE_2, S2T0SZ: 34, S2SL0: 1 }],
  ['a level that resolves one bit', false, { ...STAGE_2, S2T0SZ: 33, S2SL0: 1 }],
  ['level 0 with 4KB and OAS 42', true, { ...STAGE_2, S2T0SZ: 24, S2SL0: 2, S2PS: 3 }, OAS(3)],
  ['level 1 with 64KB and OAS 42', true, { ...STAGE_2, S2TG: 1, S2T0SZ: 22, S2SL0: 2, S2PS: 3 }, OAS(3)],
  ['S2SL0 3 with 64KB', true, { ...STAGE_2, S2TG: 1, S2SL0: 3 }],
  ['S2SL0 3 with 16KB, no S2DS', true, { ...STAGE_2, S2TG: 2, S2T0SZ: 16, S2SL0: 3 }],
  ['S2SL0 3 with 16KB, S2DS', false, { ...STAGE_2, S2TG: 2, S2T0SZ: 14, S2DS: 1, S2SL0: 3 }],
  ['S2ENDI, TTENDIAN little', true, { ...STAGE_2, S2ENDI: 1 }, { IDR0: IDR0 | (2 << 21) }],
  ['no S2ENDI, TTENDIAN big', true, STAGE_2, { IDR0: IDR0 | (3 << 21) }],
  ['S2ENDI, TTENDIAN big', false, { ...STAGE_2, S2ENDI: 1 }, { IDR0: IDR0 | (3 << 21) }],
  ['S2ENDI, TTENDIAN mixed', false, { ...STAGE_2, S2ENDI: 1 }],
  ['S2VMID 0x100', false, { ...STAGE_2, S2VMID: 0x100 }],
  ['S2VMID 0x100, VMID16 == 0', true, { ...STAGE_2, S2VMID: 0x100 }, { IDR0: IDR0 & ~0x4_0000 }],
  ['S2VMID 0x100, VMID16 == 0, stage 1', true, { ...STAGE_1, S2VMID: 0x100 }, { IDR0: IDR0 & ~0x4_0000 }],
  [
    'S2VMID 0x100, VMID16 == 0, EL2',
    false,
    { ...STAGE_1, STRW: 2, S2VMID: 0x100 },
    { IDR0: IDR0 & ~0x4_0000 },
  ],
  ['S2VMID 0x100, VMID16 == 0, bypass', false, { Config: 4, S2VMID: 0x100 }, { IDR0: IDR0 & ~0x4_0000 }],
  [
    'S2VMID 0x100, VMID16 == 0, Secure',
    false,
    { ...STAGE_1, S2VMID: 0x100 },
    { IDR0: IDR0 & ~0x4_0000 },
    SECURE,
  ],
  ['S2VMID 0x100, no stage 2', false, { ...STAGE_1, S2VMID: 0x100 }, { IDR0: IDR0 & ~0x4_0001 }],
  ['reserved and software fields', false, { ...STAGE_1, SW_RESERVED: 15, S2TG: 3, S2T0SZ: 63 }],
];

const CASES: Case[] = ROWS.map(([what, illegal, fields, idr = {}, security = NON_SECURE]) => ({
  what,
  illegal,
  fields,
  idr,
  security,
}));

const C_BAD_STE = eventOf({ EventNumber: 0x04, StreamID: 3 });

describe('5.2.2 SteIllegal', () => {
  test.each(CASES)('$what: ILLEGAL $illegal', ({ illegal, fields, idr, security }) => {
    const bench = new TbuBench({ idr });
    bench.ste(3, fields, security);
    const { outcome } = bench.access({ StreamID: 3, security, iova: 0x1000 });
    const records = bench.events(security);
    if (illegal) {
      expect(outcome).toBe('abort');
      expect(records).toEqual([C_BAD_STE]);
    } else expect(records).not.toContain(C_BAD_STE);
    expect(bench.events(security === SECURE ? NON_SECURE : SECURE)).toEqual([]);
  });

  test('5.2 Config: 0b0xx terminates without an event', () => {
    for (const Config of [0, 1, 2, 3]) {
      const bench = new TbuBench();
      bench.ste(3, { Config });
      expect(bench.access({ StreamID: 3, iova: 0 }).outcome).toBe('abort');
      expect(bench.events()).toEqual([]);
    }
  });

  test('5.2 Config: bypass puts the input address out', () => {
    const bench = new TbuBench();
    bench.ste(3, { Config: 4 });
    expect(bench.access({ StreamID: 3, iova: 0xf_ffff_ffff_ffffn })).toEqual({
      outcome: 'ok',
      pa: 0xf_ffff_ffff_ffffn,
      space: NON_SECURE,
    });
  });
});
