/**
 * The software of one programming interface in a stress run: maps, unmaps and invalidates under running DMA, and reads
 * the event queue. It is a driver (src/software) that never waits: its operations are generators which give way after
 * every thing that others can see, so that a scheduler, or a thread's loop, decides what happens in between.
 */
import { NON_SECURE } from '../arch/security.js';
import type { CommandWords } from '../software/commands.js';
import { sync } from '../software/commands.js';
import type { Context } from '../software/context.js';
import { SmmuDriver } from '../software/driver.js';
import { PageAllocator } from '../software/page-allocator.js';
import type { Permissions } from '../software/page-tables.js';
import type { CpuMemory, SmmuPort } from '../software/port.js';
import { invalidationCommands } from '../software/tlb-invalidation.js';
import { type Actor, noSoftwareStatistics, type Progress, type SoftwareStatistics } from './actor.js';
import { EventChecker } from './event-checker.js';
import type { Report } from './finding.js';
import type { Alternative, Ledger } from './ledger.js';
import { frameOf, mapped, permittedAccesses, STREAM_TRANSLATES, TRANSLATING, UNMAPPED } from './legal.js';
import { PageKeeper } from './page-keeper.js';
import { CONTEXTS, type InterfacePlan, SLOTS, type StressPlan } from './plan.js';
import { PROFILES, type Profile, type ProfileName } from './profiles.js';
import { Random } from './random.js';

/** Generators of the software are apart from those of the devices. */
const SOFTWARE_CHANCE = 1;
/** Small queues wrap and overflow often. */
const LOG2_COMMANDS = 5;
const LOG2_EVENTS = 5;
const RUN_MAX = 4;

export interface SoftwareSetup {
  readonly plan: StressPlan;
  /** Index into StressPlan.interfaces. */
  readonly interface: number;
  readonly ledger: Ledger;
  readonly port: SmmuPort;
  /** The interface's tables and frames as the CPU reaches them, by PA space. */
  readonly memory: readonly CpuMemory[];
  readonly seed: number;
  readonly profile: ProfileName;
  readonly check: boolean;
  readonly report: Report;
}

/** An operation: gives way with what it did, or `idle` while it waits for the SMMU. */
type Operation = Generator<Progress, void>;

export class SoftwareActor implements Actor {
  readonly name: string;
  readonly statistics: SoftwareStatistics = noSoftwareStatistics();
  readonly #setup: SoftwareSetup;
  readonly #plan: InterfacePlan;
  readonly #ledger: Ledger;
  readonly #driver: SmmuDriver;
  readonly #random: Random;
  readonly #profile: Profile;
  readonly #pages: PageKeeper;
  readonly #events: EventChecker | undefined;
  readonly #contexts: Context[] = [];
  /** What each slot of each context is now: one alternative. */
  readonly #slots: Alternative[][] = [];
  #current: Operation | undefined;
  #operations = 0;
  #stopped = false;

  constructor(setup: SoftwareSetup) {
    const { plan, port, memory } = setup;
    this.#setup = setup;
    this.#plan = plan.interfaces[setup.interface]!;
    this.name = this.#plan.name;
    this.#ledger = setup.ledger;
    this.#random = new Random(setup.seed, SOFTWARE_CHANCE + setup.interface);
    this.#profile = PROFILES[setup.profile];
    this.#driver = new SmmuDriver({
      smmu: this.name,
      security: this.#plan.security,
      port,
      memory: memory[this.#plan.security]!,
      allocator: new PageAllocator(this.#plan.tables.base, this.#plan.tables.sizeBytes),
      log2Commands: LOG2_COMMANDS,
      log2Events: LOG2_EVENTS,
    });
    this.#pages = new PageKeeper(plan, setup.interface, memory, setup.check, setup.report);
    if (setup.check) this.#events = new EventChecker(plan, setup.interface, setup.ledger, setup.report);
  }

  /** Brings the interface up, as boot software does: blocking, before any device starts. */
  boot(): void {
    const driver = this.#driver;
    const ledger = this.#ledger;
    this.#pages.setup();
    driver.enable();
    for (let context = 0; context < CONTEXTS; context++) {
      this.#contexts.push(driver.createContext({ granule: this.#plan.granule, blocks: false }));
      this.#slots.push(Array.from({ length: SLOTS }, () => UNMAPPED));
      for (let slot = 0; slot < SLOTS; slot++) this.#declare(context, slot, [UNMAPPED]);
    }
    for (const stream of this.#plan.streams) {
      driver.attach(this.#setup.plan.streams[stream]!.StreamID, this.#contexts[0]!);
      ledger.declare(ledger.streamCell(stream), [{ what: STREAM_TRANSLATES, detail: 0 }]);
    }
    ledger.declare(ledger.interfaceCell(this.#setup.interface), [{ what: TRANSLATING, detail: 0 }]);
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
      if (this.#stopped) return 'idle';
      this.#current = this.#choose();
    }
    const { done, value } = this.#current.next();
    if (done === true) {
      this.#current = undefined;
      this.#operations++;
      return 'worked';
    }
    return value;
  }

  /**
   * The last checks, once all devices are at rest: every event is there, every page is whole. Steps until `atRest`.
   */
  finish(): void {
    this.#current = this.#finish();
  }

  *#finish(): Operation {
    yield* this.#drain();
    this.#events?.mark();
    yield* this.#sync([]);
    yield* this.#drain();
    this.#events?.settle();
    this.#pages.sweep();
  }

  #choose(): Operation {
    const { map, unmap } = this.#profile;
    const context = this.#random.below(CONTEXTS);
    const operations = [
      { name: 'map', weight: map, run: () => this.#map(context) },
      { name: 'unmap', weight: unmap, run: () => this.#unmap(context) },
      { name: 'drain', weight: 5, run: () => this.#settleEvents() },
    ];
    const chosen = operations[this.#random.weighted(operations.map(({ weight }) => weight))]!;
    this.statistics.operations[chosen.name] = (this.statistics.operations[chosen.name] ?? 0) + 1;
    return chosen.run();
  }

  /** A run of up to RUN_MAX neighbouring slots that are all mapped, or all not. */
  #run(context: number, isMapped: boolean): number[] {
    const slots = this.#slots[context]!;
    const fits = (slot: number) => slot < SLOTS && (slots[slot]!.what !== 0) === isMapped;
    const first = this.#random.below(SLOTS);
    const length = 1 + this.#random.below(RUN_MAX);
    const run: number[] = [];
    for (let slot = first; run.length < length && fits(slot); slot++) run.push(slot);
    return run;
  }

  *#map(context: number): Operation {
    const permissions: Permissions = {
      read: true,
      write: this.#random.chance(70),
      execute: this.#random.chance(30),
      privilegedOnly: this.#random.chance(20),
    };
    for (const slot of this.#run(context, false)) {
      const pools = this.#pages.poolsWithRoom();
      if (pools.length === 0) return;
      const { frame, tenure } = this.#pages.allocate(this.#random.pick(pools), slot);
      const next = mapped(tenure, frame, permittedAccesses(permissions));
      const pool = this.#plan.pools[frame.pool]!;
      const ns = this.#plan.security !== NON_SECURE && pool.space === NON_SECURE;
      this.#declare(context, slot, [UNMAPPED, next]);
      yield 'worked';
      const pa = pool.base + frame.index * this.#plan.granuleBytes;
      const size = this.#plan.granuleBytes;
      this.#driver.map(this.#contexts[context]!, this.#iova(slot), pa, size, { ...permissions, ns });
      this.#slots[context]![slot] = next;
      // A fault is never cached: from here on every access finds the page (3.17).
      this.#declare(context, slot, [next]);
      yield 'worked';
    }
  }

  *#unmap(context: number): Operation {
    const run = this.#run(context, true);
    if (run.length === 0) return;
    const { tables, ASID, VMID } = this.#contexts[context]!;
    const before = run.map((slot) => this.#slots[context]![slot]!);
    for (const [i, slot] of run.entries()) this.#declare(context, slot, [before[i]!, UNMAPPED]);
    yield 'worked';
    const invalidation = tables.unmap(this.#iova(run[0]!), run.length * this.#plan.granuleBytes);
    yield 'worked';
    const { rangeInvalidation } = this.#driver.features;
    yield* this.#sync(invalidationCommands(invalidation, tables.format, { ASID, VMID }, rangeInvalidation));
    for (const [i, slot] of run.entries()) {
      this.#slots[context]![slot] = UNMAPPED;
      this.#declare(context, slot, [UNMAPPED]);
      this.#pages.retire(frameOf(before[i]!.detail));
    }
    tables.release(invalidation);
  }

  /** Empties the event queue and lets nothing be missing that was expected before. */
  *#settleEvents(): Operation {
    this.#events?.mark();
    yield* this.#sync([]);
    yield* this.#drain();
    this.#events?.settle();
  }

  *#drain(): Operation {
    const { records, overflow } = this.#driver.events.drain();
    this.statistics.events += records.length;
    if (overflow) this.statistics.overflows++;
    this.#events?.drained(records, overflow);
    yield 'worked';
  }

  *#sync(commands: readonly CommandWords[]): Operation {
    const queue = this.#driver.commands;
    let end = 0;
    const all = [...commands, sync()];
    for (let next = 0; next < all.length; ) {
      const room = queue.space;
      if (room === 0) {
        yield 'idle';
        continue;
      }
      const count = Math.min(room, all.length - next, 1 + this.#random.below(all.length));
      end = queue.post(all.slice(next, next + count));
      next += count;
      yield 'worked';
    }
    this.statistics.commands += all.length;
    this.statistics.syncs++;
    while (!queue.hasConsumed(end)) yield 'idle';
  }

  #iova(slot: number): bigint {
    return BigInt(this.#plan.window + slot * this.#plan.granuleBytes);
  }

  #declare(context: number, slot: number, alternatives: readonly Alternative[]): void {
    this.#ledger.declare(this.#ledger.slotCell(this.#setup.interface, context, slot), alternatives);
  }
}
