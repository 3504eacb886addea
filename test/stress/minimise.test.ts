/** H6: a failing run is made shorter, written as a file, and made again from it. */
import { setImmediate as nextTurn } from 'node:timers/promises';
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
/** What the search may cost. */
const GRANTS = 200_000;
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
  const { report, runs } = await minimise(machine, options, failing, GRANTS);

  it('becomes shorter and fails in the same way', () => {
    expect(failing.findings.length).toBeGreaterThan(0);
    expect(report.schedule.length).toBeLessThan(failing.schedule.length);
    expect(report.findings[0]!.kind).toBe(failing.findings[0]!.kind);
    expect(runs).toBeGreaterThan(10);
  });

  it('H9: is as short as it was when the search was interrupted', async () => {
    const interrupt = new AbortController();
    const search = minimise(machine, options, failing, GRANTS, interrupt.signal);
    // Between two runs the search gives way, as it does to a signal.
    for (let turns = 0; turns < 4; turns++) await nextTurn();
    interrupt.abort();
    const interrupted = await search;
    expect(interrupted.runs).toBeGreaterThan(0);
    expect(interrupted.runs).toBeLessThan(runs);
    expect(interrupted.report.findings[0]!.kind).toBe(failing.findings[0]!.kind);
    expect(run({ ...options, schedule: interrupted.report.schedule })).toEqual(interrupted.report);
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
