/**
 * The rules of the checker, and what it says when one is broken (REQUIREMENTS H2, H4).
 *
 * The contract is IHI 0070 3.21.1 with 4.7.3: once a CMD_SYNC has completed, no access uses what was invalidated before
 * it, and every access that had used it is over. So what an access may do depends on when it runs, and the software
 * says so in the ledger (ledger.ts) before and after each change:
 *
 *     declare old and new -> change memory -> invalidate -> CMD_SYNC completes -> declare new alone
 *
 * Between the first and the last both are legal, however long the software takes: slow software is no finding. An access is
 * judged by everything that was legal at some time between its beginning and its end (access-checker.ts):
 *
 *     1  It succeeds only where a legal page permits it, and leads to that page, in that PA space.
 *     2  It aborts only where something legal aborts it, and then with exactly the event of that.
 *     3  A line that it reads belongs to that page, and holds what this device wrote there last.
 *
 * Pages say whose they are (pattern.ts), and the software looks at them while no stream may reach them (page-keeper.ts):
 *
 *     4  A page that is taken back, its CMD_SYNC completed, is whole; then it is filled with the mark of a free frame.
 *     5  That mark is untouched when the frame is used again: whoever wrote meanwhile used a translation that was gone.
 *
 *     6  Where hardware notes it, a page that a device has written is noted as accessed and dirty in its descriptor
 *        (mapping-work.ts).
 *
 * Events are matched with accesses, stream by stream and in order (event-checker.ts):
 *
 *     7  Each record in a queue is, bit for bit, the next that the stream's accesses must or may have caused.
 *     8  Once a CMD_SYNC has completed, none is missing of the accesses before it, but where the queue overflowed.
 *
 *     9  A stalled access waits until its record has been answered with CMD_RESUME, or the software terminates what is
 *        stalled; then it ends as it was told, or is judged as one that has just begun. None waits for ever.
 *
 * Rules 1 to 3 find a stale translation when it is used, 4 and 5 a stale access that nobody judged, as it began in time.
 * What is not noticed: a wrong translation that no device uses, and memory attributes.
 */
import type { SecurityName, SecurityState } from '../../arch/security.js';

export type FindingKind =
  /** An access used what was invalidated before a CMD_SYNC that had completed (IHI 0070 3.21.1). */
  | 'stale-use'
  /** A write reached memory that was taken back from its stream. */
  | 'stale-write'
  /** The output address or the PA space is not one that any legal configuration gives. */
  | 'wrong-address'
  /** An access failed that every legal configuration permits, or succeeded against them all. */
  | 'wrong-outcome'
  /** A page does not hold what was written to it. */
  | 'wrong-data'
  | 'missing-event'
  | 'unexpected-event'
  /** The SMMU stopped at a legal command, or never answered. */
  | 'software-stuck'
  /** A stalled access was never resumed, or never told of. */
  | 'stuck-access';

/** What an access may give, as a scenario file says it. */
export type Legal =
  | { readonly result: 'abort' }
  | { readonly result: 'ok'; readonly pa: string; readonly space: SecurityName };

export interface Finding {
  readonly kind: FindingKind;
  /** The slot that a device meant, and where it came to: the software's story hangs on them. */
  readonly where?: { readonly slot: number; readonly pa: number; readonly space: SecurityState };
  /** What the access had to give instead, and whose it was. */
  readonly legal?: Legal;
  readonly StreamID?: number;
  /** The actor that noticed. */
  readonly actor: string;
  /** One sentence: what happened. */
  readonly summary: string;
  /** The entry's origin, the change, the missing command: one line each, as far as known. */
  readonly details: readonly string[];
}

/** Where actors leave their findings. */
export type Report = (finding: Finding) => void;
