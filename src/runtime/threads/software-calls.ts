/**
 * What the coordinator asks of the software thread: it boots, it consumes events until the end, and in between it is called
 * away to program or end the stream of a device that comes or goes, or to let it go on under another StreamID.
 */
import type { DeviceInstance, Machine, StreamProgram } from '../../machine/types.js';
import { PlugError } from '../hotplug.js';
import type { MachineView, SharedMachine } from '../shared/shared-machine.js';
import { Signal } from '../shared/signal.js';
import type { DeviceMove } from './smmu-api.js';
import type {
  DrainedEvents,
  PlacedMapping,
  SoftwareState,
  StreamOutcome,
  StreamTask,
} from './software-thread.js';

type RunSoftware = <Result>(name: string, task: unknown) => Promise<Result>;

export class SoftwareCalls {
  readonly #view: MachineView;
  readonly #run: RunSoftware;
  /** Devices whose streams the software has programmed. */
  readonly #programmed = new Set<string>();
  readonly #fromFile: readonly string[];
  #booted = false;

  constructor(machine: Machine, view: MachineView, run: RunSoftware) {
    this.#view = view;
    this.#run = run;
    this.#fromFile = machine.software.map(({ device }) => device);
  }

  async boot(shared: SharedMachine): Promise<PlacedMapping[]> {
    const mappings = await this.#run<PlacedMapping[]>('bootSoftware', shared);
    this.#hasBooted();
    return mappings;
  }

  async restore(shared: SharedMachine, state: SoftwareState): Promise<readonly PlacedMapping[]> {
    const mappings = await this.#run<readonly PlacedMapping[]>('restoreSoftware', { shared, state });
    this.#hasBooted();
    return mappings;
  }

  /** Until the machine stops or pauses. */
  async consume(): Promise<void> {
    while (!(await this.#run<boolean>('consumeEvents', undefined)));
  }

  conclude(): Promise<DrainedEvents> {
    return this.#run('concludeSoftware', undefined);
  }

  save(): Promise<SoftwareState> {
    return this.#run('saveSoftware', undefined);
  }

  /** @throws PlugError when there is no software that could program a stream. */
  refuseUnbooted(): void {
    if (!this.#booted) throw new PlugError("the machine's software has not booted");
  }

  async programStream(device: DeviceInstance, program: StreamProgram): Promise<StreamOutcome> {
    const outcome = await this.#call<StreamOutcome>('programStream', { device, program });
    if ('mappings' in outcome) this.#programmed.add(device.id);
    return outcome;
  }

  async endStream(device: DeviceInstance): Promise<void> {
    if (this.#programmed.delete(device.id)) await this.#call<void>('endStream', { device });
  }

  /** @returns why the software cannot do it; all is then as it was. */
  async renumberStreams(moves: readonly DeviceMove[]): Promise<string | undefined> {
    const own = moves.filter(({ from }) => this.#programmed.has(from.id));
    return own.length === 0 ? undefined : await this.#call('renumberStreams', own);
  }

  #hasBooted(): void {
    this.#booted = true;
    for (const device of this.#fromFile) this.#programmed.add(device);
  }

  /** The software thread leaves its consumer's loop for the task, and takes the loop up again afterwards. */
  #call<Result>(name: string, task: StreamTask | readonly DeviceMove[]): Promise<Result> {
    const { words, offsets } = this.#view.control;
    Atomics.add(words, offsets.softwareCalls, 1);
    new Signal(words, offsets.interrupt).raise();
    return this.#run(name, task);
  }
}
