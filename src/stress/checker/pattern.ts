/**
 * What stands in a page of a stress run. Each line carries, in each of its double-words, who owns the page and where it
 * belongs:
 *
 *     [31:0]    tenure: one mapping of one slot to one frame, or one stay of a frame in the free pool; never used twice
 *     [35:32]   double-word of the line
 *     [39:36]   line of the page
 *     [63:40]   sequence number of the write, 0 for what the software put there
 *
 * A double-word is single-copy atomic. A line is written by one device only, but not atomically: a reader may see the
 * double-words of two writes side by side, and whole lines are only demanded once the writer is known to be done.
 */
import { LINE_BYTES, LINES } from '../plan.js';

export const LINE_WORDS = LINE_BYTES / 4;
const SEQUENCES = 2 ** 24;

/** Bytes from one line of a page to the next. */
export function lineStride(granuleBytes: number): number {
  return granuleBytes / LINES;
}

export function nextSequence(sequence: number): number {
  return (sequence + 1) % SEQUENCES || 1;
}

export function writeLine(words: Int32Array, tenure: number, line: number, sequence: number): void {
  for (let i = 0; i < LINE_WORDS; i += 2) {
    words[i] = tenure;
    words[i + 1] = (sequence << 8) | (line << 4) | (i >>> 1);
  }
}

/** Whether a device wrote a line of a tenure; its first double-word tells. */
export function isWrittenLine(words: Int32Array, tenure: number): boolean {
  return words[0] === tenure && words[1]! >>> 8 !== 0;
}

/** Why a line is not what it should be, or undefined. */
export type LineDefect =
  | { readonly kind: 'foreign'; readonly tenure: number; readonly line: number; readonly sequence: number }
  | { readonly kind: 'torn'; readonly sequences: readonly [number, number] }
  | { readonly kind: 'sequence'; readonly sequence: number };

/**
 * Compares a line with what a tenure may hold there.
 * @param sequence what it must be; undefined: any, -1: any, but the same throughout.
 */
export function lineDefect(
  words: Int32Array,
  tenure: number,
  line: number,
  sequence: number | undefined,
): LineDefect | undefined {
  const first = words[1]! >>> 8;
  for (let i = 0; i < LINE_WORDS; i += 2) {
    const hi = words[i + 1]!;
    if (words[i] !== tenure || (hi & 0xff) !== ((line << 4) | (i >>> 1))) {
      return { kind: 'foreign', tenure: words[i]!, line: (hi >>> 4) & 0xf, sequence: hi >>> 8 };
    }
    if (sequence === undefined) continue;
    if (hi >>> 8 !== first) return { kind: 'torn', sequences: [first, hi >>> 8] };
    if (sequence >= 0 && first !== sequence) return { kind: 'sequence', sequence: first };
  }
  return undefined;
}

export function describeDefect(defect: LineDefect): string {
  switch (defect.kind) {
    case 'foreign':
      return `holds line ${defect.line} of tenure ${defect.tenure}, write ${defect.sequence}`;
    case 'torn':
      return `holds parts of writes ${defect.sequences.join(' and ')}`;
    case 'sequence':
      return `holds write ${defect.sequence}`;
  }
}
