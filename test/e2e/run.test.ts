import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { lastLine, root, smmulator } from './command-line.js';

const folder = mkdtempSync(join(tmpdir(), 'run-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The default machine with one thing changed. */
function variant(name: string, change: (text: string) => string): string {
  const original = readFileSync(`${root}/machines/one-smmu.yaml`, 'utf8');
  const changed = change(original);
  if (changed === original) throw new Error(`${name}: nothing was changed`);
  const path = join(folder, name);
  writeFileSync(path, changed);
  return path;
}

describe('H7 run', () => {
  const machines = readdirSync(`${root}/machines`).filter((name) => name.endsWith('.yaml'));

  it.each(machines)('machines/%s does what it says', (name) => {
    const ended = smmulator('run', `machines/${name}`);
    expect(ended).toMatchObject({ status: 0, stderr: '' });
    expect(ended.stdout).toMatch(/^boot: .*\ndma: .*\nverify: /m);
    expect(lastLine(ended)).toContain('everything as expected');
  });

  it('--json is the report and nothing else', () => {
    const { status, stdout } = smmulator('run', 'machines/one-smmu.yaml', '--json', '--lanes', '1');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ machine: 'one-smmu', ok: true, lanes: 1, failures: [] });
  });

  it('an expected fault that does not come is status 1', () => {
    const file = variant('wrong.yaml', (text) => text.replace('expect: F_TRANSLATION', 'expect: F_ACCESS'));
    const { status, stdout } = smmulator('run', file);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^failure: /m);
  });

  it('A10 an unsound machine prints what check prints and starts nothing', () => {
    const args = ['machines/one-smmu.yaml', '--global', 'arm-smmuv3.secure-impl=on'];
    const checked = smmulator('check', ...args, '--json');
    expect(checked.status).toBe(1);
    expect(smmulator('run', ...args, '--json')).toEqual(checked);
    const { status, stdout } = smmulator('run', ...args);
    expect(status).toBe(1);
    expect(stdout).toContain('error[secure-memory-missing]');
    expect(stdout).not.toContain('boot:');
  });

  it('H9 an interrupted run ends with a report, status 1 and no thread left', async () => {
    const file = variant('long.yaml', (text) => text.replaceAll(/repeat: \d+/g, 'repeat: 1000000'));
    const child = spawn(process.execPath, ['dist/src/cli/main.js', 'run', file], { cwd: root });
    let stdout = '';
    child.stdout.on('data', (chunk) => {
      if (stdout === '') child.kill('SIGINT');
      stdout += chunk;
    });
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(1);
    expect(stdout).toContain('failure: the run was interrupted before its workload was done');
  });
});
