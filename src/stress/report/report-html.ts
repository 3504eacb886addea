/**
 * A stress report as one HTML file: it fetches nothing and runs nothing, so that it can be mailed, kept beside a bug and
 * opened without a network. Light or dark as the reader's system has it, one column on a phone.
 */
import type { Latency } from '../../runtime/shared/latency.js';
import type { Finding } from '../checker/finding.js';
import { type Html, html } from './html.js';
import { type Plot, type PlotLine, renderPlot } from './plot.js';
import { drawnDevices, hitShares, percentiles, perSecond } from './rates.js';
import type {
  DeviceStressReport,
  SmmuStressReport,
  StressReport,
  TrafficCounters,
  TrafficSeries,
} from './report.js';
import { STYLE } from './report-style.js';
import { bytesText, countText, durationText, nanosecondsText, percentText } from './units.js';
import { verdict } from './verdict.js';

/** Lines of one plot; the style sheet has as many colours. */
const LINES_MAX = 8;
const PERCENTILES = ['p50', 'p90', 'p99'] as const;

export function renderHtml(report: StressReport): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${report.machine}: stress report</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${report.machine} ${badge(report)}</h1>
<p>${verdict(report)}</p>
</header>
<main>
${tiles(report)}${findings(report)}${report.smmus.map((smmu) => smmuSection(report, smmu))}${operations(report)}${memory(report)}${settings(report)}</main>
</body>
</html>
`;
  return page.text;
}

function badge({ ok, settings }: StressReport): Html {
  if (!ok) return html`<span class="bad">not as it should be</span>`;
  return settings.checked ? html`<span class="good">no finding</span>` : html`<span>not checked</span>`;
}

function tiles(report: StressReport): Html {
  const sum = (key: keyof TrafficCounters) => report.smmus.reduce((total, smmu) => total + smmu[key], 0);
  const transactions = sum('transactions');
  const ms = report.elapsedMs;
  const slowest = report.smmus
    .map(({ latency }) => latency)
    .filter((latency) => latency !== null)
    .reduce((most, { p99 }) => Math.max(most, p99), 0);
  const tile = (name: string, value: string) => html`<div><dt>${name}</dt><dd>${value}</dd></div>
`;
  return html`<dl class="tiles">
${tile('findings', countText(report.findings.length))}${tile('transactions', countText(transactions))}${tile('per second', ms === null || ms === 0 ? '-' : countText((transactions * 1000) / ms))}${tile('TLB hit rate', hitRate(report.smmus))}${tile('99th percentile', slowest === 0 ? '-' : nanosecondsText(slowest))}${tile(
  'invalidations',
  countText(report.smmus.reduce((total, { invalidations }) => total + invalidations, 0)),
)}${ms === null ? '' : tile('duration', durationText(ms))}</dl>
`;
}

function findings({ findings, failure }: StressReport): Html | string {
  if (findings.length === 0 && failure === null) return '';
  const one = ({ kind, actor, summary, details }: Finding) => html`<details class="finding" open>
<summary><b>${kind}</b> ${actor}: ${summary}</summary>
<pre>${details.join('\n')}</pre>
</details>
`;
  return html`<section><h2>Findings</h2>
${failure === null ? '' : html`<p class="bad">${failure}</p>`}${findings.map(one)}</section>
`;
}

function smmuSection(report: StressReport, smmu: SmmuStressReport): Html {
  const devices = report.devices.filter((device) => device.smmu === smmu.id);
  const head = ['SMMU', 'transactions', 'hits', 'misses', 'walks', 'commands', 'invalidations', 'events'];
  const row = [
    ...[smmu.id, smmu.transactions, smmu.hits, smmu.misses, smmu.walks, smmu.commands],
    ...[smmu.invalidations, smmu.events, ...latencyCells(smmu.latency)],
  ];
  return html`<section><h2>${smmu.id}</h2>
${report.timesMs.length === 0 ? '' : smmuPlots(report, smmu, devices)}${table([...head, ...LATENCY_HEAD], [row])}${deviceTable(devices)}</section>
`;
}

function smmuPlots(
  report: StressReport,
  smmu: SmmuStressReport,
  devices: readonly DeviceStressReport[],
): Html {
  // A single device is all that there is of its SMMU.
  const all = devices.length < 2 ? [] : [{ name: `all of ${smmu.id}`, series: smmu.series }];
  const drawn = [...all, ...drawnDevices(devices, LINES_MAX - all.length)];
  const lines = (values: (series: TrafficSeries) => (number | null)[]): PlotLine[] =>
    drawn.map(({ name, series }, index) => ({ name, style: `c${index}`, values: values(series) }));
  return html`<div class="plots">
${plot(report, {
  title: 'Throughput',
  unit: 'transactions a second',
  lines: lines((series) => perSecond(report.timesMs, series.transactions)),
})}${plot(report, {
  title: 'TLB hit rate',
  unit: 'share of lookups',
  atLeast: 1,
  lines: lines(hitShares),
  valueText: percentText,
})}${latencyPlot(report, 'Latency', smmu.series)}${
  devices.length < 2
    ? ''
    : devices.map((device) => latencyPlot(report, `Latency of ${device.id}`, device.series))
}</div>
`;
}

function deviceTable(devices: readonly DeviceStressReport[]): Html {
  const head = ['device', 'StreamID', 'SEC_SID', 'transactions', 'bytes', 'aborts', 'hits', 'misses'];
  return table(
    [...head, 'walks', 'events', ...LATENCY_HEAD],
    devices.map((device) => [
      ...[device.id, device.StreamID, device.SEC_SID, device.transactions, bytesText(device.bytes)],
      ...[device.aborts, device.hits, device.misses, device.walks, device.events],
      ...latencyCells(device.latency),
    ]),
  );
}

function operations({ operations }: StressReport): Html | string {
  if (operations.length === 0) return '';
  return html`<section><h2>Software</h2>
${table(
  ['software', 'operation', 'count', ...LATENCY_HEAD],
  operations.map(({ actor, operation, count, latency }) => [
    actor,
    operation,
    count,
    ...latencyCells(latency),
  ]),
)}</section>
`;
}

function memory(report: StressReport): Html | string {
  if (report.timesMs.length === 0) return '';
  return html`<section><h2>Memory</h2>
<div class="plots">
${plot(report, {
  title: 'Resident memory',
  unit: 'of the whole process',
  lines: [{ name: 'resident', style: 'c0', values: report.residentBytes }],
  valueText: bytesText,
})}</div>
</section>
`;
}

function settings({ machine, settings }: StressReport): Html {
  const rows: [string, string | number][] = [
    ['machine', machine],
    ['profile', settings.profile],
    ['seed', settings.seed],
    ['mode', settings.mode],
    ['DMA threads', settings.threads],
    ['limit', settings.limit],
    ['checker', settings.checked ? 'on' : 'off'],
    ['mutation', settings.mutation ?? 'none'],
  ];
  return html`<section><h2>Settings</h2>
<table class="settings">${rows.map(([name, value]) => html`<tr><th>${name}</th><td>${value}</td></tr>`)}</table>
<p class="unit">Transactions are accesses that arrived at a TBU. A latency is the time that this program took for one access, translation and data, one of many sampled; it is not a device's.</p>
</section>
`;
}

function latencyPlot(report: StressReport, title: string, series: TrafficSeries): Html {
  return plot(report, {
    title,
    unit: 'of an access, percentiles',
    scale: 'log',
    lines: PERCENTILES.map((key, index) => ({
      name: key,
      style: `p${index}`,
      values: percentiles(series, key),
    })),
    valueText: nanosecondsText,
  });
}

function plot(report: StressReport, own: Pick<Plot, 'title' | 'unit' | 'lines'> & Partial<Plot>): Html {
  return renderPlot({
    scale: 'linear',
    timesMs: report.timesMs,
    valueText: countText,
    timeText: durationText,
    ...own,
  });
}

const LATENCY_HEAD = ['p50', 'p90', 'p99', 'max'];

function latencyCells(latency: Latency | null): string[] {
  if (latency === null) return LATENCY_HEAD.map(() => '-');
  return [latency.p50, latency.p90, latency.p99, latency.max].map(nanosecondsText);
}

function hitRate(smmus: readonly SmmuStressReport[]): string {
  const hits = smmus.reduce((total, smmu) => total + smmu.hits, 0);
  const lookups = smmus.reduce((total, smmu) => total + smmu.misses, hits);
  return lookups === 0 ? '-' : percentText(hits / lookups);
}

/** Exact counts, grouped by thousands; what is too wide for a phone scrolls by itself. */
function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): Html {
  const numeric = head.map((_, column) => typeof rows[0]?.[column] === 'number');
  const cell = (value: string | number) =>
    typeof value === 'number'
      ? html`<td class="number">${value.toLocaleString('en')}</td>`
      : html`<td>${value}</td>`;
  return html`<div class="scroll"><table>
<thead><tr>${head.map((name, column) => (numeric[column] ? html`<th class="number">${name}</th>` : html`<th>${name}</th>`))}</tr></thead>
<tbody>
${rows.map(
  (row) => html`<tr>${row.map(cell)}</tr>
`,
)}</tbody>
</table></div>
`;
}
