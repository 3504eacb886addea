/** Whole runs in threads: what they verify, what they find, and how they end. */
import { describe, expect, it } from 'vitest';
import { renderReport } from '../../src/runtime/report/report-table.js';
import { runMachine } from '../../src/runtime/run.js';
import { BOTH_MAPPED, twoSmmus } from './machines.js';

describe('runMachine (H1)', () => {
  it('runs devices behind two SMMUs in threads and verifies every byte', async () => {
    const workload = ['nic0', 'nic1']
      .flatMap((device, index) => [
        `{ device: ${device}, op: fill, iova: 0x10000, size: 32KiB, block: 512, pattern: ${index + 1} }`,
        `{ device: ${device}, op: check, iova: 0x10000, size: 32KiB, block: 4KiB, pattern: ${index + 1} }`,
        `{ device: ${device}, op: copy, iova: 0x10800, to: 0x18400, size: 16KiB, block: 1KiB }`,
      ])
      .join(', ');
    const phases = new Set<string>();
    const report = await runMachine(twoSmmus(BOTH_MAPPED, workload), {}, ({ phase }) => phases.add(phase));
    expect(report.failures).toEqual([]);
    expect(report.ok).toBe(true);
    expect(report.verifiedBytes).toBe(2 * (32 + 16) * 1024);
    expect(report.smmus.map(({ transactions, events }) => [transactions, events])).toEqual([
      [report.devices[0]!.accesses, 0],
      [report.devices[1]!.accesses, 0],
    ]);
    expect([...phases]).toEqual(expect.arrayContaining(['boot', 'verify']));
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(renderReport(report)).toMatch(/test: everything as expected; 98304 bytes of memory verified/);
  });

  it('counts an expected fault as right, with its event decoded (I3)', async () => {
    const workload =
      '{ device: nic0, op: read, iova: 0x40000, size: 8KiB, block: 4KiB, repeat: 3, expect: F_TRANSLATION }';
    const report = await runMachine(twoSmmus(BOTH_MAPPED, workload));
    expect(report.failures).toEqual([]);
    expect(report.devices[0]).toMatchObject({ accesses: 6, aborts: 6, bytes: 0 });
    expect(report.events.map(({ name, count, fields }) => [name, count, fields.InputAddr])).toEqual([
      ['F_TRANSLATION', 3, '0x40000'],
      ['F_TRANSLATION', 3, '0x41000'],
    ]);
  });

  it('names device, step and address of what was not expected', async () => {
    const workload = [
      '{ device: nic0, op: fill, iova: 0x1f000, size: 8KiB, block: 4KiB }',
      '{ device: nic1, op: read, iova: 0x10000, size: 4KiB, expect: F_TRANSLATION }',
      '{ device: nic1, op: check, iova: 0x10000, size: 4KiB, pattern: 9 }',
    ].join(', ');
    const { ok, failures } = await runMachine(twoSmmus(BOTH_MAPPED, workload));
    expect(ok).toBe(false);
    expect(failures).toEqual(
      expect.arrayContaining([
        'device nic0, step 1: fill: 1 of 2 accesses aborted, the first at 0x20000',
        expect.stringMatching(
          /^smmu0 \(non-secure\): F_TRANSLATION .*InputAddr=0x20000.*: unexpected, 1 times$/,
        ),
        expect.stringMatching(/^device nic1, step 1: read at 0x10000: 1 of 1 accesses succeeded/),
        'device nic1, step 1: F_TRANSLATION at 0x10000: 0 of 1 event records',
        expect.stringMatching(/^device nic1, step 2: check at 0x10000: \d+ bytes differ from the pattern$/),
      ]),
    );
  });

  it('memory that two devices write is contested, not wrong', async () => {
    const software = ['nic0', 'nic1']
      .map(
        (device) =>
          `{ device: ${device}, config: translate, mappings: [{ iova: 0x10000, size: 8KiB, pa: 0x42000000, access: rw }] }`,
      )
      .join(', ');
    const workload = [
      '{ device: nic0, op: fill, iova: 0x10000, size: 8KiB, pattern: 1 }',
      '{ device: nic1, op: fill, iova: 0x11000, size: 4KiB, pattern: 2 }',
    ].join(', ');
    const report = await runMachine(twoSmmus(software, workload));
    expect(report).toMatchObject({ failures: [], verifiedBytes: 4096, contestedBytes: 4096 });
  });

  it('H9: an interrupted run ends with a report that says so', async () => {
    const workload = '{ device: nic0, op: fill, iova: 0x10000, size: 64KiB, block: 64, repeat: 100000000 }';
    const abort = new AbortController();
    const report = await runMachine(
      twoSmmus(BOTH_MAPPED, workload),
      { signal: abort.signal },
      ({ phase }) => {
        if (phase === 'dma') abort.abort();
      },
    );
    expect(report.ok).toBe(false);
    expect(report.failures).toEqual(['the run was interrupted before its workload was done']);
  });
});
