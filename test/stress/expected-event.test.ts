/** H2: the records that a stress run expects are those of IHI 0070 7.3, worked out by hand. */
import { expect, it } from 'vitest';
import {
  BAD_SUBSTREAM,
  DISABLED,
  EXPECTABLE,
  expectedRecord,
  PERMISSION,
  S2_PERMISSION,
  S2_TABLE_TRANSLATION,
  S2_TRANSLATION,
} from '../../src/stress/checker/expected-event.js';
import {
  accessesOf,
  mapped,
  ofSubstream,
  pageGone,
  permittedAccesses,
  stage1Accesses,
} from '../../src/stress/checker/legal.js';

/** Privileged read. */
const EVENT = { iova: 0x1234_5640, access: 0b101, events: 0, started: 0, stag: -1 };
const ipa = (context: number, _: number, CLASS: number) =>
  0x8_0000_0000 + context * 0x1000 + CLASS * 0x1_0000;
const words = (expected: number, access = EVENT.access) => [
  ...expectedRecord(expected, { StreamID: 0x77, substreams: [-1, 70], ipa }, { ...EVENT, access }),
];

it('7.3.16: a stage 1 fault has no IPA', () => {
  expect(words(PERMISSION)).toEqual([0x13, 0x77, 0, 0b1010 | (2 << 8), 0x1234_5640, 0, 0, 0]);
});

it.each([
  ['7.3.13, CLASS IN', S2_TRANSLATION + 1, 0x10, 2, 0x8_0002_1],
  ['7.3.13, CLASS TT', S2_TABLE_TRANSLATION, 0x10, 1, 0x8_0001_0],
  ['7.3.16, CLASS IN', S2_PERMISSION, 0x13, 2, 0x8_0002_0],
])('%s: a stage 2 fault has S2 and the page of the IPA', (_, expected, number, CLASS, page) => {
  const ipaWords = [((page & 0xf_ffff) << 12) >>> 0, page >>> 20];
  const flags = 0b1010 | (1 << 7) | (CLASS << 8);
  expect(words(expected)).toEqual([number, 0x77, 0, flags, 0x1234_5640, 0, ...ipaWords]);
});

it('7.3.9, 7.3.7: records have the SubstreamID, and SSV where that is not always valid', () => {
  const access = EVENT.access | ofSubstream(1);
  expect(words(BAD_SUBSTREAM, access)).toEqual([0x08 | (70 << 12), 0x77, 0, 0, 0, 0, 0, 0]);
  expect(words(DISABLED, access)).toEqual([0x06 | (1 << 11) | (70 << 12), 0x77, 0, 0, 0, 0, 0, 0]);
  expect(words(DISABLED)[0]).toBe(0x06);
});

it('each has a bit of its own in a mask, and no two look alike', () => {
  expect(Math.max(...EXPECTABLE)).toBeLessThan(31);
  const all = EXPECTABLE.map((expected) => words(expected).join());
  expect(new Set(all).size).toBe(EXPECTABLE.length);
});

it('an access is permitted by both stages or not at all (IHI 0070 13.4.1)', () => {
  const readOnly = permittedAccesses(1, { read: true, write: false });
  const writeOnly = permittedAccesses(2, { read: false, write: true });
  expect([readOnly, writeOnly]).toEqual([0b001001, 0b010010]);
  const frame = { pool: 1, index: 47 };
  expect(accessesOf(mapped(5, frame, readOnly, writeOnly).detail)).toBe(0);
  expect(accessesOf(mapped(5, frame, readOnly, 0x3f).detail)).toBe(readOnly);
  expect(stage1Accesses(pageGone(readOnly).detail)).toBe(readOnly);
});
