import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { CDS, type CdFields, eventOf, FULL_IDR, type SteFields, TbuBench } from './tbu-bench.js';

const { IDR0, IDR3, IDR5 } = FULL_IDR;
const LEGAL: CdFields = {
  AA64: 1,
  T0SZ: 16,
  EPD1: 1,
  IPS: 5,
  TTB0: 0x10_0000 >> 4,
  A: 1,
  R: 1,
};
/** Both halves in use. */
const BOTH: CdFields = { ...LEGAL, EPD1: 0, T1SZ: 16, TG1: 2, TTB1: 0x11_0000 >> 4 };
const EL2: SteFields = { STRW: 2 };
const NO_STT = { IDR3: IDR3 & ~0x200 };
const STALL_BOTH = { IDR0: IDR0 & ~0x300_0000, S_IDR0: 0 };
const STALL_FORCED = { IDR0: (IDR0 & ~0x300_0000) | 0x200_0000, S_IDR0: 0x200_0000 };
const at = (address: number) => BigInt(address) >> 4n;

interface Setting {
  readonly idr?: object;
  readonly ste?: SteFields;
  readonly security?: SecurityState;
  readonly cr2?: number;
}
type Row = readonly [what: string, illegal: boolean, fields: CdFields, setting?: Setting];
interface Case {
  readonly what: string;
  readonly illegal: boolean;
  readonly fields: CdFields;
  readonly setting: Setting;
}

const ROWS: readonly Row[] = [
  ['legal', false, LEGAL],
  ['legal, both halves', false, BOTH],
  ['V == 0', true, { ...LEGAL, V: 0 }],
  ['S with STE.S1STALLD', true, { ...LEGAL, S: 1 }, { idr: STALL_BOTH, ste: { S1STALLD: 1 } }],
  ['STE.S1STALLD alone', false, LEGAL, { idr: STALL_BOTH, ste: { S1STALLD: 1 } }],
  ['A == 0, TERM_MODEL 0', false, { ...LEGAL, A: 0 }],
  ['A == 0, TERM_MODEL 1', true, { ...LEGAL, A: 0 }, { idr: { IDR0: IDR0 | 0x400_0000 } }],
  ['S, STALL_MODEL 0b01', true, { ...LEGAL, S: 1 }],
  ['S, Secure STALL_MODEL 0b01', true, { ...LEGAL, S: 1 }, { security: SECURE }],
  ['no S, STALL_MODEL 0b10', true, LEGAL, { idr: STALL_FORCED }],
  ['no S, Secure STALL_MODEL 0b10', true, LEGAL, { idr: { S_IDR0: 0x200_0000 }, security: SECURE }],
  ['ENDI, TTENDIAN little', true, { ...LEGAL, ENDI: 1 }, { idr: { IDR0: IDR0 | (2 << 21) } }],
  ['no ENDI, TTENDIAN big', true, LEGAL, { idr: { IDR0: IDR0 | (3 << 21) } }],
  [
    'ENDI is IGNORED with both EPDx',
    false,
    { ...LEGAL, EPD0: 1, ENDI: 1 },
    { idr: { IDR0: IDR0 | (2 << 21) } },
  ],
  [
    'ENDI counts in EL2 whatever EPDx',
    true,
    { ...LEGAL, EPD0: 1, ENDI: 1 },
    { idr: { IDR0: IDR0 | (2 << 21) }, ste: EL2 },
  ],
  ['AA64 == 0, TTF AArch64 only', true, { ...LEGAL, AA64: 0 }],
  ['HA, HTTU 0b00', true, { ...LEGAL, HA: 1 }],
  ['HD, HTTU 0b00', true, { ...LEGAL, HD: 1 }],
  ['HD, HTTU 0b01', true, { ...LEGAL, HD: 1 }, { idr: { IDR0: IDR0 | 0x40 } }],
  ['HA, HTTU 0b01', false, { ...LEGAL, HA: 1 }, { idr: { IDR0: IDR0 | 0x40 } }],
  ['ASID 0x100', false, { ...LEGAL, ASID: 0x100 }],
  ['ASID 0x100, ASID16 == 0', true, { ...LEGAL, ASID: 0x100 }, { idr: { IDR0: IDR0 & ~0x1000 } }],
  [
    'ASID 0x100, ASID16 == 0, Secure',
    true,
    { ...LEGAL, ASID: 0x100 },
    { idr: { IDR0: IDR0 & ~0x1000 }, security: SECURE },
  ],
  [
    'ASID 0x100, ASID16 == 0, EL2',
    false,
    { ...LEGAL, ASID: 0x100 },
    { idr: { IDR0: IDR0 & ~0x1000 }, ste: EL2 },
  ],
  [
    'ASID 0x100, ASID16 == 0, EL2-E2H',
    true,
    { ...LEGAL, ASID: 0x100 },
    { idr: { IDR0: IDR0 & ~0x1000 }, ste: EL2, cr2: 3 },
  ],
  [
    'ASID 0x100, ASID16 == 0, EL3',
    false,
    { ...LEGAL, ASID: 0x100 },
    { idr: { IDR0: IDR0 & ~0x1000 }, ste: { STRW: 1 }, security: SECURE },
  ],
  ['T0SZ 15, 4KB', true, { ...LEGAL, T0SZ: 15 }],
  ['T0SZ 15, 4KB, DS', false, { ...LEGAL, T0SZ: 15, DS: 1 }],
  ['T0SZ 12, 4KB, DS', false, { ...LEGAL, T0SZ: 12, DS: 1 }],
  ['T0SZ 11, 4KB, DS', true, { ...LEGAL, T0SZ: 11, DS: 1 }],
  ['T0SZ 12, 4KB, DS without IDR5.DS', true, { ...LEGAL, T0SZ: 12, DS: 1 }, { idr: { IDR5: IDR5 & ~0x80 } }],
  ['T0SZ 12, 4KB, DS, VAX 0', true, { ...LEGAL, T0SZ: 12, DS: 1 }, { idr: { IDR5: IDR5 & ~0xc00 } }],
  ['T0SZ 12, 64KB', false, { ...LEGAL, T0SZ: 12, TG0: 1 }],
  ['T0SZ 12, 64KB, VAX 0', true, { ...LEGAL, T0SZ: 12, TG0: 1 }, { idr: { IDR5: IDR5 & ~0xc00 } }],
  ['T0SZ 12, 16KB', true, { ...LEGAL, T0SZ: 12, TG0: 2 }],
  ['T0SZ 12, 16KB, DS', false, { ...LEGAL, T0SZ: 12, TG0: 2, DS: 1 }],
  ['T0SZ 40 without STT', true, { ...LEGAL, T0SZ: 40 }, { idr: NO_STT }],
  ['T0SZ 39 without STT', false, { ...LEGAL, T0SZ: 39 }, { idr: NO_STT }],
  ['T0SZ 48, 4KB', false, { ...LEGAL, T0SZ: 48 }],
  ['T0SZ 49, 4KB', true, { ...LEGAL, T0SZ: 49 }],
  ['T0SZ 48, 64KB', true, { ...LEGAL, T0SZ: 48, TG0: 1 }],
  ['T0SZ 47, 64KB', false, { ...LEGAL, T0SZ: 47, TG0: 1 }],
  ['T0SZ 49, EPD0', false, { ...BOTH, T0SZ: 49, EPD0: 1 }],
  ['T0SZ 49, EPD0, EL2', true, { ...LEGAL, T0SZ: 49, EPD0: 1 }, { ste: EL2 }],
  ['T1SZ 49', true, { ...BOTH, T1SZ: 49 }],
  ['T1SZ 49, EPD1', false, { ...BOTH, T1SZ: 49, EPD1: 1 }],
  ['T1SZ 49, EL2', false, { ...BOTH, T1SZ: 49 }, { ste: EL2 }],
  ['T1SZ 49, EL2-E2H', true, { ...BOTH, T1SZ: 49 }, { ste: EL2, cr2: 3 }],
  ['T1SZ 49, EL3', false, { ...BOTH, T1SZ: 49 }, { ste: { STRW: 1 }, security: SECURE }],
  ['TG0 0b11', true, { ...LEGAL, TG0: 3 }],
  ['TG0 0b11, EPD0', false, { ...BOTH, TG0: 3, EPD0: 1 }],
  ['TG0 4KB, GRAN4K == 0', true, LEGAL, { idr: { IDR5: IDR5 & ~0x10 } }],
  ['TG0 16KB, GRAN16K == 0', true, { ...LEGAL, TG0: 2 }, { idr: { IDR5: IDR5 & ~0x20 } }],
  ['TG0 64KB, GRAN64K == 0', true, { ...LEGAL, TG0: 1 }, { idr: { IDR5: IDR5 & ~0x40 } }],
  ['TG1 0b00', true, { ...BOTH, TG1: 0 }],
  ['TG1 16KB, GRAN16K == 0', true, { ...BOTH, TG1: 1 }, { idr: { IDR5: IDR5 & ~0x20 } }],
  ['TG1 4KB, GRAN16K == 0', false, BOTH, { idr: { IDR5: IDR5 & ~0x20 } }],
  ['TG1 64KB, GRAN64K == 0', true, { ...BOTH, TG1: 3 }, { idr: { IDR5: IDR5 & ~0x40 } }],
  ['TTB0 outside IPS', true, { ...LEGAL, IPS: 0, TTB0: at(2 ** 32) }],
  ['TTB0 inside IPS', false, { ...LEGAL, IPS: 1, TTB0: at(2 ** 32) }],
  [
    'TTB0 outside the OAS',
    true,
    { ...LEGAL, IPS: 6, TTB0: at(2 ** 44) },
    { idr: { IDR5: (IDR5 & ~0x87) | 4 } },
  ],
  ['TTB0 above 2^48, 4KB', true, { ...LEGAL, IPS: 6, TTB0: at(2 ** 48) }],
  ['TTB0 above 2^48, 4KB, DS', false, { ...LEGAL, IPS: 6, DS: 1, TTB0: at(2 ** 48) }],
  ['TTB0 above 2^48, 64KB', false, { ...LEGAL, IPS: 6, TG0: 1, TTB0: at(2 ** 48) }],
  ['TTB1 outside IPS', true, { ...BOTH, IPS: 0, TTB1: at(2 ** 32) }],
  ['TTB1 outside IPS, EPD1', false, { ...BOTH, EPD1: 1, IPS: 0, TTB1: at(2 ** 32) }],
  ['TTB0 outside IPS, EPD0', false, { ...BOTH, EPD0: 1, IPS: 0, TTB0: at(2 ** 32) }],
];

const CASES: Case[] = ROWS.map(([what, illegal, fields, setting = {}]) => ({
  what,
  illegal,
  fields,
  setting,
}));

const C_BAD_CD = eventOf({ EventNumber: 0x0a, StreamID: 3 });

describe('5.4.2 CdIllegal', () => {
  test.each(CASES)('$what: ILLEGAL $illegal', ({ illegal, fields, setting }) => {
    const { idr = {}, ste = {}, security = NON_SECURE, cr2 = 2 } = setting;
    const bench = new TbuBench({ idr, cr2 });
    bench.ste(3, { Config: 5, S1ContextPtr: CDS >> 6, ...ste }, security);
    bench.cd(CDS, fields, security);
    const { outcome } = bench.access({ StreamID: 3, security, iova: 0x1000 });
    const records = bench.events(security);
    if (illegal) {
      expect(outcome).toBe('abort');
      expect(records).toEqual([C_BAD_CD]);
    } else expect(records.map((record) => record & 0xffn)).not.toContain(0x0an);
    expect(bench.events(security === SECURE ? NON_SECURE : SECURE)).toEqual([]);
  });
});
