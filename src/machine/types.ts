/** A realized machine: every link resolved, every rule checked. Plain cloneable data; workers receive it as it is. */
import type { SecurityState } from '../arch/security.js';
import type { DmaStep } from '../devices/dma-master.js';
import type { SmmuConfig } from '../smmu/config.js';
import type { Overrides } from './overrides.js';

/** What a machine was realized from. Rules that need a running machine read it again (hotplug.ts). */
export interface MachineSource {
  readonly text: string;
  /** As diagnostics print it. */
  readonly fileName: string;
  readonly overrides: Overrides;
}

export interface MemoryRegion {
  readonly id: string;
  /** Physical address of the first byte; 4 KiB aligned, below 2^52. */
  readonly base: number;
  readonly sizeBytes: number;
  readonly security: SecurityState;
  /** A guest's memory: the part of the host's region that holds its bytes. */
  readonly alias?: { readonly of: string; readonly offset: number };
}

export interface AddressSpace {
  readonly id: string;
  /** Region ids in priority order: the first that claims an address has it. */
  readonly regions: readonly string[];
}

/** Interrupt numbers of the wired outputs (IHI 0070 3.18). */
export interface SmmuInterrupts {
  readonly eventq: number;
  readonly priq: number;
  readonly cmdSync: number;
  readonly gerror: number;
}

export interface SmmuInstance {
  readonly id: string;
  /** Physical address of register page 0; the window is 128 KiB. */
  readonly base: number;
  readonly config: SmmuConfig;
  /** Address space id of the Non-secure PA space. */
  readonly memory: string;
  /** Address space id of the Secure PA space; present whenever it is wired. */
  readonly secureMemory?: string;
  /** Index of the physical SMMU that translates for this one: it is accelerated. */
  readonly accel?: number;
  readonly irqs: SmmuInterrupts;
}

export type DeviceType = 'dma-engine' | 'iommu-testdev' | 'vfio-pci';

export interface DeviceInstance {
  readonly id: string;
  readonly type: DeviceType;
  /** Printed as `bb:ss.f`. */
  readonly bdf: string;
  /** PCIe Requester ID: bus << 8 | slot << 3 | function. */
  readonly requesterID: number;
  /** Index into Machine.smmus, or -1: behind no SMMU, DMA goes to memory untranslated. */
  readonly smmu: number;
  readonly StreamID: number;
  readonly SEC_SID: SecurityState;
  /** Of a vfio-pci: the host's device, whose accesses these are. */
  readonly host?: DeviceInstance;
}

export interface Mapping {
  readonly iova: bigint;
  readonly sizeBytes: number;
  /** Chosen by the boot software where the file leaves it out. */
  readonly pa?: number;
  readonly access: 'rw' | 'r' | 'w';
  /** Output in the Non-secure PA space, for a Secure stream (leaf NS bit). Default: the stream's own. */
  readonly security?: SecurityState;
  /** Mapped page by page when an access stalls there, not at boot. */
  readonly onFault?: boolean;
}

/** What boot software programs for one device's stream. */
export interface StreamProgram {
  readonly device: string;
  readonly config: 'translate' | 'bypass' | 'abort';
  readonly granule: '4KiB' | '16KiB' | '64KiB';
  /** Whether an access whose translation faults is terminated or stalls until the software has answered (CD.S). */
  readonly faults: 'terminate' | 'stall';
  /** Devices with the same context id share a CD, an ASID and its mappings. Default: the device's own id. */
  readonly context: string;
  readonly mappings: readonly Mapping[];
}

/** What a device then does. Steps of one device run in order, devices run concurrently. */
export interface WorkloadStep extends DmaStep {
  readonly device: string;
  /** 'ok', or the name of the event that every access of the step must cause, as F_TRANSLATION. */
  readonly expect: string;
}

export interface Machine {
  readonly name: string;
  readonly source: MachineSource;
  readonly regions: readonly MemoryRegion[];
  readonly addressSpaces: readonly AddressSpace[];
  readonly smmus: readonly SmmuInstance[];
  readonly devices: readonly DeviceInstance[];
  readonly software: readonly StreamProgram[];
  readonly workload: readonly WorkloadStep[];
}
