/**
 * Devices that come and go while the machine runs (REQUIREMENTS A19), or change their StreamIDs with the number of their bus.
 * What is plugged in or renumbered passes the rules of the machine file; what is unplugged or renumbered is quiesced first.
 * A refusal changes nothing, and the machine goes on.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Diagnostic } from '../machine/diagnostics.js';
import { PluggedDevices } from '../machine/hotplug.js';
import type { DeviceInstance, Machine, StreamProgram, WorkloadStep } from '../machine/types.js';
import { Presence } from './shared/presence.js';
import { type MachineView, PLUGGED_DEVICES } from './shared/shared-machine.js';
import { Signal } from './shared/signal.js';
import type { DeviceResult, DeviceWork } from './threads/dma-lane.js';
import type { PluggedLaneTask } from './threads/plugged-lane.js';
import type { DeviceMove } from './threads/smmu-api.js';
import type { PlacedMapping, StreamOutcome } from './threads/software-thread.js';
import type { Supervisor } from './threads/supervisor.js';

/** What was asked cannot be done with this device now; the message says why. The machine is as it was. */
export class PlugError extends Error {
  override readonly name = 'PlugError';
}

export interface PlugResult {
  /** Absent when the device was refused. */
  readonly device?: DeviceInstance;
  /** Of the description, with places in its own text; errors exactly when the device was refused. */
  readonly diagnostics: readonly Diagnostic[];
}

export interface ProgramResult {
  /** Where they went. Absent when the program was refused. */
  readonly mappings?: readonly PlacedMapping[];
  /** As of a device that is plugged in. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Starts the thread of the plugged devices; resolves when it has ended. */
export type StartPluggedLane = (task: Omit<PluggedLaneTask, 'shared'>) => Promise<void>;

export interface RenumberResult {
  /** Those on the bus, as they are now. Absent when the number was refused. */
  readonly devices?: readonly DeviceInstance[];
  /** As of a device that is plugged in; the text is the number. */
  readonly diagnostics: readonly Diagnostic[];
}

const DOES_DMA = 'it does DMA';

interface Place {
  device: DeviceInstance;
  /** In the control memory. */
  readonly index: number;
  readonly presence: Presence;
  /** What is being done with the device; it can do nothing else meanwhile. */
  occupation?: string;
  /** The DMA under way. */
  work?: Promise<DeviceResult>;
}

export class Hotplug {
  readonly #rules: PluggedDevices;
  readonly #view: MachineView;
  readonly #supervisor: Supervisor;
  readonly #startLane: StartPluggedLane;
  readonly #places = new Map<string, Place>();
  /** Places for devices that the machine file does not have. */
  readonly #free: number[];
  readonly #results = new Map<number, (result: DeviceResult) => void>();
  #port: MessagePort | undefined;
  #changed = false;
  /** StreamIDs that devices of the machine file were given since, by SMMU: what theirs are in the file. */
  readonly #given = new Map<string, number>();
  /** The bus that is being renumbered. */
  #renumbering: string | undefined;

  constructor(machine: Machine, view: MachineView, supervisor: Supervisor, startLane: StartPluggedLane) {
    this.#rules = new PluggedDevices(machine.source);
    this.#view = view;
    this.#supervisor = supervisor;
    this.#startLane = startLane;
    for (const [index, device] of machine.devices.entries()) this.#seat(device, index);
    this.#free = Array.from({ length: PLUGGED_DEVICES }, (_, i) => machine.devices.length + i);
  }

  /** The devices that are there now. */
  get devices(): DeviceInstance[] {
    return [...this.#places.values()].map(({ device }) => device);
  }

  /**
   * Whether devices or streams are not, or may not be, what the machine file makes of them: once it is so it stays so, also when
   * a change has been taken back, since software's allocations have gone another way.
   */
  get changed(): boolean {
    return this.#changed;
  }

  /**
   * @param passThrough gives a device of the host to its guest; told why that cannot be, nobody has plugged anything in.
   * @throws PlugError when no more devices can be plugged in, or the host refuses.
   */
  async plug(
    description: string,
    passThrough: (device: DeviceInstance) => Promise<string | undefined>,
  ): Promise<PlugResult> {
    this.#refuseWhileRenumbering();
    if (this.#free.length === 0)
      throw new PlugError(`${PLUGGED_DEVICES} devices are plugged in already: unplug one first`);
    const { accepted: device, diagnostics } = this.#rules.plug(description);
    if (device === undefined) return { diagnostics };
    const place = this.#seat(device, this.#free.shift()!);
    if (device.host !== undefined) {
      const refusal = await this.#occupied(place, 'it is being passed through', passThrough(device));
      if (refusal !== undefined) {
        this.#unseat(place);
        throw new PlugError(`device '${device.id}': ${refusal}`);
      }
    }
    place.presence.arrive();
    this.#changed = true;
    return { device, diagnostics };
  }

  /**
   * @param make what software does for a device's stream, once the rules of the machine file have accepted it.
   * @throws PlugError when the device is busy, or software cannot do it; the rules know of no program then.
   */
  async program(
    description: string,
    make: (device: DeviceInstance, program: StreamProgram) => Promise<StreamOutcome>,
  ): Promise<ProgramResult> {
    const { accepted, diagnostics } = this.#rules.program(description);
    if (accepted === undefined) return { diagnostics };
    const { program, undo } = accepted;
    try {
      const place = this.#idle(program.device);
      this.#changed = true;
      const programmed = make(place.device, program);
      const outcome = await this.#occupied(place, 'its stream is being programmed', programmed);
      if ('failed' in outcome) throw new PlugError(`device '${program.device}': ${outcome.failed}`);
      return { mappings: outcome.mappings, diagnostics };
    } catch (error) {
      undo();
      throw error;
    }
  }

  /**
   * Has a device do DMA, beside whatever others do.
   * @returns what came of it, also when the device is unplugged or the machine stops before it is done.
   * @throws PlugError
   */
  async run(id: string, steps: readonly WorkloadStep[]): Promise<DeviceResult> {
    const place = this.#idle(id);
    if (place.presence.busy) throw new PlugError(`device '${id}' is busy: ${DOES_DMA}`);
    place.work = this.#work({ device: place.index, plugged: place.device, steps });
    return await this.#occupied(place, DOES_DMA, place.work);
  }

  /**
   * Takes a device out once it has come to rest.
   * @param end what software and host do then, before the place is free.
   * @throws PlugError
   */
  async unplug(id: string, end: (device: DeviceInstance) => Promise<void>): Promise<void> {
    const place = this.#findOwn(id);
    refuseOccupied(place);
    this.#changed = true;
    place.occupation = 'it is being unplugged';
    const work = place.work;
    delete place.work;
    await place.presence.depart(this.#supervisor);
    await work;
    await end(place.device);
    this.#unseat(place);
  }

  /**
   * Gives a bus another number. Its devices come to rest, have new Requester IDs and StreamIDs, and go on with what they did.
   * @param move what software and hosts do in between; told why that cannot be, all is as it was.
   * @throws PlugError
   */
  async renumber(
    bus: string,
    number: number,
    move: (moves: readonly DeviceMove[]) => Promise<string | undefined>,
  ): Promise<RenumberResult> {
    this.#refuseWhileRenumbering();
    const { accepted, diagnostics } = this.#rules.renumber(bus, number);
    if (accepted === undefined) return { diagnostics };
    this.#renumbering = bus;
    try {
      const moves = this.#moves(accepted.devices);
      this.#changed = true;
      const refusal = await this.#atRest(moves, () => move(moves));
      if (refusal !== undefined) throw new PlugError(`bus '${bus}': ${refusal}`);
      return { devices: moves.map(({ to }) => to), diagnostics };
    } catch (error) {
      accepted.undo();
      throw error;
    } finally {
      this.#renumbering = undefined;
    }
  }

  close(): void {
    this.#port?.close();
  }

  #seat(device: DeviceInstance, index: number): Place {
    const place: Place = { device, index, presence: new Presence(this.#view.control, index) };
    assign(place, device);
    this.#places.set(device.id, place);
    return place;
  }

  #unseat({ device: { id }, index }: Place): void {
    this.#places.delete(id);
    this.#rules.unplug(id);
    if (index >= this.#view.machine.devices.length) this.#free.push(index);
  }

  /** The devices that a new number changes. @throws PlugError when one of them cannot follow. */
  #moves(devices: readonly DeviceInstance[]): DeviceMove[] {
    const changed = devices.map((to) => ({ from: this.#find(to.id).device, to }));
    const moves = changed.filter(({ from, to }) => from.requesterID !== to.requesterID);
    for (const { from, to } of moves) {
      refuseOccupied(this.#findOwn(from.id));
      if (from.smmu !== to.smmu) throw new PlugError(`device '${from.id}' would be behind another SMMU`);
    }
    return moves;
  }

  /** @param move without a refusal, devices go on as what they are to be. */
  async #atRest(
    moves: readonly DeviceMove[],
    move: () => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const places = moves.map(({ from }) => this.#places.get(from.id)!);
    for (const place of places) place.occupation = 'its bus is being renumbered';
    try {
      await Promise.all(places.map(({ presence }) => presence.hold(this.#supervisor)));
      const refusal = await move();
      if (refusal === undefined)
        for (const [index, { to }] of moves.entries()) this.#give(places[index]!, to);
      return refusal;
    } finally {
      for (const place of places) goOn(place);
    }
  }

  #give(place: Place, device: DeviceInstance): void {
    assign(place, device);
    const original = this.#view.machine.devices[place.index];
    if (original !== undefined) this.#given.set(`${device.smmu}/${device.StreamID}`, original.StreamID);
  }

  /** The StreamID that the machine file gives the device of an event record; as it is, where the file knows the record's. */
  originalStreamID(smmu: number, StreamID: number): number {
    const isOriginal = this.#view.machine.devices.some(
      (device) => device.smmu === smmu && device.StreamID === StreamID,
    );
    return isOriginal ? StreamID : (this.#given.get(`${smmu}/${StreamID}`) ?? StreamID);
  }

  #refuseWhileRenumbering(): void {
    if (this.#renumbering !== undefined)
      throw new PlugError(`bus '${this.#renumbering}' is being renumbered`);
  }

  #find(id: string): Place {
    const place = this.#places.get(id);
    if (place !== undefined) return place;
    const known = [...this.#places.keys()].join(', ');
    throw new PlugError(`no device is called '${id}'; there is ${known === '' ? 'none' : known}`);
  }

  /** A device that no guest has. */
  #findOwn(id: string): Place {
    const place = this.#find(id);
    for (const { device } of this.#places.values()) {
      if (device.host?.id === id)
        throw new PlugError(`device '${id}' is a guest's: there it is '${device.id}'`);
    }
    return place;
  }

  /** A device that is there and free. @throws PlugError */
  #idle(id: string): Place {
    const place = this.#findOwn(id);
    if (place.occupation !== undefined) throw busy(id, place.occupation);
    return place;
  }

  /** Keeps a device from everything else while something is done with it. */
  async #occupied<T>(place: Place, occupation: string, work: Promise<T>): Promise<T> {
    place.occupation = occupation;
    try {
      return await work;
    } finally {
      if (place.occupation === occupation) delete place.occupation;
      if (place.work === (work as Promise<unknown>)) delete place.work;
    }
  }

  #work(work: DeviceWork): Promise<DeviceResult> {
    const { control } = this.#view;
    const result = new Promise<DeviceResult>((resolve) => this.#results.set(work.device, resolve));
    this.#lane().postMessage(work);
    new Signal(control.words, control.offsets.plugged).raise();
    return this.#supervisor.guard(result);
  }

  #lane(): MessagePort {
    if (this.#port !== undefined) return this.#port;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.on('message', (result: DeviceResult) => {
      const resolve = this.#results.get(result.device);
      this.#results.delete(result.device);
      resolve?.(result);
    });
    void this.#startLane({ lane: this.#view.shared.shape.lanes - 1, port: port2 });
    return port1;
  }
}

/** Has a device's accesses arrive under the StreamID that it has: who is passed through, under that of the host's device. */
function assign(place: Place, device: DeviceInstance): void {
  place.device = device;
  place.presence.StreamID = (device.host ?? device).StreamID;
}

/** After its bus was renumbered. */
function goOn(place: Place): void {
  place.presence.release();
  if (place.work === undefined) delete place.occupation;
  else place.occupation = DOES_DMA;
}

/** DMA ends, or rests, when something else is to be done with a device; nothing else does. */
function refuseOccupied({ device, occupation }: Place): void {
  if (occupation !== undefined && occupation !== DOES_DMA) throw busy(device.id, occupation);
}

function busy(id: string, occupation: string): PlugError {
  return new PlugError(`device '${id}' is busy: ${occupation}`);
}
