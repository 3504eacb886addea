/**
 * `--set smmus.smmu0.oas=48` and `--global arm-smmuv3.stage=nested`: the command line's say in a machine file.
 *
 * Both are put into the tree before it is read, so that every rule applies to them as to the file. A value takes
 * the place of the value that it replaces, or of its item. --set wins over the instance, the instance over
 * --global, --global over the file's `global`; among equals the last wins.
 */
import { MACHINE_SHAPE } from './file-shape.js';
import { elementId, entryMeaning, globalTarget, itemType } from './read.js';
import { nearest } from './rules/schema.js';
import { appliesTo, type Kind, type Shape } from './shape.js';
import { type MapEntry, type MapNode, parseTree, type TreeNode } from './tree.js';

export interface Overrides {
  /** `arm-smmuv3.stage=nested` */
  readonly global?: readonly string[];
  /** `smmus.smmu0.oas=48` */
  readonly set?: readonly string[];
}

/** A wrong command line: an unknown instance, property or option, or a missing `=`. */
export class OverrideError extends Error {
  override readonly name = 'OverrideError';
}

interface Assignment {
  /** As typed, for messages. */
  readonly text: string;
  readonly path: string;
  readonly value: string;
}

/** Checks what can be checked without a file. @throws OverrideError */
export function parseOverrides(overrides: Overrides): { set: Assignment[]; global: Assignment[] } {
  const set = (overrides.set ?? []).map((text) => assignment('--set', text));
  const global = (overrides.global ?? []).map((text) => assignment('--global', text));
  for (const { text, path } of set) {
    const section = path.split('.', 1)[0]!;
    if (section === 'global')
      throw new OverrideError(`${text}: write --global ${text.slice('--set global.'.length)}`);
    if (!Object.hasOwn(MACHINE_SHAPE, section))
      throw unknown(text, 'section', section, Object.keys(MACHINE_SHAPE));
  }
  for (const { text, path } of global) {
    if (globalTarget(path) === undefined)
      throw new OverrideError(`${text}: no property '${path}' that has a default`);
  }
  return { set, global };
}

function assignment(option: string, text: string): Assignment {
  const equals = text.indexOf('=');
  if (equals < 0)
    throw new OverrideError(`${option} ${text}: '=' is missing, as in ${option} PROPERTY=VALUE`);
  return { text: `${option} ${text}`, path: text.slice(0, equals), value: text.slice(equals + 1) };
}

function unknown(text: string, what: string, name: string, known: readonly string[]): OverrideError {
  const near = known.length === 0 ? '' : `; the nearest known one is '${nearest(name, known).word}'`;
  return new OverrideError(`${text}: unknown ${what} '${name}'${near}`);
}

/** Puts the overrides into the tree. @throws OverrideError for an instance or property that is not there */
export function applyOverrides(root: MapNode, overrides: ReturnType<typeof parseOverrides>): void {
  for (const set of overrides.set) {
    assign(root, { kind: 'record', shape: MACHINE_SHAPE }, set.path, set);
  }
  // Last wins: a Map keeps the last value of each property.
  for (const global of new Map(overrides.global.map((each) => [each.path, each])).values()) {
    applyGlobal(root, global);
  }
}

function applyGlobal(root: MapNode, global: Assignment): void {
  const defaults = entryOf(root, 'global')?.value;
  const replaced = defaults?.kind === 'map' ? entryOf(defaults, global.path) : undefined;
  if (defaults?.kind === 'map' && replaced !== undefined) {
    putEntry(defaults, global.path, valueNode(global.value, replaced.value.offset));
    return;
  }
  const { driver, property, shape } = globalTarget(global.path)!;
  for (const item of instancesOf(root, driver)) {
    if (entryMeaning(item, property, shape) === undefined)
      putEntry(item, property, valueNode(global.value, item.offset));
  }
}

/** The items of all sections that a driver name stands for. */
function instancesOf(root: MapNode, driver: string): MapNode[] {
  return Object.entries<{ kind: Kind }>(MACHINE_SHAPE).flatMap(([section, { kind }]) => {
    const node = entryOf(root, section)?.value;
    if (kind.kind !== 'list' || kind.element.kind !== 'record' || node?.kind !== 'list') return [];
    const of = kind.element.driver;
    const maps = node.items.filter((item) => item.kind === 'map');
    return maps.filter((item) => of === driver || (of === 'type' && itemType(item) === driver));
  });
}

function assign(node: TreeNode, kind: Kind, path: string, whole: Assignment): void {
  if (kind.kind === 'record' && node.kind === 'map') assignInRecord(node, kind.shape, path, whole);
  else if (kind.kind === 'list' && node.kind === 'list') assignInList(node.items, kind.element, path, whole);
  else if (kind.kind === 'dictionary' && node.kind === 'map') assignInDictionary(node, path, whole);
  else if (kind.kind === 'scalar') throw unknown(whole.text, 'property', path, []);
  // Else the file has something of the wrong kind here, which is reported as such.
}

function assignInRecord(node: MapNode, shape: Shape, path: string, whole: Assignment): void {
  const type = itemType(node);
  const known = Object.keys(shape).filter((name) => appliesTo(shape[name]!, type));
  const [name, rest] = splitPath(path);
  if (!known.includes(name)) throw unknown(whole.text, 'property', name, known);
  const kind = shape[name]!.kind;
  const present = entryOf(node, name);
  if (rest === undefined) {
    if (kind.kind === 'list' && kind.element.kind === 'record') {
      throw new OverrideError(`${whole.text}: '${name}' is a list; name one of its items and a property`);
    }
    putEntry(node, name, valueNode(whole.value, present?.value.offset ?? node.offset));
    return;
  }
  const child = present?.value ?? emptyNode(kind, node.offset);
  assign(child, kind, rest, whole);
  if (present === undefined) putEntry(node, name, child);
}

/** Ids may hold dots (`pcie.0`), so the longest id that fits is meant. */
function assignInList(items: readonly TreeNode[], kind: Kind, path: string, whole: Assignment): void {
  let best: { node: TreeNode; name: string } | undefined;
  for (const [index, node] of items.entries()) {
    const name = (node.kind === 'map' ? elementId(node) : undefined) ?? String(index);
    if (path.startsWith(`${name}.`) && name.length > (best?.name.length ?? -1)) best = { node, name };
  }
  if (best === undefined) {
    const ids = items.flatMap((node) => (node.kind === 'map' ? (elementId(node) ?? []) : []));
    throw unknown(whole.text, 'instance', splitPath(path)[0], ids);
  }
  assign(best.node, kind, path.slice(best.name.length + 1), whole);
}

function assignInDictionary(node: MapNode, path: string, whole: Assignment): void {
  const present = entryOf(node, path);
  if (present === undefined && path !== 'system' && path !== 'secure') {
    throw unknown(whole.text, 'instance', path, [
      ...node.entries.map((entry) => entry.key ?? ''),
      'system',
      'secure',
    ]);
  }
  putEntry(node, path, valueNode(whole.value, present?.value.offset ?? node.offset));
}

function splitPath(path: string): [string, string | undefined] {
  const dot = path.indexOf('.');
  return dot < 0 ? [path, undefined] : [path.slice(0, dot), path.slice(dot + 1)];
}

function emptyNode(kind: Kind, offset: number): TreeNode {
  return kind.kind === 'list'
    ? { kind: 'list', offset, items: [], fromCommandLine: true }
    : { kind: 'map', offset, entries: [], fromCommandLine: true };
}

function entryOf(node: MapNode, name: string): MapEntry | undefined {
  return node.entries.find((entry) => entry.key === name);
}

function putEntry(node: MapNode, name: string, value: TreeNode): void {
  const index = node.entries.findIndex((entry) => entry.key === name);
  const entry: MapEntry = { key: name, keyOffset: value.offset, value };
  if (index < 0) node.entries.push(entry);
  else node.entries[index] = entry;
}

/** A value as typed: a plain scalar, or YAML where it has brackets or quotes. */
function valueNode(text: string, offset: number): TreeNode {
  const parsed = /^[[{"']/.test(text) ? parseTree(text).root : undefined;
  return parsed === undefined
    ? { kind: 'scalar', offset, text, plain: true, fromCommandLine: true }
    : pinned(parsed, offset);
}

function pinned(node: TreeNode, offset: number): TreeNode {
  const place = { offset, fromCommandLine: true };
  if (node.kind === 'scalar') return { ...node, ...place };
  if (node.kind === 'list')
    return { ...node, ...place, items: node.items.map((item) => pinned(item, offset)) };
  const entries = node.entries.map((entry) => ({
    ...entry,
    keyOffset: offset,
    value: pinned(entry.value, offset),
  }));
  return { ...node, ...place, entries };
}
