/**
 * A guest cannot tell an accelerated SMMU from an emulated one: random programs of two guests on one physical SMMU, each against
 * an emulated SMMU of its own. Every access, byte, register, interrupt and event record agrees.
 *
 * SMMULATOR_RUNS is the number of programs for each size of the caches, SMMULATOR_MINUTES the time for it, whatever the number.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lengthOfProperty } from '../length-of-property.js';
import { Host } from './bench.js';
import { GuestSoftware, operation } from './guest-program.js';
import { AcceleratedWorld, EmulatedWorld, type World } from './worlds.js';

const { check, timeout } = lengthOfProperty(12, 5_000);
const STEPS = 60;

const program = fc.record({
  /** Which guests have global entries. */
  global: fc.tuple(fc.boolean(), fc.boolean()),
  steps: fc.array(fc.record({ guest: fc.nat(1), operation }), { maxLength: STEPS, size: 'max' }),
});

describe('accelerated and emulated', () => {
  test.each([0, 3, Number.POSITIVE_INFINITY])(
    'random programs agree, caches of %d entries',
    { timeout },
    async (cache) => {
      const host = new Host(1, undefined, cache);
      const memories = [EmulatedWorld.memory(), EmulatedWorld.memory()];
      const freeBytes = new Set<number>();
      const property = fc.asyncProperty(program, async ({ global, steps }) => {
        const accelerated = [0, 1].map((index) => new AcceleratedWorld(host, index));
        const emulated = memories.map((memory) => new EmulatedWorld(memory, cache));
        try {
          const boot = (world: World, guest: number) => GuestSoftware.boot(world, global[guest]!);
          const here = await Promise.all(accelerated.map(boot));
          const there = await Promise.all(emulated.map(boot));
          for (const [index, step] of steps.entries()) {
            const seen = await here[step.guest]!.perform(step.operation);
            const wanted = await there[step.guest]!.perform(step.operation);
            expect(seen, `step ${index}: ${JSON.stringify(step)}`).toEqual(wanted);
          }
          for (const guest of [0, 1]) {
            expect(
              Buffer.compare(here[guest]!.memory(), there[guest]!.memory()),
              `memory of guest ${guest}`,
            ).toBe(0);
            expect(accelerated[guest]!.errors).toEqual([]);
          }
        } finally {
          for (const world of accelerated) world.close();
        }
        freeBytes.add(host.allocator.freeBytes);
      });
      await check((limits) => fc.assert(property, limits));
      // One guest after the other leaves the host's kernel as it was.
      expect(freeBytes.size).toBe(1);
    },
  );
});
