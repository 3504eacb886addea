/** A run's report as text for a terminal: tables without colours. */
import type { RunReport } from './report.js';
import { table } from './text-table.js';

/** The whole report, ending in one line that says how it went. */
export function renderReport(report: RunReport): string {
  const parts = [renderSmmus(report), renderDevices(report)];
  if (report.events.length > 0) parts.push(renderEvents(report));
  if (report.failures.length > 0) parts.push(renderFailures(report));
  parts.push(renderVerdict(report));
  return parts.join('\n\n');
}

function renderSmmus({ smmus }: RunReport): string {
  const rows = smmus.map((smmu) => [
    smmu.id,
    smmu.transactions,
    smmu.hits,
    smmu.misses,
    smmu.walks,
    smmu.commands,
    smmu.overflowed ? `${smmu.events} (overflow)` : smmu.events,
  ]);
  return table(['SMMU', 'transactions', 'hits', 'misses', 'walks', 'commands', 'events'], rows);
}

function renderDevices({ devices }: RunReport): string {
  const rows = devices.map((device) => [
    device.id,
    device.bdf,
    device.smmu ?? '-',
    device.smmu === null ? '-' : device.StreamID,
    device.SEC_SID,
    device.accesses,
    device.bytes,
    device.aborts,
    device.hits,
    device.misses,
    device.walks,
    device.events,
  ]);
  const header = ['device', 'BDF', 'SMMU', 'StreamID', 'SEC_SID', 'accesses', 'bytes', 'aborts'];
  return table([...header, 'hits', 'misses', 'walks', 'events'], rows);
}

function renderEvents({ events, eventsOmitted }: RunReport): string {
  const rows = events.map(({ smmu, queue, name, fields, count }) => [
    smmu,
    queue,
    name,
    count,
    Object.entries(fields)
      .map(([field, value]) => `${field}=${value}`)
      .join(' '),
  ]);
  const shown = table(['SMMU', 'queue', 'event', 'count', 'fields'], rows);
  return eventsOmitted === 0 ? shown : `${shown}\n(and ${eventsOmitted} other kinds of records)`;
}

function renderFailures({ failures, failuresOmitted }: RunReport): string {
  const lines = failures.map((failure) => `failure: ${failure}`);
  if (failuresOmitted > 0) lines.push(`(and ${failuresOmitted} more)`);
  return lines.join('\n');
}

function renderVerdict(report: RunReport): string {
  const seconds = (report.elapsedMs / 1000).toFixed(2);
  const contested =
    report.contestedBytes === 0 ? '' : `, ${report.contestedBytes} bytes contested and not verified`;
  const failures = report.failures.length + report.failuresOmitted;
  const verdict = report.ok ? 'everything as expected' : `${failures} failure${failures === 1 ? '' : 's'}`;
  return `${report.machine}: ${verdict}; ${report.verifiedBytes} bytes of memory verified${contested}, ${seconds} s`;
}
