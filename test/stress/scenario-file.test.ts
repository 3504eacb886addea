/** H6: a failing run as a scenario that `replay` reproduces. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { replayFile } from '../../src/scenario/run-file.js';
import type { MutationName } from '../../src/stress/mutations/mutation-names.js';
import type { DeterministicOptions } from '../../src/stress/schedule/deterministic.js';
import { printScenario, type ScenarioFile } from '../../src/stress/schedule/scenario-file.js';
import { overlay, runner } from './machines.js';

const SEEDS = 30;
const machine = overlay();
const run = runner(machine);

/** The scenario of the first run with this fault that needs no race, or of the first that does. */
function scenarioOf(mutate: MutationName, reproduces: boolean): ScenarioFile {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const options: DeterministicOptions = {
      ...{ seed, operations: 1000, profile: 'everything', check: true },
      mutate,
    };
    const report = run(options);
    if (report.findings[0]?.legal === undefined) continue;
    const scenario = printScenario(machine, options, report)!;
    if (scenario.reproduces === reproduces) return scenario;
  }
  throw new Error(`no such run with ${mutate}`);
}

async function replayed(text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'smmulator-'));
  try {
    const file = join(folder, 'stress.jsonl');
    writeFileSync(file, text);
    const results = [];
    for await (const result of replayFile(file, machine.smmus[0]!.config)) results.push(result);
    return results[0]!;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('H6: a scenario made of a failing run', () => {
  it.each(['skip-tlbi', 'skip-cfgi'] as const)(
    'fails at its last step when it is replayed: %s',
    async (mutate) => {
      const result = await replayed(scenarioOf(mutate, true).text);
      expect(result).toMatchObject({ status: 'failed', difference: { stepNumber: result.steps } });
    },
  );

  it('says so when the SMMU that replays it does not have the fault', async () => {
    expect(await replayed(scenarioOf('ignore-asid', false).text)).toMatchObject({ status: 'ok' });
  });
});
