import { describe, expect, it } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { ScenarioFormatError, type ScenarioHeader } from '../../src/scenario/format.js';
import { parseHeader } from '../../src/scenario/parse-header.js';
import { parseStep } from '../../src/scenario/parse-step.js';

const HEADER = {
  version: 1,
  name: 'a',
  smmu: { stage: '1', oas: 44 },
  memory: [{ space: 'non-secure', base: '0x40000000', size: '0x10000000' }],
};

const SEVERAL = {
  ...HEADER,
  smmu: undefined,
  smmus: { smmu0: {}, smmu1: { idr: { IDR1: '0x10' } } },
  idr: { '0x4': 8 },
};

function header(value: object = HEADER): ScenarioHeader {
  return parseHeader(JSON.parse(JSON.stringify(value))).header;
}

const step = (value: object, of: ScenarioHeader = header()) => parseStep(value, of);

describe('scenario format: header', () => {
  it('reads what the format describes', () => {
    const { smmus, memory, recorded, assumes } = header({
      ...HEADER,
      idr: { '0x0': '0xd44101a', AIDR: '0x2', '0x8004': '0x80000010' },
      assumes: { IDR0: { mask: '0xf', value: '0xa' } },
    });
    expect(smmus.get('smmu')).toEqual({
      stage: '1',
      oas: 44,
      idr: { IDR0: 0xd44101a, AIDR: 2, S_IDR1: 0x80000010 },
    });
    expect(memory).toEqual([{ space: NON_SECURE, base: 0x40000000, sizeBytes: 0x10000000 }]);
    expect(recorded).toBe(false);
    expect(assumes).toEqual({ IDR0: { mask: 0xf, value: 0xa } });
  });

  it('gives the shared ID registers to every SMMU, its own over them', () => {
    const { smmus } = header(SEVERAL);
    expect([...smmus.keys()]).toEqual(['smmu0', 'smmu1']);
    expect(smmus.get('smmu0')?.idr).toEqual({ IDR1: 8 });
    expect(smmus.get('smmu1')?.idr).toEqual({ IDR1: 0x10 });
  });

  it('accepts what a recording adds', () => {
    const recorded = header({ ...HEADER, kind: 'recorded', cmdline: 'quiet', steps_count: 7, origin: 'x' });
    expect(recorded).toMatchObject({ recorded: true, stepsCount: 7, origin: 'x' });
  });

  it.each([
    ['another version', { ...HEADER, version: 2 }, 'version'],
    ['no version', { ...HEADER, version: undefined }, 'lacks "version"'],
    ['an unknown key', { ...HEADER, colour: 1 }, 'unknown key "colour"'],
    ['an unknown key of the SMMU', { ...HEADER, smmu: { sidsize: 16 } }, 'unknown key "sidsize" in "smmu"'],
    ['no SMMU', { ...HEADER, smmu: undefined }, 'lacks "smmu"'],
    ['both smmu and smmus', { ...HEADER, smmus: { a: {} } }, 'both "smmu" and "smmus"'],
    ['an unknown ID register', { ...HEADER, idr: { IDR9: '0x0' } }, '"IDR9" is no ID register'],
    ['an OAS that is none', { ...HEADER, smmu: { oas: 43 } }, '"oas" must be 32 or 36'],
    [
      'memory that is no region',
      { ...HEADER, memory: [{ space: 'realm', base: 0, size: 8 }] },
      '"space" must be',
    ],
    [
      'memory of half a word',
      { ...HEADER, memory: [{ space: 'secure', base: 4, size: 8 }] },
      'whole 64-bit words',
    ],
  ])('refuses %s', (_what, value, message) => {
    expect(() => header(value)).toThrow(ScenarioFormatError);
    expect(() => header(value)).toThrow(message);
  });
});

describe('scenario format: steps', () => {
  it('fills in the defaults of a dma step', () => {
    expect(
      step({
        op: 'dma',
        sid: 8,
        access: 'read',
        iova: '0xffff000000001000',
        size: 4,
        expect: { result: 'ok' },
      }),
    ).toEqual({
      op: 'dma',
      smmu: 'smmu',
      StreamID: 8,
      SubstreamID: -1,
      SEC_SID: NON_SECURE,
      write: false,
      privileged: false,
      instruction: false,
      ns: false,
      iova: 0xffff_0000_0000_1000n,
      sizeBytes: 4,
      bytes: new Uint8Array(0),
      translateOnly: false,
      expect: { result: 'ok' },
    });
  });

  it('reads every operation of the format', () => {
    const record = ['0x1', '0x2', '0x3', '0x4'];
    const steps = [
      { op: 'mem.write', pa: '0x0', hex: '00ff', space: 'secure' },
      { op: 'mem.read', pa: '0x0', size: 2, expect: '00ff' },
      { op: 'mem.copy', from: '0x0', to: '0x8', size: 8, toSpace: 'secure' },
      { op: 'mmio.write', offset: '0x20', size: 4, value: '0x1' },
      { op: 'mmio.read', offset: '0x24', size: 8, expect: '0x1', mask: '0x1', security: 'secure' },
      {
        op: 'dma',
        sid: 1,
        ssid: 2,
        secSid: 'secure',
        access: 'write',
        privileged: true,
        instruction: false,
        ns: true,
        iova: '0x0',
        size: 1,
        hex: 'aa',
        expect: { result: 'stall', id: 't1' },
      },
      { op: 'dma.outcome', id: 't1', expect: { result: 'raz-wi', hex: '00' } },
      { op: 'events', expect: [record], mask: record, consume: false },
      { op: 'irq', secSid: 'secure', expect: ['eventq', 'gerror', 'cmd-sync', 'priq'] },
      { op: 'inject', fault: 'external-abort', pa: '0x0', size: '0x8', access: 'any', times: 1 },
      { op: 'reset' },
      { op: 'snapshot', as: 'a' },
      { op: 'restore', from: 'a' },
      { op: 'note', text: 'n', smmu: 'smmu' },
    ];
    expect(steps.map((value) => step(value).op)).toEqual(steps.map(({ op }) => op));
    expect(step(steps[2]!)).toMatchObject({ fromSpace: NON_SECURE, toSpace: SECURE });
  });

  it.each([
    ['an unknown operation', { op: 'mem.fill' }, 'unknown step "mem.fill"'],
    ['an inherited name as operation', { op: 'constructor' }, 'unknown step'],
    ['an unknown key', { op: 'note', text: '', txt: '' }, 'unknown key "txt"'],
    [
      'an unknown key of an expectation',
      { op: 'dma', sid: 1, access: 'read', iova: 0, size: 1, expect: { result: 'abort', pa: '0x0' } },
      'unknown key "pa" in "expect"',
    ],
    ['a missing key', { op: 'mem.write', pa: '0x0' }, 'lacks "hex"'],
    ['upper-case bytes', { op: 'mem.write', pa: '0x0', hex: 'FF' }, 'lower-case hex'],
    ['half a byte', { op: 'mem.write', pa: '0x0', hex: '0' }, 'lower-case hex'],
    ['an address beyond 52 bits', { op: 'mem.write', pa: '0x20000000000000', hex: '' }, 'below 2^52'],
    [
      'a value beyond 64 bits',
      { op: 'mmio.write', offset: 0, size: 8, value: '0x10000000000000000' },
      '64 bits',
    ],
    ['data of another size', { op: 'mem.read', pa: '0x0', size: 2, expect: '00' }, '"expect" has 1 bytes'],
    [
      'data to read',
      { op: 'dma', sid: 1, access: 'read', iova: 0, size: 1, hex: '00', expect: { result: 'ok' } },
      'what a write writes',
    ],
    ['three words of an event', { op: 'events', expect: [['0x0', '0x0', '0x0']] }, 'four 64-bit words'],
    ['an interrupt that is none', { op: 'irq', expect: ['pri'] }, '"expect[0]" must be'],
    ['an SMMU that is not there', { op: 'reset', smmu: 'smmu7' }, 'no SMMU "smmu7"'],
  ])('refuses %s', (_what, value, message) => {
    expect(() => step(value)).toThrow(ScenarioFormatError);
    expect(() => step(value)).toThrow(message);
  });

  it('wants to know which of several SMMUs', () => {
    const several = header(SEVERAL);
    expect(() => step({ op: 'events', expect: [] }, several)).toThrow('lacks "smmu"');
    expect(step({ op: 'events', expect: [], smmu: 'smmu1' }, several)).toMatchObject({ smmu: 'smmu1' });
    expect(step({ op: 'reset' }, several)).toEqual({ op: 'reset' });
  });
});
