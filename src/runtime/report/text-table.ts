/** Tables of text for a terminal. */

export type Cell = string | number;

/**
 * @param isRight which columns are set to the right; those of numbers unless it is given. The last column, if it is set
 * to the left, is not padded.
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  isRight: (column: number) => boolean = (column) =>
    rows.length > 0 && rows.every((row) => typeof row[column] === 'number'),
): string {
  const right = head.map((_, column) => isRight(column));
  const text = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...text.map((row) => row[column]!.length)));
  return text
    .map((row) =>
      row
        .map((cell, column) =>
          right[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
