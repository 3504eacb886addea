/**
 * One DMA thread's work: several devices, in turns of one guarded batch each, so that devices make progress together even
 * where there are more of them than threads. At every SMMU that its devices sit behind, the thread has one TBU.
 */
import { type DmaCounters, DmaMaster } from '../devices/dma-master.js';
import type { WorkloadStep } from '../machine/types.js';
import { Tbu, type TbuCounters } from '../smmu/tbu/tbu.js';
import { type DevicePort, DirectPort, TranslatedPort } from './access-port.js';
import {
  type Control,
  DEVICE_ABORTS,
  DEVICE_ACCESSES,
  DEVICE_BYTES,
  DEVICE_STEP,
  DONE,
  RUNNING,
  type SmmuOffsets,
  TBU_HITS,
  TBU_MISSES,
  TBU_TRANSACTIONS,
  TBU_WALKS,
} from './control.js';
import { EventRingSender } from './event-ring.js';
import { type AddressSpaces, MachineView, memoryThreads, type SharedMachine } from './shared-machine.js';
import { BATCH_TRANSACTIONS, TbuGuard } from './tbu-guard.js';

export interface LaneTask {
  readonly shared: SharedMachine;
  readonly lane: number;
  readonly work: readonly DeviceWork[];
}

export interface DeviceWork {
  /** Index into Machine.devices. */
  readonly device: number;
  readonly steps: readonly WorkloadStep[];
}

export interface StepResult extends DmaCounters {
  /** Input address of the first access that did not succeed. */
  readonly failedAt?: bigint;
}

/** What a device's accesses did to the TBU that it shares with the other devices of its thread. */
export interface TranslationCounts {
  hits: number;
  misses: number;
  walks: number;
  events: number;
}

export interface DeviceResult {
  readonly device: number;
  /** All zero for a device behind no SMMU. */
  readonly translation: Readonly<TranslationCounts>;
  /** One per step; a step that was not finished has done fewer accesses. */
  readonly steps: readonly StepResult[];
  readonly finished: boolean;
}

/** A TBU with what guards and publishes it. */
class LaneTbu {
  readonly tbu: Tbu;
  readonly spaces: AddressSpaces;
  readonly guard: TbuGuard;
  readonly #control: Control;
  readonly #statistics: number;

  constructor(view: MachineView, smmu: number, lane: number) {
    const at: SmmuOffsets = view.control.offsets.smmus[smmu]!;
    const slot = at.slots[lane]!;
    const events = new EventRingSender(view.control, at, slot, view.smmuLimit(smmu, 'to take event records'));
    this.spaces = view.spacesOf(smmu);
    const { config } = view.machine.smmus[smmu]!;
    const stalls = view.control.stalls(at, config.idr).range(lane, at.slots.length);
    this.tbu = new Tbu(config, this.spaces, events, stalls);
    this.guard = new TbuGuard(
      view.control,
      at,
      slot,
      this.tbu,
      view.smmuLimit(smmu, 'to finish a register update'),
    );
    this.#control = view.control;
    this.#statistics = slot.statistics;
  }

  publish(): void {
    const { counters } = this.tbu;
    this.#control.setStatistic(this.#statistics, TBU_TRANSACTIONS, counters.transactions);
    this.#control.setStatistic(this.#statistics, TBU_HITS, counters.hits);
    this.#control.setStatistic(this.#statistics, TBU_MISSES, counters.misses);
    this.#control.setStatistic(this.#statistics, TBU_WALKS, counters.walks);
  }
}

/** One device with its way to memory. */
class LaneDevice {
  readonly #work: DeviceWork;
  readonly #master: DmaMaster;
  readonly #port: DevicePort;
  readonly #tbu: LaneTbu | undefined;
  readonly #control: Control;
  readonly #statistics: number;
  readonly #failedAt: (bigint | undefined)[];
  readonly #translation: TranslationCounts = { hits: 0, misses: 0, walks: 0, events: 0 };
  #watched = -1;
  #accesses = 0;

  constructor(view: MachineView, work: DeviceWork, tbu: LaneTbu | undefined) {
    this.#work = work;
    this.#port =
      tbu === undefined
        ? new DirectPort(view.systemSpace())
        : new TranslatedPort(view.machine.devices[work.device]!, tbu.tbu, tbu.spaces);
    this.#master = new DmaMaster(work.steps, this.#port);
    this.#tbu = tbu;
    this.#control = view.control;
    this.#statistics = view.control.offsets.devices[work.device]!;
    this.#failedAt = work.steps.map(() => undefined);
  }

  get finished(): boolean {
    return this.#master.finished;
  }

  batch(): void {
    const step = this.#master.step;
    if (step !== this.#watched) {
      this.#watched = step;
      this.#port.watch();
    }
    const before = this.#tbu?.tbu.counters;
    this.#tbu?.guard.begin();
    this.#accesses += this.#master.run(BATCH_TRANSACTIONS);
    this.#tbu?.guard.end();
    if (before !== undefined) this.#count(before, this.#tbu!.tbu.counters);
    this.#failedAt[step] = this.#port.failedAt;
    this.#tbu?.publish();
    this.#publish();
  }

  result(): DeviceResult {
    const steps = this.#master.counters.map((counters, step) => {
      const failedAt = this.#failedAt[step];
      return failedAt === undefined ? { ...counters } : { ...counters, failedAt };
    });
    return { device: this.#work.device, translation: this.#translation, steps, finished: this.finished };
  }

  #count(before: TbuCounters, after: TbuCounters): void {
    for (const key of ['hits', 'misses', 'walks', 'events'] as const) {
      this.#translation[key] += after[key] - before[key];
    }
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

/** Runs until all devices have done their steps, or the machine stops. */
export function runLane(task: LaneTask): readonly DeviceResult[] {
  const view = MachineView.attach(task.shared, memoryThreads.lane(task.shared.shape, task.lane));
  const { control } = view;
  const thread = control.offsets.lanes[task.lane]!;
  const tbus = new Map<number, LaneTbu>();
  const devices = task.work.map((work) => {
    const { smmu } = view.machine.devices[work.device]!;
    if (smmu < 0) return new LaneDevice(view, work, undefined);
    const tbu = tbus.get(smmu) ?? new LaneTbu(view, smmu, task.lane);
    tbus.set(smmu, tbu);
    return new LaneDevice(view, work, tbu);
  });
  Atomics.store(control.words, thread.state, RUNNING);
  for (let busy = true; busy && !control.stopRequested && !control.hasFailed; ) {
    Atomics.add(control.words, thread.heartbeat, 1);
    busy = false;
    for (const device of devices) {
      if (device.finished) continue;
      device.batch();
      busy = true;
    }
  }
  Atomics.store(control.words, thread.state, DONE);
  return devices.map((device) => device.result());
}
