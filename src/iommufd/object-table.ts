/**
 * The objects of one open iommufd: numbers, reference counts, and the order in which they go.
 *
 * An object counts its users: objects that were made from it, and devices that are attached to it. It can be destroyed
 * when there are none. An object is in the table only once it is complete, so that whoever fails while making
 * one leaves nothing behind.
 */
import { IommufdError } from './errors.js';

export type ObjectKind = 'device' | 'ioas' | 'hwpt-paging' | 'hwpt-nested' | 'viommu' | 'vdevice' | 'veventq';

/** Plain data; addresses and StreamIDs are hex strings. */
export type Content = Readonly<Record<string, string | number | boolean | null | readonly Content[]>>;

export interface IommufdObject {
  readonly kind: ObjectKind;
  /** What it holds, for those who look at the table. */
  content(): Content;
  /** Gives back what the object took when it was made. Called when no user is left. */
  release(): void;
}

/** An object and its references. */
export interface ObjectRecord {
  readonly id: number;
  readonly kind: ObjectKind;
  /** How many objects were made from it and devices are attached to it. */
  readonly users: number;
  /** The objects that it was made from. */
  readonly from: readonly number[];
  readonly content: Content;
}

interface Entry {
  readonly object: IommufdObject;
  /** Objects that it was made from. */
  readonly from: readonly number[];
  users: number;
}

export class ObjectTable {
  readonly #entries = new Map<number, Entry>();
  #next = 1;

  get size(): number {
    return this.#entries.size;
  }

  /** Adds a complete object, which from now on uses those that it was made from. */
  add(object: IommufdObject, from: readonly number[] = []): number {
    const id = this.#next++;
    this.#entries.set(id, { object, from, users: 0 });
    for (const used of from) this.hold(used);
    return id;
  }

  /** @throws IommufdError ENOENT when there is no such object, or one of another kind. */
  get<T extends IommufdObject>(id: number, kind: T['kind']): T {
    const object = this.find(id);
    if (object.kind !== kind) throw new IommufdError('ENOENT', `object ${id} is no ${kind}`);
    return object as T;
  }

  find(id: number): IommufdObject {
    return this.#entry(id).object;
  }

  hold(id: number): void {
    this.#entry(id).users++;
  }

  drop(id: number): void {
    this.#entry(id).users--;
  }

  users(id: number): number {
    return this.#entry(id).users;
  }

  /** @throws IommufdError ENOENT, or EBUSY while somebody uses the object. */
  destroy(id: number): void {
    const { object, from, users } = this.#entry(id);
    if (users > 0) throw new IommufdError('EBUSY', `${object.kind} ${id} has ${users} users`);
    object.release();
    this.#entries.delete(id);
    for (const used of from) this.drop(used);
  }

  ids(kind: ObjectKind): number[] {
    return [...this.#entries].filter(([, { object }]) => object.kind === kind).map(([id]) => id);
  }

  /** Destroys everything, users before what they use. */
  clear(): void {
    while (this.#entries.size > 0) {
      const free = [...this.#entries].filter(([, { users }]) => users === 0);
      if (free.length === 0) throw new Error(`iommufd: references in a circle\n${this.print()}`);
      // The youngest first, as objects that know of each other without a reference expect.
      for (const [id] of free.reverse()) this.destroy(id);
    }
  }

  /** All objects, in the order of their numbers. */
  list(): ObjectRecord[] {
    return [...this.#entries].map(([id, { object, users, from }]) => ({
      ...{ id, kind: object.kind, users, from },
      content: object.content(),
    }));
  }

  /** One line for each object: number, kind, users, content. Empty when there is none. */
  print(): string {
    return this.list()
      .map(({ id, kind, users, from, content }) =>
        [
          `${id} ${kind}`,
          printed({ users, ...(from.length > 0 && { from: from.join(',') }), ...content }),
        ].join(' '),
      )
      .join('\n');
  }

  #entry(id: number): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new IommufdError('ENOENT', `no object ${id}`);
    return entry;
  }
}

function printed(content: Content): string {
  return Object.entries(content)
    .map(
      ([name, value]) =>
        `${name}=${isList(value) ? value.map((one) => `[${printed(one)}]`).join('') : value}`,
    )
    .join(' ');
}

function isList(value: Content[string]): value is readonly Content[] {
  return Array.isArray(value);
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
