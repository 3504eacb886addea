/**
 * The machine under construction: the items of the file, and what they turn out to be linked to.
 *
 * Each group of rules fills in what it resolved. A link that is undefined was not given, or was reported: rules
 * behind it keep silent.
 */
import type { IdRange } from '../bus/id-map.js';
import { isGiven, isReported, type Place, usable, type Value } from './diagnostics.js';
import type {
  BusItem,
  DeviceItem,
  IdMapItem,
  MachineItem,
  RegionItem,
  SmmuItem,
  SoftwareItem,
  StepItem,
} from './file-shape.js';
import { items } from './read.js';

export interface Space {
  readonly id: string;
  /** Regions in priority order. */
  readonly regions: readonly RegionItem[];
  /** False where a region or its security could not be made out. */
  readonly known: boolean;
}

export interface Bus {
  readonly item: BusItem;
  /** The bus whose slot it occupies. */
  seat?: Bus;
  /** The bus that a port continues: its seat. A root complex has none, wherever its host bridge sits. */
  parent?: Bus;
  /** The root complex at the top; a root complex is its own. */
  root?: Bus;
  /** Bus number of the functions on it, once it is known to be free. */
  number?: number;
  /** The SMMU whose primary bus this is. */
  smmu?: Smmu;
}

export interface Smmu {
  readonly item: SmmuItem;
  primaryBus?: Bus;
  memory?: Space;
  secureMemory?: Space;
  /** Effective Secure support; undefined where what decides it was reported. */
  secure?: boolean;
  /** The physical SMMU that translates for an accelerated one. */
  host?: Smmu;
}

export interface IdMap {
  readonly item: IdMapItem;
  bus?: Bus;
  smmu?: Smmu;
  /** Present once the Requester IDs are known and nobody else's. */
  range?: IdRange;
  /** False where the StreamIDs do not fit and were reported. */
  fits: boolean;
}

/** Which SMMU translates for a device: one, none, or nobody can tell because of what was reported. */
export type Route =
  | { readonly kind: 'smmu'; readonly smmu: Smmu; readonly map?: IdMap; readonly StreamID?: number }
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown' };

export interface Device {
  readonly item: DeviceItem;
  bus?: Bus;
  requesterID?: number;
  /** The host's device that a vfio-pci passes through. */
  host?: Device;
  route: Route;
}

export interface Model {
  readonly file: MachineItem;
  /** The machine runs, and devices that it began with are gone: what they decided stays. */
  readonly isRunning: boolean;
  readonly regions: readonly RegionItem[];
  readonly spaces: Map<string, Space>;
  /** A guest's memory and the host's region that holds its bytes. */
  readonly backing: Map<RegionItem, RegionItem>;
  readonly buses: readonly Bus[];
  readonly smmus: readonly Smmu[];
  readonly idMaps: readonly IdMap[];
  readonly devices: readonly Device[];
  readonly software: readonly SoftwareItem[];
  readonly workload: readonly StepItem[];
}

export function buildModel(file: MachineItem, isRunning: boolean): Model {
  return {
    file,
    isRunning,
    regions: items(file.memory),
    spaces: new Map(),
    backing: new Map(),
    buses: items(file.buses).map((item) => ({ item })),
    smmus: items(file.smmus).map((item) => ({ item })),
    idMaps: items(file['id-maps']).map((item) => ({ item, fits: true })),
    devices: items(file.devices).map((item) => ({ item, route: { kind: 'unknown' } as const })),
    software: items(file.software),
    workload: items(file.workload),
  };
}

export function isRoot(bus: Bus): boolean {
  return bus.item.type.value === 'pcie' || bus.item.type.value === 'pxb-pcie';
}

export function byOffset(a: { readonly at: Place }, b: { readonly at: Place }): number {
  return a.at.offset - b.at.offset;
}

/** Of two values the one that stands later in the file. */
export function later<T extends Value<unknown>>(a: T, b: T): T {
  return a.at.offset > b.at.offset ? a : b;
}

/** Base and size where both are good, as a half-open range. */
export function extent(region: RegionItem): { start: number; end: number } | undefined {
  const start = usable(region.base);
  const size = usable(region.size);
  return start === undefined || size === undefined ? undefined : { start, end: start + size };
}

/** Memory of a guest: at addresses of its own, and some of the host's. */
export function isGuestMemory(region: RegionItem): boolean {
  return isGiven(region['backed-by']) || isReported(region['backed-by']);
}

/** Whether an SMMU is a guest's, and another translates for it. */
export function isAccelerated({ item }: Smmu): boolean {
  return (usable(item.accel) ?? 'off') !== 'off';
}

export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

export function formatRange(start: number, end: number): string {
  return `${hex(start)}-${hex(end - 1)}`;
}
