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
  const sourceLine = source.line(line);
  return [
    `${palette.place(`${file}:${line}:${column}:`)} ${paint(`${severity}[${code}]:`)} ${message}`,
    palette.source(` ${number} | ${sourceLine}`),
    `${palette.source(` ${gutter} | `)}${indent(sourceLine, column)}${paint('^')}`,
    `${palette.help('help:')} ${help}`,
    '',
  ].join('\n');
}

/** As wide as what stands before the column: tabs stay tabs, so that the caret stands below in any terminal. */
function indent(line: string, column: number): string {
  const before = [...line].slice(0, column - 1);
  return before.map((character) => (character === '\t' ? '\t' : ' ')).join('');
}
