/**
 * From tree to description: every section read by its declared shape, defaults filled in, what does not fit
 * reported once and marked, so that no later rule trips over it.
 */
import { isReported, type Place, type Reporter, type Value } from './diagnostics.js';
import { DRIVERS, MACHINE_SHAPE, type MachineItem } from './file-shape.js';
import { describeScalar } from './kinds.js';
import { nearest, reportMissingKey, reportUnknownKey, reportWrongValue, schema } from './rules/schema.js';
import {
  appliesTo,
  type Item,
  type Key,
  type Kind,
  type RecordKind,
  requiredFor,
  type Shape,
} from './shape.js';
import type { MapEntry, MapNode, TreeNode } from './tree.js';

type Globals = Map<string, Map<string, Value<unknown>>>;
type AnyItem = Item<Shape>;

/** Reads the top level. `root` must be a map. */
export function readMachine(root: MapNode, reporter: Reporter): MachineItem {
  const reader = new Reader(reporter);
  reader.readGlobals(entryMeaning(root, 'global', MACHINE_SHAPE)?.value);
  const place = { offset: root.offset, path: '' };
  return reader.readRecord(
    root,
    { kind: 'record', shape: MACHINE_SHAPE },
    place,
    'the machine file',
  ) as unknown as MachineItem;
}

class Reader {
  readonly #reporter: Reporter;
  readonly #globals: Globals = new Map();
  /** False where `global` itself could not be read: any default may have been in it. */
  #globalsKnown = true;

  constructor(reporter: Reporter) {
    this.#reporter = reporter;
  }

  /** `global: { arm-smmuv3.stage: nested }`. */
  readGlobals(node: TreeNode | undefined): void {
    if (node === undefined) return;
    const place = { offset: node.offset, path: 'global' };
    if (node.kind !== 'map') {
      this.#globalsKnown = false;
      reportWrongValue(
        this.#reporter,
        place,
        'global',
        describe(node),
        'a mapping of driver.property to value',
      );
      return;
    }
    for (const entry of node.entries) this.#readGlobal(entry);
  }

  #readGlobal(entry: MapEntry): void {
    const name = entry.key ?? '';
    const keyPlace = { offset: entry.keyOffset, path: `global.${name}` };
    const target = globalTarget(name);
    if (target === undefined) {
      const near = reportUnknownKey(this.#reporter, keyPlace, name, "'global'", globalNames());
      if (near.resembles) this.#guessGlobal(entry.value, near.word, keyPlace);
      return;
    }
    const value = this.#readValue(
      entry.value,
      target.key.kind,
      { ...keyPlace, offset: entry.value.offset },
      name,
    );
    this.#globalsOf(target.driver).set(target.property, value);
  }

  /** A misspelt default stands for the one that it resembles, unless that one is there too. */
  #guessGlobal(node: TreeNode, meant: string, at: Place): void {
    const { driver, property, key } = globalTarget(meant)!;
    const properties = this.#globalsOf(driver);
    if (!properties.has(property)) properties.set(property, this.#guess(node, key.kind, at));
  }

  #globalsOf(driver: string): Map<string, Value<unknown>> {
    const properties = this.#globals.get(driver) ?? new Map<string, Value<unknown>>();
    this.#globals.set(driver, properties);
    return properties;
  }

  readRecord(node: TreeNode, kind: RecordKind, at: Place, label: string): AnyItem | undefined {
    if (node.kind !== 'map') {
      this.#reporter.at(schema, at, `${label} is ${describe(node)}, not a mapping`, 'write keys and values');
      return undefined;
    }
    const type = knownType(node, kind.shape);
    const { own, misspelt } = this.#sortEntries(node, kind.shape, at, label);
    const globals = this.#globals.get(kind.driver === 'type' ? (type ?? '') : (kind.driver ?? ''));
    const item: Record<string, unknown> = { at, label };
    for (const [name, declared] of Object.entries(kind.shape)) {
      const place: Place = { offset: at.offset, path: join(at.path, name) };
      const present = own.get(name);
      if (present !== undefined) item[name] = this.#readOwn(present, declared.kind, place, name);
      else if (misspelt.has(name)) item[name] = this.#guess(misspelt.get(name)!, declared.kind, place);
      else item[name] = this.#readAbsent(declared, place, name, type, label, globals?.get(name));
    }
    return item as AnyItem;
  }

  /** Known entries by key; unknown ones are reported, and stand for the key that they resemble. */
  #sortEntries(node: MapNode, shape: Shape, at: Place, label: string) {
    const known = knownKeys(node, shape);
    const own = new Map<string, TreeNode>();
    const misspelt = new Map<string, TreeNode>();
    for (const entry of node.entries) {
      const name = entry.key ?? '';
      if (entry.key !== undefined && known.includes(name)) {
        own.set(name, entry.value);
        continue;
      }
      const place = { offset: entry.keyOffset, path: join(at.path, name) };
      const near = reportUnknownKey(this.#reporter, place, name, label, known);
      if (near.resembles) misspelt.set(near.word, entry.value);
    }
    return { own, misspelt };
  }

  #readOwn(node: TreeNode, kind: Kind, place: Place, name: string): Value<unknown> {
    return this.#readValue(node, kind, { offset: node.offset, path: place.path }, name);
  }

  /** What a misspelt key would have said: enough to find the item by its name, and reported already. */
  #guess(node: TreeNode, kind: Kind, at: Place): Value<unknown> {
    const parsed = node.kind === 'scalar' && kind.kind === 'scalar' ? kind.parse(node) : undefined;
    const value = parsed !== undefined && 'value' in parsed ? parsed.value : undefined;
    return { value, origin: 'own', at, reported: true };
  }

  #readAbsent(
    declared: Key,
    at: Place,
    name: string,
    type: string | undefined,
    label: string,
    shared: Value<unknown> | undefined,
  ): Value<unknown> {
    if (shared !== undefined) return { value: shared.value, origin: 'global', at, shared, reported: false };
    const missing = requiredFor(declared, type);
    if (missing) reportMissingKey(this.#reporter, at, name, label, declared.doc);
    const origin = declared.fallback === undefined ? 'none' : 'default';
    const doubtful = declared.global === true && !this.#globalsKnown;
    return { value: declared.fallback, origin, at, reported: missing || doubtful };
  }

  #readValue(node: TreeNode, kind: Kind, at: Place, name: string): Value<unknown> {
    const value = this.#readContent(node, kind, at, name);
    return {
      value,
      origin: node.fromCommandLine ? 'command-line' : 'own',
      at,
      reported: value === undefined,
    };
  }

  /** The content of a node, or undefined after a report. */
  #readContent(node: TreeNode, kind: Kind, at: Place, name: string): unknown {
    const refuse = (expected: string): undefined => {
      const suffix = node.fromCommandLine ? ' (from the command line)' : '';
      reportWrongValue(this.#reporter, at, name, describe(node), expected, suffix);
    };
    switch (kind.kind) {
      case 'raw':
        return node;
      case 'record':
        return this.readRecord(node, kind, at, name);
      case 'list':
        return node.kind === 'list'
          ? node.items.map((item, index) => this.#readElement(item, index, kind.element, at, name))
          : refuse('a list');
      case 'dictionary':
        if (node.kind !== 'map') return refuse('a mapping of names to lists');
        return node.entries.map((entry) => {
          const entryName = entry.key ?? '';
          const path = join(at.path, entryName);
          const value = this.#readValue(
            entry.value,
            kind.element,
            { offset: entry.value.offset, path },
            entryName,
          );
          return { name: entryName, at: { offset: entry.keyOffset, path }, value };
        });
      case 'scalar': {
        if (node.kind !== 'scalar') return refuse(expectation(kind));
        const parsed = kind.parse(node);
        return 'value' in parsed ? parsed.value : refuse(parsed.refused);
      }
    }
  }

  #readElement(node: TreeNode, index: number, kind: Kind, listAt: Place, listName: string): unknown {
    const id = node.kind === 'map' ? elementId(node) : undefined;
    const at = { offset: node.offset, path: join(listAt.path, id ?? String(index)) };
    if (kind.kind !== 'record') return this.#readValue(node, kind, at, listName);
    return this.readRecord(node, kind, at, id === undefined ? `${listName}[${index}]` : `'${id}'`);
  }
}

/** What a scalar kind asks for, found out by offering it a text that no kind takes. */
function expectation(kind: Extract<Kind, { kind: 'scalar' }>): string {
  const parsed = kind.parse({ kind: 'scalar', offset: 0, text: '', plain: true });
  return 'refused' in parsed ? parsed.refused : 'a plain value';
}

function describe(node: TreeNode): string {
  if (node.kind === 'scalar') return describeScalar(node);
  return node.kind === 'map' ? 'a mapping' : 'a list';
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function scalarEntry(node: MapNode, name: string): string | undefined {
  const value = node.entries.find((entry) => entry.key === name)?.value;
  return value?.kind === 'scalar' && value.text !== '' ? value.text : undefined;
}

export function elementId(node: MapNode): string | undefined {
  return scalarEntry(node, 'id');
}

/** The text of an item's `type`: the shape of a bus depends on it, and globals go by it. */
export function itemType(node: MapNode): string | undefined {
  return scalarEntry(node, 'type');
}

/** The type where it is one that the shape knows: a wrong word is reported itself, and decides nothing. */
function knownType(node: MapNode, shape: Shape): string | undefined {
  const type = itemType(node);
  const json = shape.type?.kind.kind === 'scalar' ? shape.type.kind.json : undefined;
  return json?.form === 'words' && type !== undefined && json.words.includes(type) ? type : undefined;
}

/** The keys that an item may have, by its type. */
function knownKeys(node: MapNode, shape: Shape): string[] {
  const type = knownType(node, shape);
  return Object.keys(shape).filter((name) => appliesTo(shape[name]!, type));
}

/** An item's entry for a key: under its name, or else under a misspelling of it. */
export function entryMeaning(node: MapNode, name: string, shape: Shape): MapEntry | undefined {
  const known = knownKeys(node, shape);
  const misspelt = ({ key }: MapEntry): boolean => {
    if (key === undefined || known.includes(key)) return false;
    const near = nearest(key, known);
    return near.resembles && near.word === name;
  };
  return node.entries.find(({ key }) => key === name) ?? node.entries.find(misspelt);
}

interface GlobalTarget {
  readonly driver: string;
  readonly property: string;
  readonly key: Key;
  /** Of the driver's items. */
  readonly shape: Shape;
}

/** Driver and property of `arm-smmuv3.stage`, or undefined where there is no such default. */
export function globalTarget(name: string): GlobalTarget | undefined {
  const dot = name.indexOf('.');
  const driver = name.slice(0, dot);
  const property = name.slice(dot + 1);
  const shape: Shape | undefined = Object.hasOwn(DRIVERS, driver)
    ? DRIVERS[driver as keyof typeof DRIVERS]
    : undefined;
  if (shape === undefined || !Object.hasOwn(shape, property)) return undefined;
  const key = shape[property]!;
  return key.global === true ? { driver, property, key, shape } : undefined;
}

function globalNames(): string[] {
  return Object.entries<Shape>(DRIVERS).flatMap(([driver, shape]) =>
    Object.keys(shape)
      .filter((property) => shape[property]!.global === true)
      .map((property) => `${driver}.${property}`),
  );
}

/** Items of a section that could be read. */
export function items<T>(section: Value<readonly (T | undefined)[]>): T[] {
  return (section.value ?? []).filter((item): item is T & {} => item !== undefined);
}

/** Whether a section may hold items that could not be read: a missing one may be among them. */
export function mayHoldMore(
  section: Value<readonly ({ readonly id: Value<string> } | undefined)[]>,
): boolean {
  if (isReported(section)) return true;
  return (section.value ?? []).some(
    (item) => item === undefined || (item.id.reported && item.id.value === undefined),
  );
}
