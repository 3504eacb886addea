/**
 * From an SMMU's properties to its ID register words (IHI 0070 6.3.1 to 6.3.8, 6.3.52, 6.3.53).
 *
 * The defaults are those of QEMU's SMMUv3, with Arm's implementer code and the fields that SMMUv3.2 demands.
 * What the core does not implement is accepted in the file and never advertised here: ATS.
 */
import { AIDR, IDR0, IDR1, IDR3, IDR5, OAS_BITS, S_IDR0, S_IDR1, STALL_MODEL } from '../arch/id-registers.js';
import { encode, type Field, get, type Layout } from '../arch/layout.js';
import type { IdRegisters } from '../smmu/config.js';
import { STALLS_MAX } from '../smmu/stalls.js';
import type { GranuleBytes } from './kinds.js';

export interface SmmuProperties {
  readonly stage: '1' | '2' | 'nested';
  readonly oas: number;
  readonly sidsize: number;
  readonly ssidsize: number;
  readonly granules: readonly GranuleBytes[];
  readonly ril: boolean;
  readonly vmid16: boolean;
  readonly asid16: boolean;
  readonly cmdqs: number;
  readonly eventqs: number;
  readonly iidr: number;
  /** VMSAv8-32 LPAE tables beside VMSAv8-64. */
  readonly lpae: boolean;
  readonly msi: boolean;
  readonly httu: 'off' | 'access' | 'dirty' | 'tables';
  readonly stall: boolean;
  readonly secure: boolean;
  readonly sel2: boolean;
}

const TTF = { aarch64: 2, both: 3 } as const;
const TTENDIAN_LITTLE = 2;
const HTTU = { off: 0, access: 1, dirty: 2, tables: 3 } as const;
const TERM_MODEL_ABORT = 1;
const ST_LEVEL_2 = 1;
const BBML_2 = 2;
/** SMMUv3.2 has RIL (6.3.4); without it the architecture version is SMMUv3.1. */
const MINOR_REVISION = { withRIL: 2, withoutRIL: 1 } as const;

const bit = (value: boolean): 0 | 1 => (value ? 1 : 0);

export function idRegisters(p: SmmuProperties): IdRegisters {
  const S1P = bit(p.stage !== '2');
  const S2P = bit(p.stage !== '1');
  const substreams = bit(p.ssidsize > 0);
  const stallModel = p.stall ? STALL_MODEL.stall : STALL_MODEL.terminate;
  return {
    IDR0: encode(IDR0, {
      S2P,
      S1P,
      TTF: p.lpae ? TTF.both : TTF.aarch64,
      COHACC: 1,
      HTTU: HTTU[p.httu],
      // Mandatory from SMMUv3.2 with both stages, RES0 with one.
      Hyp: S1P & S2P,
      ASID16: bit(p.asid16),
      MSI: bit(p.msi),
      VMID16: S2P & bit(p.vmid16),
      CD2L: substreams,
      TTENDIAN: TTENDIAN_LITTLE,
      STALL_MODEL: stallModel,
      TERM_MODEL: TERM_MODEL_ABORT,
      ST_LEVEL: ST_LEVEL_2,
    })[0]!,
    IDR1: encode(IDR1, {
      SIDSIZE: p.sidsize,
      SSIDSIZE: p.ssidsize,
      EVENTQS: p.eventqs,
      CMDQS: p.cmdqs,
      ATTR_PERMS_OVR: 1,
      ATTR_TYPES_OVR: 1,
    })[0]!,
    IDR3: encode(IDR3, { HAD: S1P, XNX: S2P, FWB: S2P, RIL: bit(p.ril), BBML: BBML_2 })[0]!,
    IDR5: encode(IDR5, {
      OAS: (OAS_BITS as readonly number[]).indexOf(p.oas),
      GRAN4K: bit(p.granules.includes(4096)),
      GRAN16K: bit(p.granules.includes(16384)),
      GRAN64K: bit(p.granules.includes(65536)),
      STALL_MAX: p.stall ? STALLS_MAX : 0,
    })[0]!,
    IIDR: p.iidr,
    AIDR: encode(AIDR, { ArchMinorRev: p.ril ? MINOR_REVISION.withRIL : MINOR_REVISION.withoutRIL })[0]!,
    // Both states have one STALL_MODEL as long as NSSTALLD is 0 (6.3.1).
    S_IDR0: p.secure ? encode(S_IDR0, { MSI: bit(p.msi), STALL_MODEL: stallModel })[0]! : 0,
    S_IDR1: p.secure ? encode(S_IDR1, { S_SIDSIZE: p.sidsize, SEL2: bit(p.sel2), SECURE_IMPL: 1 })[0]! : 0,
  };
}

/** Words from the file's `idr` in place of what the properties make. */
export function withRawWords(made: IdRegisters, raw: Partial<IdRegisters>): IdRegisters {
  return { ...made, ...raw };
}

/** A combination of ID register fields that no SMMU could have. */
export interface Contradiction {
  /** The register to look at first. */
  readonly register: keyof IdRegisters;
  readonly message: string;
}

const LAYOUTS: Partial<Record<keyof IdRegisters, Layout>> = { IDR0, IDR1, IDR3, IDR5, S_IDR0, S_IDR1 };
const QUEUE_LOG2_MAX = 19;
const SIDSIZE_MAX = 32;
const SSIDSIZE_MAX = 20;
const OAS_52 = 6;

/** What section 6.3 excludes, over the words as software reads them. `secure` is the machine's wiring. */
export function contradictions(words: IdRegisters, secure: boolean): Contradiction[] {
  const found: Contradiction[] = [];
  const refuse = (register: keyof IdRegisters, wrong: boolean, message: string): void => {
    if (wrong) found.push({ register, message });
  };
  const read = (register: keyof IdRegisters, field: Field): number => get([words[register]], field);
  const idr0 = (field: keyof typeof IDR0.fields): number => read('IDR0', IDR0.fields[field]);
  const idr1 = (field: keyof typeof IDR1.fields): number => read('IDR1', IDR1.fields[field]);
  const idr3 = (field: keyof typeof IDR3.fields): number => read('IDR3', IDR3.fields[field]);
  const idr5 = (field: keyof typeof IDR5.fields): number => read('IDR5', IDR5.fields[field]);
  const [S1P, S2P, ATS] = [idr0('S1P') === 1, idr0('S2P') === 1, idr0('ATS') === 1];
  const [GRAN4K, GRAN16K, GRAN64K] = [idr5('GRAN4K') === 1, idr5('GRAN16K') === 1, idr5('GRAN64K') === 1];

  for (const [register, { name, fields }] of Object.entries(LAYOUTS) as [keyof IdRegisters, Layout][]) {
    const set = Object.values(fields).some((field) => field.reserved === true && read(register, field) !== 0);
    refuse(register, set, `${name} has RES0 bits set`);
  }
  refuse('IDR0', !S1P && !S2P, 'IDR0.S1P and S2P are both 0');
  refuse('IDR0', idr0('TTF') === 0, 'IDR0.TTF 0b00 is reserved');
  refuse('IDR0', idr0('TTENDIAN') === 1, 'IDR0.TTENDIAN 0b01 is reserved');
  refuse(
    'IDR0',
    idr0('STALL_MODEL') >= 2,
    'IDR0.STALL_MODEL: a PCI system cannot have forced stall, and 0b11 is reserved',
  );
  refuse('IDR0', idr0('ST_LEVEL') >= 2, 'IDR0.ST_LEVEL 0b1x is reserved');
  refuse('IDR0', idr0('Hyp') === 1 && !(S1P && S2P), 'IDR0.Hyp is RES0 without both stages');
  refuse('IDR0', idr0('VMW') === 1 && !S2P, 'IDR0.VMW is RES0 without stage 2');
  refuse('IDR0', idr0('PRI') === 1 && !ATS, 'IDR0.PRI is RES0 without ATS');
  refuse('IDR0', idr0('ATSRECERR') === 1 && !ATS, 'IDR0.ATSRECERR is RES0 without ATS');
  refuse(
    'IDR0',
    idr0('NS1ATS') === 1 && !(ATS && S1P && S2P),
    'IDR0.NS1ATS is RES0 without ATS and both stages',
  );
  refuse(
    'IDR0',
    idr0('VATOS') === 1 && !(idr0('ATOS') === 1 && S1P && S2P),
    'IDR0.VATOS needs ATOS and both stages',
  );
  refuse('IDR1', idr1('SIDSIZE') > SIDSIZE_MAX, `IDR1.SIDSIZE is above ${SIDSIZE_MAX}`);
  refuse(
    'IDR1',
    idr1('SIDSIZE') >= 7 && idr0('ST_LEVEL') === 0,
    'IDR1.SIDSIZE of 7 or more needs 2-level Stream tables (IDR0.ST_LEVEL)',
  );
  refuse('IDR1', idr1('SSIDSIZE') > SSIDSIZE_MAX, `IDR1.SSIDSIZE is above ${SSIDSIZE_MAX}`);
  refuse(
    'IDR1',
    idr1('SSIDSIZE') > 0 && !S1P,
    'IDR1.SSIDSIZE above 0 needs stage 1: substreams select stage 1 contexts',
  );
  refuse('IDR1', idr1('CMDQS') > QUEUE_LOG2_MAX, `IDR1.CMDQS is above ${QUEUE_LOG2_MAX}`);
  refuse('IDR1', idr1('EVENTQS') > QUEUE_LOG2_MAX, `IDR1.EVENTQS is above ${QUEUE_LOG2_MAX}`);
  refuse('IDR1', idr1('PRIQS') > QUEUE_LOG2_MAX, `IDR1.PRIQS is above ${QUEUE_LOG2_MAX}`);
  refuse('IDR3', idr3('HAD') === 1 && !S1P, 'IDR3.HAD is 0 without stage 1');
  refuse('IDR3', idr3('PBHA') === 1 && idr3('HAD') === 0, 'IDR3.PBHA needs HAD');
  refuse('IDR3', idr3('BBML') === 3, 'IDR3.BBML 0b11 is reserved');
  refuse('IDR5', !GRAN4K && !GRAN16K && !GRAN64K, 'IDR5 has no translation granule');
  refuse('IDR5', (idr0('TTF') & 1) === 1 && !GRAN4K, 'IDR5.GRAN4K is 1 where VMSAv8-32 LPAE is supported');
  refuse(
    'IDR5',
    idr5('OAS') === OAS_52 && !GRAN64K && idr5('DS') === 0,
    'IDR5.OAS of 52 bits needs the 64KB granule or DS',
  );
  refuse(
    'IDR5',
    idr5('STALL_MAX') !== 0 && idr0('STALL_MODEL') === STALL_MODEL.terminate,
    'IDR5.STALL_MAX is RES0 without the Stall model',
  );
  refuse('IDR5', idr5('STALL_MAX') > STALLS_MAX, `IDR5.STALL_MAX is above ${STALLS_MAX}`);
  refuse('IDR5', idr5('OAS') > OAS_52, 'IDR5.OAS of 56 bits needs D128, which is not modelled');
  const implemented = read('S_IDR1', S_IDR1.fields.SECURE_IMPL) === 1;
  const stallDiffers = secure && read('S_IDR0', S_IDR0.fields.STALL_MODEL) !== idr0('STALL_MODEL');
  refuse('S_IDR0', stallDiffers, 'S_IDR0.STALL_MODEL and IDR0.STALL_MODEL differ');
  refuse('S_IDR1', implemented !== secure, 'S_IDR1.SECURE_IMPL differs from the effective Secure support');
  refuse('S_IDR1', implemented && !S1P, 'S_IDR1.SECURE_IMPL == 1 requires IDR0.S1P == 1');
  const SEL2 = read('S_IDR1', S_IDR1.fields.SEL2) === 1;
  refuse('S_IDR1', SEL2 && !(S1P && S2P), 'S_IDR1.SEL2 is 0 without both stages');
  const before32 = read('AIDR', AIDR.fields.ArchMinorRev) < MINOR_REVISION.withRIL;
  refuse('S_IDR1', SEL2 && before32, 'S_IDR1.SEL2 is 0 before SMMUv3.2 (AIDR.ArchMinorRev)');
  return found;
}
