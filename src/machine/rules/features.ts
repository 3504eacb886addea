/** Properties of one SMMU: what excludes what, and what is not implemented yet (IHI 0070 6.3, REQUIREMENTS D1, D3). */
import { errorRule, isReported, type Reporter, usable, type Value, warningRule } from '../diagnostics.js';
import type { SmmuItem } from '../file-shape.js';
import { contradictions, idRegisters, withRawWords } from '../idr.js';
import { later, type Model, type Smmu } from '../model.js';
import { DEFAULT_OAS, granules, isOas, numberOr, rawWords, smmuProperties } from '../properties.js';

export const oasInvalid = errorRule('oas-invalid', '`oas` is not 32, 36, 40, 42, 44, 48 or 52.');
export const featureConflict = errorRule(
  'feature-conflict',
  'Properties that exclude each other, or ID register words that no SMMU could have.',
);
export const featureUnimplemented = warningRule(
  'feature-unimplemented',
  'A feature that the simulator does not implement yet: the machine runs, and the SMMU does not advertise it.',
);

export const rules = [oasInvalid, featureConflict, featureUnimplemented] as const;

export function checkOas(model: Model, reporter: Reporter): void {
  for (const { item } of model.smmus) {
    const oas = numberOr(item.oas, DEFAULT_OAS);
    if (oas === undefined || isOas(oas)) continue;
    const message = `oas ${oas} is not an output address size`;
    reporter.intrinsic(oasInvalid, item.oas, message, 'write 32, 36, 40, 42, 44, 48 or 52');
  }
}

/** Needs effective Secure support: raw ID register words are held against it. */
export function checkFeatures(model: Model, reporter: Reporter): void {
  const warned = new Set<Value<unknown>>();
  for (const smmu of model.smmus) {
    checkConflicts(smmu.item, reporter);
    checkRawWords(smmu, reporter);
    checkImplemented(smmu.item, reporter, warned);
  }
}

/** Of two values that exclude each other the later in the file, or what an instance has from elsewhere: its item. */
function conflict(
  reporter: Reporter,
  a: Value<unknown>,
  b: Value<unknown>,
  message: string,
  help: string,
): void {
  reporter.value(featureConflict, later(a, b), message, help);
}

function checkConflicts(item: SmmuItem, reporter: Reporter): void {
  const name = `SMMU ${item.label}`;
  if (usable(item.stage) === '2' && (numberOr(item.ssidsize, 0) ?? 0) > 0) {
    const message = `${name}: ssidsize ${item.ssidsize.value} with stage "2" alone: substreams select stage 1 contexts`;
    conflict(reporter, item.stage, item.ssidsize, message, 'write ssidsize: 0, or stage: nested');
  }
  checkGranules(item, name, reporter);
  if (usable(item['stall-model']) === 'forced') {
    const message = `${name}: stall-model forced, which an SMMU of a PCI system cannot have`;
    reporter.intrinsic(featureConflict, item['stall-model'], message, 'write terminate or stall');
  }
  if (usable(item.accel) === item.id.value && !isReported(item.id)) {
    const message = `${name} is its own host SMMU`;
    reporter.value(featureConflict, item.accel, message, 'name another SMMU, or write accel: off');
  }
}

function checkGranules(item: SmmuItem, name: string, reporter: Reporter): void {
  const has = granules(item);
  if (has === undefined) return;
  if (has.length === 0) {
    reporter.intrinsic(featureConflict, item.granules, `${name} has no granule`, 'list 4KiB, 16KiB or 64KiB');
  } else if (usable(item.oas) === 52n && !has.includes(65536)) {
    const message = `${name}: oas 52 without the 64KiB granule, which carries 52-bit addresses`;
    conflict(reporter, item.oas, item.granules, message, 'add 64KiB to granules, or write oas: 48');
  } else if (usable(item.ttf) === 'both' && !has.includes(4096)) {
    const message = `${name}: ttf both without the 4KiB granule, which VMSAv8-32 tables have`;
    conflict(reporter, item.ttf, item.granules, message, 'add 4KiB to granules, or write ttf: aarch64');
  }
}

function checkRawWords({ item, secure }: Smmu, reporter: Reporter): void {
  const idr = usable(item.idr);
  const properties = smmuProperties(item, secure);
  if (idr === undefined || properties === undefined) return;
  const words = withRawWords(idRegisters(properties), rawWords(item));
  const found = contradictions(words, properties.secure);
  const named = found.filter(({ register }) => idr[register].origin !== 'none');
  // What one wrong word does to the others is an echo of it.
  for (const { register, message } of named.length > 0 ? named : found.slice(0, 1)) {
    const at = named.length > 0 ? idr[register] : item.idr;
    if (!isReported(at))
      reporter.value(featureConflict, at, `SMMU ${item.label}: ${message}`, 'correct the raw words');
  }
}

function checkImplemented(item: SmmuItem, reporter: Reporter, warned: Set<Value<unknown>>): void {
  const asked: readonly (readonly [string, Value<string>, boolean])[] = [
    ['ats', item.ats, usable(item.ats) === 'on'],
  ];
  for (const [name, value, wanted] of asked) {
    const origin = value.shared ?? value;
    if (!wanted || warned.has(origin)) continue;
    warned.add(origin);
    const message = `${name}: ${value.value} is not implemented yet; SMMU ${item.label} does not advertise it`;
    reporter.at(featureUnimplemented, origin.at, message, `remove ${name}`);
  }
}
