/** The address space: every access, across borders, beside a naive memory, and with injected aborts. */
import fc from 'fast-check';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import type { MappedSpace } from '../../src/memory/mapped-space.js';
import { load64, store64 } from '../../src/memory/words.js';

const KIB = 2 ** 10;
const GIB = 2 ** 30;

/** `low` and `next` adjoin in the guest but not in the slab; a hole of 64 KiB follows, then `high` over two slabs. */
const LOW = { id: 'low', base: 0x4000_0000, sizeBytes: 4 * KIB };
const NEXT = { id: 'next', base: 0x4000_1000, sizeBytes: 4 * KIB };
const HIGH = { id: 'high', base: 0x8_4001_2000, sizeBytes: 5 * GIB };
const BORDER = NEXT.base;
const HOLE = NEXT.base + NEXT.sizeBytes;

let memory: GuestMemory;
let space: MappedSpace;
/** Where `high` goes on in the next slab. */
let slabBorder: number;

beforeAll(() => {
  memory = GuestMemory.create([LOW, NEXT, HIGH]);
  slabBorder = memory.handle.regions[2].pieces[1].pa;
});

beforeEach(() => {
  memory.clear();
  space = memory.space(['low', 'next', 'high']);
});

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

function readBytes(pa: number, sizeBytes: number): Uint8Array {
  const into = new Uint8Array(sizeBytes);
  expect(space.read(pa, into, 0, sizeBytes)).toBe(true);
  return into;
}

function counting(sizeBytes: number): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, (_, i) => (i * 7 + (i >> 8) + 1) & 0xff);
}

describe('words', () => {
  it('load gives (low, high) pairs of little-endian words', () => {
    space.write(LOW.base, bytes(1, 2, 3, 4, 5, 6, 7, 0x88, 9), 0, 9);
    const into = new Int32Array(4);
    expect(space.load(LOW.base, into, 2)).toBe(true);
    expect([...into]).toEqual([0x04030201, 0x88070605 | 0, 9, 0]);
  });

  it.each([
    ['regions', () => BORDER],
    ['slabs', () => slabBorder],
  ])('load crosses a border of %s, more words than a scratch slot holds', (_what, border) => {
    const pa = border() - 80 * 8;
    for (let i = 0; i < 200; i++) expect(space.store(pa + i * 8, i, ~i)).toBe(true);
    const into = new Int32Array(400);
    expect(space.load(pa, into, 200)).toBe(true);
    expect([...into]).toEqual(Array.from({ length: 400 }, (_, i) => (i & 1 ? ~(i >> 1) : i >> 1)));
  });

  it('load ends exactly at a border', () => {
    expect(space.load(HOLE - 8, new Int32Array(2), 1)).toBe(true);
    expect(space.load(HOLE - 64 * 8, new Int32Array(128), 64)).toBe(true);
  });

  it('store32 changes its half only', () => {
    store64(space, LOW.base, 0x1111_2222_3333_4444n);
    expect(space.store32(LOW.base + 4, 0xdead_beef)).toBe(true);
    expect(load64(space, LOW.base)).toBe(0xdead_beef_3333_4444n);
  });

  it('compareAndSwap compares both halves', () => {
    store64(space, HIGH.base, 0xffff_fffe_8000_0001n);
    expect(space.compareAndSwap(HIGH.base, 0x8000_0001, 0xffff_ffff, 1, 2)).toBe(0);
    expect(space.compareAndSwap(HIGH.base, 0x8000_0000, 0xffff_fffe, 1, 2)).toBe(0);
    expect(load64(space, HIGH.base)).toBe(0xffff_fffe_8000_0001n);
    expect(space.compareAndSwap(HIGH.base, 0x8000_0001, 0xffff_fffe, 1, 2)).toBe(1);
    expect(load64(space, HIGH.base)).toBe(0x2_0000_0001n);
  });

  it('load64 and store64 carry all 64 bits, at the very end of several GiB too', () => {
    const last = HIGH.base + HIGH.sizeBytes - 8;
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.constantFrom(LOW.base, last),
        (value, pa) => {
          expect(store64(space, pa, value)).toBe(true);
          expect(load64(space, pa)).toBe(value);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('external aborts (IHI 0070 7.3)', () => {
  it.each([
    ['below all regions', 0],
    ['in a hole', HOLE],
    ['above all regions', HIGH.base + HIGH.sizeBytes],
    ['of 52 bits', 2 ** 52 - 8],
    ['beyond what a number holds exactly', 2 ** 56],
  ])('every access %s is refused', (_where, pa) => {
    expect(space.load(pa, new Int32Array(2), 1)).toBe(false);
    expect(space.store(pa, 1, 2)).toBe(false);
    expect(space.store32(pa, 1)).toBe(false);
    expect(space.compareAndSwap(pa, 0, 0, 1, 1)).toBe(-1);
    expect(space.read(pa, new Uint8Array(8), 0, 8)).toBe(false);
    expect(space.write(pa, new Uint8Array(8), 0, 8)).toBe(false);
    expect(space.copy(LOW.base, pa, 8)).toBe(false);
    expect(space.copy(pa, LOW.base, 8)).toBe(false);
    expect(space.resolve(pa)).toBe(-1);
    expect(load64(space, pa)).toBeUndefined();
    expect(store64(space, pa, 1n)).toBe(false);
  });

  it('an access that is partly unclaimed has no effect at all', () => {
    const into = new Int32Array(4);
    space.write(HOLE - 8, counting(8), 0, 8);
    expect(space.load(HOLE - 8, into, 2)).toBe(false);
    expect([...into]).toEqual([0, 0, 0, 0]);
    const target = new Uint8Array(16);
    expect(space.read(HOLE - 8, target, 0, 16)).toBe(false);
    expect(target.every((byte) => byte === 0)).toBe(true);
    expect(space.write(HOLE - 8, new Uint8Array(16), 0, 16)).toBe(false);
    expect(space.copy(HOLE - 8, LOW.base, 16)).toBe(false);
    expect(readBytes(HOLE - 8, 8)).toEqual(counting(8));
    expect(space.read(HIGH.base - 8, target, 0, 16)).toBe(false);
  });

  it('a space of no regions refuses everything', () => {
    const empty = memory.space([]);
    expect(empty.store(0, 1, 1)).toBe(false);
    expect(empty.read(0, new Uint8Array(1), 0, 1)).toBe(false);
    expect(empty.resolve(0)).toBe(-1);
  });

  it('an access of no bytes reaches nothing, and is not refused', () => {
    expect(space.read(HOLE, new Uint8Array(0), 0, 0)).toBe(true);
    expect(space.write(HOLE, new Uint8Array(0), 0, 0)).toBe(true);
    expect(space.copy(HOLE, HOLE, 0)).toBe(true);
  });
});

describe('bytes', () => {
  const sizes = [1, 2, 3, 4, 8, 16, 31, 33, 64, 65, 72, 4096];

  it.each(sizes)('%i bytes at any alignment, through plain arrays', (sizeBytes) => {
    for (let shift = 0; shift < 9; shift++) {
      const pa = slabBorder - 40 + shift;
      const from = counting(sizeBytes + 5);
      expect(space.write(pa, from, 5, sizeBytes)).toBe(true);
      const into = new Uint8Array(sizeBytes + 2);
      expect(space.read(pa, into, 1, sizeBytes)).toBe(true);
      expect(into.subarray(1, sizeBytes + 1)).toEqual(from.subarray(5));
      expect([into[0], into[sizeBytes + 1]]).toEqual([0, 0]);
    }
  });

  it.each(sizes)('%i bytes through the bounce buffer', (sizeBytes) => {
    for (const pa of [LOW.base + 3, slabBorder - 40, HIGH.base + 4 * GIB]) {
      memory.bounce.set(counting(sizeBytes));
      const room = Math.min(sizeBytes, LOW.sizeBytes);
      expect(space.write(pa, memory.bounce, 0, room)).toBe(true);
      memory.bounce.fill(0);
      expect(space.read(pa, memory.bounce, 0, room)).toBe(true);
      expect(memory.bounce.slice(0, room)).toEqual(counting(room));
      expect(readBytes(pa, room)).toEqual(counting(room));
    }
  });

  it('the bounce buffer is no part of guest memory', () => {
    const slab0 = memory.handle.regions
      .flatMap((region) => region.pieces)
      .filter((piece) => piece.slab === 0);
    const end = memory.bounce.byteOffset + memory.bounce.length;
    expect(slab0.every((piece) => piece.offset >= end)).toBe(true);
  });

  it('copy goes over borders, and overlapping ranges come out right both ways', () => {
    for (const [src, dst] of [
      [BORDER - 100, HIGH.base + 1],
      [slabBorder - 500, slabBorder - 400],
      [slabBorder - 400, slabBorder - 500],
      [slabBorder - 3000, LOW.base + 9],
      [BORDER - 2000, BORDER - 1900],
    ]) {
      space.write(src, counting(3000), 0, 3000);
      expect(space.copy(dst, src, 3000)).toBe(true);
      expect(readBytes(dst, 3000)).toEqual(counting(3000));
    }
  });

  it('resolve gives slab, offset and how far they hold', () => {
    space.store(slabBorder - 8, 0x12345678, 1);
    const offset = space.resolve(slabBorder - 8);
    expect(space.contiguousBytes).toBe(8);
    expect(space.slab.words[offset >>> 2]).toBe(0x12345678);
    expect(space.slab.bytes[offset]).toBe(0x78);
    space.slab.bytes[offset] = 0x99;
    space.slab.touch(offset, 1);
    expect(load64(space, slabBorder - 8)).toBe(0x1_1234_5699n);
  });
});

type Action =
  | { op: 'write' | 'read'; pa: number; sizeBytes: number }
  | { op: 'copy'; pa: number; to: number; sizeBytes: number }
  | { op: 'store' | 'store32' | 'swap'; pa: number; value: number };

/** Addresses close to every border of the map. */
const nearBorders = (align: number) =>
  fc.tuple(fc.constantFrom(0, 1, 2, 3, 4, 5), fc.integer({ min: -12, max: 12 })).map(([which, steps]) => {
    const borders = [LOW.base, BORDER, HOLE, HIGH.base, slabBorder, HIGH.base + HIGH.sizeBytes];
    return borders[which] + steps * (align === 1 ? 7 : align);
  });

const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    op: fc.constantFrom('write' as const, 'read' as const),
    pa: nearBorders(1),
    sizeBytes: fc.integer({ min: 0, max: 100 }),
  }),
  fc.record({
    op: fc.constant('copy' as const),
    pa: nearBorders(1),
    to: nearBorders(1),
    sizeBytes: fc.integer({ min: 0, max: 100 }),
  }),
  fc.record({
    op: fc.constantFrom('store' as const, 'store32' as const, 'swap' as const),
    pa: nearBorders(8),
    value: fc.integer(),
  }),
);

/** The naive memory: a byte is in the map or zero, and claimed or not. */
class NaiveMemory {
  private readonly content = new Map<number, number>();

  claims(pa: number, sizeBytes: number): boolean {
    for (let at = pa; at < pa + sizeBytes; at++) {
      const inside = [LOW, NEXT, HIGH].some((r) => at >= r.base && at < r.base + r.sizeBytes);
      if (!inside) return false;
    }
    return true;
  }

  get(pa: number, sizeBytes: number): Uint8Array {
    return Uint8Array.from({ length: sizeBytes }, (_, i) => this.content.get(pa + i) ?? 0);
  }

  set(pa: number, from: Uint8Array): void {
    for (const [i, byte] of from.entries()) this.content.set(pa + i, byte);
  }
}

function littleEndian(...words: number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(words).buffer);
}

/** Does one thing to both memories; what they answer must agree. */
function perform(naive: NaiveMemory, step: Action): void {
  const { pa } = step;
  switch (step.op) {
    case 'write': {
      const claimed = naive.claims(pa, step.sizeBytes);
      const from = counting(step.sizeBytes);
      expect(space.write(pa, from, 0, step.sizeBytes)).toBe(claimed);
      if (claimed) naive.set(pa, from);
      break;
    }
    case 'read': {
      const into = new Uint8Array(step.sizeBytes);
      const claimed = naive.claims(pa, step.sizeBytes);
      expect(space.read(pa, into, 0, step.sizeBytes)).toBe(claimed);
      if (claimed) expect(into).toEqual(naive.get(pa, step.sizeBytes));
      break;
    }
    case 'copy': {
      const claimed = naive.claims(pa, step.sizeBytes) && naive.claims(step.to, step.sizeBytes);
      expect(space.copy(step.to, pa, step.sizeBytes)).toBe(claimed);
      if (claimed) naive.set(step.to, naive.get(pa, step.sizeBytes));
      break;
    }
    case 'store':
    case 'store32': {
      const from = step.op === 'store' ? littleEndian(step.value, ~step.value) : littleEndian(step.value);
      const claimed = naive.claims(pa, from.length);
      const done =
        step.op === 'store' ? space.store(pa, step.value, ~step.value) : space.store32(pa, step.value);
      expect(done).toBe(claimed);
      if (claimed) naive.set(pa, from);
      break;
    }
    case 'swap': {
      const claimed = naive.claims(pa, 8);
      const wasZero = naive.get(pa, 8).every((byte) => byte === 0);
      const answer = space.compareAndSwap(pa, 0, 0, step.value, 1);
      expect(answer).toBe(!claimed ? -1 : wasZero ? 1 : 0);
      if (answer === 1) naive.set(pa, littleEndian(step.value, 1));
      break;
    }
  }
}

it('agrees with a naive memory on any sequence of accesses', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (steps) => {
      memory.clear();
      const naive = new NaiveMemory();
      for (const step of steps) perform(naive, step);
      for (const [pa, sizeBytes] of [
        [LOW.base, 8 * KIB],
        [HIGH.base, 300],
        [slabBorder - 300, 600],
        [HIGH.base + HIGH.sizeBytes - 300, 300],
      ]) {
        expect(readBytes(pa, sizeBytes)).toEqual(naive.get(pa, sizeBytes));
      }
    }),
    { numRuns: 60 },
  );
});

describe('G18: injected aborts', () => {
  const pa = LOW.base + 0x100;

  it('refuse reads, or writes, or both, and a compare-and-swap in every case', () => {
    space.injectFault({ pa, sizeBytes: 8, access: 'read', times: Number.POSITIVE_INFINITY });
    expect(space.load(pa, new Int32Array(2), 1)).toBe(false);
    expect(space.read(pa + 7, new Uint8Array(1), 0, 1)).toBe(false);
    expect(space.copy(HIGH.base, pa, 8)).toBe(false);
    expect(space.compareAndSwap(pa, 0, 0, 1, 1)).toBe(-1);
    expect(space.store(pa, 1, 1)).toBe(true);
    space.disarmFaults();
    space.injectFault({ pa, sizeBytes: 8, access: 'write', times: Number.POSITIVE_INFINITY });
    expect(space.store(pa, 2, 2)).toBe(false);
    expect(space.store32(pa + 4, 2)).toBe(false);
    expect(space.write(pa - 1, new Uint8Array(2), 0, 2)).toBe(false);
    expect(space.copy(pa, HIGH.base, 8)).toBe(false);
    expect(space.compareAndSwap(pa, 1, 1, 2, 2)).toBe(-1);
    expect(load64(space, pa)).toBe(0x1_0000_0001n);
    space.injectFault({ pa, sizeBytes: 8, access: 'any', times: 1 });
    expect(load64(space, pa)).toBeUndefined();
    expect(load64(space, pa)).toBe(0x1_0000_0001n);
  });

  it('meet accesses that overlap the range, and no other', () => {
    space.injectFault({ pa, sizeBytes: 16, access: 'any', times: Number.POSITIVE_INFINITY });
    expect(space.load(pa - 8, new Int32Array(2), 1)).toBe(true);
    expect(space.load(pa - 8, new Int32Array(4), 2)).toBe(false);
    expect(space.load(pa + 8, new Int32Array(2), 1)).toBe(false);
    expect(space.load(pa + 16, new Int32Array(2), 1)).toBe(true);
  });

  it('disarm after `times` refusals, each fault by itself', () => {
    space.injectFault({ pa, sizeBytes: 8, access: 'read', times: 2 });
    space.injectFault({ pa: pa + 8, sizeBytes: 8, access: 'read', times: 1 });
    expect(load64(space, pa)).toBeUndefined();
    expect(load64(space, pa + 8)).toBeUndefined();
    expect(load64(space, pa + 8)).toBe(0n);
    expect(load64(space, pa)).toBeUndefined();
    expect(load64(space, pa)).toBe(0n);
  });

  it('take the n-th access with `skip`', () => {
    space.injectFault({ pa, sizeBytes: 8, access: 'read', times: 1, skip: 2 });
    expect([1, 2, 3, 4].map(() => load64(space, pa))).toEqual([0n, 0n, undefined, 0n]);
  });

  it('that refuse no access are not armed', () => {
    space.injectFault({ pa, sizeBytes: 8, access: 'any', times: 0 });
    expect(load64(space, pa)).toBe(0n);
  });
});
