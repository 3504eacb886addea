/**
 * What a stress run's software does with its Stream table and CDs: a stream goes from one context to another, by its STE
 * or by its CD, is bypassed, aborted or invalid for a while, and its level 2 table moves.
 */
import type { CDTable } from '../../software/cd-table.js';
import { cfgiSTE } from '../../software/commands.js';
import { ABORT_STE, BYPASS_STE, contextDescriptor, stage1STE, stage2STE } from '../../software/context.js';
import type { Alternative } from '../checker/ledger.js';
import {
  STREAM_ABORTS,
  STREAM_BAD_CD,
  STREAM_BAD_STE,
  STREAM_BYPASSES,
  STREAM_TRANSLATES,
} from '../checker/legal.js';
import type { Operation } from './command-flow.js';
import type { SoftwareKit } from './kit.js';
import { anyCfgiCD, anyCfgiSTE } from './scopes.js';

const BAD_STE: Alternative = { what: STREAM_BAD_STE, detail: 0 };
const BAD_CD: Alternative = { what: STREAM_BAD_CD, detail: 0 };
/** An STE whose V is 0. */
const INVALID_STE = new Uint32Array(16);

interface Stream {
  readonly index: number;
  readonly StreamID: number;
  /** Two CDs, of which the STE names one. */
  readonly cds: readonly CDTable[];
  active: number;
  now: Alternative;
}

export class StreamWork {
  readonly #kit: SoftwareKit;
  readonly #streams: readonly Stream[];

  /** Attaches every stream to the first context, before any device starts. */
  constructor(kit: SoftwareKit, newCD: () => CDTable) {
    this.#kit = kit;
    this.#streams = kit.own.streams.map((index) => {
      const { StreamID } = kit.plan.streams[index]!;
      const cds = kit.driver.features.stage1 ? [newCD(), newCD()] : [];
      return { index, StreamID, cds, active: 0, now: { what: STREAM_TRANSLATES, detail: 0 } };
    });
    for (const stream of this.#streams) {
      if (this.#hasCD(0)) for (const _ of stream.cds[0]!.changes(0, this.#cdWords(0)));
      for (const command of kit.driver.changeSTE(stream.StreamID, this.#steWords(stream, 0)))
        kit.driver.commands.sync([command]);
      this.#declare(stream, [stream.now]);
    }
  }

  /** Any other state of a stream: another context, bypass, abort, invalid; or back to translating. */
  *configure(): Operation {
    const { random } = this.#kit;
    const stream = random.pick(this.#streams);
    const translates = stream.now.what === STREAM_TRANSLATES && random.chance(50);
    if (!translates) return yield* this.switchSTE(stream);
    const what = random.pick([STREAM_BYPASSES, STREAM_ABORTS, STREAM_BAD_STE]);
    const words = { [STREAM_BYPASSES]: BYPASS_STE, [STREAM_ABORTS]: ABORT_STE }[what] ?? INVALID_STE;
    yield* this.#changeSTE(stream, words, { what, detail: 0 });
  }

  /** Lets a stream translate by another context, by its STE: a CD that nothing uses is filled in first. */
  *switchSTE(stream: Stream = this.#kit.random.pick(this.#streams)): Operation {
    const context = this.#kit.random.below(this.#kit.contexts.length);
    if (this.#hasCD(context)) {
      const spare = stream.active ^ 1;
      for (const _ of stream.cds[spare]!.changes(0, this.#cdWords(context))) {
        yield 'worked';
        yield* this.#forgetCD(stream);
      }
      stream.active = spare;
    }
    yield* this.#changeSTE(stream, this.#steWords(stream, context), {
      what: STREAM_TRANSLATES,
      detail: context,
    });
  }

  /** The same by the CD that is in use, where both contexts have the same STE. */
  *switchCD(): Operation {
    const { random, contexts } = this.#kit;
    const stream = random.pick(this.#streams);
    const { what, detail } = stream.now;
    if (what !== STREAM_TRANSLATES || !this.#hasCD(detail)) return;
    const alike = [...contexts.keys()].filter((index) => contexts[index]!.kind === contexts[detail]!.kind);
    const next = { what, detail: random.pick(alike) };
    this.#declare(stream, [stream.now, BAD_CD, next]);
    for (const _ of stream.cds[stream.active]!.changes(0, this.#cdWords(next.detail))) {
      yield 'worked';
      yield* this.#forgetCD(stream);
    }
    stream.now = next;
    this.#declare(stream, [next]);
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

  *#changeSTE(stream: Stream, words: Uint32Array, next: Alternative): Operation {
    const { driver, flow, own, random } = this.#kit;
    this.#declare(stream, [stream.now, BAD_STE, next]);
    for (const exact of driver.changeSTE(stream.StreamID, words)) {
      yield 'worked';
      yield* flow.sync([anyCfgiSTE(exact, stream.StreamID, own.security, random)]);
    }
    stream.now = next;
    this.#declare(stream, [next]);
  }

  *#forgetCD({ StreamID }: Stream): Operation {
    const { flow, own, random } = this.#kit;
    yield* flow.sync([anyCfgiCD(StreamID, own.security, random)]);
  }

  #hasCD(context: number): boolean {
    return this.#kit.contexts[context]!.kind !== 'stage2';
  }

  #cdWords(context: number): Uint32Array {
    const { tables, ASID } = this.#kit.contexts[context]!.context;
    const { forcedStall, HTTU } = this.#kit.driver.features;
    return contextDescriptor(tables, ASID, forcedStall, HTTU);
  }

  #steWords(stream: Stream, context: number): Uint32Array {
    const { contexts, driver } = this.#kit;
    const { kind, stage2: tables, VMID } = contexts[context]!;
    const { forcedStall } = driver.features;
    if (kind === 'stage2') return stage2STE(tables!, VMID, forcedStall);
    const stage1 = stage1STE(stream.cds[stream.active]!.base, 0, 0);
    if (kind === 'stage1') return stage1;
    // Config 0b111 is both stages' bits; no other field is of both.
    const stage2 = stage2STE(tables!, VMID, forcedStall);
    return stage1.map((word, i) => word | stage2[i]!);
  }

  #declare({ index }: Stream, alternatives: readonly Alternative[]): void {
    const { ledger } = this.#kit;
    ledger.declare(ledger.streamCell(index), alternatives);
  }
}
