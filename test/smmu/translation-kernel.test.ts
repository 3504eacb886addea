/**
 * The TBU's kernel against the TBU without it: the same SMMU over the same tables of random descriptors, once as it runs and
 * once watched by an observer, whom the kernel cannot tell anything. Afterwards both TLBs hold the same, in the same order.
 */
import { describe, expect, test } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { MESSAGE_INVALIDATE_ALL } from '../../src/smmu/maintenance.js';
import { NOT_PLAIN } from '../../src/smmu/tbu/kernel-layout.js';
import type { Tbu } from '../../src/smmu/tbu/tbu.js';
import { TranslationKernel } from '../../src/smmu/tbu/translation-kernel.js';
import type { TranslationObserver } from '../../src/smmu/tbu/translation-observer.js';
import { Transaction } from '../../src/smmu/transaction.js';
import { OPCODES } from '../spec-numbers.js';
import { Random } from './random.js';
import {
  type BenchOptions,
  CDS,
  type CdFields,
  FULL_IDR,
  HIGH,
  RAM_BYTES,
  type SteFields,
  TbuBench,
} from './tbu-bench.js';

const CASES = Number(process.env.SMMULATOR_RUNS ?? 16);
const ACCESSES = 500;
const TABLES = 0x10_0000;
/** 64 KiB each, so that a descriptor with some low bits set still leads to one. */
const TABLE_COUNT = 3;
const TABLE_BYTES = 0x1_0000;

const nothing = () => {};
const OBSERVER: TranslationObserver = {
  bank: nothing,
  context: nothing,
  structure: nothing,
  configHit: nothing,
  descriptor: nothing,
  stage2: nothing,
  stage2Hit: nothing,
  tableHit: nothing,
  update: nothing,
  leaf: nothing,
  tlbHit: nothing,
  fault: nothing,
  event: nothing,
};

/** Stage 2 tables of 4 KiB that have the first 2 MiB of IPAs, where structures and tables are, where they are. */
const IDENTITY = 0x18_0000;

/** Mostly tables, with leaves, holes, reserved types, addresses beyond memory and beyond the output size, and every flag. */
function descriptor(random: Random): bigint {
  if (random.chance(2)) return random.bits(64);
  const type = random.chance(85) ? 3n : random.chance(80) ? 1n : BigInt(random.below(2)) * 2n;
  const table = BigInt(TABLES + random.below(TABLE_COUNT) * TABLE_BYTES);
  const address = random.chance(98) ? table : random.bits(48) & ~0xfffn;
  const attributes = random.bits(10) << 2n;
  const af = random.chance(90) ? 1n << 10n : 0n;
  const flags = random.chance(20) ? random.bits(5) << 59n : 0n;
  const upper = random.chance(30) ? random.bits(5) << 50n : 0n;
  // Readable and writable more often than chance has it.
  const open = random.chance(60) ? 0x40n : 0n;
  return type | address | ((attributes | open) & ~(1n << 10n)) | af | flags | upper;
}

/** Descriptors, and where they begin. */
type Tables = readonly (readonly [number, readonly bigint[]])[];

function tablesOf(random: Random): Tables {
  const many = (count: number) => Array.from({ length: count }, () => descriptor(random));
  const page = (index: number) => BigInt(index << 12) | (descriptor(random) & ~0xffff_ffff_f003n) | 0x443n;
  return [
    [TABLES, many((TABLE_COUNT * TABLE_BYTES) / 8)],
    [IDENTITY, [BigInt(IDENTITY + 0x1000) | 3n, ...many(511)]],
    [IDENTITY + 0x1000, [BigInt(IDENTITY + 0x2000) | 3n, ...many(511)]],
    [
      IDENTITY + 0x2000,
      Array.from({ length: 512 }, (_, index) => (random.chance(97) ? page(index) : descriptor(random))),
    ],
  ];
}

function cdFields(random: Random, index: number): CdFields {
  const base = () => BigInt(TABLES + random.below(TABLE_COUNT) * TABLE_BYTES) >> 4n;
  return {
    // IDR0.TTF has both: VMSAv8-32 LPAE now and then, whose T0SZ are the low three bits.
    AA64: random.chance(8) ? 0 : 1,
    // 4 KiB mostly; then 64 and 16 KiB, and now and then what the kernel leaves alone (ENDI, DS).
    TG0: random.pick([0, 0, 0, 1, 2]),
    TG1: random.pick([2, 2, 2, 3, 1]),
    // IDR3.STT: small tables up to T0SZ 48, 47 with 64 KiB.
    T0SZ: 16 + random.below(random.pick([16, 16, 32])),
    T1SZ: 16 + random.below(random.pick([16, 16, 32])),
    TBI0: random.below(2),
    TBI1: random.below(2),
    E0PD0: random.chance(4) ? 1 : 0,
    E0PD1: random.chance(10) ? 1 : 0,
    IPS: random.below(7),
    EPD0: random.chance(4) ? 1 : 0,
    EPD1: random.chance(50) ? 1 : 0,
    ENDI: random.chance(5) ? 1 : 0,
    DS: random.chance(5) ? 1 : 0,
    HAD0: random.below(2),
    HAD1: random.below(2),
    AFFD: random.below(2),
    // IDR0.HTTU: what hardware updates is the walker's.
    HA: random.chance(8) ? 1 : 0,
    WXN: random.below(2),
    PAN: random.below(2),
    EPAN: random.below(2),
    ASET: index,
    R: random.chance(90) ? 1 : 0,
    A: random.below(2),
    ASID: 1 + index,
    MAIR0: random.below(2 ** 31),
    MAIR1: random.below(2 ** 31),
    TTB0: base(),
    TTB1: base(),
  };
}

/** S2TG, S2SL0 and S2T0SZ that go together: tables of one piece, of a few entries, and 2 to 16 that are concatenated. */
function stage2Shape(random: Random): SteFields {
  const [S2TG, S2SL0, granule] = random.pick([
    [0, 2, 12],
    [0, 1, 12],
    [0, 0, 12],
    [0, 3, 12],
    [1, 2, 16],
    [1, 1, 16],
    [1, 0, 16],
    [2, 2, 14],
    [2, 1, 14],
    [2, 0, 14],
  ] as const);
  const level = S2TG === 0 ? (S2SL0 === 3 ? 3 : 2 - S2SL0) : 3 - S2SL0;
  const below = granule + (granule - 3) * (3 - level);
  const inputBits = below + 1 + random.below(granule - 3 + 4);
  const S2TTB = BigInt(TABLES + random.below(TABLE_COUNT) * TABLE_BYTES) >> 4n;
  return { S2TG, S2SL0, S2T0SZ: Math.max(64 - inputBits, 16), S2TTB };
}

const stage2Fields = (random: Random): SteFields => ({
  ...(random.chance(70) ? { S2TTB: BigInt(IDENTITY) >> 4n, S2SL0: 1, S2T0SZ: 25 } : stage2Shape(random)),
  S2PS: random.pick([1, 4, 5]),
  S2AA64: 1,
  S2R: 1,
  S2FWB: random.below(2),
  S2HA: random.chance(8) ? 1 : 0,
  S2PTW: random.chance(15) ? 1 : 0,
  S2AFFD: random.below(2),
});

/** Streams that share tables, or do not: 0 and 256 the kernel keeps in one place. */
const STREAMS = [0, 1, 2, 256] as const;

/**
 * What is tagged alike is translated alike: an ASID and an ASET for each CD, a VMID for each stage 2 table.
 * @returns whether the stream has substreams.
 */
function stream(random: Random, bench: TbuBench, StreamID: number, stage2: readonly SteFields[]): boolean {
  // Now and then EL2: one table, no ASID (so that one CD is all they may have), one privilege.
  const STRW = random.chance(10) ? 2 : 0;
  const substreams = STRW === 0 && random.chance(25);
  // The kernel has one place for all substreams of a stream: they take turns in it.
  const cd = CDS + 64 * (STRW === 2 || substreams ? 0 : random.below(2));
  const S1DSS = random.pick([1, 2]);
  const s1 = { S1ContextPtr: BigInt(cd) >> 6n, S1CDMax: substreams ? 1 : 0, S1DSS };
  const s2 = random.pick(stage2);
  const overrides = random.chance(20) ? { PRIVCFG: random.below(4), INSTCFG: random.below(4) } : {};
  const kind = random.pick([0, 0, 0, 1, 2, 2]);
  if (kind === 0) bench.ste(StreamID, { Config: 5, STRW, ...s1, ...overrides });
  else if (kind === 1) bench.ste(StreamID, { Config: 6, ...s2, ...overrides });
  else bench.ste(StreamID, { Config: 7, ...s1, ...s2, ...overrides });
  return substreams && kind !== 1;
}

function makeBench(
  random: Random,
  tlb: number,
  tables: Tables,
): { bench: TbuBench; substreams: ReadonlySet<number> } {
  const configCache = random.pick([1, 16, 16, 16]);
  const bench = new TbuBench({ tlb, configCache, strtabBaseCfg: 9, idr: { IDR0: FULL_IDR.IDR0 | 0x84 } });
  for (const [at, descriptors] of tables) {
    for (const [index, one] of descriptors.entries()) bench.store64(at + 8 * index, one);
  }
  for (const index of [0, 1]) bench.cd(CDS + 64 * index, cdFields(random, index));
  const stage2 = [1, 2].map((S2VMID) => ({ S2VMID, ...stage2Fields(random) }));
  const substreams = STREAMS.filter((StreamID) => stream(random, bench, StreamID, stage2));
  return { bench, substreams: new Set(substreams) };
}

interface Seen {
  readonly answers: readonly string[];
  readonly events: readonly bigint[];
  /** With room for all entries. */
  readonly state: unknown;
  /** Accesses that the kernel has answered, or found the fault of. */
  readonly inKernel: number;
}

/** With so many entries none has to go for another. */
const ROOMY = 256;

/**
 * Software changes a descriptor and says so; where no entry goes by itself, it may be late. What is not plain is walked twice,
 * which finds other entries the second time where the first has replaced some: the same, as long as none is stale.
 */
function disturb(random: Random, bench: TbuBench, tlb: number): void {
  const at = TABLES + 8 * random.below((TABLE_COUNT * TABLE_BYTES) / 8);
  bench.store64(at, descriptor(random));
  const command = random.pick([
    [OPCODES.CMD_TLBI_NH_ALL, 0],
    [OPCODES.CMD_TLBI_NH_ASID, random.below(3) << 16],
    [OPCODES.CMD_TLBI_NSNH_ALL, 0],
    [OPCODES.CMD_CFGI_STE_RANGE, 0, 31],
  ]);
  if (tlb !== ROOMY) bench.command([OPCODES.CMD_TLBI_NSNH_ALL]);
  else if (random.chance(40)) bench.command(command);
  if (tlb !== ROOMY || random.chance(70)) return;
  const kind = random.below(4);
  // A TBU that is too far behind to be told one by one.
  if (kind === 0) bench.smmu.tbu.handle(Int32Array.of(MESSAGE_INVALIDATE_ALL));
  else if (kind === 1) bench.smmu.restore(structuredClone(bench.smmu.save(random.pick(['kept', 'dropped']))));
  else if (kind === 2) bench.spaces[NON_SECURE].disarmFaults();
  else {
    const pa = TABLES + 0x1000 * random.below((TABLE_COUNT * TABLE_BYTES) / 0x1000);
    const [skip, times] = [random.below(4), 1 + random.below(3)];
    bench.spaces[NON_SECURE].injectFault({ pa, sizeBytes: 0x1000, access: 'read', skip, times });
  }
}

/** Somebody begins or ends to watch: what is seen of translations does not change by that. */
function watch(random: Random, tbu: Tbu): void {
  const kind = random.below(100);
  if (kind < 1) tbu.observe(OBSERVER);
  else if (kind < 2) tbu.recordOrigins(true);
  else if (kind < 16) {
    tbu.observe(undefined);
    tbu.recordOrigins(false);
  }
}

function run(seed: number, tables: Tables, observed: boolean): Seen {
  const random = new Random(seed);
  const tlb = random.pick([1, 3, 16, ROOMY, ROOMY, ROOMY]);
  const { bench, substreams } = makeBench(random, tlb, tables);
  const { tbu } = bench.smmu;
  let inKernel = 0;
  const { translate } = TranslationKernel.prototype;
  TranslationKernel.prototype.translate = function (...args) {
    const answer = translate.apply(this, args);
    if (answer !== NOT_PLAIN) inKernel++;
    return answer;
  };
  tbu.observe(observed ? OBSERVER : undefined);
  const watching = new Random(seed);
  const txn = new Transaction();
  const answers: string[] = [];
  const events: bigint[] = [];
  let iova = 0n;
  for (let i = 0; i < ACCESSES; i++) {
    if (random.chance(25)) iova = random.bits(random.pick([14, 17, 21, 26, 30, 32, 32, 64]));
    if (random.chance(15)) iova |= 0xffff_ffff_0000_0000n;
    txn.StreamID = random.pick(STREAMS);
    txn.SubstreamID = random.chance(substreams.has(txn.StreamID) ? 70 : 1) ? random.below(2) : -1;
    txn.iovaLo = Number(BigInt.asIntN(32, iova));
    txn.iovaHi = Number(BigInt.asIntN(32, iova >> 32n));
    txn.write = random.chance(30);
    txn.privileged = random.chance(40);
    txn.instruction = random.chance(20);
    const outcome = tbu.translate(txn);
    const { pa, space, translationAttributes, overrides } = txn;
    answers.push(outcome === 0 ? `${pa} ${space} ${translationAttributes} ${overrides}` : `fault ${outcome}`);
    if (i % 16 === 15) events.push(...bench.events());
    if (random.chance(2)) disturb(random, bench, tlb);
    if (!observed) watch(watching, tbu);
  }
  TranslationKernel.prototype.translate = translate;
  events.push(...bench.events());
  return { answers, events, state: tlb === ROOMY ? tbu.save('kept') : undefined, inKernel };
}

describe('the kernel against the walker', () => {
  test('G4, K2: addresses, attributes, outcomes, records, counters and TLB entries are the same', () => {
    let reached = 0;
    let inKernel = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      const tables = tablesOf(new Random(-seed));
      const plain = run(seed, tables, false);
      const watched = run(seed, tables, true);
      expect({ seed, answers: plain.answers }).toEqual({ seed, answers: watched.answers });
      expect({ seed, events: plain.events }).toEqual({ seed, events: watched.events });
      expect({ seed, state: plain.state }).toEqual({ seed, state: watched.state });
      expect(watched.inKernel).toBe(0);
      reached += plain.answers.filter((answer) => !answer.startsWith('fault')).length;
      inKernel += plain.inKernel;
    }
    // Both ends of a walk are met often, and both walkers.
    const all = CASES * ACCESSES;
    expect(reached).toBeGreaterThan(all / 20);
    expect(reached).toBeLessThan((all * 19) / 20);
    expect(inKernel).toBeGreaterThan(all / 25);
  });

  test('3.17: an entry for a stage 1 block is no larger than the stage 2 page behind it', () => {
    const bench = new TbuBench({ tlb: 16 });
    const [table1, table2, pages2] = [TABLES, TABLES + 0x1000, TABLES + 0x2000];
    bench.store64(table1, 0x741n | 0x20_0000n);
    // Stage 2 has structures and tables where they are, and the block's first two pages elsewhere.
    bench.store64(table2, 0x4fdn);
    bench.store64(table2 + 8, BigInt(pages2) | 3n);
    bench.store64(pages2, 0x60_0000n | 0x4ffn);
    bench.store64(pages2 + 8, 0x40_0000n | 0x4ffn);
    bench.cd(CDS, { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, TTB0: BigInt(table1) >> 4n });
    const s2 = { S2T0SZ: 34, S2SL0: 0, S2PS: 5, S2AA64: 1, S2R: 1, S2TTB: BigInt(table2) >> 4n };
    bench.ste(0, { Config: 7, S1ContextPtr: BigInt(CDS) >> 6n, ...s2 });
    for (let i = 0; i < 2; i++) {
      expect(bench.access({ iova: 0x123 })).toMatchObject({ outcome: 'ok', pa: 0x60_0123n });
      expect(bench.access({ iova: 0x1123 })).toMatchObject({ outcome: 'ok', pa: 0x40_0123n });
    }
    expect(bench.smmu.tbu.counters).toMatchObject({ misses: 2, hits: 2 });
  });

  test('3.4.1: the TTB1 half is found by its own addresses only, and E0PD1 guards it', () => {
    const bench = new TbuBench({ tlb: 16 });
    // Index 511 is the last 2 MiB of the upper 1 GiB, index 0 the first of the lower.
    for (const index of [0, 511]) bench.store64(TABLES + 8 * index, 0x741n | 0x20_0000n);
    const cd = { T0SZ: 34, T1SZ: 34, TG1: 2, TTB0: BigInt(TABLES) >> 4n, TTB1: BigInt(TABLES) >> 4n };
    bench.cd(CDS, { AA64: 1, IPS: 5, R: 1, A: 1, E0PD1: 1, ...cd });
    bench.ste(0, { Config: 5, S1ContextPtr: BigInt(CDS) >> 6n });
    const upper = 0xffff_ffff_ffe0_0000n;
    for (let i = 0; i < 2; i++) {
      expect(bench.access({ iova: 0 }).outcome).toBe('ok');
      expect(bench.access({ iova: upper, privileged: true })).toMatchObject({
        outcome: 'ok',
        pa: 0x20_0000n,
      });
      expect(bench.access({ iova: upper }).outcome).toBe('abort');
      expect(bench.access({ iova: upper & 0x001f_ffff_ffff_ffffn, privileged: true }).outcome).toBe('abort');
    }
  });

  test('tables at the very end of a region are not read beyond it', () => {
    const bench = new TbuBench({ tlb: 1 });
    // The last 4 KiB of memory as the start table of 9 index bits: its last descriptor is the last word.
    const table = RAM_BYTES - 0x1000;
    bench.store64(table + 511 * 8, 0x743n | 0x20_0000n);
    bench.cd(CDS, { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, TTB0: BigInt(table) >> 4n });
    bench.ste(0, { Config: 5, S1ContextPtr: BigInt(CDS) >> 6n });
    const last = 511n << 21n;
    expect(bench.access({ iova: last }).outcome).toBe('abort');
    // Behind it in the slab, not in the address space, there is another region, with a page for whoever reads on.
    bench.store64(HIGH, 0x743n | 0x20_0000n);
    bench.store64(table + 511 * 8, 0x743n | BigInt(RAM_BYTES));
    expect(bench.access({ iova: last }).outcome).toBe('abort');
    bench.store64(table + 511 * 8, 0x741n | 0x20_0000n);
    expect(bench.access({ iova: last })).toMatchObject({ outcome: 'ok', pa: 0x20_0000n });
    bench.cd(CDS, { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, TTB0: BigInt(RAM_BYTES) >> 4n });
    bench.command([OPCODES.CMD_CFGI_STE_RANGE, 0, 31]);
    bench.command([OPCODES.CMD_TLBI_NSNH_ALL]);
    bench.sync();
    expect(bench.access({ iova: last }).outcome).toBe('abort');
  });

  /** A stream of stage 1 alone, with blocks of 2 MiB, not global, from 2 MiB on at the addresses from 0 on. */
  function withBlocks(options: BenchOptions): TbuBench {
    const bench = new TbuBench(options);
    for (const index of [0, 1]) bench.store64(TABLES + 8 * index, 0xf41n | BigInt((index + 1) << 21));
    bench.cd(CDS, { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, TTB0: BigInt(TABLES) >> 4n });
    bench.ste(0, { Config: 5, S1ContextPtr: BigInt(CDS) >> 6n });
    return bench;
  }

  test('G4: a block that has to go takes all of its pages out of the first level', () => {
    const bench = withBlocks({ tlb: 1 });
    const misses = (iova: number) => {
      const before = bench.smmu.tbu.counters.misses;
      expect(bench.access({ iova })).toMatchObject({ outcome: 'ok', pa: BigInt(iova + 0x20_0000) });
      return bench.smmu.tbu.counters.misses - before;
    };
    expect([0, 0x5000, 0x1f_f000, 0x5000].map(misses)).toEqual([1, 0, 0, 0]);
    expect([0x20_9000, 0x5000, 0x20_9000, 0x1f_f000, 0x20_9000, 0].map(misses)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  test('G18: a fault that is injected between two accesses meets the second, and the third is plain again', () => {
    const bench = withBlocks({ tlb: 16 });
    const fault = { pa: TABLES, sizeBytes: 16, access: 'read', times: 1 } as const;
    expect(bench.access({ iova: 0 }).outcome).toBe('ok');
    bench.spaces[NON_SECURE].injectFault(fault);
    expect(bench.access({ iova: 0x20_0000 }).outcome).toBe('abort');
    expect(bench.events().map((record) => record & 0xffn)).toEqual([0x0bn]);
    expect(bench.access({ iova: 0x20_0000 }).outcome).toBe('ok');
  });

  test('3.3.2: contexts of one place in the kernel do not answer for each other', () => {
    const bench = withBlocks({ tlb: 16, strtabBaseCfg: 9 });
    // StreamID 256 has a table of its own, and 512 is not there.
    bench.store64(TABLES + 0x1000, 0xf41n | 0x80_0000n);
    const cd = { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, ASID: 1 };
    bench.cd(CDS + 64, { ...cd, TTB0: BigInt(TABLES + 0x1000) >> 4n });
    bench.ste(256, { Config: 5, S1ContextPtr: BigInt(CDS + 64) >> 6n });
    for (let page = 0; page < 4; page++) {
      const iova = page * 0x2000;
      // Twice in a row, as the first level has one place for them, too: the second is the kernel's.
      for (const at of [iova, iova + 0x1000])
        expect(bench.access({ iova: at }).pa).toBe(BigInt(0x20_0000 + at));
      for (const at of [iova, iova + 0x1000])
        expect(bench.access({ iova: at, StreamID: 256 }).pa).toBe(BigInt(0x80_0000 + at));
      expect(bench.access({ iova, StreamID: 512 }).outcome).toBe('abort');
    }
    // What a CFGI has taken is not asked any more.
    bench.cd(CDS + 64, { ...cd, ASID: 2, TTB0: BigInt(TABLES) >> 4n });
    bench.command([OPCODES.CMD_CFGI_STE_RANGE, 0, 31]);
    bench.sync();
    for (const page of [0, 5, 6]) {
      const iova = page * 0x1000;
      expect(bench.access({ iova, StreamID: 256 }).pa).toBe(BigInt(0x20_0000 + iova));
    }
  });

  test('3.3.2: nor that of a stream which the first level does not take', () => {
    const bench = withBlocks({ tlb: 16, strtabBaseCfg: 9 });
    bench.store64(TABLES + 0x1000, 0xf41n | 0x80_0000n);
    const cd = { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, E0PD0: 1, R: 1, A: 1, ASID: 1 };
    bench.cd(CDS + 64, { ...cd, TTB0: BigInt(TABLES + 0x1000) >> 4n });
    bench.ste(256, { Config: 5, S1ContextPtr: BigInt(CDS + 64) >> 6n });
    const at = (iova: number, StreamID = 0) => bench.access({ iova, StreamID, privileged: true }).pa;
    expect(at(0)).toBe(0x20_0000n);
    expect(at(0, 256)).toBe(0x80_0000n);
    expect(at(0x1000)).toBe(0x20_1000n);
    expect(at(0x20_0000)).toBe(0x40_0000n);
  });

  test('3.4, 5.2 S1DSS: what bypasses stage 1, without stage 2, has no page of a stream of the same VMID', () => {
    const bench = new TbuBench({ tlb: 16 });
    for (const index of [0, 1]) bench.store64(TABLES + 8 * index, 0x4fdn | BigInt((index + 1) << 21));
    const s2 = { S2T0SZ: 34, S2SL0: 0, S2PS: 5, S2AA64: 1, S2R: 1, S2TTB: BigInt(TABLES) >> 4n };
    bench.ste(0, { Config: 5, S1ContextPtr: BigInt(CDS) >> 6n, S1CDMax: 1, S1DSS: 1, S2VMID: 5 });
    bench.ste(1, { Config: 6, S2VMID: 5, ...s2 });
    for (let i = 0; i < 3; i++) {
      expect(bench.access({ iova: 0x1000, StreamID: 1 }).pa).toBe(0x20_1000n);
      expect(bench.access({ iova: 0x1000 }).pa).toBe(0x1000n);
    }
  });

  test('3.17: an IPA of a stream without stage 1 is no VA of ASID 0 of the same VMID', () => {
    const bench = withBlocks({ tlb: 16 });
    const table2 = TABLES + 0x1000;
    for (const index of [0, 1]) bench.store64(table2 + 8 * index, 0x4fdn | BigInt(index << 21));
    const s2 = { S2VMID: 5, S2T0SZ: 34, S2SL0: 0, S2PS: 5, S2AA64: 1, S2R: 1, S2TTB: BigInt(table2) >> 4n };
    bench.ste(0, { Config: 7, S1ContextPtr: BigInt(CDS) >> 6n, ...s2 });
    bench.ste(1, { Config: 6, ...s2 });
    for (let i = 0; i < 3; i++) {
      for (const iova of [0x1000, 0x2000, 0x1000]) {
        expect(bench.access({ iova })).toMatchObject({ outcome: 'ok', pa: BigInt(0x20_0000 + iova) });
        expect(bench.access({ iova, StreamID: 1 })).toMatchObject({ outcome: 'ok', pa: BigInt(iova) });
      }
    }
  });

  test('3.17: when the numbers of regimes run out, nothing is left of those that had them before', () => {
    const bench = withBlocks({});
    bench.store64(TABLES + 0x1000, 0xf41n | 0x80_0000n);
    const last = 4200;
    const cds = 0x100_0000;
    bench.ste(0, { Config: 5, S1ContextPtr: BigInt(cds) >> 6n, S1CDMax: 13, S1DSS: 1 });
    // The first hundred have one table, the others another.
    const early = 100;
    for (let ASID = 0; ASID <= last; ASID++) {
      const TTB0 = BigInt(TABLES + (ASID < early ? 0 : 0x1000)) >> 4n;
      bench.cd(cds + 64 * ASID, { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, ASID, TTB0 });
    }
    const check = (SubstreamID: number, page: number) => {
      const iova = page * 0x1000;
      const pa = (SubstreamID < early ? 0x20_0000 : 0x80_0000) + iova;
      expect(bench.access({ iova, SubstreamID }).pa, `${SubstreamID}`).toBe(BigInt(pa));
    };
    for (let one = 0; one < early; one++) for (const apart of [0, 1, 2, 3]) check(one, 128 * apart + one);
    for (let one = early; one < 4094; one++) check(one, 127);
    // A later one has the number of one of the first, some places before or after it in the order.
    for (let one = 4094; one <= last; one++)
      for (const apart of [0, 1, 2, 3]) check(one, 128 * apart + ((one - 4094 + apart - 1 + early) % early));
  });
});
