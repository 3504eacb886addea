/**
 * The results as one HTML page that needs nothing else: the table, and plots drawn as SVG.
 */
import type { Result } from './rows.js';
import { cells, goalText, number, withUnit } from './table.js';

export interface Host {
  readonly cpu: string;
  readonly processors: number;
  readonly node: string;
}

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1b1f24; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% } th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #d8dee4 }
td:nth-child(n+2):nth-child(-n+4), th:nth-child(n+2):nth-child(-n+4) { text-align: right; font-variant-numeric: tabular-nums }
.yes { color: #1a7f37 } .no { color: #cf222e; font-weight: 600 } p { color: #57606a }
svg text { font: 12px system-ui, sans-serif; fill: #1b1f24 } svg .axis { stroke: #d8dee4 }
`;

const WIDTH = 880;
const LABEL = 260;
const VALUE = 150;
const BAR = 22;

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

/** Bars of one scale, each with a mark where its goal is. */
function bars(
  rows: readonly { label: string; value: number; text: string; goal?: number; met: boolean }[],
): string {
  const most = Math.max(...rows.map(({ value, goal }) => Math.max(value, goal ?? 0))) * 1.05;
  const scale = (WIDTH - LABEL - VALUE) / most;
  const height = rows.length * (BAR + 8) + 8;
  const drawn = rows.map(({ label, value, text, goal, met }, index) => {
    const y = 8 + index * (BAR + 8);
    const middle = y + BAR / 2 + 4;
    const mark =
      goal === undefined
        ? ''
        : `<line x1="${LABEL + goal * scale}" x2="${LABEL + goal * scale}" y1="${y - 3}" y2="${y + BAR + 3}" stroke="#1b1f24" stroke-width="2"/>`;
    return (
      `<text x="${LABEL - 8}" y="${middle}" text-anchor="end">${escapeHtml(label)}</text>` +
      `<rect x="${LABEL}" y="${y}" width="${Math.max(1, value * scale).toFixed(1)}" height="${BAR}" fill="${met ? '#4c8dae' : '#d1665a'}"/>` +
      `${mark}<text x="${WIDTH - VALUE + 8}" y="${middle}">${escapeHtml(text)}</text>`
    );
  });
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="100%" role="img"><line class="axis" x1="${LABEL}" x2="${LABEL}" y1="0" y2="${height}"/>${drawn.join('')}</svg>`;
}

function ratios(results: readonly Result[]): string {
  const rows = results.flatMap((result) => {
    const { what, ratio, goal, met, figure } = result;
    if (ratio === undefined) return [];
    const bound = goal?.of === 'ratio' ? goal.most : undefined;
    const text = `${number(ratio)} C (${withUnit(figure, result)})`;
    return [
      { label: what, value: ratio, text, met: met ?? true, ...(bound === undefined ? {} : { goal: bound }) },
    ];
  });
  if (rows.length === 0) return '<p>No C compiler was there: no ratios.</p>';
  return `<p>One bar is the time of the real TBU over that of the C kernel for the same accesses; the mark is the goal.</p>${bars(rows)}`;
}

/** Rows with a goal of their own, as parts of it: what is shorter than the mark is better, or longer where more is better. */
function goals(results: readonly Result[]): string {
  const rows = results.flatMap((result) => {
    const { what, figure, goal, met } = result;
    const bound = goal?.most ?? goal?.least;
    if (goal === undefined || goal.of === 'ratio' || bound === undefined || bound === 0) return [];
    const text = `${withUnit(figure, result)}, ${goalText(goal, result)}`;
    return [{ label: what, value: Math.min(figure / bound, 3), text, goal: 1, met: met ?? true }];
  });
  return rows.length === 0 ? '' : `<h2>The other goals, each as part of it</h2>${bars(rows)}`;
}

function series(results: readonly Result[]): string {
  return results
    .flatMap((result) => (result.series === undefined ? [] : [{ ...result, series: result.series }]))
    .map(({ what, series }) => {
      const rows = series.map((value, index) => ({
        label: `${index + 1} ${index === 0 ? 'thread' : 'threads'}`,
        value,
        text: `${number(value)} x`,
        goal: index + 1,
        met: true,
      }));
      return `<h2>${escapeHtml(what.replace('two threads', 'threads').replace('two SMMUs', 'as many SMMUs'))}</h2>${bars(rows)}`;
    })
    .join('');
}

export function renderPage(host: Host, results: readonly Result[]): string {
  const lines = results.map((result) => {
    const row = cells(result).map(escapeHtml);
    const verdict = row.pop()!;
    return `<tr>${row.map((cell) => `<td>${cell}</td>`).join('')}<td class="${verdict}">${verdict}</td></tr>`;
  });
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>smmulator: measured</title><style>${STYLE}</style>
<h1>smmulator: measured</h1>
<p>${escapeHtml(host.cpu)}, ${host.processors} processors, Node ${escapeHtml(host.node)}. Best of interleaved slices, median of the processes.</p>
<h2>Against C</h2>
${ratios(results)}
${goals(results)}
${series(results)}
<h2>All rows</h2>
<table><tr><th>what</th><th>ours</th><th>C</th><th>ratio to C</th><th>goal</th><th>met</th></tr>
${lines.join('\n')}
</table>
</html>
`;
}
