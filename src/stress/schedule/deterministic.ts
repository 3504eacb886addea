/**
 * A stress run in one thread (REQUIREMENTS H6): the parts of the threaded machine, its maintenance log, guards and event
 * rings included, under a seeded scheduler. Same machine, same options: same bytes, same events, same report.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { S_IDR1 } from '../../arch/id-registers.js';
import { get } from '../../arch/layout.js';
import { NON_SECURE, SECURITY_STATES } from '../../arch/security.js';
import type { Machine } from '../../machine/types.js';
import type { GuestMemory } from '../../memory/guest-memory.js';
import { hostsOf } from '../../runtime/boot-plan.js';
import { DirectPort, type LocalSmmu } from '../../runtime/in-process-machine.js';
import { EventRingSender } from '../../runtime/shared/event-ring.js';
import { type AddressSpaces, type MachineView, shareMachine } from '../../runtime/shared/shared-machine.js';
import { SharedTbuChannel } from '../../runtime/shared/tbu-channel.js';
import { TbuGuard } from '../../runtime/shared/tbu-guard.js';
import { Hypervisor } from '../../runtime/threads/hypervisor.js';
import { Tbu } from '../../smmu/tbu/tbu.js';
import { Tcu } from '../../smmu/tcu/tcu.js';
import { SpaceMemory } from '../../software/port.js';
import type { Actor } from '../actors/actor.js';
import { DmaActor, type TbuLink } from '../actors/dma-actor.js';
import { GatedLink, GuestSmmuActor, HostGate } from '../actors/guest-smmus.js';
import { LaneActor } from '../actors/lane-actor.js';
import {
  GuardedLink,
  MeteredLink,
  RoomyEvents,
  ScheduledPort,
  ScheduledSpace,
  TcuActor,
  type Traffic,
} from '../actors/scheduled-ports.js';
import { SoftwareActor } from '../actors/software-actor.js';
import type { Finding } from '../checker/finding.js';
import { Ledger } from '../checker/ledger.js';
import { type Faults, NO_FAULTS } from '../mutations/faults.js';
import { MUTATIONS } from '../mutations/mutations.js';
import type { StressOptions } from '../options.js';
import type { StressOutcome } from '../outcome.js';
import { planStress, type StressPlan } from '../plan.js';
import { Random } from '../random.js';
import { type GrantSource, RandomGrants, RecordedGrants, Scheduler } from './scheduler.js';
import { type Trace, TracedMemory, TracedPort } from './trace.js';

export interface DeterministicOptions extends StressOptions {
  /** Accesses of devices and changes of software, together; at least so many. */
  readonly operations: number;
  /** A recorded schedule instead of one from the seed. */
  readonly schedule?: ArrayLike<number>;
  /** Takes down what software and devices do. */
  readonly trace?: Trace;
  /** Zeroed memory of the machine's regions, for those who run many. */
  readonly memory?: GuestMemory;
}

export interface DeterministicReport extends StressOutcome {
  /** Interrupted: by the signal of {@link runInSlices}. */
  readonly end: 'done' | 'interrupted';
  /** The grants of the run: with it, the same run again. */
  readonly schedule: readonly number[];
}

const SCHEDULE_CHANCE = 2000;
const LANES_CHANCE = 2001;
/** More grants than this, and somebody waits for ever. */
const GRANTS_PER_OPERATION_MAX = 200;
/** Rounds within which everybody must come to rest. */
const SETTLE_ROUNDS = 20_000;
/** Steps between two looks at the world outside: a hundredth of a second or so. */
const SLICE_STEPS = 2000;

interface SmmuParts {
  readonly tcu: Tcu;
  readonly actor: Actor;
}

interface PhysicalParts extends SmmuParts {
  /** Hands the records of its TBUs to the TCU. */
  readonly drainEvents: () => void;
}

interface TbuParts {
  readonly smmu: number;
  readonly lane: number;
  readonly tbu: Tbu;
  readonly link: TbuLink;
}

class DeterministicMachine {
  readonly findings: Finding[] = [];
  readonly smmus: readonly SmmuParts[];
  readonly devices: readonly DmaActor[];
  readonly software: readonly SoftwareActor[];
  readonly actors: readonly Actor[];
  readonly #machine: Machine;
  readonly #options: DeterministicOptions;
  readonly #view: MachineView;
  readonly #plan: StressPlan;
  readonly #ledger: Ledger;
  readonly #faults: Faults;
  /** DMA threads: a device's is its index modulo their number. */
  readonly #lanes: number;
  readonly #physical = new Map<number, PhysicalParts>();
  /** Accelerated SMMUs. */
  readonly #guests = new Map<number, SmmuParts>();
  /** By physical SMMU with guests. */
  readonly #gates = new Map<number, HostGate>();
  readonly #tbus: TbuParts[] = [];
  /** By stream. */
  readonly #traffic: Traffic[] = [];
  #scheduler: Scheduler | undefined;
  readonly #point = () => this.#scheduler?.point();
  readonly #report = (finding: Finding) => this.findings.push(finding);

  constructor(machine: Machine, options: DeterministicOptions) {
    this.#machine = machine;
    this.#options = options;
    this.#plan = planStress(machine, options.seed);
    this.#faults = options.mutate === undefined ? NO_FAULTS : MUTATIONS[options.mutate].make();
    this.#lanes = 1 + new Random(options.seed, LANES_CHANCE).below(this.#plan.streams.length);
    this.#view = shareMachine(machine, this.#lanes, 1, options.memory).view;
    this.#ledger = new Ledger(this.#plan, Ledger.allocate(this.#plan));
    for (const [index, { accel }] of machine.smmus.entries()) {
      if (accel === undefined) this.#physical.set(index, this.#smmu(index));
    }
    for (const host of hostsOf(machine)) this.#addGuests(host, this.#physical.get(host)!);
    this.smmus = machine.smmus.map((_, index) => this.#physical.get(index) ?? this.#guests.get(index)!);
    this.devices = this.#plan.streams.map((_, index) => this.#device(index));
    this.software = this.#plan.interfaces.map((_, index) => this.#software(index));
    const lanes = Array.from({ length: this.#lanes }, (_, lane) => {
      const own = this.devices.filter((_, index) => index % this.#lanes === lane);
      return new LaneActor(`lane${lane}`, own);
    });
    this.actors = [...this.smmus.map(({ actor }) => actor), ...lanes, ...this.software];
  }

  get operations(): number {
    let sum = 0;
    for (const actor of this.devices) sum += actor.operations;
    for (const actor of this.software) sum += actor.operations;
    return sum;
  }

  /** Boots, and runs in slices; whoever drives it may end it between two of them by not asking for more. */
  *slices(): Generator<void, void> {
    for (const software of this.software) software.boot();
    const { operations, schedule, seed } = this.#options;
    const source: GrantSource =
      schedule === undefined
        ? new RandomGrants(new Random(seed, SCHEDULE_CHANCE), this.actors.length)
        : new RecordedGrants(schedule);
    const isOver = () =>
      this.findings.length > 0 ||
      this.operations >= operations ||
      scheduler.grants.length >= operations * GRANTS_PER_OPERATION_MAX;
    const scheduler = new Scheduler(this.actors, source, isOver);
    this.#scheduler = scheduler;
    while (scheduler.run(SLICE_STEPS)) yield;
  }

  /** The last checks, and what the run came to. */
  finish(end: DeterministicReport['end']): DeterministicReport {
    if (this.findings.length === 0) this.#settle(this.#scheduler!);
    return this.#summary(this.#scheduler!.grants, end);
  }

  /** Everybody comes to rest; then nothing may be missing. */
  #settle(scheduler: Scheduler): void {
    for (const actor of this.actors) actor.stop();
    const isAtRest = () => this.findings.length > 0 || this.actors.every((actor) => actor.atRest);
    const rested = scheduler.settle(isAtRest, SETTLE_ROUNDS);
    if (this.findings.length > 0) return;
    if (rested) for (const software of this.software) software.finish();
    if (rested && scheduler.settle(isAtRest, SETTLE_ROUNDS)) return;
    const busy = this.actors.filter((actor) => !actor.atRest).map(({ name }) => name);
    this.#report({
      kind: 'software-stuck',
      actor: busy[0]!,
      summary: `${busy.join(', ')}: not at rest after ${SETTLE_ROUNDS} rounds`,
      details: [],
    });
  }

  /** The kernel above a physical SMMU, and the accelerated ones above that. */
  #addGuests(host: number, { tcu, actor }: SmmuParts): void {
    const own: LocalSmmu = {
      readRegister: (offset, sizeBytes, security) => tcu.readRegister(offset, sizeBytes, security),
      writeRegister: (offset, sizeBytes, value, security) =>
        tcu.writeRegister(offset, sizeBytes, value, security),
      runToIdle: () => void actor.step(),
    };
    const { registers } = this.#view.shared;
    const wiring = (smmu: number) => ({ io: { interrupt() {} }, registers: registers[smmu]! });
    const { guests } = new Hypervisor(this.#view, host, new DirectPort(own, NON_SECURE), wiring);
    const gate = new HostGate();
    this.#gates.set(host, gate);
    for (const [index, smmu] of guests) {
      const name = this.#machine.smmus[index]!.id;
      this.#guests.set(index, { tcu: smmu.tcu, actor: new GuestSmmuActor(name, smmu, gate) });
    }
  }

  #smmu(index: number): PhysicalParts {
    const { id, config } = this.#machine.smmus[index]!;
    const { control, shared } = this.#view;
    const at = control.offsets.smmus[index]!;
    const channel = new SharedTbuChannel(control, at);
    const toTbus = this.#faults.channel?.(channel) ?? channel;
    const io = { interrupt() {} };
    const stalls = control.stalls(at, config.idr);
    const tcu = new Tcu(config, this.#view.spacesOf(index), toTbus, io, stalls, shared.registers[index]!);
    return { tcu, actor: new TcuActor(id, tcu, channel), drainEvents: () => channel.drainEvents(tcu) };
  }

  #device(index: number): DmaActor {
    const { interface: at, arrival } = this.#plan.streams[index]!;
    const { smmu } = arrival;
    const lane = index % this.#lanes;
    const known = this.#tbus.find((entry) => entry.smmu === smmu && entry.lane === lane);
    const { link: shared, tbu } = known ?? this.#tbu(smmu, lane);
    const { trace } = this.#options;
    const metered = new MeteredLink(shared, tbu, (transaction) => trace?.access(smmu, transaction));
    this.#traffic.push(metered.traffic);
    const gate = this.#gates.get(smmu);
    const link = gate === undefined ? metered : new GatedLink(metered, gate);
    const { seed, check } = this.#options;
    return new DmaActor({
      ...{ plan: this.#plan, stream: index, link, ledger: this.#ledger, seed, check },
      report: (finding) => this.findings.push(this.software[at]!.explain(finding)),
    });
  }

  /** The TBU of a lane at an SMMU, with all that is between the two. */
  #tbu(smmu: number, lane: number): TbuParts {
    const { control } = this.#view;
    const { drainEvents } = this.#physical.get(smmu)!;
    const { config } = this.#machine.smmus[smmu]!;
    const faults = this.#faults;
    const at = control.offsets.smmus[smmu]!;
    const slot = at.slots[lane]!;
    const limit = this.#view.smmuLimit(smmu, 'to make room');
    const sender = new EventRingSender(control, at, slot, limit);
    const ring = new RoomyEvents(sender, control, slot, drainEvents);
    const stalls = control.stalls(at, config.idr).range(lane, at.slots.length);
    const spaces = this.#spaces(smmu);
    const [nonSecure, secure] = spaces;
    const structures = faults.structures;
    const read = structures === undefined ? spaces : ([structures(nonSecure), structures(secure)] as const);
    const hasSecure = get([config.idr.S_IDR1], S_IDR1.fields.SECURE_IMPL) === 1;
    const events = faults.events?.(ring, hasSecure) ?? ring;
    const tbu = new Tbu(config, read, events, stalls);
    tbu.recordOrigins(this.#options.check);
    const guard = new TbuGuard(control, at, slot, faults.messages?.(tbu) ?? tbu, limit);
    const own = new GuardedLink(tbu, guard, spaces);
    const parts = { smmu, lane, tbu, link: faults.link?.(own) ?? own };
    this.#tbus.push(parts);
    return parts;
  }

  #software(index: number): SoftwareActor {
    const { smmu, security } = this.#plan.interfaces[index]!;
    const { tcu, actor } = this.smmus[smmu]!;
    const spaces = this.#spaces(smmu);
    const { seed, profile, check, trace } = this.#options;
    const { tables } = this.#plan.interfaces[index]!;
    const port = new ScheduledPort(tcu, security, this.#point, () => actor.step());
    return new SoftwareActor({
      ...{ plan: this.#plan, interface: index, ledger: this.#ledger, seed, profile, check },
      port: trace === undefined ? port : new TracedPort(port, smmu, security, trace),
      memory: SECURITY_STATES.map((space) => {
        const memory = new SpaceMemory(spaces[space]);
        if (trace === undefined) return memory;
        const quiet = new SpaceMemory(this.#view.spacesOf(smmu)[space]);
        return new TracedMemory(memory, quiet, space, trace, tables);
      }),
      point: this.#point,
      faults: this.#faults,
      report: this.#report,
    });
  }

  #spaces(smmu: number): AddressSpaces {
    const [nonSecure, secure] = this.#view.spacesOf(smmu);
    return [new ScheduledSpace(nonSecure, this.#point), new ScheduledSpace(secure, this.#point)];
  }

  #summary(schedule: readonly number[], end: DeterministicReport['end']): DeterministicReport {
    const { seed, profile } = this.#options;
    return {
      machine: this.#machine.name,
      seed,
      profile,
      operations: this.operations,
      smmus: this.smmus.map(({ tcu }, index) => ({
        name: this.#machine.smmus[index]!.id,
        ...tcu.counters,
        tbus: this.#tbus.flatMap(({ smmu, tbu }) => (smmu === index ? [tbu.counters] : [])),
      })),
      streams: this.devices.map(({ name, statistics }, index) => ({
        ...{ name, ...statistics, traffic: this.#traffic[index]! },
      })),
      software: this.software.map(({ name, statistics }) => ({ name, ...statistics })),
      findings: this.findings,
      end,
      schedule,
    };
  }
}

/** Runs once. @throws Error when the machine is not fit for a stress run. */
export function runDeterministic(machine: Machine, options: DeterministicOptions): DeterministicReport {
  const run = new DeterministicMachine(machine, options);
  for (const _ of run.slices());
  return run.finish('done');
}

/** The same run, which gives way to timers and signals between two slices and ends early when it is asked to. */
export async function runInSlices(
  machine: Machine,
  options: DeterministicOptions,
  signal?: AbortSignal,
): Promise<DeterministicReport> {
  const run = new DeterministicMachine(machine, options);
  for (const _ of run.slices()) {
    await nextTurn();
    if (signal?.aborted) return run.finish('interrupted');
  }
  return run.finish('done');
}
