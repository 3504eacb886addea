/**
 * Diagnostics as a compiler prints them: place, code and message, the line with a caret under the value, the help.
 */
import type { Diagnostic } from '../machine/diagnostics.js';
import { SourceText } from '../machine/source.js';
import { colours, say } from './terminal.js';

function caret(line: string, column: number): string {
  // Tabs are kept, so that the caret stands under its character however wide the terminal shows them.
  const before = [...line].slice(0, column - 1).map((character) => (character === '\t' ? '\t' : ' '));
  return `${before.join('')}^`;
}

function printDiagnostic(diagnostic: Diagnostic, source: SourceText): void {
  const { file, line, column, severity, code, message, help } = diagnostic;
  const kind = severity === 'error' ? colours.red(`error[${code}]`) : colours.yellow(`warning[${code}]`);
  say(`${colours.bold(`${file}:${line}:${column}:`)} ${kind}: ${message}`);
  const text = source.line(line);
  if (text.trim() !== '') {
    const margin = ' '.repeat(String(line).length);
    say(`${colours.dim(` ${line} |`)} ${text}`);
    say(`${colours.dim(` ${margin} |`)} ${colours.green(caret(text, column))}`);
  }
  if (help !== '') say(`${colours.cyan('help:')} ${help}`);
}

export function printDiagnostics(diagnostics: readonly Diagnostic[], text: string): void {
  const source = new SourceText(text);
  for (const diagnostic of diagnostics) printDiagnostic(diagnostic, source);
}
