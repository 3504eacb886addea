/** One DMA thread's devices, in turns of one batch each: they share its TBUs (runtime/threads/dma-lane.ts). */
import type { Actor, Progress } from './actor.js';
import type { DmaActor } from './dma-actor.js';

export class LaneActor implements Actor {
  readonly name: string;
  readonly #devices: readonly DmaActor[];
  #turn = 0;

  constructor(name: string, devices: readonly DmaActor[]) {
    this.name = name;
    this.#devices = devices;
  }

  get operations(): number {
    return this.#devices.reduce((sum, device) => sum + device.operations, 0);
  }

  get atRest(): boolean {
    return this.#devices.every((device) => device.atRest);
  }

  stop(): void {
    for (const device of this.#devices) device.stop();
  }

  step(): Progress {
    const device = this.#devices[this.#turn]!;
    const progress = device.step();
    if (!device.inBatch) this.#turn = (this.#turn + 1) % this.#devices.length;
    return progress;
  }
}
