import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/exit-status.js';
import { cacheEntries, refuseRepeated } from '../../src/cli/options.js';

describe('H5 cache sizes on the command line', () => {
  const entries = cacheEntries('tlb');

  it.each([
    ['off', 0],
    ['0', 0],
    ['1', 1],
    ['4096', 4096],
    ['unbounded', Number.POSITIVE_INFINITY],
  ])('%s', (text, expected) => {
    expect(entries(text)).toBe(expected);
  });

  it.each(['', 'on', '-1', '1.5', '0x10', 'Infinity'])('refuses "%s"', (text) => {
    expect(() => entries(text)).toThrow(UsageError);
    expect(() => entries(text)).toThrow('--tlb');
  });
});

describe('J1 options given twice', () => {
  it.each([
    ['--iova', '0', '--iova', '1'],
    ['--at=boot', '--at', 'step:1'],
    ['--cache-seed', '1', '--cacheSeed', '2'],
  ])('refuses %s %s %s %s', (...args) => {
    expect(() => refuseRepeated(args)).toThrow(UsageError);
    expect(() => refuseRepeated(args)).toThrow(/^--(iova|at|cache-seed) is given more than once$/);
  });

  it('takes what may be repeated, and anything behind --', () => {
    refuseRepeated([
      'run',
      '--set',
      'a',
      '--set',
      'b',
      '--global=c',
      '--global=d',
      '--idr',
      'e',
      '--idr',
      'f',
    ]);
    refuseRepeated(['--json', '--', '--json']);
  });
});
