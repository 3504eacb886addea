/** Guest memory as a whole: what spaces share, attaching, zeroing, recycling. */
import { describe, expect, it } from 'vitest';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import { load64, store64 } from '../../src/memory/words.js';

const GIB = 2 ** 30;
const RAM = { id: 'ram', base: 0x4000_0000, sizeBytes: 0x10_0000 };
const SECURE = { id: 'secure', base: 0x4000_8000, sizeBytes: 0x4000 };
const OTHER = { id: 'other-secure', base: 0x4000_8000, sizeBytes: 0x4000 };

describe("aliases: memory of a guest, which is some of its host's", () => {
  it('shows a part of another region at an address of its own, and nothing beyond it', () => {
    const guest = { id: 'guest', base: 0x8000, sizeBytes: 0x2000, alias: { of: 'ram', offset: 0x3000 } };
    const memory = GuestMemory.create([guest, RAM]);
    const space = memory.space(['guest']);
    store64(space, 0x8010, 7n);
    expect(load64(memory.space(['ram']), RAM.base + 0x3010)).toBe(7n);
    expect(space.resolve(0x8000 + 0x2000)).toBe(-1);
    expect(() =>
      GuestMemory.create([RAM, { ...guest, alias: { of: 'ram', offset: RAM.sizeBytes } }]),
    ).toThrow();
    expect(() => GuestMemory.create([{ ...guest, alias: { of: 'none', offset: 0 } }])).toThrow();
  });
});

describe('A15: secure memory over the non-secure', () => {
  const memory = GuestMemory.create([RAM, SECURE, OTHER]);
  const nonSecure = memory.space(['ram']);
  const secure = memory.space(['secure', 'ram']);

  it('the same address is another word where the secure region claims it, and the same word elsewhere', () => {
    store64(nonSecure, SECURE.base, 1n);
    store64(secure, SECURE.base, 2n);
    store64(nonSecure, RAM.base, 3n);
    expect(load64(nonSecure, SECURE.base)).toBe(1n);
    expect(load64(secure, SECURE.base)).toBe(2n);
    expect(load64(secure, RAM.base)).toBe(3n);
    expect(load64(memory.space(['ram', 'secure']), SECURE.base)).toBe(1n);
  });

  it('one access goes over the edges of the overlay', () => {
    const from = Uint8Array.from({ length: SECURE.sizeBytes + 200 }, (_, i) => i % 251);
    expect(secure.write(SECURE.base - 100, from, 0, from.length)).toBe(true);
    const into = new Uint8Array(from.length);
    expect(secure.read(SECURE.base - 100, into, 0, into.length)).toBe(true);
    expect(into).toEqual(from);
    expect(load64(nonSecure, SECURE.base)).toBe(1n);
  });

  it('two spaces over the same secure memory see each other, one over a different memory does not', () => {
    const same = memory.space(['secure', 'ram']);
    const different = memory.space(['other-secure', 'ram']);
    store64(secure, SECURE.base + 8, 0xabcn);
    expect(load64(same, SECURE.base + 8)).toBe(0xabcn);
    expect(load64(different, SECURE.base + 8)).toBe(0n);
  });

  it('an unknown region is an error of ours', () => {
    expect(() => memory.space(['nowhere'])).toThrow('no memory region nowhere');
  });
});

describe('attach', () => {
  const memory = GuestMemory.create([RAM]);

  it('shares the memory and has buffers of its own', () => {
    const attached = GuestMemory.attach(structuredClone(memory.handle), 255);
    store64(memory.space(['ram']), RAM.base, 77n);
    expect(load64(attached.space(['ram']), RAM.base)).toBe(77n);
    memory.bounce.fill(1);
    attached.bounce.fill(2);
    expect(memory.bounce.every((byte) => byte === 1)).toBe(true);
  });

  it.each([0, 256, -1, 1.5])('refuses thread index %d', (threadIndex) => {
    expect(() => GuestMemory.attach(memory.handle, threadIndex)).toThrow('thread index');
  });
});

describe('workspace', () => {
  it('is shared, beside guest memory, and no more than was asked for', () => {
    const memory = GuestMemory.create([RAM], 0x1_0000);
    const attached = GuestMemory.attach(structuredClone(memory.handle), 1);
    const { words, offset } = memory.workspace(64, 128);
    expect(words.length).toBe(32);
    words.fill(-1);
    const seen = attached.workspace(0, 0x1_0000).words;
    expect(seen.subarray(16, 48).every((word) => word === -1)).toBe(true);
    expect(seen.filter((word) => word !== 0).length).toBe(32);
    expect(load64(memory.space(['ram']), RAM.base)).toBe(0n);
    expect(memory.space(['ram']).window(RAM.base)!.delta + RAM.base).toBeGreaterThan(offset);
    expect(() => memory.workspace(0x1_0000, 64)).toThrow('workspace');
    expect(() => GuestMemory.create([RAM]).workspace(0, 64)).toThrow('workspace');
  });

  it('stays when the memory is recycled', () => {
    const memory = GuestMemory.create([RAM], 0x1_0000);
    expect(memory.recycle([SECURE]).handle.workspaceBytes).toBe(0x1_0000);
  });
});

describe('clear and recycle', () => {
  it('clear zeroes what any path of any thread wrote', () => {
    const memory = GuestMemory.create([RAM]);
    const attached = GuestMemory.attach(memory.handle, 1);
    const space = attached.space(['ram']);
    const step = 0x1_0000;
    space.store(RAM.base, 1, 1);
    space.store32(RAM.base + step, 1);
    space.compareAndSwap(RAM.base + 2 * step, 0, 0, 1, 1);
    space.write(RAM.base + 4 * step - 50, new Uint8Array(100).fill(1), 0, 100);
    space.copy(RAM.base + 5 * step, RAM.base, 8);
    memory.clear();
    const into = new Uint8Array(RAM.sizeBytes);
    expect(memory.space(['ram']).read(RAM.base, into, 0, into.length)).toBe(true);
    expect(into.every((byte) => byte === 0)).toBe(true);
  });

  it('recycle gives zeroed memory of other regions, in the same slabs where they suffice', () => {
    const first = GuestMemory.create([{ id: 'big', base: 0, sizeBytes: 4 * GIB }]);
    store64(first.space(['big']), 0, 5n);
    const second = first.recycle([RAM]);
    expect(second.handle.memories).toEqual([first.handle.memories[0]]);
    expect(second.handle.memories[0]).toBe(first.handle.memories[0]);
    expect(load64(second.space(['ram']), RAM.base)).toBe(0n);
    store64(second.space(['ram']), RAM.base, 6n);
    const third = second.recycle([{ id: 'bigger', base: 0, sizeBytes: 9 * GIB }]);
    const space = third.space(['bigger']);
    expect(third.handle.memories[0]).toBe(first.handle.memories[0]);
    expect(load64(space, 0)).toBe(0n);
    expect(store64(space, 9 * GIB - 8, 7n)).toBe(true);
  });

  it('a slab that is too small is replaced', () => {
    const small = GuestMemory.create([SECURE]);
    const large = small.recycle([RAM]);
    expect(large.handle.memories[0]).not.toBe(small.handle.memories[0]);
    expect(store64(large.space(['ram']), RAM.base + RAM.sizeBytes - 8, 1n)).toBe(true);
  });

  it('only the creating thread recycles', () => {
    const memory = GuestMemory.create([RAM]);
    expect(() => GuestMemory.attach(memory.handle, 1).recycle([RAM])).toThrow('recycles');
  });
});

it('tens of GiB, and hundreds of machines of 4 GiB one after the other, are given out lazily', () => {
  const large = GuestMemory.create([{ id: 'dram', base: 0x80_0000_0000, sizeBytes: 48 * GIB }]);
  const space = large.space(['dram']);
  for (let gib = 0; gib < 48; gib++) expect(space.store(0x80_0000_0000 + gib * GIB, gib, 1)).toBe(true);
  expect(load64(space, 0x80_0000_0000 + 47 * GIB)).toBe(0x1_0000_002fn);
  for (let i = 0; i < 300; i++) {
    const one = GuestMemory.create([{ id: 'dram', base: 0, sizeBytes: 4 * GIB }]);
    expect(one.space(['dram']).store(4 * GIB - 8, i, i)).toBe(true);
  }
});

describe('the image of a region: its pages that are not zero', () => {
  it('over several slabs, with a last page that is shorter, and back into another memory', () => {
    const regions = [
      { id: 'ram', base: 0x4000_0000, sizeBytes: 5 * GIB },
      { id: 'odd', base: 0x1000, sizeBytes: 0x1010 },
    ];
    const memory = GuestMemory.create(regions);
    const space = memory.space(['ram', 'odd']);
    const written = [0x4000_0008, 0x4001_fff8, 0x4000_0000 + 4 * GIB, 0x4000_0000 + 5 * GIB - 8, 0x2008];
    for (const [index, pa] of written.entries()) store64(space, pa, BigInt(index + 1));
    store64(space, 0x5000_0000, 1n);
    store64(space, 0x5000_0000, 0n);
    const offsets = (id: string) => [...memory.pages(id)].map(({ offset, bytes }) => [offset, bytes.length]);
    expect(offsets('ram')).toEqual([
      [0, 4096],
      [0x1_f000, 4096],
      [4 * GIB, 4096],
      [5 * GIB - 4096, 4096],
    ]);
    expect(offsets('odd')).toEqual([[0x1000, 0x10]]);
    const other = GuestMemory.create(regions);
    for (const { id } of regions) for (const page of memory.pages(id)) other.setPage(id, page);
    const restored = other.space(['ram', 'odd']);
    for (const [index, pa] of written.entries()) expect(load64(restored, pa)).toBe(BigInt(index + 1));
    expect([...other.pages('ram')].length).toBe(4);
  });
});
