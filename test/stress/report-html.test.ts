import { describe, expect, it } from 'vitest';
import { drawnDevices, hitShares, percentiles, perSecond } from '../../src/stress/report/rates.js';
import { renderHtml } from '../../src/stress/report/report-html.js';
import {
  bytesText,
  countText,
  durationText,
  nanosecondsText,
  percentText,
} from '../../src/stress/report/units.js';
import { device, sampleReport, series } from './sample-report.js';

/** The `d` of every line that is drawn. */
function paths(page: string): string[] {
  return [...page.matchAll(/<path class="line [^"]+" d="([^"]*)"/g)].map((match) => match[1]!);
}

describe('H7 the HTML report', () => {
  it('fetches nothing and runs nothing', () => {
    const page = renderHtml(sampleReport());
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\son\w+=|https?:/i);
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
  });

  it('has three plots for an SMMU, latency for each of several devices, and resident memory', () => {
    const titles = (page: string) => [...page.matchAll(/<figcaption><b>([^<]*)/g)].map((match) => match[1]);
    const one = ['Throughput', 'TLB hit rate', 'Latency'];
    expect(titles(renderHtml(sampleReport()))).toEqual([...one, 'Resident memory']);
    const two = sampleReport({ devices: [device('nic0', 1), device('nic1', 1)] });
    const each = ['Latency of nic0', 'Latency of nic1'];
    expect(titles(renderHtml(two))).toEqual([...one, ...each, 'Resident memory']);
  });

  it('draws throughput and hit rate of an SMMU beside those of its devices, where there are several', () => {
    const lines = (...devices: string[]) =>
      paths(renderHtml(sampleReport({ devices: devices.map((id) => device(id, 1)) }))).length;
    // Three percentiles of the SMMU, and of each of several devices; resident memory.
    expect(lines('nic0')).toBe(2 + 3 + 1);
    expect(lines('nic0', 'nic1')).toBe(2 * 3 + 3 * 3 + 1);
    const many = Array.from({ length: 10 }, (_, index) => `nic${index}`);
    expect(lines(...many)).toBe(2 * 8 + 3 * 11 + 1);
  });

  it('escapes every text of the machine file and of findings', () => {
    const evil = `<img src=x onerror="alert('1')">&`;
    const report = sampleReport({
      machine: evil,
      failure: evil,
      devices: [{ ...device(evil, 100), StreamID: evil, SEC_SID: evil }, device('nic1', 1)],
      smmus: sampleReport().smmus.map((smmu) => ({ ...smmu, id: evil })),
      operations: [{ actor: evil, operation: evil, count: 1, latency: null }],
      findings: [{ kind: 'wrong-data', actor: evil, summary: evil, details: [evil] }],
      settings: { ...sampleReport().settings, profile: evil, limit: evil, mutation: evil },
    });
    const page = renderHtml({ ...report, devices: report.devices.map((d) => ({ ...d, smmu: evil })) });
    expect(page).not.toMatch(/<img|onerror="/);
    expect(
      page.match(/&lt;img src=x onerror=&quot;alert\(&#39;1&#39;\)&quot;&gt;&amp;/g)!.length,
    ).toBeGreaterThan(15);
  });

  it('a line has a gap where nothing is known', () => {
    const [throughput, hitRate, p50] = paths(renderHtml(sampleReport()));
    const pens = (path: string) => path.match(/M/g)!.length;
    // Throughput is 0 in the pause; the hit rate and the latency are unknown.
    expect([throughput!, hitRate!, p50!].map(pens)).toEqual([1, 2, 2]);
    expect(throughput).not.toContain('NaN');
  });

  it('many moments are drawn as few, the last one among them', () => {
    const moments = 1000;
    const timesMs = Array.from({ length: moments }, (_, index) => index * 100);
    const long = sampleReport({
      timesMs,
      residentBytes: timesMs.map((_, index) => (index === moments - 1 ? 2 ** 40 : 0)),
      devices: [device('nic0', 100, moments)],
      smmus: sampleReport().smmus.map((smmu) => ({ ...smmu, series: series(moments, 1) })),
    });
    const page = renderHtml(long);
    expect(page).toContain('resident: 1 TiB');
    expect(page.length).toBeLessThan(250_000);
  });

  it('a run too short to draw, and one with nothing at all, are pages too', () => {
    const short = sampleReport({ timesMs: [0], residentBytes: [1], smmus: [], devices: [], operations: [] });
    expect(renderHtml(short)).toContain('too short to draw');
    const idle = { transactions: [0, 0], hits: [0, 0], misses: [0, 0], latency: [null, null] };
    const smmus = sampleReport().smmus.map((smmu) => ({ ...smmu, latency: null, series: idle }));
    const devices = [{ ...device('nic0', 0), latency: null, series: idle }];
    const page = renderHtml(sampleReport({ timesMs: [0, 1], residentBytes: [1, 1], smmus, devices }));
    expect(page).not.toMatch(/NaN|Infinity|undefined|null/);
  });
});

describe('H7 rates', () => {
  it('are differences over time', () => {
    expect(perSecond([0, 500, 1500, 1500], [10, 20, 50, 60])).toEqual([null, 20, 30, null]);
    expect(hitShares(series(4, 100))).toEqual([null, 0.75, null, 0.75]);
    expect(percentiles(series(3, 1), 'p99')).toEqual([null, 2000, null]);
  });

  it('devices beyond the colours are summed, the busiest stay', () => {
    const devices = [1, 5, 2, 4, 3].map((rate) => device(`d${rate}`, rate));
    expect(drawnDevices(devices, 5).map(({ name }) => name)).toEqual(['d1', 'd5', 'd2', 'd4', 'd3']);
    const drawn = drawnDevices(devices, 3);
    expect(drawn.map(({ name }) => name)).toEqual(['d5', 'd4', '3 others']);
    expect(drawn[2]!.series.transactions.at(-1)).toBe((1 + 2 + 3) * 8);
  });
});

describe('units', () => {
  it.each([
    [countText(999.6), '1 k'],
    [countText(0), '0'],
    [countText(1_234_567), '1.23 M'],
    [bytesText(1536), '1.5 KiB'],
    [nanosecondsText(999), '999 ns'],
    [nanosecondsText(2_000_000), '2 ms'],
    [durationText(12_345), '12.3 s'],
    [durationText(245_000), '4 min 05 s'],
    [durationText(3_720_000), '1 h 02 min'],
    [durationText(1_200_000), '20 min'],
    [durationText(3_600_000), '1 h'],
    [percentText(1), '100 %'],
    [percentText(0.999999), '99.99 %'],
    [percentText(0.1234), '12.3 %'],
    [percentText(0), '0 %'],
  ])('%s is %s', (text, expected) => {
    expect(text).toBe(expected);
  });
});
