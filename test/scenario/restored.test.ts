/** The vectors, on SMMUs that are saved and made anew from their state after every few steps. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { planScenario } from '../../src/scenario/configure.js';
import { readScenarios } from '../../src/scenario/files.js';
import { InProcessDriver } from '../../src/scenario/in-process-driver.js';
import { MemoryPool } from '../../src/scenario/memory.js';
import { Replay } from '../../src/scenario/replay.js';
import type { CacheChoice } from '../../src/smmu/state.js';

/** Scenarios of a file that are replayed: every so-many-th one. */
const STRIDE = process.env.SMMULATOR_RUNS === undefined ? 8 : 1;
const vectors = fileURLToPath(new URL('../vectors/', import.meta.url));

class RestoringDriver extends InProcessDriver {
  caches: CacheChoice = 'kept';
  #steps = 0;

  override runToIdle(): void {
    super.runToIdle();
    if (this.#steps++ % 3 === 0) this.restoreSmmus(this.saveSmmus(this.caches));
  }
}

async function replay(file: string, caches: CacheChoice): Promise<{ passed: number; failed: string[] }> {
  const pool = new MemoryPool();
  const failed: string[] = [];
  let passed = 0;
  let index = 0;
  for await (const { header, steps } of readScenarios(`${vectors}${file}`)) {
    const plan = planScenario(header, { tlb: 16, configCache: 4 });
    const skip = index++ % STRIDE !== 0 || plan.kind === 'skip';
    const driver = skip ? undefined : new RestoringDriver(plan.smmus, pool.take(header.memory));
    if (driver !== undefined) driver.caches = caches;
    const player = driver && plan.kind !== 'skip' ? new Replay(driver, plan.smmus) : undefined;
    let fine = true;
    for await (const step of steps) {
      if (player === undefined || !fine) continue;
      fine = (await player.take(step)) === undefined;
      if (!fine) failed.push(`${header.name}, step ${step.number}`);
    }
    if (player !== undefined && fine) passed++;
  }
  return { passed, failed };
}

describe('A47: every verdict of the vectors stays', () => {
  for (const caches of ['kept', 'dropped'] as const) {
    it.each(['spec/secure', 'spec/registers', 'spec/commands', 'spec/events', 'qemu/stage1'])(
      `%s, caches ${caches}`,
      async (area) => {
        const { passed, failed } = await replay(`${area}.scenarios.jsonl.gz`, caches);
        expect(failed).toEqual([]);
        expect(passed).toBeGreaterThan(0);
      },
    );
  }
});
