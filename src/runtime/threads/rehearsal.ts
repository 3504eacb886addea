/**
 * A machine on which software does again what it has done before, in order to know what it knew: its allocations and tables
 * follow from its machine file and its steps. Then its ports and its memory lead to the real machine, which has
 * the same tables in its restored memory and the same registers.
 */
import type { SecurityState } from '../../arch/security.js';
import { Smmu } from '../../smmu/smmu.js';
import { type CpuMemory, type SmmuPort, SpaceMemory } from '../../software/port.js';
import { DirectPort } from '../in-process-machine.js';
import { type MachineView, shareMachine } from '../shared/shared-machine.js';

/** How drivers reach their SMMUs and memory. */
export interface Surroundings {
  port(smmu: number, security: SecurityState): SmmuPort;
  memory(smmu: number, security: SecurityState): CpuMemory;
}

class SwitchedPort implements SmmuPort {
  to: SmmuPort;

  constructor(to: SmmuPort) {
    this.to = to;
  }

  read32(offset: number): number {
    return this.to.read32(offset);
  }

  write32(offset: number, value: number): void {
    this.to.write32(offset, value);
  }

  read64(offset: number): bigint {
    return this.to.read64(offset);
  }

  write64(offset: number, value: bigint): void {
    this.to.write64(offset, value);
  }

  relax(): void {
    this.to.relax();
  }
}

class SwitchedMemory implements CpuMemory {
  to: CpuMemory;

  constructor(to: CpuMemory) {
    this.to = to;
  }

  load64(pa: number): bigint {
    return this.to.load64(pa);
  }

  store64(pa: number, value: bigint): void {
    this.to.store64(pa, value);
  }

  fill(pa: number, byte: number, sizeBytes: number): void {
    this.to.fill(pa, byte, sizeBytes);
  }

  readBytes(pa: number, sizeBytes: number): Uint8Array {
    return this.to.readBytes(pa, sizeBytes);
  }

  writeBytes(pa: number, bytes: Uint8Array): void {
    this.to.writeBytes(pa, bytes);
  }
}

export class Rehearsal implements Surroundings {
  readonly #view: MachineView;
  readonly #smmus: readonly Smmu[];
  readonly #real: Surroundings;
  readonly #switches: (() => void)[] = [];

  constructor({ machine }: MachineView, real: Surroundings) {
    this.#real = real;
    this.#view = shareMachine(machine, 1).view;
    this.#smmus = machine.smmus.map(
      ({ config }, index) => new Smmu(config, this.#view.spacesOf(index), { interrupt() {} }),
    );
  }

  port(smmu: number, security: SecurityState): SmmuPort {
    const port = new SwitchedPort(new DirectPort(this.#smmus[smmu]!, security));
    this.#switches.push(() => {
      port.to = this.#real.port(smmu, security);
    });
    return port;
  }

  memory(smmu: number, security: SecurityState): CpuMemory {
    const memory = new SwitchedMemory(new SpaceMemory(this.#view.spacesOf(smmu)[security]));
    this.#switches.push(() => {
      memory.to = this.#real.memory(smmu, security);
    });
    return memory;
  }

  /** From now on everything that was handed out leads to the real machine. */
  end(): void {
    for (const change of this.#switches) change();
  }
}
