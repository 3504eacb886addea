import { describe, expect, test } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { OPCODES } from '../spec-numbers.js';
import { type BenchOptions, CDS, type CdFields, type SteFields, TbuBench } from './tbu-bench.js';

/** I4, H4: the entry that answers says from which descriptors it was filled, with the values that they had. */
const L1 = 0x10_0000;
const S2_L1 = 0x20_0000;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
const STAGE_2: SteFields = { S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: S2_L1 >> 4, S2R: 1 };
const BLOCK = 0x4000_0c41n;
const S2_BLOCK = 0x4fdn & ~2n;
const TABLE_2 = S2_L1 + 0x1000;
/** Output of stage 1; the tables are in the first gigabyte. */
const GIB = 0x4000_0000;

/** A table at level 1 with a block at level 2; stage 2 maps the first two gigabytes. */
function bench(ste: SteFields, options: BenchOptions = {}): TbuBench {
  const made = new TbuBench(options);
  made.ste(1, ste);
  made.cd(CDS, CD);
  made.store64(L1, BigInt(L1 + 0x1000) | 3n);
  made.store64(L1 + 0x1000, BLOCK);
  made.store64(S2_L1, BigInt(TABLE_2) | 3n);
  made.store64(TABLE_2, S2_BLOCK);
  made.store64(S2_L1 + 8, BigInt(GIB) | S2_BLOCK);
  made.smmu.tbu.recordOrigins(true);
  return made;
}

const read = (stage: number, level: number, address: number, value: bigint, pa = address) => ({
  stage,
  level,
  address,
  pa,
  space: NON_SECURE,
  lo: Number(BigInt.asIntN(32, value)),
  hi: Number(BigInt.asIntN(32, value >> 32n)),
});
const LEVEL_1 = read(1, 1, L1, BigInt(L1 + 0x1000) | 3n);
const LEVEL_2 = read(1, 2, L1 + 0x1000, BLOCK);

function originOf(made: TbuBench, iova: number) {
  const { outcome } = made.access({ StreamID: 1, iova });
  expect(outcome).toBe('ok');
  return made.smmu.tbu.originOf(made.transaction);
}

describe('I4, H4: origins of TLB entries', () => {
  test('stage 1: both descriptors, as they were; also for a hit of the first level', () => {
    const made = bench(STAGE_1);
    const filled = { access: 1, descriptors: [LEVEL_1, LEVEL_2] };
    expect(originOf(made, 0x1000)).toEqual(filled);
    made.store64(L1 + 0x1000, 0n);
    for (let i = 0; i < 2; i++) expect(originOf(made, 0x1000)).toEqual(filled);
    expect(originOf(made, 0x7000)).toEqual(filled);
  });

  test('a later fill has a later access and the new value', () => {
    const made = bench(STAGE_1);
    originOf(made, 0x1000);
    originOf(made, 0x1000);
    const changed = BLOCK + 0x20_0000n;
    made.store64(L1 + 0x1000, changed);
    made.command([OPCODES.CMD_TLBI_NSNH_ALL]);
    const descriptors = [LEVEL_1, read(1, 2, L1 + 0x1000, changed)];
    expect(originOf(made, 0x1000)).toEqual({ access: 3, descriptors });
  });

  test('stage 2 alone', () => {
    const made = bench({ ...STAGE_1, ...STAGE_2, Config: 6 });
    const descriptors = [read(2, 1, S2_L1, BigInt(TABLE_2) | 3n), read(2, 2, TABLE_2, S2_BLOCK)];
    expect(originOf(made, 0x1000)).toEqual({ access: 1, descriptors });
  });

  test('nested: what other entries stood for is there as well', () => {
    const made = bench({ ...STAGE_1, ...STAGE_2, Config: 7 });
    const tables = [read(2, 1, S2_L1, BigInt(TABLE_2) | 3n), read(2, 2, TABLE_2, S2_BLOCK)];
    const output = read(2, 1, S2_L1 + 8, BigInt(GIB) | S2_BLOCK);
    // The CD's stage 2 translation serves both tables of stage 1.
    expect(originOf(made, 0x1000)).toEqual({
      access: 1,
      descriptors: [...tables, LEVEL_1, ...tables, LEVEL_2, output],
    });
  });

  test('stale: what a walk began below is there as well', () => {
    const made = bench(STAGE_1, { caches: { caching: 'stale' } });
    originOf(made, 0x1000);
    made.store64(L1, 0n);
    made.store64(L1 + 0x1008, BLOCK);
    const descriptors = [LEVEL_1, read(1, 2, L1 + 0x1008, BLOCK)];
    expect(originOf(made, 0x20_0000)).toEqual({ access: 2, descriptors });
  });

  test('none without an entry, without recording, and of what was filled before', () => {
    const made = bench(STAGE_1);
    made.smmu.tbu.recordOrigins(false);
    expect(originOf(made, 0x1000)).toBeUndefined();
    made.smmu.tbu.recordOrigins(true);
    expect(originOf(made, 0x1000)).toBeUndefined();
    made.command([OPCODES.CMD_TLBI_NSNH_ALL]);
    expect(originOf(made, 0x1000)).toBeDefined();
    made.command([OPCODES.CMD_TLBI_NSNH_ALL]);
    expect(made.smmu.tbu.originOf(made.transaction)).toBeUndefined();
  });

  test('none of the entries that a restored state brings', () => {
    const made = bench(STAGE_1);
    originOf(made, 0x1000);
    made.smmu.restore(made.smmu.save('kept'));
    expect(made.smmu.tbu.originOf(made.transaction)).toBeUndefined();
  });
});
