/**
 * The header of a scenario, from JSON. Strict: an unknown key, ID register or version is refused.
 */
import type { Layout } from '../arch/layout.js';
import { REGISTERS } from '../arch/registers.js';
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

/** The ID registers that a scenario may name: by name, or by offset. */
export const ID_REGISTERS: readonly {
  readonly name: string;
  readonly offset: number;
  readonly layout: Layout;
}[] = REGISTERS.filter(({ key }) => /^(?:IDR[0-9]|IIDR|AIDR)$/.test(key)).map((register) => ({
  name: register.name.replace(/^SMMU_/, ''),
  offset: register.offset,
  layout: register,
}));

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
