/**
 * Starts a realized machine: one worker per SMMU, a pool of DMA threads, one software thread, joined by shared memory.
 *
 * `close` ends every thread and leaves no handle open, whatever state they are in; it may be called at any time and more
 * than once. Signals of the process are the caller's business.
 */
import { availableParallelism } from 'node:os';
import { type MessagePort, Worker } from 'node:worker_threads';
import { type Remote, releaseProxy, wrap } from 'comlink';
import { Piscina } from 'piscina';
import { BANKS } from '../arch/registers.js';
import { NON_SECURE, type SecurityState } from '../arch/security.js';
import type { DeviceInstance, Machine, WorkloadStep } from '../machine/types.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import { stallCapacity } from '../smmu/stalls.js';
import { readRegister } from '../smmu/tcu/registers.js';
import type { TcuState } from '../smmu/tcu/tcu.js';
import type { SmmuPort } from '../software/port.js';
import { Hotplug, type PlugResult, type ProgramResult, type RenumberResult } from './hotplug.js';
import type { IommufdReport } from './report/report.js';
import { type MachineView, type SharedMachine, shareMachine } from './shared/shared-machine.js';
import type { DeviceResult } from './threads/dma-lane.js';
import { endpointOf } from './threads/endpoint.js';
import type { DeviceMove, SmmuApi, TcuStatistics } from './threads/smmu-api.js';
import { SharedSmmuPort } from './threads/smmu-port.js';
import { SoftwareCalls } from './threads/software-calls.js';
import type { DrainedEvents, PlacedMapping, SoftwareState } from './threads/software-thread.js';
import { Supervisor } from './threads/supervisor.js';
import { type Breakdown, orderBreakdown } from './threads/thread-life.js';

/** A thread without a sign of life for this long hangs. Generous: the host may be busy with something else. */
const HUNG_MS = 15_000;
/** A thread that has not come up after this long will not. */
const START_MS = 60_000;

export interface StartOptions {
  /** DMA threads. */
  readonly lanes: number;
  /** Threads of software; default 1. */
  readonly software?: number;
  /** Another entry for the SMMUs' threads, and what it finds in its `workerData.extra`. */
  readonly smmuThreads?: { readonly worker: 'stress-smmu'; readonly extra: unknown };
  readonly hungMs?: number;
  /** What the machine goes on from, instead of from reset. */
  readonly from?: Beginning;
}

/** The state of SMMUs and memory with which a machine starts. */
export interface Beginning {
  /** One for each SMMU. */
  readonly smmus: readonly TcuState[];
  /** Puts into the machine's memory, which is all zero, what it shall hold. */
  readonly fill: (memory: GuestMemory) => void;
}

/** An SMMU's thread as the coordinator holds it. */
interface SmmuWorker {
  readonly worker: Worker;
  readonly api: Remote<SmmuApi>;
}

/** A task: what a file of workers/ exports. */
export interface ThreadEntry {
  readonly worker: 'dma' | 'software' | 'stress';
  readonly task: string;
}

/**
 * DMA threads for so many devices: as many as are wanted, but no more than devices, and than SMMUs have STAGs, of which each
 * thread's TBU needs one.
 */
export function laneCount(machine: Machine, devices: number, wanted = availableParallelism()): number {
  const tbus = machine.smmus.map(({ config }) => stallCapacity(config.idr));
  return Math.max(1, Math.min(wanted, devices, ...tbus));
}

/** Spawns the threads of a machine. @throws MachineFailure when one does not come up; nothing is left running then. */
export async function startMachine(machine: Machine, options: StartOptions): Promise<RunningMachine> {
  const running = new RunningMachine(machine, options);
  try {
    await running.whenStarted();
  } catch (error) {
    await running.close();
    throw error;
  }
  return running;
}

export class RunningMachine {
  readonly machine: Machine;
  readonly shared: SharedMachine;
  /** The main thread's view: memory, control words, statistics. */
  readonly view: MachineView;
  readonly supervisor: Supervisor;
  /** By SMMU; those of accelerated ones are their hosts'. */
  readonly #workers: ReadonlyMap<number, SmmuWorker>;
  readonly #lanes: Piscina;
  readonly #software: Piscina;
  readonly #hotplug: Hotplug;
  readonly #calls: SoftwareCalls;
  /** Present once a device was plugged in and did DMA. */
  #pluggedPool: Piscina | undefined;
  #closing: Promise<void> | undefined;

  constructor(machine: Machine, options: StartOptions) {
    this.machine = machine;
    const software = options.software ?? 1;
    const { shared, view } = shareMachine(machine, options.lanes, software);
    this.shared = shared;
    this.view = view;
    this.supervisor = new Supervisor(view.control, options.hungMs ?? HUNG_MS);
    options.from?.fill(view.memory);
    const physical = [...machine.smmus.keys()].filter((index) => machine.smmus[index]!.accel === undefined);
    this.#workers = new Map(physical.map((index) => [index, this.#spawn(index, options)]));
    this.#lanes = this.#threadPool('dma', options.lanes);
    this.#software = this.#threadPool('software', software);
    for (const [lane, at] of view.control.offsets.lanes.entries()) {
      this.supervisor.watch(laneName(lane), at, () => 'doing DMA');
    }
    for (const [index, at] of view.control.offsets.software.entries()) {
      this.supervisor.watch(softwareName(index), at, () => 'programming the SMMUs');
    }
    this.#hotplug = new Hotplug(machine, view, this.supervisor, ({ lane, port }) => {
      this.#pluggedPool = this.#threadPool('dma', 1);
      const entry: ThreadEntry = { worker: 'dma', task: 'runPluggedLane' };
      return this.#run(this.#pluggedPool, laneName(lane), entry, { shared, lane, port }, [port]);
    });
    this.#calls = new SoftwareCalls(machine, view, (task, data) =>
      this.runSoftware(0, data, { worker: 'software', task }),
    );
  }

  async whenStarted(): Promise<void> {
    const starting = new Set([...this.#workers.keys()].map((index) => this.machine.smmus[index]!.id));
    const timer = setTimeout(() => {
      for (const id of starting) this.supervisor.fail(id, `did not start within ${START_MS / 1000} s`);
    }, START_MS);
    const starts = [...this.#workers].map(async ([index, { api }]) => {
      await api.start();
      starting.delete(this.machine.smmus[index]!.id);
    });
    try {
      await this.supervisor.guard(Promise.all(starts));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Work for a DMA thread: rejects with a MachineFailure when the machine fails, whoever's fault that is. */
  runLane<Result>(
    lane: number,
    task: unknown,
    entry: ThreadEntry = { worker: 'dma', task: 'runLane' },
  ): Promise<Result> {
    return this.#run(this.#lanes, laneName(lane), entry, task);
  }

  /** Work for a software thread; where there is but one, successive tasks find what the earlier ones left there. */
  runSoftware<Result>(index: number, task: unknown, entry: ThreadEntry): Promise<Result> {
    return this.#run(this.#software, softwareName(index), entry, task);
  }

  /** Calls back with whatever DMA and software threads post while they work. */
  onMessage(listener: (message: unknown) => void): void {
    for (const threads of [this.#lanes, this.#software]) threads.on('message', listener);
  }

  /** The software boots: programs the SMMUs as the machine file says. */
  bootSoftware(): Promise<PlacedMapping[]> {
    return this.#calls.boot(this.shared);
  }

  /** The software goes on from where it was. */
  restoreSoftware(state: SoftwareState): Promise<readonly PlacedMapping[]> {
    return this.#calls.restore(this.shared, state);
  }

  /** The software consumes event queues until the machine is asked to stop; in between it does what it is called for. */
  consumeEvents(): Promise<void> {
    return heldForLater(this.#calls.consume());
  }

  /** The same, and at last what the queues still hold: all records. */
  drainSoftware(): Promise<DrainedEvents> {
    return heldForLater(this.#calls.consume().then(() => this.#calls.conclude()));
  }

  /** The last records, after {@link consumeEvents}: all of them. */
  concludeSoftware(): Promise<DrainedEvents> {
    return heldForLater(this.#calls.conclude());
  }

  /**
   * The state of software and SMMUs. No device may be doing DMA, the software not be consuming, and nothing have {@link changed}.
   */
  async save(): Promise<{ readonly smmus: readonly TcuState[]; readonly software: SoftwareState }> {
    const software = await this.#calls.save();
    const smmus = [...this.#workers.values()].map(({ api }) => this.supervisor.guard(api.save()));
    return { smmus: await Promise.all(smmus), software };
  }

  /**
   * An SMMU's registers from this thread. Its methods block until the SMMU's thread has followed, for a bounded
   * time: for tests and short programs; whoever programs a machine at length does it in the software thread.
   */
  port(smmu: number, security: SecurityState = NON_SECURE): SmmuPort {
    return new SharedSmmuPort(this.view, smmu, security);
  }

  /** The devices that are there now: of the machine file, and plugged in since. */
  get devices(): readonly DeviceInstance[] {
    return this.#hotplug.devices;
  }

  /**
   * Whether devices were plugged in, unplugged or renumbered, or streams programmed, since the machine started: what its software
   * knows does then not follow from its machine file.
   */
  get changed(): boolean {
    return this.#hotplug.changed;
  }

  /**
   * Plugs a device into the running machine (REQUIREMENTS A19).
   * @param description an item of `devices`, as the machine file has it: YAML text.
   * A vfio-pci is a device of the host that is given to a guest.
   * @returns the device, or why it was refused: the rules are those of the machine file. After a refusal all is as before.
   * @throws PlugError when no more devices can be plugged in, or the host refuses.
   */
  plugDevice(description: string): Promise<PlugResult> {
    return this.#hotplug.plug(description, (device) =>
      this.supervisor.guard(this.#hostOf(device).passThrough(device)),
    );
  }

  /**
   * Unplugs a device, of the machine file or plugged in since: its DMA under way ends after the accesses in flight, its
   * stream ends where this machine's software programmed it, and its name, place and StreamID are free. An access that
   * is stalled is in flight until software has resumed or terminated it. One that was passed through is the host's again.
   * @throws PlugError for a device that is not there, or with which something else is being done; MachineFailure when the
   * machine fails or is closed before it is done.
   */
  unplugDevice(id: string): Promise<void> {
    const unplugged = this.#hotplug.unplug(id, async (device) => {
      await this.#calls.endStream(device);
      if (device.host !== undefined) await this.supervisor.guard(this.#hostOf(device).takeBack(device));
    });
    return heldForLater(unplugged);
  }

  /**
   * The machine's software gives a bus another number: that of a root complex, or the secondary one of a root port, whose range
   * keeps its length. Buses below keep theirs. Devices on the bus come to rest after the accesses in flight, have new Requester
   * IDs and by the id-maps new StreamIDs, under which their streams go on where this machine's software programmed them,
   * and take up their DMA again.
   * @returns the devices, or why the number was refused: the rules are those of the machine file. After a refusal all is as before.
   * @throws PlugError when a device is busy with something other than DMA, is a guest's, or would be behind another
   * SMMU, or when the software has no memory for its Stream table; MachineFailure when the machine fails or is closed before.
   */
  renumberBus(bus: string, number: number): Promise<RenumberResult> {
    const renumbered = this.#hotplug.renumber(bus, number, async (moves) => {
      // The hosts last: they cannot refuse.
      const refusal = await this.#calls.renumberStreams(moves);
      if (refusal === undefined) await this.#renumberGuests(moves);
      return refusal;
    });
    return heldForLater(renumbered);
  }

  /**
   * Has the machine's software program a device's stream, as it programs those of the machine file at boot.
   * @param description an item of `software`, as the machine file has it: YAML text.
   * @returns where the mappings went, or why the program was refused.
   * @throws PlugError for a device that is busy, or when the software has not booted or cannot do it: what it has mapped by
   * then stays in the context.
   */
  async programStream(description: string): Promise<ProgramResult> {
    this.#calls.refuseUnbooted();
    return await this.#hotplug.program(description, (device, program) =>
      this.#calls.programStream(device, program),
    );
  }

  /**
   * Has a device do DMA in a thread of its own kind, beside the workload.
   * @returns what its accesses came to, also when it was unplugged or the machine stopped before it had finished.
   * @throws PlugError for a device that is not there or busy.
   */
  runDevice(id: string, steps: readonly WorkloadStep[]): Promise<DeviceResult> {
    return heldForLater(this.#hotplug.run(id, steps));
  }

  /** What the machine file calls the StreamID that a device has had since its bus was renumbered. */
  originalStreamID(smmu: number, StreamID: number): number {
    return this.#hotplug.originalStreamID(smmu, StreamID);
  }

  async statistics(smmu: number): Promise<TcuStatistics> {
    const { api } = this.#workers.get(this.machine.smmus[smmu]!.accel ?? smmu)!;
    return await this.supervisor.guard(api.statistics(smmu));
  }

  /** What hosts of accelerated SMMUs hold for their guests, now. */
  async iommufds(): Promise<IommufdReport[]> {
    const asked = [...this.#workers.values()].map(({ api }) => this.supervisor.guard(api.iommufds()));
    return (await Promise.all(asked)).flat();
  }

  /** Has a thread, given by its name, break down at its next heartbeat (REQUIREMENTS F10, H9). */
  sabotage(thread: string, how: Breakdown): void {
    orderBreakdown(this.view.control, this.supervisor.offsetsOf(thread), how);
  }

  /** Ends a thread at whatever point it has come to: an SMMU's, or one of the DMA or of the software threads. */
  kill(kind: 'smmu' | 'dma' | 'software', index: number): void {
    const threads =
      kind === 'smmu'
        ? [...this.#workers.values()].map(({ worker }) => worker)
        : (kind === 'dma' ? this.#lanes : this.#software).threads;
    threads[index]?.terminate();
  }

  /** Asks the workload to stop at the next batch, and the software thread to drain and return. */
  requestStop(): void {
    this.view.control.raiseFlag(this.view.control.offsets.stop);
  }

  /** Tells the software that no device will do anything any more. */
  devicesDone(): void {
    this.view.control.raiseFlag(this.view.control.offsets.devicesDone);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.requestStop();
    this.view.control.raiseFlag(this.view.control.offsets.closed);
    this.supervisor.close();
    this.#hotplug.close();
    await Promise.all([
      ...[...this.#workers.values()].map(async ({ worker, api }) => {
        api[releaseProxy]();
        worker.removeAllListeners('exit');
        await worker.terminate();
      }),
      this.#lanes.destroy(),
      this.#pluggedPool?.destroy(),
      this.#software.destroy(),
    ]);
  }

  /** The thread of the physical SMMU of a device that is passed through. */
  #hostOf({ host }: DeviceInstance): Remote<SmmuApi> {
    return this.#workers.get(host!.smmu)!.api;
  }

  async #renumberGuests(moves: readonly DeviceMove[]): Promise<void> {
    for (const [smmu, { api }] of this.#workers) {
      const own = moves.filter(({ to }) => to.host?.smmu === smmu);
      if (own.length > 0) await this.supervisor.guard(api.renumber(own));
    }
  }

  #spawn(index: number, { from, smmuThreads }: StartOptions): SmmuWorker {
    const { id } = this.machine.smmus[index]!;
    const at = this.view.control.offsets.smmus[index]!;
    const entry = smmuThreads?.worker ?? 'smmu';
    const worker = new Worker(new URL(import.meta.resolve(`#workers/${entry}`)), {
      name: id,
      workerData: {
        ...{ shared: this.shared, smmu: index, state: from?.smmus[index] },
        extra: smmuThreads?.extra,
      },
    });
    this.supervisor.watch(id, at, () => this.#describeSmmu(index));
    worker.on('error', (error) => this.supervisor.fail(id, `died: ${errorText(error)}`));
    worker.on('exit', (code) => this.supervisor.fail(id, `died: its thread exited with code ${code}`));
    return { worker, api: wrap<SmmuApi>(endpointOf(worker)) };
  }

  #threadPool(worker: ThreadEntry['worker'], threads: number): Piscina {
    const started = new Piscina({
      filename: import.meta.resolve(`#workers/${worker}`),
      minThreads: threads,
      maxThreads: threads,
      concurrentTasksPerWorker: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    // A thread that dies while it has no task.
    started.on('error', (error) => this.supervisor.fail(`${worker} pool`, `failed: ${errorText(error)}`));
    return started;
  }

  #run<Result>(
    threads: Piscina,
    thread: string,
    { worker, task: name }: ThreadEntry,
    task: unknown,
    transferList: MessagePort[] = [],
  ): Promise<Result> {
    const filename = import.meta.resolve(`#workers/${worker}`);
    const work: Promise<Result> = threads.run(task, { name, filename, transferList }).catch((error) => {
      // The first failure is the cause: a thread that gave up because of another's death is not reported for it.
      if (this.#closing === undefined) this.supervisor.fail(thread, `failed: ${errorText(error)}`);
      throw this.supervisor.failure ?? error;
    });
    return heldForLater(this.supervisor.guard(work));
  }

  /** The registers that tell how far an SMMU has come. */
  #describeSmmu(index: number): string {
    const words = new Int32Array(this.shared.registers[index]!);
    const keys = ['CR0', 'CR0ACK', 'GERROR', 'CMDQ_PROD', 'CMDQ_CONS', 'EVENTQ_PROD', 'EVENTQ_CONS'] as const;
    return keys
      .map(
        (key) => `${key} 0x${readRegister(words, BANKS[NON_SECURE][key].offset, 4, NON_SECURE).toString(16)}`,
      )
      .join(', ');
  }
}

/** The caller may be waiting for something else when the machine fails or is closed. */
function heldForLater<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {});
  return work;
}

function laneName(lane: number): string {
  return `dma thread ${lane}`;
}

function softwareName(index: number): string {
  return index === 0 ? 'software' : `software ${index}`;
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
