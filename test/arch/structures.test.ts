import { describe, expect, test } from 'vitest';
import { EVENTS } from '../../src/arch/events.js';
import type { Field, Layout } from '../../src/arch/layout.js';
import { CD, L1CD, L1STD, STE } from '../../src/arch/structures.js';
import {
  CD_BITS,
  EVENT_RECORDS,
  L1CD_BITS,
  L1STD_BITS,
  type Positions,
  STE_BITS,
} from '../spec-structures.js';

function positions(of: Layout): Record<string, readonly number[]> {
  const named = Object.entries<Field>(of.fields).filter(
    ([name, field]) => field.reserved !== true || name === 'SW_RESERVED',
  );
  return Object.fromEntries(named.map(([name, { hi, lo }]) => [name, [hi, lo]]));
}

describe('structures against the bit positions of the specification', () => {
  const structures: [string, Layout, Positions][] = [
    ['5.1 L1STD', L1STD, L1STD_BITS],
    ['5.2 STE', STE, STE_BITS],
    ['5.3 L1CD', L1CD, L1CD_BITS],
    ['5.4 CD', CD, CD_BITS],
  ];
  test.each(structures)('%s', (_, declared, expected) => {
    expect(positions(declared)).toEqual(expected);
  });

  test.each(structures)('STYLE 2: every bit of %s has a name', (_, declared) => {
    const bits = Object.values<Field>(declared.fields).reduce((sum, { hi, lo }) => sum + hi - lo + 1, 0);
    expect(bits).toBe(declared.bits);
  });

  test.each(Object.entries(EVENT_RECORDS))('7.3 %s', (name, { number, bits }) => {
    const declared = EVENTS.get(number);
    expect(declared?.name).toBe(name);
    // C_BAD_SUBSTREAMID has no SSV: its SubstreamID is always valid (7.3.9).
    const { SSV: _, ...withoutSsv } = positions(declared!);
    const { SSV: __, ...expected } = bits as Record<string, readonly number[]>;
    expect(withoutSsv).toEqual(expected);
  });
});
