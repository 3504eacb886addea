/** Machines with accelerated SMMUs: in threads, with the physical SMMU's thread as the host, and in this thread. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { traceRequest } from '../../src/explain/trace.js';
import { loadMachine } from '../../src/machine/load.js';
import { bootInProcess } from '../../src/runtime/in-process-machine.js';
import type { IommufdReport, RunReport } from '../../src/runtime/report/report.js';
import { runMachine } from '../../src/runtime/run.js';

const TEXT = readFileSync(new URL('../../machines/accelerated.yaml', import.meta.url), 'utf8');

function load(text = TEXT) {
  const { machine, diagnostics } = loadMachine(text, 'accelerated.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

describe('accelerated SMMUs in threads', () => {
  test.each([1, 2])(
    'two guests on one physical SMMU, %i DMA threads: bytes and events are right',
    async (lanes) => {
      const report = await runMachine(load(), { lanes });
      expect(report.failures).toEqual([]);
      expect(report.events.map(({ smmu, name, fields }) => [smmu, name, fields.StreamID])).toEqual([
        ['smmu-a', 'F_PERMISSION', '0x2000'],
        ['smmu-b', 'F_TRANSLATION', '0x4000'],
      ]);
      expect(report.iommufds.map(({ smmu, memory }) => [smmu, memory])).toEqual([
        ['host0', 'guest-a'],
        ['host0', 'guest-b'],
      ]);
      // All translations are the physical SMMU's.
      expect(report.smmus.map(({ id, transactions }) => [id, transactions > 0])).toEqual([
        ['host0', true],
        ['smmu-a', false],
        ['smmu-b', false],
      ]);
    },
  );

  test('the report is a graph: SMMUs, devices, and the objects between guest and host', async () => {
    const report: RunReport = JSON.parse(JSON.stringify(await runMachine(load())));
    expect(report.smmus.map(({ id, memory, accel }) => [id, memory, accel])).toEqual([
      ['host0', 'system', null],
      ['smmu-a', 'guest-a', 'host0'],
      ['smmu-b', 'guest-b', 'host0'],
    ]);
    expect(report.devices.map(({ id, type, smmu, host }) => [id, type, smmu, host])).toEqual([
      ['nic', 'dma-engine', 'host0', null],
      ['disk', 'dma-engine', 'host0', null],
      ['nic-a', 'vfio-pci', 'smmu-a', 'nic'],
      ['disk-b', 'vfio-pci', 'smmu-b', 'disk'],
    ]);
    const [{ objects }] = report.iommufds as [IommufdReport];
    const of = (kind: string) => objects.filter((object) => object.kind === kind);
    const numbers = new Set(objects.map(({ id }) => id));
    // Every reference is to an object that is there, and its users are those who refer to it.
    const references = objects.flatMap(({ from, content }) => [
      ...from,
      ...('hwpt' in content ? [content.hwpt] : []),
    ]);
    expect(references.every((id) => numbers.has(id as number))).toBe(true);
    for (const { id, users } of objects)
      expect(references.filter((reference) => reference === id)).toHaveLength(users);
    const [device] = of('device');
    const attached = objects.find(({ id }) => id === device!.content.hwpt)!;
    expect([attached.kind, attached.content]).toEqual(['hwpt-nested', { config: 'translate' }]);
    expect(device!.content).toMatchObject({ name: 'nic', smmu: 'host0', StreamID: '0x10' });
    expect(of('vdevice').map(({ content }) => content)).toEqual([{ virtualID: '0x2000', StreamID: '0x10' }]);
    expect(of('ioas')[0]!.content).toMatchObject({ areas: [{ gpa: '0x40000000', pa: '0x90000000' }] });
    expect(of('veventq')[0]!.from).toEqual([of('viommu')[0]!.id]);
  });

  test('a guest that expects another outcome is told so', async () => {
    const report = await runMachine(load(TEXT.replace('expect: F_PERMISSION', 'expect: ok')));
    expect(report.ok).toBe(false);
    expect(report.failures).toContainEqual(
      expect.stringContaining('device nic-a, step 3: fill: 1 of 1 accesses aborted'),
    );
  });

  test('a guest whose SMMU is off reaches its own memory, by GBPA, and nothing else', async () => {
    const head = TEXT.slice(0, TEXT.indexOf('software:'));
    const workload = [
      'software: []',
      'workload:',
      '  - { device: nic-a, op: fill, iova: 0x41000000, size: 64KiB, pattern: 1 }',
      '  - { device: nic-a, op: read, iova: 0x80000000, size: 4KiB, expect: abort }',
      '  - { device: disk-b, op: fill, iova: 0x41000000, size: 64KiB, pattern: 2 }',
    ];
    const report = await runMachine(load(`${head}${workload.join('\n')}\n`));
    expect(report.failures).toEqual([]);
    expect(report.verifiedBytes).toBe(0x20000);
  });
});

test("in process, both stages of a nested walk: the guest's addresses, then the host's", () => {
  const machine = load();
  const nic = machine.devices.find(({ id }) => id === 'nic-a')!;
  const { tbu, config } = bootInProcess(machine)[nic.smmu]!;
  expect(config.id).toBe('host0');
  const StreamID = nic.host!.StreamID;
  const request = {
    StreamID,
    SubstreamID: -1,
    SEC_SID: 0,
    iova: 0x1000_1000n,
    write: false,
    privileged: false,
    instruction: false,
    ns: false,
  } as const;
  const translation = traceRequest(tbu, config, request);
  const stage1 = translation.steps.find((step) => step.kind === 'leaf' && step.stage === 1);
  expect(stage1).toMatchObject({ pa: expect.any(Number) });
  const gpa = (stage1 as { pa: number }).pa;
  expect(gpa).toBeGreaterThanOrEqual(0x4000_0000);
  expect(gpa).toBeLessThan(0x4400_0000);
  expect(translation.pa).toBe(gpa - 0x4000_0000 + 0x9000_0000);
});
