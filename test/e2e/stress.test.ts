import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Ended, lastLine, root, smmulator } from './command-line.js';

const folder = mkdtempSync(join(tmpdir(), 'stress-'));
afterAll(() => rmSync(folder, { recursive: true }));

const ONE = 'machines/one-smmu.yaml';
const THREE = 'machines/virt-3-smmus.yaml';
/** Load alone, the same every time as far as threads allow, and short. */
const SHORT = ['--profile', 'map-unmap', '--no-check', '--seed', '7', '--operations', '6000'];

/** A run that gets Ctrl-C once it has begun, or as soon as it has said that it has come to something. */
async function interrupted(args: readonly string[], when?: RegExp): Promise<Ended> {
  const child = spawn(process.execPath, ['dist/src/cli/main.js', 'stress', THREE, ...args], { cwd: root });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    if (stdout === '' && when === undefined) setTimeout(() => child.kill('SIGINT'), 1500);
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    const isThere = when?.test(stderr);
    stderr += chunk;
    if (isThere === false && when!.test(stderr)) child.kill('SIGINT');
  });
  const status: number | null = await new Promise((resolve) => child.once('close', resolve));
  return { status, stdout, stderr };
}

describe('H1, H7 stress in threads', () => {
  it('reports counters per SMMU and device, latencies, and how it went in the last line', () => {
    const ended = smmulator('stress', THREE, ...SHORT);
    expect(ended).toMatchObject({ status: 0, stderr: '' });
    expect(ended.stdout).toMatch(/^machine virt-3-smmus: 3 SMMUs, profile \S+, seed 7, not checked\n/);
    for (const name of ['smmu0', 'smmu1', 'smmu2', 'nvme0', 'edu0', 'virtio2']) {
      expect(ended.stdout).toMatch(new RegExp(`^${name} .* [0-9.]+ (ns|µs|ms)$`, 'm'));
    }
    expect(lastLine(ended)).toMatch(
      /^virt-3-smmus: 6[0-9.]* k transactions in [^;]+; not checked; profile \S+, seed 7$/,
    );
  });

  it('--json is the report and nothing else, and --report a page of its own', () => {
    const page = join(folder, 'page.html');
    const ended = smmulator('stress', THREE, ...SHORT, '--threads', '1', '--json', '--report', page);
    expect(ended).toMatchObject({ status: 0, stderr: '' });
    const report = JSON.parse(ended.stdout);
    expect(report).toMatchObject({
      ...{ machine: 'virt-3-smmus', ok: true, end: 'done', failure: null, findings: [], diagnostics: [] },
      settings: {
        seed: 7,
        mode: 'threads',
        threads: 1,
        limit: '6000 accesses',
        checked: false,
        mutation: null,
      },
    });
    for (const device of report.devices) {
      expect(device.transactions).toBeGreaterThanOrEqual(1000);
      expect(device.hits + device.misses).toBe(device.transactions);
      expect(device.series.transactions.at(-1)).toBe(device.transactions);
      expect(device.series.hits.length).toBe(report.timesMs.length);
    }
    for (const smmu of report.smmus) {
      const own = report.devices.filter((device: { smmu: string }) => device.smmu === smmu.id);
      const sum = own.reduce((total: number, device: { hits: number }) => total + device.hits, 0);
      expect(smmu.hits).toBe(sum);
      expect(smmu.invalidations).toBeGreaterThan(0);
      expect(smmu.latency.samples).toBeGreaterThan(0);
    }
    expect(report.residentBytes.every((bytes: number) => bytes > 2 ** 20)).toBe(true);
    expect(readFileSync(page, 'utf8')).toContain('<title>virt-3-smmus: stress report</title>');
  });

  it('H9 an interrupted run ends with its report, status 1 and no thread left', async () => {
    const { status, stdout } = await interrupted(['--no-check', '--duration', '1h', '--seed', '7']);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^virt-3-smmus: .*, interrupted; not checked; .*, seed 7\n$/m);
  });
});

describe('H9 a report that cannot be written', () => {
  it('is told before the run where the path is wrong', () => {
    const { status, stdout, stderr } = smmulator(
      'stress',
      THREE,
      '--report',
      join(folder, 'no', 'such.html'),
    );
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^smmulator: \S+such\.html: no such file/);
    expect(smmulator('stress', THREE, '--report', folder)).toMatchObject({ status: 2, stdout: '' });
  });

  it('does not take the report on stdout with it when the disk is full', () => {
    const ended = smmulator('stress', THREE, ...SHORT, '--json', '--report', '/dev/full');
    expect(ended.status).toBe(2);
    expect(JSON.parse(ended.stdout)).toMatchObject({ ok: true, end: 'done' });
    expect(ended.stderr).toBe('smmulator: /dev/full: could not be written: no space left on the device\n');
  });
});

describe('H6 stress --deterministic', () => {
  it('prints the same bytes for the same seed, others for another', () => {
    const run = (seed: string) =>
      smmulator('stress', THREE, '--deterministic', '--operations', '200', '--seed', seed, '--json');
    const once = run('3');
    expect(once.status).toBe(0);
    expect(run('3')).toEqual(once);
    expect(run('4').stdout).not.toBe(once.stdout);
    expect(JSON.parse(once.stdout)).toMatchObject({
      elapsedMs: null,
      settings: { mode: 'deterministic', seed: 3 },
    });
  });
});

describe('H6, H9 stress --deterministic --seeds', () => {
  const run = ['--deterministic', '--profile', 'map-unmap', '--operations', '100', '--json'];

  it('is one report: the sum of the runs of each seed', () => {
    const transactions = (...args: string[]) => {
      const { status, stdout } = smmulator('stress', ONE, ...run, ...args);
      const { settings, smmus, ok } = JSON.parse(stdout);
      expect({ status, ok }).toEqual({ status: 0, ok: true });
      return { seeds: settings.seeds, transactions: smmus[0].transactions };
    };
    const [one, two] = ['5', '6'].map((seed) => transactions('--seed', seed).transactions);
    expect(transactions('--seed', '5', '--seeds', '2')).toEqual({ seeds: 2, transactions: one + two });
  });

  it('ends at the first seed with a finding, whose report it is', () => {
    const args = [...run, '--mutate', 'skip-tlbi'];
    const failing = smmulator('stress', ONE, ...args, '--seed', '1', '--seeds', '50');
    expect(failing.status).toBe(1);
    const { seed } = JSON.parse(failing.stdout).settings;
    expect(seed).toBeGreaterThan(1);
    expect(smmulator('stress', ONE, ...args, '--seed', String(seed)).stdout).toBe(failing.stdout);
  });

  it('ends with what is minimised by then, its report and files and status 1 when it is interrupted', async () => {
    const [schedule, scenario] = [join(folder, 'early.schedule'), join(folder, 'early.jsonl')];
    const mutated = ['--deterministic', '--operations', '900', '--mutate', 'skip-tlbi'];
    const args = [...mutated, '--seed', '1', '--seeds', '50', '--schedule', schedule, '--scenario', scenario];
    const { status, stdout, stderr } = await interrupted(args, /minimising\n/);
    expect(status).toBe(1);
    const [, runs] = /^minimised in (\d+) runs to \d+ steps, interrupted$/m.exec(stderr)!;
    // A search that nothing ends makes many hundreds.
    expect(Number(runs)).toBeLessThan(100);
    expect(stdout).toContain('\nfinding: stale-use: ');
    // Every file is there, or it is said why not.
    expect(existsSync(scenario)).toBe(!stderr.includes(`${scenario}: no scenario: `));
    const again = smmulator('stress', THREE, '--replay-schedule', schedule);
    expect(again.status).toBe(1);
    // But for the first line, which names the first seed and not the one with the finding.
    expect(again.stdout.replace(/^.*\n/, '')).toBe(stdout.replace(/^.*\n/, ''));
  });

  it('ends with its report and status 1 when it is interrupted', async () => {
    const args = ['--deterministic', '--operations', '1000000000', '--seed', '7'];
    const { status, stdout } = await interrupted(args);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^virt-3-smmus: .*, interrupted; 0 findings; .*, seed 7\n$/m);
  });
});

describe('H6 a failing seed', () => {
  it('is minimised and written as a scenario, which replay reproduces', () => {
    const scenario = join(folder, 'bug.jsonl');
    const schedule = join(folder, 'bug.schedule');
    const run = ['--deterministic', '--profile', 'map-unmap', '--seed', '10', '--operations', '900'];
    const args = [...run, '--mutate', 'skip-tlbi'];
    const found = smmulator('stress', ONE, ...args, '--scenario', scenario, '--schedule', schedule);
    expect(found.status).toBe(1);
    expect(found.stderr).toMatch(
      /^a finding after \d+ steps of the schedule: minimising\nminimised in \d+ runs to \d+ steps\n$/,
    );
    expect(found.stdout).toContain('\nfinding: stale-use: ');
    expect(JSON.parse(readFileSync(schedule, 'utf8'))).toMatchObject({
      kind: 'stress-schedule',
      mutate: 'skip-tlbi',
    });
    const again = smmulator('stress', ONE, '--replay-schedule', schedule);
    expect({ status: again.status, stdout: again.stdout }).toEqual({ status: 1, stdout: found.stdout });
    expect(smmulator('stress', THREE, '--replay-schedule', schedule)).toMatchObject({ status: 2 });
    const replayed = smmulator('replay', scenario, '--tlb', 'unbounded', '--config-cache', 'unbounded');
    expect(replayed.status).toBe(1);
  });
});

describe('stress: wrong command lines', () => {
  it.each([
    [['--duration', '5 parsecs'], /'5 parsecs' is not a time like 30s/],
    [['--deterministic', '--duration', '1s'], /knows no time/],
    [['--mutate', 'nonsense'], /mutate/],
    [['--scenario', 'bug.jsonl'], /--deterministic/],
    [['--seeds', '2'], /--deterministic/],
    [['--replay-schedule', 'bug.schedule', '--seed', '1'], /the file says it all/],
    [['--replay-schedule', 'package.json'], /package\.json: "version" is missing/],
    [['--replay-schedule', 'no-such.schedule'], /no-such\.schedule: no such file/],
  ])('%s', (args, message) => {
    const { status, stdout, stderr } = smmulator('stress', THREE, ...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('a scenario of a machine with accelerated SMMUs', () => {
    const args = ['--deterministic', '--scenario', 'bug.jsonl'];
    const { status, stdout, stderr } = smmulator('stress', 'machines/accelerated.yaml', ...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/write a --schedule/);
  });
});
