/**
 * The part of a guest's STE that a nested HWPT is made of, and the STE that the physical SMMU gets for it (IHI 0070 5.2).
 *
 * A guest decides whether its stream aborts, bypasses or translates at stage 1, and where its CDs are: guest physical
 * addresses, which the nesting parent translates. All else is the host's. Linux installs an aborting STE for a guest STE with
 * V == 0, so that nothing tells the guest; here it is invalid, and the physical SMMU records the C_BAD_STE that the
 * guest is to see (5.2 V).
 */
import { encode, type Field, get, getBig, set, type Words } from '../arch/layout.js';
import { CONFIG_ABORT, CONFIG_BYPASS, CONFIG_NESTED, CONFIG_STAGE_1, STE } from '../arch/structures.js';
import { ABORT_STE } from '../software/context.js';
import { IommufdError } from './errors.js';

/** STE[127:0], four words: what IOMMU_HWPT_ALLOC takes. */
export type VSTE = Uint32Array;

/** What becomes of a stream under a nested HWPT. */
export type NestedConfig = 'invalid' | 'abort' | 'bypass' | 'translate';

/** What makes a vSTE one of these, and what attaching a device to it takes (REQUIREMENTS E9). */
export const NESTED_CONFIGS: Readonly<
  Record<
    NestedConfig,
    { readonly vste: string; readonly effect: string; readonly needsVDevice: boolean; readonly why: string }
  >
> = {
  invalid: {
    vste: 'V = 0',
    effect: 'accesses abort with C_BAD_STE',
    needsVDevice: false,
    why: 'Nothing is cached for the stream. Its events are delivered with a vDEVICE only.',
  },
  abort: {
    vste: 'V = 1, Config = 0b000',
    effect: 'accesses abort without an event',
    needsVDevice: false,
    why: 'GBPA.ABORT of a guest whose SMMUEN is 0, before any StreamID is known.',
  },
  bypass: {
    vste: 'V = 1, Config = 0b100',
    effect: 'the nesting parent alone translates',
    needsVDevice: false,
    why: 'GBPA of a guest whose SMMUEN is 0, before any StreamID is known.',
  },
  translate: {
    vste: 'V = 1, Config = 0b101',
    effect: "the guest's stage 1 over the nesting parent",
    needsVDevice: true,
    why: 'Invalidations of CDs and events carry the StreamID of the guest.',
  },
};

const VSTE_WORDS = 4;
const F = STE.fields;
const CONFIGS: Readonly<Record<number, NestedConfig>> = {
  [CONFIG_ABORT]: 'abort',
  [CONFIG_BYPASS]: 'bypass',
  [CONFIG_STAGE_1]: 'translate',
};
const EATS_FULL = 1;

const STREAM_FIELDS = [F.V, F.Config] as const;
const STAGE_1_FIELDS = [
  F.S1Fmt,
  F.S1ContextPtr,
  F.S1CDMax,
  F.S1DSS,
  F.S1CIR,
  F.S1COR,
  F.S1CSH,
  F.S1STALLD,
] as const;
/** Every field that a guest may set. EATS is accepted and decides nothing: there is no ATS. */
const ALLOWED: readonly Field[] = [...STREAM_FIELDS, ...STAGE_1_FIELDS, F.EATS];

function copyFields(from: Words, to: Uint32Array, fields: readonly Field[]): void {
  for (const field of fields) set(to, field, getBig(from, field));
}

/** A vSTE of what a guest's STE says, without anything that is not the guest's to say (REQUIREMENTS C18). */
export function reduceSTE(ste: Words, substreams: boolean): VSTE {
  const reduced = new Uint32Array(VSTE_WORDS);
  if (get(ste, F.V) === 0) return reduced;
  copyFields(ste, reduced, STREAM_FIELDS);
  if (CONFIGS[get(ste, F.Config)] !== 'translate') return reduced;
  copyFields(ste, reduced, STAGE_1_FIELDS);
  // Without substreams these are RES0 to the guest, and would be obeyed by an SMMU that has them.
  if (!substreams) for (const field of [F.S1Fmt, F.S1CDMax, F.S1DSS]) set(reduced, field, 0);
  return reduced;
}

export const BYPASS_VSTE: VSTE = encode(STE, { V: 1, Config: CONFIG_BYPASS }).slice(0, VSTE_WORDS);
export const ABORT_VSTE: VSTE = encode(STE, { V: 1, Config: CONFIG_ABORT }).slice(0, VSTE_WORDS);

/** @throws IommufdError EIO for a vSTE that says more than it may. */
export function checkVSTE(words: Words): { readonly config: NestedConfig; readonly vste: VSTE } {
  if (get(words, F.V) === 0) return { config: 'invalid', vste: new Uint32Array(VSTE_WORDS) };
  const vste = new Uint32Array(VSTE_WORDS);
  copyFields(words, vste, ALLOWED);
  if (vste.some((word, index) => word !== words[index]! >>> 0)) {
    throw new IommufdError('EIO', "the STE sets a field that is not the guest's");
  }
  const config = CONFIGS[get(words, F.Config)];
  if (config === undefined) throw new IommufdError('EIO', `STE.Config ${get(words, F.Config)} is not nested`);
  const eats = get(words, F.EATS);
  if (eats !== 0 && eats !== EATS_FULL) throw new IommufdError('EIO', `STE.EATS ${eats}`);
  set(vste, F.EATS, 0);
  return { config, vste };
}

/**
 * The physical STE.
 * @param parent the STE of a stream that the nesting parent alone translates.
 * @param stalls whether the physical SMMU would stall what a CD asks it to.
 */
export function physicalSTE(
  config: NestedConfig,
  vste: VSTE,
  parent: Uint32Array,
  stalls: boolean,
): Uint32Array {
  if (config === 'abort') return ABORT_STE;
  if (config === 'invalid') return new Uint32Array(ABORT_STE.length);
  if (config === 'bypass') return parent;
  const ste = parent.slice();
  copyFields(vste, ste, STAGE_1_FIELDS);
  set(ste, F.Config, CONFIG_NESTED);
  // A guest that faults without end does not fill the host's event queue, where the SMMU merges (7.3.1).
  set(ste, F.MEV, 1);
  // Nobody could resume: CD.S is as ILLEGAL as the guest, which has no Stall model, expects (5.2 S1STALLD).
  if (stalls) set(ste, F.S1STALLD, 1);
  return ste;
}
