/** H6: a failing run is made shorter, written as a file, and made again from it. */
import { describe, expect, it } from 'vitest';
import type { DeterministicOptions, DeterministicReport } from '../../src/stress/schedule/deterministic.js';
import { minimise } from '../../src/stress/schedule/minimise.js';
import {
  parseSchedule,
  printSchedule,
  ScheduleFormatError,
} from '../../src/stress/schedule/schedule-file.js';
import { overlay, runner } from './machines.js';

const SEEDS = 20;
const machine = overlay();
const run = runner(machine);

function firstFailure(): { options: DeterministicOptions; failing: DeterministicReport } {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const options: DeterministicOptions = {
      ...{ seed, operations: 1000, profile: 'everything', check: true },
      mutate: 'dropped-invalidation',
    };
    const failing = run(options);
    if (failing.findings.length > 0) return { options, failing };
  }
  throw new Error('no run fails');
}

describe('H6: a failing schedule', async () => {
  const { options, failing } = firstFailure();
  const { report, runs } = await minimise(machine, options, failing, 30);

  it('becomes shorter and fails in the same way', () => {
    expect(failing.findings.length).toBeGreaterThan(0);
    expect(report.schedule.length).toBeLessThan(failing.schedule.length);
    expect(report.findings[0]!.kind).toBe(failing.findings[0]!.kind);
    expect(runs).toBeLessThanOrEqual(30);
  });

  it('comes back from its file with the same report', () => {
    const file = parseSchedule(printSchedule(options, report));
    expect(file.machine).toBe('overlay');
    expect(run(file.options)).toEqual(report);
  });

  it.each(['', '[]', '{}', '{"version":1,"kind":"stress-schedule","machine":"m","schedule":[-1]}'])(
    'is not made of %j',
    (text) => {
      expect(() => parseSchedule(text)).toThrow(ScheduleFormatError);
    },
  );
});
