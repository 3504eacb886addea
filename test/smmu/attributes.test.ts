import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { printAttributes } from '../../src/explain/text.js';
import {
  type Cacheability,
  type IncomingAttributes,
  type OutputAttributes,
  outputAttributes,
} from '../../src/smmu/tbu/attributes.js';
import { OFFSETS } from '../spec-numbers.js';
import { type Access, CDS, type CdFields, FULL_IDR, type SteFields, TbuBench } from './tbu-bench.js';

/**
 * Output attributes, written as IHI 0070 13.1.1 writes them. The tables below are those of the specification: DDI 0487
 * D8.6 for both stages, IHI 0070 5.2, 5.4 and 6.3.14 for the fields.
 */
const L1 = 0x10_0000;
const S2_L1 = 0x12_0000;
const GIB = 0x4000_0000;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6, SHCFG: 1 };
const STAGE_2: SteFields = { S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: S2_L1 >> 4, S2R: 1 };
/** With ATTR_TYPES_OVR as well. */
const IDR = { IDR1: FULL_IDR.IDR1 | (1 << 27) };

const HINTS = ['nRAnWA', 'nRAWA', 'RAnWA', 'RAWA'];
const DEVICES = ['Device-nGnRnE', 'Device-nGnRE', 'Device-nGRE', 'Device-GRE'];
/** MAIR Attr[7:4] and Attr[3:0] of Normal memory; 0 is not one, at the outer level. */
const LEVELS = [
  'WT/RAWATR',
  ...[1, 2, 3].map((rw) => `WT/${HINTS[rw]}TR`),
  'NC',
  ...[1, 2, 3].map((rw) => `WB/${HINTS[rw]}TR`),
  ...[0, 1, 2, 3].map((rw) => `WT/${HINTS[rw]}nTR`),
  ...[0, 1, 2, 3].map((rw) => `WB/${HINTS[rw]}nTR`),
];
const SH = ['NSH', 'NSH', 'OSH', 'ISH'];
const WB = 0xff;
const WT = 0xbb;
const NC = 0x44;

/** An allocating transient type is the only one that keeps its TR (13.1.7). */
function transient(level: string): string {
  return level.replace('nRAnWATR', 'nRAnWAnTR');
}

function normal(inner: string, outer: string, sh: string): string {
  const nc = inner === 'NC' && outer === 'NC';
  return `Normal-i${transient(inner)}-o${transient(outer)}${nc ? '' : `-${sh}`}`;
}

/** 13.1.1, 13.1.7: what is not cacheable is Outer Shareable. */
function told(attributes: OutputAttributes): string {
  if (attributes.memoryType !== 'Normal') {
    expect(attributes).toMatchObject({ inner: { policy: 'NC' }, outer: { policy: 'NC' } });
  }
  return printAttributes(attributes);
}

interface Setting {
  readonly mair?: number;
  /** SH of the stage 1 leaf. */
  readonly sh?: number;
  readonly memAttr?: number;
  readonly s2sh?: number;
  readonly ste?: SteFields;
  readonly cd?: CdFields;
  readonly stages: 'bypass' | 's1' | 's2' | 'nested';
}

/** A bench without caches, on which one stream can be set up again and again. */
class AttributeBench extends TbuBench {
  constructor(options: ConstructorParameters<typeof TbuBench>[0] = {}) {
    super({ tlb: 0, configCache: 0, ...options, idr: { ...IDR, ...options.idr } });
  }

  set({ mair = WB, sh = 3, memAttr = 0xf, s2sh = 0, ste = {}, cd = {}, stages }: Setting): this {
    const Config = { bypass: 4, s1: 5, s2: 6, nested: 7 }[stages];
    this.ste(1, { ...STAGE_1, ...STAGE_2, Config, ...ste });
    this.cd(CDS, { ...CD, MAIR0: mair, ...cd });
    this.store64(L1, BigInt(GIB) | 0x441n | (BigInt(sh) << 8n));
    // Tables and CDs are in Normal memory; only what is accessed has the attributes in question.
    this.store64(S2_L1, 0xc1n | (0xfn << 2n) | (1n << 10n));
    const attributes = (BigInt(memAttr) << 2n) | (BigInt(s2sh) << 8n);
    this.store64(S2_L1 + 8, BigInt(GIB) | 0x4c1n | attributes);
    return this;
  }

  of(access: Partial<Access> = {}): OutputAttributes {
    const iova = access.iova ?? (this.#stage1() ? 0x1000 : GIB + 0x1000);
    expect(this.access({ StreamID: 1, ...access, iova }).outcome).toBe('ok');
    return outputAttributes(this.transaction);
  }

  #stage1(): boolean {
    return (Number(this.load64(0x4_0000 + 64)! >> 1n) & 5) === 5;
  }
}

const bench = new AttributeBench();
const both = (policy: Cacheability['policy'], hints = 3, TR = false) => ({
  policy,
  readAllocate: (hints & 2) !== 0,
  writeAllocate: (hints & 1) !== 0,
  transient: TR,
});
const incoming = (inner: Cacheability, outer = inner): IncomingAttributes => ({
  memoryType: 'Normal',
  inner,
  outer,
  shareability: 'ISH',
});
const DEVICE_IN: IncomingAttributes = { memoryType: 'Device-GRE', shareability: 'OSH' };

describe('G9: stage 1 (IHI 0070 5.4 MAIR0, MAIR1, 13.4.2)', () => {
  test('every MAIR byte at every AttrIndx, reserved encodings as 5.4 says', () => {
    for (let block = 0; block < 256; block += 8) {
      const bytes = [0, 1, 2, 3].map((i) => block + i);
      const word = (first: number) => bytes.reduce((all, byte, i) => all + (byte + first) * 2 ** (8 * i), 0);
      bench.set({ stages: 's1', cd: { MAIR0: word(0), MAIR1: word(4) } });
      for (let AttrIndx = 0; AttrIndx < 8; AttrIndx++) {
        const attr = block + AttrIndx;
        bench.store64(L1, BigInt(GIB) | 0x741n | (BigInt(AttrIndx) << 2n));
        const [outer, inner] = [attr >> 4, attr & 15];
        const expected = outer === 0 ? DEVICES[inner >> 2]! : normal(LEVELS[inner]!, LEVELS[outer]!, 'ISH');
        expect(told(bench.of()), `MAIR ${attr.toString(16)}`).toBe(expected);
      }
    }
  });

  test.each([0, 1, 2, 3])('D8.6.2: SH 0b%i of the leaf; Device and iNC-oNC are OSH', (sh) => {
    expect(bench.set({ stages: 's1', sh }).of().shareability).toBe(SH[sh]);
    for (const mair of [0x00, 0x0c, NC]) {
      expect(bench.set({ stages: 's1', sh, mair }).of().shareability).toBe('OSH');
    }
    expect(bench.set({ stages: 's1', sh, mair: 0x4f }).of().shareability).toBe(SH[sh]);
  });

  test('D8.6.2: with DS, CD.SH0 and SH1 in place of descriptor bits [9:8]', () => {
    for (const [SH0, SH1] of [
      [0, 3],
      [3, 2],
      [2, 0],
    ] as const) {
      bench.set({ stages: 's1' });
      // A level 1 block of the 4KB granule in either half; bits [9:8] are OA[51:50], here 0.
      bench.cd(CDS, { ...CD, DS: 1, SH0, SH1, EPD1: 0, T1SZ: 25, TG1: 2, TTB1: L1 >> 4, MAIR0: WB, IPS: 6 });
      bench.store64(L1, BigInt(GIB) | 0x441n);
      expect(bench.of({ iova: 0x1000 }).shareability).toBe(SH[SH0]);
      expect(bench.of({ iova: 0xffff_ff80_0000_1000n }).shareability).toBe(SH[SH1]);
    }
  });

  test('13.4.2: the incoming type goes, its hints are combined', () => {
    const cases: [IncomingAttributes, number, string][] = [
      [incoming(both('WT', 1)), 0xff, 'WB/nRAWAnTR'],
      [incoming(both('WB', 2)), 0xdd, 'WB/nRAnWAnTR'],
      [incoming(both('WB', 3, true)), 0xff, 'WB/RAWATR'],
      [incoming(both('WB', 3)), 0x77, 'WB/RAWATR'],
      [incoming(both('NC')), 0x77, 'WB/RAWATR'],
      [DEVICE_IN, 0xee, 'WB/RAnWAnTR'],
      [{}, 0xaa, 'WT/RAnWAnTR'],
    ];
    for (const [attributes, mair, level] of cases) {
      expect(told(bench.set({ stages: 's1', mair }).of({ attributes }))).toBe(normal(level, level, 'ISH'));
    }
    const mixed = bench.set({ stages: 's1' }).of({ attributes: incoming(both('WB', 0), both('WB', 2)) });
    expect(told(mixed)).toBe('Normal-iWB/nRAnWAnTR-oWB/RAnWAnTR-ISH');
    expect(told(bench.set({ stages: 's1', mair: NC }).of({ attributes: incoming(both('WB')) }))).toBe(
      'Normal-iNC-oNC',
    );
  });
});

/** D8.6.5: MemAttr[3:0] of a stage 2 leaf without FWB, and of STE and GBPA; [inner, outer] of Normal memory. */
const MEM_ATTR: readonly (string | readonly [string, string])[] = [
  ...DEVICES,
  'Device-nGnRnE',
  ['NC', 'NC'],
  ['WT', 'NC'],
  ['WB', 'NC'],
  'Device-nGnRnE',
  ['NC', 'WT'],
  ['WT', 'WT'],
  ['WB', 'WT'],
  'Device-nGnRnE',
  ['NC', 'WB'],
  ['WT', 'WB'],
  ['WB', 'WB'],
];
const allocating = (policy: string) => (policy === 'NC' ? 'NC' : `${policy}/RAWAnTR`);
const ofMemAttr = (type: string | readonly [string, string], sh: string) =>
  typeof type === 'string' ? type : normal(allocating(type[0]), allocating(type[1]), sh);

describe('G9: stage 2 (DDI 0487 D8.6.3-D8.6.7, IHI 0070 13.4.3)', () => {
  test('D8-96: stage 2 alone, over the default input Normal-iWB-oWB-NSH (13.1.3)', () => {
    for (const [memAttr, type] of MEM_ATTR.entries()) {
      for (const s2sh of [0, 2, 3]) {
        const got = bench.set({ stages: 's2', memAttr, s2sh }).of();
        expect(told(got), `MemAttr ${memAttr}`).toBe(ofMemAttr(type, SH[s2sh]!));
      }
    }
  });

  test('D8-97: the stronger type of both stages', () => {
    for (const [s1, first] of DEVICES.entries()) {
      for (const [s2, second] of DEVICES.entries()) {
        const got = told(bench.set({ stages: 'nested', mair: s1 << 2, memAttr: s2 }).of());
        expect(got).toBe(s1 < s2 ? first : second);
      }
      expect(told(bench.set({ stages: 'nested', mair: s1 << 2, memAttr: 0xf }).of())).toBe(first);
      expect(told(bench.set({ stages: 'nested', mair: WB, memAttr: s1 }).of())).toBe(first);
    }
  });

  test('D8-98: NC before WT before WB, at each level by itself', () => {
    const table: Record<string, string> = {
      'NC NC': 'NC',
      'NC WT': 'NC',
      'NC WB': 'NC',
      'WT NC': 'NC',
      'WB NC': 'NC',
      'WT WT': 'WT',
      'WT WB': 'WT',
      'WB WT': 'WT',
      'WB WB': 'WB',
    };
    const nibble: Record<string, number> = { NC: 4, WT: 0xb, WB: 0xf };
    for (const inner of ['NC', 'WT', 'WB']) {
      for (const outer of ['NC', 'WT', 'WB']) {
        for (const [memAttr, type] of MEM_ATTR.entries()) {
          if (typeof type === 'string') continue;
          const mair = (nibble[outer]! << 4) | nibble[inner]!;
          const levels = [table[`${inner} ${type[0]}`]!, table[`${outer} ${type[1]}`]!].map(allocating);
          const got = told(bench.set({ stages: 'nested', mair, memAttr, sh: 3 }).of());
          expect(got, `${mair.toString(16)} with ${memAttr}`).toBe(normal(levels[0]!, levels[1]!, 'ISH'));
        }
      }
    }
  });

  test('D8-103: OSH before ISH before NSH, with FWB as well', () => {
    const table = [
      ['NSH', 'OSH', 'ISH'],
      ['OSH', 'OSH', 'OSH'],
      ['ISH', 'OSH', 'ISH'],
    ];
    for (const [i, sh] of [0, 2, 3].entries()) {
      for (const [j, s2sh] of [0, 2, 3].entries()) {
        const plain = bench.set({ stages: 'nested', sh, s2sh });
        expect(plain.of().shareability).toBe(table[i]![j]);
        const forced = bench.set({ stages: 'nested', sh, s2sh, memAttr: 6, ste: { S2FWB: 1 } });
        expect(forced.of().shareability).toBe(table[i]![j]);
      }
    }
  });

  test('RHTSGQ: with DS, STE.S2SH0 in place of descriptor bits [9:8]', () => {
    for (const S2SH0 of [0, 2, 3]) {
      const ste = { S2DS: 1, S2SH0, S2PS: 6 };
      expect(bench.set({ stages: 's2', ste }).of().shareability).toBe(SH[S2SH0]);
    }
  });

  test('D8.6.3: hints are those of stage 1; allocating where it is not cacheable', () => {
    expect(told(bench.set({ stages: 'nested', mair: 0x99 }).of())).toBe(
      'Normal-iWT/nRAWAnTR-oWT/nRAWAnTR-ISH',
    );
    const ste = { S2FWB: 1 };
    expect(told(bench.set({ stages: 'nested', mair: 0x66, memAttr: 6, ste }).of())).toBe(
      'Normal-iWB/RAnWATR-oWB/RAnWATR-ISH',
    );
    expect(told(bench.set({ stages: 'nested', mair: 0x46, memAttr: 6, ste }).of())).toBe(
      'Normal-iWB/RAnWATR-oWB/RAWAnTR-ISH',
    );
  });

  test('D8-100, D8-101: S2FWB == 1', () => {
    const ste = { S2FWB: 1 };
    const inputs: [number, string][] = [
      [0x04, 'Device-nGnRE'],
      [NC, 'Normal-iNC-oNC'],
      [WT, 'Normal-iWT/RAWAnTR-oWT/RAWAnTR-ISH'],
      [WB, 'Normal-iWB/RAWAnTR-oWB/RAWAnTR-ISH'],
    ];
    const get = (mair: number, memAttr: number) =>
      told(bench.set({ stages: 'nested', mair, memAttr, ste, sh: 3 }).of());
    for (const [mair, unchanged] of inputs) {
      const device = mair < 0x10;
      for (const [memAttr, type] of DEVICES.entries()) {
        expect(get(mair, memAttr)).toBe(device && memAttr > 1 ? unchanged : type);
      }
      expect(get(mair, 4), 'reserved').toBe('Device-nGnRnE');
      expect(get(mair, 5)).toBe(device ? unchanged : 'Normal-iNC-oNC');
      // What was Device or NC is OSH before stage 2 (choice stage1-sh-normalized).
      const sh = device || mair === NC ? 'OSH' : 'ISH';
      expect(get(mair, 6)).toBe(`Normal-iWB/RAWAnTR-oWB/RAWAnTR-${sh}`);
      expect(get(mair, 7)).toBe(unchanged);
      // MemAttr[3] is RES0 (RZNGNK).
      expect(get(mair, 0xd)).toBe(get(mair, 5));
    }
  });

  test('without IDR3.FWB, STE.S2FWB is not there', () => {
    const old = new AttributeBench({ idr: { IDR3: FULL_IDR.IDR3 & ~0x100 } });
    expect(told(old.set({ stages: 's2', memAttr: 6, ste: { S2FWB: 1 } }).of())).toBe(
      'Normal-iWT/RAWAnTR-oNC-NSH',
    );
    expect(told(new AttributeBench().set({ stages: 's2', memAttr: 6, ste: { S2FWB: 1 } }).of())).toBe(
      'Normal-iWB/RAWAnTR-oWB/RAWAnTR-NSH',
    );
  });

  test('13.1.5.1: the examples', () => {
    // Stage 1 iWB/RAWAnTR-oNC-ISH.
    const example = { stages: 'nested', mair: 0x4f, sh: 3 } as const;
    const one = new AttributeBench();
    expect(told(one.set({ ...example, memAttr: 1 }).of())).toBe('Device-nGnRE');
    expect(told(one.set({ stages: 'nested', mair: 0x04, memAttr: 0 }).of())).toBe('Device-nGnRnE');
    expect(told(one.set({ ...example, memAttr: 0xa, s2sh: 2 }).of())).toBe('Normal-iWT/RAWAnTR-oNC-OSH');
  });

  test.each([
    ['without FWB', 0, [0, 1, 2, 3, 4, 8, 12]],
    ['with FWB', 1, [0, 1, 2, 3, 4, 8, 9, 10, 11, 12]],
  ])('5.2 S2PTW: a stage 1 table on a page of any Device type, %s', (_, S2FWB, devices) => {
    for (let memAttr = 0; memAttr < 16; memAttr++) {
      for (const S2PTW of [0, 1]) {
        const ste = { S2PTW, S2FWB, S1ContextPtr: (2 * GIB + CDS) / 64 };
        bench.set({ stages: 'nested', ste });
        // The CD is reached by another gigabyte, in Normal memory.
        bench.store64(S2_L1 + 16, 0x4c1n | (0x7n << 2n) | (S2FWB ? 0n : 0x8n << 2n));
        bench.store64(S2_L1, 0x4c1n | (BigInt(memAttr) << 2n));
        const { outcome } = bench.access({ StreamID: 1, iova: 0x1000 });
        const faults = S2PTW === 1 && devices.includes(memAttr);
        expect(outcome, `MemAttr ${memAttr}, S2PTW ${S2PTW}`).toBe(faults ? 'abort' : 'ok');
      }
    }
    bench.events();
  });
});

/** GBPA has the override fields of an STE at positions of its own (6.3.14). */
function gbpa(fields: Record<string, number>): number {
  const at: Record<string, number> = {
    MemAttr: 0,
    MTCFG: 4,
    ALLOCCFG: 8,
    SHCFG: 12,
    PRIVCFG: 16,
    INSTCFG: 18,
  };
  return Object.entries(fields).reduce((all, [name, value]) => all + value * 2 ** at[name]!, 0);
}

type Overridden = (fields: SteFields, access?: Partial<Access>) => OutputAttributes;

const byGbpa: Overridden = (fields, access = {}) => {
  const off = new AttributeBench({ cr0: 0 });
  off.write(OFFSETS.GBPA, 0x8000_0000 + gbpa({ SHCFG: 1, ...fields } as Record<string, number>));
  return off.of({ iova: 0x5000, ...access });
};
const bySte: Overridden = (fields, access) => bench.set({ stages: 'bypass', ste: fields }).of(access);
const byS1dss: Overridden = (fields, access) =>
  bench.set({ stages: 's1', ste: { ...fields, S1CDMax: 4, S1DSS: 1 } }).of(access);
const byStage2: Overridden = (fields, access) =>
  bench.set({ stages: 's2', memAttr: 0xf, s2sh: 0, ste: fields }).of(access);

describe.each([
  ['GBPA (13.2)', byGbpa],
  ['STE.Config 0b100 (13.3)', bySte],
  ['STE.S1DSS bypass (5.2)', byS1dss],
  ['STE before stage 2 (13.4)', byStage2],
])('G9: overrides of %s', (_, by) => {
  test('13.1.3: nothing supplied, nothing overridden', () => {
    const got = by({});
    expect(told(got)).toBe('Normal-iWB/RAWAnTR-oWB/RAWAnTR-NSH');
    expect(got).toMatchObject({ privileged: false, instruction: false, space: NON_SECURE });
  });

  test('use incoming: all that is supplied goes through', () => {
    const attributes = incoming(both('WT', 2, true), both('NC'));
    const got = by({}, { attributes, privileged: true, instruction: true });
    expect(told(got)).toBe('Normal-iWT/RAnWATR-oNC-ISH');
    expect(got).toMatchObject({ privileged: true, instruction: true });
    expect(told(by({}, { attributes: DEVICE_IN }))).toBe('Device-GRE');
  });

  test('MTCFG and MemAttr, reserved ones as Device-nGnRnE', () => {
    for (const [MemAttr, type] of MEM_ATTR.entries()) {
      expect(told(by({ MTCFG: 1, MemAttr })), `MemAttr ${MemAttr}`).toBe(ofMemAttr(type, 'NSH'));
      expect(told(by({ MTCFG: 0, MemAttr }))).toBe('Normal-iWB/RAWAnTR-oWB/RAWAnTR-NSH');
    }
    // 13.1.4: an input that was not cacheable comes without hints, and a Device or iNC-oNC result is OSH.
    expect(told(by({ MTCFG: 1, MemAttr: 0xf }, { attributes: DEVICE_IN }))).toBe(
      'Normal-iWB/RAWAnTR-oWB/RAWAnTR-OSH',
    );
    expect(told(by({ MTCFG: 1, MemAttr: 0xa }, { attributes: incoming(both('WB', 1)) }))).toBe(
      'Normal-iWT/nRAWAnTR-oWT/nRAWAnTR-ISH',
    );
  });

  test('ALLOCCFG 0b1RWT; 0b0xxx uses the incoming hints; nothing for what is not cacheable', () => {
    const attributes = incoming(both('WB', 2), both('NC'));
    for (let ALLOCCFG = 0; ALLOCCFG < 16; ALLOCCFG++) {
      const hints = ALLOCCFG < 8 ? 'RAnWAnTR' : `${HINTS[(ALLOCCFG >> 1) & 3]}${ALLOCCFG & 1 ? 'TR' : 'nTR'}`;
      expect(told(by({ ALLOCCFG }, { attributes }))).toBe(normal(`WB/${hints}`, 'NC', 'ISH'));
      expect(told(by({ ALLOCCFG, MTCFG: 1, MemAttr: 5 }, { attributes }))).toBe('Normal-iNC-oNC');
      expect(told(by({ ALLOCCFG }, { attributes: DEVICE_IN }))).toBe('Device-GRE');
    }
  });

  test('SHCFG; a Device or iNC-oNC type is OSH whatever it says', () => {
    const attributes = incoming(both('WB'));
    for (const [SHCFG, sh] of ['NSH', 'ISH', 'OSH', 'ISH'].entries()) {
      expect(by({ SHCFG }, { attributes }).shareability).toBe(sh);
      expect(by({ SHCFG }, { attributes: DEVICE_IN }).shareability).toBe('OSH');
      expect(by({ SHCFG, MTCFG: 1, MemAttr: 5 }, { attributes }).shareability).toBe('OSH');
    }
  });

  test('PRIVCFG and INSTCFG; 0b01 is 0b00; a write is Data', () => {
    for (const asked of [false, true]) {
      const access = { privileged: asked, instruction: asked };
      for (const [field, value] of [asked, asked, false, true].entries()) {
        expect(by({ PRIVCFG: field }, access).privileged).toBe(value);
        expect(by({ INSTCFG: field }, access).instruction).toBe(value);
        expect(by({ INSTCFG: field }, { ...access, write: true }).instruction).toBe(false);
      }
    }
  });
});

describe('G9: what IDR1 and AIDR decide', () => {
  test('6.3.2: without ATTR_TYPES_OVR, types, hints and Shareability are the incoming ones', () => {
    const plain = new AttributeBench({ idr: { IDR1: FULL_IDR.IDR1 } });
    const ste = { MTCFG: 1, MemAttr: 0, ALLOCCFG: 8, SHCFG: 2, PRIVCFG: 3, INSTCFG: 3 };
    const got = plain.set({ stages: 'bypass', ste }).of();
    expect(told(got)).toBe('Normal-iWB/RAWAnTR-oWB/RAWAnTR-NSH');
    expect(got).toMatchObject({ privileged: true, instruction: true });
  });

  test('6.3.2: without ATTR_PERMS_OVR, privilege and instruction are', () => {
    const plain = new AttributeBench({ idr: { IDR1: IDR.IDR1 & ~(1 << 26) } });
    const got = plain.set({ stages: 'bypass', ste: { PRIVCFG: 3, INSTCFG: 3, SHCFG: 2 } }).of();
    expect(got).toMatchObject({ privileged: false, instruction: false, shareability: 'OSH' });
  });

  test('13.1.2: from SMMUv3.4 on always Privileged and Data', () => {
    const late = new AttributeBench({ idr: { AIDR: 4 } });
    const access = { privileged: false, instruction: true };
    const ste = { PRIVCFG: 2, INSTCFG: 3 };
    expect(late.set({ stages: 'bypass', ste }).of(access)).toMatchObject({
      privileged: true,
      instruction: false,
    });
  });

  test('13.4.1: permission checks with one privilege level leave PRIV as it is', () => {
    const el2 = new AttributeBench().set({ stages: 's1', ste: { STRW: 2 } });
    expect(el2.of({ privileged: false }).privileged).toBe(false);
  });
});

describe('G9: caches', () => {
  test('a hit of either level, and one of a combined entry, answers as the walk did', () => {
    for (const stages of ['s1', 's2', 'nested'] as const) {
      const cached = new AttributeBench({
        tlb: Number.POSITIVE_INFINITY,
        configCache: Number.POSITIVE_INFINITY,
      });
      cached.set({ stages, mair: 0x4d, sh: 0, memAttr: 0x6, s2sh: 2 });
      const walked = told(cached.of());
      expect(walked).toBe(
        stages === 's1'
          ? 'Normal-iWB/nRAWAnTR-oNC-NSH'
          : stages === 's2'
            ? 'Normal-iWT/RAWAnTR-oNC-OSH'
            : 'Normal-iWT/nRAWAnTR-oNC-OSH',
      );
      // Attributes of the leaves and of MAIR may be cached with the translation (16.2.2): what is in memory has no say now.
      cached.set({ stages, mair: 0, sh: 3, memAttr: 0, s2sh: 3 });
      for (let i = 0; i < 3; i++) expect(told(cached.of())).toBe(walked);
      // Another page of the same block: not in the first level.
      const iova = (stages === 's2' ? GIB : 0) + 0x9000;
      for (let i = 0; i < 2; i++) expect(told(cached.of({ iova }))).toBe(walked);
    }
  });

  test('the PA space is that of the translation', () => {
    const secure = new AttributeBench();
    secure.ste(1, { Config: 4, NSCFG: 2, SHCFG: 1 }, SECURE);
    expect(secure.of({ security: SECURE, iova: 0x1000 }).space).toBe(SECURE);
    secure.ste(1, { Config: 4, NSCFG: 3, SHCFG: 1 }, SECURE);
    expect(secure.of({ security: SECURE, iova: 0x1000 }).space).toBe(NON_SECURE);
  });
});
