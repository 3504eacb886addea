import { describe, expect, test } from 'vitest';
import { CR0, OFFSETS, OPCODES } from '../spec-numbers.js';
import { addressField, TableMemory, type TableShape, Tables } from './tables.js';
import { CDS, type CdFields, FULL_IDR, RAM_BYTES, type SteFields, TbuBench } from './tbu-bench.js';

/** What a TLBI takes and leaves: entries are filled, memory changes, and every access shows which of the two answers. */
const L1 = 0x10_0000;
const S2_L1 = 0x20_0000;
const GIB = 0x4000_0000;
const ASID = 3;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 6, TTB0: L1 >> 4, A: 1, R: 1, ASID };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
const STAGE_2: SteFields = { Config: 6, S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: S2_L1 >> 4 };
const BLOCK = 0xc41n;
const S2_BLOCK = 0x4fdn & ~2n;

describe('3.17.6, 6.3.9 VMW: low VMID bits that an invalidation ignores', () => {
  const VMID = 9;
  const kinds: [string, SteFields, readonly number[]][] = [
    ['NH_ALL', STAGE_1, [OPCODES.CMD_TLBI_NH_ALL, VMID]],
    ['NH_ASID', STAGE_1, [OPCODES.CMD_TLBI_NH_ASID, ASID * 0x1_0000 + VMID]],
    ['NH_VA', STAGE_1, [OPCODES.CMD_TLBI_NH_VA, ASID * 0x1_0000 + VMID, 0x1000]],
    ['NH_VAA', STAGE_1, [OPCODES.CMD_TLBI_NH_VAA, VMID, 0x1000]],
    ['S12_VMALL', STAGE_1, [OPCODES.CMD_TLBI_S12_VMALL, VMID]],
    ['S12_VMALL', STAGE_2, [OPCODES.CMD_TLBI_S12_VMALL, VMID]],
    ['S2_IPA', STAGE_2, [OPCODES.CMD_TLBI_S2_IPA, VMID, 0x1000]],
  ];
  test.each(kinds)('%s', (_, ste, command) => {
    for (let VMW = 0; VMW <= 5; VMW++) {
      const bench = new TbuBench();
      bench.write(OFFSETS.CR0, CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN | (VMW << 6));
      bench.cd(CDS, CD);
      const map = (out: number) => {
        bench.store64(L1, BigInt(out) | BLOCK);
        bench.store64(S2_L1, BigInt(out) | S2_BLOCK);
      };
      const isNew = (StreamID: number) =>
        bench.access({ StreamID, iova: 0x1000 }).pa === BigInt(2 * GIB) + 0x1000n;
      const VMIDs = Array.from({ length: 40 }, (_, vmid) => vmid);
      for (const vmid of VMIDs) bench.ste(vmid, { ...ste, S2VMID: vmid });
      map(GIB);
      for (const vmid of VMIDs) expect(isNew(vmid)).toBe(false);
      map(2 * GIB);
      bench.command(command);
      // Reserved values behave as 0.
      const ignored = VMW === 5 ? 0 : VMW;
      const taken = VMIDs.filter((vmid) => vmid >> ignored === VMID >> ignored);
      expect(VMIDs.filter(isNew), `VMW ${VMW}`).toEqual(taken);
    }
  });
});

describe('4.4.1.1: ranges of a 52-bit address space', () => {
  const DS: TableShape = { granule: 4, inputBits: 52, startLevel: -1, ds: true, lpa: false };
  const VAs = [0n, 1n << 43n, 1n << 44n, 1n << 47n, 1n << 48n, 1n << 50n, 1n << 51n];
  const UPPER = 0xfff0_0000_0000_0000n;

  /** Which of the VAs an invalidation of a range from 0 takes. */
  function taken(NUM: number, SCALE: number, ds = true): bigint[] {
    const idr = ds ? {} : { IDR5: FULL_IDR.IDR5 & ~0x80 };
    const bench = new TbuBench({ idr });
    const memory = new TableMemory(bench, 0x40_0000n, BigInt(RAM_BYTES));
    const shape = ds ? DS : { ...DS, ds: false, inputBits: 48, startLevel: 0 };
    const halves = [new Tables(memory, shape), new Tables(memory, shape)];
    bench.ste(1, STAGE_1);
    const fields = ds ? { DS: 1, T0SZ: 12, T1SZ: 12 } : { T0SZ: 16, T1SZ: 16 };
    const TTBs = { TTB0: halves[0]!.base >> 4n, TTB1: halves[1]!.base >> 4n, TG1: 2, EPD1: 0 };
    bench.cd(CDS, { ...CD, ...fields, ...TTBs });
    const low = ds ? VAs : VAs.filter((va) => va < 1n << 48n);
    const upper = ds ? UPPER : 0xffff_0000_0000_0000n;
    const all = [...low, ...low.map((va) => va | upper)];
    const map = (out: number) => {
      for (const va of all) {
        const input = va & ((1n << BigInt(shape.inputBits)) - 1n);
        halves[Number(va >> 63n)]!.map(input, 1, () => addressField(shape, BigInt(out)) | BLOCK);
      }
    };
    map(GIB);
    for (const va of all) expect(bench.access({ StreamID: 1, iova: va }).pa).toBe(BigInt(GIB));
    map(2 * GIB);
    bench.command([OPCODES.CMD_TLBI_NH_VAA + NUM * 2 ** 12 + SCALE * 2 ** 20, 0, 1 << 10, 0]);
    return all.filter((va) => bench.access({ StreamID: 1, iova: va }).pa === BigInt(2 * GIB));
  }

  test.each([
    [0, 31, 1],
    [1, 31, 2],
    [0, 32, 2],
    [31, 32, 5],
    [0, 36, 4],
    [0, 38, 5],
    [1, 38, 6],
    [0, 39, 6],
    [1, 39, 7],
    [31, 39, 7],
    // Above 39 counts as 39.
    [0, 40, 6],
    [0, 63, 6],
    [1, 63, 7],
  ])('DS: NUM %i, SCALE %i takes the first %i, and none of the TTB1 half', (NUM, SCALE, count) => {
    expect(taken(NUM, SCALE)).toEqual(VAs.slice(0, count));
  });

  test('without DS, SCALE has five bits', () => {
    expect(taken(1, 31, false)).toEqual(VAs.slice(0, 2));
    // Bit 25 is RES0: 2^2 granules.
    expect(taken(0, 32 + 2, false)).toEqual(VAs.slice(0, 1));
  });
});
