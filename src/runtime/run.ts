/**
 * Runs a machine's workload once: start, boot, DMA, drain, verify, report. What goes wrong in the guest's world is a
 * sentence in the report; a thread of ours that dies is a MachineFailure. In every case all threads have ended on return.
 */
import { availableParallelism } from 'node:os';
import { eventFields, eventName } from '../arch/events.js';
import { SECURITY_NAMES } from '../arch/security.js';
import { countMismatches } from '../devices/pattern.js';
import type { Machine, WorkloadStep } from '../machine/types.js';
import { stallCapacity } from '../smmu/stalls.js';
import {
  DEVICE_ABORTS,
  DEVICE_ACCESSES,
  DEVICE_BYTES,
  DEVICE_STEP,
  TBU_HITS,
  TBU_MISSES,
  TBU_TRANSACTIONS,
  TBU_WALKS,
} from './control.js';
import { type RunningMachine, startMachine } from './coordinator.js';
import type { DeviceResult, DeviceWork, LaneTask, StepResult } from './dma-lane.js';
import { compareEvents, hex } from './expected-events.js';
import { ExpectedMemory, type WrittenRange } from './expected-memory.js';
import type { TranslationCounts } from './lane-tbu.js';
import { Placement } from './placement.js';
import type { DeviceReport, EventReport, RunProgress, RunReport, SmmuReport } from './report.js';
import type { DrainedEvents, PlacedMapping } from './software-thread.js';
import { describeStalled } from './stall-watch.js';

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
  /** Called with the machine once it runs. */
  readonly onStart?: (running: RunningMachine) => void;
  /** What else is done with the machine beside its workload, from boot on: the run does not end before this does. */
  readonly beside?: (running: RunningMachine) => Promise<void>;
}

/** @throws MachineFailure when a thread of the machine dies or hangs. */
export async function runMachine(
  machine: Machine,
  options: RunOptions = {},
  onProgress: (progress: RunProgress) => void = () => {},
): Promise<RunReport> {
  const work = workOf(machine);
  const processors = availableParallelism();
  // A TBU for each DMA thread, and a STAG at least for each TBU.
  const tbus = machine.smmus.map(({ config }) => stallCapacity(config.idr));
  const lanes = Math.max(1, Math.min(options.lanes ?? processors, work.length, ...tbus));
  const started = performance.now();
  const running = await startMachine(machine, { lanes, ...hung(options) });
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

function hung(options: RunOptions): { hungMs?: number } {
  return options.hungMs === undefined ? {} : { hungMs: options.hungMs };
}

class Run {
  readonly #running: RunningMachine;
  readonly #machine: Machine;
  readonly #work: readonly DeviceWork[];
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
    this.#work = work;
    this.#lanes = lanes;
    this.#onProgress = onProgress;
  }

  async finish(started: number, { signal, beside, stallLimitMs }: RunOptions): Promise<RunReport> {
    const running = this.#running;
    this.#progress('boot');
    const mappings = await running.bootSoftware();
    const draining = running.drainSoftware();
    const [results] = await Promise.all([this.#drive(stallLimitMs), beside?.(running)]);
    running.requestStop();
    const drained = await draining;
    const smmus = await this.#smmuReports(drained);
    this.#progress('verify');
    if (signal?.aborted) this.#failures.push('the run was interrupted before its workload was done');
    else this.#judge(mappings, results, drained);
    return this.#report(smmus, results, drained, performance.now() - started);
  }

  async #drive(stallLimitMs: number | undefined): Promise<readonly DeviceResult[]> {
    const timer = setInterval(() => this.#progress('dma'), PROGRESS_MS);
    try {
      const lanes = balance(this.#work, this.#lanes).map((work, lane) => {
        const limit = stallLimitMs === undefined ? {} : { stallLimitMs };
        const task: LaneTask = { shared: this.#running.shared, lane, work, ...limit };
        return this.#running.runLane<readonly DeviceResult[]>(lane, task);
      });
      return (await Promise.all(lanes)).flat();
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
      devicesDone: this.#work.filter(
        ({ device, steps }) =>
          control.statistic(control.offsets.devices[device]!, DEVICE_STEP) >= steps.length,
      ).length,
      devices: this.#work.length,
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
    this.#failures.push(...compareEvents(this.#machine, drained, stepsOf));
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
    const { smmu } = this.#machine.devices[device]!;
    const view = this.#running.view;
    const space = smmu < 0 ? view.systemSpace() : view.spacesOf(smmu)[range.space];
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
      this.#machine.smmus.map(async ({ id }, smmu) => {
        const { slots } = control.offsets.smmus[smmu]!;
        const sum = (index: number) =>
          slots.reduce((total, slot) => total + control.statistic(slot.statistics, index), 0);
        const { commands, events } = await this.#running.statistics(smmu);
        return {
          id,
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
    smmus: readonly SmmuReport[],
    results: readonly DeviceResult[],
    drained: DrainedEvents,
    elapsedMs: number,
  ): RunReport {
    return {
      machine: this.#machine.name,
      ok: this.#failures.length === 0,
      lanes: this.#lanes,
      elapsedMs: Math.round(elapsedMs),
      smmus,
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
    const { id, bdf, smmu, StreamID, SEC_SID } = this.#machine.devices[index]!;
    const result = results.find(({ device }) => device === index);
    const done = result?.steps ?? [];
    const steps = stepsOfDevice(this.#machine, index).map(({ op, iova, expect }, step) => {
      const { accesses, bytes, aborts, mismatches } = done[step]!;
      return { op, iova: hex(iova), expect, accesses, bytes, aborts, mismatches };
    });
    const sum = (key: 'accesses' | 'bytes' | 'aborts') => steps.reduce((total, step) => total + step[key], 0);
    return {
      id,
      bdf,
      smmu: smmu < 0 ? null : this.#machine.smmus[smmu]!.id,
      StreamID: hex(StreamID),
      SEC_SID: SECURITY_NAMES[SEC_SID],
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
      name: eventName(words[0]! & 0xff),
      fields: eventFields(words),
      count,
    };
  }
}

function stepsOfDevice(machine: Machine, device: number): WorkloadStep[] {
  const { id } = machine.devices[device]!;
  return machine.workload.filter((step) => step.device === id);
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
