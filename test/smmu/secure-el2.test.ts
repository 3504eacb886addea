/** Secure EL2 and Secure stage 2 (IHI 0070 3.10.2.2), S_IDR1.SEL2 == 1: what vectors cover in passing, said one by one. */
import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { OPCODES, S_OFFSETS } from '../spec-numbers.js';
import { CDS, type CdFields, eventOf, FULL_IDR, type SteFields, TbuBench } from './tbu-bench.js';

const SEL2 = { S_IDR1: (FULL_IDR.S_IDR1 | 0x2000_0000) >>> 0 };
const L1 = 0x11_0000;
const NS_S2 = 0x12_0000;
const S_S2 = 0x13_0000;
const GIB = 0x4000_0000;
/** Stage 1 block: AF, AP read/write at any privilege, nG. */
const S1_BLOCK = 0xc41n;
/** Stage 2 block: AF, S2AP read/write, MemAttr Normal. */
const S2_BLOCK = 0x4c1n | (0xfn << 2n);
const NS = 0x20n;

const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
/** 39-bit stage 2 tables from level 1, of both IPA spaces. */
const STAGE_2: SteFields = {
  ...{ S2AA64: 1, S2PS: 5, S2R: 1 },
  ...{ S2T0SZ: 25, S2SL0: 1, S2TTB: NS_S2 >> 4 },
  ...{ S_S2T0SZ: 25, S_S2SL0: 1, S_S2TTB: S_S2 >> 4 },
};

function bench(): TbuBench {
  return new TbuBench({ idr: SEL2 });
}

const block = (gib: number, bits: bigint) => BigInt(gib) * BigInt(GIB) + bits;
const secure = (of: TbuBench, iova: number, more: object = {}) =>
  of.access({ StreamID: 1, iova, privileged: true, security: SECURE, ...more });

describe('3.10.2.2: the two IPA spaces of a Secure stream', () => {
  const bits = [0, 1] as const;
  const settings = bits.flatMap((S2SW) =>
    bits.flatMap((S2SA) => bits.flatMap((S2NSW) => bits.map((S2NSA) => ({ S2SW, S2SA, S2NSW, S2NSA })))),
  );

  test.each(settings)('S2SW $S2SW S2SA $S2SA S2NSW $S2NSW S2NSA $S2NSA', (setting) => {
    const { S2SW, S2SA, S2NSW, S2NSA } = setting;
    const of = bench();
    of.ste(1, { ...STAGE_2, ...setting, Config: 6 }, SECURE);
    // The four places that the walk may read: each leads elsewhere.
    of.store64(S_S2, block(1, S2_BLOCK), SECURE);
    of.store64(S_S2, block(2, S2_BLOCK), NON_SECURE);
    of.store64(NS_S2, block(3, S2_BLOCK), SECURE);
    of.store64(NS_S2, block(4, S2_BLOCK), NON_SECURE);
    const answer = (gib: number, ns: number) => ({ outcome: 'ok', pa: BigInt(gib * GIB + 8), space: 1 - ns });
    expect(secure(of, 8), 'Secure IPA').toEqual(answer(1 + S2SW, S2SW === 0 ? S2SA : 1));
    const forced = S2SW + S2SA + S2NSW > 0;
    expect(secure(of, 8, { ns: true }), 'Non-secure IPA').toEqual(answer(3 + S2NSW, forced ? 1 : S2NSA));
  });

  test('STE.NSCFG chooses between them for stage 2 alone, and S1DSS bypass is stage 2 alone', () => {
    for (const config of [{ Config: 6 }, { ...STAGE_1, Config: 7, S1CDMax: 1, S1DSS: 1 }]) {
      for (const [NSCFG, ns, gib] of [
        [0, false, 1],
        [0, true, 3],
        [2, true, 1],
        [3, false, 3],
      ] as const) {
        const of = bench();
        of.ste(1, { ...STAGE_2, ...config, NSCFG }, SECURE);
        of.store64(S_S2, block(1, S2_BLOCK), SECURE);
        of.store64(NS_S2, block(3, S2_BLOCK), SECURE);
        expect(secure(of, 0, { ns }).pa, `NSCFG ${NSCFG} ns ${ns}`).toBe(BigInt(gib * GIB));
      }
    }
  });

  /** Stage 1 in IPA 0x11_0000, which the Secure IPA space maps one to one and the Non-secure one 1 MiB higher. */
  function nested(cd: CdFields = {}): TbuBench {
    const of = bench();
    of.ste(1, { ...STAGE_1, ...STAGE_2, Config: 7, S2NSA: 1 }, SECURE);
    of.cd(CDS, { ...CD, ...cd }, SECURE);
    of.store64(S_S2, block(0, S2_BLOCK), SECURE);
    of.store64(S_S2 + 8, block(1, S2_BLOCK), SECURE);
    // Non-secure IPA gigabyte 0 by 2 MiB blocks is more than is needed: one level 2 table.
    of.store64(NS_S2, 0x14_0000n | 3n, SECURE);
    of.store64(0x14_0000, 0x20_0000n | S2_BLOCK, SECURE);
    of.store64(NS_S2 + 8, block(3, S2_BLOCK), SECURE);
    return of;
  }

  test('stage 1 leaf NS chooses the IPA space of the output; the CD and a Secure TTB0 are in the Secure one', () => {
    const of = nested();
    of.store64(L1, block(1, S1_BLOCK), SECURE);
    of.store64(L1 + 8, block(1, S1_BLOCK | NS), SECURE);
    expect(secure(of, 0)).toEqual({ outcome: 'ok', pa: BigInt(GIB), space: SECURE });
    expect(secure(of, GIB)).toEqual({ outcome: 'ok', pa: BigInt(3 * GIB), space: NON_SECURE });
  });

  test('CD.NSCFG0 puts the stage 1 table in the Non-secure IPA space, whose leaves never lead back', () => {
    const of = nested({ NSCFG0: 1 });
    // IPA L1 is PA L1 + 2 MiB there, in the space that S2NSA gives.
    of.store64(L1 + 0x20_0000, block(1, S1_BLOCK), NON_SECURE);
    expect(secure(of, 0)).toEqual({ outcome: 'ok', pa: BigInt(3 * GIB), space: NON_SECURE });
  });

  test('3.17.1: an entry read from the Non-secure IPA space is not global', () => {
    const of = nested({ NSCFG0: 1 });
    of.store64(L1 + 0x20_0000, block(1, S1_BLOCK & ~0x800n), NON_SECURE);
    secure(of, 0);
    of.store64(NS_S2 + 8, block(5, S2_BLOCK), SECURE);
    of.command([OPCODES.CMD_TLBI_S_S12_VMALL, 7], SECURE);
    of.command([OPCODES.CMD_TLBI_S_S2_IPA, 0, GIB, 0x8000_0000 | 0], SECURE);
    expect(secure(of, 0).pa, 'the combined entry is still there').toBe(BigInt(3 * GIB));
    of.command([OPCODES.CMD_TLBI_NH_ASID, 1 << 16], SECURE);
    expect(secure(of, 0).pa).toBe(BigInt(5 * GIB));
  });

  test('6.3.57.2 SIF: an instruction fetch into the Non-secure IPA space is a stage 1 Permission fault', () => {
    const of = nested();
    of.store64(L1, block(1, S1_BLOCK), SECURE);
    of.store64(L1 + 8, block(1, S1_BLOCK | NS), SECURE);
    of.write(S_OFFSETS.S_CR0, 0x2d, 4, SECURE);
    const fetch = { instruction: true, privileged: false };
    expect(secure(of, 0, fetch).outcome).toBe('ok');
    expect(secure(of, GIB, fetch).outcome).toBe('abort');
    expect(secure(of, GIB).outcome, 'data').toBe('ok');
    const F_PERMISSION = { EventNumber: 0x13, StreamID: 1, InD: 1, RnW: 1, CLASS: 2, InputAddr: GIB };
    expect(of.events(SECURE)).toEqual([eventOf(F_PERMISSION)]);
  });
});

describe('7.3: stage 2 faults of Secure streams', () => {
  const fault = { EventNumber: 0x10, StreamID: 1, S2: 1, PnU: 1, RnW: 1 };

  test('NSIPA tells the IPA space, in the Secure Event queue alone', () => {
    const of = bench();
    of.ste(1, { ...STAGE_2, Config: 6 }, SECURE);
    secure(of, 0x5000);
    secure(of, 0x6000, { ns: true });
    expect(of.events(SECURE)).toEqual([
      eventOf({ ...fault, CLASS: 2, InputAddr: 0x5000, IPA: 5 }),
      eventOf({ ...fault, CLASS: 2, InputAddr: 0x6000, IPA: 6, NSIPA: 1 }),
    ]);
    expect(of.events(NON_SECURE)).toEqual([]);
  });

  test('the CD is fetched by a Secure IPA, the stage 1 table by that of NSCFGx', () => {
    const of = bench();
    of.ste(1, { ...STAGE_1, ...STAGE_2, Config: 7 }, SECURE);
    secure(of, 0x5000);
    expect(of.events(SECURE)).toEqual([eventOf({ ...fault, InputAddr: 0x5000, IPA: CDS >> 12 })]);
    of.store64(S_S2, block(0, S2_BLOCK), SECURE);
    of.cd(CDS, { ...CD, NSCFG0: 1 }, SECURE);
    secure(of, 0x5000);
    expect(of.events(SECURE)).toEqual([
      eventOf({ ...fault, CLASS: 1, InputAddr: 0x5000, IPA: L1 >> 12, NSIPA: 1 }),
    ]);
  });
});

describe('5.2: what a Secure STE with stage 2 may say', () => {
  const badSte = [eventOf({ EventNumber: 4, StreamID: 1 })];
  test.each<[string, SteFields, object]>([
    ['A36: stage 2 while SEL2 == 0', { Config: 6 }, { S_IDR1: FULL_IDR.S_IDR1 }],
    ['A36: both stages while SEL2 == 0', { ...STAGE_1, Config: 7 }, { S_IDR1: FULL_IDR.S_IDR1 }],
    ['A36: S-EL2 while SEL2 == 0', { ...STAGE_1, STRW: 2 }, { S_IDR1: FULL_IDR.S_IDR1 }],
    ['VMSAv8-32 LPAE', { Config: 6, S2AA64: 0 }, { ...SEL2, IDR0: FULL_IDR.IDR0 | 4 }],
    ['S_S2T0SZ out of range', { Config: 6, S_S2T0SZ: 60 }, SEL2],
    ['S2T0SZ out of range', { Config: 6, S2T0SZ: 60 }, SEL2],
    ['S_S2TG reserved', { Config: 6, S_S2TG: 3 }, SEL2],
    ['STRW 0b11', { ...STAGE_1, STRW: 3 }, SEL2],
  ])('C_BAD_STE on the Secure Event queue: %s', (_, ste, idr) => {
    const of = new TbuBench({ idr });
    of.ste(1, { ...STAGE_2, ...ste }, SECURE);
    expect(secure(of, 0).outcome).toBe('abort');
    expect(of.events(SECURE)).toEqual(badSte);
    expect(of.events(NON_SECURE)).toEqual([]);
  });
});

describe('A40, A41, 4.4: what each TLBI command takes', () => {
  const VMID = 5;
  type Stream = readonly [StreamID: number, security: SecurityState, ste: SteFields, ns?: boolean];
  const STREAMS = {
    'NS-EL1': [1, NON_SECURE, STAGE_1],
    'NS-EL2': [2, NON_SECURE, { ...STAGE_1, STRW: 2 }],
    'NS stage 2': [4, NON_SECURE, { ...STAGE_2, Config: 6, S2VMID: VMID }],
    Secure: [1, SECURE, STAGE_1],
    'S-EL2': [2, SECURE, { ...STAGE_1, STRW: 2 }],
    EL3: [3, SECURE, { ...STAGE_1, STRW: 1 }],
    'Secure IPA': [4, SECURE, { ...STAGE_2, Config: 6, S2VMID: VMID }],
    'Secure stream NS IPA': [4, SECURE, { ...STAGE_2, Config: 6, S2VMID: VMID }, true],
  } as const satisfies Record<string, Stream>;
  type World = keyof typeof STREAMS;

  /** Every regime has its entry; then every table changes. @returns which regimes follow after the command. */
  function taken(words: readonly number[], queue: SecurityState, of = bench()): World[] {
    const worlds = Object.keys(STREAMS) as World[];
    const map = (gib: number) => {
      for (const space of [NON_SECURE, SECURE] as const) {
        of.store64(L1, block(gib, S1_BLOCK), space);
        for (const table of [NS_S2, S_S2]) of.store64(table, block(gib, S2_BLOCK), space);
      }
    };
    const at = (world: World) => {
      const [StreamID, security, , ns = false] = STREAMS[world] as Stream;
      return of.access({ StreamID, security, iova: 0, privileged: true, ns }).pa;
    };
    map(1);
    for (const space of [NON_SECURE, SECURE] as const) of.cd(CDS, CD, space);
    for (const world of worlds) {
      const [StreamID, security, ste] = STREAMS[world] as Stream;
      of.ste(StreamID, ste, security);
      expect(at(world), world).toBe(BigInt(GIB));
    }
    map(2);
    expect(
      worlds.filter((world) => at(world) !== BigInt(GIB)),
      'all are cached',
    ).toEqual([]);
    of.command(words, queue);
    return worlds.filter((world) => at(world) === BigInt(2 * GIB));
  }

  const { CMD_TLBI_S_S2_IPA } = OPCODES;
  const nonSecureEl1: World[] = ['NS-EL1', 'NS stage 2'];
  const secureEl1: World[] = ['Secure', 'Secure IPA', 'Secure stream NS IPA'];
  const ASID_1 = 1 << 16;
  test.each<[string, SecurityState, readonly number[], World[]]>([
    ['NH_ALL', SECURE, [OPCODES.CMD_TLBI_NH_ALL], ['Secure']],
    ['NH_ALL of another VMID', SECURE, [OPCODES.CMD_TLBI_NH_ALL, VMID], []],
    ['NH_ASID', SECURE, [OPCODES.CMD_TLBI_NH_ASID, ASID_1], ['Secure']],
    ['NH_VA', SECURE, [OPCODES.CMD_TLBI_NH_VA, ASID_1], ['Secure']],
    ['NH_VAA', SECURE, [OPCODES.CMD_TLBI_NH_VAA], ['Secure']],
    ['EL3_ALL', SECURE, [OPCODES.CMD_TLBI_EL3_ALL], ['EL3']],
    ['EL3_VA', SECURE, [OPCODES.CMD_TLBI_EL3_VA], ['EL3']],
    ['EL2_ALL', SECURE, [OPCODES.CMD_TLBI_EL2_ALL], ['NS-EL2']],
    ['EL2_VA', SECURE, [OPCODES.CMD_TLBI_EL2_VA], ['NS-EL2']],
    ['S_EL2_ALL', SECURE, [OPCODES.CMD_TLBI_S_EL2_ALL], ['S-EL2']],
    ['S_EL2_VA', SECURE, [OPCODES.CMD_TLBI_S_EL2_VA], ['S-EL2']],
    ['S_EL2_VAA', SECURE, [OPCODES.CMD_TLBI_S_EL2_VAA], ['S-EL2']],
    ['S_EL2_ASID without E2H', SECURE, [OPCODES.CMD_TLBI_S_EL2_ASID, ASID_1], []],
    ['S12_VMALL', SECURE, [OPCODES.CMD_TLBI_S12_VMALL, VMID], ['NS stage 2']],
    ['S2_IPA', SECURE, [OPCODES.CMD_TLBI_S2_IPA, VMID], ['NS stage 2']],
    ['S_S12_VMALL', SECURE, [OPCODES.CMD_TLBI_S_S12_VMALL, VMID], ['Secure IPA', 'Secure stream NS IPA']],
    ['S_S12_VMALL of VMID 0', SECURE, [OPCODES.CMD_TLBI_S_S12_VMALL], ['Secure']],
    ['S_S2_IPA', SECURE, [CMD_TLBI_S_S2_IPA, VMID], ['Secure IPA']],
    ['S_S2_IPA, NS', SECURE, [CMD_TLBI_S_S2_IPA, VMID, 0, 0x8000_0000], ['Secure stream NS IPA']],
    ['NSNH_ALL', SECURE, [OPCODES.CMD_TLBI_NSNH_ALL], nonSecureEl1],
    ['SNH_ALL', SECURE, [OPCODES.CMD_TLBI_SNH_ALL], secureEl1],
    ['NH_ALL', NON_SECURE, [OPCODES.CMD_TLBI_NH_ALL], ['NS-EL1']],
    ['NH_ASID', NON_SECURE, [OPCODES.CMD_TLBI_NH_ASID, ASID_1], ['NS-EL1']],
    ['NH_VA', NON_SECURE, [OPCODES.CMD_TLBI_NH_VA, ASID_1], ['NS-EL1']],
    ['NH_VAA', NON_SECURE, [OPCODES.CMD_TLBI_NH_VAA], ['NS-EL1']],
    ['EL2_ALL', NON_SECURE, [OPCODES.CMD_TLBI_EL2_ALL], ['NS-EL2']],
    ['S12_VMALL', NON_SECURE, [OPCODES.CMD_TLBI_S12_VMALL, VMID], ['NS stage 2']],
    ['NSNH_ALL', NON_SECURE, [OPCODES.CMD_TLBI_NSNH_ALL], nonSecureEl1],
  ])('%s on queue %i', (_, queue, words, worlds) => {
    expect(taken(words, queue)).toEqual(worlds);
  });

  test('A41: EL3 and S_ commands on the Non-secure queue are CERROR_ILL', () => {
    for (const [name, opcode] of Object.entries(OPCODES)) {
      if (!/TLBI_(EL3|S_|SNH)/.test(name)) continue;
      expect(() => bench().command([opcode]), name).toThrow('is refused');
      expect(() => bench().command([opcode], SECURE), name).not.toThrow();
    }
  });

  test('4.4.2.1: without SEL2 a Secure entry has no VMID, and any VMID takes it', () => {
    const of = new TbuBench();
    of.ste(1, { ...STAGE_1, S2VMID: 3 }, SECURE);
    of.cd(CDS, CD, SECURE);
    of.store64(L1, block(1, S1_BLOCK), SECURE);
    secure(of, 0);
    of.store64(L1, block(2, S1_BLOCK), SECURE);
    of.command([OPCODES.CMD_TLBI_NH_ALL, VMID], SECURE);
    expect(secure(of, 0).pa).toBe(BigInt(2 * GIB));
  });

  test('6.3.60 E2H: S-EL2-E2H entries have an ASID, and S_EL2_ASID takes them by it', () => {
    const of = new TbuBench({ idr: SEL2, cr2: 3 });
    of.ste(1, { ...STAGE_1, STRW: 2 }, SECURE);
    of.cd(CDS, CD, SECURE);
    of.store64(L1, block(1, S1_BLOCK), SECURE);
    secure(of, 0);
    of.store64(L1, block(2, S1_BLOCK), SECURE);
    of.command([OPCODES.CMD_TLBI_S_EL2_ASID, 2 << 16], SECURE);
    of.command([OPCODES.CMD_TLBI_EL2_ASID, ASID_1], SECURE);
    of.command([OPCODES.CMD_TLBI_S_EL2_VA, 2 << 16], SECURE);
    expect(secure(of, 0).pa).toBe(BigInt(GIB));
    of.command([OPCODES.CMD_TLBI_S_EL2_ASID, ASID_1], SECURE);
    expect(secure(of, 0).pa).toBe(BigInt(2 * GIB));
  });
});

test('6.3.57 VMW: the Secure wildcard widens Secure VMIDs alone; reserved values behave as 0', () => {
  const S2_ALL = [OPCODES.CMD_TLBI_S_S12_VMALL, 4];
  const after = (S_VMW: number, VMW: number): bigint => {
    const of = bench();
    of.write(0x20, 0xd | (VMW << 6));
    of.write(S_OFFSETS.S_CR0, 0xd | (S_VMW << 6), 4, SECURE);
    of.ste(1, { ...STAGE_2, Config: 6, S2VMID: 7 }, SECURE);
    of.store64(S_S2, block(1, S2_BLOCK), SECURE);
    secure(of, 0);
    of.store64(S_S2, block(2, S2_BLOCK), SECURE);
    of.command(S2_ALL, SECURE);
    return secure(of, 0).pa! / BigInt(GIB);
  };
  // VMID 7 against 4: they differ in the low two bits.
  expect([0, 1, 2, 3, 4, 5, 6, 7].map((value) => after(value, 0))).toEqual([1n, 1n, 2n, 2n, 2n, 1n, 1n, 1n]);
  expect(after(0, 4)).toBe(1n);
});
