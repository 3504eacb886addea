/** What the coordinator asks of an SMMU's thread, through comlink. Control only; everything else is in shared memory. */

import type { DeviceInstance } from '../../machine/types.js';
import type { TcuState } from '../../smmu/tcu/tcu.js';
import type { IommufdReport } from '../report/report.js';

/** Counters of one TCU, exact between two of its turns; what its statistics line has may be a turn old. */
export interface TcuStatistics {
  readonly commands: number;
  readonly invalidations: number;
  readonly events: number;
}

/** A device as it was, and as it is since its bus has another number. */
export interface DeviceMove {
  readonly from: DeviceInstance;
  readonly to: DeviceInstance;
}

export interface SmmuApi {
  /** Resolves once the SMMU takes register writes. */
  start(): Promise<void>;
  /** Of the thread's own SMMU, or of an accelerated one that it steps. */
  statistics(smmu: number): Promise<TcuStatistics>;
  /** What the host above this SMMU holds for each of its guests; nothing where there is none. */
  iommufds(): Promise<IommufdReport[]>;
  /** Gives a device of this SMMU to a guest. Resolves with why that cannot be; all is then as before. */
  passThrough(device: DeviceInstance): Promise<string | undefined>;
  /** Takes it away from the guest. */
  takeBack(device: DeviceInstance): Promise<void>;
  /** Guests have renumbered the buses of devices of this SMMU. */
  renumber(moves: readonly DeviceMove[]): Promise<void>;
  /** Does all that there is to do without new input, and tells where the TCU then stands. */
  save(): Promise<TcuState>;
}
