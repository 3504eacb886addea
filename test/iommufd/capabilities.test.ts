/** What an accelerated SMMU promises its guest, and what the host below a device must have for it. */
import { describe, expect, test } from 'vitest';
import { resolveAuto } from '../../src/iommufd/vsmmu/capabilities.js';
import { Guest, guestIdRegisters, Host, type IdChoices, idRegisters } from './bench.js';

const SID = 0x108;
const DEVFN = 0x10;

describe('capabilities', () => {
  test.each<[string, IdChoices, IdChoices, string]>([
    ['ST_LEVEL', { IDR0: { ST_LEVEL: 0 } }, {}, '2-level for the guest, linear on the host'],
    ['TTF', {}, { IDR0: { TTF: 3 } }, 'AArch32 and AArch64 for the guest, AArch64 on the host'],
    ['TTENDIAN', {}, { IDR0: { TTENDIAN: 3 } }, 'big for the guest, little on the host'],
    [
      'SIDSIZE',
      { IDR1: { SIDSIZE: 10 } },
      { IDR1: { SIDSIZE: 16, SSIDSIZE: 0 } },
      '16 for the guest, 10 on the host',
    ],
    ['SSIDSIZE', {}, { IDR1: { SSIDSIZE: 8 } }, '8 for the guest, 4 on the host'],
    ['HTTU', { IDR0: { HTTU: 1 } }, {}, '2 for the guest, 1 on the host'],
    ['TERM_MODEL', { IDR0: { TERM_MODEL: 1 } }, {}, '0 for the guest, 1 on the host'],
    ['RIL', { IDR3: { RIL: 0 } }, {}, '1 for the guest, 0 on the host'],
    ['OAS', { IDR5: { OAS: 2 } }, {}, '44 bits for the guest, 40 bits on the host'],
    ['ATS', {}, { IDR0: { ATS: 1 } }, '1 for the guest, 0 on the host'],
    ['GRAN4K', { IDR5: { GRAN4K: 0 } }, {}, '1 for the guest, 0 on the host'],
    ['GRAN16K', { IDR5: { GRAN16K: 0 } }, {}, '1 for the guest, 0 on the host'],
    ['GRAN64K', { IDR5: { GRAN64K: 0 } }, {}, '1 for the guest, 0 on the host'],
  ])('C20: %s', (name, hostIdr, guestIdr, values) => {
    const host = new Host(1, idRegisters(hostIdr));
    const guest = new Guest(host, 0, guestIdRegisters({ ...guestIdr }));
    const pa = host.guestBase(0);
    expect(pa).toBeGreaterThan(0);
    const vfio = guest.core.open(host.kernel.probe('nic', SID & 0xff));
    const before = guest.core.iommufd.objects.print();
    expect(() => guest.smmu.bind(DEVFN, vfio)).toThrow(name);
    expect(() => guest.smmu.bind(DEVFN, vfio)).toThrow(values);
    expect(guest.core.iommufd.objects.print()).toBe(before);
  });

  test("C21: auto values are the first host's, and a device behind a lesser one is refused later", () => {
    const host = new Host(2);
    const { info } = host.kernel;
    const wanted = guestIdRegisters({
      IDR1: { SSIDSIZE: 0 },
      IDR3: { RIL: 0 },
      IDR5: { OAS: 0 },
      IDR0: { CD2L: 0 },
    });
    const resolved = resolveAuto(wanted, ['oas', 'ssidsize', 'ril', 'ats'], info);
    expect(resolved).toEqual(guestIdRegisters());
    const guest = new Guest(host, 0, resolved);
    guest.smmu.bind(0, guest.core.open(host.kernel.probe('nic', SID)));
    const lesser = new Host(1, idRegisters({ IDR3: { RIL: 0 } }));
    const later = guest.core.open(lesser.kernel.probe('late', SID));
    expect(() => guest.smmu.bind(1, later)).toThrow('RIL');
  });
});
