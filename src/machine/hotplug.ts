/**
 * The devices of a machine that runs: what is plugged in, or numbered anew, must pass the rules that the machine file passed,
 * and is held against everything that is there at that moment (REQUIREMENTS A19). A refusal leaves all as it was.
 */
import type { Addition, Changes, Renumbering } from './additions.js';
import type { Diagnostic } from './diagnostics.js';
import { type LoadResult, realizeSource } from './load.js';
import type { DeviceInstance, Machine, MachineSource, StreamProgram } from './types.js';

export interface PlugCheck<T> {
  /** Present exactly when nothing is worse than a warning. */
  readonly accepted?: T;
  /** Of the new item alone, with lines and columns in its own text. */
  readonly diagnostics: readonly Diagnostic[];
}

export interface Programmed {
  readonly program: StreamProgram;
  /** It did not come to pass: the device has no such program. */
  readonly undo: () => void;
}

export interface Renumbered {
  readonly devices: readonly DeviceInstance[];
  /** It did not come to pass: the bus has its former number. */
  readonly undo: () => void;
}

export class PluggedDevices {
  readonly #source: MachineSource;
  #additions: readonly (Addition & { readonly device: string })[] = [];
  /** Devices of the file that are not there any more. */
  readonly #removed = new Set<string>();
  /** At most one for each bus. */
  #renumberings: readonly Renumbering[] = [];
  #texts = 0;

  constructor(source: MachineSource) {
    this.#source = source;
  }

  /** @param description an item of `devices`, as the machine file has it. */
  plug(description: string): PlugCheck<DeviceInstance> {
    const { accepted: machine, diagnostics } = this.#add(
      'devices',
      description,
      ({ devices }) => devices.at(-1)!.id,
    );
    return machine === undefined ? { diagnostics } : { accepted: machine.devices.at(-1)!, diagnostics };
  }

  /** @param description an item of `software`, as the machine file has it. */
  program(description: string): PlugCheck<Programmed> {
    const { accepted: machine, diagnostics } = this.#add(
      'software',
      description,
      ({ software }) => software.at(-1)!.device,
    );
    if (machine === undefined) return { diagnostics };
    const addition = this.#additions.at(-1);
    const undo = () => {
      this.#additions = this.#additions.filter((each) => each !== addition);
    };
    return { accepted: { program: machine.software.at(-1)!, undo }, diagnostics };
  }

  /** From now on the device's place, name and StreamID are free, and no software is for it. */
  unplug(id: string): void {
    const wasPlugged = this.#additions.some(({ section, device }) => section === 'devices' && device === id);
    if (!wasPlugged) this.#removed.add(id);
    this.#additions = this.#additions.filter(({ device }) => device !== id);
  }

  /**
   * Software writes a bus's number: `bus-nr` of a root complex, `secondary` of a port.
   * @returns all devices as they then are.
   */
  renumber(bus: string, number: number): PlugCheck<Renumbered> {
    const fileName = `renumber-${++this.#texts}`;
    const former = this.#renumberings;
    const renumberings = [...former.filter((each) => each.bus !== bus), { bus, number, fileName }];
    const { machine, diagnostics } = this.#realize({ renumberings }, fileName);
    if (machine === undefined) return { diagnostics };
    this.#renumberings = renumberings;
    const undo = () => {
      this.#renumberings = former;
    };
    return { accepted: { devices: machine.devices, undo }, diagnostics };
  }

  /** @returns the machine with the new item, which is the last of its section. */
  #add(
    section: Addition['section'],
    text: string,
    deviceOf: (machine: Machine) => string,
  ): PlugCheck<Machine> {
    const fileName = `plug-${++this.#texts}`;
    const addition = { section, text, fileName };
    const { machine, diagnostics } = this.#realize({ additions: [...this.#additions, addition] }, fileName);
    if (machine === undefined) return { diagnostics };
    this.#additions = [...this.#additions, { ...addition, device: deviceOf(machine) }];
    return { accepted: machine, diagnostics };
  }

  /** @param change what is new, from a text of that name: warnings are of that text alone. */
  #realize(change: Partial<Changes>, fileName: string): LoadResult {
    const { diagnostics, ...result } = realizeSource(this.#source, {
      additions: this.#additions,
      removed: this.#removed,
      renumberings: this.#renumberings,
      ...change,
    });
    const own = diagnostics.filter((of) => of.file === fileName || of.severity === 'error');
    return { ...result, diagnostics: own };
  }
}
