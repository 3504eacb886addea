/** H9, F10: whatever becomes of its threads, a stress run ends with a report, and leaves nothing behind. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const VICTIM = fileURLToPath(new URL('./doomed-stress.mjs', import.meta.url));
/** Further runs, each with a death at a random point. */
const RUNS = Number(process.env.SMMULATOR_RUNS ?? 3);

type Death = readonly [how: string, kind: string, afterMs: number];

/** What each run came to. A process that had a thread or a handle left would not end by itself. */
async function reportsOf(deaths: readonly Death[]): Promise<Record<string, unknown>[]> {
  const args = [VICTIM, JSON.stringify(deaths)];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
    timeout: 50_000 + 5000 * RUNS,
  });
  expect(stderr).toBe('');
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const REPORT = { end: 'failed', ok: false, smmus: 2, devices: 3, findings: [] };

describe('F10, H9: a thread of a stress run', () => {
  it('killed at any point, is reported with everything that was done', async () => {
    const died: Readonly<Record<string, RegExp>> = {
      smmu: /^smmu1 died: its thread exited with code 1 \(.*CMDQ_PROD 0x/,
      dma: /^dma thread \d failed: worker exited with code: 1 \((starting|running); doing DMA\)$/,
      software: /^software( \d)? failed: worker exited with code: 1 \((starting|running); programming/,
    };
    const kinds = fc.sample(fc.constantFrom('smmu', 'dma', 'software'), RUNS);
    const times = fc.sample(fc.integer({ min: 0, max: 1000 }), RUNS);
    const deaths = kinds.map((kind, run): Death => ['kill', kind, times[run]!]);
    const reports = await reportsOf(deaths);
    for (const [run, report] of reports.entries()) {
      expect(report, String(deaths[run])).toMatchObject(REPORT);
      expect(report.failure, String(deaths[run])).toMatch(died[kinds[run]!]!);
    }
    expect(reports).toHaveLength(RUNS);
  });

  it('hanging, is reported with its name', async () => {
    const [report] = await reportsOf([['hang', 'dma', 50]]);
    expect(report).toMatchObject(REPORT);
    expect(report!.failure).toMatch(
      /^dma thread 0 hangs: no sign of life for [\d.]+ s \((starting|running); doing DMA\)$/,
    );
  });

  it('throwing, is reported with what it said', async () => {
    const [report] = await reportsOf([['throw', 'software', 50]]);
    expect(report).toMatchObject(REPORT);
    expect(report!.failure).toMatch(/^software failed: sabotaged \(running; programming the SMMUs\)$/);
  });
});
