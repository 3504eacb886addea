import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { Transaction } from '../../src/smmu/transaction.js';
import { CR0, GERROR, IDR0, OFFSETS, OPCODES, S_CR0, S_OFFSETS } from '../spec-numbers.js';
import {
  type BenchOptions,
  CDS,
  type CdFields,
  EVENTQ,
  type EventFields,
  eventOf,
  FULL_IDR,
  type SteFields,
  TbuBench,
} from './tbu-bench.js';

const L1 = 0x10_0000;
const S2_L1 = 0x12_0000;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, S: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
const STAGE_2: SteFields = { S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: S2_L1 >> 4 };
const BLOCK = 0x4000_0000n | 0x401n | (1n << 6n);
const IDENTITY = 0x401n | (0xfn << 2n) | (3n << 6n);
const STALL_MODEL = 0x300_0000;
/** Both models, in both Security states. */
const BOTH = { IDR0: FULL_IDR.IDR0 & ~STALL_MODEL, S_IDR0: 0 };
const RETRY = 1 << 12;
const AB = 1 << 13;
const SSEC = 1 << 10;

/** Stream 1 with stage 1, nothing mapped, faults stall. */
function stalling(cd: CdFields = {}, options: BenchOptions = {}, ste: SteFields = {}): TbuBench {
  const bench = new TbuBench({ ...options, idr: { ...BOTH, ...options.idr } });
  bench.ste(1, { ...STAGE_1, ...ste });
  bench.cd(CDS, { ...CD, ...cd });
  return bench;
}

function stalled(
  bench: TbuBench,
  iova: number,
  StreamID = 1,
  security: SecurityState = NON_SECURE,
): Transaction {
  const txn = new Transaction();
  expect(bench.begin({ StreamID, iova, security, ns: security === NON_SECURE }, txn).outcome).toBe('stall');
  return txn;
}

function resume(
  bench: TbuBench,
  StreamID: number,
  stag: number,
  flags: number,
  queue: SecurityState = NON_SECURE,
) {
  bench.command([OPCODES.CMD_RESUME | flags, StreamID, stag], queue);
}

const record = (stag: number, fields: EventFields) =>
  eventOf({ EventNumber: 0x10, StreamID: 1, RnW: 1, CLASS: 2, Stall: 1, STAG: stag, ...fields });

describe('the Stall model', () => {
  test('G12, 3.12.2, 7.3.13: a fault with CD.S holds the access and is recorded with Stall and STAG, whatever R', () => {
    for (const R of [0, 1]) {
      const bench = stalling({ R });
      const txn = stalled(bench, 0x1234);
      expect(bench.events()).toEqual([record(txn.stag, { InputAddr: 0x1234 })]);
      expect(bench.resume(txn).outcome, 'nobody has decided').toBe('stall');
      expect(bench.events()).toEqual([]);
    }
  });

  test('G12, 5.5: with S == 0 the same fault is terminated', () => {
    const bench = stalling({ S: 0 });
    expect(bench.access({ StreamID: 1, iova: 0x1234 }).outcome).toBe('abort');
    expect(bench.events()).toEqual([
      eventOf({ EventNumber: 0x10, StreamID: 1, RnW: 1, CLASS: 2, InputAddr: 0x1234 }),
    ]);
  });

  test.each([
    ['0x10 F_TRANSLATION', 0x10, 0n],
    ['0x11 F_ADDR_SIZE', 0x11, (1n << 47n) | BLOCK],
    ['0x12 F_ACCESS', 0x12, 0x4000_0041n],
    ['0x13 F_PERMISSION', 0x13, 0x4000_0401n],
  ])('G12, 3.12: %s at stage 1 stalls', (_, EventNumber, descriptor) => {
    const bench = stalling({ IPS: 0 });
    bench.store64(L1, descriptor);
    const txn = stalled(bench, 0x1234);
    expect(bench.events()).toEqual([record(txn.stag, { EventNumber, InputAddr: 0x1234 })]);
  });

  test('G12, 3.12: F_WALK_EABT and configuration errors never stall', () => {
    const bench = stalling();
    bench.spaces[0].injectFault({ pa: L1, sizeBytes: 8, access: 'read', times: 1 });
    expect(bench.access({ StreamID: 1, iova: 0x1234 }).outcome).toBe('abort');
    bench.cd(CDS, { ...CD, V: 0 });
    bench.command([OPCODES.CMD_CFGI_CD_ALL, 1]);
    expect(bench.access({ StreamID: 1, iova: 0x1234 }).outcome).toBe('abort');
    expect(bench.events().map((words) => words & 0xffn)).toEqual([0x0bn, 0x0an]);
  });

  test('G12, 3.12: an address beyond the range of a stream that bypasses stage 1 aborts, though S2S is set', () => {
    const bench = stalling();
    bench.ste(2, { Config: 6, ...STAGE_2, S2S: 1 });
    expect(bench.access({ StreamID: 2, iova: 1n << 53n }).outcome).toBe('abort');
    expect(bench.events().map((words) => (words >> 95n) & 1n)).toEqual([0n]);
  });

  test('G12, 4.7.1: CMD_RESUME(Retry) translates anew, as though the access had just arrived', () => {
    const bench = stalling();
    const txn = stalled(bench, 0x1234);
    bench.events();
    bench.store64(L1, BLOCK);
    expect(bench.resume(txn).outcome, 'no early retry').toBe('stall');
    resume(bench, 1, txn.stag, RETRY);
    expect(bench.resume(txn)).toEqual({ outcome: 'ok', pa: 0x4000_1234n, space: NON_SECURE });
    expect(bench.events()).toEqual([]);
  });

  test('G12, 4.7.1: a retry may fault again, with a record of its own, or terminate under a new configuration', () => {
    const bench = stalling();
    const txn = stalled(bench, 0x1234);
    const first = txn.stag;
    bench.events();
    resume(bench, 1, first, RETRY);
    expect(bench.resume(txn).outcome).toBe('stall');
    expect(bench.events()).toEqual([record(txn.stag, { InputAddr: 0x1234 })]);
    expect(txn.stag, 'a STAG is not given out again at once').not.toBe(first);
    bench.ste(1, { Config: 0 });
    bench.command([OPCODES.CMD_CFGI_STE, 1]);
    resume(bench, 1, txn.stag, RETRY);
    expect(bench.resume(txn).outcome).toBe('abort');
    expect(bench.events()).toEqual([]);
  });

  test('G12, 4.7.1: CMD_RESUME(Terminate) aborts or is RAZ/WI by Ab; with TERM_MODEL == 1 it always aborts', () => {
    for (const [idr0, flags, outcome] of [
      [BOTH.IDR0, AB, 'abort'],
      [BOTH.IDR0, 0, 'raz-wi'],
      [BOTH.IDR0 | IDR0.TERM_MODEL, 0, 'abort'],
    ] as const) {
      const bench = stalling({}, { idr: { IDR0: idr0 } });
      const txn = stalled(bench, 0x1234);
      resume(bench, 1, txn.stag, flags);
      expect(bench.resume(txn).outcome).toBe(outcome);
    }
  });

  test('G12, 4.7.1: a STAG of another StreamID, or of nobody, has no effect on any access', () => {
    const bench = stalling();
    bench.ste(2, STAGE_1);
    const one = stalled(bench, 0x1000);
    const two = stalled(bench, 0x2000, 2);
    resume(bench, 2, one.stag, AB);
    resume(bench, 1, two.stag, AB);
    resume(bench, 1, 0xffff, AB);
    resume(bench, 1, two.stag + 1, AB);
    expect([bench.resume(one).outcome, bench.resume(two).outcome]).toEqual(['stall', 'stall']);
    resume(bench, 2, two.stag, AB);
    expect([bench.resume(one).outcome, bench.resume(two).outcome]).toEqual(['stall', 'abort']);
  });

  test('G12, 4.7.1: an access that was resumed is not affected by a second CMD_RESUME', () => {
    const bench = stalling();
    const txn = stalled(bench, 0x1000);
    resume(bench, 1, txn.stag, RETRY);
    resume(bench, 1, txn.stag, AB);
    bench.store64(L1, BLOCK);
    expect(bench.resume(txn).outcome).toBe('ok');
  });

  test('G12, 3.12.2: accesses of the same stream pass a stalled one, and each has its record and STAG', () => {
    const bench = stalling();
    bench.store64(L1 + 8, BLOCK);
    const stags = [0x1000, 0x1008, 0x1000].map((iova) => stalled(bench, iova).stag);
    expect(new Set(stags).size).toBe(3);
    expect(bench.access({ StreamID: 1, iova: 0x4000_0000 }).outcome).toBe('ok');
    expect(bench.events()).toHaveLength(3);
  });

  test('G12, 4.7.2: CMD_STALL_TERM aborts what is stalled of its stream, and nothing else', () => {
    const bench = stalling();
    bench.ste(2, STAGE_1);
    const mine = [stalled(bench, 0x1000), stalled(bench, 0x2000)];
    const other = stalled(bench, 0x1000, 2);
    bench.command([OPCODES.CMD_STALL_TERM, 1]);
    expect(mine.map((txn) => bench.resume(txn).outcome)).toEqual(['abort', 'abort']);
    expect(bench.resume(other).outcome).toBe('stall');
    expect(stalled(bench, 0x1000).stag, 'later accesses stall').toBeGreaterThanOrEqual(0);
  });

  test('G12, 6.3.9.6: SMMUEN going to 0 aborts what is stalled in its Security state', () => {
    const bench = stalling();
    bench.ste(1, STAGE_1, SECURE);
    bench.cd(CDS, CD, SECURE);
    const nonSecure = stalled(bench, 0x1000);
    const secure = stalled(bench, 0x1000, 1, SECURE);
    bench.write(OFFSETS.CR0, CR0.CMDQEN | CR0.EVENTQEN);
    expect(bench.resume(nonSecure).outcome).toBe('abort');
    expect(bench.resume(secure).outcome).toBe('stall');
  });

  test('G12, 3.12.5: the model of the stage that faulted decides, of stage 2 for CD and TT too', () => {
    for (const [S2S, outcome] of [
      [1, 'stall'],
      [0, 'abort'],
    ] as const) {
      const nested = { ...STAGE_1, ...STAGE_2, Config: 7, S2R: 0, S2S };
      const make = (ste: SteFields, cd: CdFields) => {
        const bench = stalling(cd);
        bench.ste(1, ste);
        bench.store64(S2_L1, IDENTITY);
        return bench;
      };
      // IN: stage 1 maps to an IPA that stage 2 does not map.
      const input = make(nested, { S: 1 - S2S, A: 1 });
      input.store64(L1, BLOCK);
      expect(input.access({ StreamID: 1, iova: 0x1000 }).outcome).toBe(outcome);
      expect(input.access({ StreamID: 1, iova: 0x4000_0000 }).outcome, 'stage 1').toBe(
        S2S === 1 ? 'abort' : 'stall',
      );
      // TT and CD: outside the gigabyte that stage 2 maps.
      const table = make(nested, { TTB0: 0x8000_0000n >> 4n });
      expect(table.access({ StreamID: 1, iova: 0x1000 }).outcome).toBe(outcome);
      const cd = make({ ...nested, S1ContextPtr: 0x8000_0000n >> 6n }, {});
      expect(cd.access({ StreamID: 1, iova: 0x1000 }).outcome).toBe(outcome);
      const classes = (bench: TbuBench) => bench.events().map((words) => Number((words >> 95n) & 1n));
      expect(classes(table)).toEqual(S2S === 1 ? [1] : []);
    }
  });

  test('G12, 7.3: a stage 2 stall says IPA, CLASS and S2, and can be terminated RAZ/WI', () => {
    const bench = stalling();
    bench.ste(2, { Config: 6, ...STAGE_2, S2S: 1 });
    const txn = stalled(bench, 0x1000, 2);
    expect(bench.events()).toEqual([record(txn.stag, { StreamID: 2, InputAddr: 0x1000, S2: 1, IPA: 1 })]);
    resume(bench, 2, txn.stag, 0);
    expect(bench.resume(txn).outcome).toBe('raz-wi');
  });
});

describe('stalls and the Event queue', () => {
  const fill = (bench: TbuBench) => {
    for (let n = 0; n < 128; n++) bench.access({ StreamID: 99, iova: n });
  };

  test('G12, 7.2.1: a stall that finds the queue full is retried when it is not, and causes no overflow', () => {
    const bench = stalling();
    fill(bench);
    const txn = stalled(bench, 0x1000);
    expect(bench.resume(txn).outcome).toBe('stall');
    expect(bench.read(OFFSETS.EVENTQ_PROD) >>> 31, 'OVFLG').toBe(0);
    expect(bench.events()).toHaveLength(128);
    expect(bench.resume(txn).outcome).toBe('stall');
    expect(bench.events()).toEqual([record(txn.stag, { InputAddr: 0x1000 })]);
  });

  test('G12, 4.7.3: nothing is recorded of a configuration that was invalidated while the queue was full', () => {
    const bench = stalling();
    fill(bench);
    const txn = stalled(bench, 0x1000);
    bench.store64(L1, BLOCK);
    bench.command([OPCODES.CMD_TLBI_NSNH_ALL]);
    bench.sync();
    expect(bench.events()).toHaveLength(128);
    expect(bench.resume(txn).outcome).toBe('ok');
    expect(bench.events()).toEqual([]);
  });

  test('G12, 4.7.1, 4.7.2: without a record CMD_RESUME has no effect, CMD_STALL_TERM and SMMUEN have', () => {
    const bench = stalling();
    fill(bench);
    const [a, b] = [stalled(bench, 0x1000), stalled(bench, 0x1000)];
    resume(bench, 1, a.stag, AB);
    expect(bench.resume(a).outcome).toBe('stall');
    bench.command([OPCODES.CMD_STALL_TERM, 1]);
    expect(bench.resume(a).outcome).toBe('abort');
    const c = stalled(bench, 0x1000);
    bench.write(OFFSETS.CR0, CR0.CMDQEN | CR0.EVENTQEN);
    expect([bench.resume(b).outcome, bench.resume(c).outcome]).toEqual(['abort', 'abort']);
    expect(bench.events()).toHaveLength(128);
    expect(bench.events()).toEqual([]);
  });

  test('G12, 7.2.2: a stall whose record met an external abort is recorded after the error was acknowledged', () => {
    const bench = stalling();
    bench.spaces[0].injectFault({ pa: EVENTQ, sizeBytes: 32, access: 'write', times: 1 });
    const txn = stalled(bench, 0x1000);
    expect(bench.read(OFFSETS.GERROR)).toBe(GERROR.EVENTQ_ABT_ERR);
    expect(bench.resume(txn).outcome).toBe('stall');
    bench.write(OFFSETS.GERRORN, GERROR.EVENTQ_ABT_ERR);
    expect(bench.resume(txn).outcome).toBe('stall');
    expect(bench.events()).toEqual([record(txn.stag, { InputAddr: 0x1000 })]);
  });

  test('G12, 6.3.6, 3.12.2.3: no more records than STALL_MAX; what comes later waits and is recorded when there is room', () => {
    const bench = stalling({}, { idr: { IDR5: FULL_IDR.IDR5 | (2 << 16) } });
    const [a, b, c] = [stalled(bench, 0x1000), stalled(bench, 0x2000), stalled(bench, 0x3000)];
    bench.store64(L1 + 8, BLOCK);
    expect(bench.access({ StreamID: 1, iova: 0x4000_0000 }).outcome, 'others pass').toBe('ok');
    expect(bench.resume(c).outcome).toBe('stall');
    expect(bench.events()).toHaveLength(2);
    resume(bench, 1, a.stag, AB);
    expect(bench.resume(a).outcome).toBe('abort');
    expect(bench.resume(c).outcome).toBe('stall');
    expect(bench.events()).toEqual([record(c.stag, { InputAddr: 0x3000 })]);
    expect(c.stag).not.toBe(b.stag);
    expect(bench.smmu.tbu.counters).toMatchObject({ stalls: 3, aborts: 1 });
  });
});

describe('stalls and Security states', () => {
  const both = () => {
    const bench = stalling();
    bench.ste(1, STAGE_1, SECURE);
    bench.cd(CDS, CD, SECURE);
    return bench;
  };

  test('G12, 4.7.1: SSec selects; a Non-secure queue cannot touch a Secure stall', () => {
    const bench = both();
    const secure = stalled(bench, 0x1000, 1, SECURE);
    const nonSecure = stalled(bench, 0x1000);
    expect(bench.events(SECURE)).toHaveLength(1);
    expect(bench.events()).toHaveLength(1);
    resume(bench, 1, secure.stag, AB);
    expect(bench.resume(secure).outcome).toBe('stall');
    expect(() => resume(bench, 1, secure.stag, AB | SSEC)).toThrow('is refused');
    resume(bench, 1, secure.stag, AB | SSEC, SECURE);
    expect(bench.resume(secure).outcome).toBe('abort');
    resume(bench, 1, nonSecure.stag, AB, SECURE);
    expect(bench.resume(nonSecure).outcome, 'the Secure queue acts on Non-secure streams too').toBe('abort');
  });

  test('A3, 6.3.57.1: NSSTALLD makes S ILLEGAL for Non-secure CDs and the commands CERROR_ILL, for them alone', () => {
    const bench = both();
    bench.write(S_OFFSETS.S_CR0, CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN | S_CR0.NSSTALLD, 4, SECURE);
    expect(bench.access({ StreamID: 1, iova: 0x1000 }).outcome).toBe('abort');
    expect(bench.events().map((words) => words & 0xffn)).toEqual([0x0an]);
    const secure = stalled(bench, 0x1000, 1, SECURE);
    expect(() => resume(bench, 1, 0, AB)).toThrow('is refused');
    resume(bench, 1, secure.stag, AB | SSEC, SECURE);
    expect(bench.resume(secure).outcome).toBe('abort');
  });

  test('A3, 6.3.57.1: NSSTALLD counts when a structure is fetched; a cached CD keeps stalling until it is invalidated', () => {
    const bench = both();
    stalled(bench, 0x1000);
    bench.write(S_OFFSETS.S_CR0, CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN | S_CR0.NSSTALLD, 4, SECURE);
    stalled(bench, 0x1000);
    bench.command([OPCODES.CMD_CFGI_CD_ALL, 1]);
    expect(bench.access({ StreamID: 1, iova: 0x1000 }).outcome).toBe('abort');
  });

  test('G12, 6.3.1: with STALL_MODEL 0b10 both stages stall', () => {
    const forced = 0x200_0000;
    const bench = stalling({}, { idr: { IDR0: BOTH.IDR0 | forced, S_IDR0: forced } });
    bench.ste(2, { Config: 6, ...STAGE_2, S2S: 1 });
    stalled(bench, 0x1000);
    stalled(bench, 0x1000, 2);
  });
});

test('G12: a reset aborts what is stalled', () => {
  const bench = stalling();
  const txn = stalled(bench, 0x1000);
  bench.smmu.reset();
  expect(bench.resume(txn).outcome).toBe('abort');
});
