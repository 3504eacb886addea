import { describe, expect, test } from 'vitest';
import { contradictions, idRegisters, type SmmuProperties } from '../../src/machine/idr.js';
import { check, machineOf, places, smmu } from './helpers.js';

const idr = (properties = '') => machineOf(smmu(properties)).smmus[0]!.config.idr;

// Bit positions of IHI 0070 6.3, typed here anew: the layouts must not grade themselves.
const bits = (word: number, hi: number, lo = hi) => (word >>> lo) & (2 ** (hi - lo + 1) - 1);

describe('D1: stage', () => {
  test.each([
    ['"1"', 1, 0],
    ['"2"', 0, 1],
    ['2', 0, 1],
    ['nested', 1, 1],
  ])('%s: IDR0.S1P %i, S2P %i (6.3.1)', (stage, S1P, S2P) => {
    const { IDR0, IDR3 } = idr(`stage: ${stage}`);
    expect([bits(IDR0, 1), bits(IDR0, 0)]).toEqual([S1P, S2P]);
    expect(bits(IDR0, 9), 'Hyp').toBe(S1P & S2P);
    expect(bits(IDR0, 18), 'VMID16').toBe(S2P);
    expect([bits(IDR3, 2), bits(IDR3, 4)], 'HAD, XNX').toEqual([S1P, S2P]);
  });
});

test.each([32, 36, 40, 42, 44, 48, 52].map((oas, index) => ({ oas, index })))(
  'D3: oas $oas is IDR5.OAS $index (6.3.6)',
  ({ oas, index }) => {
    const { IDR5 } = idr(`oas: ${oas}`);
    expect(bits(IDR5, 2, 0)).toBe(index);
  },
);

test('6.3.1, 6.3.2, 6.3.4, 6.3.6: a default SMMU', () => {
  expect(idr()).toEqual({
    IDR0: 0x0d40_101a,
    IDR1: 0x0e73_0010,
    IDR3: 0x1404,
    IDR5: 0x74,
    IIDR: 0x43b,
    AIDR: 2,
    S_IDR0: 0,
    S_IDR1: 0,
  });
});

test('6.3.2: sizes reach their fields, each its own', () => {
  const { IDR0, IDR1 } = idr('sidsize: 20, ssidsize: 9, cmdqs: 7, eventqs: 5');
  expect([bits(IDR1, 5, 0), bits(IDR1, 10, 6), bits(IDR1, 25, 21), bits(IDR1, 20, 16)]).toEqual([
    20, 9, 7, 5,
  ]);
  expect(bits(IDR0, 19), 'CD2L with substreams').toBe(1);
});

test('6.3.1, 6.3.52: msi is in the MSI fields of both states, ttf: both adds VMSAv8-32', () => {
  const secure = 'secure-memory: secure';
  const [without, msi] = [idr(secure), idr(`msi: on, ${secure}`)];
  expect([without.IDR0 ^ msi.IDR0, without.S_IDR0 ^ msi.S_IDR0]).toEqual([0x2000, 0x2000]);
  expect(idr('msi: on').S_IDR0, 'no Secure state, no Secure MSIs').toBe(0);
  expect([bits(idr().IDR0, 3, 2), bits(idr('ttf: both').IDR0, 3, 2)]).toEqual([2, 3]);
  expect(check(smmu('msi: on, ttf: both'))).toEqual([]);
});

test('6.3.4, 6.3.8: without RIL the SMMU is an SMMUv3.1', () => {
  const { IDR3, AIDR } = idr('ril: off');
  expect([bits(IDR3, 10), AIDR]).toEqual([0, 1]);
});

test('what is not implemented is accepted with a warning and not advertised', () => {
  const wanted = 'ats: on';
  expect(idr(wanted)).toEqual(idr());
  expect(new Set(check(smmu(wanted)).map(({ code }) => code))).toEqual(new Set(['feature-unimplemented']));
});

test.each([
  ['off', 0],
  ['access', 1],
  ['dirty', 2],
  ['tables', 3],
])('G16, 6.3.1: httu %s is IDR0.HTTU %i', (httu, expected) => {
  expect(bits(idr(`httu: ${httu}`).IDR0, 7, 6)).toBe(expected);
});

test('A3, 6.3.1: stall-model is in both STALL_MODEL fields, and STALL_MAX says how many (6.3.6)', () => {
  const secure = 'secure-memory: secure';
  const without = idr(secure);
  const words = idr(`stall-model: stall, ${secure}`);
  expect([without.IDR0 ^ words.IDR0, without.S_IDR0 ^ words.S_IDR0]).toEqual([0x100_0000, 0x100_0000]);
  expect([without.IDR5 >>> 16, words.IDR5 >>> 16]).toEqual([0, 256]);
});

test('raw words replace what the properties make, and are held against 6.3', () => {
  expect(idr('idr: { IDR0: 0x0d44101a, IIDR: 0 }')).toMatchObject({
    IDR0: 0x0d44_101a,
    IDR1: 0x0e73_0010,
    IIDR: 0,
  });
  expect(places(check(smmu('idr: { IDR0: 0x0d401018 }')))).toEqual(['feature-conflict 9:70']);
});

test('tlb and config-cache: entries, off, unbounded', () => {
  const { tlb, configCache } = machineOf(smmu('tlb: off, config-cache: unbounded')).smmus[0]!.config;
  expect([tlb, configCache]).toEqual([0, Number.POSITIVE_INFINITY]);
  const defaults = machineOf(smmu()).smmus[0]!.config;
  expect([defaults.tlb, defaults.configCache]).toEqual([4096, 1024]);
});

test('H5: caching, replacement, cache-seed, speculative-fills', () => {
  const dial = 'caching: maximally-stale, replacement: random, cache-seed: 7, speculative-fills: on';
  expect(machineOf(smmu(dial)).smmus[0]!.config).toMatchObject({
    caching: 'maximally-stale',
    replacement: 'random',
    cacheSeed: 7,
    speculativeFills: true,
  });
  expect(machineOf(smmu()).smmus[0]!.config).toMatchObject({
    caching: 'normal',
    replacement: 'oldest',
    cacheSeed: 0,
    speculativeFills: false,
  });
  expect(places(check(smmu('caching: stalest')))).toEqual(['schema 9:66']);
});

test('6.3: no combination of properties makes words that no SMMU could have', () => {
  const base: SmmuProperties = {
    stage: '1',
    oas: 44,
    sidsize: 16,
    ssidsize: 0,
    granules: [4096, 16384, 65536],
    ril: true,
    vmid16: true,
    asid16: true,
    cmdqs: 19,
    eventqs: 19,
    httu: 'off',
    stall: false,
    iidr: 0x43b,
    secure: false,
    sel2: false,
    lpae: false,
    msi: false,
  };
  for (const stage of ['1', '2', 'nested'] as const) {
    for (const secure of stage === '2' ? [false] : [false, true]) {
      for (const ssidsize of stage === '2' ? [0] : [0, 20]) {
        for (const sidsize of [0, 16, 32]) {
          for (const sel2 of secure && stage === 'nested' ? [false, true] : [false]) {
            const stall = sidsize === 16;
            const words = idRegisters({ ...base, stage, secure, sel2, ssidsize, sidsize, stall });
            expect(contradictions(words, secure)).toEqual([]);
          }
        }
      }
    }
  }
});
