/**
 * Snapshots in files. A file is written beside its name and renamed when it is whole: there is never half of one. It is
 * read, decoded and checked against the machine as a whole before anything is started with it (REQUIREMENTS A46, A48).
 */
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { loadMachine, OverrideError } from '../machine/load.js';
import type { Machine, MachineSource } from '../machine/types.js';
import type { GuestMemory } from '../memory/guest-memory.js';
import { checkMachineState, LANES_MAX, type LaneState, type MachineState } from '../runtime/machine-state.js';
import { StateError } from '../smmu/state.js';
import { type Codec, type Json, refuseVersion } from './codec.js';
import {
  describeSection,
  encodeSection,
  HeaderMaker,
  inflateSection,
  parseContainer,
  type Section,
  type StoredSection,
} from './container.js';
import { SnapshotError } from './error.js';
import { decodePages, MEMORY_SECTION, MEMORY_VERSION, memorySections } from './memory-section.js';
import {
  devicesSection,
  machineSection,
  secureBankSection,
  smmuSection,
  softwareSection,
  tbuSection,
} from './state-sections.js';

/** A larger file is refused before it is read. */
const FILE_BYTES_MAX = 2 ** 31;

/** What each kind of section is called, and its version. */
const VERSIONS: Readonly<Record<string, number>> = {
  machine: 1,
  smmuv3: 1,
  'smmuv3/bank_s': 1,
  'smmuv3/tbu': 2,
  devices: 1,
  software: 1,
  [MEMORY_SECTION]: MEMORY_VERSION,
};

export interface Snapshot {
  /** As it was realized from its source. */
  readonly machine: Machine;
  readonly state: MachineState;
  /** Puts the snapshot's memory into one of the same regions that is all zero. */
  readonly fill: (memory: GuestMemory) => void;
}

/**
 * Writes a snapshot. What was in the file before is there until the snapshot is whole.
 * @returns bytes of the file.
 * @throws SnapshotError, unwritable; there is no new file then, and no part of one
 */
export async function writeSnapshot(
  file: string,
  machine: Machine,
  state: MachineState,
  memory: GuestMemory,
): Promise<number> {
  const partial = `${file}.${process.pid}.partial`;
  try {
    const bytes = await writeSections(partial, sections(machine, state, memory));
    await rename(partial, file);
    return bytes;
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {});
    throw fileProblem('unwritable', file, error);
  }
}

async function writeSections(file: string, all: Iterable<Section>): Promise<number> {
  const handle = await open(file, 'wx');
  try {
    const header = new HeaderMaker();
    await handle.writeFile(HeaderMaker.placeholder());
    for (const section of all) {
      const bytes = encodeSection(section);
      header.add(bytes);
      await handle.writeFile(bytes);
    }
    const made = header.finish();
    await handle.write(made, 0, made.length, 0);
    await handle.sync();
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

function* sections(machine: Machine, state: MachineState, memory: GuestMemory): Generator<Section> {
  yield jsonSection('machine', '', machineSection.encode(machine.source));
  for (const [index, { idr, banks, invalidating, stalls }] of state.smmus.entries()) {
    const { id } = machine.smmus[index]!;
    const [bank, secureBank] = banks;
    yield jsonSection('smmuv3', id, smmuSection.encode({ idr, bank: bank!, invalidating, stalls }));
    if (secureBank !== undefined) {
      yield jsonSection('smmuv3/bank_s', id, secureBankSection.encode({ bank: secureBank }));
    }
    for (const [lane, { tbus }] of state.lanes.entries()) {
      for (const { smmu, state: tbu } of tbus) {
        if (smmu === index) yield jsonSection('smmuv3/tbu', id, tbuSection.encode({ lane, tbu }));
      }
    }
  }
  yield jsonSection(
    'devices',
    '',
    devicesSection.encode({ lanes: state.lanes.map(({ devices }) => devices) }),
  );
  yield jsonSection('software', '', softwareSection.encode(state.software));
  for (const { id } of machine.regions) yield* memorySections(memory, id);
}

function jsonSection(name: string, instance: string, json: Json): Section {
  return { name, instance, version: VERSIONS[name]!, bytes: Buffer.from(JSON.stringify(json)) };
}

/**
 * Reads a snapshot and realizes its machine. Nothing is started.
 * @throws SnapshotError
 */
export async function readSnapshot(file: string): Promise<Snapshot> {
  try {
    return decodeSnapshot(await readWhole(file));
  } catch (error) {
    if (error instanceof SnapshotError) throw new SnapshotError(error.problem, `${file}: ${error.message}`);
    throw fileProblem('unreadable', file, error);
  }
}

async function readWhole(file: string): Promise<Buffer> {
  const found = await stat(file);
  // A device might never end.
  if (!found.isFile()) throw new SnapshotError('unreadable', 'is not a file');
  const { size } = found;
  if (size > FILE_BYTES_MAX)
    throw new SnapshotError('malformed', `${size} bytes are more than a snapshot can have`);
  return await readFile(file);
}

/** Decodes the bytes of a file. @throws SnapshotError */
export function decodeSnapshot(file: Buffer): Snapshot {
  const all = parseContainer(file);
  for (const section of all) {
    const known = VERSIONS[section.name];
    if (known === undefined) throw new SnapshotError('malformed', `${describeSection(section)} is not known`);
    if (section.version !== known) refuseVersion(describeSection(section), section.version, known);
  }
  const machine = realizeAgain(only(all, 'machine', machineSection));
  const pages = all.filter(({ name }) => name === MEMORY_SECTION);
  // Decoded now to be checked, and once more by fill: what a large memory holds is never here as a whole.
  for (const section of pages) decodePages(section, machine.regions);
  const state = decodeState(all, machine);
  const snapshot: Snapshot = {
    machine,
    state,
    fill: (memory) => {
      for (const section of pages) {
        for (const page of decodePages(section, machine.regions)) memory.setPage(section.instance, page);
      }
    },
  };
  checkAgainst(snapshot, machine);
  return snapshot;
}

/**
 * The same snapshot for a machine that was made anew, which must be the same in all that a state depends on.
 * @throws SnapshotError, mismatch: it names the instance or the part that differs
 */
export function forMachine(snapshot: Snapshot, machine: Machine): Snapshot {
  checkAgainst(snapshot, machine);
  for (const key of Object.keys(snapshot.machine) as (keyof Machine)[]) {
    if (key === 'name' || key === 'source') continue;
    if (!isDeepStrictEqual(snapshot.machine[key], machine[key])) {
      throw new SnapshotError(
        'mismatch',
        `machine ${machine.name} differs from the snapshot's in its ${key}`,
      );
    }
  }
  return { ...snapshot, machine };
}

function checkAgainst({ state }: Snapshot, machine: Machine): void {
  try {
    checkMachineState(machine, state);
  } catch (error) {
    if (error instanceof StateError) throw new SnapshotError('mismatch', error.message);
    throw error;
  }
}

function realizeAgain({ fileName, text, overrides }: MachineSource): Machine {
  try {
    const { machine, diagnostics } = loadMachine(text, fileName, overrides);
    if (machine !== undefined) return machine;
    const [first] = diagnostics.filter(({ severity }) => severity === 'error');
    throw new SnapshotError('mismatch', `its machine ${fileName} cannot be realized here: ${first!.message}`);
  } catch (error) {
    if (error instanceof OverrideError)
      throw new SnapshotError('malformed', `its machine ${fileName}: ${error.message}`);
    throw error;
  }
}

function decodeState(all: readonly StoredSection[], machine: Machine): MachineState {
  const ids = new Set(machine.smmus.map(({ id }) => id));
  const stray = all.find(({ name, instance }) => name.startsWith('smmuv3') && !ids.has(instance));
  if (stray !== undefined)
    throw new SnapshotError('mismatch', `${describeSection(stray)}: the machine has no such SMMU`);
  const { lanes } = only(all, 'devices', devicesSection);
  if (lanes.length > LANES_MAX) throw new SnapshotError('malformed', `${lanes.length} DMA threads`);
  const tbus = all
    .filter(({ name }) => name === 'smmuv3/tbu')
    .map((section) => ({
      ...decode(section, tbuSection),
      smmu: machine.smmus.findIndex(({ id }) => id === section.instance),
    }));
  return {
    lanes: lanes.map(
      (devices, index): LaneState => ({
        devices,
        tbus: tbus.filter(({ lane }) => lane === index).map(({ smmu, tbu }) => ({ smmu, state: tbu })),
      }),
    ),
    smmus: machine.smmus.map(({ id }) => {
      const { bank, ...rest } = only(all, 'smmuv3', smmuSection, id);
      const secure = all.filter(({ name, instance }) => name === 'smmuv3/bank_s' && instance === id);
      return { ...rest, banks: [bank, ...secure.map((section) => decode(section, secureBankSection).bank)] };
    }),
    software: only(all, 'software', softwareSection),
  };
}

function only<T>(all: readonly StoredSection[], name: string, codec: Codec<T>, instance = ''): T {
  const found = all.filter((section) => section.name === name && section.instance === instance);
  if (found.length !== 1) {
    throw new SnapshotError('malformed', `it has ${found.length} of ${describeSection({ name, instance })}`);
  }
  return decode(found[0]!, codec);
}

function decode<T>(section: StoredSection, codec: Codec<T>): T {
  const where = describeSection(section);
  const content = inflateSection(section);
  let json: unknown;
  try {
    json = JSON.parse(content.toString());
  } catch {
    throw new SnapshotError('malformed', `${where} is no JSON`);
  }
  return codec.decode(json, where);
}

const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'no such folder',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
};

/** What the file system refused, as a sentence; any other error as it is. */
function fileProblem(problem: 'unreadable' | 'unwritable', file: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return error;
  const verb = problem === 'unreadable' ? 'read' : 'written';
  const reason = FILE_PROBLEMS[String(error.code)] ?? error.message;
  return new SnapshotError(problem, `${file} cannot be ${verb}: ${reason}`);
}
