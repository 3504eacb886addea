/**
 * A machine in this thread, after its software has programmed every SMMU and before any device has done DMA: what
 * `explain` asks. The same parts as in a threaded run, joined by direct calls.
 */
import { NON_SECURE, SECURITY_STATES, type SecurityState } from '../arch/security.js';
import type { Machine } from '../machine/types.js';
import type { SmmuConfig } from '../smmu/config.js';
import { Smmu } from '../smmu/smmu.js';
import type { Tbu } from '../smmu/tbu/tbu.js';
import { boot } from '../software/boot.js';
import { SmmuDriver } from '../software/driver.js';
import { DriverError, type SmmuPort, SpaceMemory } from '../software/port.js';
import { homeRegion, hostsOf, regionAllocators, streamsOf } from './boot-plan.js';
import { type MachineView, shareMachine } from './shared/shared-machine.js';
import { Hypervisor } from './threads/hypervisor.js';

/** The software could not do what the machine file says; the message says what and why. */
export class BootError extends Error {
  override readonly name = 'BootError';
}

export interface BootedSmmu {
  readonly config: SmmuConfig;
  readonly tbu: Tbu;
}

/** An SMMU that runs in this thread. */
export type LocalSmmu = Pick<Smmu, 'readRegister' | 'writeRegister' | 'runToIdle'>;

/** An SMMU's registers in the same thread. */
export class DirectPort implements SmmuPort {
  readonly #smmu: LocalSmmu;
  readonly #security: SecurityState;

  constructor(smmu: LocalSmmu, security: SecurityState) {
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
 * @returns its SMMUs, in the order of the machine; for an accelerated one, the physical SMMU below it.
 * @throws BootError
 */
export function bootInProcess(machine: Machine): readonly BootedSmmu[] {
  const { view } = shareMachine(machine, 1);
  const io = { interrupt() {} };
  const physical = machine.smmus.map(({ config, accel }, index) =>
    accel === undefined ? new Smmu(config, view.spacesOf(index), io) : undefined,
  );
  try {
    const programmable = new Map<number, LocalSmmu>();
    for (const [index, smmu] of physical.entries()) if (smmu !== undefined) programmable.set(index, smmu);
    for (const host of hostsOf(machine)) {
      const port = new DirectPort(physical[host]!, NON_SECURE);
      const { guests } = new Hypervisor(view, host, port, () => ({ io }));
      for (const [index, guest] of guests) programmable.set(index, guest);
    }
    program(view, programmable);
  } catch (error) {
    throw error instanceof DriverError ? new BootError(error.message) : error;
  }
  return machine.smmus.map(({ accel }, index) => {
    const below = accel ?? index;
    return { config: machine.smmus[below]!.config, tbu: physical[below]!.tbu };
  });
}

function program(view: MachineView, smmus: ReadonlyMap<number, LocalSmmu>): void {
  const { machine } = view;
  const allocators = regionAllocators(machine);
  for (const [index, smmu] of smmus) {
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
