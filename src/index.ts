/**
 * The library: what the command line is made of. Importing it has no side effects; only `runMachine` and
 * `startMachine` start threads.
 */

export { formatEvent } from './arch/events.js';
export { NON_SECURE, SECURE, type SecurityState } from './arch/security.js';
export { IommufdError } from './iommufd/errors.js';
export { type HostDevice, HostSmmu } from './iommufd/host-smmu.js';
export { type FaultPoint, Iommufd } from './iommufd/iommufd.js';
export { AcceleratedSmmu } from './iommufd/vsmmu/accelerated-smmu.js';
export { type AccelObserver, BindError } from './iommufd/vsmmu/guest-devices.js';
export { VfioCore, type VfioDevice } from './iommufd/vsmmu/vfio-core.js';
export { NESTED_CONFIGS, type NestedConfig } from './iommufd/vste.js';
export type { Diagnostic } from './machine/diagnostics.js';
export { loadMachine, OverrideError } from './machine/load.js';
export type { DeviceInstance, Machine, WorkloadStep } from './machine/types.js';
export type { PhysicalAddressSpace } from './memory/address-space.js';
export { GuestMemory } from './memory/guest-memory.js';
export { load64, store64 } from './memory/words.js';
export { type RunningMachine, startMachine } from './runtime/coordinator.js';
export { PlugError, type PlugResult, type ProgramResult, type RenumberResult } from './runtime/hotplug.js';
export type { RunReport } from './runtime/report/report.js';
export { type PausePoint, type RunOptions, runMachine } from './runtime/run.js';
export type { DeviceResult } from './runtime/threads/dma-lane.js';
export { MachineFailure } from './runtime/threads/supervisor.js';
export type { IdRegisters, SmmuConfig } from './smmu/config.js';
export { Smmu, type SmmuState } from './smmu/smmu.js';
export { type CacheChoice, StateError } from './smmu/state.js';
export {
  type IncomingAttributes,
  type MemoryAttributes,
  type OutputAttributes,
  outputAttributes,
} from './smmu/tbu/attributes.js';
export type { DescriptorRead, Origin } from './smmu/tbu/origin.js';
export { Transaction } from './smmu/transaction.js';
export { SnapshotError, type SnapshotProblem } from './snapshot/error.js';
export { readSnapshot, type Snapshot } from './snapshot/snapshot-file.js';
export {
  restoreMachine,
  runWithSnapshot,
  type SnapshotOrder,
  type TakenSnapshot,
} from './snapshot/snapshot-run.js';
export { SmmuDriver } from './software/driver.js';
export { PageAllocator } from './software/page-allocator.js';
export { type SmmuPort, SpaceMemory } from './software/port.js';
export type { StressReport } from './stress/report/report.js';
export { renderHtml } from './stress/report/report-html.js';
export { runDeterministic } from './stress/schedule/deterministic.js';
export { runThreaded } from './stress/threads.js';
