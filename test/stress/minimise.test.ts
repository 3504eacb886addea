/** H6: a failing run is made shorter, written as a file, and made again from it. */
import { describe, expect, it } from 'vitest';
import { type DeterministicOptions, runDeterministic } from '../../src/stress/deterministic.js';
import { minimise } from '../../src/stress/minimise.js';
import { parseSchedule, printSchedule, ScheduleFormatError } from '../../src/stress/schedule-file.js';
import { overlay } from './machines.js';

const machine = overlay();
const options: DeterministicOptions = {
  ...{ seed: 1, operations: 1000, check: true },
  profile: 'everything',
  mutate: 'dropped-invalidation',
};

describe('H6: a failing schedule', () => {
  const failing = runDeterministic(machine, options);
  const { report, runs } = minimise(machine, options, failing, 30);

  it('becomes shorter and fails in the same way', () => {
    expect(failing.findings.length).toBeGreaterThan(0);
    expect(report.schedule.length).toBeLessThan(failing.schedule.length);
    expect(report.findings[0]!.kind).toBe(failing.findings[0]!.kind);
    expect(runs).toBeLessThanOrEqual(30);
  });

  it('comes back from its file with the same report', () => {
    const file = parseSchedule(printSchedule(options, report));
    expect(file.machine).toBe('overlay');
    expect(runDeterministic(machine, file.options)).toEqual(report);
  });

  it.each(['', '[]', '{}', '{"version":1,"kind":"stress-schedule","machine":"m","schedule":[-1]}'])(
    'is not made of %j',
    (text) => {
      expect(() => parseSchedule(text)).toThrow(ScheduleFormatError);
    },
  );
});
