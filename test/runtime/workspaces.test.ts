/** Where the kernels of a machine's TBUs work: a part of the memory for each, which no other has (G4). */
import { describe, expect, test } from 'vitest';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';
import { GuestMemory, type Workspace } from '../../src/memory/guest-memory.js';
import { type MachineView, PLUGGED_LANES, shareMachine } from '../../src/runtime/shared/shared-machine.js';
import { workspaceOf } from '../../src/runtime/shared/workspaces.js';
import { MemoryPool, workspaceOf as replayWorkspaceOf } from '../../src/scenario/memory.js';

const LANES = 3;

function machineOf(...tlbs: readonly (number | string)[]): Machine {
  const text = `machine: test
memory: [{ id: ram, base: 0x40000000, size: 1MiB }]
buses: [${tlbs.map((_, i) => `{ id: pcie.${i}, type: ${i === 0 ? 'pcie' : `pxb-pcie, bus-nr: ${16 * i}`} }`).join(', ')}]
smmus:
${tlbs.map((tlb, i) => `  - { id: smmu${i}, base: ${0x900_0000 + i * 0x2_0000}, primary-bus: pcie.${i}, tlb: ${tlb} }`).join('\n')}
`;
  const { machine, diagnostics } = loadMachine(text, 'test.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics, null, 2));
  return machine;
}

/** Of every TBU that the machine may have, those that get one. */
function workspacesOf(view: MachineView): Workspace[] {
  const lanes = Array.from({ length: view.shared.shape.lanes }, (_, lane) => lane);
  return view.machine.smmus.flatMap((_, smmu) =>
    lanes.flatMap((lane) => workspaceOf(view, smmu, lane) ?? []),
  );
}

function expectDisjoint(workspaces: readonly Workspace[], guest: GuestMemory): void {
  const inOrder = [...workspaces].sort((a, b) => a.offset - b.offset);
  for (const [index, { offset, words }] of inOrder.entries()) {
    const end = offset + words.byteLength;
    expect(offset % 64).toBe(0);
    expect(end).toBeLessThanOrEqual(inOrder[index + 1]?.offset ?? guest.handle.regions[0]!.pieces[0]!.offset);
  }
}

describe('the workspaces of a machine', () => {
  test('are apart, for every SMMU and every lane, that of plugged devices among them', () => {
    const { view } = shareMachine(machineOf(16, 4096, 1, 300), LANES);
    const workspaces = workspacesOf(view);
    expect(workspaces).toHaveLength(4 * (LANES + PLUGGED_LANES));
    expectDisjoint(workspaces, view.memory);
  });

  test('are for TLBs of a size that they have room for', () => {
    const { view } = shareMachine(machineOf('off', 8, 'unbounded'), LANES);
    expect(workspaceOf(view, 0, 0)).toBeUndefined();
    expect(workspaceOf(view, 1, 0)).toBeDefined();
    expect(workspaceOf(view, 2, 0)).toBeUndefined();
  });

  test('are none where all together are too much, or a recycled memory has less', () => {
    const large = shareMachine(machineOf(0x1_0000, 0x1_0000), 100).view;
    expect(workspacesOf(large)).toEqual([]);
    const small = machineOf(8);
    const memory = GuestMemory.create(
      small.regions,
      shareMachine(small, 1).view.memory.handle.workspaceBytes,
    );
    expect(workspaceOf(shareMachine(small, 1, 1, memory).view, 0, 0)).toBeDefined();
    const other = machineOf(8, 16);
    const recycled = shareMachine(other, LANES, 1, memory.recycle(other.regions)).view;
    expect(workspacesOf(recycled)).toEqual([]);
  });
});

test('the workspaces of a scenario are apart, whatever the sizes of its TLBs', () => {
  const memory = new MemoryPool().take([{ base: 0, sizeBytes: 0x1000, space: 0 }]);
  const sizes = [4096, 1, 4096, 16, 0, 4096, 4096, 4096, 4096, Number.POSITIVE_INFINITY];
  const workspaces = sizes.flatMap((entries, index) => replayWorkspaceOf(memory, index, entries) ?? []);
  expect(workspaces.length).toBeGreaterThan(4);
  expectDisjoint(workspaces, memory.guest);
});
