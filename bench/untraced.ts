/**
 * The TBU with and without the calls that tell an observer, in turns: what tracing costs while nobody traces.
 * The version without is the compiled one, with those calls cut out of a copy.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TbuGuard } from '../src/runtime/shared/tbu-guard.js';
import { workspaceOf } from '../src/runtime/shared/workspaces.js';
import type { Tbu } from '../src/smmu/tbu/tbu.js';
import { Transaction } from '../src/smmu/transaction.js';
import { ACCESSES, PAGES } from './guest.js';
import type { Rig } from './rig.js';
import type { Measurement } from './rows.js';
import { interleave, slices, type Turns } from './slices.js';
import { translateAll } from './translate.js';

const BUILT = fileURLToPath(new URL('../src/', import.meta.url));
/** `this.#observer?.leaf(...);`, over as many lines as it takes. */
const TOLD = /\b(?:this|walker|config)\.#?observer\?\.\w+\([^;]*\);/g;

/** Copies the compiled core beside itself, without the calls; imports its TBU. */
async function withoutTracing(): Promise<{ make: typeof Tbu; calls: number; remove: () => void }> {
  const folder = mkdtempSync(join(BUILT, '..', 'untraced-'));
  let calls = 0;
  for (const part of ['arch', 'memory', 'smmu'])
    cpSync(join(BUILT, part), join(folder, part), { recursive: true });
  const tbu = join(folder, 'smmu', 'tbu');
  for (const name of readdirSync(tbu).filter((file) => file.endsWith('.js'))) {
    const text = readFileSync(join(tbu, name), 'utf8');
    const bare = text.replace(TOLD, () => {
      calls++;
      return ';';
    });
    writeFileSync(join(tbu, name), bare);
  }
  const { Tbu: make } = await import(join(tbu, 'tbu.js'));
  return { make, calls, remove: () => rmSync(folder, { recursive: true }) };
}

export async function tracing(rig: Rig, turns: Turns): Promise<Measurement[]> {
  const { make, calls, remove } = await withoutTracing();
  try {
    if (calls === 0) throw new Error('there are no calls to cut out');
    const list = rig.guest.accesses('stage 1', 1024);
    const misses = rig.guest.accesses('stage 1', PAGES);
    const txn = new Transaction();
    txn.ns = true;
    const traced = rig.tbu().tbu;
    const { control, machine } = rig.view;
    const at = control.offsets.smmus[0]!;
    const { config } = machine.smmus[0]!;
    const stalls = control.stalls(at, config.idr).range(0, at.slots.length);
    // The place of a lane that is not there.
    const workspace = workspaceOf(rig.view, 0, 1);
    const bare = new make(config, rig.spaces, { record() {} }, stalls, workspace);
    // Tells the TBU the registers.
    new TbuGuard(control, at, at.slots[0]!, bare, rig.view.smmuLimit(0, '')).begin();
    const contestants = [list, misses].flatMap((accesses) =>
      [traced, bare].map((tbu) =>
        slices(ACCESSES, (first, count) => void translateAll(tbu, accesses, txn, first, count)),
      ),
    );
    const [hit, bareHit, miss, bareMiss] = await interleave(contestants, turns);
    return [
      { row: 'tracing', figure: hit! / bareHit! },
      { row: 'tracingMiss', figure: miss! / bareMiss! },
    ];
  } finally {
    remove();
  }
}
