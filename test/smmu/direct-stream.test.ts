/**
 * Data that the kernel moves (direct-stream.ts) against a translation and a copy, which know nothing of it, and against a TBU
 * that somebody watches, which has no first level: the same SMMU over the same memory, of which the data are a part.
 */
import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import type { TranslationObserver } from '../../src/smmu/tbu/translation-observer.js';
import { OK, Transaction } from '../../src/smmu/transaction.js';
import { CR0, OFFSETS, OPCODES } from '../spec-numbers.js';
import { Random } from './random.js';
import { type BenchOptions, CDS, FAR, FULL_IDR, TbuBench } from './tbu-bench.js';

const CASES = Number(process.env.SMMULATOR_RUNS ?? 8);
const ACCESSES = 600;
const TABLES = 0x10_0000;
const TABLES2 = 0x10_8000;
const DATA = 0x40_0000;
const DATA_PAGES = 64;
const PAGE = 4096;

const page = (address: number, flags: bigint) => BigInt(address) | flags | 0x403n;
/** AP[1] so that unprivileged accesses are let in; AP[2] in one of four. */
const stage1Page = (random: Random, address: number) =>
  random.chance(8) ? 0n : page(address, 0x840n | (random.chance(25) ? 0x80n : 0n));
const stage2Page = (random: Random, address: number) => page(address, random.chance(90) ? 0x8fcn : 0x87cn);

/** A page of data, now and then in another region than the tables, or where there is no memory. */
function dataPage(random: Random): number {
  if (random.chance(10)) return FAR + PAGE * random.below(8);
  return random.chance(5) ? 0x8000_0000 : DATA + PAGE * random.below(DATA_PAGES);
}

/** Two levels: 512 pages of 4 KiB from input address 0 on. */
function fillTables(random: Random, bench: TbuBench, root: number, leaf: (index: number) => bigint): void {
  bench.store64(root, BigInt(root + PAGE) | 3n);
  for (let index = 0; index < 512; index++) bench.store64(root + PAGE + 8 * index, leaf(index));
  // What is behind the second index is not there, or a block.
  if (random.chance(50)) bench.store64(root + 8, 0xc41n | 0x40_0000n);
}

/** Those that differ by 256 have one place in the first level. */
const STREAMS = [0, 1, 2, 3, 4, 256, 257, 258, 260] as const;
/** Of the streams whose descriptors hardware updates. */
const DIRTY_TABLES = TABLES + 0x2000;
const DIRTY_ASID = 2;
/** Writable-clean more often than not. */
const dirtyPage = (random: Random, address: number) =>
  stage1Page(random, address) | (random.chance(80) ? 0x8_0000_0000_0080n : 0n);

type Mode = 'direct' | 'translated' | 'watched';

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

function makeBench(random: Random, options: BenchOptions): TbuBench {
  const bench = new TbuBench({ strtabBaseCfg: 9, idr: { IDR0: FULL_IDR.IDR0 | 0x80 }, ...options });
  const cdFields = (security: SecurityState) => {
    const table = TABLES + (security === SECURE ? 0x4000 : 0);
    return { AA64: 1, T0SZ: 34, IPS: 6, EPD1: 1, R: 1, A: 1, ASID: 1, TTB0: BigInt(table) >> 4n };
  };
  for (const security of [NON_SECURE, SECURE] as const) {
    const root = TABLES + (security === SECURE ? 0x4000 : 0);
    const write = (at: number, value: bigint) => bench.store64(at, value, security);
    write(root, BigInt(root + PAGE) | 3n);
    for (let index = 0; index < 512; index++)
      write(root + PAGE + 8 * index, stage1Page(random, dataPage(random)));
    bench.cd(CDS, cdFields(security), security);
  }
  fillTables(random, bench, TABLES2, () => stage2Page(random, dataPage(random)));
  const dirty2 = () => stage2Page(random, dataPage(random)) & ~0x80n;
  fillTables(
    random,
    bench,
    TABLES2 + 0x2000,
    () => dirty2() | (random.chance(80) ? 0x8_0000_0000_0000n : 0n),
  );
  fillTables(random, bench, DIRTY_TABLES, () => dirtyPage(random, dataPage(random)));
  const common = cdFields(NON_SECURE);
  // The same regime as the others', and E0PD0; and what hardware updates.
  bench.cd(CDS + 64, { ...common, E0PD0: 1 });
  const TTB0 = BigInt(DIRTY_TABLES) >> 4n;
  bench.cd(CDS + 128, { ...common, ASID: DIRTY_ASID, HA: 1, HD: 1, TTB0 });
  const s1 = { S1ContextPtr: BigInt(CDS) >> 6n };
  const s2 = { S2VMID: 1, S2T0SZ: 34, S2SL0: 0, S2PS: 6, S2AA64: 1, S2R: 1, S2TTB: BigInt(TABLES2) >> 4n };
  bench.ste(0, { Config: 5, ...s1 });
  bench.ste(1, { Config: 5, ...s1, PRIVCFG: 3 });
  bench.ste(2, { Config: 6, ...s2 });
  bench.ste(3, { Config: 4 });
  bench.ste(256, { Config: 5, ...s1, INSTCFG: 3 });
  bench.ste(4, { Config: 5, S1ContextPtr: BigInt(CDS + 64) >> 6n });
  bench.ste(257, { Config: 5, S1ContextPtr: BigInt(CDS + 128) >> 6n });
  // Without a SubstreamID stage 1 is bypassed; the same VMID as that of stage 2 alone.
  bench.ste(258, { Config: 5, ...s1, S1CDMax: 1, S1DSS: 1, S2VMID: 1 });
  bench.ste(260, { Config: 6, ...s2, S2VMID: 2, S2HA: 1, S2HD: 1, S2TTB: BigInt(TABLES2 + 0x2000) >> 4n });
  bench.ste(0, { Config: 5, ...s1 }, SECURE);
  bench.command([OPCODES.CMD_CFGI_STE_RANGE, 0, 31]);
  return bench;
}

function disturb(random: Random, bench: TbuBench): void {
  const kind = random.below(9);
  bench.write(OFFSETS.CR0, ENABLED);
  const leaf = 8 * random.below(512);
  if (kind === 0) {
    bench.store64(TABLES + PAGE + leaf, stage1Page(random, dataPage(random)));
    bench.store64(DIRTY_TABLES + PAGE + leaf, dirtyPage(random, dataPage(random)));
  }
  if (kind === 6) bench.smmu.restore(structuredClone(bench.smmu.save(random.pick(['kept', 'dropped']))));
  else if (kind === 7) bench.write(OFFSETS.CR0, ENABLED & ~CR0.SMMUEN);
  else if (kind === 8) bench.smmu.tbu.recordOrigins(random.chance(50));
  else if (kind <= 1) bench.command([OPCODES.CMD_TLBI_NSNH_ALL]);
  else if (kind === 2) bench.command([OPCODES.CMD_CFGI_STE_RANGE, 0, 31]);
  else {
    const security = random.pick([NON_SECURE, SECURE] as const);
    const pa = DATA + PAGE * random.below(DATA_PAGES);
    if (kind <= 4) bench.spaces[security].disarmFaults();
    else bench.spaces[security].injectFault({ pa, sizeBytes: 0x8000, access: 'any', times: 2 });
  }
}

const ENABLED = CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN;

/** What accesses came to, and what memory is in the end. */
function run(seed: number, mode: Mode) {
  const random = new Random(seed);
  const bench = makeBench(random, {
    tlb: random.pick([1, 16, 256, 256]),
    configCache: random.pick([1, 16, 16]),
  });
  const { tbu } = bench.smmu;
  const { bounce } = bench;
  if (mode === 'watched') tbu.observe(OBSERVER);
  const txn = new Transaction();
  const seen: string[] = [];
  let moved = 0;
  let iova = 0;
  for (let i = 0; i < ACCESSES; i++) {
    if (random.chance(40))
      iova = random.below(random.pick([0x4000, 0x4000, 0x4000, 0x20_0000, 0x41_0000])) & ~7;
    const odd = random.chance(30) ? random.below(64) : 0;
    const address = iova + odd;
    const room = PAGE - (address % PAGE);
    const sizeBytes = Math.min(room, random.pick([1, 4, 8, 24, 64, 100, room]));
    if (random.chance(30)) txn.StreamID = random.pick(STREAMS);
    txn.SubstreamID = random.chance(txn.StreamID === 258 ? 50 : 3) ? random.below(2) : -1;
    txn.SEC_SID = txn.StreamID === 0 && random.chance(30) ? SECURE : NON_SECURE;
    txn.ns = txn.SEC_SID === NON_SECURE;
    txn.iovaLo = address;
    txn.iovaHi = 0;
    txn.write = random.chance(40);
    txn.privileged = random.chance(15);
    const data = Uint8Array.from({ length: sizeBytes }, () => random.below(256));
    bounce.fill(0).set(data);
    const stream = mode !== 'translated' && !txn.privileged ? tbu.direct(txn) : undefined;
    const at = bounce.byteOffset;
    const isMoved = txn.write
      ? stream?.write(address, 0, at, sizeBytes)
      : stream?.read(address, 0, at, sizeBytes);
    let outcome = `${OK}`;
    if (isMoved === true) moved++;
    else {
      outcome = `${tbu.translate(txn)}`;
      const space = bench.spaces[txn.space];
      if (
        txn.outcome === OK &&
        !(txn.write ? space.write(txn.pa, data, 0, sizeBytes) : space.read(txn.pa, bounce, 0, sizeBytes))
      )
        outcome = 'refused';
    }
    // Until data come, the buffer holds what it held.
    seen.push(`${outcome} ${txn.write ? '' : bounce.subarray(0, sizeBytes).join()}`);
    if (random.chance(2)) disturb(random, bench);
  }
  for (const space of bench.spaces) space.disarmFaults();
  const memory = bench.spaces.map((space) => {
    const bytes = new Uint8Array(DATA_PAGES * PAGE + 0x1_0000);
    space.read(DATA, bytes, 0, DATA_PAGES * PAGE);
    space.read(TABLES, bytes, DATA_PAGES * PAGE, 0x1_0000);
    return bytes;
  });
  return { seen, events: bench.events(), memory, counters: tbu.counters, moved };
}

describe('data that the kernel moves', () => {
  test('G4, K2: outcomes, bytes, records, counters and memory are those of a translation and a copy', () => {
    let moved = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      const fast = run(seed, 'direct');
      const slow = run(seed, 'translated');
      const watched = run(seed, 'watched');
      expect({ seed, seen: fast.seen }).toEqual({ seed, seen: slow.seen });
      expect({ seed, seen: slow.seen }).toEqual({ seed, seen: watched.seen });
      expect({ seed, events: slow.events }).toEqual({ seed, events: watched.events });
      expect({ seed, events: fast.events, counters: fast.counters }).toEqual({
        seed,
        events: slow.events,
        counters: slow.counters,
      });
      for (const index of [0, 1]) {
        expect(Buffer.compare(fast.memory[index]!, slow.memory[index]!)).toBe(0);
        expect(Buffer.compare(slow.memory[index]!, watched.memory[index]!)).toBe(0);
      }
      expect(slow.moved + watched.moved).toBe(0);
      moved += fast.moved;
    }
    expect(moved).toBeGreaterThan((CASES * ACCESSES) / 16);
  });

  test('memory that only the kernel has written is zeroed with the rest', () => {
    const bench = makeBench(new Random(1), { tlb: 16 });
    bench.store64(TABLES + PAGE, page(0x80_0000, 0x840n));
    const stream = bench.smmu.tbu.direct({ StreamID: 0, SubstreamID: -1, SEC_SID: NON_SECURE })!;
    bench.bounce.fill(0xa5);
    const at = bench.bounce.byteOffset;
    expect(stream.write(0x10, 0, at, 8)).toBe(false);
    expect(bench.access({ iova: 0x10, write: true })).toMatchObject({ outcome: 'ok', pa: 0x80_0010n });
    expect(stream.write(0x10, 0, at, 8)).toBe(true);
    expect(bench.load64(0x80_0010)).toBe(0xa5a5_a5a5_a5a5_a5a5n);
    // A bench begins with memory that is zero.
    expect(new TbuBench().load64(0x80_0010)).toBe(0n);
  });

  test('F6: a page in another region than the tables is reached as well', () => {
    const bench = makeBench(new Random(1), { tlb: 16 });
    for (const index of [0, 1]) bench.store64(TABLES + PAGE + 8 * index, page(FAR, 0x840n));
    const stream = bench.smmu.tbu.direct({ StreamID: 0, SubstreamID: -1, SEC_SID: NON_SECURE })!;
    // The first access is the walker's, which finds the stream; the second page is the kernel's.
    for (const iova of [0, 0x1000]) {
      expect(bench.access({ iova }).outcome).toBe('ok');
      expect(stream.read(iova, 0, bench.bounce.byteOffset, 8)).toBe(true);
    }
  });

  test('G18: Secure memory that refuses an access is asked', () => {
    const bench = makeBench(new Random(1), { tlb: 16 });
    bench.store64(TABLES + 0x5000, page(DATA, 0x840n), SECURE);
    const stream = bench.smmu.tbu.direct({ StreamID: 0, SubstreamID: -1, SEC_SID: SECURE })!;
    const read = () => stream.read(0, 0, bench.bounce.byteOffset, 8);
    expect(bench.access({ iova: 0, security: SECURE })).toMatchObject({ outcome: 'ok', space: SECURE });
    expect(read()).toBe(true);
    bench.spaces[SECURE].injectFault({ pa: DATA, sizeBytes: 8, access: 'any', times: 1 });
    expect(read()).toBe(false);
    bench.spaces[SECURE].disarmFaults();
    expect(read()).toBe(true);
  });

  test('an access that would leave its page is not taken, nor one of an invalidated page', () => {
    const bench = makeBench(new Random(1), { tlb: 16 });
    bench.store64(TABLES + PAGE, page(0x80_0000, 0x840n));
    const stream = bench.smmu.tbu.direct({ StreamID: 0, SubstreamID: -1, SEC_SID: NON_SECURE })!;
    const at = bench.bounce.byteOffset;
    expect(bench.access({ iova: 0 }).outcome).toBe('ok');
    expect(stream.read(0xff8, 0, at, 8)).toBe(true);
    expect(stream.read(0xff8, 0, at, 9)).toBe(false);
    expect(stream.read(0xff8, 1, at, 8)).toBe(false);
    bench.command([OPCODES.CMD_TLBI_NSNH_ALL]);
    expect(stream.read(0xff8, 0, at, 8)).toBe(false);
    // The stream is known again, the page is not.
    expect(bench.access({ iova: 0x1000 }).outcome).toBeDefined();
    expect(stream.read(0xff8, 0, at, 8)).toBe(false);
  });
});
