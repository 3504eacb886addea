import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { root, smmulator } from './command-line.js';

describe('I1 the command line', () => {
  it.each([[[]], [['check']], [['run']], [['stress']], [['snapshot']], [['restore']], [['replay']]])(
    '%j --help explains itself, with examples',
    (command) => {
      const { status, stdout, stderr } = smmulator(...command, '--help');
      expect(status).toBe(0);
      expect(stdout).toContain('Examples:');
      expect(stdout).toContain('Exit status:');
      expect(stderr).toBe('');
    },
  );

  it('--version is the package version', () => {
    const { version } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
    expect(smmulator('--version')).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    ['no command', []],
    ['an unknown command', ['reply', 'x.json']],
    ['no file', ['check']],
    ['too many files', ['check', 'a.yaml', 'b.yaml']],
    ['an unknown option', ['replay', 'a.json', '--tbl', '4']],
    ['a cache size that is none', ['replay', 'a.json', '--tlb', 'big']],
    ['an option without its value', ['replay', 'a.json', '--tlb']],
    ['a machine file that is not there', ['check', 'absent.yaml']],
    ['a folder for a file', ['check', 'machines']],
    ['an override without =', ['check', 'machines/one-smmu.yaml', '--set', 'smmus.smmu0.oas']],
    ['an override of nothing', ['check', 'machines/one-smmu.yaml', '--set', 'smmus.smmu77.oas=48', '--json']],
    ['a global of nothing', ['run', 'machines/one-smmu.yaml', '--global', 'arm-smmuv3.colour=red']],
  ])('%s is status 2, one complaint and no stack', (_what, args) => {
    const { status, stdout, stderr } = smmulator(...args);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^smmulator: /);
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});
