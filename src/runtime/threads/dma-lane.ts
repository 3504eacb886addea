/**
 * One DMA thread's work: several devices, in turns of one guarded batch each, so that devices make progress together even
 * where there are more of them than threads. At every SMMU that its devices sit behind, the thread has one TBU.
 */
import { type DmaCounters, DmaMaster } from '../../devices/dma-master.js';
import type { DeviceInstance, WorkloadStep } from '../../machine/types.js';
import type { CacheChoice } from '../../smmu/state.js';
import type { DeviceState, LaneState } from '../machine-state.js';
import {
  type Control,
  DEVICE_ABORTS,
  DEVICE_ACCESSES,
  DEVICE_BYTES,
  DEVICE_STEP,
  DONE,
  RUNNING,
} from '../shared/control.js';
import { Presence } from '../shared/presence.js';
import { MachineView, memoryThreads, type SharedMachine } from '../shared/shared-machine.js';
import { BATCH_TRANSACTIONS } from '../shared/tbu-guard.js';
import { type DevicePort, DirectPort, TranslatedPort } from './access-port.js';
import { LaneTbu, type TranslationCounts } from './lane-tbu.js';
import { type StalledAccess, StallWatch } from './stall-watch.js';
import { ThreadLife } from './thread-life.js';

export interface LaneTask {
  readonly shared: SharedMachine;
  readonly lane: number;
  readonly work: readonly DeviceWork[];
  /** How long a device waits for a stalled access to be resumed. */
  readonly stallLimitMs?: number;
  /** Where the devices, in the order of `work`, and their TBUs go on from. */
  readonly from?: LaneState;
  /** When the workload is to pause, and whether the caches are to be kept then. */
  readonly pause?: PauseOrder;
}

export interface LaneResult {
  readonly devices: readonly DeviceResult[];
  /** Where they stand; present when a pause was ordered, whether or not it has come. */
  readonly state?: LaneState;
}

/** The machine pauses at the first batch border at which one of these holds. */
export interface PauseOrder {
  /** This many steps of a device are over. */
  readonly step?: { readonly device: number; readonly steps: number };
  /** All devices together have made this many accesses. */
  readonly accesses?: number;
  readonly caches: CacheChoice;
}

export interface DeviceWork {
  /** Index into Machine.devices, or beyond: the place of a device that was plugged in. */
  readonly device: number;
  /** Present for a device that was plugged in. */
  readonly plugged?: DeviceInstance;
  readonly steps: readonly WorkloadStep[];
}

export interface StepResult extends DmaCounters {
  /** Input address of the first access that did not succeed. */
  readonly failedAt?: bigint;
}

export interface DeviceResult {
  readonly device: number;
  /** All zero for a device behind no SMMU. */
  readonly translation: Readonly<TranslationCounts>;
  /** One per step; a step that was not finished has done fewer accesses. */
  readonly steps: readonly StepResult[];
  /** False when the machine stopped before, or the device was unplugged. */
  readonly finished: boolean;
  /** It gave up waiting for a stalled access to be resumed. */
  readonly stalled?: StalledAccess;
}

/** One device with its way to memory. */
export class LaneDevice {
  readonly #work: DeviceWork;
  readonly #master: DmaMaster;
  readonly #port: DevicePort;
  readonly #tbu: LaneTbu | undefined;
  readonly #control: Control;
  readonly #statistics: number;
  readonly #failedAt: (bigint | undefined)[];
  readonly #translation: TranslationCounts = { hits: 0, misses: 0, walks: 0, events: 0 };
  readonly #presence: Presence;
  readonly #stall: StallWatch;
  #watched = -1;
  #accesses = 0;

  constructor(
    view: MachineView,
    work: DeviceWork,
    device: DeviceInstance,
    tbu: LaneTbu | undefined,
    stallLimitMs: number | undefined,
  ) {
    this.#work = work;
    this.#stall = new StallWatch(stallLimitMs);
    this.#port = tbu === undefined ? new DirectPort(view.systemSpace()) : new TranslatedPort(device, tbu);
    this.#presence = new Presence(view.control, work.device);
    this.#presence.begin();
    this.#master = new DmaMaster(work.steps, this.#port, view.memory.bounce);
    this.#tbu = tbu;
    this.#control = view.control;
    this.#statistics = view.control.offsets.devices[work.device]!;
    this.#failedAt = work.steps.map(() => undefined);
  }

  /** Steps that are over. */
  get stepsDone(): number {
    return this.#master.step;
  }

  save(): DeviceState {
    const { stalledAt } = this.#port;
    const { abandoned } = this.#stall;
    const held = this.#port instanceof TranslatedPort && stalledAt !== undefined;
    return {
      device: this.#work.device,
      master: this.#master.save(),
      failedAt: [...this.#failedAt],
      ...(held ? { stalled: { iova: stalledAt, stag: (this.#port as TranslatedPort).stag } } : {}),
      ...(abandoned === undefined ? {} : { abandoned }),
      translation: { ...this.#translation },
      accesses: this.#accesses,
    };
  }

  restore({ master, failedAt, stalled, abandoned, translation, accesses }: DeviceState): void {
    this.#master.restore(master);
    this.#watched = master.step;
    this.#port.failedAt = failedAt[master.step];
    for (const [step, iova] of failedAt.entries()) this.#failedAt[step] = iova;
    if (stalled !== undefined && this.#port instanceof TranslatedPort) {
      const { op } = this.#work.steps[master.step]!;
      const write = op === 'fill' || (op === 'copy' && master.held.length > 0);
      this.#port.restoreStalled(stalled.iova, stalled.stag, write);
    }
    this.#stall.abandoned = abandoned;
    Object.assign(this.#translation, translation);
    this.#accesses = accesses;
    this.#publish();
  }

  /** Nothing is left to do: all steps are done, or the device is gone, or has given up. */
  get finished(): boolean {
    return this.#master.finished || this.#presence.gone || this.#stall.abandoned !== undefined;
  }

  /** The TBU that holds its access, while one does. */
  get stalledAt(): LaneTbu | undefined {
    return this.#master.stalled ? this.#tbu : undefined;
  }

  /**
   * Between two batches nothing of the device is in flight, unless it is stalled: that is when it may leave or rest. One
   * that is to do so ends its stalled access and begins no other.
   */
  batch(): void {
    const { leaving, held } = this.#presence;
    if ((leaving || held) && !this.#master.stalled) {
      if (leaving) this.#presence.end();
      else this.#presence.rest();
      return;
    }
    this.#port.StreamID = this.#presence.StreamID;
    const step = this.#master.step;
    if (step !== this.#watched) {
      this.#watched = step;
      this.#port.watch();
    }
    this.#tbu?.begin();
    const accesses = this.#master.run(leaving || held ? 1 : BATCH_TRANSACTIONS);
    this.#tbu?.end();
    this.#accesses += accesses;
    this.#stall.look(this.#port.stalledAt, step, accesses > 0);
    this.#failedAt[step] = this.#port.failedAt;
    this.#tbu?.publish(this.#translation);
    this.#publish();
    if (this.finished) this.#presence.end();
  }

  /** The thread's last word about the device. */
  result(): DeviceResult {
    this.#presence.end();
    const steps = this.#master.counters.map((counters, step) => {
      const failedAt = this.#failedAt[step];
      return failedAt === undefined ? { ...counters } : { ...counters, failedAt };
    });
    return {
      device: this.#work.device,
      translation: this.#translation,
      steps,
      finished: this.#master.finished,
      ...(this.#stall.abandoned === undefined ? {} : { stalled: this.#stall.abandoned }),
    };
  }

  #publish(): void {
    let bytes = 0;
    let aborts = 0;
    for (const counters of this.#master.counters) {
      bytes += counters.bytes;
      aborts += counters.aborts;
    }
    this.#control.setStatistic(this.#statistics, DEVICE_ACCESSES, this.#accesses);
    this.#control.setStatistic(this.#statistics, DEVICE_BYTES, bytes);
    this.#control.setStatistic(this.#statistics, DEVICE_ABORTS, aborts);
    this.#control.setStatistic(this.#statistics, DEVICE_STEP, this.#master.step);
  }
}

/** A DMA thread's devices and TBUs. */
export class Lane {
  readonly view: MachineView;
  readonly #lane: number;
  readonly #stallLimitMs: number | undefined;
  readonly #tbus = new Map<number, LaneTbu>();

  constructor(shared: SharedMachine, lane: number, stallLimitMs?: number) {
    this.view = MachineView.attach(shared, memoryThreads.lane(shared.shape, lane));
    this.#lane = lane;
    this.#stallLimitMs = stallLimitMs;
  }

  adopt(work: DeviceWork): LaneDevice {
    const own = work.plugged ?? this.view.machine.devices[work.device]!;
    // Who is passed through does DMA where the host's device is.
    const device = own.host ?? own;
    const tbu = device.smmu < 0 ? undefined : this.#tbu(device.smmu);
    return new LaneDevice(this.view, work, device, tbu, this.#stallLimitMs);
  }

  save(devices: readonly LaneDevice[], caches: CacheChoice): LaneState {
    return {
      devices: devices.map((device) => device.save()),
      tbus: [...this.#tbus].map(([smmu, { tbu }]) => ({ smmu, state: tbu.save(caches) })),
    };
  }

  restore(devices: readonly LaneDevice[], state: LaneState): void {
    for (const { smmu, state: tbu } of state.tbus) this.#tbu(smmu).restore(tbu);
    for (const [index, device] of devices.entries()) device.restore(state.devices[index]!);
  }

  #tbu(smmu: number): LaneTbu {
    const tbu = this.#tbus.get(smmu) ?? new LaneTbu(this.view, smmu, this.#lane);
    this.#tbus.set(smmu, tbu);
    return tbu;
  }
}

/**
 * Where all devices that are left are stalled, sleeps until their SMMU has done something. They are asked about in their
 * turns, as any batch within the TBU's guard: nobody waits for a stalled access.
 */
export function awaitStalled(devices: readonly LaneDevice[]): void {
  let at: LaneTbu | undefined;
  for (const device of devices) {
    if (device.finished) continue;
    at = device.stalledAt;
    if (at === undefined) return;
  }
  at?.awaitProgress();
}

/** Whether the moment has come at which the machine pauses: DMA threads find that out, so that it is not missed. */
function reached(
  { step, accesses }: PauseOrder,
  task: LaneTask,
  devices: readonly LaneDevice[],
  control: Control,
) {
  if (step !== undefined) {
    const index = task.work.findIndex(({ device }) => device === step.device);
    return index >= 0 && devices[index]!.stepsDone >= step.steps;
  }
  const lines = control.offsets.devices;
  return lines.reduce((sum, line) => sum + control.statistic(line, DEVICE_ACCESSES), 0) >= accesses!;
}

/** Runs until all devices have done their steps or given up, or the machine stops or pauses. */
export function runLane(task: LaneTask): LaneResult {
  const lane = new Lane(task.shared, task.lane, task.stallLimitMs);
  const { control } = lane.view;
  const life = new ThreadLife(control, control.offsets.lanes[task.lane]!);
  const devices = task.work.map((work) => lane.adopt(work));
  if (task.from !== undefined) lane.restore(devices, task.from);
  const { pause } = task;
  life.state = RUNNING;
  for (let busy = true; busy && !control.stopRequested && !control.hasFailed; ) {
    life.beat();
    busy = false;
    for (const device of devices) {
      if (device.finished) continue;
      device.batch();
      busy = true;
      if (pause !== undefined && reached(pause, task, devices, control)) control.pause();
    }
    awaitStalled(devices);
  }
  life.state = DONE;
  const results = devices.map((device) => device.result());
  if (pause === undefined) return { devices: results };
  return { devices: results, state: lane.save(devices, pause.caches) };
}
