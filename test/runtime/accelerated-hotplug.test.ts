/** Devices of the host that come to guests of a running machine, leave them, and come to others. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { countMismatches } from '../../src/devices/pattern.js';
import { loadMachine } from '../../src/machine/load.js';
import type { WorkloadStep } from '../../src/machine/types.js';
import { type RunningMachine, startMachine } from '../../src/runtime/coordinator.js';
import { PlugError } from '../../src/runtime/hotplug.js';
import { DirectPort } from '../../src/runtime/in-process-machine.js';
import { shareMachine } from '../../src/runtime/shared/shared-machine.js';
import { Hypervisor } from '../../src/runtime/threads/hypervisor.js';
import { Smmu } from '../../src/smmu/smmu.js';

const IOVA = 0x10000n;
const SIZE = 0x4000;

const TEXT = readFileSync(new URL('../../machines/accelerated.yaml', import.meta.url), 'utf8').replace(
  'devices:\n',
  'devices:\n  - { id: gpu, type: dma-engine, bus: pcie.0, addr: "04.0" }\n',
);
const passed = (id: string, bus: string, addr: string, host: string) =>
  `{ id: ${id}, type: vfio-pci, bus: ${bus}, addr: "${addr}", host: ${host} }`;
const programOf = (device: string) => `{ device: ${device}, mappings: [{ iova: 0x10000, size: 64KiB }] }`;
const step = (op: WorkloadStep['op'], more: Partial<WorkloadStep> = {}): WorkloadStep => ({
  ...{ device: '', op, iova: IOVA, sizeBytes: SIZE, blockBytes: 512, repeat: 1, pattern: 7, expect: 'ok' },
  ...more,
});
const WRITE_AND_CHECK = [step('fill'), step('check')];

function load() {
  const { machine, diagnostics } = loadMachine(TEXT, 'accelerated.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

let running: RunningMachine | undefined;

afterEach(async () => {
  await running?.close();
  running = undefined;
});

async function start() {
  running = await startMachine(load(), { lanes: 1 });
  await running.bootSoftware();
  return { machine: running, drained: running.drainSoftware() };
}

/** Programs a device's stream and has it write. @returns what its guest finds there. */
async function works(machine: RunningMachine, id: string): Promise<Uint8Array> {
  const { mappings } = await machine.programStream(programOf(id));
  const { steps } = await machine.runDevice(id, WRITE_AND_CHECK);
  expect(steps.map(({ aborts, mismatches }) => [aborts, mismatches])).toEqual([
    [0, 0],
    [0, 0],
  ]);
  const bytes = new Uint8Array(4096);
  const { pa, smmu } = mappings![0]!;
  expect(machine.view.spacesOf(smmu)[NON_SECURE].read(pa, bytes, 0, bytes.length)).toBe(true);
  return bytes;
}

/** The names of the host's devices that a guest has. */
async function devicesOf(machine: RunningMachine, memory: string): Promise<unknown[]> {
  const { objects } = (await machine.iommufds()).find((iommufd) => iommufd.memory === memory)!;
  return objects.filter(({ kind }) => kind === 'device').map(({ content }) => content.name);
}

describe('passed through while the machine runs', () => {
  test('to one guest, and after it was unplugged to the other: each time with a StreamID of its own', async () => {
    const { machine, drained } = await start();
    for (const [id, bus, memory, StreamID] of [
      ['gpu-a', 'pcie.a', 'guest-a', 0x2008],
      ['gpu-b', 'pcie.b', 'guest-b', 0x4008],
      ['gpu-c', 'pcie.a', 'guest-a', 0x2008],
    ] as const) {
      const before = await devicesOf(machine, memory);
      const { device, diagnostics } = await machine.plugDevice(passed(id, bus, '01.0', 'gpu'));
      expect(diagnostics).toEqual([]);
      expect(device).toMatchObject({ StreamID, host: { id: 'gpu', StreamID: 0x20 } });
      expect(await devicesOf(machine, memory)).toEqual([...before, 'gpu']);
      const unprogrammed = await machine.runDevice(id, [step('read')]);
      expect(unprogrammed.steps[0]!.aborts).toBe(SIZE / 512);
      expect(countMismatches(7, Number(IOVA), 0, await works(machine, id), 0, 4096)).toBe(0);
      await machine.unplugDevice(id);
      expect(await devicesOf(machine, memory)).toEqual(before);
    }
    machine.requestStop();
    const { events } = await drained;
    // Of the accesses without a stream alone, by the StreamIDs that the guests know.
    expect(new Set(events.map(({ words }) => words[1]))).toEqual(new Set([0x2008, 0x4008]));
    expect(machine.supervisor.failure).toBeUndefined();
  });

  test('what a guest has, the host does not use or unplug, and no other guest gets', async () => {
    const { machine } = await start();
    await machine.plugDevice(passed('gpu-a', 'pcie.a', '01.0', 'gpu'));
    await expect(machine.unplugDevice('gpu')).rejects.toThrow(PlugError);
    await expect(machine.runDevice('gpu', [step('read')])).rejects.toThrow(/a guest's: there it is 'gpu-a'/);
    const { device, diagnostics } = await machine.plugDevice(passed('gpu-b', 'pcie.b', '01.0', 'gpu'));
    expect(device).toBeUndefined();
    expect(diagnostics).toMatchObject([{ code: 'vfio-host' }]);
    await machine.unplugDevice('gpu-a');
    await machine.unplugDevice('gpu');
  });

  // smmu-a has auto values: its only device of the file goes, and they stay (C21).
  test('a device of the machine file goes in the middle of its DMA, and comes back at another address', async () => {
    const { machine } = await start();
    const endless = machine.runDevice('nic-a', [step('fill', { iova: 0x1000_0000n, repeat: 1e12 })]);
    await machine.unplugDevice('nic-a');
    expect((await endless).finished).toBe(false);
    expect(await devicesOf(machine, 'guest-a')).toEqual([]);
    const { device, diagnostics } = await machine.plugDevice(passed('nic-x', 'pcie.a', '03.0', 'nic'));
    expect(diagnostics).toEqual([]);
    expect(device).toMatchObject({ StreamID: 0x2018, host: { id: 'nic' } });
    expect(countMismatches(7, Number(IOVA), 0, await works(machine, 'nic-x'), 0, 4096)).toBe(0);
  });
});

describe('the hypervisor', () => {
  test('a device that a guest has is refused to all, and taking back leaves what was there before', () => {
    const machine = load();
    const { view } = shareMachine(machine, 1);
    const io = { interrupt() {} };
    const smmu = new Smmu(machine.smmus[0]!.config, view.spacesOf(0), io);
    const hypervisor = new Hypervisor(view, 0, new DirectPort(smmu, NON_SECURE), () => ({ io }));
    const { allocator } = hypervisor.host.kernel;
    const before = allocator.freeBytes;
    const nic = machine.devices.find(({ id }) => id === 'nic-a')!;
    const objects = () =>
      hypervisor.iommufds().map(({ objects }) => objects.map(({ kind, users }) => [kind, users]));
    const table = objects();
    expect(hypervisor.passThrough({ ...nic, id: 'other' })).toContain('EEXIST');
    expect(objects()).toEqual(table);
    hypervisor.takeBack(nic);
    expect(objects()[0]).toEqual([['ioas', 0]]);
    // Function 0 of guest b is taken: nothing of the attempt is left.
    const disk = machine.devices.find(({ id }) => id === 'disk-b')!;
    const elsewhere = { ...nic, smmu: disk.smmu, requesterID: disk.requesterID };
    expect(hypervisor.passThrough(elsewhere)).toContain('has device');
    expect(objects()[1]).toEqual(table[1]);
    expect(hypervisor.passThrough(nic)).toBeUndefined();
    expect(objects()).toEqual(table);
    expect(allocator.freeBytes).toBe(before);
  });
});
