/**
 * The software of one programming interface in a stress run: a driver (src/software) that never waits. Its operations
 * are generators which give way after every thing that others can see, so that a scheduler, or a thread's loop, decides
 * what happens in between. What it does is in mapping-work.ts, stream-work.ts and control-work.ts.
 */
import { CLASS_TT } from '../../arch/events.js';
import type { Context } from '../../software/context.js';
import { SmmuDriver } from '../../software/driver.js';
import { PageAllocator } from '../../software/page-allocator.js';
import type { CpuMemory, SmmuPort } from '../../software/port.js';
import { RegisterInterface } from '../../software/register-interface.js';
import { EventChecker } from '../checker/event-checker.js';
import type { IntermediateAddress } from '../checker/expected-event.js';
import type { Finding, Report } from '../checker/finding.js';
import type { Ledger } from '../checker/ledger.js';
import { intermediatePage } from '../checker/legal.js';
import { PageKeeper } from '../checker/page-keeper.js';
import { type Faults, NO_FAULTS } from '../mutations/faults.js';
import { type ContextKind, type InterfacePlan, SLOTS, type StressPlan } from '../plan.js';
import { OPERATIONS, type OperationName, PROFILES, type Profile, type ProfileName } from '../profiles.js';
import { Random } from '../random.js';
import { type Actor, noSoftwareStatistics, type Progress, type SoftwareStatistics } from './actor.js';
import { CommandFlow, type Operation } from './command-flow.js';
import { ControlWork } from './control-work.js';
import { EventWork } from './event-work.js';
import type { SoftwareKit, StressContext } from './kit.js';
import { MappingWork } from './mapping-work.js';
import { StreamWork } from './stream-work.js';

/** Generators of the software are apart from those of the devices. */
const SOFTWARE_CHANCE = 1;
/** How often the software looks at its events first where somebody may be stalled. */
const ANSWER_PERCENT = 50;
/** Small queues wrap and overflow often. */
const LOG2_COMMANDS = 5;
const LOG2_EVENTS = 5;

export interface SoftwareSetup {
  readonly plan: StressPlan;
  /** Index into StressPlan.interfaces. */
  readonly interface: number;
  readonly ledger: Ledger;
  readonly port: SmmuPort;
  /** The interface's tables and frames as the CPU reaches them, by PA space. */
  readonly memory: readonly CpuMemory[];
  /** Lets others go first, perhaps; absent in threads. */
  readonly point?: () => void;
  readonly seed: number;
  readonly profile: ProfileName;
  readonly check: boolean;
  readonly faults?: Faults;
  readonly report: Report;
}

export class SoftwareActor implements Actor {
  readonly name: string;
  readonly statistics: SoftwareStatistics = noSoftwareStatistics();
  readonly #setup: SoftwareSetup;
  readonly #driver: SmmuDriver;
  readonly #tables: CpuMemory;
  readonly #allocator: PageAllocator;
  readonly #random: Random;
  readonly #weights: readonly number[];
  readonly #flow: CommandFlow;
  readonly #pages: PageKeeper;
  readonly #events: EventChecker | undefined;
  readonly #own: InterfacePlan;
  readonly #contexts: StressContext[] = [];
  #work: Readonly<Record<OperationName, () => Operation>> | undefined;
  #eventWork: EventWork | undefined;
  #current: Operation | undefined;
  #operations = 0;
  #stopped = false;

  constructor(setup: SoftwareSetup) {
    const { plan, port, memory, faults = NO_FAULTS, point = () => {} } = setup;
    this.#own = plan.interfaces[setup.interface]!;
    const { name, security, tables } = this.#own;
    this.#setup = setup;
    this.name = name;
    this.#random = new Random(setup.seed, SOFTWARE_CHANCE + setup.interface);
    const profile: Profile = PROFILES[setup.profile];
    this.#weights = OPERATIONS.map((operation) => profile[operation] ?? 0);
    this.#allocator = new PageAllocator(tables.base, tables.sizeBytes);
    this.#tables = faults.tables?.(memory[security]!, point) ?? memory[security]!;
    this.#driver = new SmmuDriver({
      ...{ smmu: name, security, port, memory: this.#tables, allocator: this.#allocator },
      ...{ log2Commands: LOG2_COMMANDS, log2Events: LOG2_EVENTS },
    });
    this.#flow = new CommandFlow(this.#driver.commands, this.#random, faults, this.statistics);
    this.#pages = new PageKeeper(plan, setup.interface, memory, setup.check, setup.report);
    if (setup.check) {
      const ipa: IntermediateAddress = (...of) => this.#intermediate(...of);
      this.#events = new EventChecker(plan, setup.interface, setup.ledger, ipa, setup.report);
    }
  }

  /** Brings the interface up, as boot software does: blocking, before any device starts. */
  boot(): void {
    this.#pages.setup();
    this.#driver.enable();
    const { plan, interface: index, ledger, port, report } = this.#setup;
    const own = this.#own;
    const below = own.contexts.includes('nested')
      ? this.#driver.createContext({ granule: own.granule, stage: 2 })
      : undefined;
    const kit: SoftwareKit = {
      ...{ plan, index, own, driver: this.#driver, ledger, random: this.#random, flow: this.#flow },
      ...{ memory: this.#tables, allocator: this.#allocator },
      registers: new RegisterInterface(this.name, port, own.security),
      ...{ pages: this.#pages, events: this.#events, report },
      contexts: this.#contexts,
    };
    for (const kind of own.contexts) this.#contexts.push(this.#context(kind, below));
    if (below !== undefined) this.#mapStructures(below);
    const mappings = new MappingWork(kit);
    mappings.prepare();
    const events = new EventWork(kit, this.statistics, (iova) => mappings.repair(iova));
    this.#eventWork = events;
    const streams = new StreamWork(kit, events);
    const controls = new ControlWork(kit, events);
    this.#work = {
      map: () => mappings.map(),
      unmap: () => mappings.unmap(),
      protect: () => mappings.protect(),
      'lose-tables': () => mappings.loseTables(),
      'switch-ste': () => streams.switchSTE(),
      'switch-cd': () => streams.switchCD(),
      configure: () => streams.configure(),
      'move-table': () => streams.moveTable(),
      toggle: () => controls.toggle(),
      gbpa: () => controls.changeGBPA(),
      'silence-events': () => controls.silenceEvents(),
      'neglect-events': () => controls.neglect(),
      talk: () => controls.talk(),
      err: () => controls.err(),
      'drain-events': () => events.settle(),
    };
  }

  get operations(): number {
    return this.#operations;
  }

  get atRest(): boolean {
    return this.#current === undefined;
  }

  stop(): void {
    this.#stopped = true;
  }

  step(): Progress {
    if (this.#current === undefined) {
      // Devices come to rest only when nothing of theirs is stalled.
      if (this.#stopped && !this.#eventWork!.isPending) return 'idle';
      this.#current = this.#choose();
    }
    const { done, value } = this.#current.next();
    if (done !== true) return value;
    this.#current = undefined;
    this.#operations++;
    return 'worked';
  }

  /** The last checks, once all devices are at rest: every event is there, every page is whole. Steps until `atRest`. */
  finish(): void {
    this.#current = this.#finish();
  }

  /** Adds what the software knows to what a device found. */
  explain(finding: Finding): Finding {
    return this.#pages.explain(finding);
  }

  *#finish(): Operation {
    yield* this.#eventWork!.settle();
    this.#pages.sweep();
  }

  #choose(): Operation {
    const random = this.#random;
    const mustLook = this.#eventWork!.isPending && (this.#stopped || random.chance(ANSWER_PERCENT));
    const name = mustLook ? 'drain-events' : OPERATIONS[random.weighted(this.#weights)]!;
    this.statistics.operations[name] = (this.statistics.operations[name] ?? 0) + 1;
    return this.#work![name]();
  }

  /** @param below stage 2 of the nested contexts. */
  #context(kind: ContextKind, below: Context | undefined): StressContext {
    const { granule } = this.#own;
    const stage = kind === 'stage2' ? 2 : 1;
    const made = this.#driver.createContext({ granule, stage, blocks: false });
    const stage2 = { stage1: undefined, stage2: made, nested: below }[kind];
    const VMID = stage2?.VMID ?? 0;
    // Contexts that a VMID tells apart have the same ASID: each is to be looked at.
    const other = this.#contexts.find((one) => one.kind !== 'stage2' && one.VMID !== VMID);
    const ASID = stage === 1 && other !== undefined ? other.context.ASID : made.ASID;
    return { kind, context: { ...made, ASID }, stage2: stage2?.tables, VMID };
  }

  /** Stage 2 below nested contexts leads their tables and CDs, and the window, to where they are. */
  #mapStructures(below: Context): void {
    const { window, granuleBytes, tables } = this.#own;
    const all = { read: true, write: true, execute: true };
    this.#driver.map(below, BigInt(window), window, SLOTS * granuleBytes, all);
    this.#driver.map(below, BigInt(tables.base), tables.base, tables.sizeBytes, all);
    for (const { kind, context } of this.#contexts) {
      if (kind !== 'nested') continue;
      // A page of its own, which can be taken away: nothing else is in it, and no block holds it.
      const { root } = context.tables;
      this.#allocator.reserve(root, granuleBytes);
      this.#driver.protect(below, BigInt(root), granuleBytes, { read: true, write: true });
    }
  }

  /** Where an access, or the walk for it, comes to in a context after stage 1, if it comes so far. */
  #intermediate(context: number, iova: number, CLASS: number): number {
    const { kind, context: own } = this.#contexts[context]!;
    if (kind === 'stage2') return iova;
    if (CLASS === CLASS_TT) return own.tables.firstEntry(BigInt(iova));
    const { window, granuleBytes } = this.#own;
    const offset = (iova - window) % granuleBytes;
    return intermediatePage(this.#own, context, (iova - window - offset) / granuleBytes) + offset;
  }
}
