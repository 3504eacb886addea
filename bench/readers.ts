/**
 * Devices that read through a TBU, whole: one for each stream of the dense stage 1 tables.
 */

import type { MachineView } from '../src/runtime/shared/shared-machine.js';
import { TranslatedPort } from '../src/runtime/threads/access-port.js';
import type { LaneTbu } from '../src/runtime/threads/lane-tbu.js';
import { type AccessList, firstStream, STREAMS_PER_KIND } from './guest.js';

export class Readers {
  readonly #ports: readonly TranslatedPort[];
  readonly #buffer: Uint8Array;

  constructor(view: MachineView, { tbu, spaces }: LaneTbu) {
    const device = view.machine.devices[0]!;
    this.#ports = Array.from(
      { length: STREAMS_PER_KIND },
      (_, i) => new TranslatedPort({ ...device, StreamID: firstStream('stage 1') + i }, tbu, spaces),
    );
    this.#buffer = view.memory.bounce;
  }

  /** @returns how many reads failed. */
  read({ streams, lo, hi }: AccessList, first: number, end: number, bytes: number): number {
    let failed = 0;
    for (let i = first; i < end; i++) {
      failed += this.#ports[streams[i]!]!.read(lo[i]!, hi[i]!, this.#buffer, 0, bytes);
    }
    return failed;
  }
}
