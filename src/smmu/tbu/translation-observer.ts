/** What a TBU tells about one translation to whoever watches. */
import type { SecurityState } from '../../arch/security.js';
import type { BankControls } from './bank-controls.js';
import type { ConfigObserver } from './config-cache.js';
import type { Origin } from './origin.js';
import type { StreamContext } from './stream-context.js';
import type { WalkObserver } from './walk-observer.js';

/** Everything a TBU tells about one translation; for explain and replay. Costs nothing when absent. */
export interface TranslationObserver extends WalkObserver, ConfigObserver {
  /** The controls of the stream's Security state, with which a translation begins. */
  bank(controls: BankControls, security: SecurityState): void;
  /** The stream's configuration and the permission bit that the access needs. */
  context(context: StreamContext, need: number): void;
  /**
   * A STAGE_1 entry answers, with stage 1's own permissions and those of stage 2; pages are addresses / 4096. Where it
   * comes from is known while origins are recorded.
   */
  tlbHit(outPage: number, own: number, parent: number, sizeBits: number, origin: Origin | undefined): void;
  event(words: Int32Array, security: SecurityState): void;
}
