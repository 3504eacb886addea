/** Buses that software numbers anew while the machine runs and devices do DMA. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { loadMachine } from '../../src/machine/load.js';
import type { DeviceInstance, WorkloadStep } from '../../src/machine/types.js';
import { type RunningMachine, startMachine } from '../../src/runtime/coordinator.js';
import { PlugError } from '../../src/runtime/hotplug.js';
import { DEVICE_ACCESSES } from '../../src/runtime/shared/control.js';
import type { DeviceResult, LaneResult } from '../../src/runtime/threads/dma-lane.js';
import { EVENT_RECORDS } from '../spec-structures.js';

const C_BAD_STE = EVENT_RECORDS.C_BAD_STE.number;
const F_TRANSLATION = EVENT_RECORDS.F_TRANSLATION.number;
const SIZE = 0x1000;
const ACCESSES = SIZE / 512;

/** Buses 0x20 to 0x23 have StreamIDs, and bus 0x30 has some that the software's Stream table has no room for. */
const EMULATED = `machine: m
memory: [{ id: ram, base: 0x40000000, size: 64MiB }]
buses:
  - { id: pcie.0, type: pcie }
  - { id: pcie.1, type: pxb-pcie, bus-nr: 0x20 }
  - { id: rp1, type: pcie-root-port, bus: pcie.1, addr: "00.0", secondary: 0x21, subordinate: 0x21 }
  - { id: rp2, type: pcie-root-port, bus: pcie.1, addr: "01.0", secondary: 0x23 }
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, stage: "1" }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, stage: "1", sidsize: 17, stall-model: stall }
id-maps:
  - { bus: pcie.1, smmu: smmu1, rid-base: 0x2000, count: 0x100, sid-base: 0 }
  - { bus: pcie.1, smmu: smmu1, rid-base: 0x2100, count: 0x100, sid-base: 0x1000 }
  - { bus: pcie.1, smmu: smmu1, rid-base: 0x2200, count: 0x100, sid-base: 0x1008 }
  - { bus: pcie.1, smmu: smmu1, rid-base: 0x2300, count: 0x100, sid-base: 0x3000 }
  - { bus: pcie.1, smmu: smmu1, rid-base: 0x3000, count: 0x100, sid-base: 0x10000 }
  - { bus: pcie.1, smmu: smmu0, rid-base: 0x3100, count: 0x100, sid-base: 0x3100 }
devices:
  - { id: a, type: dma-engine, bus: rp1, addr: "00.0" }
  - { id: b, type: dma-engine, bus: rp1, addr: "01.0" }
  - { id: c, type: dma-engine, bus: rp2, addr: "00.0" }
software:
  - { device: a, mappings: [{ iova: 0x10000, size: 64KiB }] }
  - { device: b, mappings: [{ iova: 0x10000, size: 64KiB }] }
`;

/** Two devices of the host, each below a port of one guest's SMMU. */
const ACCELERATED = readFileSync(new URL('../../machines/accelerated.yaml', import.meta.url), 'utf8')
  .replace(
    '  - { id: pcie.b,',
    `  - { id: rp1, type: pcie-root-port, bus: pcie.a, addr: "01.0", secondary: 0x21 }
  - { id: rp2, type: pcie-root-port, bus: pcie.a, addr: "02.0", secondary: 0x23 }
  - { id: pcie.b,`,
  )
  .replace('{ id: nic-a, type: vfio-pci, bus: pcie.a,', '{ id: nic-a, type: vfio-pci, bus: rp1,')
  .replace(
    'devices:\n',
    'devices:\n  - { id: gpu, type: dma-engine, bus: pcie.0, addr: "04.0" }\n' +
      '  - { id: gpu-a, type: vfio-pci, bus: rp2, addr: "00.0", host: gpu }\n',
  );

const step = (op: WorkloadStep['op'], more: Partial<WorkloadStep> = {}): WorkloadStep => ({
  ...{ device: '', op, iova: 0x10000n, sizeBytes: SIZE, blockBytes: 512, repeat: 1, pattern: 7 },
  ...{ expect: 'ok', ...more },
});
const outcomes = ({ steps }: DeviceResult) => steps.map(({ aborts, mismatches }) => [aborts, mismatches]);
const streams = (devices: readonly DeviceInstance[] | undefined) =>
  devices?.map(({ id, bdf, StreamID }) => [id, bdf, StreamID]);

let running: RunningMachine | undefined;

afterEach(async () => {
  await running?.close();
  running = undefined;
});

async function start(text: string): Promise<RunningMachine> {
  const { machine, diagnostics } = loadMachine(text, 'm.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  running = await startMachine(machine, { lanes: 1 });
  await running.bootSoftware();
  return running;
}

/** Waits until a device of the machine file has made further accesses. */
async function progress(of: RunningMachine, id: string): Promise<void> {
  const { control } = of.view;
  const at = control.offsets.devices[of.machine.devices.findIndex((device) => device.id === id)]!;
  const from = control.statistic(at, DEVICE_ACCESSES);
  for (let tries = 0; control.statistic(at, DEVICE_ACCESSES) < from + 100; tries++) {
    if (tries === 10_000) throw new Error('the device stands still');
    await of.supervisor.guard(new Promise((resolve) => setTimeout(resolve, 1)));
  }
}

/** The software's records, in their order: event number, StreamID, how many. */
async function eventsOf(machine: RunningMachine, drained: ReturnType<RunningMachine['drainSoftware']>) {
  machine.requestStop();
  const { events } = await drained;
  expect(machine.supervisor.failure).toBeUndefined();
  return events.map(({ words, count }) => [words[0]! & 0xff, words[1], count]);
}

describe('A19: a bus is numbered anew while its devices do DMA', () => {
  test('streams go on under new StreamIDs, without an abort; of the old ones nothing is left', async () => {
    const machine = await start(EMULATED);
    const drained = machine.drainSoftware();
    const endless = [step('fill', { repeat: 1e12 })];
    const lane = machine.runLane<LaneResult>(0, {
      shared: machine.shared,
      lane: 0,
      work: [{ device: 0, steps: endless }],
    });
    const own = machine.runDevice('b', endless);
    await progress(machine, 'a');
    await progress(machine, 'b');
    const { devices, diagnostics } = await machine.renumberBus('rp1', 0x22);
    expect(diagnostics).toEqual([]);
    // b had 0x1008, which is a's now.
    const now = [
      ['a', '22:00.0', 0x1008],
      ['b', '22:01.0', 0x1010],
    ];
    expect(streams(devices)).toEqual(now);
    expect(streams(machine.devices)).toEqual([...now, ['c', '23:00.0', 0x3000]]);
    await progress(machine, 'a');
    await progress(machine, 'b');
    await machine.unplugDevice('b');
    expect(outcomes(await own)).toEqual([[0, 0]]);
    // The number is free. Whoever gets it finds no stream; b's stream ended under its new StreamID.
    await machine.renumberBus('rp2', 0x21);
    expect(outcomes(await machine.runDevice('c', [step('read')]))).toEqual([[ACCESSES, 0]]);
    await machine.plugDevice('{ id: d, type: dma-engine, bus: rp1, addr: "01.0" }');
    expect(outcomes(await machine.runDevice('d', [step('read')]))).toEqual([[ACCESSES, 0]]);
    expect(await eventsOf(machine, drained)).toEqual([
      [C_BAD_STE, 0x1000, ACCESSES],
      [C_BAD_STE, 0x1010, ACCESSES],
    ]);
    expect((await lane).devices.map(outcomes)).toEqual([[[0, 0]]]);
  });

  test('a device has the memory that it had, also one that bypasses, and back again', async () => {
    const machine = await start(EMULATED);
    const drained = machine.drainSoftware();
    await machine.programStream('{ device: c, config: bypass }');
    const bypassed = { iova: 0x4300_0000n };
    await machine.runDevice('a', [step('fill')]);
    await machine.runDevice('c', [step('fill', bypassed)]);
    for (const [bus, number, id, more] of [
      ['rp1', 0x22, 'a', {}],
      ['rp2', 0x21, 'c', bypassed],
      ['rp2', 0x23, 'c', bypassed],
      ['rp1', 0x21, 'a', {}],
    ] as const) {
      expect((await machine.renumberBus(bus, number)).diagnostics).toEqual([]);
      expect(outcomes(await machine.runDevice(id, [step('check', more)]))).toEqual([[0, 0]]);
    }
    expect(machine.devices).toEqual(machine.machine.devices);
    expect(await eventsOf(machine, drained)).toEqual([]);
  });

  test('an access that is stalled is answered first, and recorded under the StreamID that it had', async () => {
    const machine = await start(EMULATED);
    await machine.renumberBus('rp1', 0x22);
    await machine.programStream('{ device: c, faults: stall, mappings: [{ iova: 0x10000, size: 64KiB }] }');
    const dma = machine.runDevice('c', [
      step('read', { iova: 0x9000_0000n, sizeBytes: 512 }),
      step('fill'),
      step('read', { iova: 0x9000_0000n, sizeBytes: 512 }),
    ]);
    for (let tries = 0; machine.port(1).read32(0x100a8) === 0; tries++) {
      if (tries === 5000) throw new Error('no stall');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const renumbered = machine.renumberBus('rp2', 0x21);
    const drained = machine.drainSoftware();
    expect(streams((await renumbered).devices)).toEqual([['c', '21:00.0', 0x1000]]);
    expect(outcomes(await dma)).toEqual([
      [1, 0],
      [0, 0],
      [1, 0],
    ]);
    expect(await eventsOf(machine, drained)).toEqual([
      [F_TRANSLATION, 0x3000, 1],
      [F_TRANSLATION, 0x1000, 1],
    ]);
  });

  test('what the rules of the machine file refuse changes nothing', async () => {
    const machine = await start(EMULATED);
    for (const [bus, number, code, path] of [
      ['rp1', 0x23, 'bus-number-clash', 'buses.rp1.secondary'],
      ['rp1', 0x20, 'bus-number-clash', 'buses.rp1.secondary'],
      ['rp1', 0x24, 'idmap-gap', 'devices.a.addr'],
      ['rp1', 0x100, 'schema', 'buses.rp1.secondary'],
      ['rp9', 0x24, 'unknown-reference', 'buses.rp9'],
    ] as const) {
      const { devices, diagnostics } = await machine.renumberBus(bus, number);
      expect(devices).toBeUndefined();
      expect(diagnostics).toContainEqual(expect.objectContaining({ code, path }));
      expect(machine.devices).toEqual(machine.machine.devices);
    }
    expect(outcomes(await machine.runDevice('a', [step('fill'), step('check')]))).toEqual([
      [0, 0],
      [0, 0],
    ]);
    expect((await machine.renumberBus('rp1', 0x22)).diagnostics).toEqual([]);
  });

  test('a StreamID beyond SIDSIZE is refused, and one that the Stream table has no room for', async () => {
    const identity = EMULATED.replace(/id-maps:\n( {2}- \{ bus: pcie.1.*\n)*/, '').replace(
      'sidsize: 17',
      'sidsize: 14',
    );
    const small = await start(identity);
    const { diagnostics } = await small.renumberBus('rp2', 0x40);
    expect(diagnostics).toMatchObject([{ code: 'streamid-out-of-range', path: 'devices.c.addr' }]);
    expect(small.devices).toEqual(small.machine.devices);
    await small.close();

    const machine = await start(EMULATED);
    await machine.runDevice('a', [step('fill')]);
    await expect(machine.renumberBus('rp1', 0x30)).rejects.toThrow(
      new PlugError("bus 'rp1': StreamID 0x10000 does not fit in 16 bits"),
    );
    await expect(machine.renumberBus('rp1', 0x31)).rejects.toThrow(/'a' would be behind another SMMU/);
    expect(machine.devices).toEqual(machine.machine.devices);
    expect(outcomes(await machine.runDevice('a', [step('check')]))).toEqual([[0, 0]]);
    const { device } = await machine.plugDevice('{ id: d, type: dma-engine, bus: rp1, addr: "02.0" }');
    expect(device?.bdf).toBe('21:02.0');
  });

  test('meanwhile nothing else is done with its devices or with the numbers', async () => {
    const machine = await start(EMULATED);
    const dma = machine.runDevice('a', [step('fill', { repeat: 1e12 })]);
    const renumbered = machine.renumberBus('rp1', 0x22);
    const busy = new PlugError("device 'a' is busy: its bus is being renumbered");
    await expect(machine.unplugDevice('a')).rejects.toThrow(busy);
    await expect(machine.renumberBus('rp2', 0x22)).rejects.toThrow("bus 'rp1' is being renumbered");
    await expect(machine.plugDevice('{ id: d, type: dma-engine, bus: rp1, addr: "02.0" }')).rejects.toThrow(
      "bus 'rp1' is being renumbered",
    );
    await renumbered;
    await machine.unplugDevice('a');
    expect(outcomes(await dma)).toEqual([[0, 0]]);
  });
});

describe('a bus of a guest, whose devices are passed through', () => {
  const vdevices = async (machine: RunningMachine) => {
    const { objects } = (await machine.iommufds()).find(({ memory }) => memory === 'guest-a')!;
    return objects.filter(({ kind }) => kind === 'vdevice').map(({ content }) => content.virtualID);
  };

  test('E10, E11: the vDEVICE has the new StreamID; whoever comes to the old one has no stream there', async () => {
    const machine = await start(ACCELERATED);
    const drained = machine.drainSoftware();
    const inReach = { iova: 0x1000_0000n };
    const dma = machine.runDevice('nic-a', [step('fill', { ...inReach, repeat: 1e12 })]);
    await progress(machine, 'nic-a');
    const { devices } = await machine.renumberBus('rp1', 0x24);
    expect(devices).toMatchObject([{ id: 'nic-a', StreamID: 0x2400, host: { id: 'nic', StreamID: 0x10 } }]);
    expect(await vdevices(machine)).toEqual(expect.arrayContaining(['0x2300', '0x2400']));
    await progress(machine, 'nic-a');
    // The other port gets its number, and the other device its Requester ID.
    expect((await machine.renumberBus('rp2', 0x21)).devices).toMatchObject([
      { id: 'gpu-a', StreamID: 0x2100 },
    ]);
    expect(outcomes(await machine.runDevice('gpu-a', [step('read', inReach)]))).toEqual([[ACCESSES, 0]]);
    await machine.programStream('{ device: gpu-a, mappings: [{ iova: 0x10000, size: 64KiB }] }');
    expect(outcomes(await machine.runDevice('gpu-a', [step('fill'), step('check')]))).toEqual([
      [0, 0],
      [0, 0],
    ]);
    await progress(machine, 'nic-a');
    await machine.unplugDevice('nic-a');
    expect(outcomes(await dma)).toEqual([[0, 0]]);
    expect(await vdevices(machine)).toEqual(['0x2100']);
    const again = await machine.plugDevice(
      '{ id: nic-x, type: vfio-pci, bus: rp1, addr: "00.0", host: nic }',
    );
    expect(again.device).toMatchObject({ StreamID: 0x2400 });
    expect(outcomes(await machine.runDevice('nic-x', [step('read', inReach)]))).toEqual([[ACCESSES, 0]]);
    // What these accesses caused is told under the StreamID that they had.
    await machine.renumberBus('rp1', 0x26);
    expect(await eventsOf(machine, drained)).toEqual([
      [C_BAD_STE, 0x2100, ACCESSES],
      [C_BAD_STE, 0x2400, ACCESSES],
    ]);
  });

  test("E11: two devices of a bus of which one has the other's StreamID afterwards", async () => {
    const maps = `id-maps:
  - { bus: rp1, smmu: smmu-a, rid-base: 0x2100, count: 0x100, sid-base: 0 }
  - { bus: rp1, smmu: smmu-a, rid-base: 0x2400, count: 0x100, sid-base: 8 }
`;
    const text = ACCELERATED.replace('bus: rp2, addr: "00.0", host', 'bus: rp1, addr: "01.0", host');
    const machine = await start(`${text}${maps}`);
    await machine.programStream('{ device: gpu-a, mappings: [{ iova: 0x10000000, size: 64KiB }] }');
    const works = async () => {
      for (const id of ['nic-a', 'gpu-a']) {
        const steps = [step('fill', { iova: 0x1000_0000n }), step('check', { iova: 0x1000_0000n })];
        expect(outcomes(await machine.runDevice(id, steps))).toEqual([
          [0, 0],
          [0, 0],
        ]);
      }
    };
    await works();
    expect((await vdevices(machine)).toSorted()).toEqual(['0x0', '0x8']);
    await machine.renumberBus('rp1', 0x24);
    expect((await vdevices(machine)).toSorted()).toEqual(['0x10', '0x8']);
    await works();
    await machine.renumberBus('rp1', 0x21);
    await works();
  });

  test("the host's bus keeps its number while a guest has one of its devices; refusals change nothing", async () => {
    const machine = await start(ACCELERATED);
    await expect(machine.renumberBus('pcie.0', 0x01)).rejects.toThrow(
      /'gpu' is a guest's: there it is 'gpu-a'/,
    );
    const { diagnostics } = await machine.renumberBus('rp1', 0x23);
    expect(diagnostics).toMatchObject([{ code: 'bus-number-clash', path: 'buses.rp1.secondary' }]);
    expect(machine.devices).toEqual(machine.machine.devices);
    const steps = [step('fill', { iova: 0x1000_0000n })];
    expect(outcomes(await machine.runDevice('nic-a', steps))).toEqual([[0, 0]]);
  });
});
