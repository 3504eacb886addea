import { describe, expect, it } from 'vitest';
import { planScenario } from '../../src/scenario/configure.js';
import { parseHeader } from '../../src/scenario/parse-header.js';

const CACHES = { tlb: 0, configCache: 7 };

function plan(header: object) {
  return planScenario(
    parseHeader({ version: 1, name: 'plan', smmu: {}, memory: [], ...header }).header,
    CACHES,
  );
}

function idrOf(header: object) {
  const planned = plan(header);
  if (planned.kind === 'skip') throw new Error(planned.reason);
  return [...planned.smmus.values()][0]!;
}

const QEMU = { IDR0: '0xd44101a', IDR1: '0x2730010', IDR3: '0x1404', IDR5: '0x74', AIDR: '0x1' };

describe('J2 configuring an SMMU to a scenario', () => {
  it('takes the ID registers as they are', () => {
    const { config, unlike } = idrOf({ idr: QEMU });
    expect(config.idr).toMatchObject({ IDR0: 0xd44101a, IDR1: 0x2730010, IDR3: 0x1404, IDR5: 0x74, AIDR: 1 });
    expect(config).toMatchObject({ id: 'smmu', tlb: 0, configCache: 7 });
    expect(unlike.size).toBe(0);
  });

  it('fills in what a header leaves out from its properties', () => {
    const { config } = idrOf({
      smmu: { stage: 'nested', oas: 48, sidSize: 20, ssidSize: 8, secureImpl: true },
    });
    expect(config.idr.IDR0 & 3).toBe(3);
    expect(config.idr.IDR1 & 0x3f).toBe(20);
    expect((config.idr.IDR1 >>> 6) & 0x1f).toBe(8);
    expect(config.idr.IDR5 & 7).toBe(5);
    expect(config.idr.S_IDR1).toBe(0x80000014);
  });

  it('sets assumed bits over the others', () => {
    const { config } = idrOf({ idr: QEMU, assumes: { IDR3: { mask: '0x400', value: '0x0' } } });
    expect(config.idr.IDR3).toBe(0x1004);
  });

  it('skips where an assumed bit cannot be had, and says which', () => {
    const { kind, ...rest } = plan({ idr: QEMU, assumes: { IDR0: { mask: '0x1c00', value: '0x400' } } });
    expect(kind).toBe('skip');
    expect(rest).toEqual({ reason: 'not implemented: SMMU_IDR0.ATS = 1' });
  });

  it('skips where any bit cannot be had and nothing says that it does not matter', () => {
    expect(plan({ idr: { ...QEMU, IDR0: '0xd45141a' } }).kind).toBe('skip');
    expect(plan({ smmu: { ats: true } }).kind).toBe('skip');
  });

  it('bears a missing bit on which no answer depends, and leaves it out of comparisons', () => {
    const { unlike } = idrOf({
      idr: { ...QEMU, IDR0: '0xd44141a' },
      assumes: { IDR5: { mask: '0x77', value: '0x74' } },
    });
    expect(unlike.get(0)).toBe(0x400);
  });

  it('skips where properties and ID registers cannot both hold', () => {
    expect(plan({ smmu: { stage: 'nested' }, idr: QEMU })).toEqual({
      kind: 'skip',
      reason: 'not implemented: stage nested',
    });
    expect(plan({ smmu: { oas: 48 }, idr: QEMU })).toEqual({
      kind: 'skip',
      reason: 'not implemented: oas 48',
    });
  });

  it('an ID register that cannot be configured has to be zero', () => {
    expect(plan({ idr: { IDR2: '0x1' } })).toEqual({
      kind: 'skip',
      reason: 'not implemented: SMMU_IDR2.BA_VATOS = 1',
    });
    expect(plan({ idr: { '0x800c': '0x0' } }).kind).toBe('build');
  });
});
