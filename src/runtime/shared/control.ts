/**
 * The control memory of a running machine: one SharedArrayBuffer, and where everything lies in it.
 *
 * Threads meet only here, in the register files and in guest memory. Each word that two threads watch has a
 * 128-byte line of its own (64-byte lines fetched in pairs), so that nobody's counter slows another's flag.
 * The classes over these words are in mailbox.ts, tbu-channel.ts, tbu-guard.ts, event-ring.ts and signal.ts.
 */
import { SECURITY_STATES } from '../../arch/security.js';
import type { IdRegisters } from '../../smmu/config.js';
import { MESSAGE_WORDS } from '../../smmu/maintenance.js';
import { STALL_TABLE_WORDS, StallTable } from '../../smmu/stalls.js';

/** Words of a 128-byte line. */
export const LINE_WORDS = 32;

/** Register writes that may be under way to one TCU. */
export const MAILBOX_SLOTS = 256;
export const MAILBOX_SLOT_WORDS = 8;
/** Maintenance messages that a TBU may lag behind before it starts from scratch. */
export const LOG_MESSAGES = 256;
/** Event records that one TBU may have under way. */
export const EVENT_SLOTS = 128;
export const EVENT_SLOT_WORDS = 16;

/** Counts of a latency histogram. */
export const LATENCY_BUCKETS = 256;

/** What of a machine decides the size of its control memory. */
export interface ControlShape {
  readonly smmus: number;
  /** DMA threads; each has one TBU slot at every SMMU. */
  readonly lanes: number;
  /** Threads of software that programs the SMMUs. */
  readonly software: number;
  readonly devices: number;
}

/** Word offsets of one TBU slot. */
export interface SlotOffsets {
  readonly active: number;
  readonly seen: number;
  readonly eventHead: number;
  readonly eventTail: number;
  readonly events: number;
  readonly statistics: number;
}

/** Word offsets of one SMMU. */
export interface SmmuOffsets extends ThreadOffsets {
  /** Signal: there is work for the TCU. */
  readonly doorbell: number;
  /** Signal: the TCU has done something that others may wait for. */
  readonly progress: number;
  readonly mailboxTail: number;
  readonly mailboxConsumed: number;
  readonly mailbox: number;
  readonly logEpoch: number;
  readonly logReserved: number;
  readonly log: number;
  /** Per Security state: a line with the version, a line with the newest BANK message. */
  readonly banks: readonly number[];
  /** The table of stalled transactions (smmu/stalls.ts). */
  readonly stalls: number;
  /** Not 0 while the TCU waits for its TBUs. */
  readonly awaitsTbus: number;
  readonly interrupts: number;
  readonly statistics: number;
  readonly slots: readonly SlotOffsets[];
}

/** Word offsets of a thread: thread-life.ts. */
export interface ThreadOffsets {
  readonly state: number;
  /** A counter, and in the next word an order to break down. */
  readonly heartbeat: number;
}

export interface ControlOffsets {
  /** Not 0 once a thread of the machine has died or hangs. */
  readonly failed: number;
  /** Not 0 once the machine is asked to stop its workload. */
  readonly stop: number;
  /** Not 0 while the workload has stopped in order to go on. */
  readonly paused: number;
  /** Not 0 once all devices are at rest, and their software may come to rest, too. */
  readonly devicesDone: number;
  /** Not 0 once the machine is closed: its threads end. */
  readonly closed: number;
  readonly smmus: readonly SmmuOffsets[];
  readonly lanes: readonly ThreadOffsets[];
  readonly software: readonly ThreadOffsets[];
  /** Signal: an SMMU has raised an interrupt. */
  readonly interrupt: number;
  /** Word offsets of a statistics line per device. */
  readonly devices: readonly number[];
  /** Word offsets of a latency histogram per device (latency.ts). */
  readonly latencies: readonly number[];
  /** Word offsets of each device's presence (presence.ts). */
  readonly presences: readonly number[];
  /** Signal: there is work for the thread of the plugged devices. */
  readonly plugged: number;
  /** Tasks that wait for the software thread to leave its consumer's loop. */
  readonly softwareCalls: number;
  readonly totalWords: number;
}

/** States of a thread, in its `state` word, which is 0 at first. */
export const THREAD_STATES = ['starting', 'running', 'waiting', 'done'] as const;
export const RUNNING = 1;
export const WAITING = 2;
export const DONE = 3;

/** What a device tells of its progress: doubles of its statistics line. */
export const DEVICE_ACCESSES = 0;
export const DEVICE_BYTES = 1;
export const DEVICE_ABORTS = 2;
export const DEVICE_STEP = 3;
/** What its accesses did to the TBU that it shares with the other devices of its thread. */
export const DEVICE_HITS = 4;
export const DEVICE_MISSES = 5;
export const DEVICE_WALKS = 6;
export const DEVICE_EVENTS = 7;
/** What a TBU tells: doubles of its slot's statistics line. */
export const TBU_HITS = 0;
export const TBU_MISSES = 1;
export const TBU_WALKS = 2;
export const TBU_TRANSACTIONS = 3;
/** What a TCU tells: doubles of its statistics line. */
export const TCU_COMMANDS = 0;
export const TCU_INVALIDATIONS = 1;
export const TCU_EVENTS = 2;

/** Lays out the control memory: a pure function of the shape, so that every thread finds the same places. */
function controlOffsets(shape: ControlShape): ControlOffsets {
  let next = 0;
  const take = (words: number): number => {
    const at = next;
    next += Math.ceil(words / LINE_WORDS) * LINE_WORDS;
    return at;
  };
  const list = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);
  const line = () => take(LINE_WORDS);
  const thread = (): ThreadOffsets => ({ state: line(), heartbeat: line() });
  const slot = (): SlotOffsets => ({
    active: line(),
    seen: line(),
    eventHead: line(),
    eventTail: line(),
    events: take(EVENT_SLOTS * EVENT_SLOT_WORDS),
    statistics: line(),
  });
  const smmu = (): SmmuOffsets => ({
    state: line(),
    heartbeat: line(),
    doorbell: line(),
    progress: line(),
    mailboxTail: line(),
    mailboxConsumed: line(),
    mailbox: take(MAILBOX_SLOTS * MAILBOX_SLOT_WORDS),
    logEpoch: line(),
    logReserved: line(),
    log: take(LOG_MESSAGES * MESSAGE_WORDS),
    banks: SECURITY_STATES.map(() => take(2 * LINE_WORDS)),
    stalls: take(STALL_TABLE_WORDS),
    awaitsTbus: line(),
    interrupts: line(),
    statistics: line(),
    slots: list(shape.lanes, slot),
  });
  const failed = line();
  const stop = line();
  const paused = line();
  const devicesDone = line();
  const closed = line();
  const smmus = list(shape.smmus, smmu);
  const lanes = list(shape.lanes, thread);
  const software = list(shape.software, thread);
  const interrupt = line();
  const devices = list(shape.devices, line);
  const latencies = list(shape.devices, () => take(LATENCY_BUCKETS));
  const presences = list(shape.devices, line);
  const plugged = line();
  const softwareCalls = line();
  return {
    ...{ failed, stop, paused, devicesDone, closed, smmus, lanes, software, interrupt, devices, latencies },
    ...{ presences, plugged, softwareCalls },
    totalWords: next,
  };
}

/** One thread's view of the control memory. */
export class Control {
  readonly offsets: ControlOffsets;
  readonly words: Int32Array;
  /** The same memory as doubles; statistics only, each written by one thread. */
  readonly doubles: Float64Array;

  constructor(shape: ControlShape, buffer: SharedArrayBuffer) {
    this.offsets = controlOffsets(shape);
    this.words = new Int32Array(buffer);
    this.doubles = new Float64Array(buffer);
  }

  static allocate(shape: ControlShape): SharedArrayBuffer {
    return new SharedArrayBuffer(controlOffsets(shape).totalWords * Int32Array.BYTES_PER_ELEMENT);
  }

  /** The stalled transactions of an SMMU. */
  stalls(at: SmmuOffsets, idr: IdRegisters): StallTable {
    return new StallTable(idr, this.words.subarray(at.stalls, at.stalls + STALL_TABLE_WORDS));
  }

  /** Sets one value of a statistics line, given by its word offset. */
  setStatistic(line: number, index: number, value: number): void {
    this.doubles[(line >>> 1) + index] = value;
  }

  statistic(line: number, index: number): number {
    return this.doubles[(line >>> 1) + index]!;
  }

  get hasFailed(): boolean {
    return Atomics.load(this.words, this.offsets.failed) !== 0;
  }

  /** Why nobody need wait for a thread of the machine any more; undefined while all is well. */
  get lost(): string | undefined {
    if (this.hasFailed) return 'a thread of the machine has failed';
    return Atomics.load(this.words, this.offsets.closed) === 0 ? undefined : 'the machine was closed';
  }

  get stopRequested(): boolean {
    return Atomics.load(this.words, this.offsets.stop) !== 0;
  }

  get paused(): boolean {
    return Atomics.load(this.words, this.offsets.paused) !== 0;
  }

  /** Stops the workload where it is; {@link resume} lets it be taken up again. */
  pause(): void {
    if (Atomics.exchange(this.words, this.offsets.paused, 1) === 0) this.raiseFlag(this.offsets.stop);
  }

  resume(): void {
    Atomics.store(this.words, this.offsets.paused, 0);
    Atomics.store(this.words, this.offsets.stop, 0);
  }

  get areDevicesDone(): boolean {
    return Atomics.load(this.words, this.offsets.devicesDone) !== 0;
  }

  /** Raises a machine-wide flag and wakes whoever sleeps on any signal, so that it is seen at once. */
  raiseFlag(offset: number): void {
    Atomics.store(this.words, offset, 1);
    const signals = this.offsets.smmus.flatMap((smmu) => [smmu.doorbell, smmu.progress]);
    for (const signal of [...signals, this.offsets.interrupt, this.offsets.plugged]) {
      Atomics.add(this.words, signal, 1);
      Atomics.notify(this.words, signal);
    }
  }
}
