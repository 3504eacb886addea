/**
 * A line plot over time as SVG: axes with round numbers, one line for each series, gaps where a series has no value, and at
 * every moment a strip that tells all values there. No script; colours and sizes are the page's style sheet's.
 */
import { type Html, html } from './html.js';

/** Drawn at about this size on a wide screen and on a phone alike, so that letters keep theirs. */
const WIDTH = 380;
const HEIGHT = 190;
const LEFT = 58;
const RIGHT = 20;
const TOP = 10;
const BOTTOM = 24;
/** Round steps that an axis may have, times a power of ten. */
const STEPS = [1, 2, 5, 10];
const VALUE_TICKS = 4;
/** Steps of the time axis: seconds, minutes and hours divide in their own ways. */
const TIME_STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21_600];
const TIME_TICKS_MAX = 6;
/** Moments drawn at most; what is between them does not show at this size. */
const MOMENTS_MAX = 150;

export interface PlotLine {
  readonly name: string;
  /** Class of the style sheet that has its colour. */
  readonly style: string;
  /** One for each moment. */
  readonly values: readonly (number | null)[];
}

export interface Plot {
  readonly title: string;
  /** What the vertical axis counts, as a short phrase. */
  readonly unit: string;
  readonly scale: 'linear' | 'log';
  /** The axis reaches at least this far. */
  readonly atLeast?: number;
  readonly timesMs: readonly number[];
  readonly lines: readonly PlotLine[];
  readonly valueText: (value: number) => string;
  readonly timeText: (ms: number) => string;
}

/** From values to places, with the values worth marking. */
interface Axis {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** A figure: title, legend where there is more than one line, drawing. */
export function renderPlot(plot: Plot): Html {
  const moments = chosen(plot.timesMs.length);
  const legend = plot.lines.map(
    ({ name, style }) => html`<li><span class="key ${style}"></span>${name}</li>`,
  );
  return html`<figure>
<figcaption><b>${plot.title}</b> <span class="unit">${plot.unit}</span></figcaption>
${plot.lines.length > 1 ? html`<ul class="legend">${legend}</ul>` : ''}
${moments.length < 2 ? html`<p class="none">The run was too short to draw.</p>` : drawing(plot, moments)}
</figure>
`;
}

function drawing(plot: Plot, moments: readonly number[]): Html {
  const x = timeAxis(plot.timesMs[moments.at(-1)!]!);
  const values = plot.lines.flatMap((line) => moments.map((moment) => line.values[moment] ?? null));
  const y = valueAxis(
    plot,
    values.filter((value) => value !== null),
  );
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${plot.title} over time">
${y.ticks.map(
  (tick) =>
    html`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${place(y.at(tick))}" y2="${place(y.at(tick))}"/><text class="value" x="${LEFT - 6}" y="${place(y.at(tick) + 4)}">${plot.valueText(tick)}</text>
`,
)}${x.ticks.map(
  (tick) => html`<text class="time" x="${place(x.at(tick))}" y="${HEIGHT - 6}">${plot.timeText(tick)}</text>
`,
)}${plot.lines.map(
  (line) => html`<path class="line ${line.style}" d="${pathOf(line, plot, moments, x, y)}"/>
`,
)}${strips(plot, moments, x)}</svg>`;
}

/** A pen goes down at every value after a gap; a value between two gaps is a dot. */
function pathOf(line: PlotLine, plot: Plot, moments: readonly number[], x: Axis, y: Axis): string {
  let path = '';
  let down = false;
  for (const moment of moments) {
    const value = line.values[moment] ?? null;
    if (value !== null) {
      const point = `${place(x.at(plot.timesMs[moment]!))} ${place(y.at(value))}`;
      path += down ? `L${point}` : `M${point}h0`;
    }
    down = value !== null;
  }
  return path;
}

/** What a pointer finds: at each moment a strip with everything that is known there. */
function strips(plot: Plot, moments: readonly number[], x: Axis): Html[] {
  const places = moments.map((moment) => x.at(plot.timesMs[moment]!));
  return moments.map((moment, index) => {
    const from = index === 0 ? places[0]! : (places[index - 1]! + places[index]!) / 2;
    const to = index === places.length - 1 ? places[index]! : (places[index]! + places[index + 1]!) / 2;
    const values = plot.lines.map(({ name, values }) => {
      const value = values[moment] ?? null;
      return `\n${name}: ${value === null ? '-' : plot.valueText(value)}`;
    });
    return html`<rect class="strip" x="${place(from)}" y="${TOP}" width="${place(to - from)}" height="${HEIGHT - TOP - BOTTOM}"><title>${plot.timeText(plot.timesMs[moment]!)}${values}</title></rect>
`;
  });
}

function timeAxis(last: number): Axis {
  const step = TIME_STEPS_S.find((seconds) => last / (seconds * 1000) <= TIME_TICKS_MAX);
  return linear(0, last, step === undefined ? last : step * 1000, LEFT, WIDTH - RIGHT);
}

function valueAxis(plot: Plot, values: readonly number[]): Axis {
  const top = values.reduce((most, value) => Math.max(most, value), plot.atLeast ?? 0);
  if (plot.scale === 'linear') {
    const step = roundStep((top || 1) / VALUE_TICKS);
    return linear(0, Math.ceil((top || 1) / step) * step, step, HEIGHT - BOTTOM, TOP);
  }
  const bottom = values.reduce((least, value) => Math.min(least, value), top);
  const low = Math.floor(Math.log10(Math.max(bottom, 1)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(top, 1))), low + 1);
  const { at } = linear(low, high, 1, HEIGHT - BOTTOM, TOP);
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return { at: (value) => at(Math.log10(Math.max(value, 1))), ticks };
}

function linear(first: number, last: number, step: number, from: number, to: number): Axis {
  const ticks: number[] = [];
  // Counted, not summed: a sum of steps like 0.1 would drift.
  for (let index = Math.ceil(first / step); index * step <= last * (1 + 1e-9); index++) {
    ticks.push(index * step);
  }
  return { at: (value) => from + ((value - first) / (last - first || 1)) * (to - from), ticks };
}

/** The least round number that is not smaller. */
function roundStep(least: number): number {
  if (least <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * (STEPS.find((step) => step * power >= least * (1 - 1e-9)) ?? 10);
}

/** Indices of the moments that are drawn, the last one always. */
function chosen(count: number): number[] {
  const stride = Math.ceil(count / MOMENTS_MAX);
  const first = (count - 1) % Math.max(stride, 1);
  return Array.from(
    { length: Math.ceil((count - first) / Math.max(stride, 1)) },
    (_, i) => first + i * stride,
  );
}

function place(value: number): string {
  return String(Number(value.toFixed(1)));
}
