/**
 * Runs a machine's workload once: start, boot, DMA, drain, verify, report. What goes wrong in the guest's world is a
 * sentence in the report; a thread of ours that dies is a MachineFailure. In every case all threads have ended on return.
 */
import { EVENT, eventFields, eventName } from '../arch/events.js';
import { get } from '../arch/layout.js';
import { SECURITY_NAMES } from '../arch/security.js';
import { noCounters } from '../devices/dma-master.js';
import { countMismatches } from '../devices/pattern.js';
import type { Machine } from '../machine/types.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import type { CacheChoice } from '../smmu/state.js';
import { type Beginning, laneCount, type RunningMachine, startMachine } from './coordinator.js';
import {
  checkMachineState,
  initialDevice,
  type LaneState,
  type MachineState,
  refuseAccelerated,
  stepsOfDevice,
} from './machine-state.js';
import { compareEvents, hex } from './report/expected-events.js';
import { ExpectedMemory, type WrittenRange } from './report/expected-memory.js';
import { Placement } from './report/placement.js';
import type { DeviceReport, EventReport, RunProgress, RunReport, SmmuReport } from './report/report.js';
import {
  DEVICE_ABORTS,
  DEVICE_ACCESSES,
  DEVICE_BYTES,
  DEVICE_STEP,
  TBU_HITS,
  TBU_MISSES,
  TBU_TRANSACTIONS,
  TBU_WALKS,
} from './shared/control.js';
import type {
  DeviceResult,
  DeviceWork,
  LaneResult,
  LaneTask,
  PauseOrder,
  StepResult,
} from './threads/dma-lane.js';
import type { TranslationCounts } from './threads/lane-tbu.js';
import type { DrainedEvents, PlacedMapping } from './threads/software-thread.js';
import { describeStalled } from './threads/stall-watch.js';

const PROGRESS_MS = 200;
/** Sentences and event kinds that a report holds; the rest is counted. */
const FAILURES_MAX = 50;
const EVENTS_MAX = 100;
const NO_TRANSLATION: TranslationCounts = { hits: 0, misses: 0, walks: 0, events: 0 };
const PAGE_BYTES = 4096;

export interface RunOptions {
  /** DMA threads; default: as many as devices with work, and no more than processors. */
  readonly lanes?: number;
  /** A thread without a sign of life for this long is reported as hung. */
  readonly hungMs?: number;
  /** How long a device waits for a stalled access to be resumed before the run gives it up. */
  readonly stallLimitMs?: number;
  /** Ends the workload early; the report tells what was done. */
  readonly signal?: AbortSignal;
  /** Goes on from where another run paused: with its state, and its memory. `lanes` is then that run's. */
  readonly from?: { readonly state: MachineState; readonly fill: Beginning['fill'] };
  /** Stops everything once, lets the state be taken, and goes on or ends. */
  readonly pause?: Pause;
  /** Called with the machine once it runs. */
  readonly onStart?: (running: RunningMachine) => void;
  /** What else is done with the machine beside its workload: the run neither pauses in it nor ends before this does. */
  readonly beside?: (running: RunningMachine) => Promise<void>;
}

/** When a run pauses: the first moment at which everything stands still and this has happened. */
export type PausePoint =
  | { readonly kind: 'boot' }
  /** A step of the workload, counted from 1 in the order of the machine file, is over. */
  | { readonly kind: 'step'; readonly step: number }
  /** All devices together have made so many accesses. */
  | { readonly kind: 'accesses'; readonly accesses: number };

export interface Pause {
  readonly at: PausePoint;
  readonly caches: CacheChoice;
  /** Called once, while nothing moves. What it throws ends the run. */
  readonly save: (state: MachineState, memory: GuestMemory) => Promise<void>;
  /** The run ends there; its report tells what was done so far. */
  readonly thenEnd: boolean;
}

/**
 * @throws MachineFailure when a thread of the machine dies or hangs.
 * @throws StateError when `from` does not fit the machine, or an SMMU is accelerated; nothing was started then.
 */
export async function runMachine(
  machine: Machine,
  options: RunOptions = {},
  onProgress: (progress: RunProgress) => void = () => {},
): Promise<RunReport> {
  if (options.pause !== undefined || options.from !== undefined) refuseAccelerated(machine);
  const work = workOf(machine);
  const lanes = options.from?.state.lanes.length ?? laneCount(machine, work.length, options.lanes);
  const started = performance.now();
  const running = await startMachine(machine, { lanes, ...hung(options), ...beginning(machine, options) });
  const stop = () => running.requestStop();
  options.signal?.addEventListener('abort', stop);
  if (options.signal?.aborted) stop();
  try {
    options.onStart?.(running);
    return await new Run(running, work, lanes, onProgress).finish(started, options);
  } finally {
    options.signal?.removeEventListener('abort', stop);
    await running.close();
  }
}

function beginning(machine: Machine, { from }: RunOptions): { from?: Beginning } {
  if (from === undefined) return {};
  checkMachineState(machine, from.state);
  return { from: { smmus: from.state.smmus, fill: from.fill } };
}

function hung(options: RunOptions): { hungMs?: number } {
  return options.hungMs === undefined ? {} : { hungMs: options.hungMs };
}

interface Worked {
  readonly results: readonly DeviceResult[];
  /** The run was to end at its pause. */
  readonly ended: boolean;
}

class Run {
  readonly #running: RunningMachine;
  readonly #machine: Machine;
  readonly #devices: readonly DeviceWork[];
  readonly #lanes: number;
  readonly #onProgress: (progress: RunProgress) => void;
  readonly #failures: string[] = [];
  #verifiedBytes = 0;
  #contestedBytes = 0;

  constructor(
    running: RunningMachine,
    work: readonly DeviceWork[],
    lanes: number,
    onProgress: (progress: RunProgress) => void,
  ) {
    this.#running = running;
    this.#machine = running.machine;
    this.#devices = work;
    this.#lanes = lanes;
    this.#onProgress = onProgress;
  }

  async finish(started: number, options: RunOptions): Promise<RunReport> {
    const running = this.#running;
    const { signal, from } = options;
    if (from === undefined) this.#progress('boot');
    const mappings = await (from === undefined
      ? running.bootSoftware()
      : running.restoreSoftware(from.state.software));
    const { results, ended } = await this.#runWorkload(options);
    const drained = await running.concludeSoftware();
    const live = { smmus: await this.#smmuReports(drained), iommufds: await running.iommufds() };
    if (!ended) this.#progress('verify');
    if (signal?.aborted) this.#failures.push('the run was interrupted before its workload was done');
    else if (!ended) this.#judge(mappings, results, drained);
    return this.#report(live, results, drained, performance.now() - started);
  }

  /** The workload, from its beginning or from a state, with a pause where one is asked for. */
  async #runWorkload({ signal, beside, from, pause, stallLimitMs }: RunOptions): Promise<Worked> {
    const running = this.#running;
    const { control } = running.view;
    const limit = stallLimitMs === undefined ? {} : { stallLimitMs };
    let lanes = from?.state.lanes;
    let order = pause && pauseOrder(this.#machine, pause);
    if (pause?.at.kind === 'boot') {
      lanes ??= this.#initialLanes();
      await this.#take(pause, lanes);
      order = undefined;
      if (pause.thenEnd) return { results: [], ended: true };
    }
    const besides = beside?.(running);
    for (;;) {
      const consuming = running.consumeEvents();
      const rest = { ...limit, ...(order === undefined ? {} : { pause: order }) };
      const done = (await Promise.all([this.#drive(lanes, rest), besides]))[0];
      running.requestStop();
      await consuming;
      const results = done.flatMap(({ devices }) => devices);
      if (order === undefined || pause === undefined) return { results, ended: false };
      if (!control.paused) {
        this.#failures.push('the workload ended before the moment of the snapshot');
        return { results, ended: false };
      }
      lanes = done.map(({ state }) => state!);
      await this.#take(pause, lanes);
      if (pause.thenEnd) return { results, ended: true };
      order = undefined;
      control.resume();
      if (signal?.aborted) running.requestStop();
    }
  }

  /** Everything stands still: has the state taken, where it is all there is. */
  async #take({ save }: Pause, lanes: readonly LaneState[]): Promise<void> {
    const running = this.#running;
    if (running.changed) {
      this.#failures.push(
        'no snapshot: devices were plugged in, unplugged or renumbered, or streams programmed, since the machine started',
      );
      return;
    }
    const { smmus, software } = await running.save();
    const { words, offsets } = running.view.control;
    // A TBU follows its TCU when its thread wakes: one that has not done so yet would keep what is invalid.
    const followed = (lane: number, smmu: number) => {
      const at = offsets.smmus[smmu]!;
      return Atomics.load(words, at.slots[lane]!.seen) === Atomics.load(words, at.logEpoch);
    };
    const upToDate = lanes.map(({ devices, tbus }, lane) => ({
      devices,
      tbus: tbus.map(({ smmu, state: { caches, ...rest } }) => ({
        smmu,
        state: caches !== undefined && followed(lane, smmu) ? { ...rest, caches } : rest,
      })),
    }));
    await save({ lanes: upToDate, smmus, software }, running.view.memory);
  }

  #initialLanes(): LaneState[] {
    return balance(this.#devices, this.#lanes).map((work) => ({
      devices: work.map(({ device }) => initialDevice(this.#machine, device)),
      tbus: [],
    }));
  }

  /** @param from where the DMA threads go on; which devices are whose is then said there. */
  async #drive(
    from: readonly LaneState[] | undefined,
    rest: Pick<LaneTask, 'stallLimitMs' | 'pause'>,
  ): Promise<readonly LaneResult[]> {
    this.#progress('dma');
    const timer = setInterval(() => this.#progress('dma'), PROGRESS_MS);
    const { shared } = this.#running;
    const shares = from?.map(({ devices }) =>
      devices.map(({ device }) => ({ device, steps: stepsOfDevice(this.#machine, device) })),
    );
    try {
      const lanes = (shares ?? balance(this.#devices, this.#lanes)).map((work, lane) => {
        const state = from === undefined ? {} : { from: from[lane]! };
        const task: LaneTask = { shared, lane, work, ...state, ...rest };
        return this.#running.runLane<LaneResult>(lane, task);
      });
      return await Promise.all(lanes);
    } finally {
      clearInterval(timer);
    }
  }

  #progress(phase: RunProgress['phase']): void {
    const { control } = this.#running.view;
    const sum = (index: number) =>
      control.offsets.devices.reduce((total, line) => total + control.statistic(line, index), 0);
    this.#onProgress({
      phase,
      accesses: sum(DEVICE_ACCESSES),
      bytes: sum(DEVICE_BYTES),
      aborts: sum(DEVICE_ABORTS),
      devicesDone: this.#devices.filter(
        ({ device, steps }) =>
          control.statistic(control.offsets.devices[device]!, DEVICE_STEP) >= steps.length,
      ).length,
      devices: this.#devices.length,
    });
  }

  #judge(mappings: readonly PlacedMapping[], results: readonly DeviceResult[], drained: DrainedEvents): void {
    const left = results.filter(({ finished }) => !finished);
    for (const { device, stalled } of left) {
      const { id } = this.#machine.devices[device]!;
      this.#failures.push(
        stalled === undefined
          ? `device ${id} was unplugged before its workload was done; nothing was verified`
          : `${this.#name(device, stalled.step)}: ${describeStalled(stalled)}; nothing was verified`,
      );
    }
    if (left.length > 0) return;
    for (const { device, steps } of results) {
      for (const [step, counters] of steps.entries()) this.#judgeStep(device, step, counters);
    }
    const stepsOf = (device: number) => stepsOfDevice(this.#machine, device);
    const originalOf = this.#running.originalStreamID.bind(this.#running);
    this.#failures.push(...compareEvents(this.#machine, drained, stepsOf, originalOf));
    const placement = new Placement(this.#machine, mappings);
    for (const range of ExpectedMemory.after(this.#machine, placement, stepsOf).ranges) this.#verify(range);
  }

  #judgeStep(device: number, step: number, counters: StepResult): void {
    const what = stepsOfDevice(this.#machine, device)[step]!;
    const where = `${this.#name(device, step)}: ${what.op}`;
    if (counters.mismatches > 0) {
      this.#failures.push(
        `${where} at ${hex(what.iova)}: ${counters.mismatches} bytes differ from the pattern`,
      );
    }
    if (what.expect === 'ok') {
      if (counters.aborts === 0) return;
      const at = counters.failedAt === undefined ? '' : `, the first at ${hex(counters.failedAt)}`;
      this.#failures.push(`${where}: ${counters.aborts} of ${counters.accesses} accesses aborted${at}`);
      return;
    }
    const passed = counters.accesses - counters.aborts;
    if (passed > 0) {
      this.#failures.push(
        `${where} at ${hex(what.iova)}: ${passed} of ${counters.accesses} accesses succeeded, expected ${what.expect}`,
      );
    }
  }

  /** Compares memory, read by the CPU and not through any SMMU, with what must be there. */
  #verify(range: WrittenRange): void {
    const { content, device, step } = range;
    if (content === undefined) {
      this.#contestedBytes += range.sizeBytes;
      return;
    }
    const { smmu, host } = this.#machine.devices[device]!;
    const view = this.#running.view;
    const space = smmu < 0 || host !== undefined ? view.systemSpace() : view.spacesOf(smmu)[range.space];
    const page = new Uint8Array(PAGE_BYTES);
    for (let done = 0; done < range.sizeBytes; ) {
      const origin = content.origin + BigInt(done);
      const size = Math.min(PAGE_BYTES - Number(origin & 0xfffn), range.sizeBytes - done);
      const where = `${this.#name(device, step)}: memory at ${hex(range.pa + done)}`;
      if (!space.read(range.pa + done, page, 0, size)) {
        this.#failures.push(`${where} cannot be read`);
        return;
      }
      const low = Number(BigInt.asUintN(32, origin));
      const wrong = countMismatches(content.pattern, low, Number(origin >> 32n), page, 0, size);
      if (wrong > 0) {
        const iova = hex(range.iova + BigInt(done));
        this.#failures.push(`${where}, written at ${iova}, has ${wrong} of ${size} bytes wrong`);
      }
      done += size;
      this.#verifiedBytes += size;
    }
  }

  #name(device: number, step: number): string {
    return `device ${this.#machine.devices[device]!.id}, step ${step + 1}`;
  }

  async #smmuReports(drained: DrainedEvents): Promise<SmmuReport[]> {
    const { control } = this.#running.view;
    return await Promise.all(
      this.#machine.smmus.map(async ({ id, memory, accel }, smmu) => {
        const { slots } = control.offsets.smmus[smmu]!;
        const sum = (index: number) =>
          slots.reduce((total, slot) => total + control.statistic(slot.statistics, index), 0);
        const { commands, events } = await this.#running.statistics(smmu);
        return {
          id,
          memory,
          accel: this.#machine.smmus[accel ?? -1]?.id ?? null,
          transactions: sum(TBU_TRANSACTIONS),
          hits: sum(TBU_HITS),
          misses: sum(TBU_MISSES),
          walks: sum(TBU_WALKS),
          commands,
          events,
          overflowed: drained.overflowed.some((queue) => queue.smmu === smmu),
        };
      }),
    );
  }

  #report(
    live: Pick<RunReport, 'smmus' | 'iommufds'>,
    results: readonly DeviceResult[],
    drained: DrainedEvents,
    elapsedMs: number,
  ): RunReport {
    return {
      machine: this.#machine.name,
      ok: this.#failures.length === 0,
      lanes: this.#lanes,
      elapsedMs: Math.round(elapsedMs),
      ...live,
      devices: this.#machine.devices.map((_device, index) => this.#deviceReport(index, results)),
      events: drained.events.slice(0, EVENTS_MAX).map((record) => this.#eventReport(record)),
      eventsOmitted: Math.max(0, drained.events.length - EVENTS_MAX),
      verifiedBytes: this.#verifiedBytes,
      contestedBytes: this.#contestedBytes,
      failures: this.#failures.slice(0, FAILURES_MAX),
      failuresOmitted: Math.max(0, this.#failures.length - FAILURES_MAX),
    };
  }

  #deviceReport(index: number, results: readonly DeviceResult[]): DeviceReport {
    const { id, bdf, smmu, StreamID, SEC_SID, type, host } = this.#machine.devices[index]!;
    const result = results.find(({ device }) => device === index);
    const done = result?.steps ?? [];
    const steps = stepsOfDevice(this.#machine, index).map(({ op, iova, expect }, step) => {
      const { accesses, bytes, aborts, mismatches } = done[step] ?? noCounters();
      return { op, iova: hex(iova), expect, accesses, bytes, aborts, mismatches };
    });
    const sum = (key: 'accesses' | 'bytes' | 'aborts') => steps.reduce((total, step) => total + step[key], 0);
    return {
      id,
      bdf,
      smmu: smmu < 0 ? null : this.#machine.smmus[smmu]!.id,
      StreamID: hex(StreamID),
      SEC_SID: SECURITY_NAMES[SEC_SID],
      type,
      host: host?.id ?? null,
      accesses: sum('accesses'),
      bytes: sum('bytes'),
      aborts: sum('aborts'),
      ...(result?.translation ?? NO_TRANSLATION),
      steps,
    };
  }

  #eventReport({ smmu, security, words, count }: DrainedEvents['events'][number]): EventReport {
    return {
      smmu: this.#machine.smmus[smmu]!.id,
      queue: SECURITY_NAMES[security],
      name: eventName(get(words, EVENT.EventNumber)),
      fields: eventFields(words),
      count,
    };
  }
}

/** The moment in the terms of the DMA threads. */
function pauseOrder(machine: Machine, { at, caches }: Pause): PauseOrder | undefined {
  if (at.kind === 'boot') return undefined;
  if (at.kind === 'accesses') return { accesses: at.accesses, caches };
  const { device: id } = machine.workload[at.step - 1]!;
  const steps = machine.workload.slice(0, at.step).filter(({ device }) => device === id).length;
  return { step: { device: machine.devices.findIndex((device) => device.id === id), steps }, caches };
}

function workOf(machine: Machine): DeviceWork[] {
  return [...machine.devices.keys()]
    .map((device) => ({ device, steps: stepsOfDevice(machine, device) }))
    .filter(({ steps }) => steps.length > 0);
}

/** Shares devices out among the threads, the largest first, each to the thread with the least to do. */
function balance(work: readonly DeviceWork[], lanes: number): DeviceWork[][] {
  const shares = Array.from({ length: lanes }, () => ({ bytes: 0, work: [] as DeviceWork[] }));
  const bytesOf = ({ steps }: DeviceWork) =>
    steps.reduce((total, step) => total + step.sizeBytes * step.repeat, 0);
  for (const one of work.toSorted((a, b) => bytesOf(b) - bytesOf(a))) {
    const least = shares.reduce((best, share) => (share.bytes < best.bytes ? share : best));
    least.work.push(one);
    least.bytes += bytesOf(one);
  }
  return shares.map((share) => share.work);
}
