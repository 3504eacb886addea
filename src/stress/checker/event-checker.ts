/**
 * The software's half of the checker for events (finding.ts has the rules): every record in the queue against what the
 * devices said must come, stream by stream and in order.
 */
import { EVENT, formatEvent } from '../../arch/events.js';
import { get, getBig, set } from '../../arch/layout.js';
import type { EventRecord } from '../../software/event-queue.js';
import type { StressPlan } from '../plan.js';
import {
  bit,
  EXPECTABLE,
  expectedRecord,
  type IntermediateAddress,
  NO_EVENT,
  type Subject,
} from './expected-event.js';
import type { FindingKind, Report } from './finding.js';
import type { AccessLog, ExpectedEvent, Ledger } from './ledger.js';

const DOUBTFUL_MAX = 64;
/** More than any combination of the ACCESS_ bits with a substream. */
const ACCESSES = 256;

/** A record for which no device has said anything yet. */
interface Unclaimed {
  readonly record: EventRecord;
  /** Accesses that the stream had begun when the record was seen: the one that caused it is among them. */
  readonly started: number;
}

class StreamEvents {
  readonly name: string;
  readonly log: AccessLog;
  readonly #subject: Subject;
  readonly #report: (kind: FindingKind, what: string) => void;
  #unclaimed: Unclaimed[] = [];
  /** Records of accesses that may have had none, the newest last. */
  readonly #doubtful: EventRecord[] = [];
  /** Records may have been lost of accesses that began before this many had. */
  #lossyUntil = 0;
  /** Records to expect, by input address and by kind of access and events: they are few, and come again and again. */
  readonly #wantedAt = new Map<number, Map<number, readonly Uint32Array[]>>();
  /** Expectations taken, and accesses finished then: to say which of them are overdue. */
  #overdue: number | undefined;

  constructor(
    name: string,
    subject: Subject,
    log: AccessLog,
    report: (kind: FindingKind, what: string) => void,
  ) {
    this.name = name;
    this.log = log;
    this.#subject = subject;
    this.#report = report;
  }

  seen(record: EventRecord): void {
    this.#unclaimed.push({ record, started: this.log.started });
  }

  /** Records were lost, of any access that has begun so far. */
  lost(): void {
    this.#lossyUntil = this.log.started;
  }

  /** Brings records and expectations together as far as both are known. */
  match(): void {
    const { log } = this;
    while (this.#unclaimed.length > 0) {
      const finished = log.finished;
      const expected = log.peek();
      const { record, started } = this.#unclaimed[0]!;
      if (expected === undefined) {
        if (((finished - started) | 0) < 0) return;
        // The device may have posted between the two looks.
        if (log.peek() !== undefined) continue;
        this.#report(
          'unexpected-event',
          `${this.name}: ${formatEvent(record.words)}, which no access caused`,
        );
        this.#unclaimed.shift();
      } else if (this.#fits(record, expected)) {
        if (this.#mayBeMissing(expected)) this.#doubt(record);
        this.#unclaimed.shift();
        log.take();
      } else if (this.#mayBeMissing(expected) || this.#wasTaken(expected)) {
        log.take();
      } else {
        const want = this.#describe(expected);
        this.#report(
          'unexpected-event',
          `${this.name}: ${formatEvent(record.words)}; the next must be ${want}`,
        );
        this.#unclaimed.shift();
        // A wrong record about the right access stands for the right one.
        if (getBig(record.words, EVENT.InputAddr) === BigInt(expected.iova)) log.take();
      }
    }
  }

  /** How many expectations there are now: after a CMD_SYNC and a look at the queue, none of them may be left. */
  mark(): void {
    this.#overdue = this.log.expectations;
  }

  /** A CMD_SYNC after the mark has completed, and the queue has been emptied since. */
  settle(): void {
    this.match();
    const until = this.#overdue;
    if (until === undefined) return;
    this.#overdue = undefined;
    while (((until - this.log.taken) | 0) > 0) {
      const expected = this.log.peek()!;
      if (!this.#mayBeMissing(expected) && !this.#wasTaken(expected)) {
        this.#report(
          'missing-event',
          `${this.name}: no ${this.#describe(expected)}, though CMD_SYNC has completed`,
        );
      }
      this.log.take();
    }
  }

  /** A record was given to an access that may have had none: perhaps it is that of a later one that is just alike. */
  #doubt(record: EventRecord): void {
    this.#doubtful.push(record);
    if (this.#doubtful.length > DOUBTFUL_MAX) this.#doubtful.shift();
  }

  /** Whether the record of this access has been given to an earlier one. */
  #wasTaken(expected: ExpectedEvent): boolean {
    const at = this.#doubtful.findIndex((record) => this.#fits(record, expected));
    if (at >= 0) this.#doubtful.splice(at, 1);
    return at >= 0;
  }

  #mayBeMissing(expected: ExpectedEvent): boolean {
    return (expected.events & bit(NO_EVENT)) !== 0 || ((this.#lossyUntil - expected.started) | 0) >= 0;
  }

  #fits(record: EventRecord, expected: ExpectedEvent): boolean {
    const words = expected.stag < 0 ? record.words : withoutStall(record, expected.stag);
    if (words === undefined) return false;
    for (const want of this.#wanted(expected)) if (areSame(want, words)) return true;
    return false;
  }

  #wanted(expected: ExpectedEvent): readonly Uint32Array[] {
    const { iova, access, events } = expected;
    const byKind = this.#wantedAt.get(iova) ?? new Map<number, readonly Uint32Array[]>();
    const kind = events * ACCESSES + access;
    let wanted = byKind.get(kind);
    if (wanted === undefined) {
      wanted = EXPECTABLE.filter((number) => (events & bit(number)) !== 0).map((number) =>
        expectedRecord(number, this.#subject, expected),
      );
      this.#wantedAt.set(iova, byKind.set(kind, wanted));
    }
    return wanted;
  }

  #describe(expected: ExpectedEvent): string {
    const stall = expected.stag < 0 ? '' : `, stalled with STAG 0x${expected.stag.toString(16)}`;
    return `${this.#wanted(expected).map(formatEvent).join(' or ')}${stall}`;
  }
}

/** The record that there would be if the access had not stalled; undefined for one that does not say that it has, with that STAG. */
function withoutStall({ words }: EventRecord, stag: number): Uint32Array | undefined {
  if (get(words, EVENT.Stall) !== 1 || get(words, EVENT.STAG) !== stag) return undefined;
  const copy = words.slice();
  set(copy, EVENT.Stall, 0);
  set(copy, EVENT.STAG, 0);
  return copy;
}

function areSame(one: Uint32Array, other: ArrayLike<number>): boolean {
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

export class EventChecker {
  readonly #streams: readonly StreamEvents[];
  readonly #byStreamID: ReadonlyMap<number, StreamEvents>;
  readonly #report: (kind: FindingKind, what: string) => void;

  constructor(
    plan: StressPlan,
    interfaceIndex: number,
    ledger: Ledger,
    ipa: IntermediateAddress,
    report: Report,
  ) {
    const { name, streams, substreams } = plan.interfaces[interfaceIndex]!;
    this.#report = (kind, summary) => report({ kind, actor: name, summary, details: [] });
    const entries = streams.map((index) => {
      const { name: device, StreamID } = plan.streams[index]!;
      const events = new StreamEvents(
        device,
        { StreamID, substreams, ipa },
        ledger.accesses(index),
        this.#report,
      );
      return [StreamID, events] as const;
    });
    this.#byStreamID = new Map(entries);
    this.#streams = entries.map(([, events]) => events);
  }

  /** Records from the queue, oldest first. */
  drained(records: readonly EventRecord[], overflow: boolean): void {
    for (const record of records) {
      const stream = this.#byStreamID.get(record.StreamID);
      if (stream !== undefined) stream.seen(record);
      else
        this.#report(
          'unexpected-event',
          `${formatEvent(record.words)}, which is no stream of this interface`,
        );
    }
    if (overflow) for (const stream of this.#streams) stream.lost();
    for (const stream of this.#streams) stream.match();
  }

  /** The queue was full, or off, until now. */
  lost(): void {
    for (const stream of this.#streams) stream.lost();
  }

  /** Before a CMD_SYNC. */
  mark(): void {
    for (const stream of this.#streams) stream.mark();
  }

  /** After that CMD_SYNC has completed and the queue has been emptied. */
  settle(): void {
    for (const stream of this.#streams) stream.settle();
  }
}
