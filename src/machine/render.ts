/** Diagnostics as a compiler prints them: place, code, what is wrong, the line with a caret, and the help. */
import type { Diagnostic } from './diagnostics.js';
import { SourceText } from './source.js';

/** How parts are coloured; the command line decides, this file knows no terminal. */
export interface Palette {
  readonly error: (text: string) => string;
  readonly warning: (text: string) => string;
  readonly help: (text: string) => string;
  readonly place: (text: string) => string;
  readonly source: (text: string) => string;
}

const plain = (text: string): string => text;
export const PLAIN: Palette = { error: plain, warning: plain, help: plain, place: plain, source: plain };

/** @param text the machine file as it was read, for the lines */
export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  text: string,
  palette: Palette = PLAIN,
): string {
  const source = new SourceText(text);
  return diagnostics.map((diagnostic) => renderOne(diagnostic, source, palette)).join('\n');
}

function renderOne(diagnostic: Diagnostic, source: SourceText, palette: Palette): string {
  const { file, line, column, severity, code, message, help } = diagnostic;
  const paint = severity === 'error' ? palette.error : palette.warning;
  const number = String(line);
  const gutter = ' '.repeat(number.length);
  const { text: shown, caret } = excerpt(source.line(line), column);
  return [
    `${palette.place(`${file}:${line}:${column}:`)} ${paint(`${severity}[${code}]:`)} ${printable(message)}`,
    palette.source(` ${number} | ${shown}`),
    `${palette.source(` ${gutter} | `)}${caret}${paint('^')}`,
    `${palette.help('help:')} ${printable(help)}`,
    '',
  ].join('\n');
}

/** What a terminal would obey, or turn the rest of the line around for: no file may do that to its reader. */
function printable(text: string): string {
  return text.replaceAll(/(?!\t)[\p{Cc}\p{Cf}]/gu, '\uFFFD');
}

/** Characters of a line that are shown, and how many of them stand before the place. */
const SHOWN_MAX = 240;
const BEFORE_MAX = 120;

/** The part of a line around a column, and what is as wide as all before it. */
function excerpt(line: string, column: number): { readonly text: string; readonly caret: string } {
  const characters = [...printable(line)];
  const from = characters.length <= SHOWN_MAX ? 0 : Math.max(0, column - 1 - BEFORE_MAX);
  const to = Math.min(characters.length, from + SHOWN_MAX);
  const left = from > 0 ? '…' : '';
  const right = to < characters.length ? '…' : '';
  // Tabs stay tabs, so that the caret stands below in any terminal.
  const before = characters.slice(from, column - 1).map((character) => (character === '\t' ? '\t' : ' '));
  return {
    text: left + characters.slice(from, to).join('') + right,
    caret: ' '.repeat(left.length) + before.join(''),
  };
}
