/**
 * Replays every vector that the project carries. How many scenarios of a file are skipped is written here, so that
 * none is skipped unnoticed; a feature that arrives makes its count go down.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { MemoryPool } from '../../src/scenario/memory.js';
import { replayFile, type ScenarioResult } from '../../src/scenario/run-file.js';

const root = fileURLToPath(new URL('../vectors/', import.meta.url));

/** The verdict is the same whatever is cached (REQUIREMENTS H5). */
const CACHES = {
  off: { tlb: 0, configCache: 0 },
  one: { tlb: 1, configCache: 1 },
  some: { tlb: 64, configCache: 16 },
  unbounded: { tlb: Number.POSITIVE_INFINITY, configCache: Number.POSITIVE_INFINITY },
} as const;

interface Vectors {
  readonly file: string;
  readonly scenarios: number;
  /** How many scenarios are skipped for which reason. */
  readonly skipped?: Readonly<Record<string, number>>;
}

const VECTORS: readonly Vectors[] = [
  { file: 'linux/linux61', scenarios: 1 },
  { file: 'linux/s1-linear-smallq', scenarios: 1 },
  { file: 'linux/s1-on-nested', scenarios: 1 },
  { file: 'linux/s1-strict', scenarios: 1 },
  { file: 'linux/s2-strict', scenarios: 1 },
  { file: 'linux/twostage-1', scenarios: 1 },
  { file: 'qemu/bypass.scenarios', scenarios: 8 },
  { file: 'qemu/commands.scenarios', scenarios: 62 },
  { file: 'qemu/context-descriptor.scenarios', scenarios: 118 },
  { file: 'qemu/event-queue.scenarios', scenarios: 9 },
  { file: 'qemu/invalidation.scenarios', scenarios: 189 },
  { file: 'qemu/multi-smmu.scenarios', scenarios: 4 },
  { file: 'qemu/nested.scenarios', scenarios: 85 },
  { file: 'qemu/random-commands.scenarios', scenarios: 16 },
  { file: 'qemu/random-events.scenarios', scenarios: 10 },
  { file: 'qemu/random-invalidation.scenarios', scenarios: 24 },
  { file: 'qemu/random-registers.scenarios', scenarios: 13 },
  { file: 'qemu/random.scenarios', scenarios: 238 },
  { file: 'qemu/registers.scenarios', scenarios: 38 },
  { file: 'qemu/soak-3', scenarios: 1 },
  { file: 'qemu/soak-4', scenarios: 1 },
  { file: 'qemu/soak-6', scenarios: 1 },
  { file: 'qemu/stage1.scenarios', scenarios: 99 },
  { file: 'qemu/stage2.scenarios', scenarios: 90 },
  { file: 'qemu/stream-table.scenarios', scenarios: 151 },
  {
    file: 'spec/commands.scenarios',
    scenarios: 55,
    skipped: {
      'not implemented: ats, SMMU_IDR0.ATS = 1': 2,
      'not implemented: ats, SMMU_IDR0.ATS = 1, SMMU_IDR0.PRI = 1': 3,
    },
  },
  { file: 'spec/events.scenarios', scenarios: 34 },
  {
    file: 'spec/illegal.scenarios',
    scenarios: 153,
    skipped: {
      'not implemented: SMMU_IDR0.HTTU = 1': 3,
      'not implemented: SMMU_IDR0.HTTU = 2': 3,
      'not implemented: ats, SMMU_IDR0.ATS = 1': 8,
    },
  },
  { file: 'spec/permissions.scenarios', scenarios: 57 },
  { file: 'spec/qemu-differs/bypass.scenarios', scenarios: 1 },
  { file: 'spec/qemu-differs/commands.scenarios', scenarios: 8 },
  { file: 'spec/qemu-differs/context-descriptor.scenarios', scenarios: 18 },
  { file: 'spec/qemu-differs/event-queue.scenarios', scenarios: 2 },
  { file: 'spec/qemu-differs/nested.scenarios', scenarios: 4 },
  { file: 'spec/qemu-differs/random-invalidation.scenarios', scenarios: 0 },
  { file: 'spec/qemu-differs/random.scenarios', scenarios: 124 },
  { file: 'spec/qemu-differs/registers.scenarios', scenarios: 1 },
  { file: 'spec/qemu-differs/stage1.scenarios', scenarios: 14 },
  { file: 'spec/qemu-differs/stage2.scenarios', scenarios: 56 },
  { file: 'spec/qemu-differs/stream-table.scenarios', scenarios: 39 },
  {
    file: 'spec/registers.scenarios',
    scenarios: 56,
    skipped: {
      'not implemented: SMMU_IDR0.HTTU = 2': 1,
      'not implemented: ats, SMMU_IDR0.ATS = 1': 1,
    },
  },
  { file: 'spec/secure.scenarios', scenarios: 124 },
  { file: 'spec/substreams.scenarios', scenarios: 37 },
];

function skipCounts(results: readonly ScenarioResult[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const result of results) {
    if (result.status === 'skipped') counts[result.reason] = (counts[result.reason] ?? 0) + 1;
  }
  return counts;
}

function failures(results: readonly ScenarioResult[]): string[] {
  return results.flatMap((result) =>
    result.status === 'failed'
      ? [`${result.name}, step ${result.difference.stepNumber}: ${result.difference.step}`]
      : [],
  );
}

describe('J2 conformance vectors', () => {
  const memories = new MemoryPool();

  it('every vector file is listed', () => {
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .map((name) => name.replaceAll('\\', '/'))
      .filter((name) => name.endsWith('.gz'));
    expect(VECTORS.map(({ file }) => `${file}.jsonl.gz`).sort()).toEqual(files.sort());
  });

  describe.each(Object.entries(CACHES))('caches %s', (_name, caches) => {
    it.each(VECTORS)('$file', async ({ file, scenarios, skipped = {} }) => {
      const results: ScenarioResult[] = [];
      for await (const result of replayFile(`${root}${file}.jsonl.gz`, caches, memories))
        results.push(result);
      expect(failures(results)).toEqual([]);
      expect(skipCounts(results)).toEqual(skipped);
      expect(results.length).toBe(scenarios);
    });
  });
});
