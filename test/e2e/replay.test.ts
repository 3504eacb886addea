import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { lastLine, root, smmulator } from './command-line.js';

const folder = mkdtempSync(join(tmpdir(), 'replay-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const scenario = (name: string, ...steps: object[]) => ({
  version: 1,
  name,
  spec: 'IHI0070 6.3.9',
  smmu: { stage: '1' },
  memory: [{ space: 'non-secure', base: '0x40000000', size: '0x1000000' }],
  steps,
});
const PASSING = scenario('passing', { op: 'mem.read', pa: '0x40000000', size: 1, expect: '00' });
const FAILING = scenario(
  'failing',
  { op: 'note', text: 'n' },
  { op: 'mmio.read', offset: '0x20', size: 4, expect: '0x1' },
);
const SKIPPED = { ...PASSING, name: 'needs-ats', smmu: { stage: '1', ats: true } };

const collection = file(
  'mixed.scenarios.jsonl',
  [PASSING, FAILING, SKIPPED].map((value) => JSON.stringify(value)).join('\n'),
);

describe('J2 replay', () => {
  it('is quiet about what passes, and ends with the count', () => {
    const ended = smmulator('replay', 'test/vectors/qemu/stage1.scenarios.jsonl.gz');
    expect(ended).toEqual({ status: 0, stdout: '99 passed, 0 failed, 0 skipped\n', stderr: '' });
  });

  it('--verbose names what passes', () => {
    const path = file('passing.json', JSON.stringify(PASSING));
    const { stdout } = smmulator('replay', path, '--verbose');
    expect(stdout).toBe(`${path}:1: passing: ok (1 step)\n1 passed, 0 failed, 0 skipped\n`);
  });

  it('prints the reason of a skip and the first difference, and ends with status 1', () => {
    const ended = smmulator('replay', collection);
    expect(ended.status).toBe(1);
    expect(ended.stdout).toContain('needs-ats: skipped: not implemented: ');
    expect(ended.stdout).toContain(':2: failing: failed (IHI0070 6.3.9)');
    expect(ended.stdout).toContain('step 2 (line 2): mmio.read SMMU_CR0 (0x20), 4 bytes');
    expect(ended.stdout).toMatch(/expected {2}0x1\n.*got {7}0x0\n/);
    expect(lastLine(ended)).toBe('1 passed, 1 failed, 1 skipped');
  });

  it('--json says the same to programs', () => {
    const { status, stdout } = smmulator('replay', collection, '--json');
    const report = JSON.parse(stdout);
    expect(status).toBe(1);
    expect(report).toMatchObject({ passed: 1, failed: 1, skipped: 1, unreadable: [] });
    expect(report.scenarios[1]).toMatchObject({
      name: 'failing',
      status: 'failed',
      difference: { stepNumber: 2 },
    });
  });

  it('malformed and missing files are status 2, and the others are still replayed', () => {
    const bad = file('bad.json', JSON.stringify(scenario('bad', { op: 'nap' })));
    const ended = smmulator('replay', bad, join(folder, 'absent.json'), collection);
    expect(ended.status).toBe(2);
    expect(ended.stderr).toBe(
      `smmulator: ${bad}:1: step 1: unknown step "nap"\nsmmulator: ${join(folder, 'absent.json')}: no such file\n`,
    );
    expect(lastLine(ended)).toBe('1 passed, 1 failed, 1 skipped');
  });

  it('a malformed step behind the first difference is not overlooked', () => {
    const { steps, ...header } = FAILING;
    const path = file(
      'late.jsonl',
      [header, ...steps, { op: 'nap' }].map((value) => JSON.stringify(value)).join('\n'),
    );
    expect(smmulator('replay', path)).toMatchObject({ status: 2, stdout: '0 passed, 0 failed, 0 skipped\n' });
  });

  it.each(['off', '1', 'unbounded'])('H5 three SMMUs of a recorded Linux boot, caches %s', (size) => {
    const caches = ['--tlb', size, '--config-cache', size];
    const trace = 'test/vectors/linux/s1-linear-smallq.jsonl.gz';
    expect(smmulator('replay', trace, ...caches)).toMatchObject({
      status: 0,
      stdout: '1 passed, 0 failed, 0 skipped\n',
    });
  });

  it('a reader that goes away ends it quietly', async () => {
    const many = Array.from({ length: 20_000 }, () => JSON.stringify(FAILING)).join('\n');
    const child = spawn(
      process.execPath,
      ['dist/src/cli/main.js', 'replay', file('many.scenarios.jsonl', many)],
      {
        cwd: root,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let stderr = '';
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.stdout.once('data', () => child.stdout.destroy());
    await new Promise((resolve) => child.once('close', resolve));
    expect(stderr).toBe('');
  });
});
