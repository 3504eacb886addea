/** Secure memory and Secure streams of whole machines, without threads. */
import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';
import { bootInProcess } from '../../src/runtime/in-process-machine.js';
import { shareMachine } from '../../src/runtime/shared/shared-machine.js';
import { OK, Transaction } from '../../src/smmu/transaction.js';

function machineOf(smmus: string, more = ''): Machine {
  const text = `machine: test
memory:
  - { id: ram, base: 0x40000000, size: 64MiB }
  - { id: sram0, base: 0x0e000000, size: 16MiB, security: secure }
  - { id: sram1, base: 0x0c000000, size: 16MiB, security: secure }
address-spaces:
  system: [ram]
  first: [sram0, ram]
  second: [sram1, ram]
buses: [{ id: pcie.0, type: pcie }, { id: pcie.1, type: pxb-pcie, bus-nr: 0x20 }, { id: pcie.2, type: pxb-pcie, bus-nr: 0x40 }]
smmus:
${smmus}${more}`;
  const { machine, diagnostics } = loadMachine(text, 'test.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics, null, 2));
  return machine;
}

const SMMUS = `  - { id: smmu0, base: 0x09000000, primary-bus: pcie.0, secure-memory: first }
  - { id: smmu1, base: 0x09020000, primary-bus: pcie.1, secure-memory: first }
  - { id: smmu2, base: 0x09040000, primary-bus: pcie.2, secure-memory: second }
`;

test("A15: instances that are wired to one Secure memory see each other's writes there, others do not", () => {
  const { view } = shareMachine(machineOf(SMMUS), 1);
  const secure = (smmu: number) => view.spacesOf(smmu)[SECURE];
  const words = new Int32Array(2);
  expect(secure(0).store(0x0e00_0000, 0x1234, 0x5678)).toBe(true);
  expect(secure(1).load(0x0e00_0000, words, 1)).toBe(true);
  expect([...words]).toEqual([0x1234, 0x5678]);
  expect(secure(2).load(0x0e00_0000, words, 1), 'not wired there').toBe(false);
  expect(secure(2).store(0x0c00_0000, 1, 2)).toBe(true);
  expect(secure(0).load(0x0c00_0000, words, 1)).toBe(false);
  for (const smmu of [0, 1, 2]) {
    expect(view.spacesOf(smmu)[NON_SECURE].load(0x0e00_0000, words, 1), 'nor in Non-secure space').toBe(
      false,
    );
  }
});

describe('A16: the Secure address space of an instance without Secure support', () => {
  const { view } = shareMachine(machineOf('  - { id: smmu0, base: 0x09000000, primary-bus: pcie.0 }\n'), 1);
  const space = view.spacesOf(0)[SECURE];
  const words = new Int32Array(2);
  const bytes = new Uint8Array(8);

  test.each([
    ['load', () => space.load(0x4000_0000, words, 1)],
    ['store', () => space.store(0x4000_0000, 1, 2)],
    ['store32', () => space.store32(0x4000_0000, 1)],
    ['read', () => space.read(0x4000_0000, bytes, 0, 8)],
    ['write', () => space.write(0x4000_0000, bytes, 0, 8)],
  ])('%s is a hard failure that names the instance, and does not reach Non-secure memory', (_, work) => {
    expect(work).toThrow(/assertion: smmu0 selected the Secure address space, which is not wired/);
    view.spacesOf(0)[NON_SECURE].load(0x4000_0000, words, 1);
    expect([...words]).toEqual([0, 0]);
  });
});

describe("A21: SEC_SID is the device's, whatever it accesses", () => {
  const machine = machineOf(
    SMMUS,
    `devices:
  - { id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }
  - { id: hsm0, type: dma-engine, bus: pcie.0, addr: "03.0", sec-sid: secure }
  - { id: nic1, type: dma-engine, bus: pcie.0, addr: "04.0" }
software:
  - { device: nic0, config: bypass }
  - { device: nic1, mappings: [{ iova: 0x08090000, size: 4KiB, pa: 0x40300000 }] }
  - { device: hsm0, mappings: [{ iova: 0x0e000000, size: 4KiB, pa: 0x0e800000 }] }
`,
  );

  function access(device: number, iova: number) {
    const { StreamID, SEC_SID } = machine.devices[device]!;
    const transaction = Object.assign(new Transaction(), { StreamID, SEC_SID, iovaLo: iova, write: true });
    const outcome = bootInProcess(machine)[0]!.tbu.translate(transaction);
    return { ok: outcome === OK, pa: transaction.pa, space: transaction.space };
  }

  test('a Non-secure device at an address of Secure memory stays in the Non-secure space', () => {
    expect(access(0, 0x0e00_0000)).toEqual({ ok: true, pa: 0x0e00_0000, space: NON_SECURE });
    expect(access(1, 0x0e00_0000)).toEqual({ ok: true, pa: 0x0e80_0000, space: SECURE });
  });

  test('an MSI of a device without sec-sid is a Non-secure write like any other', () => {
    expect(access(2, 0x0809_0040)).toEqual({ ok: true, pa: 0x4030_0040, space: NON_SECURE });
  });
});
