import { describe, expect, test } from 'vitest';
import { BANKS, REGISTERS } from '../../src/arch/registers.js';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { CR0_RESERVED, OFFSETS, S_CR0_RESERVED, S_OFFSETS, WIDE } from '../spec-numbers.js';

function reservedMask(
  fields: Readonly<Record<string, { hi: number; lo: number; reserved?: boolean }>>,
): number {
  let mask = 0;
  for (const field of Object.values(fields)) {
    if (field.reserved) for (let bit = field.lo; bit <= field.hi; bit++) mask |= 1 << bit;
  }
  return mask >>> 0;
}

describe('the register declarations', () => {
  test('6.2.1, 6.2.2: every register of the tables, at its offset, and no other', () => {
    const declared = Object.fromEntries(REGISTERS.map((of) => [of.name.replace('SMMU_', ''), of.offset]));
    expect(declared).toEqual({ ...OFFSETS, ...S_OFFSETS });
  });

  test('6.2: the 64-bit registers are those, on an 8-byte boundary', () => {
    const wide = REGISTERS.filter((of) => of.bits === 64);
    expect(new Set(wide.map((of) => of.key))).toEqual(new Set(WIDE));
    for (const of of wide) expect(of.offset % 8, of.name).toBe(0);
  });

  test('6.2: no two registers share a word', () => {
    const owners = new Map<number, string>();
    for (const of of REGISTERS) {
      for (let offset = of.offset; offset < of.offset + of.bits / 8; offset += 4) {
        expect(owners.get(offset), `${of.name} at 0x${offset.toString(16)}`).toBeUndefined();
        owners.set(offset, of.name);
      }
    }
  });

  test('STYLE 2: every bit of every register has a name', () => {
    for (const of of REGISTERS) {
      const bits = Object.values(of.fields).reduce((sum, field) => sum + field.hi - field.lo + 1, 0);
      expect(bits, of.name).toBe(of.bits);
    }
  });

  test('A31: the reserved bits of CR0 and S_CR0', () => {
    expect(reservedMask(BANKS[NON_SECURE].CR0.fields)).toBe(CR0_RESERVED);
    expect(reservedMask(BANKS[NON_SECURE].CR0ACK.fields)).toBe(CR0_RESERVED);
    expect(reservedMask(BANKS[SECURE].CR0.fields)).toBe(S_CR0_RESERVED);
    expect(reservedMask(BANKS[SECURE].CR0ACK.fields)).toBe(S_CR0_RESERVED);
  });

  test('every field that is guarded, conditional or read-only exists', () => {
    for (const of of REGISTERS) {
      const named = [
        ...Object.keys(of.fieldPresence),
        ...Object.keys(of.fieldGuards),
        ...of.readOnlyFields,
        ...(of.addressField ? [of.addressField] : []),
        ...(of.updateField ? [of.updateField] : []),
      ];
      for (const field of named) expect(of.fields, of.name).toHaveProperty(field);
      for (const guard of [...of.guards, ...Object.values(of.fieldGuards).flat()]) {
        expect(BANKS[NON_SECURE][guard.control].fields, of.name).toHaveProperty(guard.field);
      }
    }
  });
});
