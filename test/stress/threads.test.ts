/** H1, H2, H3: stress runs in threads, without a fault and with one; each ends with its first finding. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';
import { MUTATION_NAMES, type MutationName } from '../../src/stress/mutations/mutation-names.js';
import type { StressReport } from '../../src/stress/report/report.js';
import { runThreaded } from '../../src/stress/threads.js';
import { notingOverlay, overlay, stale, stallingOverlay } from './machines.js';

/** Of a run without a fault; one with a fault has far longer, and ends when it is found. */
const CLEAN_MS = Number(process.env.SMMULATOR_STRESS_MS ?? 2000);
const FAULTY_MS = 40_000;

function machineOf(name: string, global: readonly string[]): Machine {
  const file = fileURLToPath(new URL(`../../machines/${name}.yaml`, import.meta.url));
  return loadMachine(readFileSync(file, 'utf8'), file, { global }).machine!;
}

interface Choices {
  readonly mutate?: MutationName;
  readonly global?: readonly string[];
}

function stress(
  name: string,
  durationMs: number,
  { mutate, global = [] }: Choices = {},
): Promise<StressReport> {
  const options = { seed: 5, profile: 'everything', check: true, durationMs, lanes: 2 } as const;
  return runThreaded(machineOf(name, global), mutate === undefined ? options : { ...options, mutate });
}

describe('H1, H2: profile everything in threads', { timeout: 60_000 + CLEAN_MS }, () => {
  it.each(['virt-3-smmus', 'secure-island', 'accelerated', 'demand-paging'])(
    '%s: nothing is found, and every access is judged',
    async (name) => {
      // With substreams, which none of the files asks for.
      const report = await stress(name, CLEAN_MS, { global: ['arm-smmuv3.ssidsize=4'] });
      expect(report).toMatchObject({ ok: true, end: 'done', failure: null, findings: [] });
      for (const { checked, unjudged, transactions } of report.devices) {
        expect(checked).toBeGreaterThan(0);
        expect(checked + unjudged).toBe(transactions);
      }
      for (const { invalidations } of report.smmus) expect(invalidations).toBeGreaterThan(0);
    },
  );
});

describe('H3: a built-in fault in threads', () => {
  it.each([
    ['of a TBU', 'dropped-invalidation'],
    ['of the TCU', 'sync-without-wait'],
    ['of a device', 'next-page'],
  ] as const)('%s, %s, is found', async (_, mutate) => {
    const report = await stress('virt-3-smmus', FAULTY_MS, { mutate });
    expect(report).toMatchObject({ ok: false, end: 'done', failure: null });
    expect(report.findings).not.toEqual([]);
    expect(report.settings.mutation).toBe(mutate);
  });

  it.each(['skip-tlbi', 'sync-without-wait'] as const)(
    'above accelerated SMMUs, or below them, %s, is found',
    async (mutate) => {
      const report = await stress('accelerated', FAULTY_MS, { mutate });
      expect(report).toMatchObject({ ok: false, end: 'done', failure: null });
      expect(report.findings).not.toEqual([]);
    },
  );

  it('of the software, skip-resume, is found', async () => {
    const report = await stress('demand-paging', FAULTY_MS, { mutate: 'skip-resume' });
    expect(report).toMatchObject({ ok: false, end: 'done', failure: null });
    expect(report.findings).not.toEqual([]);
  });

  it('of the software, skip-tlbi, is found, and told with the missing command (H4)', async () => {
    // Now and then what a stale write did to somebody's page is found first, and that tells no command.
    const details: string[] = [];
    for (let run = 0; run < 5 && details.length === 0; run++) {
      const report = await stress('virt-3-smmus', FAULTY_MS, { mutate: 'skip-tlbi' });
      for (const finding of report.findings) {
        if (finding.kind.startsWith('stale')) details.push(...finding.details);
      }
    }
    expect(details.join('\n')).toMatch(/CMD_TLBI_\w+.* is missing/);
  });
});

/** All of them cost half a minute: one stands for all unless SMMULATOR_STRESS_MS asks for more than that. */
const EVERY_FAULT =
  process.env.SMMULATOR_STRESS_MS === undefined ? (['forget-combined'] as const) : MUTATION_NAMES;

describe('H3: on an SMMU with all that there is to confuse, in threads', { timeout: 60_000 }, () => {
  it.each(EVERY_FAULT)('%s is found', async (mutate) => {
    const machine =
      mutate === 'lost-update'
        ? notingOverlay()
        : mutate === 'skip-resume' || mutate === 'impatient-stall'
          ? stallingOverlay()
          : overlay();
    // With this seed a nested context and one of stage 1 alone.
    const options = { seed: 5, profile: 'everything', check: true, durationMs: FAULTY_MS, lanes: 2 } as const;
    const report = await runThreaded(stale(machine), { ...options, mutate });
    expect(report).toMatchObject({ ok: false, end: 'done', failure: null });
    expect(report.findings).not.toEqual([]);
  });
});
