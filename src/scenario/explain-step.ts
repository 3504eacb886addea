/**
 * Plays a scenario up to one of its steps and traces the translations of that step: what `explain` shows of a scenario
 * and `replay` of a first difference. The same steps on the same SMMUs come out the same, so that playing again is
 * as good as having watched.
 */
import { type Translation, traceTranslation } from '../explain/trace.js';
import type { CacheSettings } from '../smmu/config.js';
import type { Transaction } from '../smmu/transaction.js';
import { type PlannedSmmu, planScenario } from './configure.js';
import type { DriverState } from './driver.js';
import { type PlacedScenario, readScenarios } from './files.js';
import { InProcessDriver } from './in-process-driver.js';
import { MemoryPool, type ScenarioMemory } from './memory.js';
import { printStep } from './print.js';
import { Replay } from './replay.js';

/** A step of a file: of the scenario that begins at a line, or has a name, or is the first. */
export interface ChosenStep {
  readonly line?: number;
  readonly name?: string;
  readonly stepNumber: number;
}

export interface ExplainedStep {
  readonly scenario: string;
  readonly stepNumber: number;
  readonly line: number;
  readonly step: string;
  /** One for each 4 KiB page that the access touches. */
  readonly translations: readonly Translation[];
}

/** The file has no such step, or it cannot be explained; the message is for whoever asked. */
export class ExplainError extends Error {
  override readonly name = 'ExplainError';
}

/** Traces translations while it is told to. */
class TracingDriver extends InProcessDriver {
  readonly translations: Translation[] = [];
  tracing = false;
  readonly #smmus: ReadonlyMap<string, PlannedSmmu>;

  constructor(smmus: ReadonlyMap<string, PlannedSmmu>, memory: ScenarioMemory) {
    super(smmus, memory);
    this.#smmus = smmus;
    this.#recordOrigins();
  }

  override restore(state: DriverState): void {
    super.restore(state);
    this.#recordOrigins();
  }

  #recordOrigins(): void {
    for (const smmu of this.#smmus.keys()) this.tbu(smmu).recordOrigins(true);
  }

  override translate(smmu: string, transaction: Transaction): void {
    const { config } = this.#smmus.get(smmu)!;
    if (this.tracing) this.translations.push(traceTranslation(this.tbu(smmu), config, transaction));
    else super.translate(smmu, transaction);
  }
}

/**
 * Explains one step.
 * @returns undefined when the step is no device's access.
 * @throws ExplainError when there is no such step, ScenarioFileError when the file cannot be read.
 */
export async function explainStep(
  file: string,
  chosen: ChosenStep,
  caches: CacheSettings,
  memories: MemoryPool = new MemoryPool(),
): Promise<ExplainedStep | undefined> {
  const names: string[] = [];
  for await (const scenario of readScenarios(file)) {
    const { header, line } = scenario;
    names.push(header.name);
    const isIt =
      chosen.line !== undefined
        ? line === chosen.line
        : chosen.name === undefined || header.name === chosen.name;
    if (isIt) return playTo(scenario, chosen.stepNumber, caches, memories);
    // A scenario's steps must be read before the next scenario is asked for.
    for await (const _ of scenario.steps);
  }
  throw new ExplainError(
    chosen.name === undefined
      ? `${file}: no such scenario`
      : `${file}: no scenario is called '${chosen.name}'; it has ${names.slice(0, 5).join(', ')}${names.length > 5 ? `, and ${names.length - 5} more` : ''}`,
  );
}

async function playTo(
  { header, steps }: PlacedScenario,
  stepNumber: number,
  caches: CacheSettings,
  memories: MemoryPool,
): Promise<ExplainedStep | undefined> {
  const plan = planScenario(header, caches);
  if (plan.kind === 'skip') throw new ExplainError(`${header.name}: ${plan.reason}`);
  const driver = new TracingDriver(plan.smmus, memories.take(header.memory));
  const replay = new Replay(driver, plan.smmus);
  let last = 0;
  for await (const placed of steps) {
    last = placed.number;
    driver.tracing = last === stepNumber;
    await replay.take(placed);
    if (last < stepNumber) continue;
    if (placed.step.op !== 'dma') return undefined;
    const step = printStep(placed.step);
    return { scenario: header.name, stepNumber, line: placed.line, step, translations: driver.translations };
  }
  throw new ExplainError(`${header.name}: there is no step ${stepNumber}; the last is ${last}`);
}
