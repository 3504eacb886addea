/** H8, B7, B18: whatever is written to registers and tables while devices work, no thread dies, hangs or stops answering. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BANKS, REGISTERS } from '../../src/arch/registers.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { loadMachine } from '../../src/machine/load.js';
import { type RunningMachine, startMachine } from '../../src/runtime/coordinator.js';
import { DEVICE_ACCESSES } from '../../src/runtime/shared/control.js';
import { SpaceMemory } from '../../src/software/port.js';
import { Random } from '../../src/stress/random.js';

const DURATION_MS = Number(process.env.SMMULATOR_STRESS_MS ?? 1500);
const SEED = Number(process.env.SMMULATOR_SEED ?? Date.now() % 2 ** 31);
/** Writes between two looks at the machine. */
const BURST = 200;

/** Where the boot software has its tables, queues and buffers, and a little more: the bases of both memories. */
const BASES = [0x4000_0000, 0x0e00_0000];
const USED_BYTES = 0x40_0000;

const TEXT = `
machine: fuzzed
memory:
  - { id: ram, base: 0x40000000, size: 64MiB }
  - { id: secure-ram, base: 0x0e000000, size: 16MiB, security: secure }
address-spaces: { system: [ram], secure: [secure-ram, ram] }
buses: [{ id: pcie.0, type: pcie, bus-nr: 0 }, { id: pcie.1, type: pxb-pcie, bus-nr: 0x20 }]
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, stage: nested, memory: system, secure-memory: secure }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, stage: nested, memory: system, stall-model: stall }
devices:
  - { id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }
  - { id: hsm0, type: dma-engine, bus: pcie.0, addr: "03.0", sec-sid: secure }
  - { id: nic1, type: dma-engine, bus: pcie.1, addr: "02.0" }
software:
  - { device: nic0, mappings: [{ iova: 0x10000, size: 64KiB }] }
  - { device: hsm0, mappings: [{ iova: 0x10000, size: 64KiB }] }
  - { device: nic1, mappings: [{ iova: 0x10000, size: 64KiB }] }
`;

/** A device that reads and writes for ever. */
function endless(device: number) {
  const step = {
    device: '',
    iova: 0x10000n,
    sizeBytes: 0x10000,
    blockBytes: 256,
    pattern: 5,
    expect: 'ok',
  } as const;
  return { device, steps: [{ ...step, op: 'fill', repeat: 1e12 } as const] };
}

class Fuzzer {
  readonly #running: RunningMachine;
  readonly #random: Random;
  readonly #memories: readonly SpaceMemory[];

  constructor(running: RunningMachine, random: Random) {
    this.#running = running;
    this.#random = random;
    this.#memories = running.view.spacesOf(0).map((space) => new SpaceMemory(space));
  }

  step(): void {
    if (this.#random.chance(60)) this.#writeMemory();
    else this.#writeRegister();
  }

  /** A double-word that is there already somewhere else, or with some bits changed, or anything. */
  #writeMemory(): void {
    const random = this.#random;
    // What is Secure is reached through the Secure space, which has both.
    const memory = this.#memories[SECURE]!;
    const pa = this.#address();
    const old = memory.load64(random.chance(30) ? this.#address() : pa);
    const value = random.chance(70) ? old ^ (1n << BigInt(random.below(64))) : this.#word();
    memory.store64(pa, value);
  }

  #writeRegister(): void {
    const random = this.#random;
    const smmu = random.below(this.#running.machine.smmus.length);
    const security: SecurityState = smmu === 0 && random.chance(50) ? SECURE : NON_SECURE;
    const port = this.#running.port(smmu, security);
    if (random.chance(20)) {
      // Otherwise the first command error would be the last.
      port.write32(BANKS[security].GERRORN.offset, port.read32(BANKS[security].GERROR.offset));
      return;
    }
    const { offset, bits } = random.pick(REGISTERS);
    const at = random.chance(90) ? offset : random.below(0x2_0000);
    if (bits === 64 && random.chance(50)) port.write64(at, this.#word());
    else port.write32(at, random.chance(50) ? random.below(64) : Number(this.#word() & 0xffff_ffffn));
  }

  #address(): number {
    const base = this.#random.pick(BASES);
    return base + 8 * this.#random.below(USED_BYTES / 8);
  }

  #word(): bigint {
    const random = this.#random;
    if (random.chance(40)) return BigInt(this.#address()) | BigInt(random.below(64));
    return (BigInt(random.below(2 ** 31)) << 33n) ^ BigInt(random.below(2 ** 31));
  }
}

describe('H8: fuzzing with threads running', () => {
  it(`registers and tables of two SMMUs under DMA, seed ${SEED}`, {
    timeout: 60_000 + DURATION_MS,
  }, async () => {
    const { machine, diagnostics } = loadMachine(TEXT, 'fuzzed.yaml');
    if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
    const running = await startMachine(machine, { lanes: 2 });
    try {
      await running.bootSoftware();
      const lanes = [[0, 2], [1]].map((devices, lane) =>
        running.runLane(lane, { shared: running.shared, lane, work: devices.map(endless) }),
      );
      const { control } = running.view;
      const accesses = (device: number) =>
        control.statistic(control.offsets.devices[device]!, DEVICE_ACCESSES);
      const isWorking = () => machine.devices.every((_, device) => accesses(device) > 0);
      while (!isWorking() && running.supervisor.failure === undefined) await nextTurn();
      const fuzzer = new Fuzzer(running, new Random(SEED));
      const until = performance.now() + DURATION_MS;
      while (performance.now() < until && running.supervisor.failure === undefined) {
        for (let count = 0; count < BURST; count++) fuzzer.step();
        await nextTurn();
      }
      expect(running.supervisor.failure).toBeUndefined();
      // Everybody answers, and devices come to an end when they are asked to.
      const statistics = await Promise.all(machine.smmus.map((_, smmu) => running.statistics(smmu)));
      running.requestStop();
      await Promise.all(lanes);
      expect(statistics.every(({ commands }) => commands > 0)).toBe(true);
    } finally {
      await running.close();
    }
  });
});
