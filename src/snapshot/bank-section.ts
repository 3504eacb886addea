/**
 * One bank of registers as a section has it: the fields of QEMU's vmstate by their names there (REQUIREMENTS A44, A45), then
 * the registers and the rest that this simulator has beyond them. Each field is one register, or follows from one; what follows is checked.
 */
import { get } from '../arch/layout.js';
import { BANKS } from '../arch/registers.js';
import { NON_SECURE } from '../arch/security.js';
import { MESSAGE_WORDS } from '../smmu/maintenance.js';
import type { CommandQueueState } from '../smmu/tcu/command-queue.js';
import type { RegisterValues } from '../smmu/tcu/registers.js';
import type { BankState } from '../smmu/tcu/tcu.js';
import {
  type Codec,
  count,
  dictionary,
  flag,
  hex,
  list,
  mapped,
  optional,
  record,
  struct,
  uint32,
  words,
} from './codec.js';
import { SnapshotError } from './error.js';

/** Of QEMU's `features`: the Stream table has two levels. */
const FEATURE_2LVL_STE = 1;
const REGISTERS_MAX = 64;

interface Queue {
  readonly base: bigint;
  readonly prod: bigint;
  readonly cons: bigint;
  /** As BASE has it. */
  readonly log2size: number;
}

/** Fields that are one register each. */
const SINGLE = {
  cr0ack: 'CR0ACK',
  gbpa: 'GBPA',
  irq_ctrl: 'IRQ_CTRL',
  gerror: 'GERROR',
  gerrorn: 'GERRORN',
  gerror_irq_cfg0: 'GERROR_IRQ_CFG0',
  gerror_irq_cfg1: 'GERROR_IRQ_CFG1',
  gerror_irq_cfg2: 'GERROR_IRQ_CFG2',
  strtab_base: 'STRTAB_BASE',
  strtab_base_cfg: 'STRTAB_BASE_CFG',
  eventq_irq_cfg0: 'EVENTQ_IRQ_CFG0',
  eventq_irq_cfg1: 'EVENTQ_IRQ_CFG1',
  eventq_irq_cfg2: 'EVENTQ_IRQ_CFG2',
} as const;
const CR = ['CR0', 'CR1', 'CR2'] as const;
const QUEUES = { cmdq: 'CMDQ', eventq: 'EVENTQ' } as const;
type SingleField = keyof typeof SINGLE;
type QueueField = keyof typeof QUEUES;
const SINGLE_FIELDS = Object.keys(SINGLE) as SingleField[];
const QUEUE_FIELDS = Object.keys(QUEUES) as QueueField[];

interface StoredBank
  extends Omit<BankState, 'registers'>,
    Readonly<Record<SingleField, bigint>>,
    Readonly<Record<QueueField, Queue>> {
  readonly features: number;
  /** 0 for a linear Stream table. */
  readonly sid_split: number;
  readonly cr: readonly bigint[];
  /** All others. */
  readonly registers: RegisterValues;
}

/** Names and fields are the same in both banks. */
const { STRTAB_BASE_CFG, CMDQ_BASE } = BANKS[NON_SECURE];

function lowWord(value: bigint): readonly [number] {
  return [Number(BigInt.asUintN(32, value))];
}

function queueOf(registers: RegisterValues, name: string): Queue {
  const base = registers[`${name}_BASE`]!;
  const log2size = get(lowWord(base), CMDQ_BASE.fields.LOG2SIZE!);
  return { base, prod: registers[`${name}_PROD`]!, cons: registers[`${name}_CONS`]!, log2size };
}

function streamTable(cfg: bigint): { features: number; sid_split: number } {
  const { FMT, SPLIT } = STRTAB_BASE_CFG.fields;
  const twoLevel = get(lowWord(cfg), FMT!) === 1;
  return { features: twoLevel ? FEATURE_2LVL_STE : 0, sid_split: twoLevel ? get(lowWord(cfg), SPLIT!) : 0 };
}

function toStored({ registers, ...rest }: BankState): StoredBank {
  const others = { ...registers };
  // Without MSIs their registers are not there and read as zero.
  const take = (key: string): bigint => {
    const value = others[key] ?? 0n;
    delete others[key];
    return value;
  };
  const cmdq = queueOf(registers, QUEUES.cmdq);
  const eventq = queueOf(registers, QUEUES.eventq);
  for (const name of Object.values(QUEUES))
    for (const part of ['BASE', 'PROD', 'CONS']) take(`${name}_${part}`);
  const single = Object.fromEntries(SINGLE_FIELDS.map((field) => [field, take(SINGLE[field])]));
  return {
    ...streamTable(registers.STRTAB_BASE_CFG!),
    cr: CR.map(take),
    ...(single as Record<SingleField, bigint>),
    cmdq,
    eventq,
    ...rest,
    registers: others,
  };
}

function fromStored(stored: StoredBank, path: string): BankState {
  const { announced, update, commands, recorded, invalidations } = stored;
  const registers: Record<string, bigint> = { ...stored.registers };
  for (const [index, key] of CR.entries()) registers[key] = stored.cr[index]!;
  for (const field of SINGLE_FIELDS) registers[SINGLE[field]] = stored[field];
  for (const field of QUEUE_FIELDS) {
    const { base, prod, cons } = stored[field];
    Object.assign(registers, { [`${QUEUES[field]}_BASE`]: base, [`${QUEUES[field]}_PROD`]: prod });
    registers[`${QUEUES[field]}_CONS`] = cons;
    if (queueOf(registers, QUEUES[field]).log2size !== stored[field].log2size)
      contradiction(`${path}.${field}`, 'log2size');
  }
  const { features, sid_split } = streamTable(stored.strtab_base_cfg);
  if (stored.cr.length !== CR.length) contradiction(path, 'cr');
  if (features !== stored.features) contradiction(path, 'features');
  if (sid_split !== stored.sid_split) contradiction(path, 'sid_split');
  return {
    registers,
    announced,
    ...(update === undefined ? {} : { update }),
    commands,
    recorded,
    invalidations,
  };
}

function contradiction(path: string, field: string): never {
  throw new SnapshotError('malformed', `${path}.${field} is not what the registers say`);
}

const queue: Codec<Queue> = struct(
  'smmuv3_queue',
  1,
  record<Queue>({ base: hex, prod: hex, cons: hex, log2size: uint32 }),
);

const commands: Codec<CommandQueueState> = record<CommandQueueState>({
  consumed: count,
  syncing: optional(words(4)),
});

const singles = Object.fromEntries(SINGLE_FIELDS.map((field) => [field, hex])) as Record<
  SingleField,
  Codec<bigint>
>;

const storedBank = record<StoredBank>({
  features: uint32,
  sid_split: uint32,
  cr: list(hex, CR.length),
  ...singles,
  cmdq: queue,
  eventq: queue,
  registers: dictionary(hex, REGISTERS_MAX),
  announced: words(MESSAGE_WORDS),
  update: optional(record({ CR0: uint32, GBPA: flag })),
  commands,
  recorded: count,
  invalidations: count,
});

export const bank: Codec<BankState> = struct('smmuv3_bank', 1, mapped(storedBank, toStored, fromStored));
