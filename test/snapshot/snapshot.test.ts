/** Snapshots of whole machines in files: what is in them, and which files are refused. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';
import {
  encodeSection,
  HeaderMaker,
  inflateSection,
  parseContainer,
  type Section,
} from '../../src/snapshot/container.js';
import { SnapshotError } from '../../src/snapshot/error.js';
import { decodeSnapshot, forMachine, readSnapshot, writeSnapshot } from '../../src/snapshot/snapshot-file.js';
import { restoreMachine, runWithSnapshot } from '../../src/snapshot/snapshot-run.js';
import { Random } from '../smmu/random.js';
import { GBPA } from '../spec-numbers.js';

const RUNS = Number(process.env.SMMULATOR_RUNS ?? 60);
const folder = mkdtempSync(join(tmpdir(), 'snapshot-'));
afterAll(() => rmSync(folder, { recursive: true }));
const text = readFileSync(
  fileURLToPath(new URL('../../machines/secure-island.yaml', import.meta.url)),
  'utf8',
);

function machineOf(set: readonly string[] = [], from = text): Machine {
  const { machine, diagnostics } = loadMachine(from, 'island.yaml', { global: [], set });
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

const machine = machineOf();
const order = { file: join(folder, 'island.snap'), at: { kind: 'accesses', accesses: 300 } } as const;
const { report: whole, snapshot } = await runWithSnapshot(machine, order);
const file = readFileSync(order.file);

function problemOf(bytes: Buffer): SnapshotError {
  try {
    decodeSnapshot(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(SnapshotError);
    return error as SnapshotError;
  }
  return expect.unreachable('it was taken for a snapshot');
}

/** The file with its sections changed, and its checksum made right again. */
function rebuilt(change: (section: Section) => Section | Section[], all = parseContainer(file)): Buffer {
  const header = new HeaderMaker();
  const sections = all.flatMap((stored) => {
    const { name, instance, version } = stored;
    return [change({ name, instance, version, bytes: inflateSection(stored) })].flat();
  });
  const encoded = sections.map((section) => encodeSection(section));
  for (const one of encoded) header.add(one);
  return Buffer.concat([header.finish(), ...encoded]);
}

type Fields = Record<string, unknown>;
function fieldsOf(name: string, instance: string): Fields {
  const stored = parseContainer(file).find((one) => one.name === name && one.instance === instance)!;
  return JSON.parse(inflateSection(stored).toString());
}
function withFields(name: string, change: (fields: Fields) => Fields, all = parseContainer(file)): Buffer {
  return rebuilt((section) => {
    if (section.name !== name) return section;
    const json = JSON.stringify(change(JSON.parse(Buffer.from(section.bytes).toString())));
    return { ...section, bytes: Buffer.from(json) };
  }, all);
}

describe('a snapshot of a machine with a Secure and a Non-secure SMMU', () => {
  const names = () => parseContainer(file).map(({ name, instance }) => `${name} ${instance}`);

  it('A47: the run that took it and the one that goes on from it end alike', async () => {
    expect(whole.failures).toEqual([]);
    expect(snapshot).toMatchObject({ file: order.file, bytes: file.length });
    expect(snapshot!.accesses).toBeGreaterThanOrEqual(300);
    const rest = await restoreMachine(await readSnapshot(order.file));
    expect(rest.failures).toEqual([]);
    expect(rest.verifiedBytes).toBe(whole.verifiedBytes);
    const counted = ({ devices }: typeof rest) =>
      devices.map(({ id, accesses, aborts, steps }) => [id, accesses, aborts, steps]);
    expect(counted(rest)).toEqual(counted(whole));
  });

  it('A43: a section smmuv3 for each SMMU, a section smmuv3/bank_s exactly where Secure support is on', () => {
    const secure = machine.smmus.filter(({ config }) => config.idr.S_IDR1 >>> 31).map(({ id }) => id);
    expect(secure.length).toBeGreaterThan(0);
    expect(secure.length).toBeLessThan(machine.smmus.length);
    const of = (name: string) => names().filter((one) => one.startsWith(`${name} `));
    expect(of('smmuv3')).toEqual(machine.smmus.map(({ id }) => `smmuv3 ${id}`));
    expect(of('smmuv3/bank_s')).toEqual(secure.map((id) => `smmuv3/bank_s ${id}`));
  });

  it('A44: the Secure section has every field of the vmstate, with the registers in them', () => {
    const id = machine.smmus.find(({ config }) => config.idr.S_IDR1 >>> 31)!.id;
    const bank = fieldsOf('smmuv3/bank_s', id).bank as Fields;
    for (const field of [
      ...['features', 'sid_split', 'cr', 'cr0ack', 'gbpa', 'irq_ctrl', 'gerror', 'gerrorn'],
      ...['gerror_irq_cfg0', 'gerror_irq_cfg1', 'gerror_irq_cfg2', 'strtab_base', 'strtab_base_cfg'],
      ...['eventq_irq_cfg0', 'eventq_irq_cfg1', 'eventq_irq_cfg2', 'cmdq', 'eventq'],
    ]) {
      expect(bank, field).toHaveProperty(field);
    }
    const queue = { base: expect.any(String), prod: expect.any(String), cons: expect.any(String) };
    expect(bank.cmdq).toMatchObject({ ...queue, version: 1, log2size: 8 });
    expect(bank.eventq).toMatchObject({ ...queue, version: 1, log2size: expect.any(Number) });
    // What the boot software has programmed: SMMUEN, EVENTQEN, CMDQEN; RECINVSID; a 2-level Stream table, SPLIT 8.
    expect(bank).toMatchObject({ features: 1, sid_split: 8, cr0ack: '0xd', irq_ctrl: '0x5', gerror: '0x0' });
    expect((bank.cr as string[])[0]).toBe('0xd');
    const base = BigInt((bank.cmdq as Fields).base as string);
    expect(Number(base & 0x1fn)).toBe(8);
  });

  it('A45: the Secure GBPA is there, whatever its value; the Non-secure one as well', () => {
    for (const { name, instance } of parseContainer(file)) {
      if (name !== 'smmuv3' && name !== 'smmuv3/bank_s') continue;
      const { gbpa } = fieldsOf(name, instance).bank as Fields;
      expect(BigInt(gbpa as string) & BigInt(GBPA.Update)).toBe(0n);
    }
  });

  it('zero pages are left out', () => {
    const ram = machine.regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    expect(file.length).toBeLessThan(ram / 50);
  });
});

describe('A46, D3: a snapshot of another machine', () => {
  const refusal = (other: Machine): string => {
    try {
      forMachine(decodeSnapshot(file), other);
    } catch (error) {
      expect(error).toMatchObject({ name: 'SnapshotError', problem: 'mismatch' });
      return (error as Error).message;
    }
    return expect.unreachable();
  };

  it('its own, realized anew, is no other', () => {
    expect(forMachine(decodeSnapshot(file), machineOf()).machine.name).toBe(machine.name);
  });

  it('a Secure section for an SMMU without Secure support, and the reverse, name the instance', () => {
    const secure = machine.smmus.find(({ config }) => config.idr.S_IDR1 >>> 31)!.id;
    const plain = machine.smmus.find(({ config }) => config.idr.S_IDR1 >>> 31 === 0)!.id;
    const without = rebuilt((section) => (section.name === 'smmuv3/bank_s' ? [] : section));
    expect(problemOf(without).message).toBe(
      `${secure}: the state has no Secure bank, the SMMU has Secure support`,
    );
    const both = rebuilt((section) =>
      section.name === 'smmuv3/bank_s' ? [section, { ...section, instance: plain }] : section,
    );
    expect(problemOf(both).message).toBe(
      `${plain}: the state has a Secure bank, the SMMU has no Secure support`,
    );
  });

  it('another OAS, another register, another workload', () => {
    const [first] = machine.smmus;
    expect(refusal(machineOf([`smmus.${first!.id}.oas=48`]))).toMatch(
      new RegExp(`^${first!.id}: the state is of an SMMU with an OAS of 44 bits, this one has 48`),
    );
    expect(refusal(machineOf([`smmus.${first!.id}.ril=off`]))).toMatch(new RegExp(`^${first!.id}: .* IDR3`));
    const other = text.replace('pattern: 1', 'pattern: 201');
    expect(other).not.toBe(text);
    expect(refusal(machineOf([], other))).toMatch(/differs from the snapshot's in its workload$/);
  });
});

describe('A48: files that are refused, whole', () => {
  it('foreign, empty, cut off, damaged', () => {
    expect(problemOf(Buffer.from('machine: one-smmu\n')).problem).toBe('foreign');
    expect(problemOf(Buffer.alloc(0)).problem).toBe('foreign');
    for (const length of [8, 20, 55]) expect(problemOf(file.subarray(0, length)).problem).toBe('truncated');
    for (const length of [56, 1000, file.length - 1]) {
      expect(problemOf(file.subarray(0, length)).message).toContain(`${length} of its ${file.length} bytes`);
    }
    expect(problemOf(Buffer.concat([file, Buffer.alloc(1)])).problem).toBe('damaged');
    const random = new Random(5);
    for (let run = 0; run < 20; run++) {
      const bytes = Buffer.from(file);
      const at = 24 + random.below(bytes.length - 24);
      bytes[at] = bytes[at]! ^ (1 << random.below(8));
      expect(problemOf(bytes).problem).toBe('damaged');
    }
  });

  it('another version of the container, of any section, and of a structure', () => {
    const future = Buffer.from(file);
    future.writeUInt32LE(2, 8);
    expect(problemOf(future)).toMatchObject({
      problem: 'version',
      message: 'the file has version 2; this smmulator reads version 1',
    });
    for (const name of [
      'machine',
      'smmuv3',
      'smmuv3/bank_s',
      'smmuv3/tbu',
      'devices',
      'software',
      'memory',
    ]) {
      const bytes = rebuilt((section) => (section.name === name ? { ...section, version: 7 } : section));
      expect(problemOf(bytes), name).toMatchObject({
        problem: 'version',
        message: expect.stringContaining('version 7'),
      });
    }
    for (const structure of ['bank', 'cmdq']) {
      const bytes = withFields('smmuv3/bank_s', ({ bank }) => {
        const cmdq = {
          ...((bank as Fields).cmdq as Fields),
          ...(structure === 'cmdq' ? { version: 2 } : {}),
        };
        return { bank: { ...(bank as Fields), cmdq, ...(structure === 'bank' ? { version: 2 } : {}) } };
      });
      expect(problemOf(bytes), structure).toMatchObject({ problem: 'version' });
    }
  });

  it('malformed: fields of the wrong kind, missing, unknown or contradictory; sections missing, twice or unknown', () => {
    const bank = (change: Fields) =>
      withFields('smmuv3/bank_s', (fields) => ({ bank: { ...(fields.bank as Fields), ...change } }));
    const wrong: [Buffer, RegExp][] = [
      [bank({ gbpa: 5 }), /bank_s of \S+\.bank\.gbpa is not a hex string/],
      [bank({ cr: ['0x0'] }), /cr is not|CR1|is missing/],
      [bank({ gerror: undefined }), /gerror is not there/],
      [bank({ colour: 1 }), /bank\.colour is not known/],
      [bank({ sid_split: 6 }), /sid_split is not what the registers say/],
      [bank({ features: 0 }), /features is not what the registers say/],
      [bank({ cr0ack: '0xffffffff' }), /SMMU_S_CR0ACK cannot hold/],
      [rebuilt((section) => (section.name === 'software' ? [] : section)), /it has 0 of section software/],
      [
        rebuilt((section) => (section.name === 'smmuv3' ? [section, section] : section)),
        /it has 2 of section smmuv3/,
      ],
      [rebuilt((section) => [section, { ...section, name: 'smmuv9' }]), /section smmuv9.* is not known/],
      [
        rebuilt((section) =>
          section.name === 'devices' ? { ...section, bytes: Buffer.from('{') } : section,
        ),
        /no JSON/,
      ],
      [
        rebuilt((section) =>
          section.name === 'memory' ? { ...section, bytes: section.bytes.subarray(0, -8) } : section,
        ),
        /not whole pages/,
      ],
      [
        rebuilt((section) => (section.name === 'memory' ? { ...section, instance: 'x' } : section)),
        /no such region/,
      ],
      [withFields('machine', (fields) => ({ ...fields, text: 'machine: x' })), /cannot be realized here/],
      [
        withFields('machine', (fields) => ({ ...fields, overrides: { set: ['nonsense'] } })),
        /its machine island.yaml: /,
      ],
      [withFields('devices', () => ({ lanes: [] })), /0 DMA threads/],
      [withFields('devices', () => ({ lanes: [[]] })), /the state says nothing of its progress/],
    ];
    for (const [bytes, message] of wrong) expect(problemOf(bytes).message).toMatch(message);
  });

  it('no file makes the reader do anything but refuse or read', () => {
    const random = new Random(11);
    const mutate = (json: unknown): unknown => {
      if (Array.isArray(json))
        return json.length > 0 && random.chance(90)
          ? json.with(random.below(json.length), mutate(random.pick(json)))
          : [];
      if (typeof json === 'object' && json !== null) {
        const key = random.pick(Object.keys(json));
        return { ...json, [key]: mutate((json as Fields)[key]) };
      }
      return random.pick<unknown>([
        null,
        -1,
        1e300,
        2 ** 53,
        0.5,
        'x',
        '0xffffffffffffffff',
        true,
        [],
        {},
        'AAAA',
      ]);
    };
    const small = parseContainer(file).filter(({ name }) => name !== 'memory');
    const kinds = ['smmuv3', 'smmuv3/bank_s', 'smmuv3/tbu', 'devices', 'software'];
    for (let run = 0; run < RUNS; run++) {
      const kind = random.pick(kinds);
      const bytes = withFields(kind, (fields) => mutate(fields) as Fields, small);
      try {
        decodeSnapshot(bytes);
      } catch (error) {
        expect(error, String((error as Error).stack)).toBeInstanceOf(SnapshotError);
      }
    }
  }, 120_000);
});

describe('a file that cannot be written', () => {
  it('is a sentence, and nothing is left of it; a file that was there stays', async () => {
    const { state, fill } = decodeSnapshot(file);
    const { GuestMemory } = await import('../../src/memory/guest-memory.js');
    const memory = GuestMemory.create(machine.regions);
    fill(memory);
    const here = mkdtempSync(join(folder, 'write-'));
    writeFileSync(join(here, 'old'), 'old');
    const write = (name: string, of = state) => writeSnapshot(join(here, name), machine, of, memory);
    await expect(write('no/such/folder.snap')).rejects.toMatchObject({
      problem: 'unwritable',
      message: expect.stringMatching(/folder\.snap cannot be written: no such file or folder$/),
    });
    // What fails half-way: a state that has no form.
    const broken = { ...state, software: { ...state.software, interfaces: [undefined as never] } };
    await expect(write('old', broken)).rejects.toThrow(TypeError);
    expect(readdirSync(here)).toEqual(['old']);
    expect(readFileSync(join(here, 'old'), 'utf8')).toBe('old');
    expect(await write('old')).toBe(file.length);
    expect(readFileSync(join(here, 'old')).equals(file)).toBe(true);
    await expect(readSnapshot(join(here, 'absent'))).rejects.toMatchObject({ problem: 'unreadable' });
    for (const endless of ['/dev/zero', here]) {
      await expect(readSnapshot(endless)).rejects.toMatchObject({ problem: 'unreadable' });
    }
  });
});

describe('a machine that no snapshot holds', () => {
  it('with an accelerated SMMU is refused before it is started, by the name of that', async () => {
    const path = fileURLToPath(new URL('../../machines/accelerated.yaml', import.meta.url));
    const accelerated = machineOf([], readFileSync(path, 'utf8'));
    const { id } = accelerated.smmus.find(({ accel }) => accel !== undefined)!;
    const refused = runWithSnapshot(accelerated, { file: join(folder, 'no.snap'), at: { kind: 'boot' } });
    await expect(refused).rejects.toMatchObject({
      problem: 'unsupported',
      message: expect.stringMatching(`^${id}: `),
    });
  });
});
