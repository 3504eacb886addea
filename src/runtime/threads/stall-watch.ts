/** A device's stalled access, as its DMA thread sees it: how long it has waited, and when to give it up. */

/** How long a device waits with one stalled access before it gives up: nobody will resume it. */
const LIMIT_MS = 10_000;

export interface StalledAccess {
  readonly step: number;
  readonly iova: bigint;
  readonly waitedMs: number;
}

export class StallWatch {
  /** The access that was given up. */
  abandoned: StalledAccess | undefined;
  readonly #limitMs: number;
  /** Since when; undefined while nothing is stalled. */
  #since: number | undefined;

  constructor(limitMs = LIMIT_MS) {
    this.#limitMs = limitMs;
  }

  /**
   * After each batch.
   * @param iova input address of the stalled access, or undefined where none is.
   * @param moved whether the device got on before it stalled.
   */
  look(iova: bigint | undefined, step: number, moved: boolean): void {
    if (iova === undefined) this.#since = undefined;
    else if (this.#since === undefined || moved) this.#since = performance.now();
    else {
      const waitedMs = performance.now() - this.#since;
      if (waitedMs > this.#limitMs) this.abandoned = { step, iova, waitedMs };
    }
  }
}

export function describeStalled({ iova, waitedMs }: StalledAccess): string {
  const waited = Math.round(waitedMs / 100) / 10;
  return `the access at 0x${iova.toString(16)} is stalled, and nobody has resumed it within ${waited} s`;
}
