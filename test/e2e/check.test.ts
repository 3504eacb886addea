import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { root, smmulator } from './command-line.js';

const folder = mkdtempSync(join(tmpdir(), 'check-'));
afterAll(() => rmSync(folder, { recursive: true }));

function machine(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const SOUND = `machine: small
memory:
  - { id: ram, base: 0x40000000, size: 16MiB }
buses:
  - { id: pcie.0, type: pcie, bus-nr: 0 }
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0 }
devices:
  - { id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }
`;
const BROKEN = SOUND.replace('primary-bus: pcie.0', 'primary-bus: pcie.9').replace('"02.0"', '"02.9"');

describe('I3 check', () => {
  const files = readdirSync(`${root}/machines`).filter((name) => name.endsWith('.yaml'));

  it.each(files)('machines/%s is sound', (name) => {
    expect(smmulator('check', `machines/${name}`)).toMatchObject({ status: 0, stderr: '' });
  });

  it('A13 prints every problem with place, code, caret and help, and ends with status 1', () => {
    const file = machine('broken.yaml', BROKEN);
    const { status, stdout, stderr } = smmulator('check', file);
    expect(status).toBe(1);
    expect(stderr).toBe('');
    expect(stdout).toContain(`${file}:7:49: error[unknown-reference]:`);
    expect(stdout).toContain(`${file}:9:54: error[addr-invalid]:`);
    expect(stdout).toMatch(/^help: /m);
    expect(stdout).toMatch(/^ {3}\| {49}\^$/m);
  });

  it('--json is one document with the diagnostics in file order', () => {
    const { status, stdout } = smmulator('check', machine('broken.yaml', BROKEN), '--json');
    const { ok, diagnostics } = JSON.parse(stdout);
    expect(status).toBe(1);
    expect(ok).toBe(false);
    expect(diagnostics.map(({ code, path }: { code: string; path: string }) => [code, path])).toEqual([
      ['unknown-reference', 'smmus.smmu0.primary-bus'],
      ['addr-invalid', 'devices.nic0.addr'],
    ]);
  });

  it('a device that never ends is refused as too long', { skip: !existsSync('/dev/zero') }, () => {
    const { status, stdout, stderr } = smmulator('check', '/dev/zero');
    expect([status, stderr]).toEqual([1, '']);
    expect(stdout).toContain('/dev/zero:1:1: error[yaml-syntax]: the text has more than ');
  });

  it('a full disk behind standard output is one sentence and status 2', {
    skip: !existsSync('/dev/full'),
  }, () => {
    const output = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, ['dist/src/cli/main.js', '--help'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', output, 'pipe'],
    });
    closeSync(output);
    expect([status, stderr]).toEqual([2, 'smmulator: standard output: no space left on the device\n']);
  });

  it('--json of a sound machine says so', () => {
    const { status, stdout } = smmulator('check', machine('sound.yaml', SOUND), '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ ok: true, diagnostics: [] });
  });

  it('A10 --global and --set take part in the rules', () => {
    const file = machine('sound.yaml', SOUND);
    const forced = smmulator('check', file, '--global', 'arm-smmuv3.secure-impl=on');
    expect(forced.status).toBe(1);
    expect(forced.stdout).toContain('error[secure-memory-missing]');
    const off = ['--global', 'arm-smmuv3.secure-impl=on', '--set', 'smmus.smmu0.secure-impl=off'];
    expect(smmulator('check', file, ...off).status).toBe(0);
  });

  it('options may stand before the file', () => {
    const file = machine('sound.yaml', SOUND);
    expect(
      smmulator('check', '--set', 'smmus.smmu0.oas=48', '--global', 'arm-smmuv3.stage=1', file).status,
    ).toBe(0);
  });
});
