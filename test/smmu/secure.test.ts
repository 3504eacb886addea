/** Secure and Non-secure streams of one SMMU (IHI 0070 3.10.2, 3.11; REQUIREMENTS A17, A28, A33 to A42). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import type { MappedSpace } from '../../src/memory/mapped-space.js';
import { Transaction } from '../../src/smmu/transaction.js';
import { CR0, OFFSETS, OPCODES, S_OFFSETS } from '../spec-numbers.js';
import { Random } from './random.js';
import {
  CDS,
  type CdFields,
  EVENTQ,
  eventOf,
  FULL_IDR,
  STRTAB,
  type SteFields,
  TbuBench,
} from './tbu-bench.js';

const RUNS = Number(process.env.SMMULATOR_RUNS ?? 60);
const STATES = [NON_SECURE, SECURE] as const;
const L1 = 0x11_0000;
const L2 = 0x12_0000;
const S2_L1 = 0x13_0000;
const S_S2_L1 = 0x14_0000;
const GIB = 0x4000_0000;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6 };
/** AF, AP read/write at any privilege, nG. */
const BLOCK = 0xc41n;

const read = { iova: 8, privileged: true };
const block = (gib: number, bits = BLOCK) => BigInt(gib) * BigInt(GIB) + bits;

/** Stream 1 of each state translates iova 0 to a gigabyte of its own: 1 and 2. */
function both(options: ConstructorParameters<typeof TbuBench>[0] = {}): TbuBench {
  const bench = new TbuBench(options);
  for (const security of STATES) {
    bench.ste(1, STAGE_1, security);
    bench.cd(CDS, CD, security);
    bench.store64(L1, block(1 + security), security);
  }
  return bench;
}

const OWN = STATES.map((space) => ({ outcome: 'ok', pa: BigInt((1 + space) * GIB + 8), space }));

describe('A33, A42: one StreamID, ASID, VMID and VA in both states', () => {
  const INFINITE = Number.POSITIVE_INFINITY;
  test.each([
    [0, 0],
    [1, 1],
    [64, 16],
    [INFINITE, INFINITE],
  ])('tlb %s, config-cache %s: each translation is its own, in any order', (tlb, configCache) => {
    const bench = both({ tlb, configCache });
    for (const security of [0, 1, 1, 0, 0, 1, 0, 1] as const) {
      expect(bench.access({ ...read, StreamID: 1, security })).toEqual(OWN[security]);
    }
  });

  test('an invalidation of one leaves the entry of the other', () => {
    for (const queue of STATES) {
      const bench = both();
      for (const security of STATES) bench.access({ ...read, StreamID: 1, security });
      for (const security of STATES) bench.store64(L1, block(5), security);
      bench.command([OPCODES.CMD_TLBI_NH_ALL], queue);
      const now = STATES.map(
        (security) => bench.access({ ...read, StreamID: 1, security }).pa! / BigInt(GIB),
      );
      expect(now).toEqual(queue === SECURE ? [1n, 5n] : [5n, 2n]);
    }
  });
});

describe('A34: the structures of a state are in its PA space', () => {
  test('a Stream table, CD or queue at the same address of the other space is never consulted', () => {
    for (const own of STATES) {
      const other = own === SECURE ? NON_SECURE : SECURE;
      const bench = new TbuBench();
      // All that is right is in the other space.
      bench.ste(1, STAGE_1, other);
      bench.cd(CDS, CD, other);
      bench.store64(L1, block(1), other);
      expect(bench.access({ ...read, StreamID: 1, security: own }).outcome).toBe('abort');
      expect(bench.events(own)).toEqual([eventOf({ EventNumber: 4, StreamID: 1 })]);
      expect(bench.load64(EVENTQ, other), 'the record').toBe(0n);
      bench.ste(1, STAGE_1, own);
      bench.access({ ...read, StreamID: 1, security: own });
      expect(bench.events(own), 'the CD').toEqual([eventOf({ EventNumber: 10, StreamID: 1 })]);
      bench.cd(CDS, CD, own);
      expect(bench.access({ ...read, StreamID: 1, security: own }).outcome, 'the table').toBe('abort');
      bench.store64(L1, block(3), own);
      expect(bench.access({ ...read, StreamID: 1, security: own }).pa).toBe(BigInt(3 * GIB + 8));
    }
  });

  test('a 2-level Stream table too', () => {
    const bench = new TbuBench({ strtabBaseCfg: (1 << 16) | (6 << 6) | 12 });
    bench.l1std(STRTAB, 7, 0x6_0000);
    bench.ste(1, { Config: 4 }, SECURE, 0x6_0000);
    expect(bench.access({ ...read, StreamID: 1, security: SECURE }).outcome).toBe('abort');
    bench.store64(STRTAB, 0x6_0007n, SECURE);
    expect(bench.access({ ...read, StreamID: 1, security: SECURE }).outcome).toBe('ok');
  });
});

describe('A37, 3.11: each state has an SMMUEN and a GBPA of its own', () => {
  const enable = CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN;
  test.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('Non-secure SMMUEN %s, Secure SMMUEN %s', (nonSecure, secure) => {
    const bench = both({ cr0: nonSecure ? enable : 0, secureCr0: secure ? enable : 0 });
    const at = (security: SecurityState) => bench.access({ ...read, StreamID: 1, security });
    const bypassed = (space: SecurityState) => ({ outcome: 'ok', pa: 8n, space });
    expect(at(NON_SECURE)).toEqual(nonSecure ? OWN[NON_SECURE] : bypassed(NON_SECURE));
    expect(at(SECURE)).toEqual(secure ? OWN[SECURE] : bypassed(SECURE));
    bench.write(S_OFFSETS.S_GBPA, 0x8010_0000, 4, SECURE);
    expect(at(SECURE), 'S_GBPA.ABORT').toEqual(secure ? OWN[SECURE] : { outcome: 'abort' });
    expect(at(NON_SECURE)).toEqual(nonSecure ? OWN[NON_SECURE] : bypassed(NON_SECURE));
    bench.write(S_OFFSETS.S_GBPA, 0x8000_1000, 4, SECURE);
    bench.write(OFFSETS.GBPA, 0x8010_0000);
    expect(at(NON_SECURE), 'GBPA.ABORT').toEqual(nonSecure ? OWN[NON_SECURE] : { outcome: 'abort' });
    expect(at(SECURE)).toEqual(secure ? OWN[SECURE] : bypassed(SECURE));
  });

  test('6.3.63 S_GBPA.NSCFG and the incoming NS attribute choose the space of a bypassing Secure stream', () => {
    for (const [NSCFG, incoming, overridden] of [
      [0, [SECURE, NON_SECURE], false],
      [1, [SECURE, NON_SECURE], false],
      [2, [SECURE, SECURE], true],
      [3, [NON_SECURE, NON_SECURE], true],
    ] as const) {
      for (const overrides of [true, false]) {
        const idr = overrides ? {} : { IDR1: FULL_IDR.IDR1 & ~(1 << 26) };
        const bench = new TbuBench({ secureCr0: 0, idr });
        bench.write(S_OFFSETS.S_GBPA, 0x8000_1000 + (NSCFG << 14), 4, SECURE);
        const spaces = [false, true].map((ns) => bench.access({ ...read, security: SECURE, ns }).space);
        expect(spaces).toEqual(overridden && !overrides ? [SECURE, NON_SECURE] : [...incoming]);
      }
    }
  });
});

test('A28: S_INIT.INV_ALL drops the configuration and the translations of both states', () => {
  const bench = both();
  const now = () => STATES.map((security) => bench.access({ ...read, StreamID: 1, security }).outcome);
  const enable = (on: number) => {
    bench.write(OFFSETS.CR0, on);
    bench.write(S_OFFSETS.S_CR0, on, 4, SECURE);
  };
  expect(now()).toEqual(['ok', 'ok']);
  for (const security of STATES) bench.ste(1, { V: 0 }, security);
  enable(0);
  enable(CR0.SMMUEN);
  expect(now(), 'what is cached survives SMMUEN').toEqual(['ok', 'ok']);
  bench.write(S_OFFSETS.S_INIT, 1, 4, SECURE);
  expect(now(), 'and INV_ALL while SMMUEN is set').toEqual(['ok', 'ok']);
  enable(0);
  bench.write(S_OFFSETS.S_INIT, 1, 4, SECURE);
  expect(bench.read(S_OFFSETS.S_INIT, SECURE)).toBe(0);
  enable(CR0.SMMUEN);
  expect(now()).toEqual(['abort', 'abort']);
});

test('A40: each CFGI command on the Secure queue takes the Stream table that SSec names, and on the Non-secure queue its own', () => {
  const { CMD_CFGI_STE, CMD_CFGI_STE_RANGE, CMD_CFGI_CD, CMD_CFGI_CD_ALL } = OPCODES;
  const ranges: readonly (readonly [number, number, number])[] = [
    [CMD_CFGI_STE, 1, 1],
    [CMD_CFGI_STE_RANGE, 0, 3],
    [CMD_CFGI_STE_RANGE, 0, 31],
    [CMD_CFGI_CD, 1, 1],
    [CMD_CFGI_CD_ALL, 1, 0],
  ];
  for (const [opcode, word1, word2] of ranges) {
    for (const [queue, ssec] of [
      [NON_SECURE, NON_SECURE],
      [SECURE, NON_SECURE],
      [SECURE, SECURE],
    ] as const) {
      const bench = both({ tlb: 0 });
      const at = (security: SecurityState) => bench.access({ ...read, StreamID: 1, security }).outcome;
      expect(STATES.map(at)).toEqual(['ok', 'ok']);
      for (const security of STATES) bench.cd(CDS, { V: 0 }, security);
      bench.command([opcode | (ssec << 10), word1, word2], queue);
      expect(STATES.map(at), `opcode ${opcode} SSec ${ssec}`).toEqual(
        STATES.map((state) => (state === ssec ? 'abort' : 'ok')),
      );
    }
  }
});

describe('A21: SEC_SID', () => {
  test('a transaction whose SEC_SID nobody set is Non-secure', () => {
    const bench = both();
    const transaction = new Transaction();
    expect(transaction.SEC_SID).toBe(NON_SECURE);
    transaction.StreamID = 1;
    transaction.iovaLo = 8;
    bench.smmu.tbu.translate(transaction);
    expect([transaction.pa, transaction.space]).toEqual([GIB + 8, NON_SECURE]);
  });

  test('the address and the NS attribute of an access say nothing about its stream', () => {
    const bench = both();
    for (const ns of [false, true]) {
      expect(bench.access({ ...read, StreamID: 1, ns })).toEqual(OWN[NON_SECURE]);
      expect(bench.access({ ...read, StreamID: 1, ns, security: SECURE })).toEqual(OWN[SECURE]);
    }
  });
});

describe('A17: a Non-secure stream and the Secure PA space', () => {
  /** Counts whatever is done to a space while `work` runs. */
  function touches(space: MappedSpace, work: () => void): number {
    let count = 0;
    const guarded = space as unknown as Record<string, (...of: never[]) => unknown>;
    const names = ['load', 'store', 'store32', 'compareAndSwap', 'read', 'write'];
    for (const name of names) {
      const real = guarded[name]!;
      guarded[name] = (...of: never[]) => {
        count++;
        return real.apply(space, of);
      };
    }
    work();
    for (const name of names) delete guarded[name];
    return count;
  }

  /** Mostly valid structures: all that could lead astray is random, what would only make them ILLEGAL is not. */
  function structures(bench: TbuBench, random: Random, sel2: boolean): void {
    const flag = () => random.below(2);
    for (const security of STATES) {
      const configs = security === NON_SECURE || sel2 ? [4, 5, 6, 7] : [4, 5];
      for (let StreamID = 0; StreamID < 8; StreamID++) {
        const Config = random.pick(configs);
        const STRW =
          Config === 5
            ? random.pick(security === SECURE && sel2 ? [0, 1, 2] : [0, security === SECURE ? 1 : 2])
            : 0;
        bench.ste(
          StreamID,
          {
            ...{ Config, STRW, S1ContextPtr: (CDS + 64 * random.below(4)) >> 6, S2VMID: random.below(2) },
            ...{ NSCFG: random.below(4), PRIVCFG: random.below(4), INSTCFG: random.below(4) },
            ...{ S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: S2_L1 >> 4, S2R: 1 },
            ...{ S_S2T0SZ: 25, S_S2SL0: 1, S_S2TTB: S_S2_L1 >> 4 },
            ...{ S2SW: flag(), S2SA: flag(), S2NSW: flag(), S2NSA: flag() },
          },
          security,
        );
      }
      for (let i = 0; i < 4; i++) {
        const NSCFG = { NSCFG0: flag(), NSCFG1: flag() };
        bench.cd(CDS + 64 * i, { ...CD, ...NSCFG, HAD0: flag(), ASID: random.below(2) }, security);
      }
      const leaf = () => block(random.below(8), 0x441n | (random.bits(1) << 5n) | (random.bits(1) << 11n));
      const table = () => BigInt(L2) | 3n | (random.bits(1) << 63n);
      for (let i = 0; i < 4; i++) bench.store64(L1 + 8 * i, random.chance(50) ? leaf() : table(), security);
      for (let i = 0; i < 4; i++) {
        bench.store64(L2 + 8 * i, (random.bits(5) << 21n) | 0x441n | (random.bits(1) << 5n), security);
      }
      for (const base of [S2_L1, S_S2_L1]) {
        // The first gigabyte is where the tables are: one to one, mostly.
        bench.store64(base, block(random.chance(80) ? 0 : 1, 0x4fdn), security);
        for (let i = 1; i < 8; i++) bench.store64(base + 8 * i, block(random.below(8), 0x4fdn), security);
      }
    }
  }

  const COMMANDS = [OPCODES.CMD_TLBI_NH_ALL, OPCODES.CMD_TLBI_NSNH_ALL, OPCODES.CMD_CFGI_STE_RANGE];

  test('neither an output nor any access of its configuration and table walks is Secure, whatever the structures say', () => {
    const seen = { nonSecureOk: 0, nonSecure: 0, secureToSecure: 0, secureToNonSecure: 0 };
    fc.assert(
      fc.property(fc.nat(), fc.boolean(), fc.constantFrom(0, 2, 64), (seed, sel2, tlb) => {
        const random = new Random(seed);
        const S_IDR1 = (FULL_IDR.S_IDR1 | (sel2 ? 0x2000_0000 : 0)) >>> 0;
        const bench = new TbuBench({ idr: { S_IDR1 }, tlb, configCache: tlb });
        structures(bench, random, sel2);
        for (let step = 0; step < 60; step++) {
          if (random.chance(10)) structures(bench, random, sel2);
          if (random.chance(15)) bench.command([random.pick(COMMANDS), 0, 31], random.pick(STATES));
          if (random.chance(3)) {
            bench.write(OFFSETS.GBPA, BigInt(0x8000_0000) | random.bits(16));
            bench.write(OFFSETS.CR0, 0xc | random.below(2));
          }
          const security = random.pick(STATES);
          const access = {
            ...{
              StreamID: random.below(8),
              security,
              iova: random.below(4) * GIB + random.below(32) * 0x10_0000,
            },
            ...{ write: random.chance(30), privileged: random.chance(50), ns: random.chance(50) },
          };
          let answer: ReturnType<TbuBench['access']> = { outcome: '' };
          const count = touches(bench.spaces[SECURE], () => {
            answer = bench.access(access);
          });
          if (security === NON_SECURE) {
            seen.nonSecure++;
            expect(answer.space ?? NON_SECURE).toBe(NON_SECURE);
            expect(count, 'accesses to the Secure PA space').toBe(0);
            if (answer.outcome === 'ok') seen.nonSecureOk++;
          } else if (answer.space === SECURE) seen.secureToSecure++;
          else if (answer.space === NON_SECURE) seen.secureToNonSecure++;
        }
        bench.events(NON_SECURE);
        bench.events(SECURE);
      }),
      { numRuns: RUNS },
    );
    // The programs do what they are for: most accesses arrive, and Secure streams reach both spaces.
    expect(seen.nonSecureOk / seen.nonSecure).toBeGreaterThan(0.4);
    expect(Math.min(seen.secureToSecure, seen.secureToNonSecure)).toBeGreaterThan(RUNS);
  });
});
