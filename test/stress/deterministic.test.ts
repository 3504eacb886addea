/** H6, F9: the deterministic machine; H2: the checker is silent where nothing is wrong. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import type { CacheSettings } from '../../src/smmu/config.js';
import { PROFILE_NAMES } from '../../src/stress/profiles.js';
import { runDeterministic } from '../../src/stress/schedule/deterministic.js';
import { machineFile, overlay, runner } from './machines.js';

/** Of each region, from its base on: the pages, the tables and the queues of a run. */
const HASHED_BYTES = 32 * 2 ** 20;
/** Seeds of each case; SMMULATOR_RUNS raises it. */
const SEEDS = Number(process.env.SMMULATOR_RUNS ?? 2);

describe.each(['virt-3-smmus', 'secure-island', 'accelerated'])('%s', (name) => {
  const run = runner(machineFile(name));

  it.each(PROFILE_NAMES)('H2: profile %s has no finding', (profile) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const report = run({ seed, operations: 600, profile, check: true });
      expect(report.findings, `seed ${seed}`).toEqual([]);
    }
  });

  it('H6, F9: the same seed makes the same run, a recorded schedule makes it again', () => {
    const options = { seed: 7, operations: 600, profile: 'map-unmap', check: true } as const;
    const first = run(options);
    expect(first.schedule.length).toBeGreaterThan(1000);
    expect(run(options)).toEqual(first);
    const again = run({ ...options, schedule: first.schedule });
    expect(again).toEqual(first);
    expect(run({ ...options, seed: 8 }).schedule).not.toEqual(first.schedule);
  });
});

it.each(['skip-tlbi', 'dropped-invalidation', 'wrong-asid', 'next-page', 'lost-event'] as const)(
  'H3: of accelerated SMMUs, the fault %s is found',
  (mutate) => {
    const run = runner(machineFile('accelerated'));
    const options = { seed: 1, operations: 6000, profile: 'everything', check: true, mutate } as const;
    expect(run(options).findings).not.toEqual([]);
  },
);

describe('H5: correct software passes whatever the caches keep', () => {
  const machine = overlay();
  const dials: Readonly<Record<string, CacheSettings>> = {
    off: { tlb: 0, configCache: 0 },
    'one entry': { tlb: 1, configCache: 1 },
    'a few, replaced at random': { tlb: 5, configCache: 1, replacement: 'random', cacheSeed: 3 },
    stale: { tlb: 64, configCache: 4, caching: 'stale', replacement: 'lru' },
    'maximally stale, with speculative fills': {
      ...{ tlb: Number.POSITIVE_INFINITY, configCache: Number.POSITIVE_INFINITY },
      ...{ caching: 'maximally-stale', speculativeFills: true },
    },
  };

  it.each(Object.entries(dials))('%s', (_, dial) => {
    const smmus = machine.smmus.map((smmu) => ({ ...smmu, config: { ...smmu.config, ...dial } }));
    const run = runner({ ...machine, smmus });
    for (let seed = 1; seed <= SEEDS; seed++) {
      const options = { seed, operations: 600, profile: 'everything', check: true } as const;
      expect(run(options).findings, `seed ${seed}`).toEqual([]);
    }
  });
});

it('H6: the same seed leaves the same bytes in memory, another seed others', () => {
  const machine = overlay();
  const digest = (seed: number) => {
    const memory = GuestMemory.create(machine.regions);
    runDeterministic(machine, { seed, operations: 400, profile: 'everything', check: true, memory });
    const hash = createHash('sha256');
    for (const { id, base } of machine.regions) {
      const bytes = new Uint8Array(HASHED_BYTES);
      expect(memory.space([id]).read(base, bytes, 0, bytes.length)).toBe(true);
      hash.update(bytes);
    }
    return hash.digest('hex');
  };
  const first = digest(3);
  expect(digest(3)).toBe(first);
  expect(digest(4)).not.toBe(first);
});
