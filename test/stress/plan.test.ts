/** What a stress run takes of a machine. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadMachine } from '../../src/machine/load.js';
import { kernelAllocator } from '../../src/runtime/boot-plan.js';
import { hostBase } from '../../src/runtime/shared/shared-machine.js';
import { planStress, SLOTS } from '../../src/stress/plan.js';

const TEXT = readFileSync(new URL('../../machines/accelerated.yaml', import.meta.url), 'utf8');

/** Two guests, and beside them an SMMU of the host's own. */
function mixedMachine() {
  const text = TEXT.replace(
    'smmus:\n',
    '  - { id: pcie.c, type: pxb-pcie, bus-nr: 0x60 }\nsmmus:\n  - { id: smmu-c, base: 0x090b0000, primary-bus: pcie.c }\n',
  ).replace('devices:\n', 'devices:\n  - { id: nic-c, type: dma-engine, bus: pcie.c, addr: "00.0" }\n');
  const { machine, diagnostics } = loadMachine(text, 'mixed.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

describe('the plan of a machine with accelerated SMMUs', () => {
  test('guests and the SMMUs of the host have interfaces, the physical SMMU below guests has none', () => {
    const machine = mixedMachine();
    const { interfaces, streams } = planStress(machine, 1);
    expect(interfaces.map(({ smmu, hostOffset }) => [machine.smmus[smmu]!.id, hostOffset])).toEqual([
      ['smmu-c', 0],
      ['smmu-a', 0x5000_0000],
      ['smmu-b', 0x5800_0000],
    ]);
    expect(
      streams.map(({ name, StreamID, arrival }) => [
        name,
        StreamID,
        machine.smmus[arrival.smmu]!.id,
        arrival.StreamID,
      ]),
    ).toEqual([
      ['nic-c', 0x6000, 'smmu-c', 0x6000],
      ['nic-a', 0x2000, 'host0', 0x10],
      ['disk-b', 0x4000, 'host0', 0x18],
    ]);
  });

  test("nobody's memory is another's: the host's, each guest's, the kernel's", () => {
    const machine = mixedMachine();
    const host = machine.smmus.findIndex(({ id }) => id === 'host0');
    const taken = planStress(machine, 1).interfaces.flatMap(
      ({ window, pools, tables, hostOffset, granuleBytes }) =>
        [
          { base: window, sizeBytes: SLOTS * granuleBytes },
          ...pools.map(({ base, count }) => ({ base, sizeBytes: count * granuleBytes })),
          tables,
        ].map(({ base, sizeBytes }) => [base + hostOffset, base + hostOffset + sizeBytes] as const),
    );
    const { base, sizeBytes } = kernelAllocator(machine, host).largest;
    taken.push([base, base + sizeBytes]);
    taken.sort(([a], [b]) => a - b);
    for (const [index, [start]] of taken.entries()) {
      if (index > 0) expect(start).toBeGreaterThanOrEqual(taken[index - 1]![1]);
    }
    // And the host's own lies outside of all that guests have.
    const [window] = planStress(machine, 1).interfaces.map((one) => one.window);
    for (const region of machine.regions.filter(({ alias }) => alias !== undefined)) {
      const start = hostBase(machine, region);
      expect(window! >= start && window! < start + region.sizeBytes).toBe(false);
    }
  });
});
