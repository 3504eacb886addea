/** A19 with real threads: devices come and go while others do DMA. */
import { afterEach, describe, expect, it } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { countMismatches } from '../../src/devices/pattern.js';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine, WorkloadStep } from '../../src/machine/types.js';
import { type RunningMachine, startMachine } from '../../src/runtime/coordinator.js';
import { PlugError } from '../../src/runtime/hotplug.js';
import { runMachine } from '../../src/runtime/run.js';
import { DEVICE_ACCESSES } from '../../src/runtime/shared/control.js';
import { PLUGGED_DEVICES } from '../../src/runtime/shared/shared-machine.js';
import type { DeviceResult, LaneResult } from '../../src/runtime/threads/dma-lane.js';
import { MachineFailure } from '../../src/runtime/threads/supervisor.js';
import { BOTH_MAPPED, twoSmmus } from './machines.js';

const IOVA = 0x10000n;
const SIZE = 0x4000;
const SECURE_NIC = '{ id: hsm0, type: dma-engine, bus: pcie.0, addr: "03.0", sec-sid: secure }';
const NIC = '{ id: nic9, type: dma-engine, bus: pcie.0, addr: "03.0" }';
const PROGRAM = '{ device: nic9, mappings: [{ iova: 0x10000, size: 64KiB, pa: 0x42000000 }] }';

const STALLS = `machine: m
memory: [{ id: ram, base: 0x40000000, size: 64MiB }]
buses: [{ id: pcie.0, type: pcie }]
smmus: [{ id: smmu0, base: 0x09050000, primary-bus: pcie.0, stall-model: stall }]
`;

const step = (op: WorkloadStep['op'], more: Partial<WorkloadStep> = {}): WorkloadStep => ({
  ...{ device: '', op, iova: IOVA, sizeBytes: SIZE, blockBytes: 512, repeat: 1, pattern: 7, expect: 'ok' },
  ...more,
});
const FOR_EVER = step('fill', { repeat: 1e12 });
const aborts = ({ steps }: DeviceResult) => steps.map((of) => of.aborts);

let running: RunningMachine | undefined;

afterEach(async () => {
  await running?.close();
  running = undefined;
});

async function start(machine: Machine = twoSmmus(BOTH_MAPPED)): Promise<RunningMachine> {
  running = await startMachine(machine, { lanes: 1 });
  await running.bootSoftware();
  return running;
}

/** Waits until a device of the machine file has made further accesses. */
async function progress(of: RunningMachine, device: number): Promise<void> {
  const { control } = of.view;
  const accesses = () => control.statistic(control.offsets.devices[device]!, DEVICE_ACCESSES);
  const from = accesses();
  for (let tries = 0; accesses() < from + 100; tries++) {
    if (tries === 10_000) throw new Error('the device stands still');
    await of.supervisor.guard(new Promise((resolve) => setTimeout(resolve, 1)));
  }
}

/** SMMU_EVENTQ_PROD: the record of a stalled access is there, and nobody has answered it yet. */
async function stalled(of: RunningMachine): Promise<void> {
  for (let tries = 0; of.port(0).read32(0x100a8) === 0; tries++) {
    if (tries === 5000) throw new Error('no stall');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** The machine file's devices do DMA for ever in one thread, and the software consumes events. */
function background(of: RunningMachine): {
  lane: Promise<readonly DeviceResult[]>;
  drained: ReturnType<RunningMachine['drainSoftware']>;
} {
  const work = [0, 1].map((device) => ({ device, steps: [FOR_EVER] }));
  const task = { shared: of.shared, lane: 0, work };
  const lane = of.runLane<LaneResult>(0, task).then(({ devices }) => devices);
  return { lane, drained: of.drainSoftware() };
}

describe('A19: plugged in while the machine runs', () => {
  it('a Secure device behind an SMMU without Secure support is refused, and the run ends well without it', async () => {
    const workload = ['nic0', 'nic1']
      .flatMap((device) => [
        `{ device: ${device}, op: fill, iova: 0x10000, size: 64KiB, block: 64, repeat: 20, pattern: 3 }`,
        `{ device: ${device}, op: check, iova: 0x10000, size: 64KiB, block: 64, repeat: 20, pattern: 3 }`,
      ])
      .join(', ');
    const refused: unknown[] = [];
    let devices = 0;
    const report = await runMachine(twoSmmus(BOTH_MAPPED, workload), {
      beside: async (machine) => {
        const { device, diagnostics } = await machine.plugDevice(SECURE_NIC);
        refused.push(device, ...diagnostics);
        devices = machine.devices.length;
      },
    });
    expect(report.failures).toEqual([]);
    expect(report.verifiedBytes).toBe(2 * 64 * 1024);
    expect(refused).toMatchObject([
      undefined,
      { code: 'secure-device-unsupported', path: 'devices.hsm0.sec-sid' },
    ]);
    expect(devices).toBe(2);
  });

  it('a device is programmed, does DMA beside the others, leaves, and comes again', async () => {
    const machine = await start();
    const { lane, drained } = background(machine);
    await progress(machine, 0);
    for (let life = 0; life < 2; life++) {
      const { device, diagnostics } = await machine.plugDevice(NIC);
      expect(diagnostics).toEqual([]);
      expect(device).toMatchObject({ bdf: '00:03.0', smmu: 0, StreamID: 0x18 });
      expect(machine.devices.map(({ id }) => id)).toEqual(['nic0', 'nic1', 'nic9']);
      expect(aborts(await machine.runDevice('nic9', [step('fill')])), 'no stream yet').toEqual([SIZE / 512]);
      const { mappings } = await machine.programStream(PROGRAM);
      expect(mappings).toMatchObject([{ iova: IOVA, pa: 0x4200_0000, smmu: 0 }]);
      const result = await machine.runDevice('nic9', [
        step('fill', { pattern: 20 + life }),
        step('check', { pattern: 20 + life }),
      ]);
      expect(result.finished).toBe(true);
      expect(result.steps.map((of) => [of.bytes, of.aborts, of.mismatches])).toEqual([
        [SIZE, 0, 0],
        [SIZE, 0, 0],
      ]);
      const bytes = new Uint8Array(4096);
      machine.view.spacesOf(0)[NON_SECURE].read(0x4200_0000, bytes, 0, 4096);
      expect(countMismatches(20 + life, Number(IOVA), 0, bytes, 0, 4096), 'as the CPU sees it').toBe(0);
      await progress(machine, 0);
      await machine.unplugDevice('nic9');
      await expect(machine.runDevice('nic9', [step('fill')])).rejects.toThrow(/no device is called 'nic9'/);
    }
    machine.requestStop();
    expect((await lane).map(aborts)).toEqual([[0], [0]]);
    const { events } = await drained;
    // Each life began without a stream: C_BAD_STREAMID or C_BAD_STE, and nothing else happened.
    expect(new Set(events.map(({ words }) => words[1]))).toEqual(new Set([0x18]));
    expect(machine.supervisor.failure).toBeUndefined();
  });

  it('a Secure device brings its Secure stream: the interface that nobody had used is enabled', async () => {
    const text = `machine: m
memory: [{ id: ram, base: 0x40000000, size: 64MiB }, { id: sram, base: 0x0e000000, size: 16MiB, security: secure }]
buses: [{ id: pcie.0, type: pcie }]
smmus: [{ id: smmu0, base: 0x09050000, primary-bus: pcie.0, secure-memory: secure }]
`;
    const machine = await start(loadMachine(text, 'm.yaml').machine!);
    expect((await machine.plugDevice(SECURE_NIC)).device?.SEC_SID).toBe(SECURE);
    const { mappings } = await machine.programStream(
      '{ device: hsm0, mappings: [{ iova: 0x10000, size: 64KiB }] }',
    );
    expect(mappings).toMatchObject([{ space: SECURE, security: SECURE }]);
    const result = await machine.runDevice('hsm0', [step('fill'), step('check')]);
    expect(aborts(result)).toEqual([0, 0]);
    const bytes = new Uint8Array(4096);
    expect(machine.view.spacesOf(0)[SECURE].read(mappings![0]!.pa, bytes, 0, 4096)).toBe(true);
    expect(countMismatches(7, Number(IOVA), 0, bytes, 0, 4096)).toBe(0);
  });

  it('several devices work at once, in one thread', async () => {
    const machine = await start();
    const ids = ['a', 'b', 'c'];
    for (const [index, id] of ids.entries()) {
      await machine.plugDevice(`{ id: ${id}, type: dma-engine, bus: pcie.0, addr: "0${3 + index}.0" }`);
      await machine.programStream(`{ device: ${id}, mappings: [{ iova: 0x10000, size: 64KiB }] }`);
    }
    const endless = machine.runDevice('a', [FOR_EVER]);
    const done = await Promise.all(
      ['b', 'c'].map((id) => machine.runDevice(id, [step('fill'), step('check')])),
    );
    expect(done.map(aborts)).toEqual([
      [0, 0],
      [0, 0],
    ]);
    machine.requestStop();
    expect((await endless).finished).toBe(false);
  });
});

describe('unplugged while it does DMA', () => {
  it('comes to rest before unplugDevice resolves: memory does not change any more', async () => {
    const machine = await start();
    await machine.plugDevice(NIC);
    await machine.programStream(PROGRAM);
    const dma = machine.runDevice('nic9', [FOR_EVER]);
    const memory = machine.view.spacesOf(0)[NON_SECURE];
    const bytes = new Uint8Array(SIZE);
    for (let tries = 0; bytes.every((byte) => byte === 0); tries++) {
      if (tries === 5000) throw new Error('no DMA');
      await new Promise((resolve) => setTimeout(resolve, 1));
      memory.read(0x4200_0000, bytes, 0, 4096);
    }
    await machine.unplugDevice('nic9');
    const result = await dma;
    expect(result.finished).toBe(false);
    expect(result.steps[0]!.bytes).toBeGreaterThan(0);
    expect(aborts(result)).toEqual([0]);
    const mark = new Uint8Array(4096).fill(0xee);
    memory.write(0x4200_0000, mark, 0, 4096);
    await new Promise((resolve) => setTimeout(resolve, 20));
    memory.read(0x4200_0000, bytes, 0, 4096);
    expect(bytes.subarray(0, 4096)).toEqual(mark);
  });

  it('leaves once software has answered its stalled access', async () => {
    const machine = await start(loadMachine(STALLS, 'm.yaml').machine!);
    await machine.plugDevice(NIC);
    await machine.programStream(PROGRAM.replace('nic9,', 'nic9, faults: stall,'));
    const dma = machine.runDevice('nic9', [step('read', { iova: 0x9000_0000n })]);
    await stalled(machine);
    const leaving = machine.unplugDevice('nic9');
    const drained = machine.drainSoftware();
    await leaving;
    const { finished, steps } = await dma;
    expect(finished).toBe(false);
    expect(steps[0]).toMatchObject({ accesses: 1, aborts: 1 });
    expect(machine.devices).toEqual([]);
    machine.requestStop();
    const { events } = await drained;
    // F_TRANSLATION with Stall, and nothing of a stream that ended under an access.
    expect(new Set(events.map(({ words }) => words[0]! & 0xff))).toEqual(new Set([0x10]));
  });

  it('a device of the machine file leaves its thread to the others, and its stream ends', async () => {
    const machine = await start();
    const { lane, drained } = background(machine);
    await progress(machine, 0);
    await machine.unplugDevice('nic0');
    await progress(machine, 1);
    // Another device takes its place and its StreamID; the stream is not its predecessor's.
    await machine.plugDevice('{ id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }');
    expect(aborts(await machine.runDevice('nic0', [step('fill')]))).toEqual([SIZE / 512]);
    machine.requestStop();
    expect((await lane).map(({ device, finished }) => [device, finished])).toEqual([
      [0, false],
      [1, false],
    ]);
    await drained;
  });

  it('is told in the report of a run whose workload it was part of', async () => {
    const endless = '{ device: nic0, op: fill, iova: 0x10000, size: 64KiB, block: 64, repeat: 1000000 }';
    const report = await runMachine(twoSmmus(BOTH_MAPPED, endless), {
      beside: async (machine) => {
        await progress(machine, 0);
        await machine.unplugDevice('nic0');
      },
    });
    expect(report.failures).toEqual([
      'device nic0 was unplugged before its workload was done; nothing was verified',
    ]);
  });
});

describe('a machine that is closed under what was asked of it', () => {
  it.each<[string, (machine: RunningMachine) => Promise<unknown>]>([
    ['unplugDevice', (machine) => machine.unplugDevice('nic9')],
    ['renumberBus', (machine) => machine.renumberBus('pcie.0', 0x20)],
  ])(
    '%s of a device whose access is stalled, and nobody answers, is rejected, and its DMA',
    async (_name, ask) => {
      const machine = await start(loadMachine(STALLS, 'm.yaml').machine!);
      await machine.plugDevice(NIC);
      await machine.programStream(PROGRAM.replace('nic9,', 'nic9, faults: stall,'));
      const dma = machine.runDevice('nic9', [step('read', { iova: 0x9000_0000n })]);
      await stalled(machine);
      const asked = ask(machine);
      await machine.close();
      const closed = new MachineFailure('the machine', 'was closed', 'what was under way has no result');
      await expect(asked).rejects.toThrow(closed);
      await expect(dma).rejects.toThrow(closed);
      expect(machine.supervisor.failure).toBeUndefined();
    },
  );
});

describe('what cannot be done is said, and changes nothing', () => {
  it('a device that is not there, or busy', async () => {
    const machine = await start();
    await machine.plugDevice(NIC);
    await machine.programStream(PROGRAM);
    await expect(machine.unplugDevice('nic7')).rejects.toThrow(
      new PlugError("no device is called 'nic7'; there is nic0, nic1, nic9"),
    );
    const dma = machine.runDevice('nic9', [FOR_EVER]);
    await expect(machine.runDevice('nic9', [step('fill')])).rejects.toThrow(
      new PlugError("device 'nic9' is busy: it does DMA"),
    );
    const leaving = machine.unplugDevice('nic9');
    await expect(machine.unplugDevice('nic9')).rejects.toThrow(
      new PlugError("device 'nic9' is busy: it is being unplugged"),
    );
    await leaving;
    expect((await dma).finished).toBe(false);
  });

  it('a program for a device that is busy, or that software cannot make: the rules know of none', async () => {
    const machine = await start();
    await machine.plugDevice(NIC);
    const dma = machine.runDevice('nic9', [step('read')]);
    await expect(machine.programStream(PROGRAM)).rejects.toThrow(
      new PlugError("device 'nic9' is busy: it does DMA"),
    );
    await dma;
    const large = '{ device: nic9, context: large, mappings: [{ iova: 0x10000, size: 1GiB }] }';
    await expect(machine.programStream(large)).rejects.toThrow(/out of memory/);
    const { mappings, diagnostics } = await machine.programStream(PROGRAM);
    expect(diagnostics).toEqual([]);
    expect(mappings).toMatchObject([{ iova: IOVA }]);
    expect(aborts(await machine.runDevice('nic9', [step('fill'), step('check')]))).toEqual([0, 0]);
  });

  it('a program that the rules refuse, or before the software has booted', async () => {
    running = await startMachine(twoSmmus(), { lanes: 1 });
    await running.plugDevice(NIC);
    await expect(running.programStream(PROGRAM)).rejects.toThrow(/has not booted/);
    await running.bootSoftware();
    expect((await running.programStream(PROGRAM)).mappings).toHaveLength(1);
    const { mappings, diagnostics } = await running.programStream('{ device: nic8 }');
    expect([mappings, diagnostics.map(({ code }) => code)]).toEqual([undefined, ['unknown-reference']]);
  });

  it('more devices than there are places', async () => {
    const machine = await start();
    const plug = (n: number) =>
      machine.plugDevice(
        `{ id: d${n}, type: dma-engine, bus: pcie.1, addr: "${(n + 3).toString(16).padStart(2, '0')}.0" }`,
      );
    for (let n = 0; n < PLUGGED_DEVICES; n++) expect((await plug(n)).device).toBeDefined();
    await expect(plug(PLUGGED_DEVICES)).rejects.toThrow(PlugError);
    await machine.unplugDevice('d3');
    expect((await plug(PLUGGED_DEVICES)).device).toBeDefined();
  });
});
