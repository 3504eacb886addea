/**
 * The walk in the memory's kernel against the walk in TypeScript: the same SMMU over the same tables of random descriptors,
 * once as it runs and once watched by an observer, which the kernel cannot tell anything.
 */
import { describe, expect, test } from 'vitest';
import type { TranslationObserver } from '../../src/smmu/tbu/translation-observer.js';
import { Transaction } from '../../src/smmu/transaction.js';
import { OPCODES } from '../spec-numbers.js';
import { Random } from './random.js';
import { CDS, type CdFields, FULL_IDR, RAM_BYTES, type SteFields, TbuBench } from './tbu-bench.js';

const CASES = Number(process.env.SMMULATOR_RUNS ?? 24);
const ACCESSES = 200;
const TABLES = 0x10_0000;
/** 64 KiB each, so that a descriptor with some low bits set still leads to one. */
const TABLE_COUNT = 6;
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

/** Mostly tables, with leaves, holes, reserved types, addresses beyond memory and beyond the output size, and every flag. */
function descriptor(random: Random): bigint {
  if (random.chance(4)) return random.bits(64);
  const type = random.chance(75) ? 3n : random.chance(80) ? 1n : BigInt(random.below(2)) * 2n;
  const table = BigInt(TABLES + random.below(TABLE_COUNT) * TABLE_BYTES);
  const address = random.chance(96) ? table : random.bits(48) & ~0xfffn;
  const attributes = random.bits(10) << 2n;
  const af = random.chance(90) ? 1n << 10n : 0n;
  const flags = random.chance(30) ? random.bits(5) << 59n : 0n;
  const upper = random.chance(30) ? random.bits(5) << 50n : 0n;
  return type | address | (attributes & ~(1n << 10n)) | af | flags | upper;
}

function cdFields(random: Random): CdFields {
  const base = TABLES + random.below(TABLE_COUNT) * TABLE_BYTES;
  return {
    // IDR0.TTF has both: VMSAv8-32 LPAE now and then, whose T0SZ are the low three bits.
    AA64: random.chance(15) ? 0 : 1,
    // 4 KiB mostly; then 64 and 16 KiB, and now and then what the kernel leaves alone (ENDI, DS).
    TG0: random.pick([0, 0, 0, 1, 2]),
    // IDR3.STT: small tables up to T0SZ 48, 47 with 64 KiB.
    T0SZ: 16 + random.below(32),
    IPS: random.below(7),
    EPD1: 1,
    ENDI: random.chance(5) ? 1 : 0,
    DS: random.chance(10) ? 1 : 0,
    HAD0: random.below(2),
    AFFD: random.below(2),
    WXN: random.below(2),
    PAN: random.below(2),
    R: 1,
    A: random.below(2),
    ASID: 1,
    MAIR0: random.below(2 ** 31),
    TTB0: BigInt(base) >> 4n,
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
  return { S2TG, S2SL0, S2T0SZ: Math.max(64 - inputBits, 16) };
}

const stage2Fields = (random: Random): SteFields => ({
  ...stage2Shape(random),
  S2PS: random.pick([1, 4, 5]),
  S2AA64: 1,
  S2R: 1,
  S2PTW: random.below(2),
  S2AFFD: random.below(2),
  S2TTB: BigInt(TABLES + random.below(TABLE_COUNT) * TABLE_BYTES) >> 4n,
});

function makeBench(random: Random): TbuBench {
  const bench = new TbuBench({ tlb: random.pick([0, 0, 8]), idr: { IDR0: FULL_IDR.IDR0 | 0x4 } });
  for (let at = TABLES; at < TABLES + TABLE_COUNT * TABLE_BYTES; at += 8) {
    bench.store64(at, descriptor(random));
  }
  bench.cd(CDS, cdFields(random));
  const stage2 = random.pick([0, 0, 0, 1, 2]);
  if (stage2 === 0) bench.ste(0, { Config: 5, S1ContextPtr: BigInt(CDS) >> 6n });
  else if (stage2 === 1) bench.ste(0, { Config: 6, ...stage2Fields(random) });
  else bench.ste(0, { Config: 7, S1ContextPtr: BigInt(CDS) >> 6n, ...stage2Fields(random) });
  return bench;
}

interface Seen {
  readonly answers: readonly string[];
  readonly events: readonly bigint[];
  /** Walks that the kernel has made to the end. */
  readonly inKernel: number;
}

function run(seed: number, observed: boolean): Seen {
  const random = new Random(seed);
  const bench = makeBench(random);
  const { tbu } = bench.smmu;
  const space = bench.spaces[0];
  const descend = space.descend.bind(space);
  let inKernel = 0;
  space.descend = (...args) => {
    const answer = descend(...args);
    if (answer >= 0) inKernel++;
    return answer;
  };
  tbu.observe(observed ? OBSERVER : undefined);
  const txn = new Transaction();
  const answers: string[] = [];
  const events: bigint[] = [];
  for (let i = 0; i < ACCESSES; i++) {
    const iova = random.bits(random.pick([21, 30, 30, 36, 48, 64]));
    txn.iovaLo = Number(BigInt.asIntN(32, iova));
    txn.iovaHi = Number(BigInt.asIntN(32, iova >> 32n));
    txn.write = random.chance(30);
    txn.privileged = random.chance(40);
    txn.instruction = random.chance(20);
    const outcome = tbu.translate(txn);
    answers.push(outcome === 0 ? `${txn.pa} ${txn.space} ${txn.translationAttributes}` : `fault ${outcome}`);
    if (i % 16 === 15) events.push(...bench.events());
  }
  return { answers, events: [...events, ...bench.events()], inKernel };
}

describe('the kernel walk against the walker', () => {
  test('G4, K2: addresses, attributes, outcomes and records are the same', () => {
    let reached = 0;
    let inKernel = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      const plain = run(seed, false);
      const watched = run(seed, true);
      expect({ seed, answers: plain.answers }).toEqual({ seed, answers: watched.answers });
      expect({ seed, events: plain.events }).toEqual({ seed, events: watched.events });
      expect(watched.inKernel).toBe(0);
      reached += plain.answers.filter((answer) => !answer.startsWith('fault')).length;
      inKernel += plain.inKernel;
    }
    // Both ends of a walk are met often, and both walkers.
    const all = CASES * ACCESSES;
    expect(reached).toBeGreaterThan(all / 20);
    expect(reached).toBeLessThan((all * 19) / 20);
    expect(inKernel).toBeGreaterThan(all / 20);
  });

  test('tables at the very end of a region are not read beyond it', () => {
    const bench = new TbuBench({ tlb: 0 });
    // The last 4 KiB of memory as the start table of 9 index bits: its last descriptor is the last word.
    const table = RAM_BYTES - 0x1000;
    bench.store64(table + 511 * 8, 0x743n | 0x20_0000n);
    bench.cd(CDS, { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, TTB0: BigInt(table) >> 4n });
    bench.ste(0, { Config: 5, S1ContextPtr: BigInt(CDS) >> 6n });
    const last = 511n << 21n;
    expect(bench.access({ iova: last }).outcome).toBe('abort');
    bench.store64(table + 511 * 8, 0x741n | 0x20_0000n);
    expect(bench.access({ iova: last })).toMatchObject({ outcome: 'ok', pa: 0x20_0000n });
    bench.cd(CDS, { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, TTB0: BigInt(RAM_BYTES) >> 4n });
    bench.command([OPCODES.CMD_CFGI_STE_RANGE, 0, 31]);
    bench.sync();
    expect(bench.access({ iova: last }).outcome).toBe('abort');
  });
});
