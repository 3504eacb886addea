import { describe, expect, test } from 'vitest';
import { SECURE } from '../../src/arch/security.js';
import { Tcu } from '../../src/smmu/tcu/tcu.js';
import { SparseSpace } from '../smmu/tcu-bench.js';
import { check, codes, HEAD, load, machineOf, places, smmu } from './helpers.js';

const SPACES = [new SparseSpace(), new SparseSpace()] as const;
const CHANNEL = { broadcast() {}, settled: () => true };

const device = (secSid: string) =>
  `devices:\n  - { id: dev0, type: dma-engine, bus: pcie.0, addr: "03.0", sec-sid: ${secSid} }\n`;

describe('A1, A22: secure-impl x secure-memory x device', () => {
  // [the statements, secure-impl, secure-memory wired, device] -> effective support, diagnostics
  const combinations: [string, string | undefined, boolean, string, boolean, string[]][] = [
    ['A9', undefined, false, 'non-secure', false, []],
    ['A9, A18', undefined, false, 'secure', false, ['secure-device-unsupported']],
    ['A8', undefined, true, 'non-secure', true, []],
    ['A8, A18', undefined, true, 'secure', true, []],
    ['A10, A12', 'on', false, 'non-secure', false, ['secure-memory-missing']],
    ['A10, A12', 'on', false, 'secure', false, ['secure-memory-missing']],
    ['A8', 'on', true, 'non-secure', true, []],
    ['A8, A18', 'on', true, 'secure', true, []],
    ['A9', 'off', false, 'non-secure', false, []],
    ['A9, A18', 'off', false, 'secure', false, ['secure-device-unsupported']],
    ['A11', 'off', true, 'non-secure', false, []],
    ['A11, A18', 'off', true, 'secure', false, ['secure-device-unsupported']],
  ];

  test.each(combinations)(
    '%s: secure-impl %s, wired %s, device %s',
    (_, impl, wired, dev, secure, expected) => {
      const properties = [impl && `secure-impl: ${impl}`, wired && 'secure-memory: secure']
        .filter(Boolean)
        .join(', ');
      const { machine, diagnostics } = load(HEAD + smmu(properties) + device(dev));
      expect(codes(diagnostics)).toEqual(expected);
      expect(machine === undefined).toBe(expected.length > 0);
      if (machine === undefined) return;
      const { S_IDR0, S_IDR1 } = machine.smmus[0]!.config.idr;
      expect(S_IDR1).toBe(secure ? 0x8000_0010 : 0);
      expect(S_IDR0).toBe(secure ? 0x0100_0000 : 0);
      expect(machine.devices[0]!.SEC_SID).toBe(dev === 'secure' ? 1 : 0);
    },
  );
});

describe('A5: S_IDR1.SEL2', () => {
  const SEL2 = 1 << 29;
  const sel2 = (properties: string) => machineOf(smmu(properties)).smmus[0]!.config.idr.S_IDR1 & SEL2;

  test('is 0 unless asked for, with both stages too', () => {
    expect(sel2('stage: nested, secure-memory: secure')).toBe(0);
    expect(sel2('stage: nested, secure-memory: secure, sel2: off')).toBe(0);
    expect(sel2('stage: nested, secure-memory: secure, sel2: auto')).toBe(0);
  });

  test('is 1 with sel2: on, and reaches software', () => {
    expect(sel2('stage: nested, secure-memory: secure, sel2: on')).toBe(SEL2);
  });

  test.each([
    ['without Secure support', 'stage: nested, sel2: on', /no Secure support/],
    [
      'where secure-impl: off vetoes it',
      'stage: nested, secure-memory: secure, secure-impl: off, sel2: on',
      /no Sec/,
    ],
    ['with stage 1 alone', 'secure-memory: secure, sel2: on', /stage "1"/],
    ['on an SMMUv3.1', 'stage: nested, secure-memory: secure, ril: off, sel2: on', /SMMUv3\.1/],
  ])('sel2: on is refused %s', (_name, properties, message) => {
    const diagnostics = check(smmu(properties));
    expect(codes(diagnostics)).toEqual(['sel2-unsupported']);
    expect(diagnostics[0]!.path).toBe('smmus.smmu0.sel2');
    expect(diagnostics[0]!.message).toMatch(message);
  });

  test('what was reported already is not reported again', () => {
    const { length } = check(smmu('stage: nested, secure-impl: on, sel2: on'));
    expect(length).toBe(1);
    expect(codes(check(smmu('secure-memory: secure, stage: "2", sel2: on')))).toEqual([
      'secure-needs-stage1',
    ]);
    expect(codes(check(smmu('secure-memory: secure, stage: 3, sel2: on')))).toEqual(['schema']);
  });

  test('raw words with SEL2 are held against both stages and the architecture version', () => {
    const raw = (properties: string, AIDR: string) =>
      codes(check(smmu(`secure-memory: secure, ${properties}, idr: { AIDR: ${AIDR}, S_IDR1: 0xa0000010 }`)));
    expect(raw('stage: nested', '2')).toEqual([]);
    expect(raw('stage: nested', '1')).toEqual(['feature-conflict']);
    expect(raw('stage: "1"', '2')).toEqual(['feature-conflict']);
  });
});

test('A2, A4: software reads SECURE_IMPL, and the StreamID size of the SMMU in S_SIDSIZE', () => {
  const read = (properties: string) => {
    const { registers } = new Tcu(machineOf(smmu(properties)).smmus[0]!.config, SPACES, CHANNEL, {
      interrupt() {},
    });
    return Number(registers.read(0x8004, 4, SECURE));
  };
  expect(read('secure-memory: secure')).toBe(0x8000_0010);
  expect(read('secure-memory: secure, sidsize: 9')).toBe(0x8000_0009);
  expect(read('secure-memory: secure, secure-impl: off')).toBe(0);
  expect(read('')).toBe(0);
});

test('A27: s-init is secure unless the machine says otherwise', () => {
  const { smmus } = machineOf(`smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, secure-memory: secure }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, secure-memory: secure, s-init: non-secure }
`);
  expect(smmus.map(({ config }) => config.nonSecureInit ?? false)).toEqual([false, true]);
  expect(codes(check(smmu('s-init: realm')))).toEqual(['schema']);
});

test('A6: Secure support with stage 2 only is rejected at the stage value, or at the item', () => {
  expect(places(check(smmu('secure-memory: secure, stage: "2"')))).toEqual(['secure-needs-stage1 9:87']);
  expect(places(check(`${smmu('secure-memory: secure')}global: { arm-smmuv3.stage: 2 }\n`))).toEqual([
    'secure-needs-stage1 9:5',
  ]);
});

test('A7, A10: a global secure-impl applies to every instance, at its item, and own values override it', () => {
  const two = `smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0 }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, secure-impl: auto }
global: { arm-smmuv3.secure-impl: on }
`;
  const [missing, ...rest] = check(two);
  expect(rest).toEqual([]);
  expect(missing).toMatchObject({ code: 'secure-memory-missing', line: 9, column: 5 });
  expect(missing!.path).toBe('smmus.smmu0.secure-impl');
  expect(missing!.message).toMatch(/smmu0.*secure-impl.*secure-memory/);
});

test('A12, A13: all errors come together, each with file position and instance', () => {
  const diagnostics = check(
    `smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, secure-impl: on, oas: 47 }
  - { id: smmu1, base: 0x09050000, primary-bus: pcie.0 }
`,
  );
  expect(codes(diagnostics)).toEqual(['secure-memory-missing', 'oas-invalid', 'mmio-overlap', 'bus-shared']);
});

test('A15: instances are wired to the same secure memory or to different ones, by address space', () => {
  const { smmus } = machineOf(`address-spaces: { other: [secure-ram] }
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, secure-memory: secure }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, secure-memory: other }
`);
  expect(smmus.map(({ secureMemory }) => secureMemory)).toEqual(['secure', 'other']);
});

test('A18: the message names device, BDF and SMMU, and the help differs when secure-impl: off forced it', () => {
  const [plain] = check(smmu() + device('secure'));
  const [forced] = check(smmu('secure-memory: secure, secure-impl: off') + device('secure'));
  const [globally] = check(smmu('secure-memory: secure') + device('secure'), {
    global: ['arm-smmuv3.secure-impl=off'],
  });
  expect(plain!.message).toMatch(/dev0.*00:03\.0.*smmu0/);
  expect(forced!.help).not.toBe(plain!.help);
  expect(globally!.help).toBe(forced!.help);
});

test('A20: sec-sid is secure or non-secure', () => {
  expect(codes(check(smmu() + device('realm')))).toEqual(['schema']);
});

test('A23: a secure device behind no SMMU is rejected; where the SMMU above is in doubt nothing is said', () => {
  expect(places(check(device('secure')))).toEqual(['secure-device-without-smmu 9:71']);
  const misspelt = smmu().replace('primary-bus', 'primary-buss');
  expect(codes(check(misspelt + device('secure')))).toEqual(['schema']);
});
