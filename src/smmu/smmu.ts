/**
 * One SMMUv3 in one thread: a TCU and one TBU that call each other directly. The deterministic machine, the replayer
 * and the tests use it; what threads do differently is in `runtime`.
 */
import type { SecurityState } from '../arch/security.js';
import type { PhysicalAddressSpace } from '../memory/address-space.js';
import type { Workspace } from '../memory/guest-memory.js';
import type { SmmuConfig } from './config.js';
import type { EventChannel, TbuChannel } from './maintenance.js';
import { StallTable } from './stalls.js';
import { aboutInstance, type CacheChoice, type Commit } from './state.js';
import { Tbu } from './tbu/tbu.js';
import type { TbuState } from './tbu/tbu-state.js';
import { Tcu, type TcuIo, type TcuState } from './tcu/tcu.js';

/** The two spaces by Security state; without a Secure one both may be the same. */
export type Spaces = readonly [PhysicalAddressSpace, PhysicalAddressSpace];

export interface SmmuState {
  readonly tcu: TcuState;
  readonly tbu: TbuState;
}

export class Smmu {
  readonly tcu: Tcu;
  readonly tbu: Tbu;
  readonly #id: string;

  /** @param workspace as the TBU takes it. */
  constructor(config: SmmuConfig, spaces: Spaces, io: TcuIo, workspace?: Workspace) {
    this.#id = config.id;
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
    this.tbu = new Tbu(config, spaces, events, stalls.range(), workspace);
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

  /** Everything that the SMMU knows and memory does not, between two calls; plain cloneable data. */
  save(caches: CacheChoice = 'kept'): SmmuState {
    return { tcu: this.tcu.save(), tbu: this.tbu.save(caches) };
  }

  /**
   * Takes the state of an SMMU with the same ID registers. Afterwards nothing distinguishes the two (REQUIREMENTS A47).
   * @throws StateError that names the instance; then nothing has changed.
   */
  restore(state: SmmuState): void {
    this.prepare(state)();
  }

  /** The first half of {@link restore}, for those who restore several or none. */
  prepare({ tcu, tbu }: SmmuState): Commit {
    const ofTcu = this.tcu.prepare(tcu);
    const ofTbu = aboutInstance(this.#id, () => this.tbu.prepare(tbu));
    return () => {
      ofTcu();
      ofTbu();
    };
  }

  /** Back to the state after power-on; caches are empty. */
  reset(): void {
    this.tbu.dropCaches();
    this.tcu.reset();
  }
}
