/** What a stress run is asked to do: the part that deterministic and threaded runs share. Plain cloneable data. */
import type { MutationName } from './mutation-names.js';
import type { ProfileName } from './profiles.js';

export interface StressOptions {
  readonly seed: number;
  readonly profile: ProfileName;
  /** A built-in fault of the SMMU or of the software. */
  readonly mutate?: MutationName;
  /** False: pure load, nothing is verified. */
  readonly check: boolean;
}
