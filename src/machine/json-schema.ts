/**
 * The JSON Schema of the machine file, for editors: made from the same declarations that the reader follows.
 *
 * Uses zod for the export; nothing else imports this file, so a check of a machine file never loads zod.
 */
import { z } from 'zod';
import { DRIVERS, MACHINE_SHAPE } from './file-shape.js';
import { HEX_PATTERN, type JsonForm } from './kinds.js';
import { appliesTo, type Key, type Kind, type RecordKind, requiredFor, type Shape } from './shape.js';

const TITLE = 'smmulator machine file';

export function machineSchema(): z.ZodType {
  return z
    .strictObject(properties(MACHINE_SHAPE, undefined))
    .describe(`${TITLE}: memory, SMMUs, PCIe and devices.`);
}

/** The text of machines/machine.schema.json. */
export function jsonSchemaText(): string {
  const schema = z.toJSONSchema(machineSchema(), { target: 'draft-2020-12', io: 'input' });
  return `${JSON.stringify({ title: TITLE, ...schema }, null, 2)}\n`;
}

function properties(shape: Shape, type: string | undefined): Record<string, z.ZodType> {
  const keys = Object.entries(shape).filter(([, declared]) => appliesTo(declared, type));
  return Object.fromEntries(keys.map(([name, declared]) => [name, property(name, declared, type)]));
}

function property(name: string, declared: Key, type: string | undefined): z.ZodType {
  const isTheType = name === 'type' && type !== undefined;
  const base = isTheType ? z.literal(type) : typeOf(declared.kind);
  const described = base.describe(documentation(declared));
  return requiredFor(declared, type) ? described : described.optional();
}

function documentation({ doc, fallback }: Key): string {
  return fallback === undefined || doc.includes('Default') ? doc : `${doc} Default: ${fallback}.`;
}

function typeOf(kind: Kind): z.ZodType {
  switch (kind.kind) {
    case 'scalar':
      return scalarType(kind.json);
    case 'record':
      return recordType(kind);
    case 'list':
      return z.array(typeOf(kind.element));
    case 'dictionary':
      return z.record(z.string(), typeOf(kind.element));
    case 'raw':
      return globalsType();
  }
}

/** A record whose keys depend on its type is a choice of records. */
function recordType({ shape }: RecordKind): z.ZodType {
  const types = new Set(Object.values(shape).flatMap((declared) => declared.only ?? []));
  if (types.size === 0) return z.strictObject(properties(shape, undefined));
  const choices = (shape.type!.kind as { json: { words: readonly string[] } }).json.words;
  return z.union(choices.map((type) => z.strictObject(properties(shape, type))));
}

function globalsType(): z.ZodType {
  const defaults = Object.entries<Shape>(DRIVERS).flatMap(([driver, shape]) =>
    Object.entries(shape)
      .filter(([, declared]) => declared.global === true)
      .map(([name, declared]) => [
        `${driver}.${name}`,
        typeOf(declared.kind).describe(documentation(declared)).optional(),
      ]),
  );
  return z.strictObject(Object.fromEntries(defaults));
}

function scalarType(json: JsonForm): z.ZodType {
  switch (json.form) {
    case 'text':
      return z.string().min(1);
    case 'source-text':
      return z.union([z.string(), z.number()]);
    case 'text-or-off':
      return z.union([z.string().min(1), z.literal(false)]);
    case 'words':
      return z.literal([...json.words]);
    case 'number':
      return numberType(json.min, json.max, json.pattern);
    case 'or-auto':
      return z.union([z.literal('auto'), scalarType(json.of)]);
    case 'words-or-number':
      return z.union([z.literal([...json.words]), numberType(0, undefined, HEX_PATTERN)]);
  }
}

function numberType(min: number, max: number | undefined, pattern: string): z.ZodType {
  const number = max === undefined ? z.int().min(min) : z.int().min(min).max(max);
  return z.union([number, z.string().regex(new RegExp(pattern))]);
}
