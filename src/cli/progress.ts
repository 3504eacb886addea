/**
 * A run as it goes: one line per phase, and on a terminal one that keeps changing while DMA is under way.
 */
import type { RunProgress } from '../runtime/report.js';
import { say } from './terminal.js';

const PHASES: Readonly<Record<RunProgress['phase'], string>> = {
  boot: 'boot: software programs the SMMUs',
  dma: 'dma: devices work through their streams',
  verify: 'verify: memory is compared with what the devices must have left there',
};

const ERASE_LINE = '\r\u001b[K';

function progressLine({ accesses, bytes, aborts, devicesDone, devices }: RunProgress): string {
  const mebibytes = (bytes / 2 ** 20).toFixed(1);
  return `  ${devicesDone} of ${devices} devices done, ${accesses} accesses, ${mebibytes} MiB, ${aborts} aborts`;
}

export class ProgressPrinter {
  #phase: RunProgress['phase'] | undefined;

  show(progress: RunProgress): void {
    this.clear();
    if (progress.phase !== this.#phase) {
      this.#phase = progress.phase;
      say(PHASES[progress.phase]);
    }
    if (process.stderr.isTTY && progress.phase === 'dma') process.stderr.write(progressLine(progress));
  }

  /** Takes the changing line away, before something else is printed. */
  clear(): void {
    if (process.stderr.isTTY && this.#phase === 'dma') process.stderr.write(ERASE_LINE);
  }
}
