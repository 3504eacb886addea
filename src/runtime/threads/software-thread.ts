/**
 * The software of a machine, in its thread: programs every SMMU as the machine file says, then is the consumer of the
 * event queues, and answers stalled accesses, until the workload is over. One driver per SMMU and Security state that has a
 * stream to program; an interface without one stays as reset left it.
 */
import { EVENT } from '../../arch/events.js';
import { set } from '../../arch/layout.js';
import { SECURITY_STATES, type SecurityState } from '../../arch/security.js';
import type { DeviceInstance, StreamProgram } from '../../machine/types.js';
import {
  type Booted,
  type BootStream,
  type BufferAllocators,
  boot,
  deferredRanges,
  endStream as endDeviceStream,
  programStream as programDeviceStream,
  type ResolvedMapping,
  renumberStreams as renumberDeviceStreams,
} from '../../software/boot.js';
import { SmmuDriver } from '../../software/driver.js';
import type { EventQueuePosition } from '../../software/event-queue.js';
import { FaultHandler } from '../../software/fault-handler.js';
import type { PageAllocator } from '../../software/page-allocator.js';
import { DriverError, SpaceMemory } from '../../software/port.js';
import { homeRegion, LOG2_EVENTS, regionAllocators, streamsOf } from '../boot-plan.js';
import { DONE, RUNNING } from '../shared/control.js';
import { MachineView, memoryThreads, type SharedMachine } from '../shared/shared-machine.js';
import { Signal } from '../shared/signal.js';
import { Rehearsal, type Surroundings } from './rehearsal.js';
import type { DeviceMove } from './smmu-api.js';
import { SharedSmmuPort } from './smmu-port.js';
import { ThreadLife } from './thread-life.js';

/** Polls of a register: with the port's sleeps, well beyond the time after which a hung SMMU is reported. */
const POLL_LIMIT = 50_000;
/** How long the consumer sleeps without an interrupt: its heartbeat. */
const NAP_MS = 100;

/** Where a mapping of the machine file went. */
export interface PlacedMapping extends ResolvedMapping {
  readonly smmu: number;
  readonly security: SecurityState;
}

/** Equal event records of one event queue, counted. */
export interface EventCount {
  readonly smmu: number;
  readonly security: SecurityState;
  /** STAG is 0: it would tell equal records apart. */
  readonly words: readonly number[];
  readonly count: number;
  /** The access had stalled and was retried. */
  readonly retried: boolean;
}

export interface DrainedEvents {
  readonly events: readonly EventCount[];
  /** Queues that overflowed: events are missing from them. */
  readonly overflowed: readonly { readonly smmu: number; readonly security: SecurityState }[];
}

/** A page that was mapped when an access asked for it. */
export interface MappedOnFault {
  readonly smmu: number;
  readonly security: SecurityState;
  readonly StreamID: number;
  readonly iova: bigint;
}

/** What of the software outlives a moment: what its boot does not make again from the machine file. */
export interface SoftwareState {
  readonly mappings: readonly PlacedMapping[];
  /** In the order in which they were mapped, which decides where the tables are. */
  readonly mappedOnFault: readonly MappedOnFault[];
  /** In the order in which they were booted. */
  readonly interfaces: readonly {
    readonly smmu: number;
    readonly security: SecurityState;
    /** CMDQ_PROD.WR. */
    readonly commands: number;
    readonly events: EventQueuePosition;
    readonly overflowed: boolean;
    readonly counts: readonly {
      readonly words: readonly number[];
      readonly count: number;
      readonly retried: boolean;
    }[];
  }[];
}

/** A device that came or goes, and what to program for it. */
export interface StreamTask {
  readonly device: DeviceInstance;
  readonly program?: StreamProgram;
}

export interface RestoreTask {
  readonly shared: SharedMachine;
  readonly state: SoftwareState;
}

/** Where the mappings went, or what the software could not do. */
export type StreamOutcome = { readonly mappings: readonly PlacedMapping[] } | { readonly failed: string };

interface DriverEntry {
  readonly smmu: number;
  readonly security: SecurityState;
  readonly driver: SmmuDriver;
  readonly booted: Booted;
  readonly faults: FaultHandler;
  readonly counts: Map<string, { words: number[]; count: number; retried: boolean }>;
  overflowed: boolean;
}

class SoftwareThread {
  readonly life: ThreadLife;
  readonly #view: MachineView;
  readonly #allocators: ReadonlyMap<string, PageAllocator>;
  readonly #entries: DriverEntry[] = [];
  readonly #mappedOnFault: MappedOnFault[] = [];
  #surroundings: Surroundings;
  #mappings: readonly PlacedMapping[] = [];

  constructor(shared: SharedMachine) {
    this.#view = MachineView.attach(shared, memoryThreads.software(shared.shape, 0));
    const { control } = this.#view;
    this.life = new ThreadLife(control, control.offsets.software[0]!);
    this.#allocators = regionAllocators(this.#view.machine);
    this.#surroundings = {
      port: (smmu, security) => new SharedSmmuPort(this.#view, smmu, security, () => this.life.beat()),
      memory: (smmu, security) => new SpaceMemory(this.#view.spacesOf(smmu)[security]),
    };
  }

  boot(): PlacedMapping[] {
    const placed: PlacedMapping[] = [];
    for (const smmu of this.#view.machine.smmus.keys()) {
      for (const security of SECURITY_STATES) {
        const streams = streamsOf(this.#view.machine, smmu, security);
        if (streams.length === 0) continue;
        const { mappings } = this.#bootInterface(smmu, security, streams).booted;
        placed.push(...mappings.map((mapping) => ({ ...mapping, smmu, security })));
      }
    }
    this.#mappings = placed;
    return placed;
  }

  /** Between two records. */
  save(): SoftwareState {
    return {
      mappings: this.#mappings,
      mappedOnFault: [...this.#mappedOnFault],
      interfaces: this.#entries.map(({ smmu, security, driver, counts, overflowed }) => ({
        smmu,
        security,
        commands: driver.commands.position,
        events: driver.events.position,
        overflowed,
        counts: [...counts.values()],
      })),
    };
  }

  /**
   * Takes up a state. What software knows of its own tables follows from what it did: it does all of it again, upon
   * a machine that is there for nothing else, and then finds itself on the real one, whose memory has the same tables.
   */
  restore({ mappings, mappedOnFault, interfaces }: SoftwareState): readonly PlacedMapping[] {
    const real = this.#surroundings;
    const rehearsal = new Rehearsal(this.#view, real);
    this.#surroundings = rehearsal;
    this.boot();
    for (const { smmu, security, StreamID, iova } of mappedOnFault) {
      this.#entry(smmu, security)?.faults.map(StreamID, iova);
    }
    rehearsal.end();
    this.#surroundings = real;
    for (const [index, own] of interfaces.entries()) {
      const entry = this.#entries[index];
      if (entry === undefined || entry.smmu !== own.smmu || entry.security !== own.security) {
        throw new DriverError('the state is of software that programmed other SMMUs');
      }
      entry.driver.commands.position = own.commands;
      entry.driver.events.position = own.events;
      entry.overflowed = own.overflowed;
      for (const one of own.counts) entry.counts.set(keyOf(one), { ...one, words: [...one.words] });
    }
    this.#mappings = mappings;
    return mappings;
  }

  /** An interface that had no stream so far is enabled now. */
  programStream({ device, program }: StreamTask): StreamOutcome {
    const { smmu, SEC_SID: security, StreamID } = device;
    try {
      const entry = this.#entry(smmu, security) ?? this.#bootInterface(smmu, security, []);
      const stream = { ...program!, StreamID };
      const mappings = programDeviceStream(entry.driver, entry.booted, stream, this.#buffers(smmu));
      return { mappings: mappings.map((mapping) => ({ ...mapping, smmu, security })) };
    } catch (error) {
      if (error instanceof DriverError) return { failed: error.message };
      throw error;
    }
  }

  endStream({ device }: StreamTask): void {
    const entry = this.#entry(device.smmu, device.SEC_SID);
    if (entry !== undefined) endDeviceStream(entry.driver, entry.booted, device.StreamID);
  }

  /** @returns why some stream cannot go on under its new StreamID; all are then as they were. */
  renumberStreams(moves: readonly DeviceMove[]): string | undefined {
    const of = (entry: DriverEntry) =>
      moves
        .filter(({ from }) => entry === this.#entry(from.smmu, from.SEC_SID))
        .map(({ from, to }) => ({ from: from.StreamID, to: to.StreamID }));
    try {
      for (const entry of this.#entries) for (const { to } of of(entry)) entry.driver.reserve(to);
    } catch (error) {
      if (error instanceof DriverError) return error.message;
      throw error;
    }
    for (const entry of this.#entries) renumberDeviceStreams(entry.driver, entry.booted, of(entry));
    return undefined;
  }

  /**
   * Consumes events until the coordinator asks to stop, which it does when all devices are done.
   * @returns false when the thread is called for something else.
   */
  consume(): boolean {
    const { control } = this.#view;
    const interrupt = new Signal(control.words, control.offsets.interrupt);
    while (!control.stopRequested) {
      if (Atomics.load(control.words, control.offsets.softwareCalls) > 0) return false;
      this.life.beat();
      const seen = interrupt.count;
      for (const entry of this.#entries) take(entry);
      if (!control.stopRequested) interrupt.sleep(seen, NAP_MS);
    }
    return true;
  }

  /** The last records, and all of them. */
  conclude(): DrainedEvents {
    for (const entry of this.#entries) {
      // A completed CMD_SYNC means that the events of all earlier transactions are in the queue (IHI 0070 4.7.3).
      entry.driver.commands.sync();
      take(entry);
    }
    return {
      events: this.#entries.flatMap(({ smmu, security, counts }) =>
        [...counts.values()].map((record) => ({ smmu, security, ...record })),
      ),
      overflowed: this.#entries
        .filter((entry) => entry.overflowed)
        .map(({ smmu, security }) => ({ smmu, security })),
    };
  }

  /** What the thread was called for is being done. */
  answer(): void {
    const { words, offsets } = this.#view.control;
    Atomics.sub(words, offsets.softwareCalls, 1);
  }

  #bootInterface(smmu: number, security: SecurityState, streams: readonly BootStream[]): DriverEntry {
    this.life.beat();
    const driver = this.#driver(smmu, security);
    const booted = boot(driver, streams, this.#buffers(smmu));
    const faults = new FaultHandler(
      driver,
      (StreamID) => deferredRanges(booted, StreamID),
      (StreamID, iova) => this.#mappedOnFault.push({ smmu, security, StreamID, iova }),
    );
    const entry = { smmu, security, driver, booted, faults, counts: new Map(), overflowed: false };
    this.#entries.push(entry);
    return entry;
  }

  #entry(smmu: number, security: SecurityState): DriverEntry | undefined {
    return this.#entries.find((entry) => entry.smmu === smmu && entry.security === security);
  }

  #buffers(smmu: number): BufferAllocators {
    return (space) => this.#allocator(smmu, space);
  }

  #driver(smmu: number, security: SecurityState): SmmuDriver {
    return new SmmuDriver({
      smmu: this.#view.machine.smmus[smmu]!.id,
      security,
      port: this.#surroundings.port(smmu, security),
      memory: this.#surroundings.memory(smmu, security),
      allocator: this.#allocator(smmu, security),
      log2Events: LOG2_EVENTS,
      pollLimit: POLL_LIMIT,
    });
  }

  /** The largest region of a Security state in that state's address space of an SMMU. */
  #allocator(smmu: number, security: SecurityState): PageAllocator {
    return this.#allocators.get(homeRegion(this.#view.machine, smmu, security).id)!;
  }
}

let thread: SoftwareThread | undefined;

/** First task of the software thread. */
export function bootSoftware(shared: SharedMachine): PlacedMapping[] {
  thread = new SoftwareThread(shared);
  return whileRunning(thread, () => thread!.boot());
}

/** The same for a machine that was restored. */
export function restoreSoftware({ shared, state }: RestoreTask): readonly PlacedMapping[] {
  thread = new SoftwareThread(shared);
  return whileRunning(thread, () => thread!.restore(state));
}

/** Second task of the software thread, and again after each call for something else. */
export function consumeEvents(): boolean {
  const software = booted();
  return whileRunning(software, () => software.consume());
}

/** Last task of the software thread. */
export function concludeSoftware(): DrainedEvents {
  const software = booted();
  return whileRunning(software, () => software.conclude());
}

/** A task while the workload has paused. */
export function saveSoftware(): SoftwareState {
  return booted().save();
}

/** A task in between: a device was plugged in. */
export function programStream(task: StreamTask): StreamOutcome {
  return called((software) => software.programStream(task));
}

/** A task in between: a device was unplugged. */
export function endStream(task: StreamTask): void {
  called((software) => software.endStream(task));
}

/** A task in between: a bus has another number. */
export function renumberStreams(moves: readonly DeviceMove[]): string | undefined {
  return called((software) => software.renumberStreams(moves));
}

function called<Result>(work: (software: SoftwareThread) => Result): Result {
  const software = booted();
  software.answer();
  return whileRunning(software, () => work(software));
}

function booted(): SoftwareThread {
  if (thread === undefined) throw new Error('assertion: the software has not booted');
  return thread;
}

function whileRunning<Result>(software: SoftwareThread, work: () => Result): Result {
  software.life.beat();
  software.life.state = RUNNING;
  try {
    return work();
  } finally {
    software.life.state = DONE;
  }
}

function take(entry: DriverEntry): void {
  const { records, overflow } = entry.driver.events.drain();
  entry.overflowed ||= overflow;
  for (const record of records) {
    const answer = entry.faults.handle(record);
    const words = [...record.words];
    if (answer !== 'none') set(words, EVENT.STAG, 0);
    const retried = answer === 'retry';
    const key = keyOf({ words, retried });
    const known = entry.counts.get(key);
    if (known === undefined) entry.counts.set(key, { words, count: 1, retried });
    else known.count++;
  }
}

function keyOf({ words, retried }: { readonly words: readonly number[]; readonly retried: boolean }): string {
  return `${words.join()},${retried}`;
}
