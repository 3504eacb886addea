/** Features of one instance, read once from its ID registers: the same bits that software reads. */
import { AIDR, IDR0, IDR1, IDR3, IDR5, OAS_BITS, S_IDR0, S_IDR1 } from '../arch/id-registers.js';
import { get } from '../arch/layout.js';
import { SECURE, type SecurityState } from '../arch/security.js';
import type { IdRegisters } from './config.js';

export interface Features {
  readonly s1p: boolean;
  readonly s2p: boolean;
  readonly hyp: boolean;
  readonly asid16: boolean;
  readonly vmid16: boolean;
  readonly cd2l: boolean;
  readonly ats: boolean;
  readonly ns1ats: boolean;
  readonly ttf: number;
  readonly ttendian: number;
  readonly httu: number;
  readonly termModel: number;
  readonly stLevel: number;
  readonly rme: boolean;
  /** StreamID bits by Security state: IDR1.SIDSIZE, S_IDR1.S_SIDSIZE. */
  readonly sidSize: readonly [number, number];
  readonly ssidSize: number;
  readonly attrPermsOvr: boolean;
  readonly attrTypesOvr: boolean;
  readonly had: boolean;
  readonly xnx: boolean;
  readonly fwb: boolean;
  readonly stt: boolean;
  readonly ril: boolean;
  readonly e0pd: boolean;
  readonly epan: boolean;
  /** Output address size in bits (IHI 0070 3.4). */
  readonly oas: number;
  /** Intermediate address size in bits (IHI 0070 3.4). */
  readonly ias: number;
  readonly ds: boolean;
  /** Largest input range of one TTBx in bits. */
  readonly vaBits: number;
  readonly granules: { readonly 12: boolean; readonly 14: boolean; readonly 16: boolean };
  readonly secureImpl: boolean;
  readonly sel2: boolean;
  /** SMMUv3.0, where some ILLEGAL settings are CONSTRAINED UNPREDICTABLE. */
  readonly archMinor: number;
  readonly stallModel: readonly [number, number];
}

export function readFeatures(idr: IdRegisters): Features {
  const idr0 = [idr.IDR0];
  const idr1 = [idr.IDR1];
  const idr3 = [idr.IDR3];
  const idr5 = [idr.IDR5];
  const flag = (words: number[], field: { hi: number; lo: number }) => get(words, field) === 1;
  const oas = OAS_BITS[get(idr5, IDR5.fields.OAS)]!;
  const ttf = get(idr0, IDR0.fields.TTF);
  return {
    s1p: flag(idr0, IDR0.fields.S1P),
    s2p: flag(idr0, IDR0.fields.S2P),
    hyp: flag(idr0, IDR0.fields.Hyp),
    asid16: flag(idr0, IDR0.fields.ASID16),
    vmid16: flag(idr0, IDR0.fields.VMID16),
    cd2l: flag(idr0, IDR0.fields.CD2L),
    ats: flag(idr0, IDR0.fields.ATS),
    ns1ats: flag(idr0, IDR0.fields.NS1ATS),
    ttf,
    ttendian: get(idr0, IDR0.fields.TTENDIAN),
    httu: get(idr0, IDR0.fields.HTTU),
    termModel: get(idr0, IDR0.fields.TERM_MODEL),
    stLevel: get(idr0, IDR0.fields.ST_LEVEL),
    rme: flag(idr0, IDR0.fields.RME_IMPL),
    sidSize: [get(idr1, IDR1.fields.SIDSIZE), get([idr.S_IDR1], S_IDR1.fields.S_SIDSIZE)],
    ssidSize: get(idr1, IDR1.fields.SSIDSIZE),
    attrPermsOvr: flag(idr1, IDR1.fields.ATTR_PERMS_OVR),
    attrTypesOvr: flag(idr1, IDR1.fields.ATTR_TYPES_OVR),
    had: flag(idr3, IDR3.fields.HAD),
    xnx: flag(idr3, IDR3.fields.XNX),
    fwb: flag(idr3, IDR3.fields.FWB),
    stt: flag(idr3, IDR3.fields.STT),
    ril: flag(idr3, IDR3.fields.RIL),
    e0pd: flag(idr3, IDR3.fields.E0PD),
    epan: flag(idr3, IDR3.fields.EPAN),
    oas,
    ias: Math.max(ttf & 1 ? 40 : 0, ttf & 2 ? oas : 0),
    ds: flag(idr5, IDR5.fields.DS),
    vaBits: get(idr5, IDR5.fields.VAX) === 0 ? 48 : 52,
    granules: {
      12: flag(idr5, IDR5.fields.GRAN4K),
      14: flag(idr5, IDR5.fields.GRAN16K),
      16: flag(idr5, IDR5.fields.GRAN64K),
    },
    secureImpl: flag([idr.S_IDR1], S_IDR1.fields.SECURE_IMPL),
    sel2: flag([idr.S_IDR1], S_IDR1.fields.SEL2),
    archMinor: get([idr.AIDR], AIDR.fields.ArchMinorRev),
    stallModel: [get(idr0, IDR0.fields.STALL_MODEL), get([idr.S_IDR0], S_IDR0.fields.STALL_MODEL)],
  };
}

/** Effective size of an xPS field in bits, capped to the OAS (IHI 0070 3.4, STE.S2PS, CD.IPS). */
export function effectivePs(encoding: number, features: Features): number {
  return Math.min(OAS_BITS[Math.min(encoding, 6)]!, features.oas);
}

/** Whether stage 2 exists for streams of a Security state. */
export function hasStage2(features: Features, security: SecurityState): boolean {
  return features.s2p && (security !== SECURE || features.sel2);
}

/** IDR0.HTTU == 0b11: Table descriptors have an Access flag that hardware may manage (IHI 0070 3.13.6). */
export function hasTableAccessFlag({ httu }: Features): boolean {
  return httu === 3;
}
