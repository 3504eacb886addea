import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/exit-status.js';
import { cacheEntries } from '../../src/cli/options.js';

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
