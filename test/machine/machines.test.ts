import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { jsonSchemaText, machineSchema } from '../../src/machine/json-schema.js';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';

const FOLDER = new URL('../../machines/', import.meta.url);
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));
const read = (name: string): string => readFileSync(new URL(name, FOLDER), 'utf8');

function machine(name: string): Machine {
  return loadMachine(read(name), name).machine!;
}

describe('machines/', () => {
  test.each(FILES)('%s realizes without a warning, and fits its JSON Schema', (name) => {
    expect(loadMachine(read(name), name)).toMatchObject({ diagnostics: [] });
    // The yaml package's core schema reads on and off as text, as YAML 1.2 does.
    expect(machineSchema().safeParse(parse(read(name))).error?.issues ?? []).toEqual([]);
  });

  test('the JSON Schema is fresh (node scripts/schema.mjs writes it)', () => {
    expect(read('machine.schema.json')).toBe(jsonSchemaText());
  });

  test('F5: the windows of virt-3-smmus stand where QEMU puts them', () => {
    const { smmus, devices } = machine('virt-3-smmus.yaml');
    expect(smmus.map(({ id, base }) => [id, base])).toEqual([
      ['smmu0', 0xc00_0000],
      ['smmu1', 0xc02_0000],
      ['smmu2', 0xc04_0000],
    ]);
    expect(devices.map(({ id, smmu, StreamID }) => [id, smmu, StreamID])).toEqual([
      ['nvme0', 0, 0x0100],
      ['edu0', 0, 0x0028],
      ['nvme1', 1, 0x1100],
      ['virtio1', 1, 0x1200],
      ['nvme2', 2, 0x2100],
      ['virtio2', 2, 0x2200],
    ]);
  });

  test('A14: in secure-island one SMMU is secure and its neighbour is not', () => {
    const { smmus, devices } = machine('secure-island.yaml');
    expect(smmus.map(({ config }) => config.idr.S_IDR1 >>> 31)).toEqual([1, 0]);
    expect(devices.map(({ SEC_SID }) => SEC_SID)).toEqual([0, 1, 0]);
    const behindFirst = devices.filter(({ smmu }) => smmu === 0);
    expect(
      behindFirst.map(({ StreamID }) => StreamID),
      'A33: one StreamID, two streams',
    ).toEqual([0x10, 0x10]);
  });

  test('server-8-smmus has eight SMMUs with three devices each, and interrupts of their own', () => {
    const { smmus, devices } = machine('server-8-smmus.yaml');
    expect(smmus).toHaveLength(8);
    for (const index of smmus.keys()) expect(devices.filter(({ smmu }) => smmu === index)).toHaveLength(3);
    const irqs = smmus.flatMap(({ irqs: each }) => Object.values(each));
    expect(new Set(irqs).size).toBe(32);
  });
});
