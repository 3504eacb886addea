/** Placement of regions in slabs, and the table that a priority order gives. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { flatten, place } from '../../src/memory/placement.js';
import { reservedBytes } from '../../src/memory/slab.js';
import { SLAB_BYTES_MAX } from '../../src/memory/slab-layout.js';

const GIB = 2 ** 30;

describe('place', () => {
  it('gives a machine without memory one slab, for the buffers of its threads', () => {
    expect(place([])).toEqual({ regions: [], slabBytes: [reservedBytes(0)] });
  });

  it('begins every region at a chunk behind the reserved area', () => {
    const { regions, slabBytes } = place([
      { id: 'a', base: 0x1000, sizeBytes: 8 },
      { id: 'b', base: 0x8000_0000, sizeBytes: 0x1_0008 },
    ]);
    const start = reservedBytes(0);
    expect(start % 0x1_0000).toBe(0);
    expect(regions[0].pieces).toEqual([{ pa: 0x1000, sizeBytes: 8, slab: 0, offset: start }]);
    expect(regions[1].pieces).toEqual([
      { pa: 0x8000_0000, sizeBytes: 0x1_0008, slab: 0, offset: start + 0x1_0000 },
    ]);
    expect(slabBytes).toEqual([start + 0x3_0000]);
  });

  it('keeps workspace free before the first region', () => {
    const { regions, slabBytes } = place([{ id: 'a', base: 0, sizeBytes: 8 }], 0x1_0001);
    const start = reservedBytes(0) + 0x2_0000;
    expect(regions[0].pieces).toEqual([{ pa: 0, sizeBytes: 8, slab: 0, offset: start }]);
    expect(slabBytes).toEqual([start + 0x1_0000]);
  });

  it('cuts what does not fit over slabs, without a gap', () => {
    const { regions, slabBytes } = place([
      { id: 'low', base: 0, sizeBytes: GIB },
      { id: 'high', base: 0x100_0000_0000, sizeBytes: 40 * GIB },
    ]);
    const { pieces } = regions[1];
    let pa = 0x100_0000_0000;
    for (const piece of pieces) {
      expect(piece.pa).toBe(pa);
      expect(piece.offset).toBeGreaterThanOrEqual(reservedBytes(piece.slab));
      expect(piece.offset % 0x1_0000).toBe(0);
      expect(piece.offset + piece.sizeBytes).toBeLessThanOrEqual(slabBytes[piece.slab]);
      pa += piece.sizeBytes;
    }
    expect(pa).toBe(0x100_0000_0000 + 40 * GIB);
    expect(slabBytes.length).toBe(11);
    expect(Math.max(...slabBytes)).toBe(SLAB_BYTES_MAX);
  });

  it.each([
    ['a base that is no word address', { id: 'r', base: 4, sizeBytes: 8 }],
    ['a size that is not whole words', { id: 'r', base: 0, sizeBytes: 12 }],
    ['no bytes at all', { id: 'r', base: 0, sizeBytes: 0 }],
    ['more than 52 bits', { id: 'r', base: 2 ** 52 - 8, sizeBytes: 16 }],
    ['a negative base', { id: 'r', base: -8, sizeBytes: 16 }],
  ])('refuses %s', (_what, region) => {
    expect(() => place([region])).toThrow('memory region r');
  });

  it('refuses an id given twice', () => {
    const region = { id: 'r', base: 0, sizeBytes: 8 };
    expect(() => place([region, region])).toThrow('given twice');
  });
});

describe('flatten', () => {
  it('A15: cuts a region around those of higher priority', () => {
    const { regions } = place([
      { id: 'ram', base: 0, sizeBytes: 0x4_0000 },
      { id: 'secure', base: 0x1_0000, sizeBytes: 0x1000 },
    ]);
    const [ram, secure] = regions;
    const ramOffset = ram.pieces[0].offset;
    expect(flatten([secure, ram])).toEqual([
      { pa: 0, sizeBytes: 0x1_0000, slab: 0, offset: ramOffset },
      secure.pieces[0],
      { pa: 0x1_1000, sizeBytes: 0x2_f000, slab: 0, offset: ramOffset + 0x1_1000 },
    ]);
    expect(flatten([ram, secure])).toEqual(ram.pieces);
  });

  it('joins regions that adjoin in the guest and in the slab', () => {
    const { regions } = place([
      { id: 'a', base: 0, sizeBytes: 0x1_0000 },
      { id: 'b', base: 0x1_0000, sizeBytes: 0x1_0000 },
    ]);
    expect(flatten(regions)).toEqual([{ pa: 0, sizeBytes: 0x2_0000, slab: 0, offset: reservedBytes(0) }]);
  });

  it('A15, A16: gives every word to the first region that claims it, and a piece holds words of those regions only', () => {
    const words = fc.integer({ min: 0, max: 40 }).map((n) => 8 * n);
    const own = fc.record({ base: words, sizeBytes: words.map((bytes) => bytes + 8) });
    const alias = fc.record({ base: words, of: fc.nat(2), offset: words, sizeBytes: words });
    fc.assert(
      fc.property(
        fc.array(own, { minLength: 3, maxLength: 3 }),
        fc.array(alias, { maxLength: 2 }),
        fc.shuffledSubarray([0, 1, 2, 3, 4]),
        (regions, aliases, order) => {
          const specs = [
            ...regions.map((region, index) => ({ ...region, id: `r${index}` })),
            ...aliases.map(({ base, of, offset, sizeBytes }, index) => {
              const within = Math.min(offset, regions[of]!.sizeBytes - 8);
              const size = Math.min(sizeBytes + 8, regions[of]!.sizeBytes - within);
              return { id: `a${index}`, base, sizeBytes: size, alias: { of: `r${of}`, offset: within } };
            }),
          ];
          const { regions: placed } = place(specs, 0x1_0000);
          const visible = order.flatMap((index) => placed[index] ?? []);
          const pieces = flatten(visible);
          for (let pa = 0; pa < 0x400; pa += 8) {
            const owner = visible.find(({ base, sizeBytes }) => pa >= base && pa < base + sizeBytes);
            const of = owner?.pieces[0];
            const there = pieces.filter((piece) => pa >= piece.pa && pa < piece.pa + piece.sizeBytes);
            expect(there.map(({ slab, offset, pa: start }) => [slab, offset + pa - start])).toEqual(
              of === undefined ? [] : [[of.slab, of.offset + pa - of.pa]],
            );
          }
          for (const { pa, sizeBytes, offset } of pieces) {
            expect([pa % 8, sizeBytes % 8, offset % 8]).toEqual([0, 0, 0]);
            expect(offset).toBeGreaterThanOrEqual(reservedBytes(0) + 0x1_0000);
          }
        },
      ),
    );
  });
});
