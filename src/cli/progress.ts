/**
 * A run as it goes: one line per phase, and on a terminal one that keeps changing while DMA is under way.
 */
import type { RunProgress } from '../runtime/report.js';
import { say } from './terminal.js';

/** In the order in which they come. */
const PHASES: readonly { readonly phase: RunProgress['phase']; readonly line: string }[] = [
  { phase: 'boot', line: 'boot: software programs the SMMUs' },
  { phase: 'dma', line: 'dma: devices work through their streams' },
  { phase: 'verify', line: 'verify: memory is compared with what the devices must have left there' },
];

const ERASE_LINE = '\r\u001b[K';

function progressLine({ accesses, bytes, aborts, devicesDone, devices }: RunProgress): string {
  const mebibytes = (bytes / 2 ** 20).toFixed(1);
  return `  ${devicesDone} of ${devices} devices done, ${accesses} accesses, ${mebibytes} MiB, ${aborts} aborts`;
}

export class ProgressPrinter {
  #announced = 0;
  #changing = false;

  show(progress: RunProgress): void {
    this.clear();
    const current = PHASES.findIndex(({ phase }) => phase === progress.phase);
    // A phase may be over before anybody asks for progress; it is told all the same.
    for (; this.#announced <= current; this.#announced++) say(PHASES[this.#announced]!.line);
    if (!process.stderr.isTTY || progress.phase !== 'dma') return;
    process.stderr.write(progressLine(progress));
    this.#changing = true;
  }

  /** Takes the changing line away, before something else is printed. */
  clear(): void {
    if (this.#changing) process.stderr.write(ERASE_LINE);
    this.#changing = false;
  }
}
