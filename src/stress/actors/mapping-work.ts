/**
 * What a stress run's software does with its page tables: maps, unmaps, changes permissions, under running DMA. Of a nested
 * context it changes both stages, each by itself, as a guest and its hypervisor do.
 */
import { NON_SECURE } from '../../arch/security.js';
import type { Invalidation, LeafRange, PageTables, Permissions } from '../../software/page-tables.js';
import type { Alternative } from '../checker/ledger.js';
import {
  ALL_ACCESSES,
  type Frame,
  framePA,
  intermediatePage,
  mapped,
  pageGone,
  permittedAccesses,
  TABLES_GONE,
  UNMAPPED,
} from '../checker/legal.js';
import { SLOTS, STAGES, type Stage } from '../plan.js';
import { formatCommand, type Operation } from './command-flow.js';
import type { SoftwareKit } from './kit.js';
import { anyTlbi, type Change } from './scopes.js';

/** Neighbouring slots that are changed together at most. */
const RUN_MAX = 6;
/** Slots that are mapped from the beginning. */
const PREPARED_PERCENT = 75;
/** Turns that the tables of a context are left without their stage 2. */
const PAUSE_MAX = 12;
const READ_WRITE: Permissions = { read: true, write: true };

/** The frame that a slot leads to. Stage 2 owns it where there is one. */
interface Page {
  readonly tenure: number;
  readonly frame: Frame;
  /** What stage 2 permits; everything where there is none. */
  readonly accesses: number;
}

interface Slot {
  /** What stage 1 permits, undefined where it maps nothing; everything where there is none. */
  readonly stage1: number | undefined;
  readonly page: Page | undefined;
}

/** What a slot makes of an access: the words of the ledger for it. */
function legal({ stage1, page }: Slot): Alternative {
  if (stage1 === undefined) return UNMAPPED;
  if (page === undefined) return pageGone(stage1);
  return mapped(page.tenure, page.frame, stage1, page.accesses);
}

function isMapped(slot: Slot, stage: Stage): boolean {
  return (stage === 1 ? slot.stage1 : slot.page) !== undefined;
}

export class MappingWork {
  readonly #kit: SoftwareKit;
  /** What each slot of each context is now. */
  readonly #slots: Slot[][];
  /** Pages of which the leaf of a stage has changed since they were mapped: hardware has nothing more to note in it. */
  readonly #protected: Readonly<Record<Stage, Set<number>>> = { 1: new Set(), 2: new Set() };

  constructor(kit: SoftwareKit) {
    this.#kit = kit;
    this.#slots = kit.contexts.map(({ kind }) => {
      const empty: Slot = { stage1: kind === 'stage2' ? ALL_ACCESSES : undefined, page: undefined };
      return Array.from({ length: SLOTS }, () => empty);
    });
    for (const [context, slots] of this.#slots.entries()) {
      for (const [slot, state] of slots.entries()) this.#declare(context, slot, [legal(state)]);
    }
  }

  /** Maps most slots, before any device starts. */
  prepare(): void {
    const { contexts, random } = this.#kit;
    for (const context of contexts.keys()) {
      for (let slot = 0; slot < SLOTS; slot++) {
        if (!random.chance(PREPARED_PERCENT)) continue;
        for (const stage of this.#missing(context, slot)) {
          for (const _ of this.#mapSlot(context, slot, stage, this.#anyPermissions(stage)));
        }
      }
    }
  }

  /** Completes a run of slots that lead to no page, each to a frame of its own. */
  *map(): Operation {
    const context = this.#anyContext();
    const permissions = { 1: this.#anyPermissions(1), 2: this.#anyPermissions(2) };
    for (const slot of this.#run(context, (state) => legal(state).what === 0)) {
      const stages = this.#missing(context, slot);
      if (this.#kit.random.chance(50)) stages.reverse();
      for (const stage of stages) yield* this.#mapSlot(context, slot, stage, permissions[stage]);
    }
  }

  /** Maps what an input address misses, in every context: which of them it was, a record does not say. */
  *repair(iova: bigint): Operation {
    const { own, contexts } = this.#kit;
    const slot = Math.floor((Number(iova) - own.window) / own.granuleBytes);
    if (slot < 0 || slot >= SLOTS) return;
    for (const context of contexts.keys()) {
      for (const stage of this.#missing(context, slot))
        yield* this.#mapSlot(context, slot, stage, this.#anyPermissions(stage));
    }
  }

  *#mapSlot(context: number, slot: number, stage: Stage, permissions: Permissions): Operation {
    const { pages, own } = this.#kit;
    const before = this.#slots[context]![slot]!;
    const page = before.page ?? (this.#ownsPage(context, stage) ? this.#newPage(slot) : undefined);
    if (page === undefined && this.#ownsPage(context, stage)) return;
    const accesses = permittedAccesses(stage, permissions);
    const after: Slot =
      stage === 1 ? { stage1: accesses, page } : { ...before, page: { ...page!, accesses } };
    const isIntermediate = stage === 1 && this.#kit.contexts[context]!.kind === 'nested';
    const pa = isIntermediate ? intermediatePage(own, context, slot) : framePA(own, page!.frame);
    this.#declare(context, slot, [legal(before), legal(after)]);
    yield 'worked';
    // What is there already may have been written before there was a leaf to note it in.
    const noted = before.page === undefined ? this.#noted(stage, permissions) : {};
    if (before.page !== undefined) this.#protected[stage].add(before.page.tenure);
    this.#tables(context, stage).map(this.#input(context, slot, stage), pa, own.granuleBytes, {
      ...permissions,
      ns: page !== undefined && this.#ns(page.frame),
      ...noted,
    });
    if (page !== undefined) {
      pages.noteMapping(
        page.tenure,
        `stage ${stage} of slot ${slot} of context ${context} is mapped to 0x${pa.toString(16)}`,
      );
    }
    this.#slots[context]![slot] = after;
    // A fault is never cached: from here on every access finds the page (IHI 0070 3.17).
    this.#declare(context, slot, [legal(after)]);
    yield 'worked';
  }

  /** Unmaps a run of slots at one stage; frames are taken back once the CMD_SYNC has completed. */
  *unmap(): Operation {
    const context = this.#anyContext();
    const stage = this.#anyStage(context);
    const run = this.#run(context, (state) => isMapped(state, stage));
    if (run.length === 0) return;
    const pages = this.#ownsPage(context, stage) ? this.#pagesOf(context, run) : [];
    const after = run.map((slot): Slot => {
      const { stage1, page } = this.#slots[context]![slot]!;
      if (stage === 2) return { stage1, page: undefined };
      return { stage1: undefined, page: pages.length === 0 ? page : undefined };
    });
    yield* this.#change(context, stage, run, after, 'unmapped', (tables, input) =>
      tables.unmap(input, run.length * this.#kit.own.granuleBytes),
    );
    for (const { tenure, frame } of pages) {
      for (const stage of [1, 2] as const) this.#protected[stage].delete(tenure);
      this.#kit.pages.retire(frame);
    }
  }

  /** Changes the permissions of a run of slots at one stage. */
  *protect(): Operation {
    const context = this.#anyContext();
    const stage = this.#anyStage(context);
    const permissions = this.#anyPermissions(stage);
    const accesses = permittedAccesses(stage, permissions);
    // The NS bit of a leaf goes with its frame: neighbours may differ, so that each is changed by itself.
    for (const slot of this.#run(context, (state) => isMapped(state, stage))) {
      const { stage1, page } = this.#slots[context]![slot]!;
      const ns = page !== undefined && this.#ns(page.frame);
      const after: Slot = stage === 1 ? { stage1: accesses, page } : { stage1, page: { ...page!, accesses } };
      yield* this.#change(context, stage, [slot], [after], 'given other permissions', (tables, input) =>
        tables.protect(input, this.#kit.own.granuleBytes, { ...permissions, ns }),
      );
      if (page !== undefined) this.#protected[stage].add(page.tenure);
    }
  }

  /** Takes the stage 2 page of a context's first stage 1 table away for a while: no walk can begin (IHI 0070 7.3.13, CLASS TT). */
  *loseTables(): Operation {
    const { random, contexts, own, flow, driver } = this.#kit;
    const nested = [...contexts.keys()].filter((context) => contexts[context]!.kind === 'nested');
    if (nested.length === 0) return;
    const context = random.pick(nested);
    const target = contexts[context]!;
    const { root } = target.context.tables;
    const tables = target.stage2!;
    const now = this.#slots[context]!.map(legal);
    const declare = (all: readonly (readonly Alternative[])[]) => {
      for (const [slot, alternatives] of all.entries()) this.#declare(context, slot, alternatives);
    };
    declare(now.map((one) => [one, TABLES_GONE]));
    yield 'worked';
    const invalidation = tables.unmap(BigInt(root), own.granuleBytes);
    yield 'worked';
    const change: Change = { target, stage: 2, invalidation, combined: 'all' };
    yield* flow.invalidate(anyTlbi(change, driver.features, own.security, random));
    const all = this.#pagesOf(context, [...now.keys()]);
    this.#tell(all, 'the stage 2 page of the first stage 1 table unmapped');
    declare(now.map(() => [TABLES_GONE]));
    tables.release(invalidation);
    for (let turns = random.below(PAUSE_MAX); turns > 0; turns--) yield 'idle';
    declare(now.map((one) => [TABLES_GONE, one]));
    tables.map(BigInt(root), root, own.granuleBytes, READ_WRITE);
    declare(now.map((one) => [one]));
  }

  /** One change with all that belongs to it: both ways legal, the store, the invalidation, CMD_SYNC, the new way alone. */
  *#change(
    context: number,
    stage: Stage,
    run: readonly number[],
    after: readonly Slot[],
    how: string,
    store: (tables: PageTables, input: bigint) => Invalidation,
  ): Operation {
    const { own, driver, random, flow } = this.#kit;
    const target = this.#kit.contexts[context]!;
    const slots = this.#slots[context]!;
    const pages = this.#pagesOf(context, run);
    for (const [i, slot] of run.entries())
      this.#declare(context, slot, [legal(slots[slot]!), legal(after[i]!)]);
    yield 'worked';
    for (const slot of run) this.#checkNotes(context, slot);
    const tables = this.#tables(context, stage);
    const invalidation = store(tables, this.#input(context, run[0]!, stage));
    yield 'worked';
    const combined = stage === 2 ? this.#combined(context, run) : undefined;
    const change: Change = { target, stage, invalidation, combined };
    yield* flow.invalidate(anyTlbi(change, driver.features, own.security, random));
    this.#tell(pages, `stage ${stage} ${how}`);
    for (const [i, slot] of run.entries()) {
      slots[slot] = after[i]!;
      this.#declare(context, slot, [legal(after[i]!)]);
    }
    tables.release(invalidation);
  }

  /** Input addresses of which a translation may be cached that stage 1 and a page of stage 2 are combined to. */
  #combined(context: number, run: readonly number[]): LeafRange | undefined {
    const { own, contexts } = this.#kit;
    const isUsed = run.some((slot) => isMapped(this.#slots[context]![slot]!, 1));
    if (contexts[context]!.kind !== 'nested' || !isUsed) return undefined;
    const start = Number(this.#input(context, run[0]!, 1));
    return { start, sizeBytes: run.length * own.granuleBytes, level: 3 };
  }

  /**
   * What hardware is to note in a leaf, where it can. A page that may be executed is never clean at stage 1: whether it can be
   * executed at EL1 depends on whether EL0 may write it.
   */
  #noted(stage: Stage, { execute }: Permissions): Pick<Permissions, 'noted'> {
    const { HTTU } = this.#kit.driver.features;
    if (HTTU === 0) return {};
    return { noted: HTTU === 2 && (stage === 2 || execute !== true) ? 'dirty' : 'accessed' };
  }

  /** The page is looked at first: what is written there has been noted before (IHI 0070 3.13.2, 3.13.3). */
  #checkNotes(context: number, slot: number): void {
    const { contexts, driver, pages, own, report } = this.#kit;
    const state = this.#slots[context]![slot]!;
    if (driver.features.HTTU === 0 || state.page === undefined || !pages.isWritten(state.page.tenure)) return;
    for (const stage of STAGES[contexts[context]!.kind]) {
      if (!isMapped(state, stage)) continue;
      const { accessed, dirty } = this.#tables(context, stage).notes(this.#input(context, slot, stage));
      // A page may have been given other permissions since it was written: then AF is set by the software.
      const isClean = !dirty && !this.#protected[stage].has(state.page.tenure);
      const missing = !accessed ? 'AF is 0' : isClean ? 'it is still clean' : '';
      if (missing === '') continue;
      report({
        kind: 'wrong-data',
        actor: own.name,
        summary: `slot ${slot} was written by a device, but in its descriptor of stage ${stage} ${missing}`,
        details: [],
      });
    }
  }

  /** The story of a change, for findings about the tenures that it ended or altered. */
  #tell(pages: readonly Page[], how: string): void {
    const { issued, missing, completed } = this.#kit.flow;
    const left = missing.length === 0 ? '' : `: ${missing.map(formatCommand).join(', ')} is missing`;
    const commands = [...issued.map(formatCommand), 'CMD_SYNC'].join(', ');
    const end = completed ? 'completed' : 'was not waited for';
    for (const { tenure } of pages)
      this.#kit.pages.noteChange(tenure, `${how}; then ${commands}, which ${end}${left}`);
  }

  /** A free frame, if there is one. */
  #newPage(slot: number): Page | undefined {
    const { pages, random } = this.#kit;
    const pools = pages.poolsWithRoom();
    if (pools.length === 0) return undefined;
    return { ...pages.allocate(random.pick(pools), slot), accesses: ALL_ACCESSES };
  }

  /** The NS bit of a leaf of a Secure stream: the frame is in the Non-secure PA space. */
  #ns(frame: Frame): boolean {
    const { own } = this.#kit;
    return own.security !== NON_SECURE && own.pools[frame.pool]!.space === NON_SECURE;
  }

  #anyContext(): number {
    return this.#kit.random.below(this.#kit.contexts.length);
  }

  #anyStage(context: number): Stage {
    return this.#kit.random.pick(STAGES[this.#kit.contexts[context]!.kind]);
  }

  /** Frames belong to the last stage of a context. */
  #ownsPage(context: number, stage: Stage): boolean {
    return STAGES[this.#kit.contexts[context]!.kind].at(-1) === stage;
  }

  #missing(context: number, slot: number): Stage[] {
    const state = this.#slots[context]![slot]!;
    return STAGES[this.#kit.contexts[context]!.kind].filter((stage) => !isMapped(state, stage));
  }

  #anyPermissions(stage: Stage): Permissions {
    const { random } = this.#kit;
    return {
      // At stage 1 whatever may be written may be read.
      read: stage === 1 || random.chance(90),
      write: random.chance(85),
      execute: random.chance(50),
      privilegedOnly: random.chance(10),
    };
  }

  /** A run of neighbouring slots. */
  #run(context: number, fits: (state: Slot) => boolean): number[] {
    const { random } = this.#kit;
    const slots = this.#slots[context]!;
    const first = random.below(SLOTS);
    const length = 1 + random.below(RUN_MAX);
    const run: number[] = [];
    for (let slot = first; run.length < length && slot < SLOTS && fits(slots[slot]!); slot++) run.push(slot);
    return run;
  }

  #pagesOf(context: number, run: readonly number[]): Page[] {
    return run.flatMap((slot) => this.#slots[context]![slot]!.page ?? []);
  }

  #tables(context: number, stage: Stage): PageTables {
    const { context: own, stage2 } = this.#kit.contexts[context]!;
    return stage === 1 ? own.tables : stage2!;
  }

  /** The address that a stage translates. */
  #input(context: number, slot: number, stage: Stage): bigint {
    const isIntermediate = stage === 2 && this.#kit.contexts[context]!.kind === 'nested';
    return isIntermediate ? BigInt(intermediatePage(this.#kit.own, context, slot)) : this.#iova(slot);
  }

  #iova(slot: number): bigint {
    return BigInt(this.#kit.own.window + slot * this.#kit.own.granuleBytes);
  }

  #declare(context: number, slot: number, alternatives: readonly Alternative[]): void {
    const { ledger, index } = this.#kit;
    ledger.declare(ledger.slotCell(index, context, slot), alternatives);
  }
}
