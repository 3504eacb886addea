import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/cli/exit-status.js';
import { duration, operationCount, seedCount, seedNumber } from '../../src/cli/stress-options.js';

describe('H7 stress: values of options', () => {
  it.each([
    [duration, '250ms', 250],
    [duration, '30', 30_000],
    [duration, '30s', 30_000],
    [duration, '1.5min', 90_000],
    [duration, '2m', 120_000],
    [duration, '1h', 3_600_000],
    [operationCount, '1', 1],
    [operationCount, '1000000000', 1e9],
    [seedCount, '10000', 10_000],
    [seedNumber, '0', 0],
    [seedNumber, '4294967295', 0xffff_ffff],
  ])('%o %s', (read, text, value) => {
    expect(read(text)).toBe(value);
  });

  it.each([
    [duration, '0s'],
    [duration, '-1s'],
    [duration, '1000h'],
    [duration, 's'],
    [duration, '1 s'],
    [operationCount, '0'],
    [operationCount, '-1'],
    [operationCount, '1e3'],
    [seedCount, '0'],
    [seedCount, '1.5'],
    [seedNumber, '4294967296'],
    [seedNumber, '0x10'],
    [seedNumber, ''],
  ])('%o %s is refused with a sentence', (read, text) => {
    expect(() => read(text)).toThrow(UsageError);
  });
});
