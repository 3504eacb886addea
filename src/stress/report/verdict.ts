/** How a stress run went, in one sentence. */
import type { StressReport } from './report.js';
import { countText, durationText } from './units.js';

export function verdict(report: StressReport): string {
  const found = report.findings.length;
  const transactions = report.smmus.reduce((total, smmu) => total + smmu.transactions, 0);
  const time = report.elapsedMs === null ? '' : ` in ${durationText(report.elapsedMs)}`;
  const work = `${countText(transactions)} transactions${time}`;
  const how =
    report.end === 'failed' ? ', ended by a failure' : report.end === 'interrupted' ? ', interrupted' : '';
  const what = report.settings.checked ? `${found} finding${found === 1 ? '' : 's'}` : 'not checked';
  return `${work}${how}; ${what}; profile ${report.settings.profile}, ${seedsText(report.settings)}`;
}

function seedsText({ seed, seeds }: StressReport['settings']): string {
  return seeds === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + seeds - 1}`;
}
