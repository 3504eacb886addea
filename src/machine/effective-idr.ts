/** The ID registers of an SMMU as its properties, raw words and, where it is accelerated, its host make them. */
import { type AutoProperty, resolveAuto, withoutHostFields } from '../iommufd/vsmmu/capabilities.js';
import type { IdRegisters } from '../smmu/config.js';
import { isGiven, usable } from './diagnostics.js';
import type { SmmuItem } from './file-shape.js';
import { idRegisters, withRawWords } from './idr.js';
import { AUTO } from './kinds.js';
import type { Smmu } from './model.js';
import { rawWords, smmuProperties } from './properties.js';

const AUTO_PROPERTIES: readonly AutoProperty[] = ['oas', 'ssidsize', 'ril', 'ats'];

/** The properties that an SMMU leaves to its host. */
export function autoProperties(item: SmmuItem): AutoProperty[] {
  return AUTO_PROPERTIES.filter((name) => isGiven(item[name]) && usable<unknown>(item[name]) === AUTO);
}

/** @returns undefined where a property was reported. */
export function effectiveIdRegisters(smmu: Smmu): IdRegisters | undefined {
  const { item, host } = smmu;
  const properties = smmuProperties(item, smmu.secure);
  if (properties === undefined) return undefined;
  if (host === undefined) return withRawWords(idRegisters(properties), rawWords(item));
  const below = host === smmu || host.host !== undefined ? undefined : effectiveIdRegisters(host);
  if (below === undefined) return undefined;
  // A guest has stage 1, whatever the file says of stages (rules/accel.ts warns).
  const made = withoutHostFields(idRegisters({ ...properties, stage: '1', sel2: false }));
  return withRawWords(resolveAuto(made, autoProperties(item), below), rawWords(item));
}
