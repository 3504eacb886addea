/**
 * SMMUs on the bench: the parts of a threaded machine (TCU, channel, TBU with guard and event ring) over the guest's memory,
 * with the TCUs in this thread. Other threads attach their TBUs as DMA threads do.
 */
import { NON_SECURE } from '../src/arch/security.js';
import type { Machine } from '../src/machine/types.js';
import type { RunningMachine } from '../src/runtime/coordinator.js';
import {
  type AddressSpaces,
  type MachineView,
  type SharedMachine,
  shareMachine,
} from '../src/runtime/shared/shared-machine.js';
import { SharedTbuChannel } from '../src/runtime/shared/tbu-channel.js';
import { LaneTbu } from '../src/runtime/threads/lane-tbu.js';
import { Tcu } from '../src/smmu/tcu/tcu.js';
import type { SmmuPort } from '../src/software/port.js';
import { Guest } from './guest.js';

class BenchSmmu implements SmmuPort {
  readonly tcu: Tcu;
  readonly #channel: SharedTbuChannel;

  constructor(view: MachineView, index: number, registers: SharedArrayBuffer) {
    const { control } = view;
    const at = control.offsets.smmus[index]!;
    const { config } = view.machine.smmus[index]!;
    this.#channel = new SharedTbuChannel(control, at);
    const stalls = control.stalls(at, config.idr);
    this.tcu = new Tcu(config, view.spacesOf(index), this.#channel, { interrupt() {} }, stalls, registers);
  }

  /** Takes event records, then does one step. @returns whether there was anything to do. */
  step(): boolean {
    const drained = this.#channel.drainEvents(this.tcu);
    return this.tcu.step() || drained;
  }

  read32(offset: number): number {
    return Number(this.tcu.readRegister(offset, 4, NON_SECURE));
  }

  read64(offset: number): bigint {
    return this.tcu.readRegister(offset, 8, NON_SECURE);
  }

  write32(offset: number, value: number): void {
    this.tcu.writeRegister(offset, 4, BigInt(value), NON_SECURE);
  }

  write64(offset: number, value: bigint): void {
    this.tcu.writeRegister(offset, 8, value, NON_SECURE);
  }

  relax(): void {
    this.step();
  }
}

export class Rig {
  readonly shared: SharedMachine;
  readonly view: MachineView;
  /** The SMMUs whose TCUs are in this thread. */
  readonly smmus: readonly BenchSmmu[];
  readonly guest: Guest;

  /** A machine with room for the TBUs of `lanes` threads; no TBU is running yet. */
  static make(machine: Machine, lanes: number): Rig {
    const { shared, view } = shareMachine(machine, lanes);
    const smmus = machine.smmus.map((_, index) => new BenchSmmu(view, index, shared.registers[index]!));
    return new Rig(shared, view, smmus, smmus);
  }

  /** A running machine, whose SMMUs are in threads of their own. */
  static over(running: RunningMachine): Rig {
    const ports = running.machine.smmus.map((_, index) => running.port(index));
    return new Rig(running.shared, running.view, [], ports);
  }

  private constructor(
    shared: SharedMachine,
    view: MachineView,
    smmus: readonly BenchSmmu[],
    ports: readonly SmmuPort[],
  ) {
    this.shared = shared;
    this.view = view;
    this.smmus = smmus;
    this.guest = new Guest(this.spaces[NON_SECURE]);
    for (const port of ports) Guest.program(port);
  }

  get spaces(): AddressSpaces {
    return this.view.spacesOf(0);
  }

  /** A TBU in this thread. */
  tbu(lane = 0): LaneTbu {
    const tbu = new LaneTbu(this.view, 0, lane);
    tbu.begin();
    tbu.end();
    return tbu;
  }
}
