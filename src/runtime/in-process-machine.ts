/**
 * A machine in this thread, after its software has programmed every SMMU and before any device has done DMA: what
 * `explain` asks. The same parts as in a threaded run, joined by direct calls.
 */
import { SECURITY_STATES, type SecurityState } from '../arch/security.js';
import type { Machine } from '../machine/types.js';
import type { SmmuConfig } from '../smmu/config.js';
import { Smmu } from '../smmu/smmu.js';
import type { Tbu } from '../smmu/tbu/tbu.js';
import { boot } from '../software/boot.js';
import { SmmuDriver } from '../software/driver.js';
import { DriverError, type SmmuPort, SpaceMemory } from '../software/port.js';
import { homeRegion, regionAllocators, streamsOf } from './boot-plan.js';
import { type MachineView, shareMachine } from './shared-machine.js';

/** The software could not do what the machine file says; the message says what and why. */
export class BootError extends Error {
  override readonly name = 'BootError';
}

export interface BootedSmmu {
  readonly config: SmmuConfig;
  readonly tbu: Tbu;
}

/** An SMMU's registers in the same thread. */
export class DirectPort implements SmmuPort {
  readonly #smmu: Smmu;
  readonly #security: SecurityState;

  constructor(smmu: Smmu, security: SecurityState) {
    this.#smmu = smmu;
    this.#security = security;
  }

  read32(offset: number): number {
    return Number(this.#smmu.readRegister(offset, 4, this.#security));
  }

  write32(offset: number, value: number): void {
    this.#smmu.writeRegister(offset, 4, BigInt(value), this.#security);
  }

  read64(offset: number): bigint {
    return this.#smmu.readRegister(offset, 8, this.#security);
  }

  write64(offset: number, value: bigint): void {
    this.#smmu.writeRegister(offset, 8, value, this.#security);
  }

  relax(): void {
    this.#smmu.runToIdle();
  }
}

/**
 * Builds a realized machine and runs its boot software.
 * @returns its SMMUs, in the order of the machine.
 * @throws BootError
 */
export function bootInProcess(machine: Machine): readonly BootedSmmu[] {
  const { view } = shareMachine(machine, 1);
  const smmus = machine.smmus.map(
    ({ config }, index) => new Smmu(config, view.spacesOf(index), { interrupt() {} }),
  );
  try {
    program(view, smmus);
  } catch (error) {
    throw error instanceof DriverError ? new BootError(error.message) : error;
  }
  return smmus.map(({ tbu }, index) => ({ config: machine.smmus[index]!.config, tbu }));
}

function program(view: MachineView, smmus: readonly Smmu[]): void {
  const { machine } = view;
  const allocators = regionAllocators(machine);
  for (const [index, smmu] of smmus.entries()) {
    const allocator = (security: SecurityState) => allocators.get(homeRegion(machine, index, security).id)!;
    for (const security of SECURITY_STATES) {
      const streams = streamsOf(machine, index, security);
      if (streams.length === 0) continue;
      const driver = new SmmuDriver({
        smmu: machine.smmus[index]!.id,
        security,
        port: new DirectPort(smmu, security),
        memory: new SpaceMemory(view.spacesOf(index)[security]),
        allocator: allocator(security),
      });
      boot(driver, streams, allocator);
    }
    smmu.runToIdle();
  }
}
