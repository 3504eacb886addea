import { describe, expect, test } from 'vitest';
import { check, codes, load, machineOf, places, smmu } from './helpers.js';

const TWO = `smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0 }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1 }
`;
const nic = (id: string, bus: string, addr: string, rest = '') =>
  `  - { id: ${id}, type: dma-engine, bus: ${bus}, addr: "${addr}"${rest} }\n`;
const map = (bus: string, base: string, count: string, to: string, sid: string) =>
  `  - { bus: ${bus}, rid-base: ${base}, count: ${count}, smmu: ${to}, sid-base: ${sid} }\n`;

describe('F2: every device resolves to exactly one (SMMU, StreamID, SEC_SID), or to no SMMU', () => {
  test('the identity, also below ports of ports, and no SMMU', () => {
    const { devices } = machineOf(
      `${smmu()}devices:
${nic('a', 'pcie.0', '02.0')}${nic('b', 'rp1', '00.0')}${nic('c', 'pcie.1', '02.0')}`.replace(
        'smmus:',
        `  - { id: rp0, type: pcie-root-port, bus: pcie.0, addr: "04.0", secondary: 1, subordinate: 3 }
  - { id: rp1, type: pcie-root-port, bus: rp0, addr: "00.0", secondary: 2, subordinate: 3 }
smmus:`,
      ),
    );
    expect(devices.map(({ id, smmu: index, StreamID, SEC_SID }) => [id, index, StreamID, SEC_SID])).toEqual([
      ['a', 0, 0x10, 0],
      ['b', 0, 0x200, 0],
      ['c', -1, 0x2010, 0],
    ]);
  });

  test('explicit maps decide, also for an SMMU whose primary bus is another', () => {
    const maps = `id-maps:\n${map('pcie.1', '0x2000', '0x18', 'smmu0', '0x8000')}${map('pcie.1', '0x2018', '8', 'smmu1', '0')}`;
    const { devices } = machineOf(
      `${TWO}devices:\n${nic('a', 'pcie.1', '02.0')}${nic('b', 'pcie.1', '03.1')}${nic('c', 'pcie.0', '02.0')}${maps}`,
    );
    expect(devices.map(({ smmu: index, StreamID }) => [index, StreamID])).toEqual([
      [0, 0x8010],
      [1, 1],
      [0, 0x10],
    ]);
  });

  test('a gap and an overlap print the ranges', () => {
    const gap = check(
      `${smmu()}devices:\n${nic('a', 'pcie.0', '02.0')}id-maps:\n${map('pcie.0', '0', '0x10', 'smmu0', '0')}`,
    );
    expect(places(gap)).toEqual(['idmap-gap 11:51']);
    expect(gap[0]!.message).toContain('0x0-0xf');
    const overlap = check(
      `${smmu()}id-maps:\n${map('pcie.0', '0', '0x10', 'smmu0', '0')}${map('pcie.0', '8', '8', 'smmu0', '0x100')}`,
    );
    expect(places(overlap)).toEqual(['idmap-overlap 12:30']);
    expect(overlap[0]!.message).toMatch(/0x8-0xf.*0x0-0xf/);
  });

  test('equal ranges of different buses do not overlap', () => {
    expect(
      check(
        `${TWO}id-maps:\n${map('pcie.0', '0', '8', 'smmu0', '0')}${map('pcie.1', '0', '8', 'smmu1', '0')}`,
      ),
    ).toEqual([]);
  });

  test('one StreamID in both Security states is no clash', () => {
    const maps = `id-maps:\n${map('pcie.0', '0x10', '8', 'smmu0', '0')}${map('pcie.0', '0x18', '8', 'smmu0', '0')}`;
    const devices = (secSid: string) =>
      `devices:\n${nic('a', 'pcie.0', '02.0')}${nic('b', 'pcie.0', '03.0', `, sec-sid: ${secSid}`)}`;
    expect(check(smmu('secure-memory: secure') + devices('secure') + maps)).toEqual([]);
    expect(codes(check(smmu() + devices('non-secure') + maps))).toEqual(['streamid-clash']);
  });
});

describe('F3: wrong wiring', () => {
  test('a reported primary-bus causes nothing further', () => {
    expect(
      codes(
        check(
          `${smmu().replace('pcie.0', 'pcie.7')}devices:\n${nic('a', 'pcie.0', '02.0', ', sec-sid: secure')}`,
        ),
      ),
    ).toEqual(['unknown-reference']);
  });

  test('addr-clash causes no streamid-clash, bus-number-clash neither', () => {
    expect(
      codes(check(`${smmu()}devices:\n${nic('a', 'pcie.0', '02.0')}${nic('b', 'pcie.0', '02.0')}`)),
    ).toEqual(['addr-clash']);
    const buses = `  - { id: pcie.2, type: pxb-pcie, bus-nr: 0x20 }\n`;
    const devices = `devices:\n${nic('a', 'pcie.1', '02.0')}${nic('b', 'pcie.2', '02.0')}`;
    expect(places(check(buses + devices))).toEqual(['bus-number-clash 8:43']);
  });

  test('an overlapping region is reported once and causes nothing further', () => {
    const memory = (base: string, size: string, id: string) =>
      `  - { id: ${id}, base: ${base}, size: ${size} }\n`;
    const text = `machine: m\nmemory:\n${memory('0', '1GiB', 'a')}${memory('0x1000', '8GiB', 'b')}${memory('0x100000000', '1GiB', 'c')}`;
    expect(places(load(text).diagnostics)).toEqual(['region-overlap 4:20']);
  });

  test('a window over memory is reported at the SMMU even where the region stands below it', () => {
    const text = check(smmu().replace('0x09050000', '0x40000000'));
    expect(places(text)).toEqual(['mmio-overlap 9:24']);
  });
});

describe('F4: StreamIDs beyond sidsize', () => {
  test('under the identity once per device, at its addr', () => {
    const devices = `devices:\n${nic('a', 'pcie.0', '02.0')}${nic('b', 'pcie.0', '03.0')}`;
    expect(places(check(smmu('sidsize: 4') + devices))).toEqual([
      'streamid-out-of-range 11:51',
      'streamid-out-of-range 12:51',
    ]);
  });

  test('an explicit map once, at its sid-base, whatever its devices', () => {
    const devices = `devices:\n${nic('a', 'pcie.0', '02.0')}${nic('b', 'pcie.0', '03.0')}`;
    const maps = `id-maps:\n${map('pcie.0', '0', '0x20', 'smmu0', '0xfff0')}`;
    expect(codes(check(smmu() + devices + maps))).toEqual(['streamid-out-of-range']);
    expect(codes(check(smmu() + devices + maps.replace('0xfff0', '0xffe0')))).toEqual([]);
  });
});

describe('software and workload', () => {
  const device = `devices:\n${nic('a', 'pcie.0', '02.0')}`;

  test('arrive in the machine with their defaults', () => {
    const { software, workload } = machineOf(`${smmu()}${device}software:
  - { device: a, mappings: [{ iova: 0xffff_0000_0000, size: 64KiB, access: r }] }
workload:
  - { device: a, op: read, iova: 0xffff_0000_0000, size: 8KiB }
  - { device: a, op: read, iova: 0xffffffffffff0000, size: 4KiB, expect: F_TRANSLATION }
`);
    expect(software).toEqual([
      {
        device: 'a',
        config: 'translate',
        granule: '4KiB',
        faults: 'terminate',
        context: 'a',
        mappings: [{ iova: 0xffff_0000_0000n, sizeBytes: 0x10000, access: 'r' }],
      },
    ]);
    expect(workload[0]).toEqual({
      device: 'a',
      op: 'read',
      iova: 0xffff_0000_0000n,
      sizeBytes: 8192,
      blockBytes: 4096,
      repeat: 1,
      pattern: 0,
      expect: 'ok',
    });
    expect(workload[1]!.iova).toBe(0xffff_ffff_ffff_0000n);
  });

  test('G12: stalls need an SMMU that can; populating on fault needs stalls; a context has one way to treat faults', () => {
    const program = (faults: string, populate: string) =>
      `software:\n  - { device: a, faults: ${faults}, mappings: [{ iova: 0, size: 4KiB, populate: ${populate} }] }\n`;
    const can = smmu('stall-model: stall') + device;
    expect(check(can + program('stall', 'on-fault'))).toEqual([]);
    expect(places(check(smmu() + device + program('stall', 'at-boot')))).toEqual(['software-conflict 13:26']);
    expect(places(check(can + program('terminate', 'on-fault')))).toEqual(['mapping-invalid 13:81']);
    const two = `${can}${nic('b', 'pcie.0', '05.0')}software:\n`;
    const shared = (id: string, faults: string) => `  - { device: ${id}, context: c, faults: ${faults} }\n`;
    expect(places(check(two + shared('a', 'stall') + shared('b', 'terminate')))).toEqual([
      'software-conflict 15:27',
    ]);
  });

  test('expect takes the names of events', () => {
    const step = (expectation: string) =>
      `workload:\n  - { device: a, op: read, iova: 0, size: 64, expect: ${expectation} }\n`;
    expect(codes(check(device + step('F_NOTHING')))).toEqual(['schema']);
    expect(codes(check(device + step('abort')))).toEqual([]);
  });
});
