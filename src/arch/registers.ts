/**
 * Every register of pages 0 and 1 (IHI 0070 6.2.1, 6.2.2, 6.3), Non-secure and Secure, declared once: offset, fields,
 * reset value, when it is there, and what makes it read-only.
 *
 * A pair of banked registers is one row; what differs between the two is stated, not written twice.
 * Left out: the VATOS, Command queue control, Root and Realm pages, which no instance of this simulator has, and the
 * IMPLEMENTATION DEFINED ranges, which are RES0 here (choice: identification-registers). Registers of features that no instance has (ATOS, MPAM, DPT,
 * VATOS, ECMDQ) are declared with their condition, and hold nothing but what is written to them.
 */
import { ALWAYS, type Conditions, when } from './conditions.js';
import { AIDR, IDR0, IDR1, IDR3, IDR5, IIDR, S_IDR0, S_IDR1 } from './id-registers.js';
import { type Field, f, type Layout, layout, res } from './layout.js';
import {
  ATOS,
  atosAddress,
  both,
  CACHEABILITY,
  CONTROL_PAGES,
  CR0_FIELDS,
  CR0_PRESENCE,
  DPT,
  ECMDQ,
  GBPA_FIELDS,
  GERROR_FIELDS,
  GERROR_PRESENCE,
  INPUT_QUEUE_BASE,
  IRQ_CTRL_FIELDS,
  MPAM,
  MSI,
  MSI_ADDRESS,
  MSI_ATTRIBUTES,
  MSI_DATA,
  OUTPUT_CONS,
  OUTPUT_PROD,
  OUTPUT_QUEUE_BASE,
  PRI,
  PRI_MSI,
  permissionInterpretations,
  QUEUES_PRESET,
  S_CR0_FIELDS,
  S_GBPA_FIELDS,
  S_GERROR_FIELDS,
  S_IRQ_CTRL_FIELDS,
  SHAREABILITY,
  TABLES_PRESET,
  TWO_LEVEL,
} from './register-fields.js';
import { NON_SECURE, SECURE, type SecurityState } from './security.js';

/** Two 64 KiB pages (IHI 0070 6.1). */
export const REGISTER_BYTES = 0x20000;
/** Registers of the Secure bank lie at this distance from the Non-secure ones, with the exceptions in the table. */
export const SECURE_OFFSET = 0x8000;

/** A control bit whose being set, in the control register or in its ACK register, makes something read-only (6.2). */
export interface Guard {
  readonly control: 'CR0' | 'IRQ_CTRL';
  readonly field: string;
  /** Guarded by the namesake in every bank, not only its own. */
  readonly anyBank?: true;
}

export interface Register extends Layout {
  /** Without SMMU_ and S_: what the two banks have in common. */
  readonly key: RegisterKey;
  /** From the base of page 0. */
  readonly offset: number;
  readonly security: SecurityState;
  readonly access: 'RO' | 'RW';
  /** The register is RES0 otherwise. */
  readonly presence: Conditions;
  /** Fields that are RES0 unless their condition holds. */
  readonly fieldPresence: Readonly<Record<string, Conditions>>;
  /** The whole register is read-only while one of these is set. */
  readonly guards: readonly Guard[];
  /** The field alone is read-only while one of these is set. */
  readonly fieldGuards: Readonly<Record<string, readonly Guard[]>>;
  /** The register is read-only when these hold (TABLES_PRESET, QUEUES_PRESET). */
  readonly preset: Conditions | undefined;
  /** Fields that software cannot write although the register is RW. */
  readonly readOnlyFields: readonly string[];
  /** Bits of this field at and above the OAS are RES0. */
  readonly addressField: string | undefined;
  /** Changes are Updates, acknowledged in this register; a field under Update takes no other value (6.3.9). */
  readonly acknowledgedIn: RegisterKey | undefined;
  /** Written only together with this flag, and only while it reads 0 (6.3.14.1). */
  readonly updateField: string | undefined;
  /** Low word after reset. Where the architecture says UNKNOWN: zero (choice: reset-unknown). */
  readonly reset: number;
}

interface Row {
  /** Section of the Non-secure and of the Secure register. */
  readonly sections: readonly [string | undefined, string | undefined];
  readonly bits?: 32 | 64;
  readonly access?: 'RO' | 'RW';
  readonly presence?: readonly [Conditions, Conditions] | Conditions;
  readonly fieldPresence?: Readonly<Record<string, readonly [Conditions, Conditions]>>;
  readonly guards?: readonly Guard[];
  readonly fieldGuards?: Readonly<Record<string, readonly Guard[]>>;
  readonly preset?: Conditions;
  readonly readOnlyFields?: readonly string[];
  readonly addressField?: string;
  readonly acknowledgedIn?: string;
  readonly updateField?: string;
  readonly reset?: number;
  /** Where the Secure register is not at the Non-secure offset + 0x8000. */
  readonly secureOffset?: number;
  /** Fields of the Secure register where they are not the Non-secure ones. */
  readonly secureFields?: Readonly<Record<string, Field>>;
}

const SMMUEN: Guard = { control: 'CR0', field: 'SMMUEN' };
const CMDQEN: Guard = { control: 'CR0', field: 'CMDQEN' };
const EVENTQEN: Guard = { control: 'CR0', field: 'EVENTQEN' };
const PRIQEN: Guard = { control: 'CR0', field: 'PRIQEN' };
const DPT_WALK_EN: Guard = { control: 'CR0', field: 'DPT_WALK_EN' };
const irqEnable = (field: string): Guard => ({ control: 'IRQ_CTRL', field });

const declared: Register[] = [];

/** Declares a register, or the pair of its two banks, at the Non-secure offset. */
function register<const Key extends string>(
  key: Key,
  offset: number,
  fields: Readonly<Record<string, Field>>,
  row: Row,
): Key {
  for (const security of [NON_SECURE, SECURE] as const) {
    const section = row.sections[security];
    if (section === undefined) continue;
    const secure = security === SECURE;
    const name = `SMMU_${secure ? 'S_' : ''}${key}`;
    const own = (secure ? row.secureFields : undefined) ?? fields;
    const presence = row.presence ?? ALWAYS;
    const fieldPresence: Record<string, Conditions> = {};
    for (const [field, conditions] of Object.entries(row.fieldPresence ?? {})) {
      if (field in own) fieldPresence[field] = conditions[security];
    }
    // All of one shape: objects of many take longer to make and to read.
    declared.push({
      ...layout(name, section, row.bits ?? 32, own),
      key: key as unknown as RegisterKey,
      offset: secure ? (row.secureOffset ?? offset + SECURE_OFFSET) : offset,
      security,
      access: row.access ?? 'RW',
      presence: [
        ...(isPair(presence) ? presence[security] : presence),
        ...(secure ? [when('S_IDR1', 'SECURE_IMPL')] : []),
      ],
      fieldPresence,
      guards: row.guards ?? [],
      fieldGuards: row.fieldGuards ?? {},
      readOnlyFields: row.readOnlyFields ?? [],
      preset: row.preset,
      addressField: row.addressField,
      acknowledgedIn: row.acknowledgedIn as RegisterKey | undefined,
      updateField: row.updateField,
      reset: row.reset ?? 0,
    });
  }
  return key;
}

function isPair(
  presence: Conditions | readonly [Conditions, Conditions],
): presence is readonly [Conditions, Conditions] {
  return Array.isArray(presence[0]);
}

const RO = { access: 'RO' } as const;
const BA_VATOS = { BA_VATOS: f(9, 0), Res10: res(31, 10) };
const VATOS = [[when('IDR0', 'VATOS')], [when('IDR0', 'VATOS'), when('S_IDR1', 'SEL2')]] as const;

const KEYS = [
  register('IDR0', 0x0000, IDR0.fields, {
    sections: ['6.3.1', '6.3.52'],
    ...RO,
    secureFields: S_IDR0.fields,
  }),
  register('IDR1', 0x0004, IDR1.fields, {
    sections: ['6.3.2', '6.3.53'],
    ...RO,
    secureFields: S_IDR1.fields,
  }),
  register('IDR2', 0x0008, BA_VATOS, {
    sections: ['6.3.3', '6.3.54'],
    ...RO,
    secureFields: { BA_S_VATOS: f(9, 0), Res10: res(31, 10) },
  }),
  register('IDR3', 0x000c, IDR3.fields, {
    sections: ['6.3.4', '6.3.55'],
    ...RO,
    secureFields: { Res0: res(5, 0), SAMS: f(6), Res7: res(31, 7) },
  }),
  register('IDR4', 0x0010, { IMPLEMENTATION_DEFINED: res(31, 0) }, { sections: ['6.3.5', '6.3.56'], ...RO }),
  register('IDR5', 0x0014, IDR5.fields, { sections: ['6.3.6', undefined], ...RO }),
  register('IIDR', 0x0018, IIDR.fields, { sections: ['6.3.7', undefined], ...RO }),
  register('AIDR', 0x001c, AIDR.fields, { sections: ['6.3.8', undefined], ...RO }),
  register('CR0', 0x0020, CR0_FIELDS, {
    sections: ['6.3.9', '6.3.57'],
    secureFields: S_CR0_FIELDS,
    fieldPresence: CR0_PRESENCE,
    acknowledgedIn: 'CR0ACK',
  }),
  register('CR0ACK', 0x0024, CR0_FIELDS, {
    sections: ['6.3.10', '6.3.58'],
    ...RO,
    secureFields: S_CR0_FIELDS,
    fieldPresence: CR0_PRESENCE,
  }),
  register(
    'CR1',
    0x0028,
    {
      QUEUE_IC: f(1, 0, CACHEABILITY),
      QUEUE_OC: f(3, 2, CACHEABILITY),
      QUEUE_SH: f(5, 4, SHAREABILITY),
      TABLE_IC: f(7, 6, CACHEABILITY),
      TABLE_OC: f(9, 8, CACHEABILITY),
      TABLE_SH: f(11, 10, SHAREABILITY),
      Res12: res(31, 12),
    },
    {
      sections: ['6.3.11', '6.3.59'],
      fieldGuards: {
        QUEUE_IC: [CMDQEN, EVENTQEN, PRIQEN],
        QUEUE_OC: [CMDQEN, EVENTQEN, PRIQEN],
        QUEUE_SH: [CMDQEN, EVENTQEN, PRIQEN],
        TABLE_IC: [SMMUEN],
        TABLE_OC: [SMMUEN],
        TABLE_SH: [SMMUEN],
      },
    },
  ),
  register(
    'CR2',
    0x002c,
    { E2H: f(0), RECINVSID: f(1), PTM: f(2), REC_CFG_ATS: f(3), Res4: res(31, 4) },
    {
      sections: ['6.3.12', '6.3.60'],
      secureFields: { E2H: f(0), RECINVSID: f(1), PTM: f(2), Res3: res(31, 3) },
      fieldPresence: {
        E2H: [[when('IDR0', 'Hyp')], [when('S_IDR1', 'SEL2')]],
        PTM: both([when('IDR0', 'BTM')]),
        REC_CFG_ATS: both([when('IDR0', 'ATSRECERR')]),
      },
      guards: [SMMUEN],
    },
  ),
  register('S2PII', 0x0030, permissionInterpretations(), {
    sections: ['6.3.17', '6.3.61'],
    bits: 64,
    presence: [when('IDR3', 'S2PI')],
  }),
  register(
    'INIT',
    -1,
    { INV_ALL: f(0), Res1: res(31, 1) },
    {
      sections: [undefined, '6.3.62'],
      secureOffset: 0x803c,
      // Choice: inv-all-while-enabled.
      guards: [{ ...SMMUEN, anyBank: true }],
    },
  ),
  register(
    'STATUSR',
    0x0040,
    { DORMANT: f(0), Res1: res(31, 1) },
    { sections: ['6.3.13', undefined], ...RO },
  ),
  register('GBPA', 0x0044, GBPA_FIELDS, {
    sections: ['6.3.14', '6.3.63'],
    secureFields: S_GBPA_FIELDS,
    updateField: 'Update',
    // Choice: gbpa-reset. "Use incoming" is zero in every field but SHCFG.
    reset: 0x1000,
  }),
  // Choice: agbpa.
  register('AGBPA', 0x0048, { IMPLEMENTATION_DEFINED: res(31, 0) }, { sections: ['6.3.15', '6.3.64'] }),
  register('IRQ_CTRL', 0x0050, IRQ_CTRL_FIELDS, {
    sections: ['6.3.16', '6.3.65'],
    secureFields: S_IRQ_CTRL_FIELDS,
    fieldPresence: { PRIQ_IRQEN: both(PRI) },
  }),
  register('IRQ_CTRLACK', 0x0054, IRQ_CTRL_FIELDS, {
    sections: ['6.3.18', '6.3.66'],
    ...RO,
    secureFields: S_IRQ_CTRL_FIELDS,
    fieldPresence: { PRIQ_IRQEN: both(PRI) },
  }),
  register('GERROR', 0x0060, GERROR_FIELDS, {
    sections: ['6.3.19', '6.3.67'],
    ...RO,
    secureFields: S_GERROR_FIELDS,
    fieldPresence: GERROR_PRESENCE,
  }),
  register('GERRORN', 0x0064, GERROR_FIELDS, {
    sections: ['6.3.20', '6.3.68'],
    secureFields: S_GERROR_FIELDS,
    fieldPresence: GERROR_PRESENCE,
  }),
  ...msiRegisters('GERROR', 0x0068, [
    ['6.3.21', '6.3.69'],
    ['6.3.22', '6.3.70'],
    ['6.3.23', '6.3.71'],
  ]),
  register(
    'STRTAB_BASE',
    0x0080,
    { Res0: res(5, 0), ADDR: f(55, 6), Res56: res(61, 56), RA: f(62), Res63: res(63) },
    {
      sections: ['6.3.24', '6.3.72'],
      bits: 64,
      guards: [SMMUEN],
      preset: TABLES_PRESET,
      addressField: 'ADDR',
    },
  ),
  register(
    'STRTAB_BASE_CFG',
    0x0088,
    {
      LOG2SIZE: f(5, 0),
      SPLIT: f(10, 6),
      Res11: res(15, 11),
      FMT: f(17, 16, { 0: 'linear', 1: '2-level' }),
      Res18: res(31, 18),
    },
    {
      sections: ['6.3.25', '6.3.73'],
      fieldPresence: { SPLIT: TWO_LEVEL, FMT: TWO_LEVEL },
      guards: [SMMUEN],
      preset: TABLES_PRESET,
    },
  ),
  register('CMDQ_BASE', 0x0090, INPUT_QUEUE_BASE, {
    sections: ['6.3.26', '6.3.74'],
    bits: 64,
    guards: [CMDQEN],
    preset: QUEUES_PRESET,
    addressField: 'ADDR',
  }),
  register('CMDQ_PROD', 0x0098, { WR: f(19, 0), Res20: res(31, 20) }, { sections: ['6.3.27', '6.3.75'] }),
  register(
    'CMDQ_CONS',
    0x009c,
    {
      RD: f(19, 0),
      Res20: res(23, 20),
      ERR: f(30, 24, { 0: 'CERROR_NONE', 1: 'CERROR_ILL', 2: 'CERROR_ABT', 3: 'CERROR_ATC_INV_SYNC' }),
      Res31: res(31),
    },
    // Choice: cmdq-cons-err-write.
    { sections: ['6.3.28', '6.3.76'], guards: [CMDQEN], readOnlyFields: ['ERR'] },
  ),
  register('EVENTQ_BASE', 0x00a0, OUTPUT_QUEUE_BASE, {
    sections: ['6.3.29', '6.3.77'],
    bits: 64,
    guards: [EVENTQEN],
    preset: QUEUES_PRESET,
    addressField: 'ADDR',
  }),
  register('EVENTQ_PROD', 0x100a8, OUTPUT_PROD, {
    sections: ['6.3.95', '6.3.78'],
    secureOffset: 0x80a8,
    guards: [EVENTQEN],
  }),
  register('EVENTQ_CONS', 0x100ac, OUTPUT_CONS, { sections: ['6.3.96', '6.3.79'], secureOffset: 0x80ac }),
  ...msiRegisters('EVENTQ', 0x00b0, [
    ['6.3.30', '6.3.80'],
    ['6.3.31', '6.3.81'],
    ['6.3.32', '6.3.82'],
  ]),
  register('PRIQ_BASE', 0x00c0, OUTPUT_QUEUE_BASE, {
    sections: ['6.3.33', undefined],
    bits: 64,
    presence: PRI,
    guards: [PRIQEN],
    preset: QUEUES_PRESET,
    addressField: 'ADDR',
  }),
  register('PRIQ_PROD', 0x100c8, OUTPUT_PROD, {
    sections: ['6.3.97', undefined],
    presence: PRI,
    guards: [PRIQEN],
  }),
  register('PRIQ_CONS', 0x100cc, OUTPUT_CONS, { sections: ['6.3.98', undefined], presence: PRI }),
  register('PRIQ_IRQ_CFG0', 0x00d0, MSI_ADDRESS, {
    sections: ['6.3.34', undefined],
    bits: 64,
    presence: PRI_MSI,
    guards: [irqEnable('PRIQ_IRQEN')],
    addressField: 'ADDR',
  }),
  register('PRIQ_IRQ_CFG1', 0x00d8, MSI_DATA, {
    sections: ['6.3.35', undefined],
    presence: PRI_MSI,
    guards: [irqEnable('PRIQ_IRQEN')],
  }),
  register(
    'PRIQ_IRQ_CFG2',
    0x00dc,
    { MemAttr: f(3, 0), SH: f(5, 4, SHAREABILITY), Res6: res(30, 6), LO: f(31) },
    { sections: ['6.3.36', undefined], presence: PRI_MSI, guards: [irqEnable('PRIQ_IRQEN')] },
  ),
  register(
    'GATOS_CTRL',
    0x0100,
    { RUN: f(0), Res1: res(31, 1) },
    { sections: ['6.3.37', '6.3.83'], presence: ATOS },
  ),
  register(
    'GATOS_SID',
    0x0108,
    { STREAMID: f(31, 0), SUBSTREAMID: f(51, 32), SSID_VALID: f(52), Res53: res(63, 53) },
    {
      sections: ['6.3.38', '6.3.84'],
      bits: 64,
      presence: ATOS,
      secureFields: {
        STREAMID: f(31, 0),
        SUBSTREAMID: f(51, 32),
        SSID_VALID: f(52),
        SSEC: f(53),
        Res54: res(63, 54),
      },
    },
  ),
  register('GATOS_ADDR', 0x0110, atosAddress(res(4)), {
    sections: ['6.3.39', '6.3.85'],
    bits: 64,
    presence: ATOS,
    secureFields: atosAddress(f(4)),
  }),
  register(
    'GATOS_PAR',
    0x0118,
    {
      FAULT: f(0),
      Res1: res(7, 1),
      SH: f(9, 8),
      Res10: res(10),
      Size: f(11),
      ADDR: f(55, 12),
      ATTR: f(63, 56),
    },
    { sections: ['6.3.40', '6.3.86'], bits: 64, presence: ATOS, ...RO },
  ),
  register(
    'MPAMIDR',
    0x0130,
    { PARTID_MAX: f(15, 0), PMG_MAX: f(23, 16), Res24: res(31, 24) },
    {
      sections: ['6.3.41', '6.3.87'],
      presence: MPAM,
      ...RO,
      secureFields: {
        PARTID_MAX: f(15, 0),
        PMG_MAX: f(23, 16),
        Res24: res(24),
        HAS_MPAM_NS: f(25),
        Res26: res(31, 26),
      },
    },
  ),
  register(
    'GMPAM',
    0x0138,
    { SO_PARTID: f(15, 0), SO_PMG: f(23, 16), Res24: res(30, 24), Update: f(31) },
    {
      sections: ['6.3.42', '6.3.88'],
      presence: MPAM,
      updateField: 'Update',
    },
  ),
  register(
    'GBPMPAM',
    0x013c,
    { GBP_PARTID: f(15, 0), GBP_PMG: f(23, 16), Res24: res(30, 24), Update: f(31) },
    {
      sections: ['6.3.43', '6.3.89'],
      presence: MPAM,
      updateField: 'Update',
    },
  ),
  register(
    'VATOS_SEL',
    0x0180,
    { VMID: f(15, 0), Res16: res(31, 16) },
    {
      sections: ['6.3.44', '6.3.90'],
      presence: VATOS,
    },
  ),
  register('IDR6', 0x0190, CONTROL_PAGES, { sections: ['6.3.45', '6.3.91'], presence: ECMDQ, ...RO }),
  register(
    'DPT_BASE',
    0x0200,
    { Res0: res(11, 0), BADDR: f(55, 12), Res56: res(61, 56), RA: f(62), Res63: res(63) },
    {
      sections: ['6.3.46', undefined],
      bits: 64,
      presence: DPT,
      guards: [DPT_WALK_EN],
      addressField: 'BADDR',
    },
  ),
  register(
    'DPT_BASE_CFG',
    0x0208,
    {
      DPTPS: f(2, 0),
      Res3: res(13, 3),
      DPTGS: f(15, 14),
      Res16: res(19, 16),
      L0DPTSZ: f(23, 20),
      Res24: res(31, 24),
    },
    { sections: ['6.3.47', undefined], presence: DPT, guards: [DPT_WALK_EN] },
  ),
  register(
    'DPT_CFG_FAR',
    0x0210,
    {
      FAULT: f(0),
      LEVEL: f(1),
      Res2: res(3, 2),
      DPT_FAULTCODE: f(7, 4),
      Res8: res(11, 8),
      FADDR: f(55, 12),
      Res56: res(63, 56),
    },
    { sections: ['6.3.48', undefined], bits: 64, presence: DPT },
  ),
] as const;

export type RegisterKey = (typeof KEYS)[number];

/** All of them, in the order of the tables of 6.2. */
export const REGISTERS: readonly Register[] = declared;

/** The registers of each bank by key. A key that a bank does not have (S_STATUSR, INIT) is undefined there. */
export const BANKS: readonly [
  Readonly<Record<RegisterKey, Register>>,
  Readonly<Record<RegisterKey, Register>>,
] = [bank(NON_SECURE), bank(SECURE)];

function bank(security: SecurityState): Readonly<Record<RegisterKey, Register>> {
  const own = declared.filter((candidate) => candidate.security === security);
  return Object.fromEntries(own.map((of) => [of.key, of])) as Record<RegisterKey, Register>;
}

/** One of the x_IRQ_CFG0, 1, 2 groups: where an MSI goes, what it carries, and how (3.18). */
function msiRegisters<const Source extends 'GERROR' | 'EVENTQ'>(
  source: Source,
  offset: number,
  sections: readonly [Row['sections'], Row['sections'], Row['sections']],
) {
  const row = { presence: MSI, guards: [irqEnable(`${source}_IRQEN`)] };
  return [
    register(`${source}_IRQ_CFG0`, offset, MSI_ADDRESS, {
      ...row,
      sections: sections[0],
      bits: 64,
      addressField: 'ADDR',
    }),
    register(`${source}_IRQ_CFG1`, offset + 8, MSI_DATA, { ...row, sections: sections[1] }),
    register(`${source}_IRQ_CFG2`, offset + 12, MSI_ATTRIBUTES, { ...row, sections: sections[2] }),
  ] as const;
}
