/**
 * One SMMUv3 in one thread: a TCU and one TBU that call each other directly. The deterministic machine, the replayer
 * and the tests use it; what threads do differently is in `runtime`.
 */
import type { SecurityState } from '../arch/security.js';
import type { PhysicalAddressSpace } from '../memory/address-space.js';
import type { SmmuConfig } from './config.js';
import type { EventChannel, TbuChannel } from './maintenance.js';
import { StallTable } from './stalls.js';
import { Tbu } from './tbu/tbu.js';
import { Tcu, type TcuIo } from './tcu/tcu.js';

/** The two spaces by Security state; without a Secure one both may be the same. */
export type Spaces = readonly [PhysicalAddressSpace, PhysicalAddressSpace];

export class Smmu {
  readonly tcu: Tcu;
  readonly tbu: Tbu;

  constructor(config: SmmuConfig, spaces: Spaces, io: TcuIo) {
    // Each needs the other: the TBU is reached through a channel object that is complete once both are there.
    const link: { tbu?: Tbu } = {};
    const channel: TbuChannel = {
      broadcast: (message) => link.tbu!.handle(message),
      settled: () => true,
    };
    const events: EventChannel = {
      record: (words, security, stall) => this.tcu.record(words, security, stall),
    };
    const stalls = new StallTable(config.idr);
    this.tbu = new Tbu(config, spaces, events, stalls.range());
    link.tbu = this.tbu;
    this.tcu = new Tcu(config, spaces, channel, io, stalls);
  }

  /** Reads a register; see Tcu.readRegister. */
  readRegister(offset: number, sizeBytes: number, security: SecurityState): bigint {
    return this.tcu.readRegister(offset, sizeBytes, security);
  }

  /** Writes a register. Its effects follow in runToIdle. */
  writeRegister(offset: number, sizeBytes: number, value: bigint, security: SecurityState): void {
    this.tcu.writeRegister(offset, sizeBytes, value, security);
  }

  /** Runs until nothing more happens without new input: commands consumed, ACK registers and Update bits settled. */
  runToIdle(): void {
    while (this.tcu.step());
  }

  /** Back to the state after power-on; caches are empty. */
  reset(): void {
    this.tbu.dropCaches();
    this.tcu.reset();
  }
}
