/**
 * An SMMU in a thread of its own: the TCU, fed from shared memory. The thread looks at three sources in turn (register
 * writes, the TBUs' events, its own queues), and sleeps when none has work. comlink calls are answered in between.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { SecurityState } from '../arch/security.js';
import type { TbuChannel } from '../smmu/maintenance.js';
import { Tcu, type TcuState } from '../smmu/tcu/tcu.js';
import {
  type Control,
  RUNNING,
  type SmmuOffsets,
  TCU_COMMANDS,
  TCU_EVENTS,
  TCU_INVALIDATIONS,
  WAITING,
} from './control.js';
import { type InterruptName, interruptOffset } from './interrupts.js';
import { MailboxReceiver } from './mailbox.js';
import { MachineView, memoryThreads, type SharedMachine } from './shared-machine.js';
import { Signal } from './signal.js';
import type { SmmuApi, TcuStatistics } from './smmu-api.js';
import { SharedTbuChannel } from './tbu-channel.js';
import { ThreadLife } from './thread-life.js';

/** Steps of the TCU between two looks at the mailbox, so that no queue can hold the thread (REQUIREMENTS B18). */
const STEPS_PER_TURN = 64;
/** Busy turns between two looks at the event loop. */
const TURNS_PER_YIELD = 256;
/** Looks at the doorbell before sleeping: one or two microseconds. */
const SPINS = 128;
/** Longest sleep: the heartbeat of an idle SMMU. */
const SLEEP_MS = 250;

export interface SmmuSetup {
  readonly shared: SharedMachine;
  readonly smmu: number;
  /** Where it goes on from, instead of from reset. */
  readonly state?: TcuState;
}

export class SmmuThread {
  readonly tcu: Tcu;
  readonly #control: Control;
  readonly #life: ThreadLife;
  readonly #at: SmmuOffsets;
  readonly #doorbell: Signal;
  readonly #progress: Signal;
  readonly #mailbox: MailboxReceiver;
  readonly #channel: SharedTbuChannel;
  readonly #stopped: () => boolean;

  /** @param channelOf what may stand between the TCU and its way to the TBUs: how a stress run builds in a fault. */
  constructor({ shared, smmu, state }: SmmuSetup, channelOf = (channel: TbuChannel) => channel) {
    const view = MachineView.attach(shared, memoryThreads.smmu(smmu));
    const { control } = view;
    const at = control.offsets.smmus[smmu]!;
    this.#control = control;
    this.#life = new ThreadLife(control, at);
    this.#at = at;
    this.#doorbell = new Signal(control.words, at.doorbell);
    this.#progress = new Signal(control.words, at.progress);
    this.#mailbox = new MailboxReceiver(control, at);
    this.#channel = new SharedTbuChannel(control, at);
    this.#stopped = () => control.hasFailed;
    const interrupted = new Signal(control.words, control.offsets.interrupt);
    const io = {
      interrupt: (name: InterruptName, security: SecurityState) => {
        Atomics.add(control.words, interruptOffset(at, name, security), 1);
        interrupted.raise();
      },
    };
    const config = view.machine.smmus[smmu]!.config;
    const stalls = control.stalls(at, config.idr);
    const channel = channelOf(this.#channel);
    this.tcu = new Tcu(config, view.spacesOf(smmu), channel, io, stalls, shared.registers[smmu]!);
    if (state !== undefined) this.tcu.prepare(state)();
    this.#publish();
  }

  /** What the coordinator may ask. */
  api(): SmmuApi {
    return {
      start: async () => {
        // A defect must end the thread, with its message, and not a promise that nobody holds.
        this.run().catch((error) => setImmediate(() => throwOn(error)));
      },
      statistics: async () => this.statistics(),
      save: async () => {
        while (this.turn());
        return this.tcu.save();
      },
    };
  }

  statistics(): TcuStatistics {
    return { ...this.tcu.counters };
  }

  /** Runs until the machine fails; the coordinator ends the thread otherwise. */
  async run(): Promise<void> {
    let busyTurns = 0;
    while (!this.#stopped()) {
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
    this.#life.beat();
    let worked = this.#mailbox.drain(this.tcu);
    worked = this.#channel.drainEvents(this.tcu) || worked;
    for (let steps = 0; steps < STEPS_PER_TURN && this.tcu.step(); steps++) worked = true;
    if (worked) {
      this.#publish();
      this.#progress.raise();
    }
    return worked;
  }

  #rings(seen: number): boolean {
    for (let spin = 0; spin < SPINS; spin++) if (this.#doorbell.count !== seen) return true;
    return false;
  }

  #publish(): void {
    const { commands, invalidations, events } = this.tcu.counters;
    const { statistics } = this.#at;
    this.#control.setStatistic(statistics, TCU_COMMANDS, commands);
    this.#control.setStatistic(statistics, TCU_INVALIDATIONS, invalidations);
    this.#control.setStatistic(statistics, TCU_EVENTS, events);
  }
}

function throwOn(error: unknown): never {
  throw error;
}
