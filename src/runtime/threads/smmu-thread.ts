/**
 * An SMMU in a thread of its own: the TCU, fed from shared memory. The thread looks at three sources in turn (register
 * writes, the TBUs' events, its own queues), and sleeps when none has work. comlink calls are answered in between.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { NON_SECURE, type SecurityState } from '../../arch/security.js';
import type { AcceleratedSmmu } from '../../iommufd/vsmmu/accelerated-smmu.js';
import type { TbuChannel } from '../../smmu/maintenance.js';
import { Tcu, type TcuIo, type TcuState } from '../../smmu/tcu/tcu.js';
import type { LocalSmmu } from '../in-process-machine.js';
import {
  type Control,
  RUNNING,
  type SmmuOffsets,
  TCU_COMMANDS,
  TCU_EVENTS,
  TCU_INVALIDATIONS,
  WAITING,
} from '../shared/control.js';
import { type InterruptName, interruptOffset } from '../shared/interrupts.js';
import { MailboxReceiver } from '../shared/mailbox.js';
import { guestsOf, MachineView, memoryThreads, type SharedMachine } from '../shared/shared-machine.js';
import { Signal } from '../shared/signal.js';
import { SharedTbuChannel } from '../shared/tbu-channel.js';
import type { Hypervisor } from './hypervisor.js';
import type { SmmuApi } from './smmu-api.js';
import { ThreadLife } from './thread-life.js';

/** Steps of the TCU between two looks at the mailbox, so that no queue can hold the thread (REQUIREMENTS B18). */
const STEPS_PER_TURN = 64;
/** Busy turns between two looks at the event loop. */
const TURNS_PER_YIELD = 256;
/** Looks at the doorbell before sleeping: one or two microseconds. */
const SPINS = 128;
/** Longest sleep: the heartbeat of an idle SMMU. */
const SLEEP_MS = 250;

/** Longest sleep of the kernel while it waits for this SMMU's TBUs. */
const RELAX_MS = 1;

/** An accelerated SMMU that this thread steps beside its own. */
interface GuestSmmu {
  readonly index: number;
  readonly smmu: AcceleratedSmmu;
  readonly mailbox: MailboxReceiver;
  readonly progress: Signal;
  readonly publish: () => void;
}

export interface SmmuSetup {
  readonly shared: SharedMachine;
  readonly smmu: number;
  /** Where it goes on from, instead of from reset. */
  readonly state?: TcuState;
}

export class SmmuThread {
  readonly tcu: Tcu;
  readonly #view: MachineView;
  readonly #smmu: number;
  readonly #control: Control;
  readonly #life: ThreadLife;
  readonly #at: SmmuOffsets;
  readonly #doorbell: Signal;
  readonly #progress: Signal;
  readonly #mailbox: MailboxReceiver;
  readonly #channel: SharedTbuChannel;
  #hypervisor: Hypervisor | undefined;
  #guests: readonly GuestSmmu[] = [];

  /** @param channelOf what may stand between the TCU and its way to the TBUs: how a stress run builds in a fault. */
  constructor({ shared, smmu, state }: SmmuSetup, channelOf = (channel: TbuChannel) => channel) {
    const view = MachineView.attach(shared, memoryThreads.smmu(smmu));
    const { control } = view;
    const at = control.offsets.smmus[smmu]!;
    this.#view = view;
    this.#smmu = smmu;
    this.#control = control;
    this.#life = new ThreadLife(control, at);
    this.#at = at;
    this.#doorbell = new Signal(control.words, at.doorbell);
    this.#progress = new Signal(control.words, at.progress);
    this.#mailbox = new MailboxReceiver(control, at);
    this.#channel = new SharedTbuChannel(control, at);
    const io = interruptLines(control, at);
    const config = view.machine.smmus[smmu]!.config;
    const stalls = control.stalls(at, config.idr);
    const channel = channelOf(this.#channel);
    this.tcu = new Tcu(config, view.spacesOf(smmu), channel, io, stalls, shared.registers[smmu]!);
    if (state !== undefined) this.tcu.prepare(state)();
    publish(control, at, this.tcu);
  }

  /** What the coordinator may ask. */
  api(): SmmuApi {
    return {
      start: async () => {
        // A defect must end the thread, with its message, and not a promise that nobody holds.
        const end = (error: unknown) => void setImmediate(() => throwOn(error));
        await this.#startGuests().catch(end);
        this.run().catch(end);
      },
      statistics: async (smmu) => ({
        ...(this.#guests.find((guest) => guest.index === smmu)?.smmu ?? this).tcu.counters,
      }),
      iommufds: async () => this.#hypervisor?.iommufds() ?? [],
      passThrough: async (device) => this.#hypervisor!.passThrough(device),
      takeBack: async (device) => this.#hypervisor!.takeBack(device),
      renumber: async (moves) => this.#hypervisor!.renumber(moves),
      save: async () => {
        while (this.turn());
        return this.tcu.save();
      },
    };
  }

  /** Runs until the machine fails; the coordinator ends the thread otherwise. */
  async run(): Promise<void> {
    let busyTurns = 0;
    while (!this.#control.hasFailed) {
      this.#life.state = RUNNING;
      const seen = this.#doorbell.count;
      if (this.turn()) {
        busyTurns++;
        if (busyTurns % TURNS_PER_YIELD === 0) await nextTurn();
      } else if (!this.#rings(seen)) {
        this.#life.state = WAITING;
        await this.#doorbell.sleepAsync(seen, SLEEP_MS);
      }
    }
  }

  /** One look at each source of work. @returns whether there was any. */
  turn(): boolean {
    let worked = this.#turnSmmu();
    for (const { smmu, mailbox, progress, publish } of this.#guests) {
      let moved = mailbox.drain(smmu.tcu);
      for (let steps = 0; steps < STEPS_PER_TURN && smmu.step(); steps++) moved = true;
      if (!moved) continue;
      worked = true;
      publish();
      progress.raise();
    }
    return worked;
  }

  /** The kernel and the VMMs of guests run in this thread; what they wait for is this SMMU alone. */
  async #startGuests(): Promise<void> {
    const { machine, control } = this.#view;
    if (guestsOf(machine, this.#smmu).length === 0) return;
    // Half of what a thread would load, and a quarter of its start, for the few SMMUs whose host runs guests.
    const { Hypervisor } = await import('./hypervisor.js');
    const { DirectPort } = await import('../in-process-machine.js');
    const own: LocalSmmu = {
      readRegister: (offset, sizeBytes, security) => this.tcu.readRegister(offset, sizeBytes, security),
      writeRegister: (offset, sizeBytes, value, security) =>
        this.tcu.writeRegister(offset, sizeBytes, value, security),
      runToIdle: () => {
        const seen = this.#doorbell.count;
        if (!this.#turnSmmu()) this.#doorbell.sleep(seen, RELAX_MS);
      },
    };
    const { registers } = this.#view.shared;
    const hypervisor = new Hypervisor(this.#view, this.#smmu, new DirectPort(own, NON_SECURE), (index) => ({
      io: interruptLines(control, control.offsets.smmus[index]!),
      registers: registers[index]!,
    }));
    this.#hypervisor = hypervisor;
    this.#guests = [...hypervisor.guests].map(([index, smmu]) => {
      const at = control.offsets.smmus[index]!;
      const progress = new Signal(control.words, at.progress);
      return {
        index,
        smmu,
        mailbox: new MailboxReceiver(control, at),
        progress,
        publish: () => publish(control, at, smmu.tcu),
      };
    });
  }

  /**
   * The order counts. The events of accesses that were over when a CMD_SYNC was issued are taken after the register write that
   * made it known, and before the queues are looked at: what `settled` says relies on that (tbu-channel.ts).
   */
  #turnSmmu(): boolean {
    this.#life.beat();
    let worked = this.#mailbox.drain(this.tcu);
    worked = this.#channel.drainEvents(this.tcu) || worked;
    for (let steps = 0; steps < STEPS_PER_TURN && this.tcu.step(); steps++) worked = true;
    if (worked) {
      publish(this.#control, this.#at, this.tcu);
      this.#progress.raise();
    }
    return worked;
  }

  #rings(seen: number): boolean {
    for (let spin = 0; spin < SPINS; spin++) if (this.#doorbell.count !== seen) return true;
    return false;
  }
}

/** The wired interrupts of an SMMU. */
function interruptLines(control: Control, at: SmmuOffsets): TcuIo {
  const interrupted = new Signal(control.words, control.offsets.interrupt);
  return {
    interrupt: (name: InterruptName, security: SecurityState) => {
      Atomics.add(control.words, interruptOffset(at, name, security), 1);
      interrupted.raise();
    },
  };
}

function publish(control: Control, { statistics }: SmmuOffsets, tcu: Tcu): void {
  const { commands, invalidations, events } = tcu.counters;
  control.setStatistic(statistics, TCU_COMMANDS, commands);
  control.setStatistic(statistics, TCU_INVALIDATIONS, invalidations);
  control.setStatistic(statistics, TCU_EVENTS, events);
}

function throwOn(error: unknown): never {
  throw error;
}
