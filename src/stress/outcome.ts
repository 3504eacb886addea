/** What the actors of a stress run came to, in threads or deterministic: plain data. */
import type { TbuCounters } from '../smmu/tbu/tbu-state.js';
import type { TcuCounters } from '../smmu/tcu/tcu.js';
import type { SoftwareStatistics, StreamStatistics } from './actors/actor.js';
import type { Traffic } from './actors/scheduled-ports.js';
import type { Finding } from './checker/finding.js';
import type { ProfileName } from './profiles.js';

export interface StressOutcome {
  readonly machine: string;
  readonly seed: number;
  readonly profile: ProfileName;
  readonly operations: number;
  readonly smmus: readonly (TcuCounters & { readonly name: string; readonly tbus: readonly TbuCounters[] })[];
  readonly streams: readonly (Readonly<StreamStatistics> & {
    readonly name: string;
    readonly traffic: Readonly<Traffic>;
  })[];
  readonly software: readonly (Readonly<SoftwareStatistics> & { readonly name: string })[];
  readonly findings: readonly Finding[];
}
