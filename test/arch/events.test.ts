import { describe, expect, test } from 'vitest';
import { eventName, formatEvent } from '../../src/arch/events.js';
import { EVENT_BITS, EVENT_RECORDS, wordsOf } from '../spec-structures.js';

describe('event records', () => {
  test.each(Object.entries(EVENT_RECORDS))('7.3: %s has its number', (name, { number }) => {
    expect(eventName(number)).toBe(name);
  });

  test('7.3: a number that is not architected is printed as it is', () => {
    expect(eventName(0xe5)).toBe('event 0xe5');
    expect(formatEvent([0xe5, 0, 0, 0, 0, 0, 0, 0])).toBe('event 0xe5');
  });

  test('7.3.13: a stage 2 fault in one line, addresses in place', () => {
    const words = wordsOf(EVENT_BITS, 256, {
      EventNumber: 0x10,
      StreamID: 8,
      RnW: 1,
      S2: 1,
      CLASS: 1,
      InputAddr: 0xffff_0000_1234_5678n,
      IPA: 0x8_0000_1n,
    });
    expect(formatEvent(words)).toBe(
      'F_TRANSLATION StreamID=0x8 RnW=0x1 InputAddr=0xffff000012345678 S2=0x1 CLASS=TT IPA=0x800001000',
    );
  });

  test('7.3.9: C_BAD_SUBSTREAMID shows its SubstreamID without SSV, the others with SSV only', () => {
    const bad = wordsOf(EVENT_BITS, 256, { EventNumber: 0x08, StreamID: 1, SubstreamID: 5 });
    expect(formatEvent(bad)).toContain('SubstreamID=0x5');
    const other = wordsOf(EVENT_BITS, 256, { EventNumber: 0x0a, StreamID: 1, SubstreamID: 5 });
    expect(formatEvent(other)).not.toContain('SubstreamID');
  });

  test('7.3.4: FetchAddr is printed as the address', () => {
    const words = wordsOf(EVENT_BITS, 256, { EventNumber: 0x03, StreamID: 1, FetchAddr: 0x4_0040n >> 3n });
    expect(formatEvent(words)).toContain('FetchAddr=0x40040');
  });
});
