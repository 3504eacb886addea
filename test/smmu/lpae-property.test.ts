import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CACHINGS, REPLACEMENTS } from '../../src/smmu/config.js';
import { letterOf, stage2Letters } from '../reference/permissions.js';
import { walkStage2 } from '../reference/walker.js';
import {
  type LpaeFault,
  lpaeRegions,
  lpaeStage1Letters,
  lpaeStage2Letters,
  walkLpaeStage1,
  walkLpaeStage2,
} from '../reference/walker-lpae.js';
import { OPCODES } from '../spec-numbers.js';
import { Random } from './random.js';
import { leafLevels, shiftAt, TableMemory, Tables } from './tables.js';
import {
  type Access,
  CDS,
  type CdFields,
  eventOf,
  FULL_IDR,
  RAM_BYTES,
  type SteFields,
  TbuBench,
} from './tbu-bench.js';

/** VMSAv8-32 LPAE at stage 1, at stage 2, at both, and at stage 1 over a VMSAv8-64 stage 2, against a naive walker. */
const RUNS = Number(process.env.SMMULATOR_RUNS ?? 300);
const STEPS = 40;
/** Where the tables of a nested stream lie in IPA space, above their physical addresses. */
const TABLES_IPA = 1n << 30n;
const OAS_BITS = [32, 36, 40, 42, 44, 48] as const;
const CACHES = [0, 1, 4, Number.POSITIVE_INFINITY] as const;
const EVENT_OF = {
  'external-abort': 0x0b,
  translation: 0x10,
  'address-size': 0x11,
  'access-flag': 0x12,
} as const;
const F_PERMISSION = 0x13;
const ASID = 0x4321;
const ADDRESS = 0xff_ffff_f000n;

type Expected = { outcome: string; pa?: bigint; space?: number; record?: bigint };
type Region = readonly [bigint, bigint] | undefined;

class Case {
  readonly bench: TbuBench;
  readonly #r: Random;
  readonly #oas: number;
  readonly #hyp: boolean;
  readonly #ste: Record<string, number | bigint>;
  readonly #s2: Tables | undefined;
  readonly #halves: Tables[] = [];
  #cd: Record<string, number | bigint> = {};
  #regions: readonly Region[] = [];
  readonly #inputs: bigint[] = [];
  readonly #outputs: bigint[] = [];
  readonly #frames: { ipa: bigint; at: bigint }[] = [];
  /** Where the oracle last read outside of memory: a leaf that was written as a block can be read as a table. */
  #unreadable = 0n;

  constructor(seed: number) {
    const r = new Random(seed);
    this.#r = r;
    const oasEncoding = r.below(6);
    this.#oas = OAS_BITS[oasEncoding]!;
    const mode = r.pick(['s1', 's1', 's2', 'nested', 'over64'] as const);
    const stage2 = mode !== 's1';
    this.#hyp = mode === 's1' && r.chance(30);
    const aarch32Only = mode !== 'over64' && r.chance(30);
    this.bench = new TbuBench({
      // TTF 0b01 or 0b11.
      idr: {
        IDR0: (aarch32Only ? FULL_IDR.IDR0 & ~0x8 : FULL_IDR.IDR0) | 0x4,
        IDR5: oasEncoding | (aarch32Only ? 0x10 : 0x70),
      },
      tlb: r.pick(CACHES),
      configCache: r.pick(CACHES),
      caches: {
        caching: r.pick(CACHINGS),
        replacement: r.pick(REPLACEMENTS),
        cacheSeed: seed,
        speculativeFills: r.chance(40),
      },
    });
    const memory = new TableMemory(this.bench, 0x20_0000n, BigInt(RAM_BYTES));
    const s2 = stage2 ? this.#makeStage2(memory, mode) : undefined;
    this.#s2 = s2?.tables;
    this.#ste = {
      Config: { s1: 5, s2: 6, nested: 7, over64: 7 }[mode],
      S1ContextPtr: (BigInt(CDS) + (stage2 ? TABLES_IPA : 0n)) >> 6n,
      STRW: this.#hyp ? 2 : 0,
      S2VMID: r.pick([0, 9]),
      ...s2?.fields,
    };
    this.bench.ste(0, this.#ste as SteFields);
    if (mode !== 's2') this.#makeStage1(memory);
    this.#map();
  }

  get #stage1(): boolean {
    return this.#halves.length > 0;
  }

  #makeStage2(memory: TableMemory, mode: 's2' | 'nested' | 'over64') {
    const r = this.#r;
    const inputBits = mode === 's2' ? 25 + r.below(16) : 31 + r.below(10);
    const startLevel = inputBits > 34 ? 1 : inputBits < 31 ? 2 : r.pick([1, 2]);
    const tables = new Tables(memory, { granule: 4, inputBits, startLevel, ds: false, lpa: false });
    const aa64 = mode === 'over64';
    const fields = {
      S2AA64: aa64 ? 1 : 0,
      // Bits [5:4] of S2T0SZ, S2TG and S2PS mean nothing to LPAE.
      S2T0SZ: aa64 ? 64 - inputBits : ((32 - inputBits) & 0xf) | (r.below(4) << 4),
      S2SL0: 2 - startLevel,
      S2TG: aa64 ? 0 : r.below(4),
      S2PS: aa64 ? 2 + r.below(3) : r.below(8),
      // Bits below the table's alignment mean nothing.
      S2TTB: (tables.base >> 4n) | (startLevel === 1 && inputBits > 31 ? BigInt(r.below(2)) : 0n),
      S2AFFD: r.chance(20) ? 1 : 0,
      S2PTW: r.chance(50) ? 1 : 0,
      S2R: r.chance(80) ? 1 : 0,
    };
    return { tables, fields };
  }

  #makeStage1(memory: TableMemory): void {
    const r = this.#r;
    const fields: Record<string, number | bigint> = {
      AA64: 0,
      ASID,
      IPS: r.below(8),
      TBI0: r.below(2),
      TBI1: r.below(2),
      HA: r.below(2),
      HD: r.below(2),
      TG0: r.below(4),
      TG1: r.below(4),
      A: r.chance(70) ? 1 : 0,
      R: r.chance(85) ? 1 : 0,
    };
    for (const half of [0, 1] as const) {
      const tsz = r.chance(40) ? 0 : r.below(8);
      const inputBits = 32 - tsz;
      const startLevel = tsz < 2 ? 1 : 2;
      const shape = { granule: 4, inputBits, startLevel, ds: false, lpa: false } as const;
      const offset = this.#s2 === undefined ? 0n : TABLES_IPA;
      const tables = new Tables(memory, shape, offset, (ipa, size) => this.#mapFrame(ipa, size));
      this.#halves.push(tables);
      fields[`T${half}SZ`] = tsz | (r.below(8) << 3);
      fields[`TTB${half}`] = (tables.base >> 4n) | (tsz === 0 ? BigInt(r.below(2)) : 0n);
      fields[`EPD${half}`] = r.chance(5) ? 1 : 0;
    }
    this.#cd = fields;
    this.#regions = lpaeRegions(Number(fields.T0SZ) & 7, Number(fields.T1SZ) & 7, this.#hyp);
    this.#writeCd();
  }

  /** Rolls the CD's controls anew. */
  #writeCd(): void {
    for (const name of ['WXN', 'UWXN', 'PAN', 'EPAN', 'AFFD', 'HAD0', 'HAD1'])
      this.#cd[name] = this.#r.chance(30) ? 1 : 0;
    this.bench.cd(CDS, this.#cd as CdFields);
    this.#mapFrame(TABLES_IPA + BigInt(CDS), 64n);
  }

  #mapFrame(ipa: bigint, sizeBytes: bigint): void {
    if (this.#s2 === undefined) return;
    for (let page = ipa & -4096n; page < ipa + sizeBytes; page += 4096n) {
      if (this.#frames.some((frame) => frame.ipa === page)) continue;
      this.#frames.push({ ipa: page, ...this.#s2.map(page, 3, () => this.#frameLeaf(page)) });
    }
  }

  #frameLeaf(page: bigint): bigint {
    return (page - TABLES_IPA) | (1n << 10n) | (0xfn << 2n) | (3n << 6n) | 3n;
  }

  /** A leaf with random attributes, and now and then what is none. `last`: whether its output is a PA. */
  #leaf(level: number, last: boolean): bigint {
    const r = this.#r;
    if (r.chance(6)) return r.bits(64) & ~1n;
    if (level < 3 && r.chance(4)) {
      // A table where none can be: beyond 40 bits, or a PA beyond the OAS.
      const above = Math.min(40, last ? this.#oas : 40);
      return (r.bits(48) & ~0xfffn) | (1n << BigInt(above + r.below(48 - above))) | 3n;
    }
    const shift = shiftAt(4, level);
    const size = last || this.#s2 === undefined ? 40 : r.pick([31, 32, this.#s2.shape.inputBits]);
    const output = (r.bits(r.chance(4) ? 48 : size) >> shift) << shift;
    const attributes =
      (BigInt(r.below(16)) << 2n) |
      (BigInt(r.below(4)) << 6n) |
      (r.chance(92) ? 1n << 10n : 0n) |
      (r.chance(60) ? 1n << 11n : 0n) |
      (BigInt(r.chance(40) ? 0 : r.below(4)) << 53n);
    return output | attributes | (level === 3 ? 3n : 1n);
  }

  #map(): void {
    const r = this.#r;
    if (!this.#stage1) {
      const { inputBits } = this.#s2!.shape;
      for (let i = 0; i < 6; i++) this.#mapStage2(this.#note(r.bits(inputBits)));
      this.#inputs.push(r.bits(40), r.bits(inputBits + 1), r.bits(41), r.bits(64));
      return;
    }
    for (const region of this.#regions) {
      if (region === undefined) continue;
      const [first, last] = region;
      for (const near of [first, last, r.bits(32), r.bits(32)]) {
        const va = first + (near % (last - first + 1n));
        this.#mapStage1(this.#note(near === last ? last : va));
      }
      this.#inputs.push(first === 0n ? 0n : first - 1n, last + 1n);
    }
    this.#inputs.push(r.bits(32), r.bits(33), (1n << 55n) | r.bits(32), 0xffff_ffff_0000_0000n | r.bits(32));
  }

  #note(input: bigint): bigint {
    this.#inputs.push(input);
    return input;
  }

  #halfOf(va: bigint): 0 | 1 {
    const upper = this.#regions[1];
    return upper !== undefined && va >= upper[0] && va <= upper[1] ? 1 : 0;
  }

  /** Levels of leaves that lie in one region: a block across the boundary is an error of the tables (G5.5.4). */
  #levelsFor(va: bigint, half: 0 | 1): number[] {
    const gigabyte = va & ~0x3fff_ffffn;
    const inside = [gigabyte, gigabyte | 0x3fff_ffffn].every((end) => this.#halfOf(end) === half);
    return leafLevels(this.#halves[half]!.shape).filter((level) => level > 1 || inside);
  }

  #mapStage1(va: bigint): void {
    const r = this.#r;
    const half = this.#halfOf(va);
    const tables = this.#halves[half]!;
    const last = this.#s2 === undefined;
    const input = va & ((1n << BigInt(tables.shape.inputBits)) - 1n);
    const level = r.pick(this.#levelsFor(va, half));
    let written = 0n;
    tables.map(
      input,
      level,
      (to) => {
        written = this.#leaf(to, last);
        return written;
      },
      () => (r.chance(20) ? r.bits(4) << 59n : 0n),
    );
    const page = written & ADDRESS;
    if (!last) this.#mapStage2(page | (va & ((1n << shiftAt(4, level)) - 1n)));
  }

  #mapStage2(ipa: bigint): void {
    const s2 = this.#s2!;
    // What maps the tables stays whole.
    if (ipa >> BigInt(s2.shape.inputBits) !== 0n || ipa >> 30n === TABLES_IPA >> 30n) return;
    this.#outputs.push(ipa);
    s2.map(ipa, this.#r.pick(leafLevels(s2.shape)), (level) => this.#leaf(level, true));
  }

  // The oracle.

  #read(address: bigint): bigint | undefined {
    const value = this.bench.load64(address);
    if (value === undefined) this.#unreadable = address;
    return value;
  }

  #walk2(ipa: bigint): { output: bigint; letters: string; device: boolean } | { fault: LpaeFault } {
    const ste = this.#ste as Record<string, number>;
    const S2TTB = BigInt(ste.S2TTB!) << 4n;
    const AFFD = ste.S2AFFD === 1;
    if (ste.S2AA64 === 0) {
      const { S2SL0 } = ste as { S2SL0: number };
      const params = { ipa, S2T0SZ: ste.S2T0SZ! & 0xf, S2SL0, S2TTB, AFFD, oas: this.#oas };
      const leaf = walkLpaeStage2(params, (address) => this.#read(address));
      if ('fault' in leaf) return leaf;
      return { output: leaf.output, letters: lpaeStage2Letters(leaf, true), device: leaf.MemAttr < 4 };
    }
    const outputBits = Math.min(OAS_BITS[ste.S2PS!]!, this.#oas);
    const { S2T0SZ, S2SL0 } = ste as { S2T0SZ: number; S2SL0: number };
    const leaf = walkStage2({ ipa, S2TTB, S2T0SZ, S2SL0, S2TG: 4, outputBits, AFFD }, (address) =>
      this.#read(address),
    );
    if (leaf.kind === 'fault') return { fault: leaf.type };
    return {
      output: leaf.output,
      letters: stage2Letters(leaf.S2AP, leaf.XN, true),
      device: leaf.MemAttr < 4,
    };
  }

  #expected(access: Access): Expected {
    const ste = this.#ste as Record<string, number>;
    const cd = this.#cd as Record<string, number>;
    const iova = BigInt(access.iova);
    const instruction = access.instruction === true && !access.write;
    const record = (EventNumber: number, more: object = {}) =>
      eventOf({
        EventNumber,
        InputAddr: iova,
        RnW: access.write ? 0 : 1,
        InD: instruction ? 1 : 0,
        PnU: access.privileged ? 1 : 0,
        CLASS: 2,
        ...more,
      });
    // No A, R or S bit governs it, and it has the descriptor's address in place of the IPA (7.3 F_WALK_EABT).
    const unreadable = (fields: object): Expected => ({
      outcome: 'abort',
      record: record(EVENT_OF['external-abort'], { FetchAddr: this.#unreadable >> 3n, ...fields }),
    });
    const stage1Fault = (number: number): Expected => ({
      outcome: cd.A ? 'abort' : 'raz-wi',
      ...(cd.R ? { record: record(number) } : {}),
    });
    const stage2 = (ipa: bigint, CLASS: number, need: string): bigint | Expected => {
      const TTRnW = CLASS < 2 ? 1 : 0;
      // Bits [55:OAS] of a record's IPA are RES0 (7.3.13).
      const recorded = BigInt.asUintN(this.#oas, ipa);
      const fault = (number: number, more: object = {}): Expected => ({
        outcome: 'abort',
        ...(ste.S2R ? { record: record(number, { S2: 1, CLASS, IPA: recorded >> 12n, ...more }) } : {}),
      });
      const done = this.#walk2(ipa);
      if ('fault' in done)
        return done.fault === 'external-abort' ? unreadable({ S2: 1, CLASS }) : fault(EVENT_OF[done.fault]);
      if (!done.letters.includes(need) || (CLASS < 2 && ste.S2PTW && done.device))
        return fault(F_PERMISSION, { TTRnW });
      return done.output;
    };
    const final = (pa: bigint | Expected): Expected =>
      typeof pa === 'bigint' ? { outcome: 'ok', pa, space: 0 } : pa;
    const letter = letterOf({ ...access, instruction });
    if (!this.#stage1) {
      const ias = Math.max(40, this.bench.read(0) & 0x8 ? this.#oas : 0);
      if (iova >> BigInt(ias) !== 0n) return { outcome: 'abort', record: record(0x11) };
      return final(stage2(iova, 2, letter));
    }
    const nested = this.#s2 !== undefined;
    if (nested) {
      const at = stage2(TABLES_IPA + BigInt(CDS), 0, 'r');
      if (typeof at !== 'bigint') return at;
    }
    let inner: Expected | undefined;
    const on = (name: string) => cd[name] === 1;
    const leaf = walkLpaeStage1(
      {
        va: iova,
        T0SZ: cd.T0SZ! & 7,
        T1SZ: cd.T1SZ! & 7,
        TTB0: BigInt(cd.TTB0!) << 4n,
        TTB1: BigInt(cd.TTB1!) << 4n,
        EPD0: on('EPD0'),
        EPD1: on('EPD1'),
        HAD0: on('HAD0'),
        HAD1: on('HAD1'),
        AFFD: on('AFFD'),
        hyp: this.#hyp,
        oas: nested ? undefined : this.#oas,
      },
      (address) => {
        if (!nested) return this.#read(address);
        const at = stage2(address, 1, 'r');
        if (typeof at === 'bigint') return this.#read(at);
        inner = at;
        return undefined;
      },
    );
    if (inner !== undefined) return inner;
    if ('fault' in leaf)
      return leaf.fault === 'external-abort' ? unreadable({ CLASS: 1 }) : stage1Fault(EVENT_OF[leaf.fault]);
    const checks = { hyp: this.#hyp, WXN: on('WXN'), UWXN: on('UWXN'), PAN: on('PAN') };
    if (!lpaeStage1Letters(leaf, checks).includes(letter)) return stage1Fault(F_PERMISSION);
    return nested ? final(stage2(leaf.output, 2, letter)) : final(leaf.output);
  }

  // The steps.

  step(): void {
    const r = this.#r;
    if (r.chance(20)) this.#change();
    const near = r.chance(30) ? BigInt(r.below(0x1_0000)) : BigInt(r.below(16));
    const access: Access = {
      iova: BigInt.asUintN(64, r.pick(this.#inputs) ^ near),
      write: r.chance(40),
      privileged: r.chance(50),
      instruction: r.chance(30),
    };
    const { record, ...expected } = this.#expected(access);
    expect(this.bench.access(access)).toEqual(expected);
    expect(this.bench.events()).toEqual(record === undefined ? [] : [record]);
  }

  #change(): void {
    const r = this.#r;
    const { bench } = this;
    const vmid = Number(this.#ste.S2VMID);
    const all = () => bench.command(this.#hyp ? [OPCODES.CMD_TLBI_EL2_ALL] : [OPCODES.CMD_TLBI_NH_ALL, vmid]);
    const kind = r.below(4);
    if (kind === 0 && this.#stage1) {
      this.#writeCd();
      bench.command([OPCODES.CMD_CFGI_CD, 0, 1]);
      all();
    } else if (kind === 1 && this.#frames.length > 0) {
      const frame = r.pick(this.#frames);
      bench.store64(frame.at, this.#frameLeaf(frame.ipa) ^ r.pick([0n, 0n, 1n, 1n << 10n, 1n << 6n]));
      bench.command([OPCODES.CMD_CFGI_STE, 0, 1]);
      bench.command([OPCODES.CMD_TLBI_S12_VMALL, vmid]);
    } else if (kind === 2 && this.#outputs.length > 0) {
      const ipa = r.pick(this.#outputs);
      this.#s2!.map(ipa, 3, (level) => this.#leaf(level, true));
      bench.command([OPCODES.CMD_TLBI_S2_IPA, vmid, Number(ipa & 0xffff_f000n), Number(ipa >> 32n)]);
      all();
    } else if (this.#stage1) {
      const va = r.pick(this.#inputs);
      const region = this.#regions[this.#halfOf(va)]!;
      if (va < region[0] || va > region[1]) return;
      const tables = this.#halves[this.#halfOf(va)]!;
      const input = va & ((1n << BigInt(tables.shape.inputBits)) - 1n);
      tables.map(input, 3, (level) => this.#leaf(level, this.#s2 === undefined));
      const page = Number(va & 0xffff_f000n);
      if (this.#hyp) bench.command([OPCODES.CMD_TLBI_EL2_VA, 0, page]);
      else if (r.chance(50)) bench.command([OPCODES.CMD_TLBI_NH_VAA, vmid, page]);
      else bench.command([OPCODES.CMD_TLBI_NH_VA, (ASID << 16) | vmid, page]);
    }
    bench.sync();
  }
}

test('3.4, 3.4.1, 5.2, 5.4, DDI 0487 G5.5, G5.6: LPAE agrees with the oracle for every size of the caches', () => {
  let done = 0;
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const one = new Case(seed);
      for (let step = 0; step < STEPS; step++) one.step();
      done++;
    }),
    { numRuns: RUNS, endOnFailure: true, examples: [[142967196]] },
  );
  expect(done).toBe(RUNS);
});
