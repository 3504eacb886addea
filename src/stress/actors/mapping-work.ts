/** What a stress run's software does with its page tables: maps, unmaps, changes permissions, under running DMA. */
import { NON_SECURE } from '../../arch/security.js';
import type { Invalidation, Permissions } from '../../software/page-tables.js';
import type { Alternative } from '../checker/ledger.js';
import { type Frame, frameOf, framePA, mapped, permittedAccesses, UNMAPPED } from '../checker/legal.js';
import { SLOTS } from '../plan.js';
import { formatCommand, type Operation } from './command-flow.js';
import type { SoftwareKit, StressContext } from './kit.js';
import { anyTlbi, exactTlbi } from './scopes.js';

/** Neighbouring slots that are changed together at most. */
const RUN_MAX = 6;
/** Slots that are mapped from the beginning. */
const PREPARED_PERCENT = 75;

export class MappingWork {
  readonly #kit: SoftwareKit;
  /** What each slot of each context is now: one alternative. */
  readonly #slots: Alternative[][];
  /** Mapped pages that were given other permissions: hardware has nothing more to note in their leaves. */
  readonly #protected = new Set<number>();

  constructor(kit: SoftwareKit) {
    this.#kit = kit;
    this.#slots = kit.contexts.map(() => Array.from({ length: SLOTS }, () => UNMAPPED));
    for (const context of kit.contexts.keys()) {
      for (let slot = 0; slot < SLOTS; slot++) this.#declare(context, slot, [UNMAPPED]);
    }
  }

  /** Maps a run of free slots, each to a frame of its own. */
  *map(): Operation {
    const context = this.#anyContext();
    const permissions = this.#anyPermissions();
    for (const slot of this.#run(context, false)) yield* this.#mapSlot(context, slot, permissions);
  }

  /** Maps most slots, before any device starts. */
  prepare(): void {
    const { contexts, random } = this.#kit;
    for (const context of contexts.keys()) {
      for (let slot = 0; slot < SLOTS; slot++) {
        if (!random.chance(PREPARED_PERCENT)) continue;
        for (const _ of this.#mapSlot(context, slot, this.#anyPermissions()));
      }
    }
  }

  *#mapSlot(context: number, slot: number, permissions: Permissions): Operation {
    const { pages, random, driver, own } = this.#kit;
    const { kind, context: target } = this.#kit.contexts[context]!;
    const pools = pages.poolsWithRoom();
    if (pools.length === 0) return;
    const { frame, tenure } = pages.allocate(random.pick(pools), slot);
    const pa = framePA(own, frame);
    const next = mapped(tenure, frame, permittedAccesses(kind, permissions));
    this.#declare(context, slot, [UNMAPPED, next]);
    yield 'worked';
    driver.map(target, this.#iova(slot), pa, own.granuleBytes, {
      ...permissions,
      ns: this.#ns(frame),
      ...this.#noted(permissions),
    });
    pages.note(tenure, `slot ${slot} of context ${context} is mapped to 0x${pa.toString(16)}`);
    this.#slots[context]![slot] = next;
    // A fault is never cached: from here on every access finds the page (IHI 0070 3.17).
    this.#declare(context, slot, [next]);
    yield 'worked';
  }

  /** Unmaps a run of mapped slots; the frames are taken back once the CMD_SYNC has completed. */
  *unmap(): Operation {
    const context = this.#anyContext();
    const run = this.#run(context, true);
    if (run.length === 0) return;
    const { tables } = this.#kit.contexts[context]!.context;
    const before = run.map((slot) => this.#slots[context]![slot]!);
    const after = run.map(() => UNMAPPED);
    yield* this.#change(context, run, after, 'unmapped', () =>
      tables.unmap(this.#iova(run[0]!), run.length * this.#kit.own.granuleBytes),
    );
    for (const { what, detail } of before) {
      this.#protected.delete(what);
      this.#kit.pages.retire(frameOf(detail));
    }
  }

  /** Changes the permissions of a run of mapped slots. */
  *protect(): Operation {
    const context = this.#anyContext();
    const run = this.#run(context, true);
    if (run.length === 0) return;
    const { own } = this.#kit;
    const { kind, context: target } = this.#kit.contexts[context]!;
    const permissions = this.#anyPermissions();
    const accesses = permittedAccesses(kind, permissions);
    // The NS bit of a leaf goes with its frame: neighbours may differ, so that each is changed by itself.
    for (const slot of run) {
      const { what, detail } = this.#slots[context]![slot]!;
      const frame = frameOf(detail);
      const ns = this.#ns(frame);
      const after = [mapped(what, frame, accesses)];
      yield* this.#change(context, [slot], after, 'given other permissions', () =>
        target.tables.protect(this.#iova(slot), own.granuleBytes, { ...permissions, ns }),
      );
      this.#protected.add(what);
    }
  }

  /** One change with all that belongs to it: both ways legal, the store, the invalidation, CMD_SYNC, the new way alone. */
  *#change(
    context: number,
    run: readonly number[],
    after: readonly Alternative[],
    how: string,
    store: () => Invalidation,
  ): Operation {
    const { own, driver, random, flow } = this.#kit;
    const target = this.#kit.contexts[context]!;
    const before = run.map((slot) => this.#slots[context]![slot]!);
    for (const [i, slot] of run.entries()) this.#declare(context, slot, [before[i]!, after[i]!]);
    yield 'worked';
    for (const [i, slot] of run.entries()) this.#checkNotes(target, slot, before[i]!.what);
    const invalidation = store();
    yield 'worked';
    yield* flow.sync(anyTlbi(target, invalidation, driver.features, own.security, random));
    this.#tell(target, before, how, invalidation);
    for (const [i, slot] of run.entries()) {
      this.#slots[context]![slot] = after[i]!;
      this.#declare(context, slot, [after[i]!]);
    }
    target.context.tables.release(invalidation);
  }

  /**
   * What hardware is to note in a leaf, where it can. A page that may be executed is never clean: whether it can be executed
   * at EL1 depends on whether EL0 may write it.
   */
  #noted({ execute }: Permissions): Pick<Permissions, 'noted'> {
    const { HTTU } = this.#kit.driver.features;
    if (HTTU === 0) return {};
    return { noted: HTTU === 2 && execute !== true ? 'dirty' : 'accessed' };
  }

  /** The page is looked at first: what is written there has been noted before (IHI 0070 3.13.2, 3.13.3). */
  #checkNotes({ kind, context }: StressContext, slot: number, tenure: number): void {
    const { driver, pages, own, report } = this.#kit;
    if (driver.features.HTTU === 0 || kind === 'stage2' || !pages.isWritten(tenure)) return;
    const { accessed, dirty } = context.tables.notes(this.#iova(slot));
    // A page may have been given other permissions since it was written: then AF is set by the software.
    const missing = !accessed ? 'AF is 0' : !dirty && !this.#protected.has(tenure) ? 'it is still clean' : '';
    if (missing === '') return;
    report({
      kind: 'wrong-data',
      actor: own.name,
      summary: `slot ${slot} was written by a device, but in its descriptor ${missing}`,
      details: [],
    });
  }

  /** The story of a change, for findings about the tenures that it ended or altered. */
  #tell(
    target: StressContext,
    before: readonly Alternative[],
    how: string,
    invalidation: Invalidation,
  ): void {
    const { flow, driver, pages } = this.#kit;
    const said = flow.issued.map(formatCommand);
    const needed = exactTlbi(target, invalidation, driver.features).map(formatCommand).join(', ');
    const missing = said.length > 0 ? '' : `: ${needed} is missing`;
    const commands = [...said, 'CMD_SYNC'].join(', ');
    const end = flow.completed ? 'completed' : 'was not waited for';
    for (const { what } of before) pages.note(what, `${how}; then ${commands}, which ${end}${missing}`);
  }

  /** The NS bit of a leaf of a Secure stream: the frame is in the Non-secure PA space. */
  #ns(frame: Frame): boolean {
    const { own } = this.#kit;
    return own.security !== NON_SECURE && own.pools[frame.pool]!.space === NON_SECURE;
  }

  #anyContext(): number {
    return this.#kit.random.below(this.#kit.contexts.length);
  }

  #anyPermissions(): Permissions {
    const { random } = this.#kit;
    return {
      read: true,
      write: random.chance(85),
      execute: random.chance(50),
      privilegedOnly: random.chance(10),
    };
  }

  /** A run of neighbouring slots that are all mapped, or all not. */
  #run(context: number, isMapped: boolean): number[] {
    const { random } = this.#kit;
    const slots = this.#slots[context]!;
    const fits = (slot: number) => slot < SLOTS && (slots[slot]!.what !== 0) === isMapped;
    const first = random.below(SLOTS);
    const length = 1 + random.below(RUN_MAX);
    const run: number[] = [];
    for (let slot = first; run.length < length && fits(slot); slot++) run.push(slot);
    return run;
  }

  #iova(slot: number): bigint {
    return BigInt(this.#kit.own.window + slot * this.#kit.own.granuleBytes);
  }

  #declare(context: number, slot: number, alternatives: readonly Alternative[]): void {
    const { ledger, index } = this.#kit;
    ledger.declare(ledger.slotCell(index, context, slot), alternatives);
  }
}
