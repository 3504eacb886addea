/**
 * An SMMU that is saved and restored at random points of random programs, beside one that never is: nothing that software or
 * a device observes may differ.
 */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Random } from './random.js';
import { PROGRAM_CONFIG, Rig, randomProgram, STALLING_CONFIG } from './random-program.js';

const RUNS = Number(process.env.SMMULATOR_RUNS ?? 8);
const LENGTH = 150;
const MAXIMAL = { caching: 'maximally-stale', speculativeFills: true } as const;

/** Runs a program on both rigs, the second one being replaced now and then. */
function compare(seed: number, plain: Rig, interrupted: Rig, caches: 'kept' | 'dropped'): number {
  const random = new Random(seed);
  const stalls = plain.config === STALLING_CONFIG;
  plain.restart();
  interrupted.restart();
  let snapshots = 0;
  for (const [index, action] of randomProgram(random, LENGTH, caches === 'dropped', stalls).entries()) {
    if (random.chance(10)) {
      const state = structuredClone(interrupted.smmu.save(caches));
      interrupted.smmu = interrupted.newSmmu();
      interrupted.smmu.restore(state);
      const again = interrupted.smmu.save(caches);
      expect(isDeepStrictEqual(again, state), `seed ${seed}, action ${index}`).toBe(true);
      snapshots++;
    }
    const where = () =>
      `seed ${seed}, action ${index}: ${JSON.stringify(action, (_key, value) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value))}`;
    const [expected, got] = [plain.perform(action), interrupted.perform(action)];
    if (got !== expected) expect.fail(`${where()}: ${got}, expected ${expected}`);
    if (interrupted.differsFrom(plain)) expect(interrupted.observe(), where()).toBe(plain.observe());
  }
  expect(interrupted.observe(), `seed ${seed}`).toBe(plain.observe());
  expect(isDeepStrictEqual(interrupted.memoryContents(), plain.memoryContents()), `seed ${seed}`).toBe(true);
  expect(interrupted.smmu.tcu.counters).toEqual(plain.smmu.tcu.counters);
  if (caches === 'kept') expect(interrupted.smmu.tbu.counters).toEqual(plain.smmu.tbu.counters);
  return snapshots;
}

describe('A47: save, restore, continue is not to be told from having gone on', () => {
  for (const caches of ['kept', 'dropped'] as const) {
    test.each([
      ['terminate', PROGRAM_CONFIG],
      ['stall', STALLING_CONFIG],
      ['terminate, maximally stale and at random', { ...PROGRAM_CONFIG, ...MAXIMAL, replacement: 'random' }],
      ['terminate, maximally stale and LRU', { ...PROGRAM_CONFIG, ...MAXIMAL, replacement: 'lru' }],
    ] as const)(`with caches ${caches}, faults %s`, (_model, config) => {
      const plain = new Rig(config);
      const interrupted = new Rig(config);
      let snapshots = 0;
      for (let seed = 1; seed <= RUNS; seed++) snapshots += compare(seed, plain, interrupted, caches);
      expect(snapshots).toBeGreaterThan(RUNS);
    });
  }
});
