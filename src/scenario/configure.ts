/**
 * From a scenario's header to SMMU configurations, or to the reason why this simulator cannot be what the scenario
 * needs. A scenario is replayed only on an SMMU that is as the header says in every bit on which its answers depend:
 * the bits under `assumes` where the header has them, all ID register bits where it has not.
 */
import { AIDR, IDR0, IDR1, IDR3, IDR5, IIDR, OAS_BITS, S_IDR0, S_IDR1 } from '../arch/id-registers.js';
import { encode, get, type Layout } from '../arch/layout.js';
import type { CacheSettings, IdRegisters, SmmuConfig } from '../smmu/config.js';
import { implementedIdr } from '../smmu/implemented.js';
import type { ScenarioHeader, SmmuDescription } from './format.js';
import { ID_REGISTERS } from './parse-header.js';

export interface PlannedSmmu {
  readonly config: SmmuConfig;
  /**
   * By offset, the ID register bits that the scenario's SMMU had and this one has not. They are outside what the
   * answers depend on; a step that reads them can only compare the others.
   */
  readonly unlike: ReadonlyMap<number, number>;
}

export type Plan =
  | { readonly kind: 'build'; readonly smmus: ReadonlyMap<string, PlannedSmmu> }
  | { readonly kind: 'skip'; readonly reason: string };

/** Queue sizes are the architectural maximum where a scenario does not say (REQUIREMENTS B17). */
const QUEUE_LOG2 = 19;
const ARM = 0x43b;

/** The ID registers of a description that gives none: what QEMU's SMMU of the same properties would say. */
function describedIdr(smmu: SmmuDescription): IdRegisters {
  const stage = smmu.stage ?? '1';
  const sidSize = smmu.sidSize ?? 16;
  const S2P = Number(stage !== '1');
  return {
    IDR0: encode(IDR0, {
      S1P: Number(stage !== '2'),
      S2P,
      TTF: 2,
      COHACC: 1,
      ATS: Number(smmu.ats ?? false),
      ASID16: 1,
      VMID16: S2P,
      CD2L: Number((smmu.ssidSize ?? 0) > 0),
      TTENDIAN: 2,
      STALL_MODEL: 1,
      TERM_MODEL: 1,
      ST_LEVEL: 1,
    })[0]!,
    IDR1: encode(IDR1, {
      SIDSIZE: sidSize,
      SSIDSIZE: smmu.ssidSize ?? 0,
      CMDQS: QUEUE_LOG2,
      EVENTQS: QUEUE_LOG2,
    })[0]!,
    IDR3: encode(IDR3, { HAD: 1, RIL: 1 })[0]!,
    IDR5: encode(IDR5, {
      OAS: OAS_BITS.indexOf((smmu.oas ?? 44) as (typeof OAS_BITS)[number]),
      GRAN4K: 1,
      GRAN16K: 1,
      GRAN64K: 1,
    })[0]!,
    IIDR: encode(IIDR, { Implementer: ARM })[0]!,
    AIDR: encode(AIDR, { ArchMinorRev: 2 })[0]!,
    S_IDR0: smmu.secureImpl === true ? encode(S_IDR0, { STALL_MODEL: 1 })[0]! : 0,
    S_IDR1: smmu.secureImpl === true ? encode(S_IDR1, { S_SIDSIZE: sidSize, SECURE_IMPL: 1 })[0]! : 0,
  };
}

/** All ID register words that the scenario asks for, those without a place in {@link IdRegisters} too. */
function wantedWords(smmu: SmmuDescription, header: ScenarioHeader): Record<string, number> {
  const words: Record<string, number> = { ...describedIdr(smmu), ...smmu.idr };
  for (const [name, { mask, value }] of Object.entries(header.assumes)) {
    words[name] = (((words[name] ?? 0) & ~mask) | (value & mask)) >>> 0;
  }
  return words;
}

/** The words that an instance is configured by; no other ID register can be had but as zero. */
function configurable(words: Readonly<Record<string, number>>): IdRegisters {
  const of = (name: keyof IdRegisters) => words[name] ?? 0;
  return {
    IDR0: of('IDR0'),
    IDR1: of('IDR1'),
    IDR3: of('IDR3'),
    IDR5: of('IDR5'),
    IIDR: of('IIDR'),
    AIDR: of('AIDR'),
    S_IDR0: of('S_IDR0'),
    S_IDR1: of('S_IDR1'),
  };
}

/** `SMMU_IDR0.S2P = 1`, for the fields of `name` that have a bit in `bits`. */
function nameFields(name: string, layout: Layout, wanted: number, bits: number): string {
  return Object.entries(layout.fields)
    .filter(([, field]) => get([bits], field) !== 0)
    .map(([fieldName, field]) => `SMMU_${name}.${fieldName} = ${get([wanted], field)}`)
    .join(', ');
}

/** What the description says in words other than ID registers, and what the SMMU would be. */
function unmetProperties(smmu: SmmuDescription, idr: IdRegisters): string[] {
  const field = (word: number, of: Layout, name: string) => get([word], of.fields[name]!);
  const S1P = field(idr.IDR0, IDR0, 'S1P') === 1;
  const S2P = field(idr.IDR0, IDR0, 'S2P') === 1;
  const unmet: string[] = [];
  const need = (met: boolean, what: string) => {
    if (!met) unmet.push(what);
  };
  if (smmu.stage !== undefined) {
    need((smmu.stage === '2' || S1P) && (smmu.stage === '1' || S2P), `stage ${smmu.stage}`);
  }
  if (smmu.oas !== undefined) need(OAS_BITS[field(idr.IDR5, IDR5, 'OAS')] === smmu.oas, `oas ${smmu.oas}`);
  if (smmu.sidSize !== undefined) {
    need(field(idr.IDR1, IDR1, 'SIDSIZE') === smmu.sidSize, `sidSize ${smmu.sidSize}`);
  }
  if (smmu.ssidSize !== undefined) {
    need(field(idr.IDR1, IDR1, 'SSIDSIZE') === smmu.ssidSize, `ssidSize ${smmu.ssidSize}`);
  }
  if (smmu.ats === true) need(field(idr.IDR0, IDR0, 'ATS') === 1, 'ats');
  if (smmu.secureImpl === true) need(field(idr.S_IDR1, S_IDR1, 'SECURE_IMPL') === 1, 'secureImpl');
  return unmet;
}

function planSmmu(
  id: string,
  smmu: SmmuDescription,
  header: ScenarioHeader,
  caches: CacheSettings,
): { readonly unmet: readonly string[]; readonly planned: PlannedSmmu } {
  const wanted = wantedWords(smmu, header);
  const { idr } = implementedIdr(configurable(wanted));
  const have: Readonly<Record<string, number>> = { ...idr };
  const dependsOnAll = Object.keys(header.assumes).length === 0;
  const unlike = new Map<number, number>();
  const unmet = unmetProperties(smmu, idr);
  for (const { name, offset, layout } of ID_REGISTERS) {
    const difference = ((wanted[name] ?? 0) ^ (have[name] ?? 0)) >>> 0;
    if (difference === 0) continue;
    const decisive = dependsOnAll ? difference : (difference & (header.assumes[name]?.mask ?? 0)) >>> 0;
    if (decisive !== 0) unmet.push(nameFields(name, layout, wanted[name] ?? 0, decisive));
    unlike.set(offset, difference);
  }
  return { unmet, planned: { config: { id, idr, ...caches }, unlike } };
}

/** What to build for a scenario, or why it cannot be replayed. */
export function planScenario(header: ScenarioHeader, caches: CacheSettings): Plan {
  const smmus = new Map<string, PlannedSmmu>();
  const reasons = new Set<string>();
  for (const [id, smmu] of header.smmus) {
    const { unmet, planned } = planSmmu(id, smmu, header, caches);
    for (const need of unmet) reasons.add(need);
    smmus.set(id, planned);
  }
  if (reasons.size > 0) return { kind: 'skip', reason: `not implemented: ${[...reasons].join(', ')}` };
  return { kind: 'build', smmus };
}
