/**
 * The devices behind an accelerated SMMU and the iommufd objects that they are attached to.
 *
 * A device is never attached to the vIOMMU itself but always to a nested HWPT. Two are made with the vIOMMU and serve every
 * device that aborts or bypasses, by GBPA or by its STE; one that translates, or whose STE is in error, has a nested HWPT of
 * its own. vIOMMU and all go with the last device (REQUIREMENTS C1-C17).
 */
import { get } from '../../arch/layout.js';
import { NON_SECURE } from '../../arch/security.js';
import { CONFIG_BYPASS, STE } from '../../arch/structures.js';
import { type CommandWords, cfgiCDAll } from '../../software/commands.js';
import { IommufdError } from '../errors.js';
import type { Invalidated } from '../iommufd.js';
import type { VEvent } from '../veventq.js';
import { ABORT_VSTE, BYPASS_VSTE, reduceSTE, type VSTE } from '../vste.js';
import type { GuestStream } from './guest-streams.js';
import type { VfioCore, VfioDevice } from './vfio-core.js';

/** Why a device could not be put behind an accelerated SMMU. */
export class BindError extends Error {
  override readonly name = 'BindError';
}

/** What a VMM traces. */
export interface AccelObserver {
  bound?(devfn: number, devID: number): void;
  unbound?(devfn: number, devID: number): void;
  /** Something failed that the guest cannot be told. */
  error?(message: string): void;
}

/** What the guest's registers and Stream table say, as devices follow them. */
export interface GuestControls {
  /** CR0.SMMUEN: STEs decide; else GBPA does. */
  readonly translating: boolean;
  /** GBPA.ABORT. */
  readonly gbpaAborts: boolean;
  /** The STE of a stream, now. */
  read(StreamID: number): GuestStream;
}

interface Objects {
  readonly viommu: number;
  readonly abort: number;
  readonly bypass: number;
  events: number | undefined;
}

/** A device of the guest's and where it stands. */
interface Bound {
  devfn: number;
  readonly vfio: VfioDevice;
  /** Undefined until software has given the bus a number. */
  StreamID: number | undefined;
  vdevice: number | undefined;
  /** A nested HWPT of its own. */
  nested: number | undefined;
  /** The record that its accesses cause: an error of the guest's Stream table. */
  failure: Int32Array | undefined;
}

/** What a device is to be attached to. */
type Target =
  | { readonly kind: 'abort' | 'bypass' }
  | { readonly kind: 'own'; readonly vste: VSTE; readonly failure?: Int32Array };

const INVALID_VSTE: VSTE = new Uint32Array(4);

export interface GuestDevicesOptions {
  /** The SMMU's name, for messages. */
  readonly smmu: string;
  readonly core: VfioCore;
  readonly observer: AccelObserver;
  readonly controls: GuestControls;
  /** Whether the guest's SMMU has substreams. */
  readonly substreams: boolean;
  /** Entries of the vEVENTQ. */
  readonly eventDepth: number;
}

export class GuestDevices {
  readonly #options: GuestDevicesOptions;
  readonly #bound = new Map<number, Bound>();
  #objects: Objects | undefined;

  constructor(options: GuestDevicesOptions) {
    this.#options = options;
  }

  /**
   * Puts a device at a function of the guest's bus.
   * @param vfio undefined for an endpoint without a host device: nothing to do.
   * @throws BindError; nothing is kept then.
   */
  bind(devfn: number, vfio: VfioDevice | undefined, StreamID: number | undefined): void {
    if (vfio === undefined) return;
    const there = this.#bound.get(devfn);
    if (there?.vfio === vfio) return;
    if (there !== undefined)
      throw new BindError(`${this.#name(devfn)} has device ${there.vfio.devID} already`);
    try {
      if (this.#objects === undefined) this.#objects = this.#allocate(vfio);
      else this.#iommufd.attach(vfio.devID, this.#gbpaObject(this.#objects));
    } catch (error) {
      throw new BindError(`${this.#name(devfn)}: ${messageOf(error)}`);
    }
    const bound: Bound = { devfn, vfio, StreamID, vdevice: undefined, nested: undefined, failure: undefined };
    this.#bound.set(devfn, bound);
    this.#options.observer.bound?.(devfn, vfio.devID);
    if (this.#options.controls.translating) this.#follow(bound);
  }

  /** Takes a device away; it is attached to the nesting parent again. No-op for a function that has none. */
  unbind(devfn: number): void {
    const bound = this.#bound.get(devfn);
    if (bound === undefined) return;
    const { devID, s2Hwpt } = bound.vfio;
    try {
      this.#iommufd.attach(devID, s2Hwpt);
    } catch (error) {
      this.#report(bound, 'cannot be attached to the nesting parent and is blocked', error);
      this.#iommufd.detach(devID);
    }
    this.#bound.delete(devfn);
    this.#destroy(bound.nested, bound.vdevice);
    this.#options.observer.unbound?.(devfn, devID);
    if (this.#bound.size > 0) return;
    const { viommu, abort, bypass, events } = this.#objects!;
    this.#destroy(events, bypass, abort, viommu);
    this.#objects = undefined;
  }

  /** Software has numbered the bus anew: the function's accesses arrive under another StreamID, or none yet. */
  renumber(devfn: number, StreamID: number | undefined, to: number): void {
    const bound = this.#bound.get(devfn);
    if (bound === undefined) return;
    this.#bound.delete(devfn);
    this.#bound.set(to, bound);
    bound.devfn = to;
    if (bound.StreamID === StreamID) return;
    // Between the two it aborts: a vDEVICE cannot be renamed.
    bound.StreamID = undefined;
    this.#follow(bound);
    this.#destroy(bound.vdevice);
    bound.vdevice = undefined;
    bound.StreamID = StreamID;
    this.#follow(bound);
  }

  /** Attaches every device to what the registers say now. All are tried, whatever becomes of one. */
  followAll(): void {
    for (const bound of this.#bound.values()) this.#follow(bound);
  }

  /** Attaches the devices with these StreamIDs to what their STEs say now. */
  followStreams(first: number, last: number): void {
    for (const bound of this.#bound.values()) {
      if (bound.StreamID !== undefined && bound.StreamID >= first && bound.StreamID <= last)
        this.#follow(bound);
    }
  }

  /** Whether something may be cached for a StreamID. */
  has(StreamID: number): boolean {
    return [...this.#bound.values()].some(
      (bound) => bound.StreamID === StreamID && bound.vdevice !== undefined,
    );
  }

  invalidate(commands: readonly CommandWords[]): Invalidated {
    if (this.#objects === undefined) return { handled: commands.length };
    return this.#iommufd.invalidate(this.#objects.viommu, commands);
  }

  /** Waits until the physical SMMU has done all that it was told, and its events are there. */
  settle(): void {
    if (this.#objects !== undefined) this.#iommufd.settle(this.#objects.viommu);
  }

  takeEvents(): VEvent[] {
    return this.#objects === undefined ? [] : this.#iommufd.readEvents(this.#objects.viommu);
  }

  /** The record that the guest is to see where the physical SMMU found no valid STE. */
  failureOf(StreamID: number): Int32Array | undefined {
    return [...this.#bound.values()].find((bound) => bound.StreamID === StreamID)?.failure;
  }

  get #iommufd() {
    return this.#options.core.iommufd;
  }

  /** On failure the device aborts: the old attachment is what the guest has taken away. */
  #follow(bound: Bound): void {
    const objects = this.#objects!;
    const { devID } = bound.vfio;
    const old = bound.nested;
    bound.failure = undefined;
    try {
      bound.nested = this.#attach(bound, objects);
    } catch (error) {
      this.#report(bound, 'aborts, for it cannot be attached', error);
      bound.nested = undefined;
      this.#failClosed(devID, objects);
    }
    this.#destroy(old);
  }

  /** @returns the device's own nested HWPT, if it has one. */
  #attach(bound: Bound, objects: Objects): number | undefined {
    const { vfio, StreamID } = bound;
    const target = this.#target(bound, objects);
    if (target.kind !== 'own') {
      this.#iommufd.attach(vfio.devID, objects[target.kind]);
      return undefined;
    }
    const nested = this.#iommufd.allocNestedHwpt(objects.viommu, target.vste);
    try {
      this.#iommufd.attach(vfio.devID, nested);
    } catch (error) {
      this.#destroy(nested);
      throw error;
    }
    bound.failure = target.failure;
    // CMD_CFGI_STE takes the CDs along (4.3.1), and the physical STE may still be the one that it was.
    this.invalidate([cfgiCDAll(StreamID!, NON_SECURE)]);
    return nested;
  }

  #target(bound: Bound, objects: Objects): Target {
    const { controls, substreams } = this.#options;
    if (!controls.translating) return { kind: controls.gbpaAborts ? 'abort' : 'bypass' };
    if (bound.StreamID === undefined) return { kind: 'abort' };
    this.#ensureVDevice(bound, objects, bound.StreamID);
    const stream = controls.read(bound.StreamID);
    if (stream.kind === 'silent') return { kind: 'abort' };
    if (stream.kind === 'error') return { kind: 'own', vste: INVALID_VSTE, failure: stream.record };
    if (get(stream.words, STE.fields.Config) === CONFIG_BYPASS) return { kind: 'bypass' };
    return { kind: 'own', vste: reduceSTE(stream.words, substreams) };
  }

  #failClosed(devID: number, { abort }: Objects): void {
    try {
      this.#iommufd.attach(devID, abort);
    } catch (error) {
      messageOf(error);
      this.#iommufd.detach(devID);
    }
  }

  /** The vIOMMU and its two objects, abort first, and the first device attached to one of them; or nothing. */
  #allocate({ devID, s2Hwpt }: VfioDevice): Objects {
    const iommufd = this.#iommufd;
    const made: number[] = [];
    const keep = (id: number) => {
      made.unshift(id);
      return id;
    };
    try {
      const viommu = keep(iommufd.allocVIommu(devID, s2Hwpt));
      const abort = keep(iommufd.allocNestedHwpt(viommu, ABORT_VSTE));
      const bypass = keep(iommufd.allocNestedHwpt(viommu, BYPASS_VSTE));
      const objects: Objects = { viommu, abort, bypass, events: undefined };
      iommufd.attach(devID, this.#gbpaObject(objects));
      return objects;
    } catch (error) {
      this.#destroy(...made);
      if (made.length > 0) throw error;
      throw new BindError(`${messageOf(error)} (hint: no vIOMMU for device ${devID})`);
    }
  }

  #gbpaObject({ abort, bypass }: Objects): number {
    return this.#options.controls.gbpaAborts ? abort : bypass;
  }

  #ensureVDevice(bound: Bound, objects: Objects, StreamID: number): void {
    objects.events ??= this.#iommufd.allocVEventQueue(objects.viommu, this.#options.eventDepth);
    bound.vdevice ??= this.#iommufd.allocVDevice(bound.vfio.devID, objects.viommu, StreamID);
  }

  #destroy(...ids: readonly (number | undefined)[]): void {
    for (const id of ids) if (id !== undefined) this.#iommufd.destroy(id);
  }

  #report({ devfn, vfio }: Bound, what: string, error: unknown): void {
    this.#options.observer.error?.(`${this.#name(devfn)}: device ${vfio.devID} ${what}: ${messageOf(error)}`);
  }

  #name(devfn: number): string {
    return `${this.#options.smmu}, function 0x${devfn.toString(16)}`;
  }
}

/** What an expected failure says; any other is ours. */
function messageOf(error: unknown): string {
  if (error instanceof IommufdError || error instanceof BindError) return error.message;
  throw error;
}
