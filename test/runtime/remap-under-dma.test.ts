/** F6-F8 with real threads: this thread is the driver, DMA runs in the pool, each SMMU in its own thread. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { type RunningMachine, startMachine } from '../../src/runtime/coordinator.js';
import { DEVICE_ACCESSES, TBU_TRANSACTIONS, TBU_WALKS } from '../../src/runtime/shared/control.js';
import { tlbiNSNHAll } from '../../src/software/commands.js';
import type { Context } from '../../src/software/context.js';
import { SmmuDriver } from '../../src/software/driver.js';
import { PageAllocator } from '../../src/software/page-allocator.js';
import { SpaceMemory } from '../../src/software/port.js';
import { twoSmmus } from './machines.js';

const IOVA = 0x10000n;
const BUFFERS = [0x4200_0000, 0x4210_0000] as const;
const SIZE = 0x4000;
const RW = { read: true, write: true };
const MARK = 0xee;
const ROUNDS = 150;

let running: RunningMachine;
let memory: SpaceMemory;

beforeEach(async () => {
  running = await startMachine(twoSmmus(), { lanes: 2 });
  memory = new SpaceMemory(running.view.spacesOf(0)[NON_SECURE]);
});

afterEach(async () => {
  await running.close();
});

function driverOf(smmu: number): SmmuDriver {
  return new SmmuDriver({
    smmu: `smmu${smmu}`,
    security: NON_SECURE,
    port: running.port(smmu),
    memory,
    allocator: new PageAllocator(0x4000_0000 + smmu * 0x100_0000, 0x100_0000),
  });
}

/** A device that writes one range for ever, in small pieces. */
function keepWriting(device: number): Promise<unknown> {
  const step = {
    ...{ device: '', op: 'fill', iova: IOVA, sizeBytes: SIZE, blockBytes: 256 },
    ...{ repeat: 1e12, pattern: 5, expect: 'ok' },
  } as const;
  return running.runLane(device, {
    shared: running.shared,
    lane: device,
    work: [{ device, steps: [step] }],
  });
}

/** Waits until a device has made this many further accesses. */
async function afterAccesses(device: number, count: number): Promise<void> {
  const { control } = running.view;
  const accesses = () => control.statistic(control.offsets.devices[device]!, DEVICE_ACCESSES);
  const from = accesses();
  for (let tries = 0; accesses() < from + count; tries++) {
    if (tries === 10_000) throw new Error('the device stands still');
    await running.supervisor.guard(new Promise((resolve) => setTimeout(resolve, 1)));
  }
}

/** Moves the device's range from one buffer to the other, and finds writes that still reach the one left behind. */
async function staleBytes(driver: SmmuDriver, context: Context, invalidate: boolean): Promise<number> {
  let stale = 0;
  for (let round = 0; round < ROUNDS && (invalidate || stale === 0); round++) {
    const left = BUFFERS[round & 1]!;
    if (invalidate) driver.unmap(context, IOVA, SIZE);
    else context.tables.unmap(IOVA, SIZE);
    // From here on nothing may write to the buffer that was left.
    memory.fill(left, MARK, SIZE);
    driver.map(context, IOVA, BUFFERS[(round & 1) ^ 1]!, SIZE, RW);
    await afterAccesses(0, 300);
    stale += memory.readBytes(left, SIZE).filter((byte) => byte !== MARK).length;
    driver.events.drain();
  }
  return stale;
}

describe('F7: unmap, TLBI and CMD_SYNC under running DMA', () => {
  it.each([
    { invalidate: true, what: 'no access lands in memory that was unmapped before the CMD_SYNC' },
    {
      invalidate: false,
      what: 'the same check finds the stale accesses of software that does not invalidate',
    },
  ])('$what', async ({ invalidate }) => {
    const driver = driverOf(0);
    driver.enable();
    const context = driver.createContext({ granule: '4KiB' });
    driver.map(context, IOVA, BUFFERS[0], SIZE, RW);
    driver.attach(running.machine.devices[0]!.StreamID, context);
    const lane = keepWriting(0);
    await afterAccesses(0, 300);
    const stale = await staleBytes(driver, context, invalidate);
    expect(stale > 0).toBe(!invalidate);
    // The DMA that goes on reaches the new buffer (F6).
    await afterAccesses(0, 300);
    running.requestStop();
    await lane;
  });
});

describe('F8: SMMUs do not share caches', () => {
  it('an invalidation on one SMMU leaves the entries of the other alone', async () => {
    const drivers = [driverOf(0), driverOf(1)];
    for (const [smmu, driver] of drivers.entries()) {
      driver.enable();
      const context = driver.createContext({ granule: '4KiB' });
      driver.map(context, IOVA, BUFFERS[smmu]!, SIZE, RW);
      driver.attach(running.machine.devices[smmu]!.StreamID, context);
    }
    const lanes = [keepWriting(0), keepWriting(1)];
    const walks = (smmu: number) => {
      const { control } = running.view;
      const { statistics } = control.offsets.smmus[smmu]!.slots[smmu]!;
      expect(control.statistic(statistics, TBU_TRANSACTIONS)).toBeGreaterThan(0);
      return control.statistic(statistics, TBU_WALKS);
    };
    await Promise.all([afterAccesses(0, 1000), afterAccesses(1, 1000)]);
    const before = [walks(0), walks(1)];
    for (let i = 0; i < 10; i++) {
      drivers[1]!.commands.sync([tlbiNSNHAll()]);
      await Promise.all([afterAccesses(0, 300), afterAccesses(1, 300)]);
    }
    expect(walks(0)).toBe(before[0]);
    expect(walks(1)).toBeGreaterThan(before[1]!);
    running.requestStop();
    await Promise.all(lanes);
  });
});
