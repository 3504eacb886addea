/**
 * One step of a scenario, from JSON. Strict: an unknown operation or key is refused.
 */
import { NON_SECURE } from '../arch/security.js';
import * as read from './fields.js';
import {
  type DmaExpectation,
  type DmaOutcomeStep,
  type EventWords,
  INTERRUPTS,
  ONLY_SMMU,
  ScenarioFormatError,
  type ScenarioHeader,
  type Step,
} from './format.js';

const ALL_ONES = 0xffff_ffff_ffff_ffffn;
const COMPARE_ALL: EventWords = [ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES];

const eventWords: read.Reader<EventWords> = (value, what) => {
  const words = read.list(read.wide)(value, what);
  if (words.length !== 4) throw new ScenarioFormatError(`"${what}" must have four 64-bit words`);
  return words as unknown as EventWords;
};

const space = (fields: read.Fields, key = 'space') => fields.optional(key, read.security) ?? NON_SECURE;

function dmaExpectation(value: unknown): DmaExpectation {
  const fields = new read.Fields(value, '"expect"');
  const result = fields.required('result', read.oneOf('ok', 'abort', 'stall'));
  let expectation: DmaExpectation;
  if (result === 'ok') {
    const pa = fields.optional('pa', read.address);
    const outputSpace = fields.optional('space', read.security);
    const bytes = fields.optional('hex', read.bytes);
    expectation = {
      result,
      ...(pa === undefined ? {} : { pa }),
      ...(outputSpace === undefined ? {} : { space: outputSpace }),
      ...(bytes === undefined ? {} : { bytes }),
    };
  } else {
    expectation = result === 'abort' ? { result } : { result, id: fields.required('id', read.text) };
  }
  fields.finish();
  return expectation;
}

function outcomeExpectation(value: unknown): DmaOutcomeStep['expect'] {
  const fields = new read.Fields(value, '"expect"');
  const result = fields.required('result', read.oneOf('ok', 'abort', 'raz-wi'));
  const bytes = fields.optional('hex', read.bytes);
  fields.finish();
  return { result, ...(bytes === undefined ? {} : { bytes }) };
}

function readDma(fields: read.Fields, smmu: string): Step {
  const write = fields.required('access', read.oneOf('read', 'write')) === 'write';
  const sizeBytes = fields.required('size', read.dataSize);
  const bytes = fields.optional('hex', read.bytes);
  if (bytes !== undefined && !write) throw new ScenarioFormatError('"hex" is what a write writes');
  if (bytes !== undefined && bytes.length !== sizeBytes) {
    throw new ScenarioFormatError(`"hex" has ${bytes.length} bytes, "size" is ${sizeBytes}`);
  }
  // Statistics of a recording: where the recorded answer came from.
  fields.optional('info', read.ignored);
  return {
    op: 'dma',
    smmu,
    StreamID: fields.required('sid', read.word),
    SubstreamID: fields.optional('ssid', read.word) ?? -1,
    SEC_SID: space(fields, 'secSid'),
    write,
    privileged: fields.optional('privileged', read.flag) ?? false,
    instruction: fields.optional('instruction', read.flag) ?? false,
    ns: fields.optional('ns', read.flag) ?? false,
    iova: fields.required('iova', read.wide),
    sizeBytes,
    bytes: bytes ?? new Uint8Array(write ? sizeBytes : 0),
    translateOnly: fields.optional('translateOnly', read.flag) ?? false,
    expect: fields.required('expect', dmaExpectation),
  };
}

function readMemRead(fields: read.Fields): Step {
  const sizeBytes = fields.required('size', read.dataSize);
  const expect = fields.required('expect', read.bytes);
  if (expect.length !== sizeBytes) {
    throw new ScenarioFormatError(`"expect" has ${expect.length} bytes, "size" is ${sizeBytes}`);
  }
  return { op: 'mem.read', space: space(fields), pa: fields.required('pa', read.address), sizeBytes, expect };
}

function readMemCopy(fields: read.Fields): Step {
  const both = space(fields);
  return {
    op: 'mem.copy',
    from: fields.required('from', read.address),
    fromSpace: fields.optional('fromSpace', read.security) ?? both,
    to: fields.required('to', read.address),
    toSpace: fields.optional('toSpace', read.security) ?? both,
    sizeBytes: fields.required('size', read.dataSize),
  };
}

function mmioAccess(fields: read.Fields, smmu: string) {
  return {
    smmu,
    offset: fields.required('offset', read.word),
    sizeBytes: fields.required('size', read.count),
    security: space(fields, 'security'),
  };
}

const STEPS: Readonly<Record<Step['op'], (fields: read.Fields, smmu: string) => Step>> = {
  'mem.write': (fields) => ({
    op: 'mem.write',
    space: space(fields),
    pa: fields.required('pa', read.address),
    bytes: fields.required('hex', read.bytes),
  }),
  'mem.read': readMemRead,
  'mem.copy': readMemCopy,
  'mmio.write': (fields, smmu) => ({
    op: 'mmio.write',
    ...mmioAccess(fields, smmu),
    value: fields.required('value', read.wide),
  }),
  'mmio.read': (fields, smmu) => ({
    op: 'mmio.read',
    ...mmioAccess(fields, smmu),
    expect: fields.required('expect', read.wide),
    mask: fields.optional('mask', read.wide) ?? ALL_ONES,
  }),
  dma: readDma,
  'dma.outcome': (fields) => ({
    op: 'dma.outcome',
    id: fields.required('id', read.text),
    expect: fields.required('expect', outcomeExpectation),
  }),
  events: (fields, smmu) => ({
    op: 'events',
    smmu,
    SEC_SID: space(fields, 'secSid'),
    expect: fields.required('expect', read.list(eventWords)),
    mask: fields.optional('mask', eventWords) ?? COMPARE_ALL,
    consume: fields.optional('consume', read.flag) ?? true,
  }),
  irq: (fields, smmu) => ({
    op: 'irq',
    smmu,
    SEC_SID: space(fields, 'secSid'),
    expect: fields.required('expect', read.list(read.oneOf(...INTERRUPTS))),
  }),
  inject: (fields) => ({
    op: 'inject',
    fault: fields.required('fault', read.oneOf('external-abort')),
    space: space(fields),
    pa: fields.required('pa', read.address),
    sizeBytes: fields.required('size', read.address),
    access: fields.optional('access', read.oneOf('read', 'write', 'any')) ?? 'any',
    times: fields.optional('times', read.count) ?? 1,
  }),
  reset: (_fields, smmu) => (smmu === '' ? { op: 'reset' } : { op: 'reset', smmu }),
  snapshot: (fields) => ({ op: 'snapshot', as: fields.required('as', read.text) }),
  restore: (fields) => ({ op: 'restore', from: fields.required('from', read.text) }),
  note: (fields) => ({ op: 'note', text: fields.required('text', read.text) }),
};

/** Operations that are one SMMU's. The others may name one, as notes in recordings do; only `reset` heeds it. */
const CONCERNS_ONE_SMMU: ReadonlySet<string> = new Set(['mmio.write', 'mmio.read', 'dma', 'events', 'irq']);

function smmuOf(fields: read.Fields, op: string, header: ScenarioHeader): string {
  const named = fields.optional('smmu', read.text);
  if (named !== undefined) {
    if (!header.smmus.has(named)) throw new ScenarioFormatError(`the header has no SMMU "${named}"`);
    return named;
  }
  if (!CONCERNS_ONE_SMMU.has(op)) return '';
  if (header.smmus.size === 1) return [...header.smmus.keys()][0] ?? ONLY_SMMU;
  throw new ScenarioFormatError(`step ${op} lacks "smmu": the header has several`);
}

/** @throws ScenarioFormatError */
export function parseStep(value: unknown, header: ScenarioHeader): Step {
  const fields = new read.Fields(value, 'the step');
  const op = fields.required('op', read.text);
  if (!Object.hasOwn(STEPS, op)) throw new ScenarioFormatError(`unknown step "${op}"`);
  const smmu = smmuOf(fields, op, header);
  const step = STEPS[op as Step['op']](fields, smmu);
  fields.finish();
  return step;
}
