/**
 * How the shape of a machine file is declared: records of keys, lists, dictionaries, and the TypeScript types
 * that follow. The declarations themselves are in file-shape.ts.
 */
import type { Place, Value } from './diagnostics.js';
import type { ScalarKind } from './kinds.js';
import type { TreeNode } from './tree.js';

export interface ListKind<K extends ElementKind = ElementKind> {
  readonly kind: 'list';
  readonly element: K;
}

export interface RecordKind<S extends Shape = Shape> {
  readonly kind: 'record';
  readonly shape: S;
  /** The driver whose globals apply, as QEMU's -global names it; `type`: the item's own type. */
  readonly driver?: string;
}

export interface DictionaryKind<K extends ElementKind = ElementKind> {
  readonly kind: 'dictionary';
  readonly element: ListKind<K>;
}

/** Taken as the tree has it, and read elsewhere. */
export interface RawKind {
  readonly kind: 'raw';
}

export type ElementKind = ScalarKind<unknown> | RecordKind;
export type Kind = ElementKind | ListKind | DictionaryKind | RawKind;

export interface Key<K extends Kind = Kind> {
  readonly kind: K;
  /** What the key means: shown by editors through the JSON Schema, and in the reference. */
  readonly doc: string;
  /** True, or the types of item that must have it. */
  readonly required?: boolean | readonly string[];
  /** The types of item that may have it; absent: all. */
  readonly only?: readonly string[];
  /** Whether `global` can give it a machine-wide default. */
  readonly global?: boolean;
  /** In effect where nobody gives a value. */
  readonly fallback?: unknown;
}

export type Shape = Readonly<Record<string, Key>>;

/** A record as read: its place, what messages call it, and one Value per key of its shape. */
export type Item<S extends Shape = Shape> = {
  readonly at: Place;
  readonly label: string;
} & { readonly [K in keyof S]: Value<Content<S[K]['kind']>> };

export interface DictionaryEntry<T> {
  readonly name: string;
  readonly at: Place;
  readonly value: Value<T>;
}

/** An element of a list is undefined where it could not be read; it was reported. */
export type Content<K> =
  K extends ScalarKind<infer T>
    ? T
    : K extends RecordKind<infer S>
      ? Item<S>
      : K extends ListKind<infer E>
        ? readonly ListElement<E>[]
        : K extends DictionaryKind<infer E>
          ? readonly DictionaryEntry<readonly ListElement<E>[]>[]
          : TreeNode;

export type ListElement<E> =
  E extends ScalarKind<infer T> ? Value<T> : E extends RecordKind<infer S> ? Item<S> | undefined : never;

export function record<const S extends Shape>(shape: S, driver?: string): RecordKind<S> {
  return driver === undefined ? { kind: 'record', shape } : { kind: 'record', shape, driver };
}

export function list<K extends ElementKind>(element: K): ListKind<K> {
  return { kind: 'list', element };
}

export function dictionary<K extends ElementKind>(element: ListKind<K>): DictionaryKind<K> {
  return { kind: 'dictionary', element };
}

export function key<K extends Kind>(kind: K, doc: string, rest: Omit<Key, 'kind' | 'doc'> = {}): Key<K> {
  return { kind, doc, ...rest };
}

/** Whether a key belongs to an item of a type; an unknown type has them all. */
export function appliesTo(of: Key, type: string | undefined): boolean {
  return of.only === undefined || type === undefined || of.only.includes(type);
}

export function requiredFor(of: Key, type: string | undefined): boolean {
  if (typeof of.required === 'boolean') return of.required;
  return of.required !== undefined && type !== undefined && of.required.includes(type);
}
