import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { Transaction } from '../../src/smmu/transaction.js';
import { CR0, OFFSETS, S_OFFSETS } from '../spec-numbers.js';
import { FULL_IDR, TbuBench } from './tbu-bench.js';

const RUNS = Number(process.env.SMMULATOR_RUNS ?? 400);
const word = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constantFrom(0, 0xffff_ffff, 1, 0x8000_0000),
);
const small = fc.nat(63);
const security = fc.constantFrom(NON_SECURE, SECURE);
/** Anywhere, but mostly where structures, queues and tables are. */
const address = fc.oneof(
  fc.integer({ min: 0, max: 0x6_0000 / 8 }).map((index) => index * 8),
  fc.constantFrom(0x4_0000, 0x5_0000, 0x1_0000, 0x10_0000, 0x11_0000),
);

const action = fc.oneof(
  fc.record({
    kind: fc.constant('memory' as const),
    address,
    words: fc.array(word, { minLength: 2, maxLength: 16 }),
    security,
  }),
  fc.record({
    kind: fc.constant('ste' as const),
    StreamID: small,
    words: fc.array(word, { minLength: 16, maxLength: 16 }),
    Config: fc.nat(7),
    security,
  }),
  fc.record({
    kind: fc.constant('register' as const),
    offset: fc.oneof(
      fc.integer({ min: 0, max: 0x2_0010 }),
      fc.nat(0x60).map((n) => n * 4),
      fc.nat(0x60).map((n) => 0x8000 + n * 4),
    ),
    sizeBytes: fc.constantFrom(1, 2, 4, 4, 8),
    value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    security,
  }),
  fc.record({
    kind: fc.constant('command' as const),
    words: fc.array(word, { minLength: 4, maxLength: 4 }),
    opcode: fc.nat(0x7f),
    security,
  }),
  fc.record({
    kind: fc.constant('access' as const),
    StreamID: fc.oneof(small, word),
    SubstreamID: fc.oneof(fc.constant(-1), fc.nat(0xf_ffff), fc.nat(3)),
    iova: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 2n ** 30n })),
    write: fc.boolean(),
    privileged: fc.boolean(),
    instruction: fc.boolean(),
    ns: fc.boolean(),
    security,
  }),
);

/** Both models, room for two. */
const STALLING = { IDR0: FULL_IDR.IDR0 & ~0x300_0000, S_IDR0: 0, IDR5: FULL_IDR.IDR5 | (2 << 16) };

describe('H8', () => {
  test('no register, structure, command or memory makes the core throw, or a Non-secure stream Secure (A17); SMMUEN to 0 ends every stall (6.3.9.6)', () => {
    const program = fc.tuple(
      fc.record({ IDR0: word, IDR1: word, IDR3: word, IDR5: word, S_IDR0: word, full: fc.boolean() }),
      fc.array(action, { minLength: 10, maxLength: 60 }),
    );
    fc.assert(
      fc.property(program, ([idr, actions]) => {
        const { full, ...words } = idr;
        const bench = new TbuBench(full ? { idr: STALLING, tlb: 4, configCache: 1 } : { idr: words, tlb: 4 });
        const stalled = new Set<Transaction>();
        for (const one of actions) {
          switch (one.kind) {
            case 'memory':
              bench.store(one.address, one.words, one.security);
              break;
            case 'ste': {
              const [first, ...rest] = one.words;
              bench.store(
                0x4_0000 + 64 * one.StreamID,
                [((first! & ~0xf) | 1 | (one.Config << 1)) >>> 0, ...rest],
                one.security,
              );
              break;
            }
            case 'register':
              bench.write(
                one.offset,
                BigInt.asUintN(8 * one.sizeBytes, one.value),
                one.sizeBytes,
                one.security,
              );
              bench.smmu.readRegister(one.offset, one.sizeBytes, one.security);
              break;
            case 'command': {
              const [first, ...rest] = one.words;
              try {
                bench.command([((first! & ~0xff) | one.opcode) >>> 0, ...rest], one.security);
              } catch (error) {
                expect(String(error)).toContain('is refused');
              }
              break;
            }
            case 'access': {
              const txn = new Transaction();
              const answer = bench.begin(one, txn);
              if (answer.outcome === 'stall') stalled.add(txn);
              if (one.security === NON_SECURE) expect(answer.space ?? NON_SECURE).toBe(NON_SECURE);
            }
          }
          for (const txn of stalled) if (bench.resume(txn).outcome !== 'stall') stalled.delete(txn);
        }
        bench.write(OFFSETS.CR0, CR0.EVENTQEN);
        bench.write(S_OFFSETS.S_CR0, CR0.EVENTQEN, 4, SECURE);
        for (const txn of stalled) expect(bench.resume(txn).outcome).not.toBe('stall');
      }),
      { numRuns: RUNS },
    );
  });
});
