/** The written form of a state: whatever an SMMU can hold comes back from JSON as it was. */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { SmmuState } from '../../src/smmu/smmu.js';
import { secureBankSection, smmuSection, tbuSection } from '../../src/snapshot/state-sections.js';
import { Random } from '../smmu/random.js';
import { PROGRAM_CONFIG, Rig, randomProgram, STALLING_CONFIG } from '../smmu/random-program.js';

const RUNS = Number(process.env.SMMULATOR_RUNS ?? 10);

function throughJson({ tcu, tbu }: SmmuState): SmmuState {
  const again = (json: unknown): unknown => JSON.parse(JSON.stringify(json));
  const { banks, ...rest } = tcu;
  const one = smmuSection.decode(again(smmuSection.encode({ ...rest, bank: banks[0]! })), 'smmu');
  const two = secureBankSection.decode(again(secureBankSection.encode({ bank: banks[1]! })), 'bank_s');
  const { bank, ...others } = one;
  const { tbu: decoded } = tbuSection.decode(again(tbuSection.encode({ lane: 3, tbu })), 'tbu');
  return { tcu: { ...others, banks: [bank, two.bank] }, tbu: decoded };
}

describe('A44, A47: states through their written form', () => {
  it.each([
    ['terminate', PROGRAM_CONFIG],
    ['stall', STALLING_CONFIG],
  ])('of random programs whose faults %s: the SMMU that took it goes on alike', (_model, config) => {
    const plain = new Rig(config);
    const restored = new Rig(config);
    for (let seed = 1; seed <= RUNS; seed++) {
      const random = new Random(1000 + seed);
      plain.restart();
      restored.restart();
      for (const action of randomProgram(random, 100, false, config === STALLING_CONFIG)) {
        if (random.chance(6)) {
          const state = throughJson(restored.smmu.save());
          expect(isDeepStrictEqual(state, restored.smmu.save()), `seed ${seed}`).toBe(true);
          restored.smmu = restored.newSmmu();
          restored.smmu.restore(state);
        }
        expect(restored.perform(action), `seed ${seed}`).toBe(plain.perform(action));
        expect(restored.differsFrom(plain), `seed ${seed}`).toBe(false);
      }
    }
  });
});
