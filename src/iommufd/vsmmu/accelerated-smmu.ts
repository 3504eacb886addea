/**
 * An accelerated SMMU: a guest's SMMUv3 whose translations a physical one makes (QEMU: smmuv3-accel; OpenVMM: accelerated
 * streams). Registers and queues are emulated by an ordinary TCU over the guest's memory. What the TCU tells its TBUs
 * becomes attachments of devices and invalidations, through iommufd.
 *
 * Invalidations are gathered and issued together, up to each point at which a device's configuration changes, a
 * CMD_SYNC, or the end of the TCU's step; a command that fails there stops the guest's queue with CERROR_ILL.
 *
 * What a guest sees is what it would see of an emulated SMMU, but for this. A CD or translation table of its own that is
 * no memory is a stage 2 fault, of which the host tells it nothing, where an emulated SMMU records F_CD_FETCH or F_WALK_EABT. An STE is
 * read at its CMD_CFGI_STE, or when SMMUEN becomes 1, and at no other time. While SMMUEN is 0 and GBPA bypasses, an
 * access with a SubstreamID aborts; it is recorded if SMMUEN becomes 1 before that is known.
 *
 * Left out: ATS and PRI, a Secure interface, and the Stall model: HWPT_INVALIDATE takes no CMD_RESUME, in Linux as here, so that
 * nobody could end a stall. The guest's IDR0 says so, and the physical STE has S1STALLD set.
 */
import {
  CMD_CFGI_CD,
  CMD_CFGI_CD_ALL,
  CMD_CFGI_STE,
  CMD_CFGI_STE_RANGE,
  COMMAND,
  COMMANDS_BY_OPCODE,
} from '../../arch/commands.js';
import { C_BAD_STE, EVENT } from '../../arch/events.js';
import { IDR1, IDR3 } from '../../arch/id-registers.js';
import { get, set } from '../../arch/layout.js';
import { BANKS } from '../../arch/registers.js';
import { NON_SECURE, type SecurityState } from '../../arch/security.js';
import type { SmmuConfig } from '../../smmu/config.js';
import {
  BANK_GBPA,
  BANK_SMMUEN,
  MESSAGE_BANK,
  MESSAGE_COMMAND,
  type TbuChannel,
} from '../../smmu/maintenance.js';
import type { Spaces } from '../../smmu/smmu.js';
import { StallTable } from '../../smmu/stalls.js';
import { Tcu, type TcuIo } from '../../smmu/tcu/tcu.js';
import type { CommandWords } from '../../software/commands.js';
import { type CommandFeatures, reduceCommand } from '../invalidation.js';
import { capabilityMismatches } from './capabilities.js';
import { type AccelObserver, BindError, GuestDevices } from './guest-devices.js';
import { GuestStreams } from './guest-streams.js';
import type { VfioCore, VfioDevice } from './vfio-core.js';

/** A command that waits, in order. */
type Gathered =
  | { readonly kind: 'invalidation'; readonly words: CommandWords }
  | { readonly kind: 'streams'; readonly first: number; readonly last: number }
  | { readonly kind: 'nothing' };

const GBPA_ABORT = BANKS[NON_SECURE].GBPA.fields.ABORT!;

export class AcceleratedSmmu {
  readonly tcu: Tcu;
  readonly #config: SmmuConfig;
  readonly #core: VfioCore;
  readonly #observer: AccelObserver;
  readonly #streams: GuestStreams;
  readonly #devices: GuestDevices;
  readonly #features: CommandFeatures;
  #gathered: Gathered[] = [];
  #translating = false;
  /** While SMMUEN is 0 an SMMU records nothing of its streams (6.3.9.6). */
  #recording = false;
  #gbpaAborts = false;
  #lostEvents = 0;

  /**
   * @param spaces the guest's memory.
   * @param registers memory of the register file, for those who share it with other threads.
   */
  constructor(
    config: SmmuConfig,
    spaces: Spaces,
    io: TcuIo,
    core: VfioCore,
    observer: AccelObserver = {},
    registers?: ArrayBufferLike,
  ) {
    const { IDR1: idr1, IDR3: idr3 } = config.idr;
    this.#config = config;
    this.#core = core;
    this.#observer = observer;
    this.#streams = new GuestStreams(config, spaces);
    const ssidBits = get([idr1], IDR1.fields.SSIDSIZE);
    this.#features = { ssidBits, rangeInvalidation: get([idr3], IDR3.fields.RIL) === 1 };
    this.#devices = new GuestDevices({
      smmu: config.id,
      core,
      observer,
      controls: this.#controls(),
      substreams: ssidBits > 0,
      eventDepth: 2 ** get([idr1], IDR1.fields.EVENTQS),
    });
    this.tcu = new Tcu(config, spaces, this.#channel(), io, new StallTable(config.idr), registers);
  }

  /** How often the vEVENTQ said that events were lost. */
  get lostEvents(): number {
    return this.#lostEvents;
  }

  readRegister(offset: number, sizeBytes: number, security: SecurityState): bigint {
    return this.tcu.readRegister(offset, sizeBytes, security);
  }

  writeRegister(offset: number, sizeBytes: number, value: bigint, security: SecurityState): void {
    this.tcu.writeRegister(offset, sizeBytes, value, security);
  }

  runToIdle(): void {
    while (this.step());
  }

  /**
   * Does a bounded piece of what there is to do.
   * @param commands how many at most of each queue; default: the TCU's.
   * @returns whether it did anything.
   */
  step(commands?: number): boolean {
    this.#takeEvents();
    return this.tcu.step(commands);
  }

  /** Back to the state after power-on; devices stay, and follow GBPA. */
  reset(): void {
    this.#gathered = [];
    this.tcu.reset();
  }

  /**
   * Puts a device behind this SMMU, at a function of the guest's bus: at start, or by hotplug.
   * @param vfio undefined for an endpoint without a host device: nothing to do.
   * @param StreamID undefined while the bus has no number.
   * @throws BindError; nothing is kept then.
   */
  bind(devfn: number, vfio: VfioDevice | undefined, StreamID?: number): void {
    const host = vfio && this.#core.iommufd.hwInfo(vfio.devID);
    const mismatches = host === undefined ? [] : capabilityMismatches(this.#config.idr, host);
    if (mismatches.length > 0) {
      throw new BindError(
        `${this.#config.id}: the host of device ${vfio!.devID} lacks: ${mismatches.join('; ')}`,
      );
    }
    this.#devices.bind(devfn, vfio, StreamID);
  }

  /** Takes a device away. */
  unbind(devfn: number): void {
    this.#takeEvents();
    this.#devices.unbind(devfn);
  }

  /**
   * A function's StreamID has changed with the number of its bus; undefined while it has none. What the device's accesses
   * caused under the old one is recorded under it.
   * @param to the function itself, where that counts the bus.
   */
  renumber(devfn: number, StreamID: number | undefined, to = devfn): void {
    this.#devices.settle();
    this.#takeEvents();
    this.#devices.renumber(devfn, StreamID, to);
  }

  #controls() {
    const own = this;
    return {
      get translating() {
        return own.#translating;
      },
      get gbpaAborts() {
        return own.#gbpaAborts;
      },
      read: (StreamID: number) => this.#streams.read(StreamID),
    };
  }

  #channel(): TbuChannel {
    return {
      broadcast: (message) => {
        if (message[0] === MESSAGE_COMMAND) this.#gathered.push(this.#gather(message.subarray(1, 5)));
        if (message[0] === MESSAGE_BANK) this.#setBank(message);
      },
      settled: () => {
        // What finished accesses caused is in the queue before a CMD_SYNC completes (4.7.3).
        this.#devices.settle();
        this.#takeEvents();
        return true;
      },
      carryOut: () => this.#carryOut(),
    };
  }

  #gather(words: Int32Array): Gathered {
    const StreamID = get(words, COMMAND.StreamID);
    const opcode = get(words, COMMAND.Opcode);
    switch (opcode) {
      case CMD_CFGI_STE:
        return { kind: 'streams', first: StreamID, last: StreamID };
      case CMD_CFGI_STE_RANGE: {
        const count = 2 ** (get(words, COMMAND.Range) + 1);
        const first = Math.floor(StreamID / count) * count;
        return { kind: 'streams', first, last: first + count - 1 };
      }
      case CMD_CFGI_CD:
      case CMD_CFGI_CD_ALL:
        // Without a device there is nothing to invalidate, and to iommufd the StreamID would be nobody's.
        if (!this.#devices.has(StreamID)) return { kind: 'nothing' };
        break;
    }
    return {
      kind: 'invalidation',
      words: reduceCommand(COMMANDS_BY_OPCODE.get(opcode)!, words, this.#features),
    };
  }

  /** @returns how many of the gathered commands are not carried out. */
  #carryOut(): number {
    const gathered = this.#gathered;
    this.#gathered = [];
    let start = 0;
    for (const [index, one] of gathered.entries()) {
      if (one.kind !== 'streams') continue;
      const done = this.#invalidate(gathered.slice(start, index));
      if (start + done < index) return gathered.length - start - done;
      this.#devices.followStreams(one.first, one.last);
      start = index + 1;
    }
    const rest = gathered.slice(start);
    return rest.length - this.#invalidate(rest);
  }

  /** @returns how many of a run of commands were carried out. */
  #invalidate(run: readonly Gathered[]): number {
    const issued = run.flatMap((one, index) => (one.kind === 'invalidation' ? [{ ...one, index }] : []));
    if (issued.length === 0) return run.length;
    const { handled, error } = this.#devices.invalidate(issued.map(({ words }) => words));
    if (error === undefined) return run.length;
    this.#observer.error?.(`${this.#config.id}: an invalidation failed: ${error.message}`);
    return issued[handled]!.index;
  }

  /** A GBPA that changes while SMMUEN is 1 has no effect until it is 0 (6.3.14). */
  #setBank(message: Int32Array): void {
    // Events of accesses that the old controls let in.
    this.#takeEvents();
    const translated = this.#translating;
    this.#translating = message[BANK_SMMUEN] !== 0;
    this.#gbpaAborts = get([message[BANK_GBPA]!], GBPA_ABORT) === 1;
    this.#streams.handle(message);
    if (!translated || !this.#translating) this.#devices.followAll();
    if (translated && !this.#translating) {
      // And of those that they still let in while the devices followed, one after the other.
      this.#devices.settle();
      this.#takeEvents();
    }
    this.#recording = this.#translating;
  }

  #takeEvents(): void {
    for (const { words, lost } of this.#devices.takeEvents()) {
      if (lost) this.#lostEvents++;
      else if (this.#recording)
        this.tcu.record(this.#asTheGuestSees(Int32Array.from(words!)), NON_SECURE, false);
    }
  }

  /** The physical SMMU knows of an error in the guest's Stream table only that there is no valid STE. */
  #asTheGuestSees(record: Int32Array): Int32Array {
    if (get(record, EVENT.EventNumber) !== C_BAD_STE) return record;
    const failure = this.#devices.failureOf(get(record, EVENT.StreamID));
    if (failure === undefined) return record;
    const seen = failure.slice();
    for (const field of [EVENT.SSV, EVENT.SubstreamID]) set(seen, field, get(record, field));
    return seen;
  }
}
