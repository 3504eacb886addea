/** Runs that pause in the middle of their workload, and others that go on from there with nothing but the state. */
import { describe, expect, it } from 'vitest';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';
import type { GuestMemory } from '../../src/memory/guest-memory.js';
import type { RunningMachine } from '../../src/runtime/coordinator.js';
import { PlugError } from '../../src/runtime/hotplug.js';
import type { MachineState } from '../../src/runtime/machine-state.js';
import type { RunReport } from '../../src/runtime/report/report.js';
import { type PausePoint, runMachine } from '../../src/runtime/run.js';
import type { CacheChoice } from '../../src/smmu/state.js';

const MACHINE = `
machine: paused
memory:
  - { id: ram, base: 0x40000000, size: 64MiB }
buses:
  - { id: pcie.0, type: pcie, bus-nr: 0x00 }
  - { id: pcie.1, type: pxb-pcie, bus-nr: 0x20 }
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, stage: nested, stall-model: stall }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, stage: "1" }
devices:
  - { id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }
  - { id: disk0, type: dma-engine, bus: pcie.0, addr: "03.0" }
  - { id: nic1, type: dma-engine, bus: pcie.1, addr: "02.0" }
  - { id: idle0, type: dma-engine, bus: pcie.0, addr: "05.0" }
software:
  - { device: nic0, mappings: [{ iova: 0x10000, size: 256KiB }] }
  - { device: disk0, faults: stall, mappings: [{ iova: 0x10000, size: 64KiB, populate: on-fault }, { iova: 0x40000000, size: 64KiB, populate: on-fault }] }
  - { device: nic1, mappings: [{ iova: 0x10000, size: 64KiB, access: r }, { iova: 0x30000, size: 64KiB }] }
workload:
  - { device: nic0, op: fill, iova: 0x10000, size: 128KiB, block: 512, pattern: 1 }
  - { device: nic0, op: copy, iova: 0x10000, to: 0x30000, size: 64KiB, block: 256 }
  - { device: disk0, op: fill, iova: 0x10000, size: 64KiB, block: 1KiB, pattern: 2 }
  - { device: nic1, op: fill, iova: 0x10000, size: 8KiB, block: 4KiB, repeat: 3, expect: F_PERMISSION }
  - { device: nic1, op: fill, iova: 0x30000, size: 64KiB, block: 256, repeat: 4, pattern: 3 }
  - { device: disk0, op: fill, iova: 0x40000000, size: 64KiB, block: 1KiB, pattern: 4 }
  - { device: disk0, op: check, iova: 0x10000, size: 64KiB, block: 4KiB, pattern: 2 }
`;

const LATE = '{ id: late, type: dma-engine, bus: pcie.1, addr: "05.0" }';

function machine(): Machine {
  const { machine, diagnostics } = loadMachine(MACHINE, 'paused.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

interface Taken {
  readonly state: MachineState;
  readonly pages: readonly { region: string; offset: number; bytes: Uint8Array }[];
}

async function runTo(at: PausePoint, caches: CacheChoice, thenEnd: boolean): Promise<[RunReport, Taken]> {
  const taken: Taken[] = [];
  const save = async (state: MachineState, memory: GuestMemory) => {
    const pages = memory.handle.regions.flatMap(({ id: region }) =>
      [...memory.pages(region)].map(({ offset, bytes }) => ({ region, offset, bytes: bytes.slice() })),
    );
    taken.push({ state: structuredClone(state), pages });
  };
  const report = await runMachine(machine(), { lanes: 2, pause: { at, caches, thenEnd, save } });
  expect(taken).toHaveLength(1);
  return [report, taken[0]!];
}

function goOn({ state, pages }: Taken): Promise<RunReport> {
  const fill = (memory: GuestMemory) => {
    for (const page of pages) memory.setPage(page.region, page);
  };
  return runMachine(machine(), { from: { state, fill } });
}

/** What must come out alike, however the run was cut up. */
function outcome({ failures, verifiedBytes, devices, events, smmus }: RunReport) {
  return {
    failures,
    verifiedBytes,
    devices: devices.map(({ id, accesses, bytes, aborts, steps }) => ({
      id,
      accesses,
      bytes,
      aborts,
      steps,
    })),
    events: events.map((event) => JSON.stringify(event)).sort(),
    transactions: smmus.map(({ transactions, commands, events: count }) => [transactions, commands, count]),
  };
}

describe('A47: a machine that pauses, and one that goes on from its state', async () => {
  const whole = outcome(await runMachine(machine(), { lanes: 2 }));

  it('an uninterrupted run is as expected', () => {
    expect(whole.failures).toEqual([]);
    expect(whole.verifiedBytes).toBeGreaterThan(0);
  });

  it.each<[string, PausePoint, CacheChoice]>([
    ['after boot', { kind: 'boot' }, 'kept'],
    // What was mapped on fault is in tables whose memory the software must not use again.
    ['after step 3', { kind: 'step', step: 3 }, 'dropped'],
    ['after 150 accesses', { kind: 'accesses', accesses: 150 }, 'kept'],
  ])(
    '%s: the run that paused and the one that took its state end as one that did neither',
    async (_name, at, caches) => {
      const [paused, taken] = await runTo(at, caches, false);
      expect(outcome(paused)).toEqual(whole);
      expect(outcome(await goOn(taken))).toEqual(whole);
    },
  );

  it('a run that ends at its pause has done that much, and nothing is wrong', async () => {
    const [report, { state }] = await runTo({ kind: 'step', step: 3 }, 'kept', true);
    expect(report).toMatchObject({ ok: true, verifiedBytes: 0 });
    const disk0 = state.lanes.flatMap(({ devices }) => devices).find(({ device }) => device === 1)!;
    expect(disk0.master.step).toBe(1);
  });

  it('a stalled access is held by the state, and answered in the run that goes on', async () => {
    // Until its first page is mapped, the first access of disk0 stalls: some pause soon after boot meets it.
    for (let accesses = 1; accesses < 2000; accesses += 8) {
      const [, taken] = await runTo({ kind: 'accesses', accesses }, 'kept', true);
      const held = taken.state.lanes.flatMap(({ devices }) => devices).some(({ stalled }) => stalled);
      if (!held) continue;
      expect(outcome(await goOn(taken))).toEqual(whole);
      return;
    }
    expect.unreachable('no pause met a stalled access');
  });

  // Restored software does not do it again: it would take memory for free in which there are live tables.
  it.each<[string, (running: RunningMachine) => Promise<unknown>]>([
    ['a device was plugged in', (running) => running.plugDevice(LATE)],
    [
      'a device was plugged in and unplugged',
      async (running) => {
        await running.plugDevice(LATE);
        await running.unplugDevice('late');
      },
    ],
    [
      'a bus was renumbered, and back again',
      async (running) => {
        await running.renumberBus('pcie.1', 0x30);
        await running.renumberBus('pcie.1', 0x20);
      },
    ],
    [
      'a device of the machine file was programmed',
      async (running) => {
        const late = '{ device: idle0, context: nic0, mappings: [{ iova: 0x80000000, size: 4KiB }] }';
        expect((await running.programStream(late)).mappings).toHaveLength(1);
      },
    ],
  ])('%s: none is taken, and the run says why', async (_name, change) => {
    const save = async () => expect.unreachable();
    const pause = { at: { kind: 'step', step: 1 }, caches: 'kept', thenEnd: false, save } as const;
    const beside = async (running: RunningMachine) => {
      await change(running);
    };
    const { failures } = await runMachine(machine(), { pause, beside });
    expect(failures).toEqual([
      'no snapshot: devices were plugged in, unplugged or renumbered, or streams programmed, since the machine started',
    ]);
  });

  it('what was refused changed nothing, and what is done after a pause at boot is not in its state', async () => {
    const states: MachineState[] = [];
    const save = async (state: MachineState) => {
      states.push(state);
    };
    const refused = async (running: RunningMachine) => {
      expect((await running.plugDevice(LATE.replace('05.0', '02.0'))).device).toBeUndefined();
      expect((await running.renumberBus('pcie.1', 0)).devices).toBeUndefined();
      expect((await running.programStream('{ device: nic9 }')).mappings).toBeUndefined();
      await expect(running.unplugDevice('nic9')).rejects.toThrow(PlugError);
    };
    const changed = async (running: RunningMachine) => {
      await running.programStream('{ device: idle0, config: bypass }');
    };
    for (const [at, beside] of [
      [{ kind: 'step', step: 1 }, refused],
      [{ kind: 'boot' }, changed],
    ] as const) {
      const pause = { at, caches: 'kept', thenEnd: false, save } as const;
      expect((await runMachine(machine(), { pause, beside })).failures).toEqual([]);
    }
    expect(states).toHaveLength(2);
  });

  it('a moment that does not come is a failure of the run', async () => {
    const save = async () => expect.unreachable();
    const pause = { at: { kind: 'accesses', accesses: 1e9 }, caches: 'kept', thenEnd: false, save } as const;
    const { ok, failures } = await runMachine(machine(), { pause });
    expect([ok, failures]).toEqual([false, ['the workload ended before the moment of the snapshot']]);
  });
});
