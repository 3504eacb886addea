import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CACHINGS, REPLACEMENTS } from '../../src/smmu/config.js';
import { Transaction } from '../../src/smmu/transaction.js';
import { type GranuleKiB, type Stage1Params, walkStage1 } from '../reference/walker.js';
import { OPCODES } from '../spec-numbers.js';
import { Random } from './random.js';
import { randomStage1Leaf, randomStage2Leaf } from './random-leaf.js';
import { addressField, leafLevels, shiftAt, TableMemory, type TableShape, Tables } from './tables.js';
import {
  type Access,
  type Answer,
  CDS,
  type CdFields,
  FULL_IDR,
  RAM_BYTES,
  type SteFields,
  TbuBench,
} from './tbu-bench.js';
import { Oracle } from './tbu-oracle.js';

/**
 * One SMMU against an oracle that caches nothing: random configuration, tables and accesses, tables and CDs that change
 * under way and are invalidated as software must. Every outcome, address and event record has to agree, and every
 * descriptor that hardware changes, for every size of the caches, and when a stalled access is resumed.
 */
const RUNS = Number(process.env.SMMULATOR_RUNS ?? 1000);
const STEPS = 40;

/** Where the tables of a nested stream lie in IPA space, above their physical addresses. */
const TABLES_IPA = 1n << 30n;
const OAS = { 4: 44, 5: 48, 6: 52 } as const;
const TG0 = { 4: 0, 64: 1, 16: 2 } as const;
const TG1 = { 16: 1, 4: 2, 64: 3 } as const;
const CHANGING = ['WXN', 'PAN', 'EPAN', 'AFFD', 'HAD0', 'HAD1', 'E0PD0', 'E0PD1', 'TBI0', 'TBI1'] as const;
const CACHES = [0, 1, 4, 4096, Number.POSITIVE_INFINITY] as const;
const CONFIG_CACHES = [0, 1, Number.POSITIVE_INFINITY] as const;
/** Moving a larger table costs more than it shows. */
const MOVED_GRANULES: readonly number[] = [4, 16];

/** What is done to a frame's leaf: nothing, Valid, AF, S2AP[0], MemAttr, S2AP[1], and the same with DBM. */
const FRAME_CHANGES = [0n, 0n, 1n, 1n << 10n, 1n << 6n, 0xfn << 2n, 1n << 7n, (1n << 7n) | (1n << 51n)];
/** IDR0.STALL_MODEL; 0 is both models. */
const STALL_MODEL = 0x300_0000;
/** IDR0.HTTU: everything. */
const HTTU = 0xc0;
const RETRY = 1 << 12;
/** All of a record but its STAG. */
const UNTAGGED = ~(0xffffn << 64n);

class Case {
  readonly bench: TbuBench;
  readonly #r: Random;
  readonly #oas: number;
  readonly #stage1: boolean;
  readonly #stage2: boolean;
  readonly #single: boolean;
  readonly #el2: boolean;
  readonly #ste: SteFields;
  #cd: CdFields = {};
  readonly #halves: (Tables | undefined)[] = [undefined, undefined];
  readonly #s2: Tables | undefined;
  readonly #vas: bigint[] = [];
  #last: Access = { StreamID: 0, iova: 0n };
  readonly #stalled: { readonly access: Access; readonly txn: Transaction }[] = [];
  readonly #ipas: bigint[] = [];
  /** Physical addresses of stage 2 leaves that map tables and CDs: rewritten now and then. */
  readonly #frames: { ipa: bigint; at: bigint; level: number }[] = [];
  readonly #dsIdr: boolean;
  readonly #oracle: Oracle;
  /** Descriptors that the SMMU has changed, with their new values. */
  #changed = new Map<bigint, bigint>();

  constructor(seed: number) {
    const r = new Random(seed);
    this.#r = r;
    const oasEncoding = r.pick([4, 5, 6] as const);
    this.#oas = OAS[oasEncoding];
    this.#dsIdr = oasEncoding === 6 && r.chance(70);
    const mode = r.pick(['s1', 's1', 's2', 'nested', 'nested'] as const);
    this.#stage1 = mode !== 's2';
    this.#stage2 = mode !== 's1';
    this.#el2 = mode === 's1' && r.chance(40);
    const e2h = this.#el2 && r.chance(50);
    this.#single = this.#el2 && !e2h;
    this.bench = new TbuBench({
      idr: {
        IDR0: (FULL_IDR.IDR0 & ~STALL_MODEL) | HTTU,
        IDR5: oasEncoding | 0x70 | (this.#dsIdr ? 0x80 : 0) | (r.chance(60) ? 1 << 10 : 0),
      },
      tlb: r.pick(CACHES),
      configCache: r.pick(CONFIG_CACHES),
      caches: {
        caching: r.pick(CACHINGS),
        replacement: r.pick(REPLACEMENTS),
        cacheSeed: seed,
        speculativeFills: r.chance(40),
      },
      cr2: e2h ? 3 : 2,
    });
    const { bench } = this;
    this.#oracle = new Oracle({
      ...{ oas: this.#oas, stage1: this.#stage1, stage2: this.#stage2, single: this.#single },
      load: (pa) => bench.load64(pa),
    });
    const swap = bench.spaces[0].compareAndSwap.bind(bench.spaces[0]);
    bench.spaces[0].compareAndSwap = (pa, ...words) => {
      const swapped = swap(pa, ...words);
      if (swapped === 1) this.#changed.set(BigInt(pa), bench.load64(pa)!);
      return swapped;
    };
    const memory = new TableMemory(this.bench, 0x20_0000n, BigInt(RAM_BYTES));
    const s2 = this.#stage2 ? this.#makeStage2(memory) : undefined;
    this.#s2 = s2?.tables;
    this.#ste = {
      Config: { s1: 5, s2: 6, nested: 7 }[mode],
      S1ContextPtr: (BigInt(CDS) + (this.#stage2 ? TABLES_IPA : 0n)) >> 6n,
      STRW: this.#el2 ? 2 : 0,
      S2VMID: r.pick([0, 7, 0xffff]),
      PRIVCFG: r.pick([0, 0, 0, 1, 2, 3]),
      INSTCFG: r.pick([0, 0, 0, 1, 2, 3]),
      ...s2?.fields,
    };
    if (this.#stage1) this.#makeStage1(memory);
    for (const StreamID of [0, 1]) {
      const pointer = BigInt(this.#ste.S1ContextPtr!) + BigInt(StreamID);
      this.bench.ste(StreamID, { ...this.#ste, S1ContextPtr: pointer });
    }
    this.#writeCds();
    this.#map();
  }

  #makeStage2(memory: TableMemory): { tables: Tables; fields: SteFields } {
    const r = this.#r;
    const granule = r.pick([4, 16, 64] as const);
    const ds = this.#dsIdr && granule !== 64 && r.chance(60);
    const most = ds || granule === 64 ? this.#oas : Math.min(this.#oas, 48);
    const inputBits = r.pick([32, 33, 34, 36, 38, 40, 42, 43, 44, 48, 50, 52].filter((n) => n <= most));
    const pageBits = { 4: 12, 16: 14, 64: 16 }[granule];
    const levels = [-1, 0, 1, 2, 3].filter((level) => {
      const index = inputBits - Number(shiftAt(granule, level));
      if (index < 1 || index > pageBits - 3 + 4) return false;
      return level >= (granule === 4 ? (ds ? -1 : 0) : granule === 16 ? (ds ? 0 : 1) : 1);
    });
    const startLevel = r.pick(levels);
    const lpa = granule === 64 && this.#oas === 52;
    const tables = new Tables(memory, { granule, inputBits, startLevel, ds, lpa });
    const S2SL0 = granule === 4 ? [0, 2, 1, 0, 3][startLevel + 1]! : 3 - startLevel;
    const fields: SteFields = {
      S2AA64: 1,
      S2T0SZ: 64 - inputBits,
      S2SL0,
      S2SL0_2: granule === 4 && startLevel === -1 ? 1 : 0,
      S2TG: TG0[granule],
      S2DS: ds ? 1 : 0,
      S2PS: r.pick([3, 4, 5, 6]),
      S2TTB: tables.base >> 4n,
      S2AFFD: r.chance(20) ? 1 : 0,
      S2PTW: r.chance(50) ? 1 : 0,
      S2FWB: r.chance(30) ? 1 : 0,
      S2R: r.chance(80) ? 1 : 0,
      S2S: r.chance(25) ? 1 : 0,
      ...this.#rollUpdates('S2'),
    };
    return { tables, fields };
  }

  #makeStage1(memory: TableMemory): void {
    const r = this.#r;
    const DS = this.#dsIdr && r.chance(60);
    const fields: Record<string, number | bigint> = {
      AA64: 1,
      IPS: this.#stage2 ? r.pick([4, 5, 6]) : r.pick([3, 4, 5, 6]),
      DS: DS ? 1 : 0,
      A: r.chance(70) ? 1 : 0,
      R: r.chance(85) ? 1 : 0,
      S: r.chance(25) ? 1 : 0,
      ...this.#rollUpdates(''),
    };
    for (const half of [0, 1] as const) {
      const granule = r.pick([4, 16, 64] as const);
      const ds = DS && granule !== 64;
      const wide = (ds || granule === 64) && (this.bench.read(0x14) & 0xc00) !== 0;
      const inputBits = r.pick([25, 28, 30, 31, 34, 36, 39, 40, 42, 43, 47, 48, ...(wide ? [49, 52] : [])]);
      const startLevel = [3, 2, 1, 0, -1].find((level) => {
        const index = inputBits - Number(shiftAt(granule, level));
        return index <= { 4: 9, 16: 11, 64: 13 }[granule];
      })!;
      const lpa = granule === 64 && this.#oas === 52;
      const shape = { granule, inputBits, startLevel, ds, lpa };
      const offset = this.#stage2 ? TABLES_IPA : 0n;
      const tables = new Tables(memory, shape, offset, (ipa, size) => this.#mapFrame(ipa, size));
      this.#halves[half] = tables;
      Object.assign(fields, {
        [`T${half}SZ`]: 64 - inputBits,
        [`TG${half}`]: half === 0 ? TG0[granule] : TG1[granule],
        [`TTB${half}`]: tables.base >> 4n,
        [`EPD${half}`]: r.chance(5) ? 1 : 0,
      });
    }
    this.#cd = fields;
    this.#rollControls();
  }

  /** HA, HD and HAFT of a stage; HAFT alone would be ILLEGAL. */
  #rollUpdates(prefix: string): Record<string, number> {
    const r = this.#r;
    const HA = r.chance(60) ? 1 : 0;
    return { [`${prefix}HA`]: HA, [`${prefix}HD`]: r.below(2), [`${prefix}HAFT`]: HA * r.below(2) };
  }

  /** The CD fields that change under way. */
  #rollControls(): void {
    const r = this.#r;
    for (const name of CHANGING) {
      this.#cd = { ...this.#cd, [name]: r.chance(name.startsWith('E0') ? 10 : 30) ? 1 : 0 };
    }
  }

  #writeCds(): void {
    for (const StreamID of [0, 1])
      this.bench.cd(CDS + 64 * StreamID, { ...this.#cd, ASID: 0x1234 + StreamID });
    this.#mapFrame(TABLES_IPA + BigInt(CDS), 128n);
  }

  /** Maps stage 1 tables or CDs by stage 2. */
  #mapFrame(ipa: bigint, sizeBytes: bigint): void {
    const s2 = this.#s2;
    if (s2 === undefined) return;
    const size = 1n << shiftAt(s2.shape.granule, 3);
    for (let page = ipa & -size; page < ipa + sizeBytes; page += size) {
      if (this.#frames.some((frame) => frame.ipa === page)) continue;
      this.#frames.push({ ipa: page, ...s2.map(page, 3, () => this.#frameLeaf(page)) });
    }
  }

  #frameLeaf(page: bigint): bigint {
    return addressField(this.#s2!.shape, page - TABLES_IPA) | (1n << 10n) | (0xfn << 2n) | (3n << 6n) | 3n;
  }

  #stage1Leaf(shape: TableShape, level: number): bigint {
    const sizes = this.#s2 !== undefined ? [32, 34, this.#s2.shape.inputBits] : [36, 40, this.#oas];
    return randomStage1Leaf(this.#r, shape, level, sizes);
  }

  #stage2Leaf(shape: TableShape, level: number): bigint {
    return randomStage2Leaf(this.#r, shape, level);
  }

  #map(): void {
    const r = this.#r;
    if (!this.#stage1) {
      const { inputBits } = this.#s2!.shape;
      const near = r.bits(inputBits);
      for (let i = 0; i < 6; i++)
        this.#vas.push(i < 3 ? near ^ BigInt(r.below(0x40_0000)) : r.bits(inputBits));
      this.#vas.push(r.bits(inputBits + 2), r.bits(64));
      for (const va of this.#vas) this.#mapStage2(va);
      return;
    }
    for (const half of [0, 1] as const) {
      const tables = this.#halves[half]!;
      const { inputBits } = tables.shape;
      const near = r.bits(inputBits);
      const ones = half === 1 ? (1n << 64n) - (1n << BigInt(inputBits)) : 0n;
      for (let i = 0; i < 4; i++) {
        const va =
          (i < 2 ? near ^ (r.bits(22) & ((1n << BigInt(inputBits)) - 1n)) : r.bits(inputBits)) | ones;
        this.#vas.push(va);
        this.#mapStage1(va);
      }
      this.#vas.push(r.bits(inputBits + 1) | ones, ones ^ (1n << BigInt(r.below(64))));
    }
  }

  #mapStage1(va: bigint): void {
    const tables = this.#halves[Number((va >> 55n) & 1n)];
    if (tables === undefined) return;
    const r = this.#r;
    const { inputBits } = tables.shape;
    const bits = () => (r.chance(20) ? r.bits(5) << 59n : 0n);
    const input = va & ((1n << BigInt(inputBits)) - 1n);
    const { at, level } = tables.map(
      input,
      r.pick(leafLevels(tables.shape)),
      (to) => this.#stage1Leaf(tables.shape, to),
      bits,
    );
    if (this.#s2 === undefined) return;
    const shift = shiftAt(tables.shape.granule, level);
    this.#oracle.cd = this.#cd;
    const params: Stage1Params = { ...this.#oracle.params1(va), outputBits: 52, AFFD: true };
    const walked = walkStage1(params, (address) => this.bench.load64(address - TABLES_IPA));
    if (walked.kind === 'ok' && at !== 0n && shift > 0n) this.#mapStage2(walked.output);
  }

  #mapStage2(ipa: bigint): void {
    const s2 = this.#s2!;
    if (ipa >> BigInt(s2.shape.inputBits) !== 0n) return;
    // What maps the tables stays whole.
    if (ipa >> 30n === TABLES_IPA >> 30n) return;
    this.#ipas.push(ipa);
    const levels = leafLevels(s2.shape).filter((level) => shiftAt(s2.shape.granule, level) <= 30n);
    s2.map(ipa, this.#r.pick(levels), (level) => this.#stage2Leaf(s2.shape, level));
  }

  // The steps.

  step(): void {
    const r = this.#r;
    if (r.chance(25)) this.#change();
    const base = r.pick(this.#vas);
    const top = r.chance(10) ? r.bits(8) << 56n : 0n;
    const near = r.chance(30) ? BigInt(r.below(0x1_0000)) : BigInt(r.below(16));
    const drawn: Access = {
      StreamID: r.below(2),
      iova: BigInt.asUintN(64, base ^ top ^ near),
      write: r.chance(40),
      privileged: r.chance(50),
      instruction: r.chance(30),
    };
    // Often the place that was read last is written.
    const access = r.chance(20) ? { ...this.#last, write: true } : drawn;
    this.#last = access;
    const txn = new Transaction();
    this.#compare(access, txn, () => this.bench.begin(access, txn));
    if (r.chance(20)) this.#resume();
  }

  #compare(access: Access, txn: Transaction, act: () => Answer): void {
    this.#oracle.ste = this.#ste;
    this.#oracle.cd = this.#cd;
    const { record, ...expected } = this.#oracle.expected(access.StreamID!, access);
    this.#changed.clear();
    const answer = act();
    expect(answer).toEqual(expected);
    const { updates } = this.#oracle;
    if (this.#changed.size + updates.size > 0) expect(this.#changed).toEqual(updates);
    const events = this.bench.events();
    expect(events.map((words) => words & UNTAGGED)).toEqual(record === undefined ? [] : [record]);
    if (answer.outcome !== 'stall') return;
    expect(events[0]! & ~UNTAGGED).toBe(BigInt(txn.stag) << 64n);
    this.#stalled.push({ access, txn });
  }

  /** One of the stalled accesses is retried, and comes out as though it had just arrived. */
  #resume(): void {
    const at = this.#r.below(this.#stalled.length + 1);
    const [one] = this.#stalled.splice(at, 1);
    if (one === undefined) return;
    const { access, txn } = one;
    expect(this.bench.resume(txn)).toEqual({ outcome: 'stall' });
    this.bench.command([OPCODES.CMD_RESUME | RETRY, access.StreamID!, txn.stag]);
    this.#compare(access, txn, () => this.bench.resume(txn));
  }

  #change(): void {
    const r = this.#r;
    const { bench } = this;
    const kind = r.below(5);
    if (kind === 4) {
      if (this.#s2 !== undefined && r.chance(50)) this.#moveTable2(this.#s2);
      else if (this.#stage1) this.#moveTable1();
    } else if (kind === 0 && this.#stage1) {
      this.#rollControls();
      this.#writeCds();
      for (const StreamID of [0, 1]) bench.command([OPCODES.CMD_CFGI_CD, StreamID, 1]);
      this.#invalidateAll();
    } else if (kind === 1 && this.#s2 !== undefined && this.#frames.length > 0) {
      // A frame of the tables or CDs loses its rights, or becomes whole again.
      const frame = r.pick(this.#frames);
      const whole = this.#frameLeaf(frame.ipa);
      bench.store64(frame.at, whole ^ r.pick(FRAME_CHANGES));
      bench.command([OPCODES.CMD_CFGI_STE_RANGE, 0, 31]);
      this.#invalidateIpa(frame.ipa);
    } else if (kind === 2 && this.#ipas.length > 0) {
      const ipa = r.pick(this.#ipas);
      const s2 = this.#s2!;
      s2.map(ipa, 3, (level) => this.#stage2Leaf(s2.shape, level));
      this.#invalidateIpa(ipa);
    } else if (this.#stage1) {
      const va = r.pick(this.#vas);
      const tables = this.#halves[Number((va >> 55n) & 1n)]!;
      const input = va & ((1n << BigInt(tables.shape.inputBits)) - 1n);
      const { level } = tables.map(input, 3, (to) => this.#stage1Leaf(tables.shape, to));
      const ones = (va >> 55n) & 1n ? (1n << 64n) - (1n << BigInt(tables.shape.inputBits)) : 0n;
      this.#invalidateVa(input | ones, tables.shape.granule, level);
    }
    bench.sync();
  }

  /** A table of stage 1 goes elsewhere: its descriptor is invalidated with the addresses below it, not as a leaf. */
  #moveTable1(): void {
    const r = this.#r;
    const va = r.pick(this.#vas);
    const tables = this.#halves[Number((va >> 55n) & 1n)]!;
    const { granule, inputBits } = tables.shape;
    const input = va & ((1n << BigInt(inputBits)) - 1n);
    if (!MOVED_GRANULES.includes(granule)) return;
    if (tables.move(input, r.below(4) - 1) === undefined) return;
    const ones = (va >> 55n) & 1n ? (1n << 64n) - (1n << BigInt(inputBits)) : 0n;
    this.#invalidateVa(input | ones, granule, 3);
  }

  #moveTable2(s2: Tables): void {
    const r = this.#r;
    const ipa = r.pick([...this.#ipas, ...this.#frames.map((frame) => frame.ipa), 0n]);
    if (!MOVED_GRANULES.includes(s2.shape.granule)) return;
    const moved = s2.move(ipa, r.below(4) - 1);
    if (moved === undefined) return;
    for (const frame of this.#frames) {
      if (frame.at >= moved.from && frame.at < moved.from + moved.sizeBytes)
        frame.at += moved.to - moved.from;
    }
    this.#invalidateIpa(ipa);
  }

  #vmid(): number {
    return Number(this.#ste.S2VMID);
  }

  #invalidateAll(): void {
    this.bench.command(this.#el2 ? [OPCODES.CMD_TLBI_EL2_ALL] : [OPCODES.CMD_TLBI_NH_ALL, this.#vmid()]);
  }

  #invalidateVa(va: bigint, granule: GranuleKiB, level: number): void {
    const r = this.#r;
    const how = r.below(4);
    if (how === 0) {
      this.#invalidateAll();
      return;
    }
    const lo = Number(va & 0xffff_f000n);
    const hi = Number(va >> 32n);
    // Half of the commands name granule and, where there is a code for it, level: a range of one granule from an aligned address.
    const shift = shiftAt(granule, level);
    const named = r.chance(50) && level > 0;
    const aligned = (va >> shift) << shift;
    const tg = { 4: 1, 16: 2, 64: 3 }[granule];
    const words = named
      ? [0, 0, Number(aligned & 0xffff_f000n) | (tg << 10) | (level << 8), Number(aligned >> 32n)]
      : [0, 0, lo, hi];
    const send = (opcode: number, word1: number) => this.bench.command([opcode, word1, words[2]!, words[3]!]);
    if (how === 1) {
      for (const asid of [0x1234, 0x1235])
        send(
          this.#el2 ? OPCODES.CMD_TLBI_EL2_VA : OPCODES.CMD_TLBI_NH_VA,
          (asid << 16) | (this.#el2 ? 0 : this.#vmid()),
        );
    } else if (this.#single) send(OPCODES.CMD_TLBI_EL2_VA, 0);
    else send(this.#el2 ? OPCODES.CMD_TLBI_EL2_VAA : OPCODES.CMD_TLBI_NH_VAA, this.#el2 ? 0 : this.#vmid());
  }

  #invalidateIpa(ipa: bigint): void {
    if (this.#r.chance(30)) {
      this.bench.command([OPCODES.CMD_TLBI_S12_VMALL, this.#vmid()]);
      return;
    }
    this.bench.command([
      OPCODES.CMD_TLBI_S2_IPA,
      this.#vmid(),
      Number(ipa & 0xffff_f000n),
      Number(ipa >> 32n),
    ]);
    this.#invalidateAll();
  }
}

describe('the TBU against the oracle', () => {
  test('G4, G5, G6, G12, G16, H5, D5-D14: every outcome, address and record agrees for every size of the caches', () => {
    let done = 0;
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const one = new Case(seed);
        for (let step = 0; step < STEPS; step++) one.step();
        done++;
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
    expect(done).toBe(RUNS);
  });
});
