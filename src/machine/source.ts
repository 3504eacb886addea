/** The text of a machine file, its lines and columns as an editor counts them. */

const BYTE_ORDER_MARK = '\uFEFF';

export interface Position {
  readonly line: number;
  readonly column: number;
}

export class SourceText {
  /** The text without byte-order mark: offsets count from here. */
  readonly text: string;
  readonly #lineStarts: number[] = [0];

  constructor(text: string) {
    this.text = text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
    for (let at = this.text.indexOf('\n'); at >= 0; at = this.text.indexOf('\n', at + 1)) {
      this.#lineStarts.push(at + 1);
    }
  }

  /** Line and column from 1. A column is a character, so a surrogate pair counts once. */
  position(offset: number): Position {
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#lineStarts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    const before = this.text.slice(this.#lineStarts[low], offset);
    return { line: low + 1, column: [...before].length + 1 };
  }

  /** A line without its end, CRLF or LF. */
  line(line: number): string {
    const start = this.#lineStarts[line - 1];
    if (start === undefined) return '';
    const end = this.text.indexOf('\n', start);
    return this.text.slice(start, end < 0 ? undefined : end).replace(/\r$/, '');
  }
}

/** The texts that a machine is made of: its file, and what was plugged in since. Offsets count through all of them. */
export class Sources {
  readonly #parts: { readonly file: string; readonly start: number; readonly source: SourceText }[] = [];

  /** @returns the offset of its first character. */
  add(file: string, source: SourceText): number {
    const last = this.#parts.at(-1);
    const start = last === undefined ? 0 : last.start + last.source.text.length + 1;
    this.#parts.push({ file, start, source });
    return start;
  }

  locate(offset: number): Position & { readonly file: string } {
    const { file, start, source } = this.#parts.findLast((part) => part.start <= offset)!;
    return { file, ...source.position(offset - start) };
  }
}
