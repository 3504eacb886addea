/** What a stress run is asked to do: the part that deterministic and threaded runs share. Plain cloneable data. */
import type { RunningMachine } from '../runtime/coordinator.js';
import type { MutationName } from './mutations/mutation-names.js';
import type { ProfileName } from './profiles.js';

export interface StressOptions {
  readonly seed: number;
  readonly profile: ProfileName;
  /** A built-in fault of the SMMU or of the software. */
  readonly mutate?: MutationName;
  /** False: pure load, nothing is verified. */
  readonly check: boolean;
}

export interface ThreadedOptions extends StressOptions {
  /** How long devices work; or, if they are given, how many accesses they make, all together. */
  readonly durationMs: number;
  readonly operations?: number;
  /** DMA threads; default: one for each processor, and no more than devices. */
  readonly lanes?: number;
  /** A thread without a sign of life for this long is reported as hung. */
  readonly hungMs?: number;
  /** Ends the run early; the report says so. */
  readonly signal?: AbortSignal;
  /** Called with the machine once it runs. */
  readonly onStart?: (running: RunningMachine) => void;
  readonly onProgress?: (progress: StressProgress) => void;
}

/** Numbers for a progress line. */
export interface StressProgress {
  readonly elapsedMs: number;
  readonly transactions: number;
  readonly hits: number;
  readonly misses: number;
  readonly invalidations: number;
  readonly findings: number;
}
