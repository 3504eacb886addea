/**
 * A stress run in threads (REQUIREMENTS H1): one for each SMMU, DMA threads that share the devices, software threads that
 * share the programming interfaces. Whatever ends it, the report tells what was done and found until then.
 */
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Machine } from '../machine/types.js';
import { laneCount, type RunningMachine, startMachine, type ThreadEntry } from '../runtime/coordinator.js';
import { DEVICE_ACCESSES, DEVICE_HITS, DEVICE_MISSES, TCU_INVALIDATIONS } from '../runtime/shared/control.js';
import { MachineFailure } from '../runtime/threads/supervisor.js';
import { allocateInbox, type DeviceFinding, writeInbox } from './actors/inbox.js';
import type { LaneShare, SoftwareShare, StressMessage, StressShare } from './actors/messages.js';
import type { Finding } from './checker/finding.js';
import { Ledger } from './checker/ledger.js';
import type { StressProgress, ThreadedOptions } from './options.js';
import { planStress, type StressPlan } from './plan.js';
import { Recorder } from './report/recorder.js';
import type { StressReport } from './report/report.js';
import { type Ending, type Posted, threadedReport } from './report/threaded-report.js';

const PROGRESS_MS = 200;
const LANE: ThreadEntry = { worker: 'stress', task: 'stressLane' };
const SOFTWARE: ThreadEntry = { worker: 'stress', task: 'stressSoftware' };

/** Never rejects for what happens while the machine runs; @throws Error when the machine is not fit for a stress run. */
export async function runThreaded(machine: Machine, options: ThreadedOptions): Promise<StressReport> {
  const plan = planStress(machine, options.seed);
  const lanes = laneCount(machine, plan.streams.length, options.lanes);
  const software = Math.min(plan.interfaces.length, availableParallelism());
  const hung = options.hungMs === undefined ? {} : { hungMs: options.hungMs };
  const { mutate } = options;
  const faulty =
    mutate === undefined ? {} : { smmuThreads: { worker: 'stress-smmu', extra: mutate } as const };
  const running = await startMachine(machine, { lanes, software, ...hung, ...faulty });
  try {
    options.onStart?.(running);
    return await new ThreadedRun(running, plan, lanes, options).finish();
  } finally {
    await running.close();
  }
}

class ThreadedRun {
  readonly #running: RunningMachine;
  readonly #plan: StressPlan;
  readonly #lanes: number;
  readonly #options: ThreadedOptions;
  readonly #share: StressShare;
  readonly #posted: Posted = { streams: new Map(), software: new Map() };
  readonly #findings: Finding[] = [];
  readonly #deviceFindings: DeviceFinding[] = [];
  #recorder: Recorder;
  readonly #booting: Set<number>;
  #allBooted: () => void = () => {};

  constructor(running: RunningMachine, plan: StressPlan, lanes: number, options: ThreadedOptions) {
    const { shared, view } = running;
    this.#running = running;
    this.#plan = plan;
    this.#lanes = lanes;
    this.#options = options;
    const { seed, profile, check, mutate } = options;
    this.#share = {
      ...{ shared, plan, ledger: Ledger.allocate(plan), inbox: allocateInbox() },
      options: { seed, profile, check, ...(mutate === undefined ? {} : { mutate }) },
    };
    this.#booting = new Set(view.control.offsets.software.keys());
    this.#recorder = new Recorder(view.control);
    running.onMessage((message) => this.#take(message as StressMessage));
  }

  async finish(): Promise<StressReport> {
    const { signal } = this.#options;
    const stop = () => this.#running.requestStop();
    signal?.addEventListener('abort', stop);
    if (signal?.aborted) stop();
    let ending: Ending = { end: 'done', failure: null };
    try {
      await this.#load();
      if (signal?.aborted) ending = { end: 'interrupted', failure: null };
    } catch (error) {
      if (!(error instanceof MachineFailure)) throw error;
      ending = { end: 'failed', failure: error.message };
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#recorder.stop();
    }
    return threadedReport({
      ...{ running: this.#running, plan: this.#plan, lanes: this.#lanes, options: this.#options, ending },
      ...{ recorder: this.#recorder, posted: this.#posted, findings: this.#findings },
    });
  }

  /** From the boot of the software to its last checks. */
  async #load(): Promise<void> {
    const running = this.#running;
    const booted = new Promise<void>((resolve) => {
      this.#allBooted = resolve;
    });
    const software = this.#startSoftware();
    // A failure is told by whatever is waited for at that moment.
    software.catch(() => {});
    await running.supervisor.guard(booted);
    // What the report tells begins now.
    this.#recorder = new Recorder(running.view.control);
    this.#recorder.start();
    const timers = this.#startTimers();
    try {
      await Promise.all(this.#startLanes());
      // What the devices have posted is there before what they came to is.
      await nextTurn();
      writeInbox(this.#share.inbox, this.#deviceFindings);
      running.devicesDone();
      await software;
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
  }

  #startSoftware(): Promise<unknown> {
    const threads = dealt(this.#plan.interfaces.length, this.#booting.size);
    return Promise.all(
      threads.map((interfaces, index) => {
        const share: SoftwareShare = { ...this.#share, index, interfaces };
        return this.#running.runSoftware(index, share, SOFTWARE);
      }),
    );
  }

  #startLanes(): Promise<unknown>[] {
    const { length } = this.#plan.streams;
    const { operations } = this.#options;
    const accesses = operations === undefined ? Number.POSITIVE_INFINITY : Math.ceil(operations / length);
    return dealt(length, this.#lanes).map((streams, lane) => {
      const share: LaneShare = { ...this.#share, lane, streams, accesses };
      return this.#running.runLane(lane, share, LANE);
    });
  }

  #startTimers(): NodeJS.Timeout[] {
    const { operations, durationMs, onProgress } = this.#options;
    const timers = [setInterval(() => onProgress?.(this.#progress()), PROGRESS_MS)];
    if (operations === undefined) timers.push(setTimeout(() => this.#running.requestStop(), durationMs));
    return timers;
  }

  #take(message: StressMessage): void {
    switch (message.type) {
      case 'booted':
        this.#booting.delete(message.index);
        if (this.#booting.size === 0) this.#allBooted();
        return;
      case 'finding': {
        const { finding, stream } = message;
        const index = this.#findings.push(finding) - 1;
        if (stream === undefined) return;
        this.#deviceFindings.push({ index, interface: this.#plan.streams[stream]!.interface, finding });
        return;
      }
      case 'explained':
        this.#findings[message.index] = message.finding;
        return;
      case 'stream':
        this.#posted.streams.set(message.stream, message);
        return;
      case 'software':
        this.#posted.software.set(message.interface, message);
    }
  }

  #progress(): StressProgress {
    const { control } = this.#running.view;
    const sum = (lines: readonly number[], index: number) =>
      lines.reduce((total, line) => total + control.statistic(line, index), 0);
    const { devices, smmus } = control.offsets;
    return {
      elapsedMs: this.#recorder.elapsedMs,
      transactions: sum(devices, DEVICE_ACCESSES),
      hits: sum(devices, DEVICE_HITS),
      misses: sum(devices, DEVICE_MISSES),
      invalidations: sum(
        smmus.map(({ statistics }) => statistics),
        TCU_INVALIDATIONS,
      ),
      findings: this.#findings.length,
    };
  }
}

/** Deals the numbers below `count` out to so many hands. */
function dealt(count: number, hands: number): number[][] {
  const indices = Array.from({ length: count }, (_, index) => index);
  return Array.from({ length: hands }, (_, hand) => indices.filter((index) => index % hands === hand));
}
