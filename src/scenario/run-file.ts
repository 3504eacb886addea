/**
 * Replays files: every scenario of every file, each on SMMUs of its own, with one verdict each.
 */
import { renderTranslation } from '../explain/render.js';
import type { CacheSettings } from '../smmu/config.js';
import { planScenario } from './configure.js';
import { explainStep } from './explain-step.js';
import type { PlacedScenario } from './files.js';
import { readScenarios } from './files.js';
import { InProcessDriver } from './in-process-driver.js';
import { MemoryPool } from './memory.js';
import { type Difference, Replay } from './replay.js';

export type Verdict =
  | { readonly status: 'ok' }
  | { readonly status: 'skipped'; readonly reason: string }
  | {
      readonly status: 'failed';
      readonly difference: Difference;
      /** How the SMMU came to its answer, where the step is a device's access. */
      readonly explanation: readonly string[];
    };

export type ScenarioResult = Verdict & {
  readonly file: string;
  readonly line: number;
  readonly name: string;
  readonly spec: string;
  /** Steps in the scenario, taken or not. */
  readonly steps: number;
};

/** Takes the steps up to the first difference. The others are still read: a malformed step is never overlooked. */
async function replaySteps(
  scenario: PlacedScenario,
  replay: Replay | undefined,
): Promise<{ steps: number; difference: Difference | undefined }> {
  let steps = 0;
  let difference: Difference | undefined;
  for await (const placed of scenario.steps) {
    steps = placed.number;
    if (difference === undefined) difference = await replay?.take(placed);
  }
  return { steps, difference };
}

/**
 * The verdicts on a file's scenarios, in order, as they come.
 * @throws ScenarioFileError when the file cannot be read or is malformed.
 */
export async function* replayFile(
  file: string,
  caches: CacheSettings,
  memories: MemoryPool = new MemoryPool(),
): AsyncGenerator<ScenarioResult> {
  for await (const scenario of readScenarios(file)) {
    const { header, line } = scenario;
    const about = { file, line, name: header.name, spec: header.spec };
    const plan = planScenario(header, caches);
    if (plan.kind === 'skip') {
      const { steps } = await replaySteps(scenario, undefined);
      yield { ...about, steps, status: 'skipped', reason: plan.reason };
      continue;
    }
    const driver = new InProcessDriver(plan.smmus, memories.take(header.memory));
    const { steps, difference } = await replaySteps(scenario, new Replay(driver, plan.smmus));
    if (difference === undefined) {
      yield { ...about, steps, status: 'ok' };
      continue;
    }
    const chosen = { line, stepNumber: difference.stepNumber };
    const explained = await explainStep(file, chosen, caches, memories);
    const explanation =
      explained?.translations.flatMap((translation) => renderTranslation(translation)) ?? [];
    yield { ...about, steps, status: 'failed', difference, explanation };
  }
}
