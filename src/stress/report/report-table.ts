/** A stress report as text for a terminal: tables without colours, findings, and one line that says how it went. */

import { type Cell, table } from '../../runtime/report/text-table.js';
import type { Latency } from '../../runtime/shared/latency.js';
import type { Finding } from '../checker/finding.js';
import type { StressReport } from './report.js';
import { bytesText, countText, nanosecondsText, percentText } from './units.js';
import { verdict } from './verdict.js';

/** In deterministic mode there are no latencies, and no columns for them. */
export function renderTables(report: StressReport): string {
  const timed = report.elapsedMs !== null;
  const parts = [renderSmmus(report, timed), renderDevices(report, timed)];
  if (report.operations.length > 0) parts.push(renderOperations(report));
  parts.push(...report.findings.map(renderFinding));
  if (report.failure !== null) parts.push(`failure: ${report.failure}`);
  parts.push(`${report.machine}: ${verdict(report)}`);
  return parts.join('\n\n');
}

function renderSmmus({ smmus }: StressReport, timed: boolean): string {
  const head = ['SMMU', 'transactions', 'hit rate', 'walks', 'commands', 'invalidations', 'events'];
  const rows = smmus.map((smmu) => [
    smmu.id,
    countText(smmu.transactions),
    smmu.hits + smmu.misses === 0 ? '-' : percentText(smmu.hits / (smmu.hits + smmu.misses)),
    ...[smmu.walks, smmu.commands, smmu.invalidations, smmu.events].map(countText),
    ...latencyCells(smmu.latency, timed),
  ]);
  return rightTable([...head, ...latencyHead(timed)], rows, 1);
}

function renderDevices({ devices }: StressReport, timed: boolean): string {
  const head = ['device', 'SMMU', 'StreamID', 'accesses', 'bytes', 'aborts', 'hits', 'misses', 'events'];
  const rows = devices.map((device) => [
    ...[device.id, device.smmu, device.StreamID, countText(device.transactions), bytesText(device.bytes)],
    ...[device.aborts, device.hits, device.misses, device.events].map(countText),
    ...latencyCells(device.latency, timed),
  ]);
  return rightTable([...head, ...latencyHead(timed)], rows, 3);
}

/** How often each interface's software did what; latencies are in the page and in the document. */
function renderOperations({ operations }: StressReport): string {
  const actors = [...new Set(operations.map(({ actor }) => actor))];
  const names = [...new Set(operations.map(({ operation }) => operation))];
  const countOf = (actor: string, name: string) =>
    operations.find((one) => one.actor === actor && one.operation === name)?.count ?? 0;
  const rows = names.map((name) => [name, ...actors.map((actor) => countText(countOf(actor, name)))]);
  return rightTable(['software', ...actors], rows, 1);
}

function renderFinding({ kind, actor, summary, details }: Finding): string {
  return [`finding: ${kind}: ${actor}: ${summary}`, ...details.map((line) => `  ${line}`)].join('\n');
}

function latencyHead(timed: boolean): string[] {
  return timed ? ['p50', 'p90', 'p99', 'max'] : [];
}

function latencyCells(latency: Latency | null, timed: boolean): string[] {
  if (!timed) return [];
  if (latency === null) return ['-', '-', '-', '-'];
  return [latency.p50, latency.p90, latency.p99, latency.max].map(nanosecondsText);
}

/** Everything after the first columns is a quantity. */
function rightTable(head: readonly string[], rows: readonly (readonly Cell[])[], names: number): string {
  return table(head, rows, (column) => column >= names);
}
