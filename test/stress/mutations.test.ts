/** H3: the checker proves itself on every built-in fault, and is silent without one. */
import { describe, expect, it } from 'vitest';
import { MUTATION_NAMES, type MutationName } from '../../src/stress/mutations/mutation-names.js';
import type { DeterministicReport } from '../../src/stress/schedule/deterministic.js';
import { notingOverlay, notingStage2, overlay, runner, stale, stallingOverlay } from './machines.js';

/** The bound within which each fault must be found. */
const SEEDS = 12;
const OPERATIONS = 1000;

const runOverlay = runner(stale(overlay()));
const runNoting = runner(stale(notingOverlay()));
const runStalling = runner(stale(stallingOverlay()));

/** Machines that a fault needs, where it is not that with the most to confuse. */
const MACHINES: Partial<Record<MutationName, typeof runOverlay>> = {
  'lost-update': runNoting,
  'skip-resume': runStalling,
  'impatient-stall': runStalling,
};

function run(seed: number, mutate?: MutationName): DeterministicReport {
  const options = { seed, operations: OPERATIONS, profile: 'everything', check: true } as const;
  const runMachine = (mutate && MACHINES[mutate]) ?? runOverlay;
  return runMachine({ ...options, ...(mutate && { mutate }) });
}

describe(`H3: ${SEEDS} deterministic runs of profile everything`, () => {
  it('have no finding without a fault', () => {
    for (let seed = 1; seed <= SEEDS; seed++) expect(run(seed).findings, `seed ${seed}`).toEqual([]);
  });

  it.each([
    ['G16', 'hardware notes accesses and writes in descriptors', runNoting],
    ['G12', 'faults stall, and each is answered', runStalling],
  ])('%s: have none where %s', (_code, _what, runMachine) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const options = { seed, operations: OPERATIONS, profile: 'everything', check: true } as const;
      expect(runMachine(options).findings, `seed ${seed}`).toEqual([]);
    }
  });

  it.each(MUTATION_NAMES)('find %s', (mutate) => {
    let found = false;
    for (let seed = 1; seed <= SEEDS && !found; seed++) found = run(seed, mutate).findings.length > 0;
    expect(found).toBe(true);
  });
});

describe('G16: where stage 2 alone notes accesses and writes', () => {
  const runStage2 = runner(notingStage2());
  const options = { operations: OPERATIONS, profile: 'everything', check: true } as const;

  it('nothing is found without a fault, and a lost update with one', () => {
    const seeds = Array.from({ length: SEEDS }, (_, i) => i + 1);
    for (const seed of seeds) expect(runStage2({ ...options, seed }).findings, `seed ${seed}`).toEqual([]);
    const found = seeds.flatMap((seed) => runStage2({ ...options, seed, mutate: 'lost-update' }).findings);
    expect(found.map(({ summary }) => summary).join('\n')).toMatch(
      /descriptor of stage 2 (AF is 0|it is still clean)/,
    );
  });
});

describe('H4: a stale use', () => {
  it('names the entry and what it was filled from, the mapping, the change, the commands that came and the one that is missing', () => {
    const details = Array.from({ length: SEEDS }, (_, i) => run(i + 1, 'skip-tlbi').findings[0])
      .filter((finding) => finding?.kind === 'stale-use')
      .map((finding) => finding!.details.join('\n'));
    expect(details.length).toBeGreaterThan(0);
    for (const text of details) {
      expect(text).toMatch(
        /filled by access \d+ of this TBU from\n.*stage [12] level 3 descriptor at 0x\w+: 0x\w{16}/s,
      );
      expect(text).toMatch(/slot \d+ of context \d is mapped to 0x/);
      expect(text).toMatch(/then .*CMD_SYNC, which completed: CMD_TLBI_\w+.* is missing/);
    }
  });

  it('of a page that is legal still is none: software that is slow to invalidate is not to blame', () => {
    const { streams } = run(1);
    // The clean runs above overlap changes and accesses all the time; here it is seen that they are judged.
    for (const { accesses, checked } of streams) expect(checked).toBeGreaterThan(accesses * 0.9);
  });
});
