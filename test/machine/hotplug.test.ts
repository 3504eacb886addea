import { describe, expect, test } from 'vitest';
import { PluggedDevices } from '../../src/machine/hotplug.js';
import type { Overrides } from '../../src/machine/load.js';
import { codes, machineOf, smmu } from './helpers.js';

const FILE = `${smmu('secure-memory: secure')}devices:
  - { id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }
  - { id: lone, type: dma-engine, bus: pcie.1, addr: "00.0" }
software:
  - { device: nic0, mappings: [{ iova: 0x1000, size: 4KiB, pa: 0x50000000 }] }
workload:
  - { device: nic0, op: fill, iova: 0x1000, size: 4KiB }
`;

function plugged(overrides?: Overrides, file = FILE): PluggedDevices {
  return new PluggedDevices(machineOf(file, overrides).source);
}

const device = (id: string, addr: string, more = '') =>
  `{ id: ${id}, type: dma-engine, bus: pcie.0, addr: "${addr}"${more} }`;

describe('A19: what is plugged in passes the rules of the machine file', () => {
  test('a device that fits is realized as from the file', () => {
    const { accepted, diagnostics } = plugged().plug(device('nic1', '03.0', ', sec-sid: secure'));
    expect(diagnostics).toEqual([]);
    expect(accepted).toEqual({
      ...{ id: 'nic1', type: 'dma-engine', bdf: '00:03.0', requesterID: 0x18 },
      ...{ smmu: 0, StreamID: 0x18, SEC_SID: 1 },
    });
  });

  test.each([
    [
      'a Secure device behind an SMMU without Secure support',
      device('x', '03.0', ', sec-sid: secure'),
      'secure-device-unsupported',
    ],
    [
      'a Secure device behind no SMMU',
      device('x', '03.0', ', sec-sid: secure').replace('pcie.0', 'pcie.1'),
      'secure-device-without-smmu',
    ],
    ['an address that is taken', device('x', '02.0'), 'addr-clash'],
    ['a name that is taken', device('nic0', '03.0'), 'duplicate-id'],
    ['no such bus', device('x', '03.0').replace('pcie.0', 'pcie.9'), 'unknown-reference'],
    ['no such slot', device('x', '20.0'), 'addr-invalid'],
    ['a misspelt key', device('x', '03.0', ', sec-sidd: secure'), 'schema'],
    ['no device at all', '', 'schema'],
    ['a list', '[1]', 'schema'],
    ['no YAML', '{ id: x', 'yaml-syntax'],
  ])('%s is refused', (_, text, code) => {
    const devices = plugged({}, FILE.replace('secure-memory: secure', 'oas: 40'));
    const { accepted, diagnostics } = devices.plug(text);
    expect(accepted).toBeUndefined();
    expect(codes(diagnostics)).toEqual([code]);
  });

  test('a diagnostic has the place in the text that was plugged, and names device, BDF and SMMU', () => {
    const devices = plugged({ set: ['smmus.smmu0.secure-impl=off'] });
    const text = `id: hsm0\ntype: iommu-testdev\nbus: pcie.0\naddr: "03.0"\nsec-sid: secure\n`;
    const { diagnostics } = devices.plug(text);
    expect(diagnostics).toMatchObject([
      { file: 'plug-1', line: 5, column: 10, path: 'devices.hsm0.sec-sid', severity: 'error' },
    ]);
    expect(diagnostics[0]!.message).toMatch(/hsm0.*00:03\.0.*smmu0.*secure-impl: off/);
  });

  test('a refusal leaves all as it was: name and place are still free', () => {
    const devices = plugged({}, FILE.replace('secure-memory: secure', 'oas: 40'));
    expect(devices.plug(device('nic1', '03.0', ', sec-sid: secure')).accepted).toBeUndefined();
    expect(devices.plug(device('nic1', '03.0')).accepted?.id).toBe('nic1');
  });

  test('what was plugged in counts from then on, and no more when it is unplugged', () => {
    const devices = plugged();
    expect(devices.plug(device('nic1', '03.0')).accepted).toBeDefined();
    expect(codes(devices.plug(device('nic1', '04.0')).diagnostics)).toEqual(['duplicate-id']);
    expect(codes(devices.plug(device('nic2', '03.0')).diagnostics)).toEqual(['addr-clash']);
    devices.unplug('nic1');
    expect(devices.plug(device('nic2', '03.0')).accepted).toBeDefined();
  });

  test('a device of the file makes room, with its software and its workload; and comes back', () => {
    const devices = plugged({ set: ['devices.nic0.sec-sid=secure'] });
    devices.unplug('nic0');
    expect(devices.plug(device('nic9', '02.0')).accepted?.StreamID).toBe(0x10);
    devices.unplug('nic9');
    expect(devices.plug(device('nic0', '05.0')).accepted).toMatchObject({ bdf: '00:05.0', SEC_SID: 0 });
    expect(codes(devices.plug(device('nic0', '06.0')).diagnostics)).toEqual(['duplicate-id']);
    devices.unplug('nic0');
    expect(devices.plug(device('nic0', '06.0')).accepted?.bdf).toBe('00:06.0');
  });

  test('globals of the file and of the command line are for it, too', () => {
    const overrides = { global: ['dma-engine.sec-sid=secure'] };
    const devices = plugged(overrides, FILE.replace('bus: pcie.1', 'bus: pcie.0'));
    expect(devices.plug(device('nic1', '03.0')).accepted?.SEC_SID).toBe(1);
  });

  test('software of a device is checked against what else is programmed', () => {
    const devices = plugged();
    devices.plug(device('nic1', '03.0'));
    const { accepted, diagnostics } = devices.program(
      '{ device: nic1, mappings: [{ iova: 0x1000, size: 8KiB }] }',
    );
    expect(diagnostics).toEqual([]);
    expect(accepted!.program).toMatchObject({ device: 'nic1', context: 'nic1', granule: '4KiB' });
    expect(accepted!.program.mappings).toEqual([{ iova: 0x1000n, sizeBytes: 8192, access: 'rw' }]);
    expect(codes(devices.program('{ device: nic1 }').diagnostics)).not.toEqual([]);
    accepted!.undo();
    expect(codes(devices.program('{ device: nic1 }').diagnostics)).toEqual([]);
    expect(codes(devices.program('{ device: nic7 }').diagnostics)).toEqual(['unknown-reference']);
    expect(
      codes(devices.program('{ device: nic1, mappings: [{ iova: 1, size: 8KiB }] }').diagnostics),
    ).not.toEqual([]);
    devices.unplug('nic1');
    expect(codes(devices.program('{ device: nic1 }').diagnostics)).toEqual(['unknown-reference']);
  });
});

describe('A19: a number that software writes to a bus passes the rules of the machine file', () => {
  const PORTS = `  - { id: rp1, type: pcie-root-port, bus: pcie.0, addr: "04.0", secondary: 1, subordinate: 3 }
  - { id: rp2, type: pcie-root-port, bus: rp1, addr: "00.0", secondary: 3 }
  - { id: rp3, type: pcie-root-port, bus: pcie.0, addr: "05.0", secondary: 0x10 }
${smmu()}devices:
  - { id: a, type: dma-engine, bus: rp1, addr: "01.0" }
  - { id: b, type: dma-engine, bus: rp2, addr: "00.0" }
  - { id: lone, type: dma-engine, bus: pcie.1, addr: "00.0" }
`;
  const renumbered = (devices: PluggedDevices, bus: string, number: number) => {
    const { accepted, diagnostics } = devices.renumber(bus, number);
    return [accepted?.devices.map(({ bdf }) => bdf), codes(diagnostics)];
  };

  test('devices on the bus follow, those below a port on it do not, and a range keeps its length', () => {
    const devices = plugged({}, PORTS);
    expect(renumbered(devices, 'rp2', 5)).toEqual([['01:01.0', '05:00.0', '20:00.0'], ['bus-range-outside']]);
    expect(renumbered(devices, 'rp1', 4)).toEqual([['04:01.0', '05:00.0', '20:00.0'], []]);
    expect(renumbered(devices, 'rp1', 0)).toEqual([undefined, ['bus-number-clash']]);
    expect(renumbered(devices, 'rp1', 5)).toEqual([undefined, ['bus-number-clash']]);
    expect(renumbered(devices, 'rp3', 6)).toEqual([undefined, ['bus-number-clash']]);
    expect(renumbered(devices, 'rp3', 3)[1]).toEqual([]);
    expect(devices.plug(device('x', '02.0').replace('pcie.0', 'rp1')).accepted?.bdf).toBe('04:02.0');
    expect(renumbered(devices, 'pcie.1', 0x30)).toEqual([['04:01.0', '05:00.0', '30:00.0', '04:02.0'], []]);
  });

  test('the last number of a bus counts, and one that was undone does not', () => {
    const devices = plugged({ set: ['buses.pcie.1.bus-nr=0x28'] }, PORTS);
    const { accepted } = devices.renumber('pcie.1', 0x11);
    expect(accepted?.devices[2]?.bdf).toBe('11:00.0');
    accepted?.undo();
    expect(renumbered(devices, 'rp3', 0x11)[1]).toEqual([]);
    expect(renumbered(devices, 'pcie.1', 0x30)).toEqual([['01:01.0', '03:00.0', '30:00.0'], []]);
    expect(renumbered(devices, 'pcie.1', 0x31)).toEqual([['01:01.0', '03:00.0', '31:00.0'], []]);
  });

  test('a diagnostic has the number as its text', () => {
    const { diagnostics } = plugged({}, PORTS).renumber('pcie.1', 2);
    expect(diagnostics).toMatchObject([
      { code: 'bus-number-clash', file: 'renumber-1', line: 1, column: 1, path: 'buses.pcie.1.bus-nr' },
    ]);
  });

  test.each([-1, 0x100, 1.5, Number.NaN])('%s is no bus number', (number) => {
    const [accepted, diagnostics] = renumbered(plugged({}, PORTS), 'rp3', number);
    expect([accepted, diagnostics]).toEqual([undefined, ['schema']]);
  });
});
