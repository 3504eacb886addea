/**
 * A snapshot of 1 GiB of guest memory of which every page is in use, and its restoration: files are written and read whole,
 * with what makes them small and what finds them damaged.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fillPattern } from '../src/devices/pattern.js';
import { GuestMemory } from '../src/memory/guest-memory.js';
import { runMachine } from '../src/runtime/run.js';
import { readSnapshot, writeSnapshot } from '../src/snapshot/snapshot-file.js';
import { benchMachine, RAM_BASE, RAM_BYTES } from './guest.js';
import type { Measurement } from './rows.js';

/** With what a device would have written. */
function fillAll(memory: GuestMemory): void {
  const space = memory.space(['ram']);
  const page = new Uint8Array(4096);
  for (let pa = RAM_BASE; pa < RAM_BASE + RAM_BYTES; pa += page.length) {
    fillPattern(1, pa, 0, page, 0, page.length);
    space.write(pa, page, 0, page.length);
  }
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

export async function snapshot(): Promise<Measurement[]> {
  const machine = benchMachine();
  const folder = mkdtempSync(join(tmpdir(), 'smmulator-bench-'));
  const file = join(folder, 'machine.snap');
  let written = 0;
  try {
    await runMachine(machine, {
      pause: {
        ...{ at: { kind: 'boot' }, caches: 'kept', thenEnd: true },
        save: async (state, memory) => {
          fillAll(memory);
          written = await seconds(async () => void (await writeSnapshot(file, machine, state, memory)));
        },
      },
    });
    const memory = GuestMemory.create(machine.regions);
    const restored = await seconds(async () => (await readSnapshot(file)).fill(memory));
    return [
      { row: 'snapshot', figure: written },
      { row: 'restore', figure: restored },
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}
