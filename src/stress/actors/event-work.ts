/**
 * What a stress run's software does with its Event queue: looks at it, has the records checked, and answers those of stalled
 * accesses (IHI 0070 3.12.2): some are retried, perhaps after what was missing has been mapped, the others terminated.
 */
import { EVENT, EVENTS, F_TRANSLATION } from '../../arch/events.js';
import { get, getBig } from '../../arch/layout.js';
import { type CommandWords, resume } from '../../software/commands.js';
import type { EventRecord } from '../../software/event-queue.js';
import { ANSWER_ABORT, ANSWER_RAZ_WI, ANSWER_RETRY } from '../checker/ledger.js';
import type { SoftwareStatistics } from './actor.js';
import type { Operation } from './command-flow.js';
import type { SoftwareKit } from './kit.js';

const RETRIED_PERCENT = 70;
/** Of translation faults that are retried: those of which the page is mapped first. */
const REPAIRED_PERCENT = 75;

export class EventWork {
  readonly #kit: SoftwareKit;
  readonly #statistics: SoftwareStatistics;
  readonly #repair: (iova: bigint) => Operation;
  /** Index of a stream, by StreamID. */
  readonly #streams: ReadonlyMap<number, number>;
  /** Records of stalled accesses that have not been answered. */
  #stalled: EventRecord[] = [];

  /** @param repair maps what an input address misses. */
  constructor(kit: SoftwareKit, statistics: SoftwareStatistics, repair: (iova: bigint) => Operation) {
    this.#kit = kit;
    this.#statistics = statistics;
    this.#repair = repair;
    this.#streams = new Map(kit.own.streams.map((index) => [kit.plan.streams[index]!.StreamID, index]));
  }

  /** Somebody may be waiting for an answer. */
  get isPending(): boolean {
    const { own, driver } = this.#kit;
    return own.stalls !== undefined && (this.#stalled.length > 0 || !driver.events.isEmpty);
  }

  /** Empties the Event queue and lets nothing be missing that was expected before. */
  *settle(): Operation {
    const { events, flow } = this.#kit;
    yield* this.#drain();
    events?.mark();
    yield* flow.sync([]);
    yield* this.#drain();
    events?.settle();
    yield* this.#answer();
  }

  /** Does something that terminates what is stalled of some streams: no CMD_RESUME may follow (4.7.1, 4.7.2). */
  *endStalls(streams: readonly number[], how: Operation): Operation {
    const { own, ledger, flow } = this.#kit;
    if (own.stalls === undefined) return yield* how;
    for (const stream of streams) ledger.accesses(stream).changeTermination();
    yield* how;
    for (const stream of streams) ledger.accesses(stream).changeTermination();
    // With this CMD_SYNC the last of their records is visible (4.7.3).
    yield* flow.sync([]);
    yield* this.#drain();
    this.#stalled = this.#stalled.filter(({ StreamID }) => !streams.includes(this.#streams.get(StreamID)!));
  }

  *#drain(): Operation {
    const { driver, events } = this.#kit;
    const { records, overflow } = driver.events.drain();
    this.#statistics.events += records.length;
    if (overflow) this.#statistics.overflows++;
    // Looked at in any case: a read returns when EVENTQ_CONS has arrived, and until then what is lost raises no flag.
    const lost = driver.events.hasOverflowed || overflow;
    events?.drained(records, lost);
    this.#stalled.push(
      ...records.filter((record) => isStalled(record) && this.#streams.has(record.StreamID)),
    );
    yield 'worked';
  }

  *#answer(): Operation {
    const { own, random, ledger, flow } = this.#kit;
    const commands: CommandWords[] = [];
    for (const { number, StreamID, words } of this.#stalled) {
      const isRetried = random.chance(RETRIED_PERCENT);
      if (isRetried && number === F_TRANSLATION && random.chance(REPAIRED_PERCENT))
        yield* this.#repair(getBig(words, EVENT.InputAddr));
      const razWi = own.stalls?.razWi === true && random.chance(50);
      const STAG = get(words, EVENT.STAG);
      ledger
        .accesses(this.#streams.get(StreamID)!)
        .answer(isRetried ? ANSWER_RETRY : razWi ? ANSWER_RAZ_WI : ANSWER_ABORT, STAG);
      const action = isRetried ? 'retry' : razWi ? 'raz-wi' : 'abort';
      commands.push(resume(StreamID, own.security, STAG, action));
    }
    this.#stalled = [];
    if (commands.length > 0) yield* flow.sync(commands);
  }
}

function isStalled({ number, words }: EventRecord): boolean {
  const { Stall } = EVENTS.get(number)?.fields ?? {};
  return Stall !== undefined && get(words, Stall) === 1;
}
