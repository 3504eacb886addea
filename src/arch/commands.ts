/**
 * The commands of the Command queues (IHI 0070 chapter 4): opcode, fields, on which queue and with which features each
 * is legal. What is not legal is CERROR_ILL (4.1.3).
 *
 * CMD_CFGI_ALL is CMD_CFGI_STE_RANGE with Range == 31 and has no declaration of its own (4.3.6). Legality on a Realm
 * Command queue is left out. Reserved fields are ignored (choice: command-reserved-fields).
 */
import { type Condition, type Conditions, holds, type IdWords, when } from './conditions.js';
import { type Field, f, get, type Layout, layout, res, type Words } from './layout.js';
import { NON_SECURE, SECURE, type SecurityState } from './security.js';

export const COMMAND_BYTES = 16;

/** CMDQ_CONS.ERR (7.1). */
export const CERROR_NONE = 0;
export const CERROR_ILL = 1;
export const CERROR_ABT = 2;
export const CERROR_ATC_INV_SYNC = 3;

export const CMD_PREFETCH_CONFIG = 0x01;
export const CMD_PREFETCH_ADDR = 0x02;
export const CMD_CFGI_STE = 0x03;
export const CMD_CFGI_STE_RANGE = 0x04;
export const CMD_CFGI_CD = 0x05;
export const CMD_CFGI_CD_ALL = 0x06;
export const CMD_CFGI_VMS_PIDM = 0x07;
export const CMD_TLBI_NH_ALL = 0x10;
export const CMD_TLBI_NH_ASID = 0x11;
export const CMD_TLBI_NH_VA = 0x12;
export const CMD_TLBI_NH_VAA = 0x13;
export const CMD_TLBI_EL3_ALL = 0x18;
export const CMD_TLBI_EL3_VA = 0x1a;
export const CMD_TLBI_EL2_ALL = 0x20;
export const CMD_TLBI_EL2_ASID = 0x21;
export const CMD_TLBI_EL2_VA = 0x22;
export const CMD_TLBI_EL2_VAA = 0x23;
export const CMD_TLBI_S12_VMALL = 0x28;
export const CMD_TLBI_S2_IPA = 0x2a;
export const CMD_TLBI_NSNH_ALL = 0x30;
export const CMD_ATC_INV = 0x40;
export const CMD_PRI_RESP = 0x41;
export const CMD_RESUME = 0x44;
export const CMD_STALL_TERM = 0x45;
export const CMD_SYNC = 0x46;
export const CMD_TLBI_S_EL2_ALL = 0x50;
export const CMD_TLBI_S_EL2_ASID = 0x51;
export const CMD_TLBI_S_EL2_VA = 0x52;
export const CMD_TLBI_S_EL2_VAA = 0x53;
export const CMD_TLBI_S_S12_VMALL = 0x58;
export const CMD_TLBI_S_S2_IPA = 0x5a;
export const CMD_TLBI_SNH_ALL = 0x60;
export const CMD_DPTI_ALL = 0x70;
export const CMD_DPTI_PA = 0x73;

/** CMD_SYNC.CS: how completion is signalled (4.7.3). */
export const SIG_NONE = 0;
export const SIG_IRQ = 1;
export const SIG_SEV = 2;

const OPCODE = { Opcode: f(7, 0) } as const;
const SSEC = { SSec: f(10) } as const;
const STREAM = { ...SSEC, StreamID: f(63, 32) } as const;
const SUBSTREAM = { SSV: f(11), SubstreamID: f(31, 12), StreamID: f(63, 32) } as const;
const LEAF = { Leaf: f(64) } as const;
const VMID = { VMID: f(47, 32) } as const;
const ASID = { ASID: f(63, 48) } as const;
const TG = f(75, 74, { 0: 'any', 1: '4KB', 2: '16KB', 3: '64KB' });
const RANGE = { NUM: f(16, 12), SCALE: f(25, 20), ...LEAF, TTL128: f(71), TTL: f(73, 72), TG } as const;
const VA = { ...RANGE, Address: f(127, 76) } as const;
const IPA = { ...RANGE, Address: f(119, 76) } as const;

/** All fields of the invalidation commands, for those who execute any of them (4.3, 4.4). */
export const COMMAND = {
  ...OPCODE,
  ...STREAM,
  ...SUBSTREAM,
  ...VMID,
  ...ASID,
  ...VA,
  /** CMD_CFGI_STE_RANGE: 2^(Range + 1) StreamIDs. */
  Range: f(68, 64),
  /** CMD_TLBI_S_S2_IPA: the Non-secure IPA space of the Secure translation regime. */
  NS: f(127),
} as const;

/** CMD_RESUME's fields beside the stream (4.7.1). */
export const RESUME = { Ac: f(12, 12, { 0: 'terminate', 1: 'retry' }), Ab: f(13), STAG: f(79, 64) } as const;

/** CMD_SYNC's fields (4.7.3); MSI_NS exists on Realm queues only. */
export const SYNC = {
  ...OPCODE,
  CS: f(13, 12, { 0: 'SIG_NONE', 1: 'SIG_IRQ', 2: 'SIG_SEV' }),
  Res14: res(21, 14),
  MSH: f(23, 22),
  MSIAttr: f(27, 24),
  MSIData: f(63, 32),
  MSIAddress: f(119, 66),
} as const;

/** Where a command is legal: conditions per queue, null for never. */
type Legality = readonly [Conditions | null, Conditions | null];

export interface Command extends Layout {
  readonly opcode: number;
  readonly legality: Legality;
  /** Values that are CERROR_ILL, by field. */
  readonly illegal: Readonly<Record<string, readonly number[]>>;
  /** Has the range and level fields of 4.4.1.1, with their Reserved combination. */
  readonly ranged: boolean;
  /** CMD_CFGI_*, CMD_TLBI_*, CMD_ATC_INV: something that is cached is dropped. */
  readonly invalidates: boolean;
}

function command(
  name: string,
  opcode: number,
  section: string,
  fields: Readonly<Record<string, Field>>,
  legality: Legality,
  illegal: Command['illegal'] = {},
): Command {
  const of = layout(name, section, COMMAND_BYTES * 8, { ...OPCODE, ...fields });
  const invalidates = /^CMD_(?:CFGI|TLBI|ATC_INV)/.test(name);
  return { ...of, opcode, legality, illegal, ranged: 'TTL' in fields, invalidates };
}

const on = (...conditions: Condition[]): Legality => [conditions, conditions];
const onSecure = (...conditions: Condition[]): Legality => [null, conditions];

const S1P = when('IDR0', 'S1P');
const S2P = when('IDR0', 'S2P');
const HYP = when('IDR0', 'Hyp');
const SEL2 = when('S_IDR1', 'SEL2');
const NO_RME = when('IDR0', 'RME_IMPL', 0);
const EL2 = on(S1P, HYP);
const EL3 = onSecure(S1P, NO_RME);
const DPT = on(when('IDR3', 'DPT'));
/** The Stall model must be there for the queue's own Security state; IDR0 reads as NSSTALLD makes it read (6.3.57). */
const STALL: Legality = [[when('IDR0', 'STALL_MODEL', 0, 2)], [when('S_IDR0', 'STALL_MODEL', 0, 2)]];

export const COMMANDS: readonly Command[] = [
  command('CMD_PREFETCH_CONFIG', CMD_PREFETCH_CONFIG, '4.2.1', { ...SSEC, ...SUBSTREAM }, on()),
  command(
    'CMD_PREFETCH_ADDR',
    CMD_PREFETCH_ADDR,
    '4.2.2',
    { ...SSEC, ...SUBSTREAM, Size: f(68, 64), Stride: f(73, 69), Address: f(127, 76) },
    on(),
  ),
  command('CMD_CFGI_STE', CMD_CFGI_STE, '4.3.1', { ...STREAM, ...LEAF }, on()),
  command('CMD_CFGI_STE_RANGE', CMD_CFGI_STE_RANGE, '4.3.2', { ...STREAM, Range: COMMAND.Range }, on()),
  command('CMD_CFGI_CD', CMD_CFGI_CD, '4.3.3', { ...STREAM, SubstreamID: f(31, 12), ...LEAF }, on(S1P)),
  command('CMD_CFGI_CD_ALL', CMD_CFGI_CD_ALL, '4.3.4', STREAM, on(S1P)),
  command('CMD_CFGI_VMS_PIDM', CMD_CFGI_VMS_PIDM, '4.3.5', { ...SSEC, ...VMID }, on(when('IDR3', 'MPAM'))),
  command('CMD_TLBI_NH_ALL', CMD_TLBI_NH_ALL, '4.4.2.1', VMID, on(S1P)),
  command('CMD_TLBI_NH_ASID', CMD_TLBI_NH_ASID, '4.4.2.2', { ...VMID, ...ASID }, on(S1P)),
  command('CMD_TLBI_NH_VAA', CMD_TLBI_NH_VAA, '4.4.2.3', { ...VMID, ...VA }, on(S1P)),
  command('CMD_TLBI_NH_VA', CMD_TLBI_NH_VA, '4.4.2.4', { ...VMID, ...ASID, ...VA }, on(S1P)),
  command('CMD_TLBI_EL3_ALL', CMD_TLBI_EL3_ALL, '4.4.2.5', {}, EL3),
  command('CMD_TLBI_EL3_VA', CMD_TLBI_EL3_VA, '4.4.2.6', VA, EL3),
  command('CMD_TLBI_EL2_ALL', CMD_TLBI_EL2_ALL, '4.4.2.7', {}, EL2),
  command('CMD_TLBI_EL2_VA', CMD_TLBI_EL2_VA, '4.4.2.8', { ...ASID, ...VA }, EL2),
  command('CMD_TLBI_EL2_VAA', CMD_TLBI_EL2_VAA, '4.4.2.9', VA, EL2),
  command('CMD_TLBI_EL2_ASID', CMD_TLBI_EL2_ASID, '4.4.2.10', ASID, EL2),
  command('CMD_TLBI_S_EL2_ALL', CMD_TLBI_S_EL2_ALL, '4.4.2.11', {}, onSecure(SEL2)),
  command('CMD_TLBI_S_EL2_VA', CMD_TLBI_S_EL2_VA, '4.4.2.12', { ...ASID, ...VA }, onSecure(SEL2)),
  command('CMD_TLBI_S_EL2_VAA', CMD_TLBI_S_EL2_VAA, '4.4.2.13', VA, onSecure(SEL2)),
  command('CMD_TLBI_S_EL2_ASID', CMD_TLBI_S_EL2_ASID, '4.4.2.14', ASID, onSecure(SEL2)),
  command('CMD_TLBI_S2_IPA', CMD_TLBI_S2_IPA, '4.4.3.1', { ...VMID, ...IPA }, on(S2P)),
  command('CMD_TLBI_S12_VMALL', CMD_TLBI_S12_VMALL, '4.4.3.2', VMID, on(S2P)),
  command(
    'CMD_TLBI_S_S2_IPA',
    CMD_TLBI_S_S2_IPA,
    '4.4.3.3',
    { ...VMID, ...IPA, NS: COMMAND.NS },
    onSecure(SEL2),
  ),
  command('CMD_TLBI_S_S12_VMALL', CMD_TLBI_S_S12_VMALL, '4.4.3.4', VMID, onSecure(SEL2)),
  command('CMD_TLBI_NSNH_ALL', CMD_TLBI_NSNH_ALL, '4.4.4.1', {}, on()),
  command('CMD_TLBI_SNH_ALL', CMD_TLBI_SNH_ALL, '4.4.4.2', {}, onSecure(SEL2)),
  command(
    'CMD_ATC_INV',
    CMD_ATC_INV,
    '4.5.1',
    // Choice: atc-inv-size.
    { Global: f(9), ...SUBSTREAM, Size: f(69, 64), Address: f(127, 76) },
    on(when('IDR0', 'ATS')),
  ),
  command(
    'CMD_PRI_RESP',
    CMD_PRI_RESP,
    '4.5.2',
    {
      ...SUBSTREAM,
      PRGIndex: f(72, 64),
      Resp: f(77, 76, { 0: 'ResponseFailure', 1: 'InvalidRequest', 2: 'Success' }),
    },
    on(when('IDR0', 'PRI')),
    { Resp: [3] },
  ),
  command('CMD_RESUME', CMD_RESUME, '4.7.1', { ...STREAM, ...RESUME }, STALL),
  command('CMD_STALL_TERM', CMD_STALL_TERM, '4.7.2', STREAM, STALL),
  command('CMD_SYNC', CMD_SYNC, '4.7.3', SYNC, on(), { CS: [3] }),
  // The spec gives the fields of CMD_DPTI_PA as a figure only; no instance has the DPT, so that they are not declared.
  command('CMD_DPTI_ALL', CMD_DPTI_ALL, '4.6.1', {}, DPT),
  command('CMD_DPTI_PA', CMD_DPTI_PA, '4.6.2', {}, DPT),
];

export const COMMANDS_BY_OPCODE: ReadonlyMap<number, Command> = new Map(
  COMMANDS.map((of) => [of.opcode, of]),
);

/**
 * The commands that a queue of this Security state accepts at all under these ID registers, by opcode.
 * Parameters are checked per command, by {@link hasIllegalParameters}.
 */
export function acceptedCommands(queue: SecurityState, id: IdWords): ReadonlyArray<Command | undefined> {
  const accepted = new Array<Command | undefined>(256).fill(undefined);
  for (const of of COMMANDS) {
    const conditions = of.legality[queue];
    if (conditions !== null && holds(conditions, id)) accepted[of.opcode] = of;
  }
  return accepted;
}

/** What parameter checks depend on besides the command (4.4.1.1). */
export interface RangeFeatures {
  /** IDR3.RIL: without it, the range and level fields are RES0 and have no effect. */
  readonly ril: boolean;
  /** IDR5.DS: SCALE has six bits, and a 16KB granule has blocks at level 1. */
  readonly ds: boolean;
}

/** Whether an accepted command's parameters make it ILLEGAL on this queue. */
export function hasIllegalParameters(
  of: Command,
  words: Words,
  queue: SecurityState,
  features: RangeFeatures,
): boolean {
  if (queue === NON_SECURE && 'SSec' in of.fields && get(words, COMMAND.SSec) === SECURE) return true;
  for (const field in of.illegal) {
    if (of.illegal[field]!.includes(get(words, of.fields[field]!))) return true;
  }
  return of.ranged && features.ril && isReservedRange(words, features.ds);
}

/** A granule named without a range or a level hint has no purpose and is Reserved (4.4.1.1). */
function isReservedRange(words: Words, ds: boolean): boolean {
  const tg = get(words, COMMAND.TG);
  if (tg === 0) return false;
  const ttl = get(words, COMMAND.TTL);
  const effectiveTtl = tg === 2 && ttl === 1 && !ds ? 0 : ttl;
  return effectiveTtl === 0 && get(words, COMMAND.NUM) === 0 && rangeScale(words, ds) === 0;
}

/** SCALE of a range invalidation: five bits without DS; values above 39 count as 39 (4.4.1.1). */
export function rangeScale(words: Words, ds: boolean): number {
  const scale = get(words, COMMAND.SCALE);
  return ds ? Math.min(scale, 39) : scale & 31;
}
