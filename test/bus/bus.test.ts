import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { covers, formatRIDs, IDENTITY, lastStreamID, overlap, streamID } from '../../src/bus/id-map.js';
import { formatBDF, parseSlotFunction, requesterID } from '../../src/bus/requester-id.js';

describe('F2: Requester IDs', () => {
  test('bus << 8 | slot << 3 | function, printed bb:ss.f', () => {
    expect(requesterID(0x21, { slot: 0x1f, function: 7 })).toBe(0x21ff);
    expect(formatBDF(0x0018)).toBe('00:03.0');
    expect(formatBDF(0x21ff)).toBe('21:1f.7');
  });

  test('every place is printed and read back', () => {
    fc.assert(
      fc.property(fc.nat(0xffff), (requester) => {
        const bdf = formatBDF(requester);
        const place = parseSlotFunction(bdf.slice(3))!;
        expect(requesterID(Number.parseInt(bdf.slice(0, 2), 16), place)).toBe(requester);
      }),
    );
  });

  test.each(['', '2', '20.0', '02.8', '2.10', ' 2.0', '0x2.0', '002.0', 'g.0'])(
    '%j is no slot and function',
    (text) => {
      expect(parseSlotFunction(text)).toBeUndefined();
    },
  );
});

describe('F2: id maps', () => {
  const range = { ridBase: 0x2000, count: 0x200, sidBase: 0x40 };

  test('cover from the first to the last, and shift', () => {
    expect([0x1fff, 0x2000, 0x21ff, 0x2200].map((rid) => covers(range, rid))).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect(streamID(range, 0x2010)).toBe(0x50);
    expect(lastStreamID(range)).toBe(0x23f);
    expect(formatRIDs(range)).toBe('0x2000-0x21ff');
    expect(streamID(IDENTITY, 0xffff)).toBe(0xffff);
  });

  test('overlap exactly where one Requester ID is in both', () => {
    const small = fc.record({
      ridBase: fc.nat(40),
      count: fc.integer({ min: 1, max: 20 }),
      sidBase: fc.constant(0),
    });
    fc.assert(
      fc.property(small, small, (a, b) => {
        const both = Array.from({ length: 64 }, (_, rid) => covers(a, rid) && covers(b, rid));
        expect(overlap(a, b)).toBe(both.includes(true));
      }),
    );
  });
});
