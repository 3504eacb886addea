/**
 * What becomes of an access that does not proceed: its event record, and whether it aborts, reads as zero or stalls
 * (IHI 0070 3.12, 5.5, 7.3). One record, reused: the channel copies it.
 */
import { EVENT, F_CD_FETCH, F_PERMISSION, F_STE_FETCH, F_WALK_EABT } from '../../arch/events.js';
import { put } from '../../arch/layout.js';
import type { SecurityState } from '../../arch/security.js';
import type { EventChannel } from '../maintenance.js';
import { NO_STAG, type StallRange } from '../stalls.js';
import { ABORT, type Outcome, RAZ_WI, STALL, type Transaction } from '../transaction.js';
import { EventRecord } from './event-record.js';
import type { StreamContext } from './stream-context.js';
import type { TranslationObserver } from './translation-observer.js';
import type { Walker } from './walker.js';

export class Faults {
  observer: TranslationObserver | undefined;
  /** Records that were sent, and accesses that stalled. */
  events = 0;
  stalled = 0;

  readonly #record = new EventRecord();
  readonly #channel: EventChannel;
  readonly #stalls: StallRange;
  readonly #oasLimit: number;

  /** @param oasLimit 2^OAS. */
  constructor(channel: EventChannel, stalls: StallRange, oasLimit: number) {
    this.#channel = channel;
    this.#stalls = stalls;
    this.#oasLimit = oasLimit;
  }

  /** The configuration of a stream is not there, or not valid: no CD field governs that. */
  configuration(txn: Transaction, security: SecurityState, event: number, fetchAddr: number): Outcome {
    this.#record.start(txn, event);
    if (event === F_STE_FETCH || event === F_CD_FETCH) this.#record.fetchAddr(fetchAddr, this.#oasLimit);
    this.#send(security);
    return ABORT;
  }

  /** A fault that is always recorded and always aborts. */
  ungoverned(txn: Transaction, security: SecurityState, need: number, event: number): Outcome {
    this.#record.startFault(txn, need, event);
    this.#send(security);
    return ABORT;
  }

  /** A Translation-related fault of stage 1, which CD.A, R and S govern. */
  stage1(txn: Transaction, context: StreamContext, need: number, event: number): Outcome {
    const { a, r, s } = context.cd!;
    this.#record.startFault(txn, need, event);
    return this.#settle(txn, context.security, r, s, a ? ABORT : RAZ_WI);
  }

  /** A TLB entry that says that stage 2 does not permit the access. */
  stage2Permission(
    txn: Transaction,
    context: StreamContext,
    need: number,
    ipa: number,
    ipaSpace: SecurityState,
  ): Outcome {
    this.#record.startFault(txn, need, F_PERMISSION);
    this.#record.stage2(context.security, ipaSpace, ipa, this.#oasLimit);
    return this.#settle(txn, context.security, context.ste.s2R, context.ste.s2S, ABORT);
  }

  /**
   * A fault that the walker found. A, R and S of the stage govern the four Translation-related faults; the others are
   * always recorded and abort (5.5).
   */
  walk(
    txn: Transaction,
    context: StreamContext,
    security: SecurityState,
    need: number,
    walker: Walker,
  ): Outcome {
    const governed = walker.fault !== F_WALK_EABT;
    if (governed && !walker.faultStage2) return this.stage1(txn, context, need, walker.fault);
    this.#record.startFault(txn, need, walker.fault);
    this.#record.forWalk(walker.faultClass, walker.fault === F_PERMISSION && !walker.faultWrite);
    if (!governed) {
      if (walker.faultStage2) put(this.#record.words, EVENT.S2, 1);
      this.#record.fetchAddr(walker.fetchAddr, this.#oasLimit);
      return this.#settle(txn, security, true, false, ABORT);
    }
    this.#record.stage2(security, walker.faultIpaSpace, walker.faultIpa, this.#oasLimit);
    return this.#settle(txn, security, context.ste.s2R, context.ste.s2S, ABORT);
  }

  /** What becomes of an access whose Translation-related fault is in the record: its stage's R and S decide (5.5). */
  #settle(
    txn: Transaction,
    security: SecurityState,
    record: boolean,
    stall: boolean,
    terminated: Outcome,
  ): Outcome {
    if (stall) return this.#stall(txn, security);
    if (record) this.#send(security);
    return terminated;
  }

  /** Holds an access and says so, whatever R is. Choice: duplicate-stalls: each has a record. */
  #stall(txn: Transaction, security: SecurityState): Outcome {
    txn.stag = this.#stalls.claim(security, txn.StreamID);
    if (txn.stag === NO_STAG) return STALL;
    this.stalled++;
    put(this.#record.words, EVENT.Stall, 1);
    put(this.#record.words, EVENT.STAG, txn.stag);
    this.#send(security, true);
    return STALL;
  }

  #send(security: SecurityState, stall = false): void {
    this.events++;
    this.observer?.event(this.#record.words, security);
    this.#channel.record(this.#record.words, security, stall);
  }
}
