import { describe, expect, test } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { OPCODES } from '../spec-numbers.js';
import {
  type BenchOptions,
  CDS,
  type CdFields,
  eventOf,
  FULL_IDR,
  type SteFields,
  TbuBench,
} from './tbu-bench.js';

const L1 = 0x10_0000;
const L2 = 0x11_0000;
const S2_L1 = 0x12_0000;
/** IDR0.HTTU is bits [7:6]. */
const HTTU = (value: number) => ({ IDR0: FULL_IDR.IDR0 | (value << 6) });
const STALL_MODEL = 0x300_0000;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, HA: 1, HD: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
const STAGE_2: SteFields = {
  ...{ S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: S2_L1 >> 4, S2R: 1 },
  ...{ S2HA: 1, S2HD: 1 },
};
const VALID = 1n;
const AP1 = 1n << 6n;
const AP2 = 1n << 7n;
const S2R = 1n << 6n;
const S2W = 1n << 7n;
const AF = 1n << 10n;
const NG = 1n << 11n;
const DBM = 1n << 51n;
/** Device-nGnRnE is 0; this is Normal memory. */
const NORMAL = 0xfn << 2n;
const PXN = 1n << 53n;
const PA = 0x4000_0000n;

function stage1(descriptor: bigint, cd: CdFields = {}, options: BenchOptions = {}): TbuBench {
  const bench = new TbuBench({ ...options, idr: { ...HTTU(3), ...options.idr } });
  bench.ste(1, STAGE_1);
  bench.cd(CDS, { ...CD, ...cd });
  bench.store64(L1, PA | NG | VALID | descriptor);
  return bench;
}

/** What is in the leaf besides what `stage1` always puts there. */
const leaf = (bench: TbuBench, at = L1) => bench.load64(at)! & (AF | AP2 | DBM);

const read = { StreamID: 1, iova: 0x1234 };
const write = { ...read, write: true };
const CACHES: readonly (readonly [string, BenchOptions])[] = [
  ['off', { tlb: 0, configCache: 0 }],
  ['of one', { tlb: 1, configCache: 1 }],
  ['unbounded', {}],
];

describe.each(CACHES)('stage 1, caches %s', (_, caches) => {
  test('G16, 3.13.2: HA sets AF of a page that is used, once, whatever AFFD', () => {
    for (const AFFD of [0, 1]) {
      const bench = stage1(AP1, { AFFD, HD: 0 }, caches);
      expect(bench.access(read).outcome).toBe('ok');
      expect(leaf(bench)).toBe(AF);
      expect(bench.events()).toEqual([]);
    }
  });

  test('G16, 3.13.1: without HA, AF == 0 faults, or counts as set with AFFD; nothing is written', () => {
    for (const [AFFD, outcome] of [
      [0, 'abort'],
      [1, 'ok'],
    ] as const) {
      const bench = stage1(AP1, { AFFD, HA: 0, HD: 0 }, caches);
      expect(bench.access(read).outcome).toBe(outcome);
      expect(leaf(bench)).toBe(0n);
    }
  });

  test('G16, 5.4 HA: HD alone enables nothing', () => {
    const bench = stage1(AP1 | AP2 | DBM | AF, { HA: 0 }, caches);
    expect(bench.access(write).outcome).toBe('abort');
    expect(leaf(bench)).toBe(AF | AP2 | DBM);
  });

  test('G16, 3.13.3: a write makes writable-clean writable-dirty, a read does not, in either order', () => {
    const bench = stage1(AP1 | AP2 | DBM, {}, caches);
    expect(bench.access(read).outcome).toBe('ok');
    expect(leaf(bench), 'read').toBe(AF | AP2 | DBM);
    expect(bench.access(write)).toEqual({ outcome: 'ok', pa: PA + 0x1234n, space: NON_SECURE });
    expect(leaf(bench), 'written').toBe(AF | DBM);
    expect([bench.access(write).outcome, bench.access(read).outcome]).toEqual(['ok', 'ok']);
    expect(bench.events()).toEqual([]);
  });

  test('G16, 3.13.3: AF and dirty state in one write', () => {
    const bench = stage1(AP1 | AP2 | DBM, {}, caches);
    expect(bench.access(write).outcome).toBe('ok');
    expect(leaf(bench)).toBe(AF | DBM);
  });

  test('G16, 3.13.3: DBM == 0, HD == 0 and APTable leave a page read-only', () => {
    const cases: readonly (readonly [bigint, CdFields])[] = [
      [AP1 | AP2 | AF, {}],
      [AP1 | AP2 | AF | DBM, { HD: 0 }],
    ];
    for (const [descriptor, cd] of cases) {
      const bench = stage1(descriptor, cd, caches);
      expect(bench.access(read).outcome).toBe('ok');
      expect(bench.access(write).outcome).toBe('abort');
      expect(leaf(bench)).toBe(descriptor & ~AP1);
      expect(bench.events()).toEqual([
        eventOf({ EventNumber: 0x13, StreamID: 1, InputAddr: 0x1234, CLASS: 2 }),
      ]);
    }
    const bench = stage1(0n, {}, caches);
    bench.store64(L1, BigInt(L2) | 3n | (2n << 61n));
    bench.store64(L2, PA | NG | VALID | AP1 | AP2 | AF | DBM);
    expect(bench.access(write).outcome).toBe('abort');
    expect(leaf(bench, L2)).toBe(AF | AP2 | DBM);
  });

  test('G16, 3.13.2: an access without permission sets nothing', () => {
    const bench = stage1(AP2 | DBM, {}, caches);
    expect(bench.access(write).outcome, 'unprivileged').toBe('abort');
    expect(leaf(bench)).toBe(AP2 | DBM);
    expect(bench.access({ ...write, privileged: true }).outcome).toBe('ok');
    expect(leaf(bench)).toBe(AF | DBM);
  });

  test('G16, DDI 0487 D8.5.2.2: for WXN, and for privileged execution, clean counts as writable', () => {
    const fetch = { ...read, instruction: true };
    const bench = stage1(AP1 | AP2 | DBM | AF, { WXN: 1 }, caches);
    expect(bench.access(fetch).outcome).toBe('abort');
    const privileged = stage1(AP1 | AP2 | DBM | AF, {}, caches);
    expect(privileged.access({ ...fetch, privileged: true }).outcome).toBe('abort');
    const plain = stage1(AP1 | AP2 | AF, { WXN: 1 }, caches);
    expect(plain.access(fetch).outcome).toBe('ok');
    expect(stage1(AP1 | AP2 | AF, { WXN: 1 }, caches).access({ ...fetch, privileged: true }).outcome).toBe(
      'ok',
    );
  });

  test('G16, DDI 0487 D8.5.2.1: a write to what is cached as clean uses what memory says now', () => {
    const bench = stage1(AP1 | AP2 | DBM | AF, {}, caches);
    bench.access(read);
    bench.store64(L1, 0x8000_0000n | NG | VALID | AP1 | AP2 | DBM | AF);
    expect(bench.access(write)).toMatchObject({ pa: 0x8000_1234n });
    expect(bench.access(read)).toMatchObject({ pa: 0x8000_1234n });
    bench.store64(L1, PA | NG | VALID | AP1 | AP2 | DBM | AF);
    bench.command([OPCODES.CMD_TLBI_NSNH_ALL]);
    bench.access(read);
    bench.store64(L1, 0n);
    expect(bench.access(write).outcome).toBe('abort');
    expect(bench.events().map((words) => words & 0xffn)).toEqual([0x10n]);
  });

  test('G16: after software has made a page clean and invalidated it, the next write dirties it again', () => {
    const bench = stage1(AP1 | AP2 | DBM, {}, caches);
    for (let round = 0; round < 3; round++) {
      expect(bench.access(write).outcome).toBe('ok');
      expect(leaf(bench)).toBe(AF | DBM);
      bench.store64(L1, PA | NG | VALID | AP1 | AP2 | DBM);
      bench.command([OPCODES.CMD_TLBI_NH_ALL]);
      bench.sync();
    }
  });

  test('G16, 5.4 HA: IGNORED with VMSAv8-32 LPAE tables', () => {
    const idr = { IDR0: HTTU(3).IDR0 | 0x4 };
    const bench = stage1(AP1 | AP2 | DBM, { AA64: 0, T0SZ: 0, HAFT: 1 }, { ...caches, idr });
    expect(bench.access(write).outcome).toBe('abort');
    bench.store64(L1, PA | NG | VALID | AP1 | AP2 | DBM | AF);
    expect(bench.access(write).outcome).toBe('abort');
    expect(bench.events().map((words) => words & 0xffn)).toEqual([0x12n, 0x13n]);
    expect(leaf(bench)).toBe(AF | AP2 | DBM);
  });

  test('G16: a big-endian table', () => {
    const bench = stage1(0n, { ENDI: 1 }, caches);
    const swap = (value: bigint) =>
      BigInt(`0x${value.toString(16).padStart(16, '0').match(/../g)!.reverse().join('')}`);
    const descriptor = PA | NG | VALID | AP1 | AP2 | DBM;
    bench.store64(L1, swap(descriptor));
    expect(bench.access(write)).toMatchObject({ outcome: 'ok', pa: PA + 0x1234n });
    expect(swap(bench.load64(L1)!)).toBe((descriptor & ~AP2) | AF);
  });
});

describe('the update itself', () => {
  test('G16, 3.13: what somebody else changed between read and update is read again, and kept', () => {
    const bench = stage1(AP1 | AP2 | DBM);
    const space = bench.spaces[0];
    const swap = space.compareAndSwap.bind(space);
    let meddled = 0;
    space.compareAndSwap = (pa, ...words) => {
      // Another agent sets AF and a software bit.
      if (meddled++ === 0) bench.store64(pa, bench.load64(pa)! | AF | (1n << 55n));
      return swap(pa, ...words);
    };
    expect(bench.access(write).outcome).toBe('ok');
    expect(bench.load64(L1)! & (AF | AP2 | DBM | (1n << 55n))).toBe(AF | DBM | (1n << 55n));
    expect(meddled).toBe(2);
  });

  test('G16: a descriptor that never holds still ends as F_WALK_EABT, and so does an update that memory refuses', () => {
    for (const answer of [0, -1] as const) {
      const bench = stage1(AP1);
      let asked = 0;
      bench.spaces[0].compareAndSwap = () => {
        asked++;
        return answer;
      };
      expect(bench.access(read).outcome).toBe('abort');
      expect(bench.events()).toEqual([
        eventOf({ EventNumber: 0x0b, StreamID: 1, InputAddr: 0x1234, RnW: 1, CLASS: 1, FetchAddr: L1 >> 3 }),
      ]);
      expect(asked).toBe(answer === 0 ? 65 : 1);
    }
  });

  test('G16, 3.13.6: HAFT sets AF in Table descriptors on the way, with IDR0.HTTU == 0b11 alone', () => {
    for (const [httu, HAFT, expected] of [
      [3, 1, AF],
      [3, 0, 0n],
      [2, 1, 0n],
    ] as const) {
      const bench = stage1(0n, { HAFT }, { idr: HTTU(httu) });
      bench.store64(L1, BigInt(L2) | 3n);
      bench.store64(L2, PA | NG | VALID | AP1);
      expect(bench.access(read).outcome).toBe('ok');
      expect(bench.load64(L1)! & AF, 'the table').toBe(expected);
      expect(leaf(bench, L2)).toBe(AF);
    }
  });
});

test('G16, 3.14: a speculative fill changes no descriptor', () => {
  const L3 = 0x16_0000;
  for (const neighbour of [AP1 | AP2 | DBM, AP1 | AP2 | DBM | AF]) {
    const bench = stage1(0n, {}, { caches: { speculativeFills: true } });
    bench.store64(L1, BigInt(L2) | 3n);
    bench.store64(L2, BigInt(L3) | 3n);
    bench.store64(L3, PA | NG | 3n | neighbour);
    bench.store64(L3 + 8, (PA + 0x1000n) | NG | 3n | AP1);
    expect(bench.access({ ...write, iova: 0x1000 }).outcome).toBe('ok');
    expect(leaf(bench, L3 + 8)).toBe(AF);
    expect(leaf(bench, L3)).toBe(neighbour & ~AP1);
    expect(bench.access({ ...write, iova: 0 }).outcome).toBe('ok');
    expect(leaf(bench, L3)).toBe(AF | DBM);
  }
});

describe.each(CACHES)('stage 2, caches %s', (_, caches) => {
  function stage2(descriptor: bigint, ste: SteFields = {}): TbuBench {
    const bench = new TbuBench({ ...caches, idr: HTTU(3) });
    bench.ste(1, { ...STAGE_2, Config: 6, ...ste });
    bench.store64(S2_L1, PA | VALID | NORMAL | descriptor);
    return bench;
  }
  const s2leaf = (bench: TbuBench, at = S2_L1) => bench.load64(at)! & (AF | S2W | DBM);

  test('G16, 3.13.2, 3.13.3: S2HA sets AF, S2HD makes S2AP[1] 1', () => {
    const bench = stage2(S2R | DBM);
    expect(bench.access(read).outcome).toBe('ok');
    expect(s2leaf(bench)).toBe(AF | DBM);
    expect(bench.access(write)).toEqual({ outcome: 'ok', pa: PA + 0x1234n, space: NON_SECURE });
    expect(s2leaf(bench)).toBe(AF | S2W | DBM);
    expect(bench.access(write).outcome).toBe('ok');
    expect(bench.events()).toEqual([]);
  });

  test('G16, 5.2 S2HA: without S2HA, with S2HD alone, without DBM', () => {
    const none = stage2(S2R | S2W, { S2HA: 0, S2HD: 0 });
    expect(none.access(read).outcome).toBe('abort');
    expect(s2leaf(none)).toBe(S2W);
    for (const [descriptor, ste] of [
      [S2R | DBM | AF, { S2HA: 0 }],
      [S2R | DBM | AF, { S2HD: 0 }],
      [S2R | AF, {}],
    ] as const) {
      const bench = stage2(descriptor, ste);
      expect(bench.access(write).outcome).toBe('abort');
      expect(s2leaf(bench)).toBe(descriptor & (AF | DBM));
    }
  });

  test('G16, 3.13.2: an access that stage 2 refuses sets nothing', () => {
    const bench = stage2(S2W);
    expect(bench.access(read).outcome).toBe('abort');
    expect(s2leaf(bench)).toBe(S2W);
    expect(bench.access(write).outcome).toBe('ok');
    expect(s2leaf(bench)).toBe(AF | S2W);
  });
});

describe.each(CACHES)('both stages, caches %s', (_, caches) => {
  /** Stage 2 maps the first 2 MiB, where tables and CDs are, page by page, and the data by a block. */
  const S2_L2 = 0x13_0000;
  const S2_L3 = 0x14_0000;
  const entry = (address: number) => S2_L3 + 8 * (address >> 12);
  const page = (address: number | bigint, bits: bigint) => BigInt(address) | 3n | NORMAL | bits;

  function nested(
    stage1Leaf: bigint,
    frames: bigint,
    data: bigint,
    ste: SteFields = {},
    idr: BenchOptions['idr'] = HTTU(3),
  ): TbuBench {
    const bench = new TbuBench({ ...caches, idr });
    bench.ste(1, { ...STAGE_1, ...STAGE_2, Config: 7, ...ste });
    bench.cd(CDS, CD);
    bench.store64(L1, BigInt(L2) | 3n);
    bench.store64(L2, PA | NG | VALID | AP1 | stage1Leaf);
    bench.store64(S2_L1, BigInt(S2_L2) | 3n);
    bench.store64(S2_L1 + 8, PA | VALID | NORMAL | data);
    bench.store64(S2_L2, BigInt(S2_L3) | 3n);
    for (const address of [CDS, L1, L2]) bench.store64(entry(address), page(address, frames));
    return bench;
  }
  const flags = (bench: TbuBench, at: number) => bench.load64(at)! & (AF | S2W | DBM);

  test('G16, 3.13.5: one write updates the stage 1 leaf, the stage 2 leaves of CD and tables, and that of the data', () => {
    const bench = nested(AP2 | DBM, S2R | DBM, S2R | DBM);
    expect(bench.access(write)).toEqual({ outcome: 'ok', pa: PA + 0x1234n, space: NON_SECURE });
    expect(leaf(bench, L2), 'stage 1').toBe(AF | DBM);
    expect(flags(bench, entry(CDS)), 'the CD: read').toBe(AF | DBM);
    expect(flags(bench, entry(L1)), 'a table that was read').toBe(AF | DBM);
    expect(flags(bench, entry(L2)), 'the table that was updated').toBe(AF | S2W | DBM);
    expect(flags(bench, S2_L1 + 8), 'the data').toBe(AF | S2W | DBM);
    expect(bench.events()).toEqual([]);
  });

  test('G16, 3.13.5: a read sets Access flags, for which the table is written, and leaves the data clean', () => {
    const bench = nested(AP2 | DBM, S2R | DBM, S2R | DBM);
    expect(bench.access(read).outcome).toBe('ok');
    expect(leaf(bench, L2)).toBe(AF | AP2 | DBM);
    expect(flags(bench, entry(L2))).toBe(AF | S2W | DBM);
    expect(flags(bench, S2_L1 + 8)).toBe(AF | DBM);
    expect(bench.access(write).outcome).toBe('ok');
    expect([leaf(bench, L2), flags(bench, S2_L1 + 8)]).toEqual([AF | DBM, AF | S2W | DBM]);
  });

  test('G16, 3.13.5: where stage 2 alone is clean, a write after a read still dirties it', () => {
    const bench = nested(AF, S2R | S2W | AF, S2R | DBM | AF);
    expect([bench.access(read).outcome, bench.access(write).outcome]).toEqual(['ok', 'ok']);
    expect(flags(bench, S2_L1 + 8)).toBe(AF | S2W | DBM);
    expect(leaf(bench, L2)).toBe(AF);
  });

  test('G16, 7.3.16: where stage 2 forbids the update, F_PERMISSION with CLASS TT, and TTRnW 0: a write', () => {
    const bench = nested(0n, S2R | AF, S2R | S2W | AF);
    expect(bench.access(read).outcome).toBe('abort');
    expect(bench.events()).toEqual([
      eventOf({
        ...{ EventNumber: 0x13, StreamID: 1, InputAddr: 0x1234, RnW: 1, S2: 1, CLASS: 1 },
        ...{ IPA: L2 >> 12, TTRnW: 0 },
      }),
    ]);
    expect(leaf(bench, L2)).toBe(0n);
    // Nothing is to be updated: stage 2 need not let it.
    const used = nested(AF, S2R | AF, S2R | S2W | AF);
    expect(used.access(read).outcome).toBe('ok');
  });

  test('G16, 3.13.6: HAFT and S2HAFT, each for the tables of its stage; what stage 2 does not let be written faults', () => {
    const bench = nested(AF, S2R | S2W | AF, S2R | S2W | AF, { S2HAFT: 1 });
    bench.cd(CDS, { ...CD, HAFT: 1 });
    expect(bench.access(read).outcome).toBe('ok');
    expect([L1, S2_L1, S2_L2].map((at) => bench.load64(at)! & AF)).toEqual([AF, AF, AF]);
    const refused = nested(AF, S2R | AF, S2R | S2W | AF);
    refused.cd(CDS, { ...CD, HAFT: 1 });
    expect(refused.access(write).outcome).toBe('abort');
    expect(refused.events()).toEqual([
      eventOf({ EventNumber: 0x13, StreamID: 1, InputAddr: 0x1234, S2: 1, CLASS: 1, IPA: L1 >> 12 }),
    ]);
    expect(refused.load64(L1)! & AF).toBe(0n);
  });

  test('G12, G16, 3.13.5: an update that stage 2 refuses stalls by S2S; what is resumed makes it', () => {
    const idr = { IDR0: HTTU(3).IDR0 & ~STALL_MODEL, S_IDR0: 0 };
    const bench = nested(0n, S2R | AF, S2R | S2W | AF, { S2S: 1, S2R: 0 }, idr);
    expect(bench.access(read).outcome).toBe('stall');
    expect(bench.events()).toEqual([
      eventOf({
        ...{ EventNumber: 0x13, StreamID: 1, InputAddr: 0x1234, RnW: 1, S2: 1, CLASS: 1 },
        ...{ IPA: L2 >> 12, Stall: 1, STAG: bench.transaction.stag },
      }),
    ]);
    bench.store64(entry(L2), page(L2, S2R | S2W | AF));
    bench.command([OPCODES.CMD_TLBI_NSNH_ALL]);
    bench.command([OPCODES.CMD_RESUME | (1 << 12), 1, bench.transaction.stag]);
    expect(bench.resume(bench.transaction).outcome).toBe('ok');
    expect(leaf(bench, L2)).toBe(AF);
    expect(bench.events()).toEqual([]);
  });

  test('G16, 3.13.2: a CD that stage 2 does not let be read leaves its page as it was', () => {
    const bench = nested(AF, S2R | AF, S2R | S2W | AF);
    bench.store64(entry(CDS), page(CDS, S2W | DBM));
    expect(bench.access(read).outcome).toBe('abort');
    expect(bench.events().map((words) => words & 0xffn)).toEqual([0x13n]);
    expect(flags(bench, entry(CDS))).toBe(S2W | DBM);
  });

  test('G16, 3.13.5: a stage that may not be written does not dirty the other', () => {
    const bench = nested(AP2 | AF, S2R | S2W | AF, S2R | DBM | AF);
    expect(bench.access(write).outcome, 'stage 1 is read-only').toBe('abort');
    expect(flags(bench, S2_L1 + 8)).toBe(AF | DBM);
    bench.events();
    const other = nested(AF, S2R | S2W | AF, S2R | AF);
    expect(other.access(write).outcome, 'stage 2 is read-only').toBe('abort');
    expect(other.events().map((words) => words & 0xffn)).toEqual([0x13n]);
  });
});

test('PXN stays out of the way of dirty state', () => {
  const bench = stage1(AP1 | AP2 | DBM | AF | PXN);
  expect(bench.access({ ...read, instruction: true }).outcome).toBe('ok');
  expect(leaf(bench)).toBe(AF | AP2 | DBM);
});
