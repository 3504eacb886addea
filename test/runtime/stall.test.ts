/** G12 with real threads: a lane keeps a stalled access, the software answers, and nobody waits for it meanwhile. */
import { describe, expect, it } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';
import { startMachine } from '../../src/runtime/coordinator.js';
import { runMachine } from '../../src/runtime/run.js';
import type { LaneResult } from '../../src/runtime/threads/dma-lane.js';
import { describeStalled } from '../../src/runtime/threads/stall-watch.js';
import { OFFSETS, OPCODES } from '../spec-numbers.js';

const DEVICES = ['nic0', 'nic1', 'nic2'];
const HARDWARE = `
machine: stalls
memory:
  - { id: ram, base: 0x40000000, size: 64MiB }
buses:
  - { id: pcie.0, type: pcie, bus-nr: 0x00 }
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, stage: "1", stall-model: stall }
devices:
${DEVICES.map((id, i) => `  - { id: ${id}, type: dma-engine, bus: pcie.0, addr: "0${i + 2}.0" }`).join('\n')}
`;

function machineOf(software: readonly string[], workload: readonly string[]): Machine {
  const text = `${HARDWARE}software: [${software.join(', ')}]\nworkload: [${workload.join(', ')}]\n`;
  const { machine, diagnostics } = loadMachine(text, 'stalls.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

const deferred = (device: string, more = '') =>
  `{ device: ${device}, faults: stall, ${more} mappings: [{ iova: 0x10000, size: 64KiB, populate: on-fault }] }`;
const fillAndCheck = (device: string, iova = '0x10000', size = '64KiB') =>
  ['fill', 'check'].map(
    (op) => `{ device: ${device}, op: ${op}, iova: ${iova}, size: ${size}, block: 512, pattern: 3 }`,
  );

describe('G12, 3.12.4: demand paging by stalls', () => {
  it.each([1, 3])(
    '%i DMA threads: each page stalls once, is mapped and the access retried',
    async (lanes) => {
      const machine = machineOf(
        DEVICES.map((device) => deferred(device)),
        DEVICES.flatMap((device) => fillAndCheck(device)),
      );
      const report = await runMachine(machine, { lanes });
      expect(report.failures).toEqual([]);
      expect(report.verifiedBytes).toBe(3 * 64 * 1024);
      expect(report.events).toHaveLength(3 * 16);
      expect(
        report.events.every(({ name, fields }) => name === 'F_TRANSLATION' && fields.Stall === '0x1'),
      ).toBe(true);
    },
  );

  it('devices of one context may stall for the same page', async () => {
    const machine = machineOf(
      [
        deferred('nic0', 'context: shared,'),
        ...['nic1', 'nic2'].map((device) => `{ device: ${device}, faults: stall, context: shared }`),
      ],
      DEVICES.flatMap((device) => `{ device: ${device}, op: read, iova: 0x10000, size: 64KiB, block: 64 }`),
    );
    const { failures } = await runMachine(machine, { lanes: 3 });
    expect(failures).toEqual([]);
  });

  it('an access that nothing is to be mapped for is terminated, and its record is as expected', async () => {
    const machine = machineOf(
      [deferred('nic0')],
      [
        '{ device: nic0, op: read, iova: 0x40000, size: 8KiB, block: 4KiB, expect: F_TRANSLATION }',
        ...fillAndCheck('nic0'),
      ],
    );
    const report = await runMachine(machine);
    expect(report.failures).toEqual([]);
    expect(report.devices[0]!.steps[0]).toMatchObject({ accesses: 2, aborts: 2 });
  });

  it('a device whose stall nobody resumes gives up and says so; the other devices of its thread finish', async () => {
    const machine = machineOf(
      [deferred('nic0'), '{ device: nic1, mappings: [{ iova: 0x10000, size: 64KiB }] }'],
      [],
    );
    const running = await startMachine(machine, { lanes: 1 });
    try {
      await running.bootSoftware();
      const step = { op: 'read', iova: 0x10000n, sizeBytes: 65536, blockBytes: 64, repeat: 2, pattern: 0 };
      const work = [0, 1].map((device) => ({ device, steps: [{ ...step, device: '', expect: 'ok' }] }));
      const task = { shared: running.shared, lane: 0, work, stallLimitMs: 200 };
      const { devices } = await running.runLane<LaneResult>(0, task);
      const [nic0, nic1] = devices;
      expect(nic0).toMatchObject({ finished: false, stalled: { step: 0, iova: 0x10000n } });
      expect(describeStalled({ ...nic0!.stalled!, waitedMs: 249 })).toBe(
        'the access at 0x10000 is stalled, and nobody has resumed it within 0.2 s',
      );
      expect(nic1).toMatchObject({ finished: true, steps: [{ bytes: 2 * 65536, aborts: 0 }] });
    } finally {
      await running.close();
    }
  });

  it('4.7.3: CMD_SYNC does not wait for a stalled access', async () => {
    const machine = machineOf([deferred('nic0')], []);
    const running = await startMachine(machine, { lanes: 1 });
    try {
      await running.bootSoftware();
      const step = { op: 'read', iova: 0x10000n, sizeBytes: 64, blockBytes: 64, repeat: 1, pattern: 0 };
      const task = {
        shared: running.shared,
        lane: 0,
        work: [{ device: 0, steps: [{ ...step, device: '', expect: 'ok' }] }],
      };
      const lane = running.runLane<LaneResult>(0, task).then(({ devices }) => devices);
      const port = running.port(0);
      const until = async (done: () => boolean) => {
        for (let tries = 0; !done(); tries++) {
          if (tries > 10_000) throw new Error('it does not come');
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      };
      await until(() => port.read32(OFFSETS.EVENTQ_PROD) === 1);
      const memory = running.view.spacesOf(0)[NON_SECURE];
      const base = Number(port.read64(OFFSETS.CMDQ_BASE) & 0xf_ffff_ffff_ffe0n);
      const prod = port.read32(OFFSETS.CMDQ_PROD);
      const command = (index: number, lo: number, hi = 0) => memory.store(base + 16 * index, lo, hi);
      command(prod, OPCODES.CMD_SYNC);
      port.write32(OFFSETS.CMDQ_PROD, prod + 1);
      await until(() => port.read32(OFFSETS.CMDQ_CONS) === prod + 1);
      command(prod + 1, OPCODES.CMD_STALL_TERM, machine.devices[0]!.StreamID);
      port.write32(OFFSETS.CMDQ_PROD, prod + 2);
      expect((await lane)[0]).toMatchObject({ finished: true, steps: [{ accesses: 1, aborts: 1 }] });
    } finally {
      await running.close();
    }
  });
});
