/**
 * The device's half of the checker (finding.ts has the rules): judges each access by the ledger as it stood between the
 * access's beginning and its end.
 */
import { SECURITY_NAMES, type SecurityState } from '../../arch/security.js';
import { NO_STAG } from '../../smmu/stalls.js';
import type { Origin } from '../../smmu/tbu/origin.js';
import {
  ABORT,
  OK,
  OUTCOME_NAMES,
  type Outcome,
  RAZ_WI,
  STALL,
  type Transaction,
} from '../../smmu/transaction.js';
import type { StreamStatistics } from '../actors/actor.js';
import { CONTEXTS, type InterfacePlan, LINES, SLOTS, type StreamPlan, type StressPlan } from '../plan.js';
import {
  BAD_CD,
  BAD_STE,
  BAD_SUBSTREAM,
  bit,
  DISABLED,
  isStage2,
  NO_EVENT,
  PERMISSION,
  S2_PERMISSION,
  S2_TABLE_TRANSLATION,
  S2_TRANSLATION,
  TRANSLATION,
} from './expected-event.js';
import type { FindingKind, Legal, Report } from './finding.js';
import { type AccessLog, ANSWER_RAZ_WI, ANSWER_RETRY, ANY_EVENT, type Ledger } from './ledger.js';
import {
  ACCESS_INSTRUCTION,
  ACCESS_PRIVILEGED,
  ACCESS_READ,
  ALL_ACCESSES,
  accessBit,
  accessesOf,
  areTablesGone,
  DISABLED_ABORT,
  DISABLED_BYPASS,
  frameOf,
  framePA,
  frameSpace,
  isPageGone,
  ofSubstream,
  STREAM_ABORTS,
  STREAM_BAD_CD,
  STREAM_BAD_STE,
  STREAM_BAD_SUBSTREAM,
  STREAM_BYPASSES,
  STREAM_DISABLED,
  STREAM_TRANSLATES,
  stage1Accesses,
  TRANSLATING,
  windowTenure,
} from './legal.js';
import { describeDefect, lineDefect, nextSequence } from './pattern.js';

/** Alternatives of one access that are kept apart; more than any window of the ledger holds in practice. */
const CANDIDATES_MAX = 64;
/** Tenures of one slot whose last writes are remembered: the old and the new of a change, in each context, and the window. */
const TENURES_PER_SLOT = 2 * CONTEXTS + 1;

/** Stands for no tenure at all. */
export const NO_TENURE = 0;

/** Whom the checker asks, and tells. */
export interface Witness {
  readonly report: Report;
  /** What the TLB entry behind a transaction was filled from, where that is known. */
  origin(transaction: Transaction): Origin | undefined;
}

export class AccessChecker {
  readonly #plan: InterfacePlan;
  readonly #stream: StreamPlan;
  readonly #isPassedThrough: boolean;
  readonly #index: number;
  readonly #cells: readonly number[];
  #cell = 0;
  #substream = 0;
  readonly #ledger: Ledger;
  readonly #log: AccessLog;
  readonly #statistics: StreamStatistics;
  readonly #witness: Witness;

  // Versions at the beginning of the access.
  #interfaceVersion = 0;
  #streamVersion = 0;
  readonly #slotVersions = new Int32Array(CONTEXTS);

  // What was legal since.
  readonly #pages = new Float64Array(CANDIDATES_MAX);
  readonly #spaces = new Int32Array(CANDIDATES_MAX);
  readonly #tenures = new Int32Array(CANDIDATES_MAX);
  readonly #accesses = new Int32Array(CANDIDATES_MAX);
  #count = 0;
  /** Some alternative aborts the access with this event, or stalls it. */
  #aborts = 0;
  #stalls = 0;
  #translates = false;
  readonly #contexts = new Uint8Array(CONTEXTS);

  /** Last sequence number that this device wrote, by slot, line and tenure: [tenure, sequence] pairs. */
  readonly #written = new Int32Array(SLOTS * LINES * TENURES_PER_SLOT * 2);

  // A stalled access (IHI 0070 3.12.2): what its record may be, and what the software had said when it stalled.
  #heldEvents = 0;
  #heldStag = 0;
  #heldAnswers = 0;
  #heldTerminations = 0;
  #answers = 0;
  #terminations = 0;
  /** How the software has ended it, and that it may have been ended otherwise. */
  #demanded: Outcome | undefined;
  #mayEnd = false;

  /** The access that is being judged. */
  #slot = 0;
  #need = 0;

  constructor(
    plan: StressPlan,
    stream: number,
    ledger: Ledger,
    statistics: StreamStatistics,
    witness: Witness,
  ) {
    this.#stream = plan.streams[stream]!;
    this.#index = this.#stream.interface;
    this.#plan = plan.interfaces[this.#index]!;
    this.#isPassedThrough = this.#stream.arrival.smmu !== this.#plan.smmu;
    this.#cells = this.#plan.substreams.map((_, substream) => ledger.streamCell(stream, substream));
    this.#ledger = ledger;
    this.#log = ledger.accesses(stream);
    this.#statistics = statistics;
    this.#witness = witness;
  }

  /** Before the translation begins. */
  begin(slot: number, substream: number): void {
    const ledger = this.#ledger;
    this.#slot = slot;
    this.#substream = substream;
    this.#cell = this.#cells[substream]!;
    this.#demanded = undefined;
    this.#mayEnd = false;
    if (this.#plan.stalls !== undefined) {
      this.#answers = this.#log.answers;
      this.#terminations = this.#log.terminations;
    }
    this.#interfaceVersion = ledger.version(ledger.interfaceCell(this.#index));
    this.#streamVersion = ledger.version(this.#cell);
    for (let context = 0; context < CONTEXTS; context++) {
      this.#slotVersions[context] = ledger.version(ledger.slotCell(this.#index, context, slot));
    }
  }

  /** The access is held, since it began or anew. */
  stalled(transaction: Transaction, iova: number): void {
    let events = ANY_EVENT;
    if (this.#collect(transaction, iova)) {
      events = this.#stalls;
      if (events === 0) {
        this.#found('wrong-outcome', transaction, iova, `stalled, though slot ${this.#slot} permits it`);
        events = ANY_EVENT;
      }
    }
    // One that waits in front of the SMMU has no record yet.
    this.#heldEvents = transaction.stag === NO_STAG ? 0 : events;
    this.#heldStag = transaction.stag;
    this.#heldAnswers = this.#answers;
    this.#heldTerminations = this.#terminations;
  }

  /** It is held no longer, or stalled anew: now it is known whether the software has seen its record. */
  released(transaction: Transaction, outcome: Outcome, iova: number): void {
    const { answers, terminations } = this.#log;
    const { answer, stag } = this.#log.lastAnswer;
    const given = (answers - this.#heldAnswers) | 0;
    // An answer that came while it was retried, and stalled anew, may be to the new record.
    const isNew = outcome === STALL && given === 1 && stag !== this.#heldStag;
    const isAnswered = given > 0 && !isNew;
    if (this.#heldEvents !== 0) {
      const events = isAnswered ? this.#heldEvents : this.#heldEvents | bit(NO_EVENT);
      this.#expect(transaction, iova, events, this.#heldStag);
    }
    if (isAnswered && !isNew && outcome === STALL) this.#answers = (this.#heldAnswers + 1) | 0;
    if (isAnswered && outcome !== STALL && answer !== ANSWER_RETRY)
      this.#demanded = answer === ANSWER_RAZ_WI ? RAZ_WI : ABORT;
    this.#mayEnd =
      !isAnswered && (terminations !== this.#heldTerminations || (this.#heldTerminations & 1) !== 0);
  }

  /** @returns the tenure of the page that a translation leads to; {@link NO_TENURE} where it must not, or cannot be judged. */
  translated(transaction: Transaction, iova: number, slot: number): number {
    if (transaction.outcome !== OK) return NO_TENURE;
    if (this.#demanded !== undefined) {
      this.#found('wrong-outcome', transaction, iova, 'went on, though CMD_RESUME has terminated it');
      return NO_TENURE;
    }
    if (!this.#collect(transaction, iova)) {
      this.#statistics.unjudged++;
      return NO_TENURE;
    }
    this.#statistics.checked++;
    const pa = transaction.pa - this.#plan.hostOffset;
    const page = pa - ((iova - this.#plan.window) % this.#plan.granuleBytes);
    let known = false;
    for (let i = this.#count - 1; i >= 0; i--) {
      if (this.#pages[i] !== page || this.#spaces[i] !== transaction.space) continue;
      if ((this.#accesses[i]! & this.#need) !== 0) return this.#tenures[i]!;
      known = true;
    }
    this.#found(
      known ? 'wrong-outcome' : 'wrong-address',
      transaction,
      iova,
      known
        ? 'succeeded without permission'
        : `went to ${SECURITY_NAMES[transaction.space]} 0x${pa.toString(16)}, where slot ${slot} is not`,
    );
    return NO_TENURE;
  }

  /** When everything of the access is over, and it did not succeed. */
  failed(transaction: Transaction, outcome: Outcome, iova: number, slot: number): void {
    if (this.#demanded === outcome) {
      this.#statistics.checked++;
      return;
    }
    if (!this.#collect(transaction, iova)) {
      this.#statistics.unjudged++;
      // Whatever event it caused cannot be told to be wrong.
      this.#expect(transaction, iova, ANY_EVENT);
      return;
    }
    this.#statistics.checked++;
    // No fault is configured to end as RAZ/WI: that is the software's to say.
    if (this.#aborts === 0 || outcome === RAZ_WI || transaction.outcome === OK) {
      const how = `${OUTCOME_NAMES[outcome]}, though slot ${slot} permits it`;
      this.#found('wrong-outcome', transaction, iova, how);
      this.#expect(transaction, iova, ANY_EVENT);
      return;
    }
    if (this.#aborts !== bit(NO_EVENT)) this.#expect(transaction, iova, this.#aborts);
  }

  /** The sequence number for a line that is about to be written. */
  nextSequence(tenure: number, slot: number, line: number): number {
    const at = this.#entry(tenure, slot, line);
    this.#written[at + 1] = nextSequence(this.#written[at + 1]!);
    return this.#written[at + 1]!;
  }

  /** Compares a line that was read with what its page must hold. */
  didRead(words: Int32Array, tenure: number, slot: number, line: number): void {
    const { writer, writers } = this.#stream;
    const own = line % writers === writer;
    const sequence = own ? this.#lastSequence(tenure, slot, line) : undefined;
    const defect = lineDefect(words, tenure, line, sequence);
    if (defect === undefined) return;
    this.#witness.report({
      kind: 'wrong-data',
      actor: this.#stream.name,
      summary: `read line ${line} of slot ${slot}, tenure ${tenure}, written ${sequence ?? 'by another'}: ${describeDefect(defect)}`,
      details: [],
    });
  }

  /** What this device wrote last to a line of a tenure: 0 for nothing, -1 when that is forgotten. */
  #lastSequence(tenure: number, slot: number, line: number): number {
    const written = this.#written;
    const first = (slot * LINES + line) * TENURES_PER_SLOT * 2;
    let isFull = true;
    for (let at = first; at < first + TENURES_PER_SLOT * 2; at += 2) {
      if (written[at] === tenure) return written[at + 1]!;
      isFull &&= written[at] !== 0;
    }
    return isFull ? -1 : 0;
  }

  /** Where the last write to a line of a tenure is remembered; the oldest tenure gives way. */
  #entry(tenure: number, slot: number, line: number): number {
    const written = this.#written;
    const first = (slot * LINES + line) * TENURES_PER_SLOT * 2;
    let oldest = first;
    for (let at = first; at < first + TENURES_PER_SLOT * 2; at += 2) {
      if (written[at] === tenure) return at;
      if (written[at]! < written[oldest]!) oldest = at;
    }
    written[oldest] = tenure;
    written[oldest + 1] = 0;
    return oldest;
  }

  /** Everything that was legal since `begin`. @returns false when the ledger has moved too far to tell. */
  #collect(transaction: Transaction, iova: number): boolean {
    const ledger = this.#ledger;
    const { write, instruction, privileged } = transaction;
    this.#need = accessBit(write, instruction, privileged);
    this.#count = 0;
    this.#aborts = this.#mayEnd ? bit(NO_EVENT) : 0;
    this.#stalls = 0;
    this.#translates = false;
    this.#contexts.fill(0);
    this.#iova = iova;
    let known = ledger.since(ledger.interfaceCell(this.#index), this.#interfaceVersion, this.#eachInterface);
    if (this.#translates) known = ledger.since(this.#cell, this.#streamVersion, this.#eachStream) && known;
    for (let context = 0; context < CONTEXTS; context++) {
      if (this.#contexts[context] === 0) continue;
      const cell = ledger.slotCell(this.#index, context, this.#slot);
      this.#context = context;
      known = ledger.since(cell, this.#slotVersions[context]!, this.#eachMapping) && known;
    }
    return known;
  }

  #iova = 0;
  /** The context that is being looked at. */
  #context = 0;

  readonly #eachInterface = (what: number): void => {
    if (what === TRANSLATING) this.#translates = true;
    // GBPA is an STE of the physical SMMU, without substreams (iommufd/vsmmu/accelerated-smmu.ts).
    else if (this.#isPassedThrough && this.#substream > 0) this.#aborts |= bit(NO_EVENT) | bit(BAD_SUBSTREAM);
    else if (what === DISABLED_BYPASS) this.#addWindow();
    else if (what === DISABLED_ABORT) this.#aborts |= bit(NO_EVENT);
  };

  readonly #eachStream = (what: number, detail: number): void => {
    if (what === STREAM_TRANSLATES) this.#contexts[detail] = 1;
    else if (what === STREAM_BYPASSES) this.#addWindow();
    else if (what === STREAM_ABORTS) this.#aborts |= bit(NO_EVENT);
    else if (what === STREAM_BAD_STE) this.#aborts |= bit(BAD_STE);
    else if (what === STREAM_BAD_CD) this.#aborts |= bit(BAD_CD);
    else if (what === STREAM_BAD_SUBSTREAM) this.#aborts |= bit(BAD_SUBSTREAM);
    else if (what === STREAM_DISABLED) this.#aborts |= bit(DISABLED);
  };

  readonly #eachMapping = (what: number, detail: number): void => {
    if (what === 0) {
      this.#fault(this.#faultOf(detail));
      return;
    }
    const accesses = accessesOf(detail);
    if ((accesses & this.#need) === 0) {
      const isStage1 = (stage1Accesses(detail) & this.#need) === 0;
      this.#fault(isStage1 ? PERMISSION : S2_PERMISSION + this.#context);
    }
    const frame = frameOf(detail);
    this.#add(framePA(this.#plan, frame), frameSpace(this.#plan, frame), what, accesses);
  };

  #fault(expected: number): void {
    const { stalls } = this.#plan;
    if (stalls !== undefined && (isStage2(expected) ? stalls.stage2 : stalls.stage1[this.#context]))
      this.#stalls |= bit(expected);
    else this.#aborts |= bit(expected);
  }

  /** The fault of an access that no page answers; what stage 1 does not permit never gets to stage 2. */
  #faultOf(detail: number): number {
    if (areTablesGone(detail)) return S2_TABLE_TRANSLATION + this.#context;
    if (!isPageGone(detail)) return TRANSLATION;
    return (stage1Accesses(detail) & this.#need) === 0 ? PERMISSION : S2_TRANSLATION + this.#context;
  }

  #addWindow(): void {
    const page = this.#iova - ((this.#iova - this.#plan.window) % this.#plan.granuleBytes);
    this.#add(page, this.#plan.security, windowTenure(this.#index, this.#slot), ALL_ACCESSES);
  }

  #add(page: number, space: number, tenure: number, accesses: number): void {
    if (this.#count === CANDIDATES_MAX) return;
    this.#pages[this.#count] = page;
    this.#spaces[this.#count] = space;
    this.#tenures[this.#count] = tenure;
    this.#accesses[this.#count] = accesses;
    this.#count++;
  }

  #expect(transaction: Transaction, iova: number, events: number, stag = NO_STAG): void {
    const access =
      ofSubstream(this.#substream) |
      (transaction.write ? 0 : ACCESS_READ) |
      (transaction.instruction ? ACCESS_INSTRUCTION : 0) |
      (transaction.privileged ? ACCESS_PRIVILEGED : 0);
    this.#log.expect({ iova, access, events, stag });
  }

  /** Some way that the access may end. */
  #legal(): Legal {
    if (this.#aborts !== 0) return { result: 'abort' };
    const i = this.#accesses.findIndex((accesses, at) => at < this.#count && (accesses & this.#need) !== 0);
    if (i < 0) return { result: 'abort' };
    const pa = this.#pages[i]! + ((this.#iova - this.#plan.window) % this.#plan.granuleBytes);
    return {
      result: 'ok',
      pa: `0x${pa.toString(16)}`,
      space: SECURITY_NAMES[this.#spaces[i] as SecurityState],
    };
  }

  #found(kind: FindingKind, transaction: Transaction, iova: number, how: string): void {
    const { write, instruction, privileged } = transaction;
    const what = `${privileged ? 'privileged' : 'unprivileged'} ${write ? 'write' : instruction ? 'fetch' : 'read'}`;
    this.#witness.report({
      kind,
      actor: this.#stream.name,
      summary: `${what} at 0x${iova.toString(16)}: ${how}`,
      details: originLines(this.#witness.origin(transaction)),
      legal: this.#legal(),
      StreamID: this.#stream.StreamID,
      ...(transaction.outcome === OK && {
        where: { slot: this.#slot, pa: transaction.pa - this.#plan.hostOffset, space: transaction.space },
      }),
    });
  }
}

/** The story of a TLB entry: when it was filled, and from what. */
function originLines(origin: Origin | undefined): string[] {
  if (origin === undefined) return [];
  const reads = origin.descriptors.map(({ stage, level, pa, lo, hi }) => {
    const value = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
    return `  stage ${stage} level ${level} descriptor at 0x${pa.toString(16)}: 0x${value.toString(16).padStart(16, '0')}`;
  });
  return [`the TLB entry was filled by access ${origin.access} of this TBU from`, ...reads];
}
