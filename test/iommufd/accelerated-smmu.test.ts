/** The VMM's side of an accelerated SMMU: binding, following the guest's registers and STEs, failures. */
import { describe, expect, test } from 'vitest';
import { C_BAD_CD, C_BAD_STE, C_BAD_STREAMID, F_TRANSLATION } from '../../src/arch/events.js';
import { encode } from '../../src/arch/layout.js';
import { BANKS } from '../../src/arch/registers.js';
import { NON_SECURE } from '../../src/arch/security.js';
import { STE } from '../../src/arch/structures.js';
import { IommufdError } from '../../src/iommufd/errors.js';
import type { FaultPoint } from '../../src/iommufd/iommufd.js';
import { BindError } from '../../src/iommufd/vsmmu/guest-devices.js';
import type { VfioDevice } from '../../src/iommufd/vsmmu/vfio-core.js';
import { OK } from '../../src/smmu/transaction.js';
import { cfgiAll, cfgiSTE, tlbiNHASID, tlbiNSNHAll } from '../../src/software/commands.js';
import { CommandError, DriverError } from '../../src/software/port.js';
import { GUEST_RAM, Guest, guestIdRegisters, Host, type IdChoices, request } from './bench.js';

const SID = 0x108;
const OTHER_SID = 0x110;
const DEVFN = 0x10;
const RW = { read: true, write: true };
const GBPA_ABORT = 1 << 20;
const GBPA_UPDATE = 2 ** 31;

const offsetOf = (key: 'CR0' | 'GBPA') => BANKS[NON_SECURE][key].offset;

function write(guest: Guest, key: 'CR0' | 'GBPA', value: number): void {
  guest.smmu.writeRegister(offsetOf(key), 4, BigInt(value), NON_SECURE);
  guest.smmu.runToIdle();
}

function setGbpa(guest: Guest, abort: boolean): void {
  write(guest, 'GBPA', GBPA_UPDATE + (abort ? GBPA_ABORT : 0));
}

/** A host, a guest and a device that is open but not bound. */
function setUp(fails: (point: FaultPoint) => boolean = () => false, choices?: IdChoices) {
  const host = new Host();
  const guest = new Guest(host, 0, guestIdRegisters(choices), { fails });
  const vfio = guest.core.open(host.kernel.probe('nic', SID));
  const access = (iova: number, StreamID = SID) => {
    const txn = request(StreamID, iova);
    const outcome = host.tbu.translate(txn);
    guest.smmu.runToIdle();
    return outcome === OK ? txn.pa - host.guestBase(0) : undefined;
  };
  return { host, guest, vfio, access };
}

/** The same, bound at StreamID 8 and translating IOVA 0x1000 to the guest's 0x5000. */
function setUpTranslating(fails?: (point: FaultPoint) => boolean) {
  const made = setUp(fails);
  const { guest, vfio } = made;
  guest.smmu.bind(DEVFN, vfio, 8);
  const driver = guest.driver();
  driver.enable();
  const context = driver.createContext({ granule: '4KiB', inputBits: 39 });
  driver.map(context, 0x1000n, GUEST_RAM + 0x5000, 0x1000, RW);
  driver.attach(8, context);
  return { ...made, driver, context };
}

const eventsOf = (driver: ReturnType<Guest['driver']>) =>
  driver.events.drain().records.map(({ number, StreamID }) => [number, StreamID]);

describe('bind and unbind', () => {
  test('C1, C2, C5: the first device makes the vIOMMU, abort and bypass; the second uses them', () => {
    const { host, guest, vfio } = setUp();
    expect(guest.kinds()).toEqual(['ioas', 'device', 'hwpt-paging']);
    guest.smmu.bind(DEVFN, vfio);
    const objects = ['ioas', 'device', 'hwpt-paging', 'viommu', 'hwpt-nested', 'hwpt-nested'];
    expect(guest.kinds()).toEqual(objects);
    expect(guest.core.iommufd.objects.print()).toMatch(
      /5 hwpt-nested users=0 from=4 config=abort\n6 hwpt-nested users=1 from=4 config=bypass$/,
    );
    guest.smmu.bind(DEVFN + 8, guest.core.open(host.kernel.probe('disk', OTHER_SID)));
    expect(guest.kinds()).toEqual([...objects, 'device']);
  });

  test('C3: SMMUs of one guest share the nesting parent, on one physical SMMU and on two', () => {
    const host = new Host(2);
    const first = new Guest(host);
    const second = new Guest(host, 0, guestIdRegisters(), { core: first.core, name: 'vsmmu-b' });
    const third = new Guest(host, 0, guestIdRegisters(), { core: first.core, name: 'vsmmu-c' });
    first.smmu.bind(0, first.core.open(host.kernel.probe('a', 1)));
    second.smmu.bind(0, first.core.open(host.kernel.probe('b', 2)));
    third.smmu.bind(0, first.core.open(host.smmus[1]!.kernel.probe('c', 3)));
    const kinds = first.kinds();
    expect(kinds.filter((kind) => kind === 'hwpt-paging')).toHaveLength(1);
    expect(kinds.filter((kind) => kind === 'viommu')).toHaveLength(3);
  });

  test('C4, C6: a device is attached to abort or bypass as GBPA says when it is bound', () => {
    for (const [abort, hwpt] of [
      [false, 'bypass'],
      [true, 'abort'],
    ] as const) {
      const { guest, vfio, access } = setUp();
      setGbpa(guest, abort);
      expect(guest.attachedTo(vfio)).toBe('nesting parent');
      guest.smmu.bind(DEVFN, vfio);
      expect(guest.attachedTo(vfio)).toBe(hwpt);
      expect(access(GUEST_RAM + 0x40)).toBe(abort ? undefined : 0x40);
    }
  });

  test('C8: nothing to bind and the same device again are no-ops; another device is refused by the number of the first', () => {
    const { host, guest, vfio } = setUp();
    guest.smmu.bind(DEVFN, undefined);
    expect(guest.kinds()).toEqual(['ioas', 'device', 'hwpt-paging']);
    guest.smmu.bind(DEVFN, vfio);
    const before = guest.core.iommufd.objects.print();
    guest.smmu.bind(DEVFN, vfio);
    expect(guest.core.iommufd.objects.print()).toBe(before);
    const other = guest.core.open(host.kernel.probe('disk', OTHER_SID));
    expect(() => guest.smmu.bind(DEVFN, other)).toThrow(`function 0x10 has device ${vfio.devID} already`);
    expect(guest.attachedTo(other)).toBe('nesting parent');
  });

  test.each([
    ['viommu', 1, []],
    ['hwpt-nested', 1, ['viommu']],
    ['hwpt-nested', 2, ['abort', 'viommu']],
    ['attach', 1, ['bypass', 'abort', 'viommu']],
  ] as const)(
    'C9, C10: %s number %i fails: of what was made, %j goes, and nothing is left',
    (point, nth, gone) => {
      let left = Number.POSITIVE_INFINITY;
      const { guest, vfio } = setUp((at) => at === point && --left === 0);
      const before = guest.core.iommufd.objects.print();
      left = nth;
      const destroyed = watchDestruction(guest);
      const bind = () => guest.smmu.bind(DEVFN, vfio);
      expect(bind).toThrow(BindError);
      expect(destroyed).toEqual(gone);
      expect(guest.core.iommufd.objects.print()).toBe(before);
      left = point === 'viommu' ? 1 : Number.POSITIVE_INFINITY;
      if (point === 'viommu') expect(bind).toThrow(`device ${vfio.devID}`);
      left = Number.POSITIVE_INFINITY;
      bind();
      guest.smmu.unbind(DEVFN);
      guest.core.close(vfio);
      guest.core.iommufd.close();
      expect(guest.core.iommufd.objects.print()).toBe('');
    },
  );

  // Sticky: nothing that can fail succeeds any more, the attachments of the teardown included.
  test.each([false, true])(
    'C9, C12: a fault at each point of a whole life leaves nothing (sticky: %s)',
    (sticky) => {
      const live = (armed: number) => {
        let count = 0;
        const host = new Host();
        const device = host.kernel.probe('nic', SID);
        const free = host.allocator.freeBytes;
        const fails = () => ++count === armed || (sticky && count > armed);
        const guest = new Guest(host, 0, guestIdRegisters(), {
          fails: (point) => point !== 'map' && fails(),
        });
        const vfio = unlessExpected(() => guest.core.open(device));
        if (vfio !== undefined) {
          unlessExpected(() => {
            guest.smmu.bind(DEVFN, vfio, 8);
            const driver = guest.driver();
            driver.enable();
            const context = driver.createContext({ granule: '4KiB', inputBits: 39 });
            driver.map(context, 0x1000n, GUEST_RAM + 0x5000, 0x1000, RW);
            driver.attach(8, context);
            driver.unmap(context, 0x1000n, 0x1000);
            driver.bypass(8);
            driver.disable();
          });
          guest.smmu.unbind(DEVFN);
          guest.core.close(vfio);
        }
        expect(guest.kinds(), `fault ${armed}`).toEqual(['ioas']);
        expect(host.kernel.driver.allocateVMID(), `fault ${armed}`).toBe(1);
        expect(host.allocator.freeBytes, `fault ${armed}`).toBe(free);
        return count;
      };
      // The first point is the IOAS, without which there is no guest.
      const first = 2;
      const total = live(Number.POSITIVE_INFINITY);
      expect(total).toBeGreaterThan(20);
      for (let armed = first; armed <= total; armed++) live(armed);
    },
  );

  test("C9: the host's memory runs out at each allocation of a bind, and nothing is left", () => {
    const bindAt = (armed: number) => {
      const host = new Host();
      const guest = new Guest(host);
      const device = host.kernel.probe('nic', SID);
      const free = host.allocator.freeBytes;
      let count = 0;
      const allocate = host.allocator.allocate.bind(host.allocator);
      host.allocator.allocate = (...sizes) => {
        if (++count === armed) throw new DriverError('out of memory');
        return allocate(...sizes);
      };
      const vfio = unlessExpected(() => guest.core.open(device));
      if (vfio !== undefined) {
        guest.smmu.bind(DEVFN, vfio);
        guest.smmu.unbind(DEVFN);
        guest.core.close(vfio);
      }
      expect([guest.kinds(), host.allocator.freeBytes], `allocation ${armed}`).toEqual([['ioas'], free]);
      return count;
    };
    const total = bindAt(Number.POSITIVE_INFINITY);
    expect(total).toBeGreaterThan(2);
    for (let armed = 1; armed <= total; armed++) bindAt(armed);
  });

  test('C11, C12, C13, C22: unbind attaches to the nesting parent; the last device takes the objects along', () => {
    const { host, guest, vfio, access } = setUp();
    const other = guest.core.open(host.kernel.probe('disk', OTHER_SID));
    guest.smmu.unbind(DEVFN);
    for (let round = 0; round < 2; round++) {
      guest.smmu.bind(DEVFN, vfio);
      guest.smmu.bind(DEVFN + 8, other);
      guest.smmu.unbind(DEVFN);
      expect(guest.attachedTo(vfio)).toBe('nesting parent');
      expect(access(GUEST_RAM + 0x40)).toBe(0x40);
      expect(guest.kinds()).toContain('viommu');
      guest.smmu.unbind(DEVFN + 8);
      expect(guest.kinds()).not.toContain('viommu');
      expect(guest.kinds()).not.toContain('hwpt-nested');
    }
    expect(guest.trace.slice(0, 4)).toEqual([
      `bound 16 ${vfio.devID}`,
      `bound 24 ${other.devID}`,
      `unbound 16 ${vfio.devID}`,
      `unbound 24 ${other.devID}`,
    ]);
  });

  test('C11: when the nesting parent cannot be attached this is reported, the device is blocked, and the rest goes on', () => {
    let fails = false;
    const { guest, vfio, access } = setUpTranslating((point) => fails && point === 'attach');
    fails = true;
    guest.smmu.unbind(DEVFN);
    expect(guest.errors).toEqual([
      expect.stringContaining(`device ${vfio.devID} cannot be attached to the nesting parent`),
    ]);
    expect(guest.kinds()).toEqual(['ioas', 'device', 'hwpt-paging']);
    expect(access(GUEST_RAM)).toBeUndefined();
  });

  test('C14: unbind frees the nested HWPT, the vDEVICE, the queue, bypass, abort and the vIOMMU, in that order', () => {
    const { guest } = setUpTranslating();
    const destroyed = watchDestruction(guest);
    guest.smmu.unbind(DEVFN);
    expect(destroyed).toEqual(['translate', 'vdevice', 'veventq', 'bypass', 'abort', 'viommu']);
  });
});

describe("the guest's registers", () => {
  test('C15: GBPA, SMMUEN and reset attach every device anew', () => {
    const { guest, vfio, access, driver } = setUpTranslating();
    expect([guest.attachedTo(vfio), access(0x1040)]).toEqual(['translate', 0x5040]);
    driver.disable();
    expect([guest.attachedTo(vfio), access(GUEST_RAM + 0x40)]).toEqual(['bypass', 0x40]);
    setGbpa(guest, true);
    expect([guest.attachedTo(vfio), access(GUEST_RAM + 0x40)]).toEqual(['abort', undefined]);
    driver.enable();
    expect([guest.attachedTo(vfio), access(0x1040)]).toEqual(['translate', 0x5040]);
    guest.smmu.reset();
    expect([guest.attachedTo(vfio), access(GUEST_RAM + 0x40)]).toEqual(['bypass', 0x40]);
  });

  test('C15: events of accesses that end while SMMUEN goes to 0 are recorded, and of later ones none', () => {
    let late = () => {};
    const { guest, access, driver, host } = setUpTranslating((point) => {
      if (point === 'attach') late();
      return false;
    });
    late = () => host.tbu.translate(request(SID, 0x2000));
    driver.disable();
    late = () => {};
    expect(guest.register('EVENTQ_PROD')).toBe(1);
    setGbpa(guest, true);
    access(0x2000);
    expect(eventsOf(driver)).toEqual([[F_TRANSLATION, 8]]);
  });

  test('C15: one device that cannot be attached does not keep the others from it, nor the write from completing', () => {
    let failing = 0;
    const { host, guest, vfio } = setUp((point) => point === 'attach' && failing-- > 0);
    const others = [1, 2].map((index) =>
      guest.core.open(host.kernel.probe(`disk${index}`, OTHER_SID + index)),
    );
    for (const [index, one] of [vfio, ...others].entries()) guest.smmu.bind(DEVFN + index, one);
    // The first attachment, and the one to abort in its place.
    failing = 2;
    setGbpa(guest, true);
    expect(guest.register('GBPA')).toBe(GBPA_ABORT);
    expect([vfio, ...others].map((one) => guest.attachedTo(one))).toEqual(['blocked', 'abort', 'abort']);
    expect(guest.errors).toHaveLength(1);
  });

  test('C16: GBPA changes nothing while SMMUEN is 1', () => {
    const { guest, vfio, access } = setUpTranslating();
    setGbpa(guest, true);
    expect([guest.attachedTo(vfio), access(0x1040)]).toEqual(['translate', 0x5040]);
  });

  test('C7, E10: the vDEVICE comes with the first STE that counts, and the device is attached all the time', () => {
    const seen: string[] = [];
    let watched: { guest: Guest; vfio: VfioDevice } | undefined;
    const made = setUp((point) => {
      if (watched !== undefined) seen.push(`${point}: ${watched.guest.attachedTo(watched.vfio)}`);
      return false;
    });
    const { guest, vfio } = made;
    guest.smmu.bind(DEVFN, vfio, 8);
    expect(guest.kinds()).not.toContain('vdevice');
    const { iommufd } = guest.core;
    iommufd.detach = () => seen.push('detached');
    watched = made;
    guest.driver().enable();
    expect(guest.kinds()).toContain('vdevice');
    expect(seen.slice(seen.indexOf('veventq: bypass'))).toEqual([
      'veventq: bypass',
      'vdevice: bypass',
      'hwpt-nested: bypass',
      'attach: bypass',
      'invalidate: invalid',
    ]);
  });
});

describe("the guest's STEs", () => {
  test('C17: CFGI_STE installs what the STE says, and frees the old HWPT after the new one is attached', () => {
    const { guest, vfio, access, driver, context } = setUpTranslating();
    const nested = () => guest.kinds().filter((kind) => kind === 'hwpt-nested').length;
    expect(nested()).toBe(3);
    driver.abort(8);
    expect([guest.attachedTo(vfio), access(0x1040), nested()]).toEqual(['abort', undefined, 2]);
    driver.bypass(8);
    expect([guest.attachedTo(vfio), access(GUEST_RAM + 0x40), nested()]).toEqual(['bypass', 0x40, 2]);
    driver.attach(8, context);
    expect([guest.attachedTo(vfio), access(0x1040), nested()]).toEqual(['translate', 0x5040, 3]);
    driver.detach(8);
    expect([guest.attachedTo(vfio), access(0x1040), nested()]).toEqual(['invalid', undefined, 3]);
    expect(eventsOf(driver)).toEqual([[C_BAD_STE, 8]]);
    driver.attach(8, context);
    driver.commands.sync([cfgiAll(NON_SECURE)]);
    expect([guest.attachedTo(vfio), access(0x1040), nested()]).toEqual(['translate', 0x5040, 3]);
  });

  test('C17: between translation and bypass no access aborts, for MEV of the physical STE decides nothing', () => {
    const { host, driver, context } = setUpTranslating();
    driver.map(context, BigInt(GUEST_RAM), GUEST_RAM, 0x1000, RW);
    const { commands } = host.kernel.driver;
    const sync = commands.sync.bind(commands);
    const outcomes: number[] = [];
    commands.sync = (...words) => {
      outcomes.push(host.tbu.translate(request(SID, GUEST_RAM)));
      sync(...words);
    };
    driver.bypass(8);
    driver.attach(8, context);
    driver.disable();
    driver.enable();
    expect(outcomes.length).toBeGreaterThan(8);
    expect(new Set(outcomes)).toEqual(new Set([OK]));
  });

  // Of the two CFGI_STEs of the driver, the second changes the stream.
  test.each([
    ['hwpt-nested', 1],
    ['attach', 2],
  ] as const)('C17: the device aborts when %s number %i fails', (point, nth) => {
    let left = Number.POSITIVE_INFINITY;
    const { guest, vfio, access, driver, context } = setUpTranslating((at) => at === point && --left === 0);
    driver.bypass(8);
    left = nth;
    driver.attach(8, context);
    expect([guest.attachedTo(vfio), access(0x1040)]).toEqual(['abort', undefined]);
    expect(guest.errors).toEqual([expect.stringContaining('aborts, for it cannot be attached')]);
    driver.commands.sync([cfgiAll(NON_SECURE)]);
    expect([guest.attachedTo(vfio), access(0x1040)]).toEqual(['translate', 0x5040]);
  });

  test("C18: fields that are not the guest's have no effect, those without a feature neither", () => {
    const { guest, access, driver, vfio } = setUpTranslating();
    const before = guest.memory.load64(steAddress(guest) + 8);
    const words = encode(STE, { S2FWB: 1, MEV: 1, SHCFG: 3, MTCFG: 1, STRW: 3, EATS: 1, CONT: 3 });
    guest.memory.store64(steAddress(guest) + 8, before | (BigInt(words[3]!) << 32n) | BigInt(words[2]!));
    driver.commands.sync([cfgiAll(NON_SECURE)]);
    expect([guest.attachedTo(vfio), access(0x1040)]).toEqual(['translate', 0x5040]);
  });

  test('CFGI_STE takes the CDs along, also where the STE is the one that it was (IHI 0070 4.3.1)', () => {
    const { guest, access, driver, context } = setUpTranslating();
    expect(access(0x1040)).toBe(0x5040);
    // V is bit 31.
    guest.memory.store64(context.cd, guest.memory.load64(context.cd) & ~0x8000_0000n);
    expect(access(0x1040)).toBe(0x5040);
    driver.commands.sync([cfgiSTE(8, NON_SECURE, true)]);
    expect(access(0x1040)).toBeUndefined();
    expect(eventsOf(driver)).toEqual([[C_BAD_CD, 8]]);
  });

  test('a StreamID beyond the Stream table is reported as C_BAD_STREAMID, with the StreamID of the guest', () => {
    const { guest, vfio, access } = setUp();
    guest.smmu.bind(DEVFN, vfio, 0x4321);
    const driver = guest.driver();
    driver.enable();
    access(0x1040);
    expect(eventsOf(driver)).toEqual([[C_BAD_STREAMID, 0x4321]]);
  });

  test('E6: StreamID 0 translates, is invalidated and faults like any other', () => {
    const { guest, vfio, access } = setUp();
    guest.smmu.bind(DEVFN, vfio, 0);
    const driver = guest.driver();
    driver.enable();
    const context = driver.createContext({ granule: '4KiB', inputBits: 39 });
    driver.map(context, 0x1000n, GUEST_RAM + 0x5000, 0x1000, RW);
    driver.attach(0, context);
    expect(access(0x1040)).toBe(0x5040);
    driver.unmap(context, 0x1000n, 0x1000);
    expect(access(0x1040)).toBeUndefined();
    expect(eventsOf(driver)).toEqual([[F_TRANSLATION, 0]]);
  });

  test('a bus that is numbered anew: the old StreamID leads nowhere, the new one has its STE at once', () => {
    const { guest, vfio, access, driver, context } = setUpTranslating();
    driver.bypass(0x18);
    guest.smmu.renumber(DEVFN, 0x18);
    expect([guest.attachedTo(vfio), access(GUEST_RAM + 0x40)]).toEqual(['bypass', 0x40]);
    driver.attach(0x18, context);
    expect(access(0x1040)).toBe(0x5040);
    driver.abort(8);
    expect(access(0x1040)).toBe(0x5040);
    guest.smmu.renumber(DEVFN, undefined);
    expect([guest.attachedTo(vfio), access(0x1040)]).toEqual(['abort', undefined]);
    guest.smmu.renumber(DEVFN, 0x18);
    driver.unmap(context, 0x1000n, 0x1000);
    access(0x1040);
    expect(eventsOf(driver)).toEqual([[F_TRANSLATION, 0x18]]);
    guest.smmu.unbind(DEVFN);
    expect(guest.kinds()).toEqual(['ioas', 'device', 'hwpt-paging']);
  });

  test('C8, E10: a function that counts its bus is another one from then on, and the old one is free', () => {
    const { host, guest, access, driver, context } = setUpTranslating();
    driver.attach(0x18, context);
    guest.smmu.renumber(DEVFN, 0x18, 0x2118);
    expect(access(0x1040)).toBe(0x5040);
    driver.attach(8, context);
    const other = guest.core.open(host.kernel.probe('disk', OTHER_SID));
    guest.smmu.bind(DEVFN, other, 8);
    expect(access(0x1040, OTHER_SID)).toBe(0x5040);
    guest.smmu.unbind(0x2118);
    expect([access(0x1040), access(0x1040, OTHER_SID)]).toEqual([undefined, 0x5040]);
  });

  test('what an access caused before its StreamID changed is recorded under the old one', () => {
    const { guest, access, driver } = setUpTranslating();
    driver.abort(8);
    driver.detach(8);
    access(0x1040);
    guest.smmu.renumber(DEVFN, 0x18);
    access(0x1040);
    expect(eventsOf(driver)).toEqual([
      [C_BAD_STE, 8],
      [C_BAD_STE, 0x18],
    ]);
  });

  test('hotplug: a device that comes while the SMMU translates follows its STE from the start', () => {
    const { host, guest, access, driver, context } = setUpTranslating();
    driver.attach(0x20, context);
    const other = guest.core.open(host.kernel.probe('disk', OTHER_SID));
    guest.smmu.bind(0x20, other, 0x20);
    expect(access(0x1040, OTHER_SID)).toBe(0x5040);
    guest.smmu.unbind(0x20);
    guest.core.close(other);
    expect(access(0x1040, OTHER_SID)).toBeUndefined();
    expect(access(0x1040)).toBe(0x5040);
  });
});

describe('invalidations', () => {
  test('commands are issued together up to a CMD_SYNC, and CMDQ_CONS stops at the one that failed', () => {
    let left = Number.POSITIVE_INFINITY;
    const { guest, driver, context, access } = setUpTranslating(
      (point) => point === 'invalidate' && --left === 0,
    );
    expect(access(0x1040)).toBe(0x5040);
    const start = guest.register('CMDQ_CONS');
    left = 3;
    const commands = [tlbiNHASID(0, 7), tlbiNHASID(0, 8), tlbiNHASID(0, context.ASID), tlbiNSNHAll()];
    expect(() => driver.commands.sync(commands)).toThrow('CERROR_ILL');
    // The driver has put a CMD_SYNC in the place of the culprit; what follows is carried out.
    driver.commands.sync();
    expect(guest.register('CMDQ_CONS') & 0x1ff).toBe((start + 6) & 0x1ff);
    expect(guest.errors).toEqual([expect.stringContaining('an invalidation failed: EIO')]);
  });

  test('a failure before a CFGI_STE keeps it from being carried out', () => {
    let failing = false;
    const { guest, vfio, driver } = setUpTranslating((point) => failing && point === 'invalidate');
    const pa = steAddress(guest);
    guest.memory.store64(pa, guest.memory.load64(pa) & ~0xen);
    failing = true;
    expect(() => driver.commands.sync([tlbiNSNHAll(), cfgiAll(NON_SECURE)])).toThrow(CommandError);
    expect(guest.attachedTo(vfio)).toBe('translate');
    failing = false;
    driver.commands.sync();
    expect(guest.attachedTo(vfio)).toBe('abort');
  });

  test('RES0 fields of a guest without range invalidation do not reach a host that has it', () => {
    const { guest, vfio } = setUp(undefined, { IDR3: { RIL: 0 } });
    guest.smmu.bind(DEVFN, vfio, 8);
    const driver = guest.driver();
    driver.enable();
    const command = tlbiNHASID(0, 1);
    command[0] = 0x12 | (31 << 12);
    command[2] = 3 << 10;
    driver.commands.sync([command]);
    expect(guest.errors).toEqual([]);
  });
});

describe('what a guest can tell from an emulated SMMU', () => {
  test("a table that is no memory: the access aborts, and the event is the host's", () => {
    const { host, guest, access, driver, context } = setUpTranslating();
    guest.memory.store64(context.tables.root, 0x40_0000_0003n);
    driver.commands.sync([tlbiNSNHAll()]);
    expect(access(0x1040)).toBeUndefined();
    expect(eventsOf(driver)).toEqual([]);
    expect([...host.kernel.dropped]).toEqual([['stage 2', 1]]);
  });

  test('an STE that becomes valid without a CMD_CFGI_STE is not seen', () => {
    const { guest, access, driver } = setUpTranslating();
    const first = guest.memory.load64(steAddress(guest));
    driver.detach(8);
    guest.memory.store64(steAddress(guest), first);
    expect(access(0x1040)).toBeUndefined();
    driver.commands.sync([cfgiAll(NON_SECURE)]);
    expect(access(0x1040)).toBe(0x5040);
  });

  test('under GBPA, an access with a SubstreamID aborts', () => {
    const { host, guest, vfio } = setUp();
    guest.smmu.bind(DEVFN, vfio);
    const txn = Object.assign(request(SID, GUEST_RAM), { SubstreamID: 1 });
    expect(host.tbu.translate(txn)).not.toBe(OK);
    guest.smmu.runToIdle();
    expect(guest.register('EVENTQ_PROD')).toBe(0);
  });
});

/** What is destroyed from now on, in order: nested HWPTs by what they do, others by their kind. */
function watchDestruction(guest: Guest): readonly string[] {
  const { objects } = guest.core.iommufd;
  const destroy = objects.destroy.bind(objects);
  const destroyed: string[] = [];
  objects.destroy = (id) => {
    const object = objects.find(id);
    destroyed.push(String(object.content().config ?? object.kind));
    destroy(id);
  };
  return destroyed;
}

/** Does something that a fault may keep from being done. */
function unlessExpected<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof BindError || error instanceof CommandError || error instanceof IommufdError)
      return undefined;
    throw error;
  }
}

/** The guest's STE of StreamID 8, by its Stream table. */
function steAddress(guest: Guest): number {
  const base = guest.register('STRTAB_BASE') & ~0x3f;
  const first = guest.memory.load64(base);
  return Number(first & 0xff_ffff_ffff_ffc0n) + 8 * 64;
}
