/**
 * Fields of the registers of chapter 6, and the features that fields and registers depend on: what registers.ts puts
 * at its offsets (IHI 0070 6.3). A pair is (Non-secure, Secure).
 */
import { type Conditions, when } from './conditions.js';
import { type Field, f, res } from './layout.js';

/** Conditions in the Non-secure and in the Secure bank. */
export type BankConditions = readonly [Conditions, Conditions];

export const both = (conditions: Conditions): BankConditions => [conditions, conditions];
export const MSI = [[when('IDR0', 'MSI')], [when('S_IDR0', 'MSI')]] as const satisfies BankConditions;
export const PRI = [when('IDR0', 'PRI')];
export const PRI_MSI = [...PRI, ...MSI[0]];
export const ATOS = [when('IDR0', 'ATOS')];
export const MPAM = [when('IDR3', 'MPAM')];
export const DPT = [when('IDR3', 'DPT')];
export const VMW = both([when('IDR0', 'VMW')]);
export const TWO_LEVEL = both([when('IDR0', 'ST_LEVEL')]);
export const TABLES_PRESET = [when('IDR1', 'TABLES_PRESET')];
export const QUEUES_PRESET = [when('IDR1', 'QUEUES_PRESET')];

export const SHAREABILITY = { 0: 'non-shareable', 2: 'outer', 3: 'inner' };
export const CACHEABILITY = { 0: 'non-cacheable', 1: 'write-back', 2: 'write-through' };

export const CR0_FIELDS = {
  SMMUEN: f(0),
  PRIQEN: f(1),
  EVENTQEN: f(2),
  CMDQEN: f(3),
  ATSCHK: f(4),
  Res5: res(5),
  VMW: f(8, 6),
  Res9: res(9),
  DPT_WALK_EN: f(10),
  Res11: res(31, 11),
};
export const S_CR0_FIELDS = {
  SMMUEN: f(0),
  Res1: res(1),
  EVENTQEN: f(2),
  CMDQEN: f(3),
  Res4: res(4),
  SIF: f(5),
  VMW: f(8, 6),
  NSSTALLD: f(9),
  Res10: res(31, 10),
};
export const CR0_PRESENCE = {
  PRIQEN: both(PRI),
  ATSCHK: both([when('IDR0', 'ATS')]),
  VMW,
  DPT_WALK_EN: both(DPT),
  NSSTALLD: both([when('S_IDR0', 'STALL_MODEL', 0)]),
};
export const IRQ_CTRL_FIELDS = {
  GERROR_IRQEN: f(0),
  PRIQ_IRQEN: f(1),
  EVENTQ_IRQEN: f(2),
  Res3: res(31, 3),
};
export const S_IRQ_CTRL_FIELDS = { GERROR_IRQEN: f(0), Res1: res(1), EVENTQ_IRQEN: f(2), Res3: res(31, 3) };
export const GERROR_FIELDS = {
  CMDQ_ERR: f(0),
  Res1: res(1),
  EVENTQ_ABT_ERR: f(2),
  PRIQ_ABT_ERR: f(3),
  MSI_CMDQ_ABT_ERR: f(4),
  MSI_EVENTQ_ABT_ERR: f(5),
  MSI_PRIQ_ABT_ERR: f(6),
  MSI_GERROR_ABT_ERR: f(7),
  SFM_ERR: f(8),
  CMDQP_ERR: f(9),
  DPT_ERR: f(10),
  Res11: res(31, 11),
};
export const S_GERROR_FIELDS = {
  CMDQ_ERR: f(0),
  Res1: res(1),
  EVENTQ_ABT_ERR: f(2),
  Res3: res(3),
  MSI_CMDQ_ABT_ERR: f(4),
  MSI_EVENTQ_ABT_ERR: f(5),
  Res6: res(6),
  MSI_GERROR_ABT_ERR: f(7),
  SFM_ERR: f(8),
  CMDQP_ERR: f(9),
  Res10: res(31, 10),
};
export const GERROR_PRESENCE = {
  PRIQ_ABT_ERR: both(PRI),
  MSI_CMDQ_ABT_ERR: MSI,
  MSI_EVENTQ_ABT_ERR: MSI,
  MSI_PRIQ_ABT_ERR: both(PRI_MSI),
  MSI_GERROR_ABT_ERR: MSI,
  CMDQP_ERR: [[when('IDR1', 'ECMDQ')], [when('S_IDR0', 'ECMDQ')]] as const,
  DPT_ERR: both(DPT),
};
const GBPA_COMMON_FIELDS = {
  MemAttr: f(3, 0),
  MTCFG: f(4),
  Res5: res(7, 5),
  ALLOCCFG: f(11, 8),
  SHCFG: f(13, 12, { 0: 'non-shareable', 1: 'incoming', 2: 'outer', 3: 'inner' }),
  PRIVCFG: f(17, 16, { 0: 'incoming', 2: 'unprivileged', 3: 'privileged' }),
  INSTCFG: f(19, 18, { 0: 'incoming', 2: 'data', 3: 'instruction' }),
  ABORT: f(20),
  Res21: res(30, 21),
  Update: f(31),
};
export const GBPA_FIELDS = { ...GBPA_COMMON_FIELDS, Res14: res(15, 14) };
export const S_GBPA_FIELDS = {
  ...GBPA_COMMON_FIELDS,
  NSCFG: f(15, 14, { 0: 'incoming', 2: 'secure', 3: 'non-secure' }),
};
export const MSI_ADDRESS = { Res0: res(1, 0), ADDR: f(55, 2), Res56: res(63, 56) };
export const MSI_DATA = { DATA: f(31, 0) };
export const MSI_ATTRIBUTES = { MemAttr: f(3, 0), SH: f(5, 4, SHAREABILITY), Res6: res(31, 6) };
export const INPUT_QUEUE_BASE = {
  LOG2SIZE: f(4, 0),
  ADDR: f(55, 5),
  Res56: res(61, 56),
  RA: f(62),
  Res63: res(63),
};
export const OUTPUT_QUEUE_BASE = {
  LOG2SIZE: f(4, 0),
  ADDR: f(55, 5),
  Res56: res(61, 56),
  WA: f(62),
  Res63: res(63),
};
export const OUTPUT_PROD = { WR: f(19, 0), Res20: res(30, 20), OVFLG: f(31) };
export const OUTPUT_CONS = { RD: f(19, 0), Res20: res(30, 20), OVACKFLG: f(31) };
export const CONTROL_PAGES = {
  Res0: res(15, 0),
  CMDQ_CONTROL_PAGE_LOG2NUMQ: f(19, 16),
  Res20: res(23, 20),
  CMDQ_CONTROL_PAGE_LOG2NUMP: f(27, 24),
  Res28: res(31, 28),
};
export const ECMDQ = [[when('IDR1', 'ECMDQ')], [when('S_IDR0', 'ECMDQ')]] as const;

/** S2PII0 to S2PII15 (6.3.17). */
export function permissionInterpretations(): Record<string, Field> {
  return Object.fromEntries(Array.from({ length: 16 }, (_, p) => [`S2PII${p}`, f(4 * p + 3, 4 * p)]));
}

export function atosAddress(ns: Field): Record<string, Field> {
  return {
    Res0: res(3, 0),
    NS: ns,
    Res5: res(5),
    HTTUI: f(6),
    InD: f(7),
    RnW: f(8),
    PnU: f(9),
    TYPE: f(11, 10),
    ADDR: f(63, 12),
  };
}
