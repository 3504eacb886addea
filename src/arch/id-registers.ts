/**
 * The ID registers (IHI 0070 6.3.1 to 6.3.9, 6.3.52 and 6.3.53): what an SMMU says of itself.
 *
 * An instance is configured by these words and nothing else decides whether a feature is there: the core reads
 * its features from the same bits that software reads, so what is advertised is what is implemented.
 */
import { f, layout, res } from './layout.js';

export const IDR0 = layout('SMMU_IDR0', '6.3.1', 32, {
  S2P: f(0),
  S1P: f(1),
  TTF: f(3, 2, { 1: 'AArch32', 2: 'AArch64', 3: 'AArch32 and AArch64' }),
  COHACC: f(4),
  BTM: f(5),
  HTTU: f(7, 6),
  DORMHINT: f(8),
  Hyp: f(9),
  ATS: f(10),
  NS1ATS: f(11),
  ASID16: f(12),
  MSI: f(13),
  SEV: f(14),
  ATOS: f(15),
  PRI: f(16),
  VMW: f(17),
  VMID16: f(18),
  CD2L: f(19),
  VATOS: f(20),
  TTENDIAN: f(22, 21, { 0: 'mixed', 2: 'little', 3: 'big' }),
  ATSRECERR: f(23),
  STALL_MODEL: f(25, 24, { 0: 'stall and terminate', 1: 'terminate', 2: 'stall forced' }),
  TERM_MODEL: f(26),
  ST_LEVEL: f(28, 27, { 0: 'linear', 1: '2-level' }),
  Res29: res(29),
  RME_IMPL: f(30),
  Res31: res(31),
});

export const IDR1 = layout('SMMU_IDR1', '6.3.2', 32, {
  SIDSIZE: f(5, 0),
  SSIDSIZE: f(10, 6),
  PRIQS: f(15, 11),
  EVENTQS: f(20, 16),
  CMDQS: f(25, 21),
  ATTR_PERMS_OVR: f(26),
  ATTR_TYPES_OVR: f(27),
  REL: f(28),
  QUEUES_PRESET: f(29),
  TABLES_PRESET: f(30),
  ECMDQ: f(31),
});

export const IDR3 = layout('SMMU_IDR3', '6.3.4', 32, {
  Res0: res(1, 0),
  HAD: f(2),
  PBHA: f(3),
  XNX: f(4),
  PPS: f(5),
  Res6: res(6),
  MPAM: f(7),
  FWB: f(8),
  STT: f(9),
  RIL: f(10),
  BBML: f(12, 11),
  E0PD: f(13),
  PTWNNC: f(14),
  DPT: f(15),
  PASIDTT: f(16),
  EPAN: f(17),
  S1PI: f(18),
  S2PI: f(19),
  S2PO: f(20),
  THE: f(21),
  MTEPERM: f(22),
  AIE: f(23),
  Res24: res(31, 24),
});

export const IDR5 = layout('SMMU_IDR5', '6.3.6', 32, {
  OAS: f(2, 0, { 0: '32', 1: '36', 2: '40', 3: '42', 4: '44', 5: '48', 6: '52', 7: '56' }),
  Res3: res(3),
  GRAN4K: f(4),
  GRAN16K: f(5),
  GRAN64K: f(6),
  DS: f(7),
  D128: f(8),
  Res9: res(9),
  VAX: f(11, 10, { 0: '48', 1: '52', 2: '56' }),
  Res12: res(15, 12),
  STALL_MAX: f(31, 16),
});

export const IIDR = layout('SMMU_IIDR', '6.3.7', 32, {
  Implementer: f(11, 0),
  Revision: f(15, 12),
  Variant: f(19, 16),
  ProductID: f(31, 20),
});

export const AIDR = layout('SMMU_AIDR', '6.3.8', 32, {
  ArchMinorRev: f(3, 0),
  ArchMajorRev: f(7, 4),
  Res8: res(31, 8),
});

export const S_IDR0 = layout('SMMU_S_IDR0', '6.3.52', 32, {
  Res0: res(12, 0),
  MSI: f(13),
  Res14: res(23, 14),
  STALL_MODEL: f(25, 24, { 0: 'stall and terminate', 1: 'terminate', 2: 'stall forced' }),
  Res26: res(30, 26),
  ECMDQ: f(31),
});

export const S_IDR1 = layout('SMMU_S_IDR1', '6.3.53', 32, {
  S_SIDSIZE: f(5, 0),
  Res6: res(28, 6),
  SEL2: f(29),
  Res30: res(30),
  SECURE_IMPL: f(31),
});

/** IDR0.STALL_MODEL and S_IDR0.STALL_MODEL: faults terminate or stall as configured, all terminate, all that can stall. */
export const STALL_MODEL = { stall: 0, terminate: 1, forced: 2 } as const;

/** IDR5.OAS encodings, in bits (IHI 0070 6.3.6). */
export const OAS_BITS = [32, 36, 40, 42, 44, 48, 52, 56] as const;
