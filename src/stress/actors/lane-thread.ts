/**
 * A DMA thread of a stress run: several devices, in turns of one guarded batch each. At every SMMU that its devices sit
 * behind, the thread has one TBU.
 */
import { parentPort } from 'node:worker_threads';
import {
  type Control,
  DEVICE_ABORTS,
  DEVICE_ACCESSES,
  DEVICE_BYTES,
  DEVICE_EVENTS,
  DEVICE_HITS,
  DEVICE_MISSES,
  DEVICE_WALKS,
  DONE,
  LATENCY_BUCKETS,
  RUNNING,
} from '../../runtime/shared/control.js';
import { recordLatency } from '../../runtime/shared/latency.js';
import { MachineView, memoryThreads } from '../../runtime/shared/shared-machine.js';
import { Signal } from '../../runtime/shared/signal.js';
import { LaneTbu, type TranslationCounts } from '../../runtime/threads/lane-tbu.js';
import { ThreadLife } from '../../runtime/threads/thread-life.js';
import type { Finding, Report } from '../checker/finding.js';
import { Ledger } from '../checker/ledger.js';
import { type Faults, NO_FAULTS } from '../mutations/faults.js';
import { MUTATIONS } from '../mutations/mutations.js';
import type { StressOptions } from '../options.js';
import { DmaActor } from './dma-actor.js';
import { FINDINGS_MAX, type LaneShare, type StressMessage } from './messages.js';
import { GuardedLink } from './scheduled-ports.js';

/** Every so many batches one access is timed: two readings of the clock cost as much as an access. */
const BATCHES_PER_SAMPLE = 16;
/** Every so many batches the counters are published. */
const BATCHES_PER_PUBLICATION = 32;
/** Turns without work before the thread sleeps. */
const IDLE_TURNS = 64;
const NAP_MS = 0.1;
/** A device that is stalled for longer will never go on. */
const STUCK_MS = 10_000;

class StressDevice {
  readonly #actor: DmaActor;
  readonly #stream: number;
  readonly #tbu: LaneTbu;
  readonly #control: Control;
  readonly #statistics: number;
  readonly #latency: Int32Array;
  readonly #translation: TranslationCounts = { hits: 0, misses: 0, walks: 0, events: 0 };
  readonly #accesses: number;
  readonly #report: Report;
  #batches = 0;
  #isStopped = false;
  #isStuck = false;
  #heldSince: number | undefined;

  constructor(view: MachineView, share: LaneShare, stream: number, tbu: LaneTbu, faults: Faults) {
    const { plan, options } = share;
    const { device } = plan.streams[stream]!;
    const { control } = view;
    const link = new GuardedLink(tbu.tbu, tbu, tbu.spaces);
    this.#report = findingsReport(() => control.raiseFlag(control.offsets.stop), stream);
    this.#actor = new DmaActor({
      plan,
      stream,
      link: faults.link?.(link) ?? link,
      ledger: new Ledger(plan, share.ledger),
      seed: options.seed,
      check: options.check,
      report: this.#report,
    });
    this.#stream = stream;
    this.#tbu = tbu;
    this.#control = control;
    this.#statistics = control.offsets.devices[device]!;
    const latency = control.offsets.latencies[device]!;
    this.#latency = control.words.subarray(latency, latency + LATENCY_BUCKETS);
    this.#accesses = share.accesses;
  }

  /** Has done all that it was asked for, or is to do no more, and nothing of it is stalled. */
  get isDone(): boolean {
    if (this.#isStuck) return true;
    return this.#actor.atRest && (this.#isStopped || this.#actor.operations >= this.#accesses);
  }

  stop(): void {
    this.#isStopped = true;
    this.#actor.stop();
  }

  /** One batch, if there may be one. @returns whether it got on. */
  turn(): boolean {
    const actor = this.#actor;
    if (this.isDone || actor.step() === 'idle') return false;
    if (this.#batches % BATCHES_PER_SAMPLE === 0) {
      const began = performance.now();
      actor.step();
      recordLatency(this.#latency, (performance.now() - began) * 1e6);
    }
    while (actor.inBatch) actor.step();
    this.#tbu.publish(this.#translation);
    this.#batches++;
    if (this.#batches % BATCHES_PER_PUBLICATION === 0) this.publish();
    this.#watch();
    return !actor.isHeld;
  }

  /** A stalled access of which nothing becomes for so long is lost. */
  #watch(): void {
    if (!this.#actor.isHeld) {
      this.#heldSince = undefined;
      return;
    }
    this.#heldSince ??= performance.now();
    if (performance.now() - this.#heldSince < STUCK_MS) return;
    this.#isStuck = true;
    this.#report({
      kind: 'stuck-access',
      actor: this.#actor.name,
      summary: `an access is stalled, and nothing has become of it within ${STUCK_MS / 1000} s`,
      details: [],
    });
  }

  publish(): void {
    const control = this.#control;
    const line = this.#statistics;
    const { accesses, bytes, aborts } = this.#actor.statistics;
    const { hits, misses, walks, events } = this.#translation;
    control.setStatistic(line, DEVICE_ACCESSES, accesses);
    control.setStatistic(line, DEVICE_BYTES, bytes);
    control.setStatistic(line, DEVICE_ABORTS, aborts);
    control.setStatistic(line, DEVICE_HITS, hits);
    control.setStatistic(line, DEVICE_MISSES, misses);
    control.setStatistic(line, DEVICE_WALKS, walks);
    control.setStatistic(line, DEVICE_EVENTS, events);
  }

  /** The last words of a device. */
  end(): void {
    this.publish();
    post({ type: 'stream', stream: this.#stream, statistics: this.#actor.statistics });
  }
}

/** Runs until every device has come to rest. */
export function stressLane(share: LaneShare): void {
  const { shared, lane, plan } = share;
  const view = MachineView.attach(shared, memoryThreads.lane(shared.shape, lane));
  const { control } = view;
  const life = new ThreadLife(control, control.offsets.lanes[lane]!);
  const faults = faultsOf(share.options);
  const tbus = new Map<number, LaneTbu>();
  const devices = share.streams.map((stream) => {
    const { smmu } = plan.streams[stream]!.arrival;
    const tbu = tbus.get(smmu) ?? new LaneTbu(view, smmu, lane, faults);
    tbus.set(smmu, tbu);
    return new StressDevice(view, share, stream, tbu, faults);
  });
  life.state = RUNNING;
  drive(devices, control, life);
  for (const device of devices) device.end();
  life.state = DONE;
}

function drive(devices: readonly StressDevice[], control: Control, life: ThreadLife): void {
  const interrupt = new Signal(control.words, control.offsets.interrupt);
  let idleTurns = 0;
  while (!control.hasFailed) {
    life.beat();
    if (control.stopRequested) for (const device of devices) device.stop();
    const seen = interrupt.count;
    let worked = false;
    for (const device of devices) worked = device.turn() || worked;
    if (!worked && devices.every(({ isDone }) => isDone)) return;
    idleTurns = worked ? 0 : idleTurns + 1;
    // Devices wait for software that has yet to look at their events.
    if (idleTurns > IDLE_TURNS) interrupt.sleep(seen, NAP_MS);
  }
}

/** The wrappers of a run's mutation, for one thread. */
export function faultsOf({ mutate }: StressOptions): Faults {
  return mutate === undefined ? NO_FAULTS : MUTATIONS[mutate].make();
}

/** Posts an actor's findings, up to a limit. */
export function findingsReport(stop: () => void, stream?: number): Report {
  let count = 0;
  return (finding: Finding) => {
    count++;
    if (count <= FINDINGS_MAX)
      post({ type: 'finding', finding, ...(stream === undefined ? {} : { stream }) });
    stop();
  };
}

/** To the main thread, which may hear it only when this thread's task is over. */
export function post(message: StressMessage): void {
  parentPort!.postMessage(message);
}
