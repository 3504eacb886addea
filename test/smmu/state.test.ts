/** The state of one SMMU: what is in it, what must survive in it, and which states are refused whole. */
import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import type { SmmuConfig } from '../../src/smmu/config.js';
import { Smmu, type SmmuState } from '../../src/smmu/smmu.js';
import { StateError } from '../../src/smmu/state.js';
import { CR0, GBPA, GERROR, OFFSETS, OVFLG, S_OFFSETS } from '../spec-numbers.js';
import { Random } from './random.js';
import { PROGRAM_CONFIG, Rig, randomProgram } from './random-program.js';
import { IDR, SECURE_IDR, SparseSpace } from './tcu-bench.js';

function smmuOf(config: Partial<SmmuConfig>): Smmu {
  const spaces = [new SparseSpace(), new SparseSpace()] as const;
  const whole = { id: 'smmu7', idr: IDR, tlb: 8, configCache: 2, ...config };
  return new Smmu(whole, spaces, { interrupt: () => {} });
}

/** A state in the middle of a program, with full caches. */
function busyState(): SmmuState {
  const rig = new Rig(PROGRAM_CONFIG);
  for (const action of randomProgram(new Random(3), 120, false, false)) rig.perform(action);
  const state = rig.smmu.save();
  expect(state.tbu.caches!.tlb.entries.length).toBeGreaterThan(0);
  expect(state.tbu.caches!.config.streams.length).toBeGreaterThan(0);
  return state;
}

describe('A43: the Secure bank is in a state exactly when Secure support is on', () => {
  test.each([
    ['off', IDR, 1],
    ['on', SECURE_IDR, 2],
  ])('Secure support %s', (_name, idr, banks) => {
    expect(smmuOf({ idr }).save().tcu.banks).toHaveLength(banks);
  });
});

describe('A46, D3: a state of another SMMU is refused, and nothing has changed', () => {
  const refusal = (state: SmmuState, into: Smmu): string => {
    const before = structuredClone(into.save());
    let message = '';
    try {
      into.restore(state);
    } catch (error) {
      expect(error).toBeInstanceOf(StateError);
      message = (error as Error).message;
    }
    expect(into.save()).toEqual(before);
    return message;
  };

  test('with a Secure bank into an SMMU without Secure support, and the reverse: the instance is named', () => {
    const secure = smmuOf({ idr: SECURE_IDR });
    const plain = smmuOf({});
    expect(refusal(secure.save(), plain)).toBe(
      'smmu7: the state has a Secure bank, the SMMU has no Secure support',
    );
    expect(refusal(plain.save(), secure)).toBe(
      'smmu7: the state has no Secure bank, the SMMU has Secure support',
    );
  });

  test('another OAS is called by its size, any other difference by its register', () => {
    const state = smmuOf({}).save();
    expect(refusal(state, smmuOf({ idr: { ...IDR, IDR5: (IDR.IDR5 & ~7) | 5 } }))).toBe(
      'smmu7: the state is of an SMMU with an OAS of 44 bits, this one has 48',
    );
    expect(refusal(state, smmuOf({ idr: { ...IDR, IDR3: 0 } }))).toMatch(
      /^smmu7: .* with IDR3 0x400, this one has 0x0$/,
    );
  });

  test('what is wrong in the last part leaves the first parts alone, too', () => {
    const state = busyState();
    const caches = state.tbu.caches!;
    const rig = new Rig(PROGRAM_CONFIG);
    const { config } = caches;
    const [stream] = config.streams;
    const withWord = (word: number, change: (value: number) => number) => {
      const entries = caches.tlb.entries.slice();
      entries[word] = change(entries[word]!);
      return { ...caches, tlb: { ...caches.tlb, entries } };
    };
    const wrong: SmmuState['tbu']['caches'][] = [
      { ...caches, tlb: { ...caches.tlb, order: [99, ...caches.tlb.order.slice(1)] } },
      { ...caches, tlb: { ...caches.tlb, order: [] } },
      { ...caches, tlb: { ...caches.tlb, free: [0] } },
      { ...caches, tlb: { ...caches.tlb, entries: caches.tlb.entries.slice(1) } },
      // Rows of eleven words: the slot is the last, the size in bits [11:6] of the third, output and IPA are after the VMID.
      withWord(10, () => -1),
      withWord(10, () => 6),
      withWord(10, () => caches.tlb.entries[21]!),
      withWord(2, (tag) => tag & ~(63 << 6)),
      withWord(2, (tag) => tag | (63 << 6)),
      withWord(5, () => -1),
      withWord(7, () => 0x100),
      { ...caches, regimes: [...caches.regimes, caches.regimes[0]!] },
      { ...caches, config: { ...config, streams: [{ ...stream!, ste: new Int32Array(16) }] } },
      {
        ...caches,
        config: {
          ...config,
          streams: [
            { ...stream!, substreams: [{ SubstreamID: -1, cd: new Int32Array(16), isIllegal: false }] },
          ],
        },
      },
      { ...caches, config: { ...config, streams: Array.from({ length: 4 }, () => config.streams).flat() } },
    ];
    for (const one of wrong) {
      expect(refusal({ ...state, tbu: { ...state.tbu, caches: one! } }, rig.smmu)).toMatch(/^smmu0: /);
    }
  });

  test('registers that no SMMU can hold', () => {
    const smmu = smmuOf({});
    const { tcu, tbu } = smmu.save();
    const [bank] = tcu.banks;
    const withRegisters = (registers: Record<string, bigint>): SmmuState => ({
      tcu: { ...tcu, banks: [{ ...bank!, registers }] },
      tbu,
    });
    const { CR0: _cr0, ...rest } = bank!.registers;
    expect(refusal(withRegisters(rest), smmu)).toBe('smmu7: SMMU_CR0 is missing');
    expect(refusal(withRegisters({ ...bank!.registers, CR9: 0n }), smmu)).toBe(
      'smmu7: there is no register CR9 here',
    );
    expect(refusal(withRegisters({ ...bank!.registers, CR0ACK: 2n ** 31n }), smmu)).toBe(
      'smmu7: SMMU_CR0ACK cannot hold 0x80000000',
    );
  });
});

describe('A47: what is pending survives', () => {
  test.each<SecurityState>([NON_SECURE, SECURE])('of bank %i', (security) => {
    const rig = new Rig(PROGRAM_CONFIG);
    const offsets: Record<string, number> =
      security === SECURE
        ? Object.fromEntries(Object.entries(S_OFFSETS).map(([name, at]) => [name.slice(2), at]))
        : OFFSETS;
    const write = (name: string, value: number, sizeBytes = 4) =>
      rig.smmu.writeRegister(offsets[name]!, sizeBytes, BigInt(value), security);
    const read = (name: string) => Number(rig.smmu.readRegister(offsets[name]!, 4, security));
    const event = new Int32Array(8);
    write('CMDQ_BASE', 0x1_0003, 8);
    write('EVENTQ_BASE', 0x2_0000, 8);
    write('CR0', CR0.CMDQEN | CR0.EVENTQEN);
    rig.smmu.runToIdle();
    rig.spaces[security].store(0x1_0000, 0xff, 0);
    write('CMDQ_PROD', 1);
    rig.smmu.runToIdle();
    rig.smmu.tcu.record(event, security, false);
    rig.smmu.tcu.record(event, security, false);
    write('GBPA', GBPA.Update | GBPA.ABORT);
    write('CR0', CR0.CMDQEN);

    const state = structuredClone(rig.smmu.save());
    rig.smmu = rig.newSmmu();
    rig.smmu.restore(state);
    // CMDQ stopped at an illegal command, an overflow, an Update and an ACK under way.
    expect(read('GERROR') ^ read('GERRORN')).toBe(GERROR.CMDQ_ERR);
    expect(read('CMDQ_CONS')).toBe(0x0100_0000);
    expect(read('EVENTQ_PROD')).toBe((OVFLG | 1) >>> 0);
    expect(read('GBPA') & GBPA.Update).not.toBe(0);
    expect(read('CR0ACK')).toBe(CR0.CMDQEN | CR0.EVENTQEN);
    // And they go on as they would have.
    rig.spaces[security].store(0x1_0000, 0x46, 0);
    write('GERRORN', GERROR.CMDQ_ERR);
    rig.smmu.runToIdle();
    expect(read('CR0ACK')).toBe(CR0.CMDQEN);
    expect(read('GBPA')).toBe(GBPA.ABORT);
    expect(read('CMDQ_CONS') & 0xff_ffff).toBe(1);
  });
});
