/**
 * Numbers of IHI 0070, typed from its tables and not from src/arch: names and numbers only. Tests take their
 * constants from here, so that no table of the simulator grades itself.
 */

/** 6.2.1 and 6.2.2: offsets of the Non-secure registers, page 1 at 0x10000. */
export const OFFSETS = {
  IDR0: 0x0,
  IDR1: 0x4,
  IDR2: 0x8,
  IDR3: 0xc,
  IDR4: 0x10,
  IDR5: 0x14,
  IIDR: 0x18,
  AIDR: 0x1c,
  CR0: 0x20,
  CR0ACK: 0x24,
  CR1: 0x28,
  CR2: 0x2c,
  S2PII: 0x30,
  STATUSR: 0x40,
  GBPA: 0x44,
  AGBPA: 0x48,
  IRQ_CTRL: 0x50,
  IRQ_CTRLACK: 0x54,
  GERROR: 0x60,
  GERRORN: 0x64,
  GERROR_IRQ_CFG0: 0x68,
  GERROR_IRQ_CFG1: 0x70,
  GERROR_IRQ_CFG2: 0x74,
  STRTAB_BASE: 0x80,
  STRTAB_BASE_CFG: 0x88,
  CMDQ_BASE: 0x90,
  CMDQ_PROD: 0x98,
  CMDQ_CONS: 0x9c,
  EVENTQ_BASE: 0xa0,
  EVENTQ_PROD: 0x100a8,
  EVENTQ_CONS: 0x100ac,
  EVENTQ_IRQ_CFG0: 0xb0,
  EVENTQ_IRQ_CFG1: 0xb8,
  EVENTQ_IRQ_CFG2: 0xbc,
  PRIQ_BASE: 0xc0,
  PRIQ_PROD: 0x100c8,
  PRIQ_CONS: 0x100cc,
  PRIQ_IRQ_CFG0: 0xd0,
  PRIQ_IRQ_CFG1: 0xd8,
  PRIQ_IRQ_CFG2: 0xdc,
  GATOS_CTRL: 0x100,
  GATOS_SID: 0x108,
  GATOS_ADDR: 0x110,
  GATOS_PAR: 0x118,
  MPAMIDR: 0x130,
  GMPAM: 0x138,
  GBPMPAM: 0x13c,
  VATOS_SEL: 0x180,
  IDR6: 0x190,
  DPT_BASE: 0x200,
  DPT_BASE_CFG: 0x208,
  DPT_CFG_FAR: 0x210,
} as const;

/** 6.2.1: offsets of the Secure registers. */
export const S_OFFSETS = {
  S_IDR0: 0x8000,
  S_IDR1: 0x8004,
  S_IDR2: 0x8008,
  S_IDR3: 0x800c,
  S_IDR4: 0x8010,
  S_CR0: 0x8020,
  S_CR0ACK: 0x8024,
  S_CR1: 0x8028,
  S_CR2: 0x802c,
  S_S2PII: 0x8030,
  S_INIT: 0x803c,
  S_GBPA: 0x8044,
  S_AGBPA: 0x8048,
  S_IRQ_CTRL: 0x8050,
  S_IRQ_CTRLACK: 0x8054,
  S_GERROR: 0x8060,
  S_GERRORN: 0x8064,
  S_GERROR_IRQ_CFG0: 0x8068,
  S_GERROR_IRQ_CFG1: 0x8070,
  S_GERROR_IRQ_CFG2: 0x8074,
  S_STRTAB_BASE: 0x8080,
  S_STRTAB_BASE_CFG: 0x8088,
  S_CMDQ_BASE: 0x8090,
  S_CMDQ_PROD: 0x8098,
  S_CMDQ_CONS: 0x809c,
  S_EVENTQ_BASE: 0x80a0,
  S_EVENTQ_PROD: 0x80a8,
  S_EVENTQ_CONS: 0x80ac,
  S_EVENTQ_IRQ_CFG0: 0x80b0,
  S_EVENTQ_IRQ_CFG1: 0x80b8,
  S_EVENTQ_IRQ_CFG2: 0x80bc,
  S_GATOS_CTRL: 0x8100,
  S_GATOS_SID: 0x8108,
  S_GATOS_ADDR: 0x8110,
  S_GATOS_PAR: 0x8118,
  S_MPAMIDR: 0x8130,
  S_GMPAM: 0x8138,
  S_GBPMPAM: 0x813c,
  S_VATOS_SEL: 0x8180,
  S_IDR6: 0x8190,
} as const;

/** 6.2: the registers of 64 bits, by their names without S_. */
export const WIDE = [
  'S2PII',
  'GERROR_IRQ_CFG0',
  'STRTAB_BASE',
  'CMDQ_BASE',
  'EVENTQ_BASE',
  'EVENTQ_IRQ_CFG0',
  'PRIQ_BASE',
  'PRIQ_IRQ_CFG0',
  'GATOS_SID',
  'GATOS_ADDR',
  'GATOS_PAR',
  'DPT_BASE',
  'DPT_CFG_FAR',
] as const;

/** 6.3.9: CR0 fields in place. */
export const CR0 = {
  SMMUEN: 0x1,
  PRIQEN: 0x2,
  EVENTQEN: 0x4,
  CMDQEN: 0x8,
  ATSCHK: 0x10,
  DPT_WALK_EN: 0x400,
} as const;
export const CR0_RESERVED = 0xfffffa20;
/** 6.3.57 */
export const S_CR0 = { SIF: 0x20, NSSTALLD: 0x200 } as const;
export const S_CR0_RESERVED = 0xfffffc12;
/** 6.3.14 */
export const GBPA = { Update: 0x8000_0000, ABORT: 0x10_0000 } as const;
/** 6.3.16 */
export const IRQ_CTRL = { GERROR_IRQEN: 1, PRIQ_IRQEN: 2, EVENTQ_IRQEN: 4 } as const;
/** 6.3.19 */
export const GERROR = {
  CMDQ_ERR: 0x1,
  EVENTQ_ABT_ERR: 0x4,
  MSI_CMDQ_ABT_ERR: 0x10,
  MSI_EVENTQ_ABT_ERR: 0x20,
  MSI_GERROR_ABT_ERR: 0x80,
} as const;
/** 6.3.95 */
export const OVFLG = 0x8000_0000;
/** 7.1, in place in CMDQ_CONS (6.3.28). */
export const CERROR = { ILL: 0x0100_0000, ABT: 0x0200_0000 } as const;

/** 4.1.1 */
export const OPCODES = {
  CMD_PREFETCH_CONFIG: 0x01,
  CMD_PREFETCH_ADDR: 0x02,
  CMD_CFGI_STE: 0x03,
  CMD_CFGI_STE_RANGE: 0x04,
  CMD_CFGI_CD: 0x05,
  CMD_CFGI_CD_ALL: 0x06,
  CMD_CFGI_VMS_PIDM: 0x07,
  CMD_TLBI_NH_ALL: 0x10,
  CMD_TLBI_NH_ASID: 0x11,
  CMD_TLBI_NH_VA: 0x12,
  CMD_TLBI_NH_VAA: 0x13,
  CMD_TLBI_EL3_ALL: 0x18,
  CMD_TLBI_EL3_VA: 0x1a,
  CMD_TLBI_EL2_ALL: 0x20,
  CMD_TLBI_EL2_ASID: 0x21,
  CMD_TLBI_EL2_VA: 0x22,
  CMD_TLBI_EL2_VAA: 0x23,
  CMD_TLBI_S12_VMALL: 0x28,
  CMD_TLBI_S2_IPA: 0x2a,
  CMD_TLBI_NSNH_ALL: 0x30,
  CMD_ATC_INV: 0x40,
  CMD_PRI_RESP: 0x41,
  CMD_RESUME: 0x44,
  CMD_STALL_TERM: 0x45,
  CMD_SYNC: 0x46,
  CMD_TLBI_S_EL2_ALL: 0x50,
  CMD_TLBI_S_EL2_ASID: 0x51,
  CMD_TLBI_S_EL2_VA: 0x52,
  CMD_TLBI_S_EL2_VAA: 0x53,
  CMD_TLBI_S_S12_VMALL: 0x58,
  CMD_TLBI_S_S2_IPA: 0x5a,
  CMD_TLBI_SNH_ALL: 0x60,
  CMD_DPTI_ALL: 0x70,
  CMD_DPTI_PA: 0x73,
} as const;

/** 6.3.1 to 6.3.6, 6.3.52, 6.3.53: ID fields in place. */
export const IDR0 = {
  S2P: 0x1,
  S1P: 0x2,
  TTF_AARCH64: 0x8,
  Hyp: 0x200,
  ATS: 0x400,
  MSI: 0x2000,
  PRI: 0x1_0000,
  VMW: 0x2_0000,
  STALL_MODEL_TERMINATE: 0x100_0000,
  TERM_MODEL: 0x400_0000,
  ST_LEVEL_2: 0x800_0000,
} as const;
export const IDR3 = { RIL: 0x400 } as const;
export const IDR5 = { OAS_44: 4, GRAN_ALL: 0x70, DS: 0x80 } as const;
export const S_IDR0 = { MSI: 0x2000, STALL_MODEL_TERMINATE: 0x100_0000 } as const;
export const S_IDR1 = { SEL2: 0x2000_0000, SECURE_IMPL: 0x8000_0000 } as const;
