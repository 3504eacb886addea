/**
 * The same in threads: two guests run their programs at the same time, with each SMMU and each DMA thread on its own, once with an emulated
 * SMMU each and once with an accelerated SMMU each on one physical SMMU. What one guest sees depends on nothing that the other
 * does, and not on how it is translated for.
 *
 * SMMULATOR_RUNS is the number of programs for each size of the caches, SMMULATOR_MINUTES the time for it, whatever the number.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lengthOfProperty } from '../length-of-property.js';
import { GUESTS } from './bench.js';
import { GuestSoftware, type Life, randomLife } from './guest-program.js';
import { ThreadedMachine } from './threaded-world.js';

const { check, timeout } = lengthOfProperty(6, 10_000);
const STEPS = 40;

const lives = fc.tuple(randomLife(STEPS), randomLife(STEPS));

/** What a guest saw, step by step, and its memory at the end. */
async function live(machine: ThreadedMachine, guest: number, { global, steps }: Life) {
  const world = machine.world(guest);
  const software = await GuestSoftware.boot(world, global);
  const seen: unknown[] = [];
  for (const step of steps) seen.push(await software.perform(step));
  return { seen, memory: software.memory() };
}

describe('accelerated and emulated, in threads', () => {
  test.each([0, 3, Number.POSITIVE_INFINITY])(
    'random programs of two guests at a time agree, caches of %d entries',
    { timeout },
    async (cache) => {
      let machines: readonly ThreadedMachine[] = [];
      const close = async () => {
        await Promise.all(machines.map((machine) => machine.close()));
        machines = [];
      };
      const agree = async (both: readonly Life[]) => {
        if (machines.length === 0)
          machines = await Promise.all([true, false].map((accel) => ThreadedMachine.start(accel, cache)));
        const [here, there] = await Promise.all(
          machines.map((machine) => Promise.all(both.map((life, guest) => live(machine, guest, life)))),
        );
        for (let guest = 0; guest < GUESTS; guest++) {
          for (const [index, step] of both[guest]!.steps.entries()) {
            expect(
              here![guest]!.seen[index],
              `guest ${guest}, step ${index}: ${JSON.stringify(step)}`,
            ).toEqual(there![guest]!.seen[index]);
          }
          expect(
            Buffer.compare(here![guest]!.memory, there![guest]!.memory),
            `memory of guest ${guest}`,
          ).toBe(0);
        }
      };
      const property = fc.asyncProperty(lives, async (both) => {
        try {
          await agree(both);
        } catch (error) {
          // The next one begins with machines that know nothing of this.
          await close();
          throw error;
        }
      });
      try {
        await check((limits) => fc.assert(property, limits));
      } finally {
        await close();
      }
    },
  );
});
