/**
 * Devices that read through a TBU, whole: one for each stream of the dense stage 1 tables.
 */

import { BYTES_UNLOOKED } from '../src/devices/dma-master.js';
import type { MachineView } from '../src/runtime/shared/shared-machine.js';
import { BATCH_TRANSACTIONS } from '../src/runtime/shared/tbu-guard.js';
import { TranslatedPort } from '../src/runtime/threads/access-port.js';
import type { LaneTbu } from '../src/runtime/threads/lane-tbu.js';
import { type AccessList, firstStream, STREAMS_PER_KIND } from './guest.js';

export class Readers {
  readonly #ports: readonly TranslatedPort[];
  readonly #buffer: Uint8Array;
  readonly #tbu: LaneTbu;

  constructor(view: MachineView, tbu: LaneTbu) {
    const device = view.machine.devices[0]!;
    this.#ports = Array.from(
      { length: STREAMS_PER_KIND },
      (_, i) => new TranslatedPort({ ...device, StreamID: firstStream('stage 1') + i }, tbu),
    );
    this.#buffer = view.memory.bounce;
    this.#tbu = tbu;
  }

  /** @returns how many reads failed. */
  read({ streams, lo, hi }: AccessList, first: number, end: number, bytes: number): number {
    let failed = 0;
    for (let i = first; i < end; i++) {
      failed += this.#ports[streams[i]!]!.read(lo[i]!, hi[i]!, this.#buffer, 0, bytes);
    }
    return failed;
  }

  /**
   * A batch as a DMA thread makes it, of 64 bytes each.
   * @returns how many reads it had.
   */
  batch({ streams, lo, hi }: AccessList, first: number): number {
    this.#tbu.begin();
    let done = 0;
    let unlooked = 0;
    while (done < BATCH_TRANSACTIONS) {
      const i = first + done;
      const port = this.#ports[streams[i]!]!;
      port.read(lo[i]!, hi[i]!, this.#buffer, 0, 64);
      done++;
      unlooked += 64;
      if (unlooked < BYTES_UNLOOKED) continue;
      if (port.isAwaited) break;
      unlooked = 0;
    }
    this.#tbu.end();
    return done;
  }
}
