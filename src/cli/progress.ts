/**
 * A run as it goes: one line per phase, and on a terminal one that keeps changing while DMA is under way.
 */
import type { RunProgress } from '../runtime/report/report.js';
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

/** A line on a terminal that is written over and over; nothing anywhere else. */
export class ChangingLine {
  readonly #isShown: boolean;
  #isThere = false;

  constructor(isWanted = true) {
    this.#isShown = isWanted && process.stderr.isTTY === true;
  }

  show(text: string): void {
    if (!this.#isShown) return;
    // What is wider than the terminal would leave a piece behind.
    process.stderr.write(ERASE_LINE + text.slice(0, process.stderr.columns - 1));
    this.#isThere = true;
  }

  /** Takes the line away, before something else is printed. */
  clear(): void {
    if (this.#isThere) process.stderr.write(ERASE_LINE);
    this.#isThere = false;
  }
}

export class ProgressPrinter {
  readonly #line = new ChangingLine();
  #announced: number;

  /** @param first the phase that a run begins with: one that goes on from a snapshot has been booted. */
  constructor(first: RunProgress['phase'] = 'boot') {
    this.#announced = PHASES.findIndex(({ phase }) => phase === first);
  }

  show(progress: RunProgress): void {
    const current = PHASES.findIndex(({ phase }) => phase === progress.phase);
    // A phase may be over before anybody asks for progress; it is told all the same.
    for (; this.#announced <= current; this.#announced++) {
      this.#line.clear();
      say(PHASES[this.#announced]!.line);
    }
    if (progress.phase === 'dma') this.#line.show(progressLine(progress));
    else this.#line.clear();
  }

  clear(): void {
    this.#line.clear();
  }
}
