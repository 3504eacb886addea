/** An SMMU's properties out of its item, once they are all known to be good. */
import { OAS_BITS } from '../arch/id-registers.js';
import type { IdRegisters } from '../smmu/config.js';
import { usable, type Value } from './diagnostics.js';
import type { SmmuItem } from './file-shape.js';
import { IDR_SHAPE } from './file-shape.js';
import type { SmmuProperties } from './idr.js';
import { AUTO, type GranuleBytes } from './kinds.js';

/** Of an SMMU whose file leaves it out (file-shape.ts). */
export const DEFAULT_OAS = 44n;

const ALL_GRANULES: readonly GranuleBytes[] = [4096, 16384, 65536];

/** The granules in effect, or undefined where one could not be read. */
export function granules(item: SmmuItem): readonly GranuleBytes[] | undefined {
  if (item.granules.origin === 'none' && !item.granules.reported) return ALL_GRANULES;
  const listed = usable(item.granules)?.map(usable);
  return listed?.every((granule) => granule !== undefined) ? listed : undefined;
}

/** @returns undefined where a property was reported. */
export function smmuProperties(item: SmmuItem, secure: boolean | undefined): SmmuProperties | undefined {
  const properties = {
    stage: usable(item.stage),
    oas: optional(numberOr(item.oas, DEFAULT_OAS), Number),
    sidsize: usable(item.sidsize),
    ssidsize: numberOr(item.ssidsize, 0),
    granules: granules(item),
    ril: optional(usable(item.ril), isOn),
    vmid16: optional(usable(item.vmid16), isOn),
    asid16: optional(usable(item.asid16), isOn),
    cmdqs: usable(item.cmdqs),
    eventqs: usable(item.eventqs),
    iidr: usable(item.iidr),
    httu: usable(item.httu),
    stall: optional(usable(item['stall-model']), (model) => model === 'stall'),
    lpae: optional(usable(item.ttf), (ttf) => ttf === 'both'),
    msi: optional(usable(item.msi), (state) => state === 'on'),
    secure,
    sel2: optional(usable(item.sel2), (state) => state === 'on'),
  };
  const whole = Object.values(properties).every((property) => property !== undefined);
  return whole ? (properties as SmmuProperties) : undefined;
}

/** A number that may be `auto`: this one, where there is no host to ask. */
export function numberOr<T extends number | bigint>(
  value: Value<T | typeof AUTO>,
  fallback: T,
): T | undefined {
  const given = usable(value);
  return given === AUTO ? fallback : given;
}

export function isOas(bits: bigint): boolean {
  return OAS_BITS.some((oas) => oas <= 52 && BigInt(oas) === bits);
}

/** Only of switches that are on by default: `auto` is their default. */
function isOn(state: string): boolean {
  return state !== 'off';
}

function optional<T, R>(value: T | undefined, map: (value: T) => R): R | undefined {
  return value === undefined ? undefined : map(value);
}

/** The words that the file gives in `idr`. */
export function rawWords(item: SmmuItem): Partial<IdRegisters> {
  const idr = usable(item.idr);
  if (idr === undefined) return {};
  const names = Object.keys(IDR_SHAPE) as (keyof typeof IDR_SHAPE)[];
  return Object.fromEntries(
    names.flatMap((name) => {
      const word = usable(idr[name]);
      return word === undefined ? [] : [[name, word]];
    }),
  );
}
