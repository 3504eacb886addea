/**
 * The header of a scenario, from JSON. Strict: an unknown key, ID register or version is refused.
 */
import { AIDR, IDR0, IDR1, IDR3, IDR5, IIDR, S_IDR0, S_IDR1 } from '../arch/id-registers.js';
import type { Layout } from '../arch/layout.js';
import * as read from './fields.js';
import {
  type Assumption,
  type IdWords,
  type MemoryDescription,
  ONLY_SMMU,
  ScenarioFormatError,
  type ScenarioHeader,
  type SmmuDescription,
} from './format.js';

/** An ID register that a scenario may name; those without a layout describe nothing that can be configured. */
export interface IdRegisterName {
  readonly name: string;
  readonly offset: number;
  readonly layout?: Layout;
}

export const ID_REGISTERS: readonly IdRegisterName[] = [
  { name: 'IDR0', offset: 0x0, layout: IDR0 },
  { name: 'IDR1', offset: 0x4, layout: IDR1 },
  { name: 'IDR2', offset: 0x8 },
  { name: 'IDR3', offset: 0xc, layout: IDR3 },
  { name: 'IDR4', offset: 0x10 },
  { name: 'IDR5', offset: 0x14, layout: IDR5 },
  { name: 'IIDR', offset: 0x18, layout: IIDR },
  { name: 'AIDR', offset: 0x1c, layout: AIDR },
  { name: 'IDR6', offset: 0x190 },
  { name: 'S_IDR0', offset: 0x8000, layout: S_IDR0 },
  { name: 'S_IDR1', offset: 0x8004, layout: S_IDR1 },
  { name: 'S_IDR2', offset: 0x8008 },
  { name: 'S_IDR3', offset: 0x800c },
  { name: 'S_IDR4', offset: 0x8010 },
];

function idRegister(key: string): string {
  const found = ID_REGISTERS.find(({ name, offset }) =>
    key.startsWith('0x') ? Number(key) === offset : key === name,
  );
  if (found === undefined) throw new ScenarioFormatError(`"${key}" is no ID register`);
  return found.name;
}

function readIdWords(value: unknown, what: string): IdWords {
  const words: Record<string, number> = {};
  for (const [key, wordValue] of new read.Fields(value, `"${what}"`).named(read.word)) {
    words[idRegister(key)] = wordValue;
  }
  return words;
}

function readAssumption(value: unknown, what: string): Assumption {
  const fields = new read.Fields(value, `"${what}"`);
  const assumption = { mask: fields.required('mask', read.word), value: fields.required('value', read.word) };
  fields.finish();
  return assumption;
}

function readAssumes(value: unknown, what: string): Record<string, Assumption> {
  const assumes: Record<string, Assumption> = {};
  for (const [key, assumption] of new read.Fields(value, `"${what}"`).named(readAssumption)) {
    assumes[idRegister(key)] = assumption;
  }
  return assumes;
}

function readMemory(value: unknown, what: string): MemoryDescription {
  const fields = new read.Fields(value, `"${what}"`);
  const region = {
    space: fields.required('space', read.security),
    base: fields.required('base', read.address),
    sizeBytes: fields.required('size', read.address),
  };
  fields.finish();
  const { base, sizeBytes } = region;
  if (base % 8 !== 0 || sizeBytes % 8 !== 0 || sizeBytes === 0 || base + sizeBytes > 2 ** 52) {
    throw new ScenarioFormatError(`"${what}" must be whole 64-bit words below 2^52`);
  }
  return region;
}

function smmuReader(sharedIdr: IdWords): read.Reader<SmmuDescription> {
  return (value, what) => {
    const fields = new read.Fields(value, `"${what}"`);
    const stage = fields.optional('stage', read.oneOf('1', '2', 'nested'));
    const oas = fields.optional('oas', read.oneOf(32, 36, 40, 42, 44, 48, 52, 56));
    const sidSize = fields.optional('sidSize', read.count);
    const ssidSize = fields.optional('ssidSize', read.count);
    const secureImpl = fields.optional('secureImpl', read.flag);
    const ats = fields.optional('ats', read.flag);
    // Where the window lies is the machine's business; the steps give offsets.
    fields.optional('base', read.address);
    const idr = fields.optional('idr', readIdWords);
    fields.finish();
    return {
      ...(stage === undefined ? {} : { stage }),
      ...(oas === undefined ? {} : { oas }),
      ...(sidSize === undefined ? {} : { sidSize }),
      ...(ssidSize === undefined ? {} : { ssidSize }),
      ...(secureImpl === undefined ? {} : { secureImpl }),
      ...(ats === undefined ? {} : { ats }),
      idr: { ...sharedIdr, ...idr },
    };
  };
}

function readSmmus(fields: read.Fields, sharedIdr: IdWords): Map<string, SmmuDescription> {
  const describe = smmuReader(sharedIdr);
  if (fields.has('smmu') && fields.has('smmus')) {
    throw new ScenarioFormatError('the header has both "smmu" and "smmus"');
  }
  if (!fields.has('smmus')) return new Map([[ONLY_SMMU, fields.required('smmu', describe)]]);
  const smmus = new Map(
    fields.required('smmus', (value, what) => new read.Fields(value, `"${what}"`).named(describe)),
  );
  if (smmus.size === 0) throw new ScenarioFormatError('"smmus" names no SMMU');
  return smmus;
}

/**
 * Reads a header. In the one-object form the steps stand in it too; they are handed back unread.
 * @throws ScenarioFormatError
 */
export function parseHeader(value: unknown): {
  header: ScenarioHeader;
  steps: readonly unknown[] | undefined;
} {
  const fields = new read.Fields(value, 'the header');
  const version = fields.required('version', read.ignored);
  if (version !== 1) {
    throw new ScenarioFormatError(`"version" is ${JSON.stringify(version)}; this reads version 1`);
  }
  const sharedIdr = fields.optional('idr', readIdWords) ?? {};
  const stepsCount = fields.optional('steps_count', read.count);
  const header: ScenarioHeader = {
    name: fields.required('name', read.text),
    origin: fields.optional('origin', read.text) ?? '',
    spec: fields.optional('spec', read.text) ?? '',
    recorded: fields.optional('kind', read.oneOf('recorded')) !== undefined,
    smmus: readSmmus(fields, sharedIdr),
    assumes: fields.optional('assumes', readAssumes) ?? {},
    memory: fields.required('memory', read.list(readMemory)),
    ...(stepsCount === undefined ? {} : { stepsCount }),
  };
  fields.optional('cmdline', read.text);
  const steps = fields.optional('steps', read.list(read.ignored));
  fields.finish();
  return { header, steps };
}
