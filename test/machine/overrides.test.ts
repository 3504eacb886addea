import { describe, expect, test } from 'vitest';
import { IDR5, OAS_BITS } from '../../src/arch/id-registers.js';
import { get } from '../../src/arch/layout.js';
import { OverrideError } from '../../src/machine/load.js';
import type { Overrides } from '../../src/machine/overrides.js';
import { check, codes, HEAD, load, machineOf, places, smmu } from './helpers.js';

function oas(sections: string, overrides?: Overrides): number {
  const { IDR5: word } = machineOf(sections, overrides).smmus[0]!.config.idr;
  return OAS_BITS[get([word], IDR5.fields.OAS)]!;
}

describe('A7: precedence of --set, own value, --global, global', () => {
  const global = 'global: { arm-smmuv3.oas: 36 }\n';

  test('each wins over the next', () => {
    expect(oas(smmu())).toBe(44);
    expect(oas(smmu() + global)).toBe(36);
    expect(oas(smmu() + global, { global: ['arm-smmuv3.oas=40'] })).toBe(40);
    expect(oas(smmu('oas: 42') + global, { global: ['arm-smmuv3.oas=40'] })).toBe(42);
    expect(
      oas(smmu('oas: 42') + global, { global: ['arm-smmuv3.oas=40'], set: ['smmus.smmu0.oas=48'] }),
    ).toBe(48);
  });

  test('among equals the last wins', () => {
    expect(oas(smmu(), { global: ['arm-smmuv3.oas=40', 'arm-smmuv3.oas=48'] })).toBe(48);
    expect(oas(smmu(), { set: ['smmus.smmu0.oas=48', 'smmus.smmu0.oas=40'] })).toBe(40);
  });

  test('auto on an instance means infer, whatever the global says', () => {
    expect(check(smmu('secure-impl: auto'), { global: ['arm-smmuv3.secure-impl=on'] })).toEqual([]);
    expect(check(smmu('secure-impl: on'), { set: ['smmus.smmu0.secure-impl=auto'] })).toEqual([]);
  });
});

describe('positions of values from the command line', () => {
  test('that of the value it replaces, else of its item', () => {
    expect(places(check(smmu('oas: 44'), { set: ['smmus.smmu0.oas=47'] }))).toEqual(['oas-invalid 9:62']);
    expect(places(check(smmu(), { set: ['smmus.smmu0.oas=47'] }))).toEqual(['oas-invalid 9:5']);
    expect(places(check(smmu(), { global: ['arm-smmuv3.oas=47'] }))).toEqual(['oas-invalid 9:5']);
    const replaced = `${smmu()}global: { arm-smmuv3.oas: 44 }\n`;
    expect(places(check(replaced, { global: ['arm-smmuv3.oas=47'] }))).toEqual(['oas-invalid 10:27']);
  });

  test('a global that is wrong is reported once, at the global', () => {
    const two = `${smmu()}  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1 }\nglobal: { arm-smmuv3.oas: 47 }\n`;
    expect(places(check(two))).toEqual(['oas-invalid 11:27']);
  });

  test('path is as in --set', () => {
    expect(check(smmu('oas: 47'))[0]!.path).toBe('smmus.smmu0.oas');
    expect(check(smmu('irqs: { eventq: 5, gerror: 5 }'))[0]!.path).toBe('smmus.smmu0.irqs.gerror');
  });
});

describe('what --set reaches', () => {
  test.each([
    ['buses.pcie.1.bus-nr=0x30', (m: ReturnType<typeof machineOf>) => m.devices[0]!.bdf, '30:02.0'],
    ['devices.nic0.addr=03.1', (m: ReturnType<typeof machineOf>) => m.devices[0]!.bdf, '20:03.1'],
    ['memory.ram.size=2GiB', (m: ReturnType<typeof machineOf>) => m.regions[0]!.sizeBytes, 2 ** 31],
    ['smmus.smmu0.irqs.eventq=9', (m: ReturnType<typeof machineOf>) => m.smmus[0]!.irqs.eventq, 9],
    ['smmus.smmu0.granules=[4KiB]', (m: ReturnType<typeof machineOf>) => m.smmus[0]!.config.idr.IDR5, 0x14],
    [
      'address-spaces.system=[ram]',
      (m: ReturnType<typeof machineOf>) => m.addressSpaces[0]!.regions,
      ['ram'],
    ],
    ['machine=other', (m: ReturnType<typeof machineOf>) => m.name, 'other'],
  ])('%s', (set, read, expected) => {
    const sections = `${smmu()}devices:\n  - { id: nic0, type: dma-engine, bus: pcie.1, addr: "02.0" }\n`;
    expect(read(machineOf(sections, { set: [set] }))).toEqual(expected);
  });

  test('a value of the wrong type is a diagnostic, an empty one too', () => {
    expect(codes(check(smmu(), { set: ['smmus.smmu0.sidsize=banana'] }))).toEqual(['schema']);
    expect(codes(check(smmu(), { set: ['smmus.smmu0.sidsize='] }))).toEqual(['schema']);
  });
});

describe('a wrong command line throws', () => {
  test.each<Overrides>([
    { set: ['smmus.smmu0.oas'] },
    { set: ['smmus.smmu9.oas=48'] },
    { set: ['smmus.smmu0.oass=48'] },
    { set: ['smmu.smmu0.oas=48'] },
    { set: ['smmus.smmu0=48'] },
    { set: ['smmus.smmu0.oas.bits=48'] },
    { set: ['buses.pcie.0.secondary=3'] },
    { set: ['address-spaces.nowhere=[ram]'] },
    { set: ['global.arm-smmuv3.oas=48'] },
    { global: ['arm-smmuv3.oas'] },
    { global: ['arm-smmuv3.base=0'] },
    { global: ['smmuv3.oas=48'] },
    { global: ['oas=48'] },
  ])('%o', (overrides) => {
    expect(() => load(HEAD + smmu(), overrides)).toThrow(OverrideError);
  });
});
