/** What a run tells: plain data, as `run --json` prints it. Addresses and field values are hex strings. */
import type { ObjectRecord } from '../../iommufd/object-table.js';

export interface StepReport {
  readonly op: string;
  readonly iova: string;
  readonly expect: string;
  readonly accesses: number;
  readonly bytes: number;
  readonly aborts: number;
  readonly mismatches: number;
}

export interface DeviceReport {
  readonly id: string;
  readonly bdf: string;
  /** Id of the SMMU, or null: behind none. */
  readonly smmu: string | null;
  readonly StreamID: string;
  readonly SEC_SID: string;
  readonly type: string;
  /** Of a device that is passed through to a guest: id of the host's device, else null. */
  readonly host: string | null;
  readonly accesses: number;
  readonly bytes: number;
  readonly aborts: number;
  /** What its accesses did at the TBU; all zero behind no SMMU. */
  readonly hits: number;
  readonly misses: number;
  readonly walks: number;
  readonly events: number;
  readonly steps: readonly StepReport[];
}

export interface SmmuReport {
  readonly id: string;
  /** Id of its address space. */
  readonly memory: string;
  /** Id of the SMMU that translates for it, or null: it is not accelerated. */
  readonly accel: string | null;
  readonly transactions: number;
  readonly hits: number;
  readonly misses: number;
  readonly walks: number;
  readonly commands: number;
  readonly events: number;
  readonly overflowed: boolean;
}

/** Equal event records, counted. */
export interface EventReport {
  readonly smmu: string;
  readonly queue: string;
  readonly name: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly count: number;
}

/** The iommufd of one guest on one physical SMMU. References between its objects are their numbers. */
export interface IommufdReport {
  readonly smmu: string;
  /** Id of the guest's address space. */
  readonly memory: string;
  readonly objects: readonly ObjectRecord[];
}

export interface RunReport {
  readonly machine: string;
  /** Everything was as the machine file says. */
  readonly ok: boolean;
  readonly lanes: number;
  readonly elapsedMs: number;
  readonly smmus: readonly SmmuReport[];
  readonly devices: readonly DeviceReport[];
  /** Of each guest with accelerated SMMUs, when the workload was over. */
  readonly iommufds: readonly IommufdReport[];
  readonly events: readonly EventReport[];
  /** Kinds of event records that `events` leaves out. */
  readonly eventsOmitted: number;
  /** Bytes of memory that were compared with what the workload must have left there. */
  readonly verifiedBytes: number;
  /** Bytes written by several devices, which have no one right value. */
  readonly contestedBytes: number;
  /** One sentence each. */
  readonly failures: readonly string[];
  readonly failuresOmitted: number;
}

/** Numbers for a progress line. */
export interface RunProgress {
  readonly phase: 'boot' | 'dma' | 'verify';
  readonly accesses: number;
  readonly bytes: number;
  readonly aborts: number;
  readonly devicesDone: number;
  readonly devices: number;
}
