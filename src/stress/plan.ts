/**
 * The plan of a stress run: which streams there are, which input pages they use, and which memory is whose. A pure
 * function of machine and seed, cloneable, so that every thread works from the same one.
 *
 * Each programming interface (an SMMU and a Security state with at least one device) has memory of its own:
 *
 *     window    the input addresses of its slots are also the physical addresses of these pages, so that a stream
 *               that bypasses translation reaches memory that belongs to it
 *     frames    pages that slots are mapped to; a Secure interface has some in each PA space
 *     tables    what its driver allocates: Stream table, CDs, page tables, queues
 *
 * Of an accelerated SMMU all of these are the guest's, at the guest's addresses.
 */
import { IDR0, IDR1, IDR5, S_IDR1, STALL_MODEL } from '../arch/id-registers.js';
import { get } from '../arch/layout.js';
import { NON_SECURE, SECURE, SECURITY_NAMES, SECURITY_STATES, type SecurityState } from '../arch/security.js';
import type { Machine, MemoryRegion } from '../machine/types.js';
import { homeRegion, hostsOf, regionAllocators } from '../runtime/boot-plan.js';
import { hostBase } from '../runtime/shared/shared-machine.js';
import { stallCapacity } from '../smmu/stalls.js';
import { GRANULE_BITS, type Granule } from '../software/page-tables.js';
import { Random } from './random.js';

/** Input pages of an interface: as many as give runs of several pages and yet are all visited often. */
export const SLOTS = 24;
/** Contexts of an interface that a stream may be switched between. */
export const CONTEXTS = 2;
/** Frames of an interface in a PA space: as many as all slots of all contexts need at once, so that a free one is reused soon. */
const FRAMES = CONTEXTS * SLOTS;
/** Lines of a page that are written and compared, evenly spread over it. */
export const LINES = 8;
/** Bytes of a line: one access of a device, aligned, so that each of its double-words is single-copy atomic. */
export const LINE_BYTES = 64;

/** Log2 of the substreams of a stream at most: more than one leaf of a two-level CD table. */
export const SUBSTREAM_BITS = 8;
/** SubstreamIDs that devices use, where the SMMU has them: in the first leaf of a two-level CD table and in others. -1: none. */
const SUBSTREAMS = [-1, 0, 1, 5, 70, 200];

/** Shares of memory are cut at multiples of this, the largest granule. */
const ALIGNMENT_BYTES = 0x1_0000;
/** What a driver gets for its structures at most: the largest Stream table is two levels of 16 StreamID bits. */
const TABLES_BYTES_MAX = 0x100_0000;

/** What a context translates by; `nested` has its tables as stage 1, over a stage 2 that is the same for all of an interface. */
export type ContextKind = 'stage1' | 'stage2' | 'nested';

export type Stage = 1 | 2;

export const STAGES: Readonly<Record<ContextKind, readonly Stage[]>> = {
  stage1: [1],
  stage2: [2],
  nested: [1, 2],
};

/** Which faults stall an access instead of terminating it. */
export interface Stalls {
  /** Of stage 1, by context. */
  readonly stage1: readonly boolean[];
  readonly stage2: boolean;
  /** A stalled access can be ended as RAZ/WI. */
  readonly razWi: boolean;
}

export interface FramePool {
  readonly space: SecurityState;
  readonly base: number;
  readonly count: number;
}

export interface InterfacePlan {
  readonly smmu: number;
  readonly security: SecurityState;
  /** As reports say it: `smmu0/non-secure`. */
  readonly name: string;
  readonly granule: Granule;
  readonly granuleBytes: number;
  /** One entry for each of the {@link CONTEXTS}. */
  readonly contexts: readonly ContextKind[];
  /** Undefined where no fault stalls. */
  readonly stalls: Stalls | undefined;
  /** What its devices have for a SubstreamID; the first is -1, for none. */
  readonly substreams: readonly number[];
  /** Input address of slot 0, and the physical address of the window. */
  readonly window: number;
  /** How much higher the host of a guest's SMMU has the same memory; 0 where there is no host. */
  readonly hostOffset: number;
  /** The pool in the interface's own PA space first. */
  readonly pools: readonly FramePool[];
  readonly tables: { readonly base: number; readonly sizeBytes: number };
  /** Indices into StressPlan.streams. */
  readonly streams: readonly number[];
}

export interface StreamPlan {
  /** Index into Machine.devices. */
  readonly device: number;
  readonly name: string;
  readonly StreamID: number;
  /** Index into StressPlan.interfaces. */
  readonly interface: number;
  /** Where its accesses arrive: at the SMMU of the interface, or at the physical one below it. */
  readonly arrival: { readonly smmu: number; readonly StreamID: number };
  /** The lines that this stream alone writes are those of which the number modulo `writers` is this. */
  readonly writer: number;
  readonly writers: number;
}

export interface StressPlan {
  readonly interfaces: readonly InterfacePlan[];
  readonly streams: readonly StreamPlan[];
}

/** A machine that a stress run can do nothing with; the message says why. */
export class UnfitMachine extends Error {
  override readonly name = 'UnfitMachine';
}

/** A region's memory, handed out from its base on. */
class Share {
  #next: number;
  readonly #end: number;

  constructor(base: number, end: number) {
    this.#next = Math.ceil(base / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    this.#end = end;
  }

  take(sizeBytes: number): number {
    const base = this.#next;
    this.#next = Math.ceil((base + sizeBytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    if (this.#next > this.#end)
      throw new UnfitMachine('the memory of this machine is too small for a stress run');
    return base;
  }

  takeRest(maxBytes: number): { base: number; sizeBytes: number } {
    const sizeBytes = Math.min(maxBytes, this.#end - this.#next);
    const base = this.take(Math.floor(sizeBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES);
    return { base, sizeBytes: this.#next - base };
  }
}

interface Home {
  readonly smmu: number;
  readonly security: SecurityState;
  readonly devices: readonly number[];
}

/** @throws UnfitMachine when no device sits behind an SMMU, or a region is too small. */
export function planStress(machine: Machine, seed: number): StressPlan {
  const random = new Random(seed, 0);
  const homes = homesOf(machine);
  if (homes.length === 0) throw new UnfitMachine('no device of this machine sits behind an SMMU');
  const shares = sharesOf(machine, homes);
  const streams: StreamPlan[] = [];
  const interfaces = homes.map(({ smmu, security, devices }, index): InterfacePlan => {
    const granule = random.pick(granulesOf(machine, smmu));
    const granuleBytes = 2 ** GRANULE_BITS[granule];
    const own = shares[index]![security]!;
    const window = own.take(SLOTS * granuleBytes);
    const spaces = security === SECURE ? [SECURE, NON_SECURE] : [NON_SECURE];
    const pools = (spaces as SecurityState[]).flatMap((space) => {
      const share = shares[index]![space];
      return share === undefined ? [] : [{ space, base: share.take(FRAMES * granuleBytes), count: FRAMES }];
    });
    const first = streams.length;
    for (const [writer, device] of devices.entries()) {
      const { id, StreamID, host } = machine.devices[device]!;
      const arrival = host ?? machine.devices[device]!;
      streams.push({
        ...{ device, name: id, StreamID, interface: index },
        arrival: { smmu: arrival.smmu, StreamID: arrival.StreamID },
        ...{ writer, writers: devices.length },
      });
    }
    return {
      smmu,
      security,
      name: `${machine.smmus[smmu]!.id}/${SECURITY_NAMES[security]}`,
      granule,
      granuleBytes,
      contexts: contextsOf(kindsOf(machine, smmu, security), random),
      substreams: substreamsOf(machine, smmu),
      stalls: stallsOf(machine, smmu, security, random),
      window,
      hostOffset: hostOffset(machine, homeRegion(machine, smmu, NON_SECURE)),
      pools,
      tables: own.takeRest(TABLES_BYTES_MAX),
      streams: devices.map((_, position) => first + position),
    };
  });
  return { interfaces, streams };
}

/** Above a physical SMMU with guests there is the kernel of their host, and its own devices are blocked. */
function homesOf(machine: Machine): Home[] {
  const hosts = hostsOf(machine);
  return machine.smmus.flatMap((_, smmu) =>
    SECURITY_STATES.flatMap((security) => {
      if (hosts.includes(smmu)) return [];
      const devices = [...machine.devices.keys()].filter(
        (index) => machine.devices[index]!.smmu === smmu && machine.devices[index]!.SEC_SID === security,
      );
      return devices.length === 0 ? [] : [{ smmu, security, devices }];
    }),
  );
}

/** Every interface's part of the largest region of each PA space that it may use, by Security state. */
function sharesOf(machine: Machine, homes: readonly Home[]): (Share | undefined)[][] {
  const users = homes.map(({ smmu, security }) =>
    SECURITY_STATES.map((space) => {
      if (space > security) return undefined;
      const region = homeRegion(machine, smmu, space);
      return region.security === space ? region : undefined;
    }),
  );
  const all = users.flat();
  const taken = new Map<string, number>();
  return users.map((regions) =>
    regions.map((region) => {
      if (region === undefined) return undefined;
      const part = ownPart(machine, region);
      const sizeBytes = part.sizeBytes / all.filter((other) => other === region).length;
      const position = taken.get(region.id) ?? 0;
      taken.set(region.id, position + 1);
      const base = part.base + position * sizeBytes;
      return new Share(base, Math.floor(base + sizeBytes));
    }),
  );
}

/** A region but for what is a guest's, or the kernel's above it. */
function ownPart(
  machine: Machine,
  region: MemoryRegion,
): { readonly base: number; readonly sizeBytes: number } {
  const hasGuests = machine.regions.some(({ alias }) => alias?.of === region.id);
  return hasGuests ? regionAllocators(machine).get(region.id)!.largest : region;
}

function hostOffset(machine: Machine, region: MemoryRegion): number {
  return hostBase(machine, region) - region.base;
}

/** Often of one kind, so that a CD alone can tell them apart, or a VMID. */
function contextsOf(kinds: readonly ContextKind[], random: Random): ContextKind[] {
  const first = random.pick(kinds);
  const rest = Array.from({ length: CONTEXTS - 1 }, () => (random.chance(50) ? first : random.pick(kinds)));
  return [first, ...rest];
}

function kindsOf(machine: Machine, smmu: number, security: SecurityState): ContextKind[] {
  const { IDR0: idr0, S_IDR1: s_idr1 } = machine.smmus[smmu]!.config.idr;
  const stage1 = get([idr0], IDR0.fields.S1P) === 1;
  const stage2 =
    get([idr0], IDR0.fields.S2P) === 1 &&
    (security === NON_SECURE || get([s_idr1], S_IDR1.fields.SEL2) === 1);
  if (!stage2) return ['stage1'];
  return stage1 && security === NON_SECURE
    ? ['stage1', 'stage2', 'nested', 'nested']
    : stage1
      ? ['stage1']
      : ['stage2'];
}

function stallsOf(
  machine: Machine,
  smmu: number,
  security: SecurityState,
  random: Random,
): Stalls | undefined {
  const { accel, config } = machine.smmus[smmu]!;
  const { idr } = config;
  // An accelerated SMMU's guest is never told of a stall.
  if (accel !== undefined) return undefined;
  const words = [security === SECURE ? idr.S_IDR0 : idr.IDR0];
  const model = get(words, IDR0.fields.STALL_MODEL);
  const devices = machine.devices.filter((device) => device.smmu === smmu).length;
  // A stalled access must get another STAG than the one before it: the checker tells them apart by that.
  if (model === STALL_MODEL.terminate || stallCapacity(idr) < 2 * devices) return undefined;
  const isForced = model === STALL_MODEL.forced;
  return {
    stage1: Array.from({ length: CONTEXTS }, () => isForced || random.chance(50)),
    stage2: isForced || random.chance(50),
    razWi: get([idr.IDR0], IDR0.fields.TERM_MODEL) === 0,
  };
}

function substreamsOf(machine: Machine, smmu: number): number[] {
  const bits = get([machine.smmus[smmu]!.config.idr.IDR1], IDR1.fields.SSIDSIZE);
  return SUBSTREAMS.filter((SubstreamID) => SubstreamID < 0 || (bits > 0 && SubstreamID < 2 ** bits));
}

function granulesOf(machine: Machine, smmu: number): Granule[] {
  const words = [machine.smmus[smmu]!.config.idr.IDR5];
  const has = { '4KiB': IDR5.fields.GRAN4K, '16KiB': IDR5.fields.GRAN16K, '64KiB': IDR5.fields.GRAN64K };
  return (Object.keys(has) as Granule[]).filter((granule) => get(words, has[granule]) === 1);
}
