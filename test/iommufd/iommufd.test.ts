/** The kernel's side of an accelerated SMMU: objects, their errors and order, and what the physical SMMU then does. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { C_BAD_STE, CLASS_IN, EVENT, EVENTS, F_TRANSLATION } from '../../src/arch/events.js';
import { encode, get } from '../../src/arch/layout.js';
import { CD, STE } from '../../src/arch/structures.js';
import type { Errno } from '../../src/iommufd/errors.js';
import { IommufdError } from '../../src/iommufd/errors.js';
import { type FaultPoint, Iommufd } from '../../src/iommufd/iommufd.js';
import { ABORT_VSTE, BYPASS_VSTE, reduceSTE } from '../../src/iommufd/vste.js';
import { ABORT, OK } from '../../src/smmu/transaction.js';
import { cfgiCD, cfgiSTE, tlbiNHASID, tlbiNSNHAll, tlbiS12VMAll } from '../../src/software/commands.js';
import { PageAllocator } from '../../src/software/page-allocator.js';
import { PageTables } from '../../src/software/page-tables.js';
import { SpaceMemory } from '../../src/software/port.js';
import { GUEST_BYTES, GUEST_RAM, Host, idRegisters, request } from './bench.js';

const SID = 0x108;
const OTHER_SID = 0x110;
const STE_VALID = 1;

function errno(call: () => unknown): Errno | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof IommufdError) return error.errno;
    throw error;
  }
}

/** A guest with one device and the objects below a nested HWPT. */
function makeGuest(host: Host, guest = 0, StreamID = SID, fails?: (point: FaultPoint) => boolean) {
  const iommufd = new Iommufd(fails === undefined ? {} : { fails });
  const device = host.kernel.probe(`nic${StreamID}`, StreamID);
  const dev = iommufd.bind(device);
  const ioas = iommufd.allocIOAS();
  iommufd.map(ioas, { gpa: GUEST_RAM, pa: host.guestBase(guest), sizeBytes: GUEST_BYTES, writable: true });
  const parent = iommufd.allocPagingHwpt(dev, ioas, true);
  const viommu = iommufd.allocVIommu(dev, parent);
  return { iommufd, device, dev, ioas, parent, viommu };
}

/** Stage 1 of a guest: a CD and tables in its memory that map IOVA 0x1000 to `gpa`. */
function stage1(host: Host, guest: number, gpa: number, ASID = 1) {
  const memory = new SpaceMemory(host.guestSpace(guest));
  const allocator = new PageAllocator(GUEST_RAM + 0x40_0000 + ASID * 0x4_0000, 0x4_0000);
  const format = { stage: 1, granule: '4KiB', inputBits: 39, outputBits: 44, blocks: false } as const;
  const tables = new PageTables(format, memory, allocator, () => {});
  tables.map(0x1000n, gpa, 0x1000, { read: true, write: true });
  const cd = allocator.allocate(64);
  const words = encode(CD, {
    V: 1,
    AA64: 1,
    T0SZ: 25,
    EPD1: 1,
    IPS: 4,
    A: 1,
    R: 1,
    ASET: 1,
    ASID,
    TTB0: BigInt(tables.root) >> 4n,
  });
  memory.writeBytes(cd, new Uint8Array(words.buffer));
  const vste = reduceSTE(encode(STE, { V: 1, Config: 5, S1ContextPtr: BigInt(cd) >> 6n }), false);
  return { tables, cd, vste, memory };
}

describe('object table', () => {
  test('numbers, users and contents are printed; what is used cannot be destroyed', () => {
    const host = new Host();
    const { iommufd, ioas, parent, viommu } = makeGuest(host);
    expect(iommufd.objects.print().split('\n')).toEqual([
      '1 device users=0 name=nic264 smmu=host0 StreamID=0x108 hwpt=null',
      '2 ioas users=1 areas=[gpa=0x40000000 pa=0x82000000 sizeBytes=8388608 readable=true writable=true]',
      expect.stringMatching(
        /^3 hwpt-paging users=1 from=2 nestParent=true root=0x[0-9a-f]+ granule=4KiB inputBits=44$/,
      ),
      '4 viommu users=0 from=3 smmu=host0 VMID=1',
    ]);
    expect(errno(() => iommufd.destroy(ioas))).toBe('EBUSY');
    expect(errno(() => iommufd.destroy(parent))).toBe('EBUSY');
    iommufd.destroy(viommu);
    expect(errno(() => iommufd.destroy(viommu))).toBe('ENOENT');
    iommufd.destroy(parent);
    iommufd.destroy(ioas);
  });

  test('an attached HWPT is in use until the device is attached to another', () => {
    const host = new Host();
    const { iommufd, dev, viommu } = makeGuest(host);
    const abort = iommufd.allocNestedHwpt(viommu, ABORT_VSTE);
    const bypass = iommufd.allocNestedHwpt(viommu, BYPASS_VSTE);
    iommufd.attach(dev, abort);
    expect(errno(() => iommufd.destroy(abort))).toBe('EBUSY');
    iommufd.attach(dev, bypass);
    iommufd.destroy(abort);
    iommufd.detach(dev);
    iommufd.destroy(bypass);
  });

  test('close leaves no object, no memory and no VMID behind', () => {
    const host = new Host();
    const free = host.allocator.freeBytes;
    for (let round = 0; round < 3; round++) {
      const { iommufd, device, dev, viommu } = makeGuest(host);
      // The level 2 Stream table stays, as in the kernel.
      if (round > 0) expect(host.kernel.driver.allocateVMID()).toBe(2);
      if (round > 0) host.kernel.driver.freeVMID(2);
      iommufd.allocVDevice(dev, viommu, 0x20);
      iommufd.allocVEventQueue(viommu, 4);
      iommufd.attach(dev, iommufd.allocNestedHwpt(viommu, BYPASS_VSTE));
      iommufd.close();
      expect(iommufd.objects.print()).toBe('');
      host.kernel.remove(device);
      expect(free - host.allocator.freeBytes).toBe(256 * 64);
    }
  });

  test('a device has one owner', () => {
    const host = new Host();
    const { iommufd, device, dev } = makeGuest(host);
    const another = new Iommufd();
    expect(errno(() => another.bind(device))).toBe('EBUSY');
    iommufd.unbind(dev);
    another.bind(device);
  });
});

describe('IOAS and nesting parent', () => {
  test('errors of map and unmap leave the address space as it was', () => {
    const host = new Host();
    const { iommufd, ioas } = makeGuest(host);
    const pa = host.guestBase(0);
    const map = (gpa: number, sizeBytes: number) => () =>
      iommufd.map(ioas, { gpa, pa, sizeBytes, writable: true });
    expect(errno(map(GUEST_RAM + 0x1000, 0x1000))).toBe('EEXIST');
    expect(errno(map(0x800, 0x1000))).toBe('EINVAL');
    expect(errno(map(0, 0))).toBe('EINVAL');
    expect(errno(map(2 ** 52 - 0x1000, 0x2000))).toBe('EOVERFLOW');
    expect(errno(map(2 ** 44, 0x1000))).toBe('EINVAL');
    expect(errno(() => iommufd.unmap(ioas, GUEST_RAM, 0x1000))).toBe('ENOENT');
    expect(errno(() => iommufd.unmap(ioas, 0, 0x1000))).toBe('ENOENT');
    expect(errno(() => iommufd.map(99, { gpa: 0, pa, sizeBytes: 0x1000, writable: true }))).toBe('ENOENT');
  });

  test('a device attached to the nesting parent reaches guest memory by GPA; what is unmapped is gone at once', () => {
    const host = new Host();
    const { iommufd, dev, ioas, parent } = makeGuest(host);
    iommufd.attach(dev, parent);
    const txn = request(SID, GUEST_RAM + 0x1234);
    expect([host.tbu.translate(txn), txn.pa]).toEqual([OK, host.guestBase(0) + 0x1234]);
    iommufd.unmap(ioas, GUEST_RAM, GUEST_BYTES);
    expect(host.tbu.translate(txn)).toBe(ABORT);
    iommufd.map(ioas, { gpa: GUEST_RAM, pa: host.guestBase(1), sizeBytes: 0x2000, writable: false });
    expect([host.tbu.translate(txn), txn.pa]).toEqual([OK, host.guestBase(1) + 0x1234]);
    expect(host.tbu.translate(request(SID, GUEST_RAM, true))).toBe(ABORT);
  });

  test('a map that runs out of memory for tables maps nothing', () => {
    const host = new Host();
    const { iommufd, dev, ioas, parent } = makeGuest(host);
    iommufd.attach(dev, parent);
    host.allocator.allocate(host.allocator.freeBytes - 0x2000);
    const pa = host.guestBase(0);
    expect(
      errno(() => iommufd.map(ioas, { gpa: 0x10_0000_0000 - 0x1000, pa, sizeBytes: 0x2000, writable: true })),
    ).toBe('ENOMEM');
    expect(host.tbu.translate(request(SID, 0x10_0000_0000 - 0x1000))).toBe(ABORT);
  });

  test('C3: vIOMMUs of several SMMUs share the nesting parent; one with other memory or without both stages is refused', () => {
    const host = new Host(2);
    const { iommufd, parent } = makeGuest(host);
    const second = host.smmus[1]!.kernel;
    const dev = iommufd.bind(second.probe('disk', 0x30));
    expect(iommufd.objects.users(parent)).toBe(1);
    iommufd.allocVIommu(dev, parent);
    expect(iommufd.objects.users(parent)).toBe(2);
    const stranger = new Host();
    expect(errno(() => iommufd.allocVIommu(iommufd.bind(stranger.kernel.probe('x', 1)), parent))).toBe(
      'EINVAL',
    );
    const stage2 = new Host(1, idRegisters({ IDR0: { S1P: 0, CD2L: 0 }, IDR1: { SSIDSIZE: 0 } }));
    expect(errno(() => makeGuest(stage2))).toBe('EOPNOTSUPP');
    const stage1Only = new Host(1, idRegisters({ IDR0: { S2P: 0, VMID16: 0 } }));
    expect(errno(() => makeGuest(stage1Only))).toBe('EOPNOTSUPP');
  });

  test('a paging HWPT that is no nesting parent carries no vIOMMU', () => {
    const host = new Host();
    const { iommufd, dev, ioas } = makeGuest(host);
    const plain = iommufd.allocPagingHwpt(dev, ioas, false);
    expect(errno(() => iommufd.allocVIommu(dev, plain))).toBe('EINVAL');
    expect(errno(() => iommufd.attach(dev, ioas))).toBe('EINVAL');
  });
});

describe('nested HWPT', () => {
  test("C18: a vSTE with a field that is not the guest's is EIO; reducing a guest STE leaves none", () => {
    const host = new Host();
    const { iommufd, viommu } = makeGuest(host);
    for (const fields of [
      { S2FWB: 1 },
      { STRW: 2 },
      { SHCFG: 1 },
      { MEV: 1 },
      { PRIVCFG: 3 },
      { Config: 6 },
      { EATS: 2 },
    ]) {
      const words = encode(STE, { V: 1, Config: 5, ...fields }).slice(0, 4);
      expect(
        errno(() => iommufd.allocNestedHwpt(viommu, words)),
        JSON.stringify(fields),
      ).toBe('EIO');
    }
    const everything = new Uint32Array(16).fill(0xffff_ffff);
    everything[0] = (everything[0]! & ~0xe) | (5 << 1);
    const reduced = reduceSTE(everything, true);
    const allowed = [
      'V',
      'Config',
      'S1Fmt',
      'S1ContextPtr',
      'S1CDMax',
      'S1DSS',
      'S1CIR',
      'S1COR',
      'S1CSH',
      'S1STALLD',
    ] as const;
    for (const [name, field] of Object.entries(STE.fields)) {
      if (field.hi >= 128 || field.hi - field.lo >= 32) continue;
      const expected = (allowed as readonly string[]).includes(name);
      if (name !== 'Config') expect([name, get(reduced, field) !== 0]).toEqual([name, expected]);
    }
    iommufd.allocNestedHwpt(viommu, reduced);
    expect(get(reduceSTE(everything, false), STE.fields.S1CDMax)).toBe(0);
  });

  test('E1, E2, E3: translate needs a vDEVICE, and the old attachment stays without; abort and bypass do not', () => {
    const host = new Host();
    const { iommufd, dev, viommu } = makeGuest(host);
    const target = GUEST_RAM + 0x5000;
    const translate = iommufd.allocNestedHwpt(viommu, stage1(host, 0, target).vste);
    const bypass = iommufd.allocNestedHwpt(viommu, BYPASS_VSTE);
    const abort = iommufd.allocNestedHwpt(viommu, ABORT_VSTE);
    iommufd.attach(dev, bypass);
    expect(errno(() => iommufd.attach(dev, translate))).toBe('ENOENT');
    expect(iommufd.attachedTo(dev)).toBe(bypass);
    const txn = request(SID, target);
    expect([host.tbu.translate(txn), txn.pa]).toEqual([OK, host.guestBase(0) + 0x5000]);
    iommufd.attach(dev, abort);
    expect(host.tbu.translate(txn)).toBe(ABORT);
    iommufd.allocVDevice(dev, viommu, 8);
    iommufd.attach(dev, translate);
    const nested = request(SID, 0x1040);
    expect([host.tbu.translate(nested), nested.pa]).toEqual([OK, host.guestBase(0) + 0x5040]);
    iommufd.attach(dev, bypass);
    expect(host.tbu.translate(txn)).toBe(OK);
    iommufd.attach(dev, abort);
    expect(host.tbu.translate(txn)).toBe(ABORT);
  });

  test.each([
    ['invalid', []],
    ['abort', [STE_VALID]],
    ['bypass', [STE_VALID | (4 << 1)]],
    ['translate', [STE_VALID | (5 << 1)]],
  ] as const)(
    'E9: the reference says of %s what attaching it without a vDEVICE does',
    (config, [word = 0]) => {
      const reference = readFileSync(new URL('../../docs/reference.md', import.meta.url), 'utf8');
      const row = reference.split('\n').find((line) => line.startsWith(`| \`${config}\` |`))!;
      const [, , vste, , vdevice] = row.split('|').map((cell) => cell.trim());
      expect(vste).toBe(
        word === 0 ? 'V = 0' : `V = 1, Config = 0b${(word >> 1).toString(2).padStart(3, '0')}`,
      );
      const { iommufd, dev, viommu } = makeGuest(new Host());
      const nested = iommufd.allocNestedHwpt(viommu, Uint32Array.of(word, 0, 0, 0));
      const error = errno(() => iommufd.attach(dev, nested));
      expect(vdevice).toBe(error === 'ENOENT' ? 'needed' : 'not needed');
      iommufd.allocVDevice(dev, viommu, 0);
      iommufd.attach(dev, nested);
    },
  );

  test('E5, E6, E7: a vDEVICE with StreamID 0 translates, is invalidated, and its events carry StreamID 0', () => {
    const host = new Host();
    const { iommufd, dev, viommu } = makeGuest(host);
    const { tables, vste } = stage1(host, 0, GUEST_RAM + 0x5000);
    iommufd.allocVDevice(dev, viommu, 0);
    iommufd.allocVEventQueue(viommu, 8);
    iommufd.attach(dev, iommufd.allocNestedHwpt(viommu, vste));
    expect(host.tbu.translate(request(SID, 0x1000))).toBe(OK);
    tables.unmap(0x1000n, 0x1000);
    expect(iommufd.invalidate(viommu, [tlbiNHASID(0, 1), cfgiCD(0, 0, 0, true)])).toEqual({ handled: 2 });
    expect(host.tbu.translate(request(SID, 0x1000))).toBe(ABORT);
    const [event, ...more] = iommufd.readEvents(viommu);
    expect(more).toEqual([]);
    expect(event).toMatchObject({ sequence: 0, lost: false });
    // But for the StreamID, what the physical SMMU has written (7.3.13).
    const written = { EventNumber: F_TRANSLATION, StreamID: 0, RnW: 1, CLASS: CLASS_IN, InputAddr: 0x1000n };
    expect([...event!.words!]).toEqual([...encode(EVENTS.get(F_TRANSLATION)!, written)]);
  });

  test('E4: without a vDEVICE no event is delivered, and the drop is counted', () => {
    const host = new Host();
    const { iommufd, dev, viommu } = makeGuest(host);
    iommufd.allocVEventQueue(viommu, 8);
    iommufd.attach(dev, iommufd.allocNestedHwpt(viommu, new Uint32Array(4)));
    expect(host.tbu.translate(request(SID, 0x1000))).toBe(ABORT);
    expect(iommufd.readEvents(viommu)).toEqual([]);
    expect([...host.kernel.dropped]).toEqual([['no vDEVICE', 1]]);
    // E10: with one, attached anew, they are.
    iommufd.allocVDevice(dev, viommu, 0x77);
    iommufd.attach(dev, iommufd.allocNestedHwpt(viommu, new Uint32Array(4)));
    expect(host.tbu.translate(request(SID, 0x1000))).toBe(ABORT);
    const [event] = iommufd.readEvents(viommu);
    expect([get(event!.words!, EVENT.EventNumber), get(event!.words!, EVENT.StreamID)]).toEqual([
      C_BAD_STE,
      0x77,
    ]);
  });

  test('E11: a vDEVICE number is taken once in a vIOMMU, and free in another', () => {
    const host = new Host();
    const { iommufd, dev, parent, viommu } = makeGuest(host);
    const other = iommufd.bind(host.kernel.probe('disk', OTHER_SID));
    iommufd.allocVDevice(dev, viommu, 8);
    expect(errno(() => iommufd.allocVDevice(other, viommu, 8))).toBe('EEXIST');
    expect(errno(() => iommufd.allocVDevice(dev, viommu, 9))).toBe('EEXIST');
    expect(errno(() => iommufd.allocVDevice(other, viommu, 2 ** 32))).toBe('EINVAL');
    iommufd.allocVDevice(other, iommufd.allocVIommu(other, parent), 8);
  });

  test('two vIOMMUs on one SMMU: the same ASID means two address spaces', () => {
    const host = new Host();
    const first = makeGuest(host);
    const other = first.iommufd.bind(host.kernel.probe('disk', OTHER_SID));
    const second = first.iommufd.allocVIommu(other, first.parent);
    first.iommufd.allocVDevice(first.dev, first.viommu, 8);
    first.iommufd.allocVDevice(other, second, 8);
    const vste = stage1(host, 0, GUEST_RAM + 0x5000).vste;
    first.iommufd.attach(first.dev, first.iommufd.allocNestedHwpt(first.viommu, vste));
    expect(host.tbu.translate(request(SID, 0x1000))).toBe(OK);
    const memory = new SpaceMemory(host.guestSpace(0));
    const allocator = new PageAllocator(GUEST_RAM + 0x10_0000, 0x8_0000);
    const format = { stage: 1, granule: '4KiB', inputBits: 39, outputBits: 44, blocks: false } as const;
    const tables = new PageTables(format, memory, allocator, () => {});
    tables.map(0x1000n, GUEST_RAM + 0x9000, 0x1000, { read: true, write: true });
    const cd = allocator.allocate(64);
    const words = encode(CD, {
      V: 1,
      AA64: 1,
      T0SZ: 25,
      EPD1: 1,
      IPS: 4,
      A: 1,
      R: 1,
      ASID: 1,
      TTB0: BigInt(tables.root) >> 4n,
    });
    memory.writeBytes(cd, new Uint8Array(words.buffer));
    const nested = reduceSTE(encode(STE, { V: 1, Config: 5, S1ContextPtr: BigInt(cd) >> 6n }), false);
    first.iommufd.attach(other, first.iommufd.allocNestedHwpt(second, nested));
    const txn = request(OTHER_SID, 0x1000);
    expect([host.tbu.translate(txn), txn.pa]).toEqual([OK, host.guestBase(0) + 0x9000]);
  });
});

describe('HWPT_INVALIDATE', () => {
  test('E8: CD commands need a vDEVICE, TLB commands do not; the commands before a bad one are carried out', () => {
    const host = new Host();
    const { iommufd, dev, viommu } = makeGuest(host);
    expect(iommufd.invalidate(viommu, [tlbiNHASID(0, 1), tlbiNSNHAll()])).toEqual({ handled: 2 });
    expect(iommufd.invalidate(viommu, [])).toEqual({ handled: 0 });
    const refused = iommufd.invalidate(viommu, [tlbiNHASID(0, 1), cfgiCD(8, 0, 0, true), tlbiNSNHAll()]);
    expect([refused.handled, refused.error?.errno]).toEqual([1, 'EIO']);
    iommufd.allocVDevice(dev, viommu, 8);
    expect(iommufd.invalidate(viommu, [cfgiCD(8, 0, 0, true)])).toEqual({ handled: 1 });
  });

  test("commands that are not a guest's, and RES0 bits, are EIO", () => {
    const host = new Host();
    const { iommufd, dev, viommu } = makeGuest(host);
    iommufd.allocVDevice(dev, viommu, 8);
    const reserved = tlbiNHASID(0, 1);
    reserved[2] = 2;
    for (const command of [
      cfgiSTE(8, 0, true),
      tlbiS12VMAll(0),
      reserved,
      cfgiCD(8, 0, 1, true),
      new Uint32Array(4),
    ]) {
      expect(iommufd.invalidate(viommu, [command]).error?.errno).toBe('EIO');
    }
  });

  test("a guest's commands reach its own entries only", () => {
    const host = new Host();
    const guests = [makeGuest(host, 0, SID), makeGuest(host, 1, OTHER_SID)];
    const stages = guests.map(({ iommufd, dev, viommu }, index) => {
      const stage = stage1(host, index, GUEST_RAM + 0x5000);
      iommufd.allocVDevice(dev, viommu, 8);
      iommufd.attach(dev, iommufd.allocNestedHwpt(viommu, stage.vste));
      return stage;
    });
    const translate = (StreamID: number) => host.tbu.translate(request(StreamID, 0x1000));
    expect([translate(SID), translate(OTHER_SID)]).toEqual([OK, OK]);
    for (const { tables } of stages) tables.unmap(0x1000n, 0x1000);
    guests[0]!.iommufd.invalidate(guests[0]!.viommu, [tlbiNSNHAll()]);
    expect([translate(SID), translate(OTHER_SID)]).toEqual([ABORT, OK]);
  });
});

describe('vEVENTQ', () => {
  test('depth, sequence numbers, and the mark of lost events, which the next event replaces', () => {
    const host = new Host();
    const { iommufd, dev, viommu } = makeGuest(host);
    expect(errno(() => iommufd.allocVEventQueue(viommu, 0))).toBe('EINVAL');
    iommufd.allocVEventQueue(viommu, 2);
    expect(errno(() => iommufd.allocVEventQueue(viommu, 2))).toBe('EEXIST');
    iommufd.allocVDevice(dev, viommu, 8);
    iommufd.attach(dev, iommufd.allocNestedHwpt(viommu, new Uint32Array(4)));
    const fault = (count: number) => {
      for (let i = 0; i < count; i++) host.tbu.translate(request(SID, 0x1000));
    };
    const read = () => iommufd.readEvents(viommu).map(({ sequence, lost }) => [sequence, lost]);
    fault(2);
    expect(read()).toEqual([
      [0, false],
      [1, false],
    ]);
    fault(4);
    expect(read()).toEqual([
      [2, false],
      [3, false],
      [5, true],
    ]);
    expect(host.kernel.dropped.get('vEVENTQ full')).toBe(2);
    fault(1);
    expect(read()).toEqual([[6, false]]);
  });
});

describe('C9: faults at each step', () => {
  const POINTS: readonly FaultPoint[] = [
    'bind',
    'ioas',
    'map',
    'hwpt-paging',
    'viommu',
    'hwpt-nested',
    'vdevice',
    'veventq',
    'attach',
  ];
  test.each(POINTS)('%s fails with ENOMEM and changes nothing', (point) => {
    const host = new Host();
    let armed: FaultPoint | undefined;
    const { iommufd, dev, ioas, parent, viommu } = makeGuest(host, 0, SID, (at) => at === armed);
    const bypass = iommufd.allocNestedHwpt(viommu, BYPASS_VSTE);
    iommufd.attach(dev, parent);
    const device = host.kernel.probe('disk', OTHER_SID);
    const before = iommufd.objects.print();
    const free = host.allocator.freeBytes;
    armed = point;
    const calls: Record<string, () => unknown> = {
      bind: () => iommufd.bind(device),
      ioas: () => iommufd.allocIOAS(),
      map: () => iommufd.map(ioas, { gpa: 0, pa: host.guestBase(0), sizeBytes: 0x1000, writable: true }),
      'hwpt-paging': () => iommufd.allocPagingHwpt(dev, ioas, true),
      viommu: () => iommufd.allocVIommu(dev, parent),
      'hwpt-nested': () => iommufd.allocNestedHwpt(viommu, ABORT_VSTE),
      vdevice: () => iommufd.allocVDevice(dev, viommu, 8),
      veventq: () => iommufd.allocVEventQueue(viommu, 8),
      attach: () => iommufd.attach(dev, bypass),
    };
    expect(errno(calls[point]!)).toBe('ENOMEM');
    expect(iommufd.objects.print()).toBe(before);
    expect(host.allocator.freeBytes).toBe(free);
    armed = undefined;
    calls[point]!();
  });

  test('no VMID left is ENOSPC', () => {
    const host = new Host(1, idRegisters({ IDR0: { VMID16: 0 } }));
    const { iommufd, dev, parent } = makeGuest(host);
    for (let VMID = 2; VMID < 256; VMID++) iommufd.allocVIommu(dev, parent);
    expect(errno(() => iommufd.allocVIommu(dev, parent))).toBe('ENOSPC');
  });
});
