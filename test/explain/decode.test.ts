/** I5: decode from words typed by hand after the figures and tables of the spec. */
import { describe, expect, test } from 'vitest';
import { type DecodeOptions, decode, renderDecoded } from '../../src/explain/decode.js';

/** Stage 1 and 2, AArch64 tables, terminate-only stall model, SSIDSIZE 0, 44-bit OAS. */
const OPTIONS: DecodeOptions = {
  idr: {
    IDR0: 0x0d44_101b,
    IDR1: 0x0273_0010,
    IDR3: 0x1414,
    IDR5: 0x74,
    IIDR: 0,
    AIDR: 1,
    S_IDR0: 0x0100_0000,
    S_IDR1: 0x8000_0010,
  },
  security: 0,
  stage: 1,
  granuleBits: 12,
  addressBits: 48,
};

function print(name: string, typed: string, options: Partial<DecodeOptions> = {}, all = false): string[] {
  return decode(name, typed.split(' '), { ...OPTIONS, ...options }).flatMap((one) => renderDecoded(one, all));
}

const repeat = (word: string, times: number) => new Array<string>(times).fill(word).join(' ');

describe('I5: structures', () => {
  test('STE with stage 1 (IHI 0070 5.2)', () => {
    expect(print('ste', `0x4000400b 0x00001000000000d4 ${repeat('0x0', 6)}`)).toEqual([
      'STE (IHI 0070 5.2)  0x000000004000400b 0x00001000000000d4 (rest 0)',
      '  [0]        V=1',
      '  [3:1]      Config=5 (stage 1)',
      '  [55:6]     S1ContextPtr=0x40004000',
      '  [67:66]    S1CIR=1',
      '  [69:68]    S1COR=1',
      '  [71:70]    S1CSH=3',
      '  [109:108]  SHCFG=1 (incoming)',
    ]);
  });

  test('every rule that an ILLEGAL STE breaks, with its section (IHI 0070 5.2.2)', () => {
    const lines = print('ste', `0x4000000000d 0x0 ${repeat('0x0', 6)}`, {
      idr: { ...OPTIONS.idr, IDR0: 0x0d44_101a },
    });
    expect(lines.filter((line) => line.includes('ILLEGAL'))).toEqual([
      '  ILLEGAL: Config enables stage 2 but it is not supported for this Security state (IHI 0070 5.2 Config)',
      '  ILLEGAL: S2AA64 selects a table format that IDR0.TTF does not advertise (IHI 0070 5.2 S2AA64)',
    ]);
  });

  test('a CD that breaks rules (IHI 0070 5.4.2), as 32-bit words', () => {
    const lines = print('cd', `0x80003519 0x00000200 ${repeat('0x0', 14)}`);
    expect(lines[0]).toBe('CD (IHI 0070 5.4)  0x0000020080003519 (rest 0)');
    expect(lines).toContain('  [5:0]    T0SZ=25');
    expect(lines.at(-2)).toBe('  ILLEGAL: A == 0 but IDR0.TERM_MODEL == 1 (IHI 0070 5.5)');
    expect(lines.at(-1)).toBe('  ILLEGAL: TG1, T1SZ and TTB1 do not describe a table (IHI 0070 5.4 T1SZ)');
  });

  test('L1STD (IHI 0070 5.1): Span in STEs; 0 and reserved values', () => {
    expect(print('l1std', '0x48000009')).toEqual([
      'L1STD (IHI 0070 5.1)  0x0000000048000009',
      '  256 STEs of 64 bytes',
      '  [4:0]   Span=9',
      '  [55:6]  L2Ptr=0x48000000',
    ]);
    expect(print('l1std', '0x0').at(-1)).toContain('invalid: Span == 0');
    expect(print('l1std', '0x1f').at(-1)).toContain('invalid: Span == 31 is reserved');
  });

  test('L1CD (IHI 0070 5.3): V == 0 is invalid', () => {
    expect(print('cd-l1', '0x48001001')).toEqual([
      'L1CD (IHI 0070 5.3)  0x0000000048001001',
      '  [0]      V=1',
      '  [55:12]  L2Ptr=0x48001000',
    ]);
    expect(print('cd-l1', '0x48001000').at(-1)).toBe('  invalid: V == 0 (IHI 0070 5.3)');
  });

  test('reserved bits that are set are told', () => {
    expect(print('cd-l1', '0x48001003')).toContain('  reserved bits [11:1] are not 0: Res1=0x1');
  });
});

describe('I5: descriptors (DDI 0487 D8.3.1)', () => {
  test('without a level, a descriptor is a table and a page', () => {
    const notes = print('pte', '0x60000048000f43').filter((line) => /^ {2}(?:below|at) level/.test(line));
    expect(notes).toEqual([
      '  below level 3: table -> 0x48000000',
      '  at level 3: 4KB page -> 0x48000000, AP=0b01 read/write at any privilege, UXN, PXN, AF=1, nG (this ASID), AttrIndx=0',
    ]);
  });

  test('a 2MB block, a stage 2 page, an invalid one', () => {
    expect(print('pte', '0x48200741', { level: 2 })[1]).toContain('2MB block -> 0x48200000');
    expect(print('pte', '0x4820077f', { level: 3, stage: 2 })[1]).toContain('S2AP=0b01 read-only');
    expect(print('pte', '0x48000741', { level: 3 }).at(-1)).toBe(
      '  invalid: at level 3, bits [1:0] == 0b01, reserved at level 3 (DDI 0487 D8.3.1)',
    );
    // DDI 0487 D8.3.1: with DS OA[51:50] is in [9:8] and OA[49:48] in [49:48], with 64KB OA[51:48] in [15:12].
    const wide = print('pte', '0x0002000048000943', { level: 3, addressBits: 52 });
    expect(wide[1]).toContain('4KB page -> 0x6000048000000');
    expect(wide).toContain('  [9:8]    OutputAddress[51:50]=1');
    const large = print('pte', '0x0000000048015443', { level: 3, granuleBits: 16, addressBits: 52 });
    expect(large[1]).toContain('64KB page -> 0x5000048010000');
    expect(large).toContain('  [15:12]  OutputAddress[51:48]=5');
    const table = print('pte', '0x0001000048000303', { level: -1, addressBits: 52 });
    expect(table[1]).toContain('table -> 0xd000048000000');
    expect(print('pte', '0x0000000000000441', { level: 0, addressBits: 52 })[1]).toContain('512GB block');
    expect(print('pte', '0x0', { level: 1 }).at(-1)).toContain('invalid: at level 1, bit 0 == 0');
  });
});

describe('I5: commands, events, registers', () => {
  test('CMD_TLBI_NH_VA from bytes in memory order (IHI 0070 4.4.2.4)', () => {
    expect(print('cmd', '12000000 00000100 01402300 00000000')).toEqual([
      'CMD_TLBI_NH_VA (IHI 0070 4.4.2.4)  0x0001000000000012 0x0000000000234001',
      '  [7:0]     Opcode=0x12',
      '  [63:48]   ASID=0x1',
      '  [64]      Leaf=1',
      '  [127:76]  Address=0x234000',
    ]);
  });

  test('a command that the queue does not accept is CERROR_ILL (IHI 0070 4.1.3)', () => {
    expect(print('cmd', '0x18 0x0').at(-1)).toContain('ILLEGAL: CERROR_ILL');
    expect(print('cmd', '0x3046 0x0').at(-1)).toContain('its parameters are reserved or illegal');
    expect(print('cmd', '0x18 0x0', { security: 1 }).at(-1)).not.toContain('ILLEGAL');
  });

  test('F_TRANSLATION (IHI 0070 7.3.13)', () => {
    expect(print('event', '0x0000110000000010 0x0000020800000000 0x80000000 0')).toEqual([
      'F_TRANSLATION (IHI 0070 7.3.13)  0x0000110000000010 0x0000020800000000 0x0000000080000000 (rest 0)',
      '  [7:0]      EventNumber=0x10',
      '  [63:32]    StreamID=0x1100',
      '  [99]       RnW=1',
      '  [105:104]  CLASS=2 (IN)',
      '  [191:128]  InputAddr=0x80000000',
    ]);
  });

  test('registers by name, with and without SMMU_, in either case, of both banks', () => {
    const expected = ['SMMU_CR0 (IHI 0070 6.3.9)  0x0000000d', '  [0]  SMMUEN=1', '  [2]  EVENTQEN=1'];
    expect(print('CR0', '0xd').slice(0, 3)).toEqual(expected);
    expect(print('smmu_cr0', '0d000000').slice(0, 3)).toEqual(expected);
    expect(print('S_CR0', '0x20')).toContain('  [5]  SIF=1');
    expect(print('STRTAB_BASE', '0x4000000040002000')).toContain('  [55:6]  ADDR=0x40002000');
  });

  test('all fields, the reserved ones too', () => {
    const lines = print('CR0', '0x0', {}, true);
    expect(lines).toContain('  [5]      Res5=0');
    expect(lines).toHaveLength(1 + 10);
  });
});

describe('I5: what was typed is checked', () => {
  test.each([
    [
      'ste',
      '0x1',
      'an STE has 64 bytes: 8 64-bit words, 16 32-bit words or 128 hex digits in memory order; got 1 word',
    ],
    ['CR0', '0x1 0x2', 'SMMU_CR0 has 4 bytes: 1 32-bit word or 8 hex digits in memory order; got 2 words'],
    ['CR0', '0x100000000', '0x100000000 has more than 32 bits'],
    ['cmd', '4600', 'a command has 16 bytes'],
    ['cmd', '0x46 46', 'words begin with 0x and bytes do not'],
    ['cmd', '0x4g 0x0', "'0x4g' is not hexadecimal"],
    ['cmd', '0x77 0x0', 'no command has opcode 0x77'],
    ['event', `0x99 ${repeat('0x0', 3)}`, 'no event record has number 0x99'],
    ['constructor', '0x0', "nothing is called 'constructor'"],
  ])('%s %s', (name, typed, message) => {
    expect(() => print(name, typed)).toThrow(message);
  });
});
