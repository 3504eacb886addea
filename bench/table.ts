/**
 * The results as a table of text.
 */
import type { Goal, Result } from './rows.js';

const HEADER = ['what', 'ours', 'C', 'ratio to C', 'goal', 'met'];

/** Three significant digits, and no more decimals than that takes. */
export function number(value: number): string {
  if (value === 0 || Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

export function withUnit(value: number, { unit }: Pick<Result, 'unit'>): string {
  return unit === '' ? number(value) : `${number(value)} ${unit}`;
}

export function goalText(goal: Goal, row: Pick<Result, 'unit'>): string {
  const bound = goal.most ?? goal.least!;
  const text = goal.of === 'ratio' ? `${number(bound)} C` : withUnit(bound, row);
  return `${goal.most !== undefined ? 'at most' : 'at least'} ${text}`;
}

export function cells(result: Result): string[] {
  return [
    result.what,
    withUnit(result.figure, result),
    result.c === undefined ? '' : withUnit(result.c, result),
    result.ratio === undefined ? '' : number(result.ratio),
    result.goal === undefined ? '' : goalText(result.goal, result),
    result.met === undefined ? '' : result.met ? 'yes' : 'no',
  ];
}

export function renderTable(results: readonly Result[]): string {
  const rows = [HEADER, ...results.map((result) => cells(result))];
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const numeric = (column: number) => column >= 1 && column <= 3;
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        numeric(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd();
  const judged = results.filter(({ met }) => met !== undefined);
  const met = judged.filter((result) => result.met).length;
  return `${rows.map(line).join('\n')}\n\n${met} of ${judged.length} goals met\n`;
}
