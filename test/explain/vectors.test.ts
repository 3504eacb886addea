/** Every access of recorded scenarios, explained: nothing changes by being watched, and nothing is left without a reason. */
import { describe, expect, test } from 'vitest';
import { reasonsOf } from '../../src/explain/reason.js';
import { renderTranslation } from '../../src/explain/render.js';
import { type Translation, traceTranslation } from '../../src/explain/trace.js';
import { type PlannedSmmu, planScenario } from '../../src/scenario/configure.js';
import { readScenarios } from '../../src/scenario/files.js';
import { InProcessDriver } from '../../src/scenario/in-process-driver.js';
import { MemoryPool, type ScenarioMemory } from '../../src/scenario/memory.js';
import { Replay } from '../../src/scenario/replay.js';
import { OK, type Transaction } from '../../src/smmu/transaction.js';

const COLLECTIONS = [
  'qemu/bypass',
  'qemu/context-descriptor',
  'qemu/invalidation',
  'qemu/nested',
  'qemu/stage1',
  'qemu/stage2',
  'qemu/stream-table',
  'spec/events',
  'spec/illegal',
  'spec/permissions',
  'spec/secure',
  'spec/substreams',
];
const CACHES = { tlb: 64, configCache: 16 };

/** Watches every translation. */
class WatchingDriver extends InProcessDriver {
  readonly #smmus: ReadonlyMap<string, PlannedSmmu>;
  readonly #seen: (translation: Translation) => void;

  constructor(
    smmus: ReadonlyMap<string, PlannedSmmu>,
    memory: ScenarioMemory,
    seen: (translation: Translation) => void,
  ) {
    super(smmus, memory);
    this.#smmus = smmus;
    this.#seen = seen;
  }

  override translate(smmu: string, transaction: Transaction): void {
    const { config } = this.#smmus.get(smmu)!;
    this.#seen(traceTranslation(this.tbu(smmu), config, transaction));
  }
}

function check(translation: Translation): string | undefined {
  const lines = renderTranslation(translation);
  const reasons = reasonsOf(translation);
  const rightly = translation.outcome === OK ? reasons.length === 0 : reasons.length > 0;
  const cited = reasons.every(({ section }) => /^(?:IHI 0070|DDI 0487) /.test(section));
  const plain = lines.every((line) => line.trimEnd() === line && !/undefined|NaN/.test(line));
  return rightly && cited && plain ? undefined : lines.join('\n');
}

/** Differences of watched replays, and explanations that are none. */
async function replayWatched(collection: string) {
  const pools = [new MemoryPool(), new MemoryPool()] as const;
  const differences: string[] = [];
  const unexplained: string[] = [];
  let translations = 0;
  for await (const { header, steps } of readScenarios(`test/vectors/${collection}.scenarios.jsonl.gz`)) {
    const plan = planScenario(header, CACHES);
    const replays =
      plan.kind === 'build'
        ? pools.map((pool, index) => {
            const watched = index === 0;
            const memory = pool.take(header.memory);
            const seen = (translation: Translation) => {
              translations++;
              const wrong = check(translation);
              if (wrong !== undefined) unexplained.push(`${header.name}\n${wrong}`);
            };
            const driver = watched
              ? new WatchingDriver(plan.smmus, memory, seen)
              : new InProcessDriver(plan.smmus, memory);
            return new Replay(driver, plan.smmus);
          })
        : [];
    for await (const placed of steps) {
      const [watched, plain] = await Promise.all(replays.map((replay) => replay.take(placed)));
      if (JSON.stringify(watched?.got) !== JSON.stringify(plain?.got)) {
        differences.push(`${header.name} step ${placed.number}`);
      }
    }
  }
  return { differences, unexplained, translations };
}

describe('I4: explain over the vectors', () => {
  test.each(COLLECTIONS)(
    '%s: watching changes nothing and every failure has a reason',
    async (collection) => {
      const { differences, unexplained, translations } = await replayWatched(collection);
      expect(differences).toEqual([]);
      expect(unexplained).toEqual([]);
      expect(translations).toBeGreaterThan(0);
    },
  );
});
