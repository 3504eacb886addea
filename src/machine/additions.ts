/**
 * A machine file's tree with items that came later, without devices that went, and with buses that were numbered anew: what
 * the file would say if it had been written for the machine as it is now.
 */
import type { Reporter } from './diagnostics.js';
import { nodeNumber } from './kinds.js';
import { elementId, itemType } from './read.js';
import { unknownReference } from './rules/references.js';
import { schema, yamlSyntax } from './rules/schema.js';
import { type Sources, SourceText } from './source.js';
import { type MapNode, parseTree, type TreeNode } from './tree.js';

/** One item of a section, as the machine file would have it. */
export interface Addition {
  readonly section: 'devices' | 'software';
  readonly text: string;
  /** What diagnostics call the text. */
  readonly fileName: string;
}

/** A bus's number as software has written it since. */
export interface Renumbering {
  readonly bus: string;
  readonly number: number;
  /** What diagnostics call it. */
  readonly fileName: string;
}

/** What has happened to a machine since its file was read. */
export interface Changes {
  readonly additions: readonly Addition[];
  /** Devices of the file that are not there any more. */
  readonly removed: ReadonlySet<string>;
  readonly renumberings: readonly Renumbering[];
}

/** Appends an item to its section; a text that is no YAML, or nothing, is reported. */
export function addItem(root: MapNode, addition: Addition, sources: Sources, reporter: Reporter): void {
  const { section, fileName } = addition;
  const source = new SourceText(addition.text);
  const start = sources.add(fileName, source);
  const { root: item, problems } = parseTree(source.text, start);
  for (const { offset, message } of problems) {
    reporter.at(yamlSyntax, { offset, path: section }, message, 'correct the YAML; nothing else was checked');
  }
  if (problems.length > 0) return;
  if (item === undefined) {
    reporter.at(
      schema,
      { offset: start, path: section },
      `an item of ${section} is empty`,
      'write keys and values',
    );
    return;
  }
  const list = root.entries.find(({ key }) => key === section)?.value;
  if (list?.kind === 'list') list.items.push(item);
  else
    root.entries.push({
      key: section,
      keyOffset: start,
      value: { kind: 'list', offset: start, items: [item] },
    });
}

/**
 * Takes devices of the file out, with what the file has them do and what software programs for them.
 * @param end offset of the file's end: another device of that name may have been added since.
 */
export function removeDevices(root: MapNode, ids: ReadonlySet<string>, end: number): void {
  const stays = (item: MapNode, id: string | undefined) => item.offset >= end || !ids.has(id ?? '');
  filterSection(root, 'devices', (item) => stays(item, elementId(item)));
  for (const section of ['software', 'workload']) {
    filterSection(root, section, (item) => stays(item, deviceOf(item)));
  }
}

/**
 * Gives a bus its new number, with a text of its own as the place; a bus that is not there is reported. The range that a port
 * forwards keeps its length. Buses below keep their numbers: software writes each port.
 */
export function renumberBus(root: MapNode, change: Renumbering, sources: Sources, reporter: Reporter): void {
  const { bus: id, number, fileName } = change;
  const text = `${number}`;
  const offset = sources.add(fileName, new SourceText(text));
  const section = root.entries.find(({ key }) => key === 'buses')?.value;
  const buses = section?.kind === 'list' ? section.items.filter((item) => item.kind === 'map') : [];
  const bus = buses.find((item) => elementId(item) === id);
  if (bus === undefined) {
    const known = buses.map((item) => elementId(item)).join(', ');
    const place = { offset, path: `buses.${id}` };
    reporter.at(unknownReference, place, `no bus is called '${id}'`, `there is ${known || 'none'}`);
    return;
  }
  const put = (name: string, to: number) => {
    const others = bus.entries.filter(({ key }) => key !== name);
    const value: TreeNode = { kind: 'scalar', offset, text: `${to}`, plain: true };
    bus.entries.splice(0, bus.entries.length, ...others, { key: name, keyOffset: offset, value });
  };
  const isPort = itemType(bus) === 'pcie-root-port';
  const subordinate = isPort ? numberOf(bus, 'subordinate') : undefined;
  if (subordinate !== undefined) put('subordinate', subordinate + number - numberOf(bus, 'secondary')!);
  put(isPort ? 'secondary' : 'bus-nr', number);
}

function numberOf(item: MapNode, name: string): number | undefined {
  const value = item.entries.find(({ key }) => key === name)?.value;
  return value?.kind === 'scalar' ? nodeNumber(value) : undefined;
}

function filterSection(root: MapNode, section: string, keep: (item: MapNode) => boolean): void {
  const index = root.entries.findIndex(({ key }) => key === section);
  const entry = root.entries[index];
  if (entry?.value.kind !== 'list') return;
  const items = entry.value.items.filter((item) => item.kind !== 'map' || keep(item));
  root.entries[index] = { ...entry, value: { ...entry.value, items } };
}

function deviceOf(item: MapNode): string | undefined {
  const value: TreeNode | undefined = item.entries.find(({ key }) => key === 'device')?.value;
  return value?.kind === 'scalar' ? value.text : undefined;
}
