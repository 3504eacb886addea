/**
 * What of a running machine outlives a moment, beside its guest memory: plain cloneable data, taken while nothing moves
 * (REQUIREMENTS A43-A48).
 *
 * The moment is one at which every DMA thread stands between two batches, the software between two records, and each TCU
 * has done all that it can do without them: what is then still under way is part of a state, as a stalled access is, or a
 * command queue that stopped. Wired interrupts are edges and MSIs are memory: none of them is under way.
 */

import { SECURITY_STATES } from '../arch/security.js';
import { type AccessPort, DmaMaster, type MasterState } from '../devices/dma-master.js';
import type { Machine, WorkloadStep } from '../machine/types.js';
import type { PhysicalAddressSpace } from '../memory/address-space.js';
import { Smmu } from '../smmu/smmu.js';
import { aboutInstance, type Commit, StateError } from '../smmu/state.js';
import type { TbuState } from '../smmu/tbu/tbu-state.js';
import type { TcuState } from '../smmu/tcu/tcu.js';
import { ABORT } from '../smmu/transaction.js';
import { streamsOf } from './boot-plan.js';
import type { TranslationCounts } from './threads/lane-tbu.js';
import type { SoftwareState } from './threads/software-thread.js';
import type { StalledAccess } from './threads/stall-watch.js';

/** A device's way through its steps. */
export interface DeviceState {
  /** Index into Machine.devices. */
  readonly device: number;
  readonly master: MasterState;
  /** Input address of the first access of each step that did not succeed. */
  readonly failedAt: readonly (bigint | undefined)[];
  /** The access that its TBU holds. */
  readonly stalled?: { readonly iova: bigint; readonly stag: number };
  /** It gave up waiting for one. */
  readonly abandoned?: StalledAccess;
  readonly translation: Readonly<TranslationCounts>;
  readonly accesses: number;
}

/** A DMA thread's devices, and the TBUs that serve them. */
export interface LaneState {
  readonly devices: readonly DeviceState[];
  readonly tbus: readonly { readonly smmu: number; readonly state: TbuState }[];
}

export interface MachineState {
  /** One for each DMA thread: how many there are decides how the STAGs are shared out. */
  readonly lanes: readonly LaneState[];
  /** One for each SMMU, in the machine's order. */
  readonly smmus: readonly TcuState[];
  readonly software: SoftwareState;
}

export const LANES_MAX = 128;

/** Nothing is read or written while a state is examined. */
const NOWHERE: PhysicalAddressSpace = {
  load: () => false,
  store: () => false,
  store32: () => false,
  compareAndSwap: () => -1,
  read: () => false,
  write: () => false,
};

const NO_PORT: AccessPort = { isAwaited: false, read: () => ABORT, write: () => ABORT };

/**
 * Examines a whole state before a machine is started with it.
 * @throws StateError that names the instance which the state does not fit
 */
export function checkMachineState(machine: Machine, state: MachineState): void {
  const { lanes, smmus } = state;
  refuseAccelerated(machine);
  if (smmus.length !== machine.smmus.length) {
    throw new StateError(`the state has ${smmus.length} SMMUs, the machine ${machine.smmus.length}`);
  }
  if (lanes.length < 1 || lanes.length > LANES_MAX) throw new StateError(`${lanes.length} DMA threads`);
  for (const [index, tcu] of smmus.entries()) {
    const { id, config } = machine.smmus[index]!;
    const smmu = new Smmu(config, [NOWHERE, NOWHERE], { interrupt() {} });
    const commits: Commit[] = [smmu.tcu.prepare(tcu)];
    for (const { tbus } of lanes) {
      for (const { smmu: at, state: tbu } of tbus) {
        if (at === index) commits.push(aboutInstance(id, () => smmu.tbu.prepare(tbu)));
      }
    }
  }
  checkDevices(machine, lanes);
  checkSoftware(machine, state.software);
}

/**
 * What is above a physical SMMU with guests has no state yet: the host's kernel and the guests' SMMUs (hypervisor.ts).
 * @throws StateError
 */
export function refuseAccelerated({ smmus }: Machine): void {
  const accelerated = smmus.find(({ accel }) => accel !== undefined);
  if (accelerated !== undefined) {
    throw new StateError(
      `${accelerated.id}: an accelerated SMMU and its host have no state that could be kept`,
    );
  }
}

/** The software is that of the machine's own boot: a driver for each interface that has a stream to program. */
function checkSoftware(machine: Machine, { interfaces }: SoftwareState): void {
  const expected = machine.smmus.flatMap((_smmu, smmu) =>
    SECURITY_STATES.filter((security) => streamsOf(machine, smmu, security).length > 0).map((security) => ({
      smmu,
      security,
    })),
  );
  const same =
    interfaces.length === expected.length &&
    expected.every(({ smmu, security }, i) => {
      const own = interfaces[i]!;
      return own.smmu === smmu && own.security === security;
    });
  if (!same) throw new StateError('the state is of software that programs other SMMUs');
}

function checkDevices(machine: Machine, lanes: readonly LaneState[]): void {
  const seen = new Set<number>();
  for (const { devices, tbus } of lanes) {
    if (tbus.some(({ smmu }) => machine.smmus[smmu] === undefined)) throw new StateError('a TBU of no SMMU');
    for (const state of devices) {
      const device = machine.devices[state.device];
      if (device === undefined || seen.has(state.device)) throw new StateError(`no device ${state.device}`);
      seen.add(state.device);
      aboutInstance(device.id, () => checkProgress(stepsOfDevice(machine, state.device), state));
    }
  }
  for (const index of machine.devices.keys()) {
    if (stepsOfDevice(machine, index).length > 0 && !seen.has(index)) {
      throw new StateError(`${machine.devices[index]!.id}: the state says nothing of its progress`);
    }
  }
}

function checkProgress(steps: readonly WorkloadStep[], { master, failedAt, stalled }: DeviceState): void {
  if (failedAt.length !== steps.length) throw new StateError('its workload has another number of steps');
  new DmaMaster(steps, NO_PORT).restore(master);
  if ((stalled !== undefined) !== master.stalled) throw new StateError('a stall that nobody holds');
}

/** Each device's own steps of the workload, in order. */
export function stepsOfDevice(machine: Machine, device: number): WorkloadStep[] {
  const { id } = machine.devices[device]!;
  return machine.workload.filter((step) => step.device === id);
}

/** Whether a device has done all of its steps. */
export function isDone({ master, abandoned }: DeviceState): boolean {
  return abandoned !== undefined || master.step >= master.counters.length;
}

/** A device before its first step. */
export function initialDevice(machine: Machine, device: number): DeviceState {
  const steps = stepsOfDevice(machine, device);
  return {
    device,
    master: new DmaMaster(steps, NO_PORT).save(),
    failedAt: steps.map(() => undefined),
    translation: { hits: 0, misses: 0, walks: 0, events: 0 },
    accesses: 0,
  };
}

/** Accesses of all devices so far. */
export function accessesOf({ lanes }: Pick<MachineState, 'lanes'>): number {
  const all = lanes.flatMap(({ devices }) => devices.map(({ accesses }) => accesses));
  return all.reduce((total, accesses) => total + accesses, 0);
}
