/** H6: the deterministic machine; H2: the checker is silent where nothing is wrong. */
import { describe, expect, it } from 'vitest';
import { runDeterministic } from '../../src/stress/deterministic.js';
import { PROFILE_NAMES } from '../../src/stress/profiles.js';
import { machineFile } from './machines.js';

/** Seeds of each case; SMMULATOR_RUNS raises it. */
const SEEDS = Number(process.env.SMMULATOR_RUNS ?? 2);

describe.each(['virt-3-smmus', 'secure-island'])('%s', (name) => {
  const machine = machineFile(name);

  it.each(PROFILE_NAMES)('H2: profile %s has no finding', (profile) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const report = runDeterministic(machine, { seed, operations: 600, profile, check: true });
      expect(report.findings, `seed ${seed}`).toEqual([]);
    }
  });

  it('H6: the same seed makes the same run, a recorded schedule makes it again', () => {
    const options = { seed: 7, operations: 600, profile: 'map-unmap', check: true } as const;
    const first = runDeterministic(machine, options);
    expect(first.schedule.length).toBeGreaterThan(1000);
    expect(runDeterministic(machine, options)).toEqual(first);
    const again = runDeterministic(machine, { ...options, schedule: first.schedule });
    expect(again).toEqual(first);
    expect(runDeterministic(machine, { ...options, seed: 8 }).schedule).not.toEqual(first.schedule);
  });
});
