/**
 * A physical SMMU as the host's kernel holds it, on top of `software`: the STEs of its masters, VMIDs, the one command
 * queue, and the event queue, whose records go to those whom they concern (Linux: arm-smmu-v3).
 */
import {
  C_BAD_CD,
  C_BAD_STE,
  C_BAD_SUBSTREAMID,
  EVENT,
  F_ACCESS,
  F_ADDR_SIZE,
  F_PERMISSION,
  F_STREAM_DISABLED,
  F_TRANSLATION,
} from '../arch/events.js';
import { get } from '../arch/layout.js';
import { BANKS } from '../arch/registers.js';
import { NON_SECURE } from '../arch/security.js';
import type { IdRegisters } from '../smmu/config.js';
import type { CommandWords } from '../software/commands.js';
import { ABORT_STE } from '../software/context.js';
import type { SmmuDriver } from '../software/driver.js';
import type { PageAllocator } from '../software/page-allocator.js';
import { type CpuMemory, DriverError, type SmmuPort } from '../software/port.js';
import { type Errno, IommufdError } from './errors.js';

/** What GET_HW_INFO tells of the SMMU: the ID registers as they are. */
export type HwInfo = Omit<IdRegisters, 'S_IDR0' | 'S_IDR1'>;

/** Whom a master's events concern while a guest has it. */
export interface EventSink {
  /** @returns why the event was dropped, or undefined. */
  report(words: Uint32Array): string | undefined;
}

/** A device as the physical SMMU knows it. */
export interface HostDevice {
  readonly name: string;
  readonly host: HostSmmu;
  readonly StreamID: number;
  /** Set by the attachment. */
  sink: EventSink | undefined;
}

/** Memory of the host's kernel, in which STEs, queues and stage 2 tables lie. */
export interface HostMemory {
  readonly memory: CpuMemory;
  readonly allocator: PageAllocator;
}

export interface HostSmmuOptions extends HostMemory {
  readonly id: string;
  readonly driver: SmmuDriver;
  readonly port: SmmuPort;
}

/** Commands that go into the queue at once, with the CMD_SYNC behind them. */
const BATCH = 63;

/** Records that may be a guest's business; the others are the host's: fetches of structures that it owns, stage 2. */
const FOR_GUESTS: ReadonlySet<number> = new Set([
  C_BAD_STE,
  F_STREAM_DISABLED,
  C_BAD_SUBSTREAMID,
  C_BAD_CD,
  F_TRANSLATION,
  F_ADDR_SIZE,
  F_ACCESS,
  F_PERMISSION,
]);

export class HostSmmu {
  readonly id: string;
  readonly driver: SmmuDriver;
  readonly info: HwInfo;
  readonly kernel: HostMemory;
  readonly #masters = new Map<number, HostDevice>();
  readonly #dropped = new Map<string, number>();

  constructor({ id, driver, port, memory, allocator }: HostSmmuOptions) {
    this.id = id;
    this.driver = driver;
    this.kernel = { memory, allocator };
    const read = (key: keyof HwInfo) => port.read32(BANKS[NON_SECURE][key].offset) >>> 0;
    this.info = {
      IDR0: read('IDR0'),
      IDR1: read('IDR1'),
      IDR3: read('IDR3'),
      IDR5: read('IDR5'),
      IIDR: read('IIDR'),
      AIDR: read('AIDR'),
    };
  }

  /** Events that no guest received, by the reason. */
  get dropped(): ReadonlyMap<string, number> {
    return this.#dropped;
  }

  /** Makes a device known. Its DMA aborts until it is attached to something. */
  probe(name: string, StreamID: number): HostDevice {
    if (this.#masters.has(StreamID))
      throw new IommufdError('EEXIST', `${this.id}: StreamID ${StreamID} is taken`);
    const device: HostDevice = { name, host: this, StreamID, sink: undefined };
    // The Stream table's second level is there from now on: attaching later needs no memory.
    kernelCall(() => this.driver.writeSTE(StreamID, ABORT_STE));
    this.#masters.set(StreamID, device);
    return device;
  }

  remove(device: HostDevice): void {
    this.block(device);
    this.#masters.delete(device.StreamID);
  }

  /** Lets a device translate by an STE, and its events go to whoever made it. */
  install(device: HostDevice, ste: Uint32Array, sink: EventSink | undefined): void {
    // What the old STE caused is told to the old owner.
    this.pumpEvents();
    kernelCall(() => this.driver.writeSTE(device.StreamID, ste));
    device.sink = sink;
  }

  /** The blocking domain: every access aborts, in silence. */
  block(device: HostDevice): void {
    this.install(device, ABORT_STE, undefined);
  }

  /**
   * Issues commands in batches, each with a CMD_SYNC.
   * @returns how many were carried out: fewer than given when the SMMU stopped.
   */
  issue(commands: readonly CommandWords[]): number {
    let done = 0;
    while (done < commands.length) {
      const batch = commands.slice(done, done + BATCH);
      try {
        this.driver.commands.sync(batch);
      } catch (error) {
        if (error instanceof DriverError) return done;
        throw error;
      }
      done += batch.length;
    }
    return done;
  }

  /** A CMD_SYNC: all that was issued is done, and the events of accesses that are over are in the queue (4.7.3). */
  settle(): void {
    kernelCall(() => this.driver.commands.sync(), 'EIO');
  }

  /** Hands the records in the event queue to the guests that they concern. */
  pumpEvents(): void {
    for (const { words, StreamID } of this.driver.events.drain().records) {
      const reason = this.#deliver(words, this.#masters.get(StreamID));
      if (reason !== undefined) this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1);
    }
  }

  #deliver(words: Uint32Array, device: HostDevice | undefined): string | undefined {
    if (device?.sink === undefined) return 'no guest has the device';
    if (!FOR_GUESTS.has(get(words, EVENT.EventNumber))) return "the host's own structures";
    if (get(words, EVENT.S2) === 1) return 'stage 2';
    return device.sink.report(words);
  }
}

/** Runs a part of the kernel that allocates; what it lacks becomes an errno. */
export function kernelCall<T>(call: () => T, errno: Errno = 'ENOMEM'): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof DriverError) throw new IommufdError(errno, error.message);
    throw error;
  }
}
