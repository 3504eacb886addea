import { describe, expect, test } from 'vitest';
import {
  acceptedCommands,
  COMMANDS,
  COMMANDS_BY_OPCODE,
  hasIllegalParameters,
} from '../../src/arch/commands.js';
import { encode } from '../../src/arch/layout.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { IDR0, OPCODES, S_IDR1 } from '../spec-numbers.js';

/** Lower-case hex of the 16 bytes, in memory order, as the vectors write them. */
function bytes(name: keyof typeof OPCODES, values: Record<string, number | bigint>): string {
  const words = encode(COMMANDS_BY_OPCODE.get(OPCODES[name])!, { Opcode: OPCODES[name], ...values });
  return Buffer.from(words.buffer).toString('hex');
}

function accepted(queue: SecurityState, idr0: number, s_idr1 = 0): string[] {
  const id = { IDR0: idr0, IDR1: 0, IDR3: 0, IDR5: 0, S_IDR0: 0, S_IDR1: s_idr1 };
  return acceptedCommands(queue, id).flatMap((of) => (of === undefined ? [] : [of.name]));
}

function isIllegal(
  name: keyof typeof OPCODES,
  values: Record<string, number>,
  ds = false,
  ril = true,
): boolean {
  const of = COMMANDS_BY_OPCODE.get(OPCODES[name])!;
  return hasIllegalParameters(of, encode(of, { Opcode: of.opcode, ...values }), NON_SECURE, { ril, ds });
}

describe('the command declarations', () => {
  test('4.1.1: every opcode of the table', () => {
    expect(Object.fromEntries(COMMANDS.map((of) => [of.name, of.opcode]))).toEqual(OPCODES);
  });

  test('chapter 4: fields stand where the figures have them', () => {
    expect(bytes('CMD_CFGI_STE', { StreamID: 0x12345678, Leaf: 1 })).toBe('03000000785634120100000000000000');
    expect(bytes('CMD_CFGI_STE', { StreamID: 1, SSec: 1 })).toBe('03040000010000000000000000000000');
    expect(bytes('CMD_CFGI_STE_RANGE', { Range: 31 })).toBe('04000000000000001f00000000000000');
    expect(bytes('CMD_CFGI_CD', { StreamID: 8, SubstreamID: 0xabcde })).toBe(
      '05e0cdab080000000000000000000000',
    );
    expect(bytes('CMD_TLBI_NH_ASID', { VMID: 0x1122, ASID: 0x3344 })).toBe(
      '11000000221144330000000000000000',
    );
    expect(bytes('CMD_TLBI_NH_VA', { NUM: 31, SCALE: 5, TG: 1, TTL: 3, Leaf: 1, Address: 0x40000n })).toBe(
      '12f05100000000000107004000000000',
    );
    expect(bytes('CMD_SYNC', { CS: 1, MSIData: 0xdeadbeef, MSIAddress: 0x8090040n >> 2n })).toBe(
      '46100000efbeadde4000090800000000',
    );
    expect(bytes('CMD_RESUME', { StreamID: 5, Ac: 1, STAG: 0x77 })).toBe('44100000050000007700000000000000');
  });

  test('4.4.2, G10: stage 1 commands need stage 1, stage 2 commands stage 2, EL2 commands Hyp', () => {
    expect(accepted(NON_SECURE, IDR0.S1P)).toContain('CMD_TLBI_NH_VA');
    expect(accepted(NON_SECURE, IDR0.S1P)).not.toContain('CMD_TLBI_S2_IPA');
    expect(accepted(NON_SECURE, IDR0.S2P)).not.toContain('CMD_TLBI_NH_VA');
    expect(accepted(NON_SECURE, IDR0.S2P)).not.toContain('CMD_CFGI_CD');
    expect(accepted(NON_SECURE, IDR0.S2P)).toEqual(
      expect.arrayContaining(['CMD_TLBI_S2_IPA', 'CMD_TLBI_NSNH_ALL']),
    );
    expect(accepted(NON_SECURE, IDR0.S1P)).not.toContain('CMD_TLBI_EL2_ALL');
    expect(accepted(NON_SECURE, IDR0.S1P | IDR0.Hyp)).toContain('CMD_TLBI_EL2_ALL');
  });

  test('4.5, 4.7: ATS, PRI and stall commands need their features', () => {
    const none = accepted(NON_SECURE, IDR0.S1P | IDR0.STALL_MODEL_TERMINATE);
    for (const name of ['CMD_ATC_INV', 'CMD_PRI_RESP', 'CMD_RESUME', 'CMD_STALL_TERM', 'CMD_DPTI_ALL']) {
      expect(none).not.toContain(name);
    }
    expect(accepted(NON_SECURE, IDR0.S1P | IDR0.ATS | IDR0.PRI)).toEqual(
      expect.arrayContaining(['CMD_ATC_INV', 'CMD_PRI_RESP', 'CMD_RESUME', 'CMD_STALL_TERM']),
    );
  });

  test('A41: EL3 and S_ commands are for the Secure queue alone, and S_ ones need SEL2', () => {
    const all = IDR0.S1P | IDR0.S2P | IDR0.Hyp;
    const secureOnly = [...Object.keys(OPCODES)].filter((name) => /_(EL3|S_|SNH)/.test(name));
    expect(secureOnly).toHaveLength(9);
    for (const name of secureOnly) {
      expect(accepted(NON_SECURE, all, S_IDR1.SECURE_IMPL | S_IDR1.SEL2)).not.toContain(name);
      expect(accepted(SECURE, all, S_IDR1.SECURE_IMPL | S_IDR1.SEL2)).toContain(name);
      expect(accepted(SECURE, all, S_IDR1.SECURE_IMPL).includes(name)).toBe(name.includes('EL3'));
    }
  });

  test('A39: SSec == 1 is ILLEGAL on the Non-secure queue for every command that has it', () => {
    const withSSec = COMMANDS.filter((of) => 'SSec' in of.fields);
    expect(withSSec.map((of) => of.opcode)).toEqual([1, 2, 3, 4, 5, 6, 7, 0x44, 0x45]);
    for (const of of withSSec) {
      const words = encode(of, { Opcode: of.opcode, SSec: 1 });
      expect(hasIllegalParameters(of, words, NON_SECURE, { ril: true, ds: false }), of.name).toBe(true);
      expect(hasIllegalParameters(of, words, SECURE, { ril: true, ds: false }), of.name).toBe(false);
    }
  });

  test('4.7.3, 4.5.2: Reserved parameter values', () => {
    expect([0, 1, 2, 3].map((CS) => isIllegal('CMD_SYNC', { CS }))).toEqual([false, false, false, true]);
    expect([0, 1, 2, 3].map((Resp) => isIllegal('CMD_PRI_RESP', { Resp }))).toEqual([
      false,
      false,
      false,
      true,
    ]);
  });

  test('4.4.1.1: a granule without range and level is Reserved, where RIL is implemented', () => {
    for (const name of ['CMD_TLBI_NH_VA', 'CMD_TLBI_NH_VAA', 'CMD_TLBI_S2_IPA', 'CMD_TLBI_EL2_VA'] as const) {
      for (const TG of [1, 2, 3]) {
        expect(isIllegal(name, { TG })).toBe(true);
        expect(isIllegal(name, { TG, NUM: 1 })).toBe(false);
        expect(isIllegal(name, { TG, SCALE: 1 })).toBe(false);
        expect(isIllegal(name, { TG, TTL: 3 })).toBe(false);
        expect(isIllegal(name, { TG }, false, false)).toBe(false);
      }
      expect(isIllegal(name, { TG: 0, TTL: 0 })).toBe(false);
      expect(isIllegal(name, { TG: 2, TTL: 1 })).toBe(true);
      expect(isIllegal(name, { TG: 2, TTL: 1 }, true)).toBe(false);
      expect(isIllegal(name, { TG: 1, SCALE: 0x20 }), 'bit 25 is RES0 without DS').toBe(true);
      expect(isIllegal(name, { TG: 1, SCALE: 0x20 }, true)).toBe(false);
    }
  });
});
