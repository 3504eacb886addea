/**
 * Replays every vector that the project carries. How many scenarios of a file are skipped is written here, so that
 * none is skipped unnoticed; a feature that arrives makes its count go down.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { MemoryPool } from '../../src/scenario/memory.js';
import { replayFile, type ScenarioResult } from '../../src/scenario/run-file.js';
import type { CacheSettings } from '../../src/smmu/config.js';

const root = fileURLToPath(new URL('../vectors/', import.meta.url));

const UNBOUNDED = { tlb: Number.POSITIVE_INFINITY, configCache: Number.POSITIVE_INFINITY };

/** The verdict is the same whatever is cached (REQUIREMENTS H5). */
const CACHES: Readonly<Record<string, CacheSettings>> = {
  off: { tlb: 0, configCache: 0 },
  one: { tlb: 1, configCache: 1 },
  some: { tlb: 64, configCache: 16, replacement: 'random' },
  unbounded: UNBOUNDED,
  stale: { ...UNBOUNDED, caching: 'stale' },
  'maximally stale': { ...UNBOUNDED, caching: 'maximally-stale' },
  speculative: { ...UNBOUNDED, caching: 'maximally-stale', speculativeFills: true },
};

/**
 * Where another setting tells as much, only some of the files. In the Linux traces a write stands where it was first
 * read, later than the driver did it, so that speculative reads would see memory as it never was.
 */
const FILES: Readonly<Record<string, RegExp>> = {
  stale: /^linux|stream-table/,
  speculative: /^(?:qemu|spec)\//,
};

/**
 * Scenarios whose answers depend on something not being cached that may be, by the setting in which they differ. There
 * they must differ, so that a setting which has lost its meaning is found.
 */
const L1STD_KEPT = 'an L1STD with Span 0 is kept, and Linux issues no CFGI_STE with Leaf 0 (linux/README.md)';
const ONE_VMID = 'two stage 2 tables under one VMID (3.17.6): the table descriptors of one serve the other';
const PREFETCHED = 'the page was translated before the fault was injected';
const STALE = { 'st-mixed-streams': ONE_VMID };
const DIFFERENT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  stale: STALE,
  'maximally stale': {
    ...STALE,
    linux61: L1STD_KEPT,
    's1-on-nested': L1STD_KEPT,
    's1-strict': L1STD_KEPT,
    's2-strict': L1STD_KEPT,
  },
  speculative: {
    ...STALE,
    'events-s1-walk-abort-l1': PREFETCHED,
    'events-s1-walk-abort-l2': PREFETCHED,
    'events-s1-walk-abort-l1-secure': PREFETCHED,
  },
};

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

function failures(results: readonly ScenarioResult[], different: Readonly<Record<string, string>>): string[] {
  return results.flatMap((result) =>
    result.status === 'failed' && different[result.name] === undefined
      ? [`${result.name}, step ${result.difference.stepNumber}: ${result.difference.step}`]
      : [],
  );
}

function agreements(
  results: readonly ScenarioResult[],
  different: Readonly<Record<string, string>>,
): string[] {
  return results.flatMap(({ status, name }) =>
    status === 'ok' && different[name] !== undefined ? [`${name} should differ: ${different[name]}`] : [],
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

  describe.each(Object.entries(CACHES))('caches %s', (setting, caches) => {
    const different = DIFFERENT[setting] ?? {};
    const files = VECTORS.filter(({ file }) => FILES[setting]?.test(file) ?? true);
    it.each(files)('$file', async ({ file, scenarios, skipped = {} }) => {
      const results: ScenarioResult[] = [];
      for await (const result of replayFile(`${root}${file}.jsonl.gz`, caches, memories))
        results.push(result);
      expect(failures(results, different)).toEqual([]);
      expect(agreements(results, different)).toEqual([]);
      expect(skipCounts(results)).toEqual(skipped);
      expect(results.length).toBe(scenarios);
    });
  });
});
