/**
 * What a stress run's software does with its Stream table and CDs: a stream goes from one context to another, by its STE or,
 * substream by substream, by its CDs; is bypassed, aborted or invalid for a while; and its level 2 table moves.
 */
import { CDTable } from '../../software/cd-table.js';
import { type CommandWords, cfgiSTE, stallTerm } from '../../software/commands.js';
import {
  ABORT_STE,
  BYPASS_STE,
  contextDescriptor,
  S1DSS_BYPASS,
  S1DSS_SUBSTREAM_0,
  S1DSS_TERMINATE,
  stage1STE,
  stage2STE,
} from '../../software/context.js';
import type { Alternative } from '../checker/ledger.js';
import {
  STREAM_ABORTS,
  STREAM_BAD_CD,
  STREAM_BAD_STE,
  STREAM_BAD_SUBSTREAM,
  STREAM_BYPASSES,
  STREAM_DISABLED,
  STREAM_TRANSLATES,
} from '../checker/legal.js';
import type { ContextKind } from '../plan.js';
import type { Operation } from './command-flow.js';
import type { EventWork } from './event-work.js';
import type { SoftwareKit } from './kit.js';
import { anyCfgiCD, anyCfgiSTE } from './scopes.js';

const BYPASSES: Alternative = { what: STREAM_BYPASSES, detail: 0 };
const ABORTS: Alternative = { what: STREAM_ABORTS, detail: 0 };
const BAD_STE: Alternative = { what: STREAM_BAD_STE, detail: 0 };
const BAD_CD: Alternative = { what: STREAM_BAD_CD, detail: 0 };
const BAD_SUBSTREAM: Alternative = { what: STREAM_BAD_SUBSTREAM, detail: 0 };
const DISABLED: Alternative = { what: STREAM_DISABLED, detail: 0 };
/** An STE whose V is 0. */
const INVALID_STE = new Uint32Array(16);
/** Sizes of CD tables: one CD, fewer and more than fit in a leaf of two levels. */
const S1CDMAX = [0, 1, 4, 7, 8];
/** Substreams that have a CD. */
const FILLED_PERCENT = 75;

/** A table of CDs and what stands in it. */
interface CDs {
  readonly table: CDTable;
  readonly S1DSS: number;
  /** Context by the index of a CD; none: the CD is invalid. */
  readonly contexts: Map<number, number>;
}

/** What an STE says. */
type State =
  | { readonly what: 'bypasses' | 'aborts' | 'invalid' }
  /** Stage 2 alone. */
  | { readonly what: 'stage2'; readonly context: number }
  /** All contexts of its CDs are of the same kind. */
  | { readonly what: 'stage1' | 'nested'; readonly cds: CDs };

interface Stream {
  readonly index: number;
  readonly StreamID: number;
  now: State;
}

/** What becomes of an access. */
function legal(state: State, SubstreamID: number): Alternative {
  switch (state.what) {
    case 'invalid':
      return BAD_STE;
    case 'aborts':
      return ABORTS;
    // Without stage 1 there are no substreams (IHI 0070 3.3.2).
    case 'bypasses':
      return SubstreamID < 0 ? BYPASSES : BAD_SUBSTREAM;
    case 'stage2':
      return SubstreamID < 0 ? { what: STREAM_TRANSLATES, detail: state.context } : BAD_SUBSTREAM;
    default: {
      const cd = cdOf(state.cds, SubstreamID);
      return typeof cd === 'number' ? legalCD(state.cds, cd) : cd;
    }
  }
}

/** The index of the CD that an access uses, or what becomes of one that uses none (5.2 S1CDMax, S1DSS). */
function cdOf({ table, S1DSS }: CDs, SubstreamID: number): number | Alternative {
  const count = 2 ** table.S1CDMax;
  if (SubstreamID < 0) {
    if (count === 1 || S1DSS === S1DSS_SUBSTREAM_0) return 0;
    return S1DSS === S1DSS_BYPASS ? BYPASSES : DISABLED;
  }
  if (count === 1 || SubstreamID >= count) return BAD_SUBSTREAM;
  return SubstreamID === 0 && S1DSS === S1DSS_SUBSTREAM_0 ? DISABLED : SubstreamID;
}

function legalCD({ table, contexts }: CDs, index: number): Alternative {
  const context = contexts.get(index);
  if (context !== undefined) return { what: STREAM_TRANSLATES, detail: context };
  return table.isLinked(index) ? BAD_CD : BAD_SUBSTREAM;
}

export class StreamWork {
  readonly #kit: SoftwareKit;
  readonly #events: EventWork;
  readonly #streams: readonly Stream[];

  /** Attaches every stream to the first context, before any device starts. */
  constructor(kit: SoftwareKit, events: EventWork) {
    this.#kit = kit;
    this.#events = events;
    this.#streams = kit.own.streams.map((index) => {
      const { StreamID } = kit.plan.streams[index]!;
      return { index, StreamID, now: { what: 'invalid' } };
    });
    for (const stream of this.#streams) {
      const { StreamID } = stream;
      stream.now = this.#translating(0);
      for (const command of kit.driver.changeSTE(StreamID, this.#steWords(stream.now)))
        kit.driver.commands.sync([command]);
      this.#declareNow(stream);
    }
  }

  /** Any other state of a stream: another context, bypass, abort, invalid; or back to translating. */
  *configure(): Operation {
    const { random, own } = this.#kit;
    const stream = random.pick(this.#streams);
    const translates = 'cds' in stream.now || 'context' in stream.now;
    if (!translates || random.chance(50)) return yield* this.switchSTE(stream);
    const what = random.pick(['bypasses', 'aborts', 'invalid'] as const);
    yield* this.#changeSTE(stream, { what });
    // While its STE terminates all that is new, what is stalled can be ended at once (4.7.2).
    if (what === 'bypasses' || own.stalls === undefined || random.chance(50)) return;
    const command = stallTerm(stream.StreamID, own.security);
    yield* this.#events.endStalls([stream.index], this.#say(command));
  }

  *#say(command: CommandWords): Operation {
    yield* this.#kit.flow.sync([command]);
  }

  /** Lets a stream translate by another context, by its STE: CDs that nothing uses are filled in first. */
  *switchSTE(stream: Stream = this.#kit.random.pick(this.#streams)): Operation {
    yield* this.#changeSTE(stream, this.#translating(this.#kit.random.below(this.#kit.contexts.length)));
  }

  /** Changes one CD of a table that is in use: another context, or none. */
  *switchCD(): Operation {
    const { random, own, flow } = this.#kit;
    const stream = random.pick(this.#streams);
    if (!('cds' in stream.now)) return;
    const { cds } = stream.now;
    const isOne = cds.table.S1CDMax === 0;
    const indices = isOne ? [0] : own.substreams.filter((one) => one >= 0 && one < 2 ** cds.table.S1CDMax);
    const index = random.pick(indices);
    const context = isOne || random.chance(FILLED_PERCENT) ? this.#alike(stream.now.what) : undefined;
    const next: Alternative = context === undefined ? BAD_CD : { what: STREAM_TRANSLATES, detail: context };
    this.#declare(stream, (SubstreamID) => {
      const before = legal(stream.now, SubstreamID);
      const cd = cdOf(cds, SubstreamID);
      if (cd === index) return [before, BAD_CD, next];
      // Its leaf may be linked with the other's.
      return before === BAD_SUBSTREAM && typeof cd === 'number' ? [before, BAD_CD] : [before];
    });
    const words = context === undefined ? undefined : this.#cdWords(context);
    for (const { leaf } of cds.table.changes(index, words)) {
      yield 'worked';
      yield* flow.sync([anyCfgiCD(stream.StreamID, index, leaf, own.security, random)]);
    }
    if (context === undefined) cds.contexts.delete(index);
    else cds.contexts.set(index, context);
    this.#declareNow(stream);
  }

  /** Moves a level 2 Stream table. Nothing changes for any stream. */
  *moveTable(): Operation {
    const { random, driver, flow, own } = this.#kit;
    const { StreamID } = random.pick(this.#streams);
    for (const all of driver.moveStreamTable(StreamID)) {
      yield 'worked';
      // The STEs are what they were: the level 1 descriptor alone has to be forgotten (4.3.1).
      yield* flow.sync([random.pick([all, cfgiSTE(StreamID, own.security, false)])]);
    }
  }

  *#changeSTE(stream: Stream, next: State): Operation {
    const { driver, flow, own, random } = this.#kit;
    const before = stream.now;
    this.#declare(stream, (SubstreamID) => [legal(before, SubstreamID), BAD_STE, legal(next, SubstreamID)]);
    for (const exact of driver.changeSTE(stream.StreamID, this.#steWords(next))) {
      yield 'worked';
      yield* flow.sync([anyCfgiSTE(exact, stream.StreamID, own.security, random)]);
    }
    stream.now = next;
    this.#declareNow(stream);
    // Nothing reaches its CDs any more: the memory may become those of another stream.
    if ('cds' in before) before.cds.table.destroy();
  }

  /** A state that translates by a context; its CDs are where no SMMU reaches them yet. */
  #translating(context: number): State {
    const { kind } = this.#kit.contexts[context]!;
    return kind === 'stage2' ? { what: kind, context } : { what: kind, cds: this.#newCDs(kind, context) };
  }

  #newCDs(kind: ContextKind, context: number): CDs {
    const { random, own, driver, memory, allocator } = this.#kit;
    const { ssidBits, twoLevelCDTable } = driver.features;
    const S1CDMax = random.pick(S1CDMAX.filter((bits) => bits <= ssidBits));
    const table = new CDTable(S1CDMax, twoLevelCDTable && random.chance(50), memory, allocator, () => {});
    const S1DSS = random.pick([S1DSS_TERMINATE, S1DSS_BYPASS, S1DSS_SUBSTREAM_0, S1DSS_SUBSTREAM_0]);
    const contexts = new Map([[0, context]]);
    for (const SubstreamID of own.substreams) {
      if (SubstreamID <= 0 || SubstreamID >= 2 ** S1CDMax || !random.chance(FILLED_PERCENT)) continue;
      contexts.set(SubstreamID, this.#alike(kind));
    }
    for (const [index, of] of contexts) for (const _ of table.changes(index, this.#cdWords(of)));
    return { table, S1DSS, contexts };
  }

  /** Any context of a kind. */
  #alike(kind: ContextKind): number {
    const { random, contexts } = this.#kit;
    return random.pick([...contexts.keys()].filter((index) => contexts[index]!.kind === kind));
  }

  #cdWords(context: number): Uint32Array {
    const { tables, ASID } = this.#kit.contexts[context]!.context;
    const { own, driver } = this.#kit;
    return contextDescriptor(tables, ASID, own.stalls?.stage1[context] === true, driver.features.HTTU);
  }

  #steWords(state: State): Uint32Array {
    switch (state.what) {
      case 'invalid':
        return INVALID_STE;
      case 'aborts':
        return ABORT_STE;
      case 'bypasses':
        return BYPASS_STE;
      case 'stage2':
        return this.#stage2(state.context);
      default: {
        const { table, S1DSS, contexts } = state.cds;
        const stage1 = stage1STE(table.base, table.S1CDMax, table.S1Fmt, S1DSS);
        if (state.what === 'stage1') return stage1;
        // Config 0b111 is both stages' bits; no other field is of both.
        const stage2 = this.#stage2(contexts.values().next().value!);
        return stage1.map((word, i) => word | stage2[i]!);
      }
    }
  }

  #stage2(context: number): Uint32Array {
    const { contexts, own, driver } = this.#kit;
    const { stage2, VMID } = contexts[context]!;
    return stage2STE(stage2!, VMID, own.stalls?.stage2 === true, driver.features.HTTU);
  }

  #declareNow(stream: Stream): void {
    this.#declare(stream, (SubstreamID) => [legal(stream.now, SubstreamID)]);
  }

  #declare({ index }: Stream, alternatives: (SubstreamID: number) => readonly Alternative[]): void {
    const { ledger, own } = this.#kit;
    for (const [substream, SubstreamID] of own.substreams.entries()) {
      ledger.declare(ledger.streamCell(index, substream), alternatives(SubstreamID));
    }
  }
}
