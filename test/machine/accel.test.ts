/** Accelerated SMMUs in the machine file: what may be behind them, what their host must have, `auto`. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { IDR0, IDR1, IDR3, IDR5 } from '../../src/arch/id-registers.js';
import { get } from '../../src/arch/layout.js';
import { loadMachine } from '../../src/machine/load.js';

interface Choices {
  readonly host?: string;
  readonly guest?: string;
  readonly devices?: readonly string[];
  readonly software?: string;
}

const HOST_NIC = '{ id: nic, type: dma-engine, bus: pcie.0, addr: "01.0" }';
const PASSED = '{ id: nic0, type: vfio-pci, bus: pcie.1, addr: "00.0", host: nic }';

function load({ host = '', guest = '', devices = [HOST_NIC, PASSED], software = '' }: Choices = {}) {
  const text = `machine: m
memory: [ { id: ram, base: 0x40000000, size: 256MiB } ]
buses: [ { id: pcie.0, type: pcie }, { id: pcie.1, type: pxb-pcie, bus-nr: 0x20 }, { id: rp, type: pcie-root-port, bus: pcie.1, addr: "01.0", secondary: 0x21 } ]
smmus:
  - { id: host0, base: 0x09050000, primary-bus: pcie.0, stage: nested${host} }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, accel: host0${guest} }
devices: [ ${devices.join(', ')} ]
software: [ ${software} ]
`;
  const { machine, diagnostics } = loadMachine(text, 'm.yaml');
  return { machine, found: diagnostics.map(({ code, message }) => `${code}: ${message}`) };
}

const codes = (choices: Choices) => load(choices).found.map((line) => line.split(':')[0]);

describe('C19: behind an accelerated SMMU', () => {
  test('bridges, root ports and passed-through endpoints may sit', () => {
    expect(load().found).toEqual([]);
    const below = PASSED.replace('pcie.1', 'rp');
    expect(load({ devices: [HOST_NIC, below] }).found).toEqual([]);
  });

  test.each(['dma-engine', 'iommu-testdev'])('an emulated %s may not', (type) => {
    const emulated = `{ id: nic1, type: ${type}, bus: pcie.1, addr: "02.0" }`;
    expect(codes({ devices: [HOST_NIC, PASSED, emulated] })).toEqual(['accel-emulated-device']);
    expect(codes({ devices: [emulated], guest: ', accel: off' })).toContain('yaml-syntax');
  });

  test('the same device is welcome without acceleration', () => {
    const emulated = '{ id: nic1, type: dma-engine, bus: pcie.0, addr: "02.0" }';
    expect(codes({ devices: [HOST_NIC, PASSED, emulated] })).toEqual([]);
  });
});

describe('C20: what the guest is promised, and the host has not, is told with both values', () => {
  test.each([
    [
      { host: ', ssidsize: 4', guest: ', ssidsize: 8' },
      'SubstreamID bits (SSIDSIZE): 8 for the guest, 4 on the host',
    ],
    [{ host: ', oas: 40' }, 'output address size (OAS): 44 bits for the guest, 40 bits on the host'],
    [{ host: ', ril: off' }, 'range invalidation (RIL): 1 for the guest, 0 on the host'],
    [
      { host: ', sidsize: 8', devices: [HOST_NIC, PASSED] },
      'StreamID bits (SIDSIZE): 16 for the guest, 8 on the host',
    ],
    [{ host: ', granules: [4KiB]' }, '16KB granule (GRAN16K): 1 for the guest, 0 on the host'],
    [{ host: ', asid16: off' }, 'ASID size (ASID16): 1 for the guest, 0 on the host'],
    [{ host: ', secure-impl: off', guest: ', cmdqs: 3' }, undefined],
  ] as const)('%j', (choices, message) => {
    const { found } = load(choices);
    if (message === undefined) expect(found).toEqual([]);
    else
      expect(found).toContain(`accel-capability: SMMU 'host0' cannot translate for SMMU 'smmu1': ${message}`);
  });

  test('a host without both stages, or one that is accelerated itself', () => {
    const text = load({ host: ', accel: smmu1' }).found;
    expect(text.some((line) => line.includes('it is accelerated itself'))).toBe(true);
  });
});

describe('C21: auto', () => {
  test('values are those of the host below the first device', () => {
    const { machine, found } = load({
      host: ', oas: 48, ssidsize: 6, ril: off',
      guest: ', oas: auto, ssidsize: auto, ril: auto',
    });
    expect(found).toEqual([]);
    const { idr } = machine!.smmus[1]!.config;
    expect(get([idr.IDR5], IDR5.fields.OAS)).toBe(5);
    expect(get([idr.IDR1], IDR1.fields.SSIDSIZE)).toBe(6);
    expect(get([idr.IDR3], IDR3.fields.RIL)).toBe(0);
  });

  test('without a device nobody can decide', () => {
    expect(codes({ guest: ', oas: auto', devices: [HOST_NIC] })).toEqual(['accel-auto-unresolved']);
    expect(codes({ devices: [HOST_NIC] })).toEqual([]);
  });

  test('an SMMU without a host has its default', () => {
    const { machine } = load({ host: ', oas: auto, ssidsize: auto', guest: '' });
    expect(get([machine!.smmus[0]!.config.idr.IDR5], IDR5.fields.OAS)).toBe(4);
  });
});

test("an accelerated SMMU has no Stall model: nobody could pass a guest's CMD_RESUME on", () => {
  const { machine, found } = load({ host: ', stall-model: stall', guest: ', stall-model: stall' });
  expect(found).toEqual([
    "accel-reduced: SMMU 'smmu1' is accelerated: it has no Stall model, whatever stall-model says",
  ]);
  expect(get([machine!.smmus[1]!.config.idr.IDR0], IDR0.fields.STALL_MODEL)).toBe(1);
  const software =
    '{ device: nic0, faults: stall, mappings: [{ iova: 0x10000, size: 64KiB, populate: on-fault }] }';
  expect(load({ guest: ', stall-model: stall', software }).found).toContain(
    "software-conflict: SMMU 'smmu1' has no Stall model, so no fault of 'nic0' can stall",
  );
});

test('an accelerated SMMU offers stage 1 alone, and none of what a physical STE keeps to itself (C18)', () => {
  const { machine } = load({ guest: ', stage: nested' });
  const { idr } = machine!.smmus[1]!.config;
  const idr0 = ['S1P', 'S2P', 'VMID16', 'Hyp'] as const;
  expect(idr0.map((name) => get([idr.IDR0], IDR0.fields[name]))).toEqual([1, 0, 0, 0]);
  expect(
    [idr.IDR1, idr.IDR1].map((word, i) =>
      get([word], IDR1.fields[i === 0 ? 'ATTR_PERMS_OVR' : 'ATTR_TYPES_OVR']),
    ),
  ).toEqual([0, 0]);
});

test("guest memory is a part of the host's, in no default address space", () => {
  const text = readFileSync(new URL('../../machines/accelerated.yaml', import.meta.url), 'utf8');
  const { machine } = loadMachine(text, 'accelerated.yaml');
  expect(machine!.regions.map(({ id, alias }) => [id, alias])).toEqual([
    ['ram', undefined],
    ['ram-a', { of: 'ram', offset: 0x1000_0000 }],
    ['ram-b', { of: 'ram', offset: 0x1800_0000 }],
  ]);
  expect(machine!.addressSpaces.find(({ id }) => id === 'system')!.regions).toEqual(['ram']);
});
