import { describe, expect, test } from 'vitest';
import { check, codes, load, machineOf, places, smmu } from './helpers.js';

const MIN = 'machine: m\nmemory: []\n';

describe('positions', () => {
  test('a byte-order mark is no column, CRLF one line end, a tab and an astral character one column', () => {
    expect(places(load('\uFEFFmachine: 5\nmemory: []\n').diagnostics)).toEqual(['schema 1:10']);
    expect(places(load(`machine: m\r\nmemory: []\r\nbuses:\t7\r\n`).diagnostics)).toEqual(['schema 3:8']);
    expect(
      places(load(`machine: m\nmemory: [{ id: "\u{1F600}", base: 1_0, size: 4096 }]\n`).diagnostics),
    ).toEqual(['schema 2:27']);
  });

  test('an alias is wrong where it is used', () => {
    const text = `machine: m\nmemory:\n  - { id: a, base: &x 0x800, size: 4KiB }\n  - { id: b, base: *x, size: 4KiB }\n`;
    expect(places(load(text).diagnostics)).toEqual(['region-misaligned 3:23', 'region-misaligned 4:20']);
    expect(places(load('machine: *nope\nmemory: []\n').diagnostics)).toEqual(['yaml-syntax 1:10']);
    expect(places(load('machine: m\nmemory: &a [*a]\n').diagnostics)).toEqual(['yaml-syntax 2:13']);
  });

  test('an unknown key at the key, something missing at the item', () => {
    expect(places(load(`${MIN}devices:\n  - id: a\n    colour: red\n`).diagnostics)).toEqual([
      'schema 4:5',
      'schema 4:5',
      'schema 4:5',
      'schema 5:5',
    ]);
  });
});

describe('no cascades', () => {
  test('yaml-syntax is reported alone: duplicate keys, a second document, an error in the middle', () => {
    expect(places(load('machine: 5\nmachine: 6\nmachine: 7\n').diagnostics)).toEqual([
      'yaml-syntax 2:1',
      'yaml-syntax 3:1',
    ]);
    expect(places(load('machine: 5\n---\na: 1\n').diagnostics)).toEqual(['yaml-syntax 2:1']);
    expect(codes(load('machine: 5\n- a\nb: 1\n').diagnostics)).toEqual(['yaml-syntax']);
  });

  test('text too long, too many values and too deep a nesting are yaml-syntax, in a moment', () => {
    const message = (text: string) =>
      load(text).diagnostics.map(({ code, message }) => `${code}: ${message}`);
    expect(message(`# ${'x'.repeat(1 << 20)}`)).toEqual([
      'yaml-syntax: the text has more than 1048576 characters, which no machine needs',
    ]);
    const tenfold = 'abcdef'.replace(/./g, (name) => {
      const before = String.fromCharCode(name.charCodeAt(0) - 1);
      return `${name}: &${name} [${Array(10)
        .fill(name === 'a' ? 'x' : `*${before}`)
        .join(', ')}]\n`;
    });
    expect(message(tenfold)).toEqual(['yaml-syntax: more than 200000 values, aliases followed']);
    expect(message('['.repeat(3_000))).toEqual(['yaml-syntax: mappings and lists are nested too deeply']);
  });

  test('an empty file and a top level that is no mapping are schema at 1:1', () => {
    for (const text of ['', '# nothing\n', '\n\n- a\n', 'text\n', '~\n']) {
      expect(places(load(text).diagnostics)).toEqual(['schema 1:1']);
    }
  });

  test('a misspelt key counts as present', () => {
    expect(codes(check(smmu('secure-impl: on, secure_memory: secure')))).toEqual(['schema']);
    expect(codes(load(`machine: m\nmemry: []\n`).diagnostics)).toEqual(['schema']);
    expect(
      codes(
        check(
          'devices:\n  - { idd: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }\nworkload:\n  - { device: nic0, op: read, iova: 0, size: 64 }\n',
        ),
      ),
    ).toEqual(['schema']);
  });

  test('references into what could not be read are not reported', () => {
    expect(codes(load(`${MIN}buses: 5\n${smmu()}`).diagnostics)).toEqual(['schema']);
  });

  test('schema errors do not stop the other rules', () => {
    expect(codes(check(`colour: red\n${smmu('oas: 47')}`))).toEqual(['schema', 'oas-invalid']);
  });
});

describe('numbers', () => {
  const base = (text: string) => load(`machine: m\nmemory: [{ id: a, base: ${text}, size: 4KiB }]\n`);
  const size = (text: string) => load(`machine: m\nmemory: [{ id: a, base: 0, size: ${text} }]\n`);

  test.each(['0x4000_0000', '"0x40000000"', '0X40000000', '1073741824'])('address %s', (text) => {
    expect(base(text).machine?.regions[0]?.base).toBe(0x4000_0000);
  });

  test.each([
    '"1073741824"',
    '1_000',
    '0x_40',
    '0x40_',
    '40000000h',
    '-1',
    '1.5',
    '0x10000000000000',
    '1GiB',
    '~',
    '',
    'on',
  ])('not an address: %s', (text) => {
    expect(codes(base(text).diagnostics)).toEqual(['schema']);
  });

  test.each([
    ['4096', 4096],
    ['0x1000', 4096],
    ['4KiB', 4096],
    ['"1MiB"', 2 ** 20],
    ['2GiB', 2 ** 31],
    ['1TiB', 2 ** 40],
  ])('size %s', (text, bytes) => {
    expect(size(text).machine?.regions[0]?.sizeBytes).toBe(bytes);
  });

  test.each(['0', '4 KiB', '4kib', '4K', '1.5MiB', '0x1KiB', '-4KiB'])('not a size: %s', (text) => {
    expect(codes(size(text).diagnostics)).toEqual(['schema']);
  });

  test.each([
    'sidsize: 33',
    'ssidsize: 21',
    'cmdqs: 20',
    'eventqs: 20',
    'irqs: { eventq: -1 }',
    'ril: yes',
    'ril: 1',
    'oas: x',
    'stage: 3',
  ])('out of range or no such word: %s', (property) => {
    expect(codes(check(smmu(property)))).toEqual(['schema']);
  });

  test('D3: only oas outside its list is oas-invalid', () => {
    for (const oas of ['47', '56', '0', '-1', '0x2f']) {
      expect(codes(check(smmu(`oas: ${oas}`)))).toEqual(['oas-invalid']);
    }
  });

  test('<< is an unknown key', () => {
    expect(codes(load(`${MIN}<<: { buses: [] }\n`).diagnostics)).toEqual(['schema']);
  });
});

describe('addr: the source text counts', () => {
  const addr = (text: string) =>
    load(
      `${MIN}buses: [{ id: pcie.0, type: pcie }]\ndevices: [{ id: a, type: dma-engine, bus: pcie.0, addr: ${text} }]\n`,
    );

  test.each([
    ['02.0', '00:02.0'],
    ['"02.0"', '00:02.0'],
    ['10.1', '00:10.1'],
    ['1f.7', '00:1f.7'],
    ['3.0', '00:03.0'],
  ])('%s', (text, bdf) => {
    expect(addr(text).machine?.devices[0]?.bdf).toBe(bdf);
  });

  test.each(['02', '04.10', '20.0', '02.8', '" 02.0"', '0x2.0', '002.0', '""'])('invalid: %s', (text) => {
    expect(codes(addr(text).diagnostics)).toEqual(['addr-invalid']);
  });
});

test('interrupt numbers that are left out avoid every number that the file uses', () => {
  const { smmus } = machineOf(`smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, irqs: { priq: 74 } }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, irqs: { eventq: 76 } }
`);
  expect(smmus.map(({ irqs }) => irqs)).toEqual([
    { eventq: 75, priq: 74, cmdSync: 77, gerror: 78 },
    { eventq: 76, priq: 79, cmdSync: 80, gerror: 81 },
  ]);
});

test('F1: a partial address-spaces keeps the default names', () => {
  const { addressSpaces } = machineOf('address-spaces: { mine: [ram] }\n');
  expect(addressSpaces).toEqual([
    { id: 'mine', regions: ['ram'] },
    { id: 'system', regions: ['ram'] },
    { id: 'secure', regions: ['secure-ram', 'ram'] },
  ]);
});
