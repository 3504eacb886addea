/** The promises of the machine file's contract that span several rules, one by one. */
import { describe, expect, test } from 'vitest';
import { check, codes, load, places, smmu } from './helpers.js';

function devices(...places: string[]): string {
  const lines = places.map((place, i) => `  - { id: d${i}, type: dma-engine, ${place} }\n`);
  return `devices:\n${lines.join('')}`;
}

describe('no cascades', () => {
  test('--global does not fill in what a misspelt key of the instance stands for', () => {
    const found = check(smmu('secure_impl: off'), { global: ['arm-smmuv3.secure-impl=on'] });
    expect(places(found)).toEqual(['schema 9:57']);
  });

  test('a misspelt default, or a misspelt `global`, counts as present', () => {
    const on = smmu('secure-impl: on');
    const inside = 'global: { arm-smmuv3.secure_memory: secure }\n';
    expect(places(check(on + inside))).toEqual(['schema 10:11']);
    expect(places(check(`${on}globals: { arm-smmuv3.secure-memory: secure }\n`))).toEqual(['schema 10:1']);
  });

  test('a default that is spelt right wins over a misspelling of it, wherever that stands', () => {
    const right = 'arm-smmuv3.oas: 47';
    const wrong = 'arm-smmuv3.oass: 40';
    for (const globals of [`${right}, ${wrong}`, `${wrong}, ${right}`]) {
      const found = check(`${smmu()}global: { ${globals} }\n`);
      expect(codes(found).toSorted()).toEqual(['oas-invalid', 'schema']);
    }
  });

  test('a port is not outside a range whose end was reported', () => {
    const below = '  - { id: rp2, type: pcie-root-port, bus: rp1, addr: "00.0", secondary: 0x22 }\n';
    for (const end of ['subordinat: 0x25', 'subordinate: 300']) {
      const above = `  - { id: rp1, type: pcie-root-port, bus: pcie.1, addr: "00.0", secondary: 0x21, ${end} }\n`;
      expect(codes(check(above + below))).toEqual(['schema']);
    }
  });

  test('defaults in a `global` that cannot be read are not missed', () => {
    for (const global of ['~', '[]', '5']) {
      expect(codes(check(`${smmu('secure-impl: on')}global: ${global}\n`))).toEqual(['schema']);
    }
  });

  test('a bad sec-sid decides neither where a mapping leads nor who may share a context', () => {
    const sections = (wrong: string) =>
      smmu('secure-memory: secure') +
      devices('bus: pcie.0, addr: 01.0, sec-sid: secure', `bus: pcie.0, addr: 02.0, ${wrong}`) +
      'software:\n' +
      '  - { device: d0, context: c }\n' +
      '  - { device: d1, context: c, mappings: [{ iova: 0, size: 4KiB, pa: 0x0e000000 }] }\n';
    for (const wrong of ['sec-sid: ~', 'sec_sid: secure']) {
      expect(codes(check(sections(wrong)))).toEqual(['schema']);
    }
    expect(codes(check(sections('sec-sid: secure')))).toEqual([]);
  });

  test('a bad sidsize makes no StreamID too large', () => {
    expect(codes(check(smmu('sidsize: 40') + devices('bus: pcie.0, addr: 1f.7')))).toEqual(['schema']);
  });
});

test('memory-not-plain: a secure region is found beside a region that does not exist', () => {
  const found = check(`address-spaces:\n  mixed: [secure-ram, nope]\n${smmu('memory: mixed')}`);
  expect(codes(found)).toEqual(['unknown-reference', 'memory-not-plain']);
});

describe('addr: the source text counts', () => {
  test.each(['02.0', '"02.0"', '2.0', '10.1', '1f.7', 'a.1', 'A.1', '1e.1'])('%s is a place', (addr) => {
    expect(check(devices(`bus: pcie.0, addr: ${addr}`))).toEqual([]);
  });

  test.each(['20.0', '04.10', '04.8', '4', '"4."', '" 02.0"', '002.0', '0x2.0', '02:0', '02.00', '""'])(
    '%s is none',
    (addr) => {
      expect(places(check(devices(`bus: pcie.0, addr: ${addr}`)))).toEqual(['addr-invalid 9:52']);
    },
  );

  test('nothing is a wrong type', () => {
    expect(codes(check(devices('bus: pcie.0, addr: ~')))).toEqual(['schema']);
  });
});

describe('A1, A6 to A11, A18: secure-impl by secure-memory by stage, with a secure device', () => {
  const device = devices('bus: pcie.0, addr: 02.0, sec-sid: secure');
  const unsupported = 'secure-device-unsupported 11:67';

  test.each([
    ['', '', unsupported, unsupported],
    ['auto', '', unsupported, unsupported],
    ['off', '', unsupported, unsupported],
    ['on', '', 'secure-memory-missing 9:70', 'secure-memory-missing 9:70'],
    ['', 'secure', undefined, 'secure-needs-stage1 9:87'],
    ['auto', 'secure', undefined, 'secure-needs-stage1 9:106'],
    ['off', 'secure', unsupported, unsupported],
    ['on', 'secure', undefined, 'secure-needs-stage1 9:104'],
  ])('secure-impl "%s", secure-memory "%s"', (impl, memory, withStage1, stage2Alone) => {
    const found = (stage: string) => {
      const properties = [impl && `secure-impl: ${impl}`, memory && `secure-memory: ${memory}`];
      return places(check(smmu([...properties.filter(Boolean), `stage: ${stage}`].join(', ')) + device));
    };
    for (const stage of ['1', 'nested']) expect(found(stage)).toEqual(withStage1 ? [withStage1] : []);
    expect(found('2')).toEqual([stage2Alone]);
  });
});

describe('positions', () => {
  test('of two that collide through one alias, the alias', () => {
    const two =
      'smmus:\n' +
      '  - { id: a, base: 0x09050000, primary-bus: pcie.0, irqs: &i { eventq: 1 } }\n' +
      '  - { id: b, base: 0x09070000, primary-bus: pcie.1, irqs: *i }\n';
    expect(places(check(two))).toEqual(['irq-clash 10:59']);
  });

  test('diagnostics come in file order, whichever rule finds them', () => {
    const found = check(devices('bus: pcie.0, addr: 02.0, sec-sid: secure') + smmu('oas: 1'));
    expect(places(found)).toEqual(['secure-device-unsupported 9:67', 'oas-invalid 11:62']);
  });

  test('an override is reported where the value stands that it replaced; Secure support, at the item', () => {
    const oas = { set: ['smmus.smmu0.oas=47'] };
    expect(places(check(smmu('oas: 44'), oas))).toEqual(['oas-invalid 9:62']);
    const impl = { set: ['smmus.smmu0.secure-impl=on'] };
    expect(places(check(smmu('secure-impl: off'), impl))).toEqual(['secure-memory-missing 9:5']);
    const stage = { set: ['smmus.smmu0.stage=2'] };
    expect(places(check(smmu('secure-memory: secure, stage: nested'), stage))).toEqual([
      'secure-needs-stage1 9:87',
    ]);
  });
});

describe('messages name both parties', () => {
  test('of one id, one place, one StreamID, one interrupt', () => {
    const maps = [8, 16].map(
      (rid) => `  - { bus: pcie.0, rid-base: ${rid}, count: 1, smmu: smmu0, sid-base: 0 }\n`,
    );
    const streams = `${smmu()}${devices('bus: pcie.0, addr: 01.0', 'bus: pcie.0, addr: 02.0')}id-maps:\n${maps.join('')}`;
    const place = devices('bus: pcie.0, addr: 01.0', 'bus: pcie.0, addr: 1.0');
    for (const [sections, code, parties] of [
      [streams, 'streamid-clash', ["'d0'", "'d1'"]],
      [place, 'addr-clash', ["'d0'", "'d1'"]],
      [smmu('irqs: { eventq: 5, gerror: 5 }'), 'irq-clash', ['eventq', 'gerror']],
      [smmu().replace('smmu0', 'pcie.0'), 'duplicate-id', ['SMMU', 'bus']],
    ] as const) {
      const found = check(sections);
      expect(codes(found)).toEqual([code]);
      for (const party of parties) expect(found[0]?.message).toContain(party);
    }
  });
});

test('a comment, a byte-order mark or a document without content is an empty file', () => {
  for (const text of ['\uFEFF', '# nothing\n', '---\n']) {
    expect(places(load(text).diagnostics)).toEqual(['schema 1:1']);
  }
});
