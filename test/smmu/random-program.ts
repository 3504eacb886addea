/**
 * Random programs of a whole SMMU, as data: registers of both banks, structures, commands, DMA, with queues so small that they
 * overflow, addresses that abort, and pauses at which Updates and commands are left under way. A rig performs them.
 */
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import type { MappedSpace } from '../../src/memory/mapped-space.js';
import type { SmmuConfig } from '../../src/smmu/config.js';
import { Smmu } from '../../src/smmu/smmu.js';
import { workspaceBytes } from '../../src/smmu/tbu/translation-kernel.js';
import { OUTCOME_NAMES, Transaction } from '../../src/smmu/transaction.js';
import { CR0, GBPA, IDR0, OFFSETS, OPCODES, S_CR0, S_IDR0, S_OFFSETS, WIDE } from '../spec-numbers.js';
import { CD_BITS, STE_BITS, wordsOf } from '../spec-structures.js';
import type { Random } from './random.js';
import { FULL_IDR } from './tbu-bench.js';

const RAM_BYTES = 4 * 2 ** 20;
const CMDQ = 0x1_0000;
const EVENTQ = 0x2_0000;
const STRTAB = 0x4_0000;
const CDS = 0x5_0000;
const TABLES = 0x10_0000;
const STAGE2_TABLES = 0x20_0000;
const DATA_PAGE = 0x300;
/** Where no memory is. */
const NOWHERE = 0x800_0000;
const MSI_TARGET = 0x3_0000;
const QUEUE_LOG2 = 3;
const STREAMS = 8;
const SUBSTREAMS = 4;
const PAGES = 24;

export const PROGRAM_CONFIG: SmmuConfig = {
  id: 'smmu0',
  idr: { ...FULL_IDR, IDR0: FULL_IDR.IDR0 | IDR0.MSI, S_IDR0: FULL_IDR.S_IDR0 | S_IDR0.MSI },
  tlb: 6,
  configCache: 3,
};

/** With the Stall model, and few transactions that can be held. */
export const STALLING_CONFIG: SmmuConfig = {
  ...PROGRAM_CONFIG,
  idr: {
    ...PROGRAM_CONFIG.idr,
    IDR0: PROGRAM_CONFIG.idr.IDR0 & ~IDR0.STALL_MODEL_TERMINATE,
    IDR5: PROGRAM_CONFIG.idr.IDR5 | (3 << 16),
    S_IDR0: PROGRAM_CONFIG.idr.S_IDR0 & ~S_IDR0.STALL_MODEL_TERMINATE,
  },
};

export type Action =
  | {
      readonly op: 'store';
      readonly pa: number;
      readonly words: readonly number[];
      readonly in: SecurityState;
    }
  | { readonly op: 'write'; readonly name: string; readonly value: bigint; readonly in: SecurityState }
  /** Several commands, published together. */
  | { readonly op: 'commands'; readonly words: readonly (readonly number[])[]; readonly in: SecurityState }
  | { readonly op: 'consume'; readonly in: SecurityState }
  | { readonly op: 'acknowledge'; readonly in: SecurityState }
  /** Devices ask what has become of their stalled accesses. */
  | { readonly op: 'poll' }
  | { readonly op: 'step' }
  | { readonly op: 'idle' }
  | {
      readonly op: 'dma';
      readonly in: SecurityState;
      readonly StreamID: number;
      readonly SubstreamID: number;
      readonly iova: number;
      readonly write: boolean;
      readonly privileged: boolean;
      readonly instruction: boolean;
      readonly ns: boolean;
    };

function offsetOf(name: string, security: SecurityState): number {
  return security === SECURE
    ? S_OFFSETS[`S_${name}` as keyof typeof S_OFFSETS]
    : OFFSETS[name as keyof typeof OFFSETS];
}

function sizeOf(name: string): number {
  return (WIDE as readonly string[]).includes(name) ? 8 : 4;
}

const secureKeys = Object.keys(S_OFFSETS).map((name) => name.slice(2));
const NAMES: readonly { readonly name: string; readonly in: SecurityState }[] = [
  ...Object.keys(OFFSETS).map((name) => ({ name, in: NON_SECURE as SecurityState })),
  ...secureKeys.map((name) => ({ name, in: SECURE as SecurityState })),
];

/** An SMMU with memory of its own that performs actions and writes down what of them can be observed. */
export class Rig {
  readonly memory: GuestMemory;
  readonly config: SmmuConfig;
  spaces: readonly [MappedSpace, MappedSpace];
  smmu: Smmu;
  interrupts: string[] = [];
  /** The devices' stalled accesses. */
  #held: Transaction[] = [];

  constructor(config: SmmuConfig) {
    this.config = config;
    const regions = [
      { id: 'ram', base: 0, sizeBytes: RAM_BYTES },
      { id: 'secure', base: 0, sizeBytes: RAM_BYTES },
    ];
    this.memory = GuestMemory.create(regions, workspaceBytes(config.tlb));
    this.spaces = [this.memory.space(['ram']), this.memory.space(['secure'])];
    this.smmu = this.newSmmu();
  }

  newSmmu(): Smmu {
    const io = {
      interrupt: (name: string, security: SecurityState) => this.interrupts.push(`${security}:${name}`),
    };
    const bytes = workspaceBytes(this.config.tlb);
    return new Smmu(this.config, this.spaces, io, bytes === 0 ? undefined : this.memory.workspace(0, bytes));
  }

  restart(): void {
    this.memory.clear();
    this.interrupts = [];
    this.#held = [];
    this.smmu = this.newSmmu();
  }

  read(name: string, security: SecurityState): bigint {
    return this.smmu.readRegister(offsetOf(name, security), sizeOf(name), security);
  }

  /** What the action itself answers. */
  perform(action: Action): string {
    const { smmu } = this;
    switch (action.op) {
      case 'store':
        this.#store(action.pa, action.words, action.in);
        return '';
      case 'write':
        smmu.writeRegister(offsetOf(action.name, action.in), sizeOf(action.name), action.value, action.in);
        return '';
      case 'commands': {
        const prod = Number(this.read('CMDQ_PROD', action.in));
        for (const [i, words] of action.words.entries())
          this.#store(CMDQ + 16 * ((prod + i) % 2 ** QUEUE_LOG2), words, action.in);
        const next = (prod + action.words.length) % 2 ** (QUEUE_LOG2 + 1);
        smmu.writeRegister(offsetOf('CMDQ_PROD', action.in), 4, BigInt(next), action.in);
        return '';
      }
      case 'consume':
        smmu.writeRegister(
          offsetOf('EVENTQ_CONS', action.in),
          4,
          this.read('EVENTQ_PROD', action.in),
          action.in,
        );
        return '';
      case 'acknowledge':
        smmu.writeRegister(offsetOf('GERRORN', action.in), 4, this.read('GERROR', action.in), action.in);
        return '';
      case 'poll': {
        const asked = this.#held.map((txn) => `${OUTCOME_NAMES[smmu.tbu.resume(txn)]}`);
        this.#held = this.#held.filter((_txn, index) => asked[index] === 'stall');
        return asked.join();
      }
      case 'step':
        return String(smmu.tcu.step());
      case 'idle':
        smmu.runToIdle();
        return '';
      case 'dma':
        return this.#dma(action);
    }
  }

  /** Whether another rig's registers differ, as the two register files have them. */
  differsFrom(other: Rig): boolean {
    const own = this.smmu.tcu.registers.words;
    const theirs = other.smmu.tcu.registers.words;
    return (
      this.interrupts.length !== other.interrupts.length ||
      Buffer.compare(new Uint8Array(own.buffer), new Uint8Array(theirs.buffer)) !== 0
    );
  }

  /** Every register as software reads it, and the interrupts so far. */
  observe(): string {
    const registers = NAMES.map((one) => `${one.in}:${one.name}=${this.read(one.name, one.in).toString(16)}`);
    return [...registers, ...this.interrupts].join(' ');
  }

  /** What the SMMU may have written: the queues and the target of MSIs. */
  memoryContents(): Uint8Array[] {
    return this.spaces.map((space) => {
      const bytes = new Uint8Array(0x2_1000);
      space.read(CMDQ, bytes, 0, bytes.length);
      return bytes;
    });
  }

  #dma(action: Extract<Action, { op: 'dma' }>): string {
    const txn = Object.assign(new Transaction(), {
      StreamID: action.StreamID,
      SubstreamID: action.SubstreamID,
      SEC_SID: action.in,
      iovaLo: action.iova | 0,
      iovaHi: Math.floor(action.iova / 2 ** 32),
      write: action.write,
      privileged: action.privileged,
      instruction: action.instruction,
      ns: action.ns,
    });
    const outcome = OUTCOME_NAMES[this.smmu.tbu.translate(txn)];
    if (outcome === 'stall') this.#held.push(txn);
    return outcome === 'ok'
      ? `ok ${txn.pa.toString(16)} ${txn.space} ${txn.translationAttributes} ${txn.overrides}`
      : `${outcome} ${txn.stag}`;
  }

  #store(pa: number, words: readonly number[], security: SecurityState): void {
    for (let i = 0; i < words.length; i += 2)
      this.spaces[security].store(pa + 4 * i, words[i]! | 0, (words[i + 1] ?? 0) | 0);
  }
}

/**
 * A program: how the SMMU is set up, then `length` random actions.
 * @param stalls streams may ask for the Stall model.
 * @param wellBehaved structures and their registers do not change once they are in use, so that no cached copy is ever stale.
 */
export function randomProgram(
  random: Random,
  length: number,
  wellBehaved: boolean,
  stalls: boolean,
): Action[] {
  const actions: Action[] = [];
  for (const security of [NON_SECURE, SECURE] as const) actions.push(...setUp(random, security, stalls));
  for (let i = 0; i < length; i++) actions.push(...next(random, wellBehaved, stalls));
  return actions;
}

function setUp(random: Random, security: SecurityState, stalls: boolean): Action[] {
  const write = (name: string, value: number | bigint): Action => ({
    op: 'write',
    name,
    value: BigInt(value),
    in: security,
  });
  const actions: Action[] = [];
  for (let sid = 0; sid < STREAMS; sid++) actions.push(...stream(random, sid, security, stalls));
  const queues = CR0.CMDQEN | CR0.EVENTQEN;
  actions.push(
    write('STRTAB_BASE', STRTAB),
    write('STRTAB_BASE_CFG', 5),
    write('CMDQ_BASE', CMDQ | QUEUE_LOG2),
    write('EVENTQ_BASE', (random.chance(90) ? EVENTQ : NOWHERE) | QUEUE_LOG2),
    write('EVENTQ_IRQ_CFG0', random.pick([0, MSI_TARGET, NOWHERE])),
    write('EVENTQ_IRQ_CFG1', 0x77),
    write('GERROR_IRQ_CFG0', random.pick([0, MSI_TARGET + 4, NOWHERE])),
    write('IRQ_CTRL', random.pick([0, 5, 5])),
    write('CR2', random.below(4)),
    write('CR0', queues),
    { op: 'idle' },
    write('CR0', queues | CR0.SMMUEN),
    { op: 'idle' },
  );
  return actions;
}

/** An STE with its CDs and tables; some of them faulty. */
function stream(random: Random, StreamID: number, security: SecurityState, stalls: boolean): Action[] {
  const context = CDS + StreamID * 0x1000;
  const stage2 = STAGE2_TABLES + StreamID * 0x4000;
  const Config = random.pick([0, 4, 5, 5, 5, 5, ...(security === NON_SECURE ? [6, 7, 7] : [])]);
  // EL2 and EL3 have no ASIDs: one stream with one table, or their translations would pass for each other's.
  const el1 = StreamID !== STREAMS - 1;
  const substreams = el1 && random.chance(40);
  const ste = wordsOf(STE_BITS, 512, {
    V: random.chance(95) ? 1 : 0,
    Config,
    S1ContextPtr: BigInt(context) >> 6n,
    S1CDMax: substreams ? 2 : 0,
    S1DSS: random.pick([1, 2]),
    STRW: el1 ? 0 : random.pick(security === SECURE ? [0, 1] : [0, 2]),
    SHCFG: 1,
    NSCFG: random.pick([0, 2, 3]),
    S2VMID: StreamID + 1,
    ...(Config >= 6 && {
      S2T0SZ: 25,
      S2SL0: 1,
      S2PS: 5,
      S2AA64: 1,
      S2R: random.below(2),
      S2S: stalls ? random.below(2) : 0,
      S2TTB: BigInt(stage2) >> 4n,
    }),
  });
  const actions: Action[] = [{ op: 'store', pa: STRTAB + 64 * StreamID, words: ste, in: security }];
  if (Config >= 6) actions.push(...identityStage2(random, stage2, security));
  for (let ssid = 0; ssid < (substreams ? SUBSTREAMS : 1); ssid++) {
    const table = TABLES + (StreamID * SUBSTREAMS + ssid) * 0x4000;
    const cd = wordsOf(CD_BITS, 512, {
      V: random.chance(95) ? 1 : 0,
      AA64: 1,
      T0SZ: 25,
      EPD1: 1,
      IPS: 5,
      R: random.chance(80) ? 1 : 0,
      S: stalls && random.chance(70) ? 1 : 0,
      A: random.chance(80) ? 1 : 0,
      ASID: 1 + StreamID * SUBSTREAMS + ssid,
      TTB0: BigInt(table) >> 4n,
      MAIR0: 0xff04,
    });
    actions.push({ op: 'store', pa: context + 64 * ssid, words: cd, in: security });
    actions.push(...stage1Table(random, table, security));
  }
  return actions;
}

function pointer(to: number): [number, number] {
  return [to | 3, 0];
}

function stage1Table(random: Random, base: number, security: SecurityState): Action[] {
  const leaves = Array.from({ length: PAGES }, () => leaf(random)).flat();
  return [
    { op: 'store', pa: base, words: pointer(base + 0x1000), in: security },
    { op: 'store', pa: base + 0x1000, words: pointer(base + 0x2000), in: security },
    { op: 'store', pa: base + 0x2000, words: leaves, in: security },
  ];
}

function leaf(random: Random): [number, number] {
  if (random.chance(15)) return [0, 0];
  const page = random.chance(95) ? DATA_PAGE + random.below(64) : NOWHERE >> 12;
  const AP = random.pick([1, 1, 3, 0]);
  const AF = random.chance(95) ? 1 : 0;
  // nG set: no entry answers for another ASID.
  return [
    (page << 12) | 3 | (AP << 6) | (AF << 10) | (1 << 11) | (random.below(2) << 5),
    random.pick([0, 0x60_0000]),
  ];
}

/** Blocks of 2 MiB, one to one, with a hole now and then; pages of the data beyond. */
function identityStage2(random: Random, base: number, security: SecurityState): Action[] {
  const block = (index: number): [number, number] =>
    random.chance(5)
      ? [0, 0]
      : [(index << 21) | 1 | (0xf << 2) | (random.pick([1, 3, 3]) << 6) | (1 << 10), 0];
  return [
    { op: 'store', pa: base, words: pointer(base + 0x1000), in: security },
    { op: 'store', pa: base + 0x1000, words: [block(0), block(1)].flat(), in: security },
  ];
}

function next(random: Random, wellBehaved: boolean, stalls: boolean): Action[] {
  const security = random.pick<SecurityState>([NON_SECURE, NON_SECURE, SECURE]);
  const write = (name: string, value: number | bigint): Action[] => [
    { op: 'write', name, value: BigInt(value), in: security },
  ];
  const kind = random.below(100);
  if (kind < 45) return [dma(random, security)];
  if (kind < 48) return [{ op: 'poll' }];
  if (kind < 55) return [{ op: 'step' }];
  if (kind < 62) return [{ op: 'idle' }];
  if (kind < 72) {
    const words = Array.from({ length: 1 + random.below(3) }, () => command(random, security));
    return [{ op: 'commands', words, in: security }];
  }
  if (kind < 76) return [{ op: 'consume', in: security }];
  if (kind < 79) return [{ op: 'acknowledge', in: security }];
  if (kind < 80) return write('CMDQ_CONS', random.below(16));
  if (kind < 86) return write('CR0', cr0(random, security, wellBehaved && stalls));
  if (kind < 88) return write('GBPA', GBPA.Update | random.pick<number>([0, GBPA.ABORT, 0x1000, 0x3000]));
  if (kind < 90) return write('IRQ_CTRL', random.pick([0, 1, 4, 5]));
  if (kind < 91) return write('GERRORN', random.below(256));
  if (kind < 92) return write('AGBPA', random.bits(32));
  if (kind < 93) return write('EVENTQ_PROD', random.below(16));
  if (kind < 94) return [{ op: 'write', name: 'INIT', value: 1n, in: SECURE }];
  if (wellBehaved) return [dma(random, security)];
  if (kind < 95) return write('CR2', random.below(4));
  if (kind < 96) return write('STRTAB_BASE_CFG', random.pick([5, 3, 2]));
  if (kind < 97) return write('EVENTQ_BASE', (random.chance(50) ? EVENTQ : NOWHERE) | QUEUE_LOG2);
  if (kind < 98) return stream(random, random.below(STREAMS), security, stalls);
  return stage1Table(random, TABLES + random.below(STREAMS * SUBSTREAMS) * 0x4000, security);
}

/** NSSTALLD makes CDs and STEs ILLEGAL that ask for stalls: with it they would have to be invalidated. */
function cr0(random: Random, security: SecurityState, stallsStay: boolean): number {
  const bits: number[] = [CR0.SMMUEN, CR0.EVENTQEN, CR0.CMDQEN].filter(() => random.chance(85));
  if (security === SECURE) {
    if (random.chance(20)) bits.push(S_CR0.SIF);
    if (!stallsStay && random.chance(20)) bits.push(S_CR0.NSSTALLD);
  }
  return bits.reduce((all, bit) => all | bit, 0);
}

function dma(random: Random, security: SecurityState): Action {
  return {
    op: 'dma',
    in: security,
    StreamID: random.chance(95) ? random.below(STREAMS) : 8 + random.below(60),
    SubstreamID: random.chance(60) ? -1 : random.below(SUBSTREAMS + 1),
    iova: random.chance(95) ? random.below(PAGES + 2) * 4096 + random.below(4096) : random.below(2 ** 40),
    write: random.chance(40),
    privileged: random.chance(30),
    instruction: random.chance(20),
    ns: random.chance(30),
  };
}

function command(random: Random, security: SecurityState): number[] {
  const SSec = security === SECURE && random.chance(60) ? 1 << 10 : 0;
  const sid = random.below(STREAMS);
  const page = random.below(PAGES) << 12;
  const asid = 1 + random.below(STREAMS * SUBSTREAMS);
  switch (random.below(13)) {
    case 0:
      return [OPCODES.CMD_CFGI_STE | SSec, sid, 1, 0];
    case 1:
      return [OPCODES.CMD_CFGI_STE_RANGE | SSec, 0, 31, 0];
    case 2:
      return [OPCODES.CMD_CFGI_CD | SSec | (random.below(SUBSTREAMS) << 12), sid, 1, 0];
    case 3:
      return [OPCODES.CMD_TLBI_NH_ASID, (asid << 16) | (sid + 1), 0, 0];
    case 4:
      return [OPCODES.CMD_TLBI_NH_VA, (asid << 16) | (sid + 1), page, 0];
    case 5:
      return [OPCODES.CMD_TLBI_NSNH_ALL, 0, 0, 0];
    case 6:
      return [security === SECURE ? OPCODES.CMD_TLBI_EL3_ALL : OPCODES.CMD_TLBI_EL2_ALL, 0, 0, 0];
    case 7:
      // Now and then a command that no queue knows.
      return [random.chance(30) ? 0xff : OPCODES.CMD_CFGI_CD_ALL | SSec, sid, 0, 0];
    case 8:
      return [OPCODES.CMD_STALL_TERM | SSec, sid, 0, 0];
    case 9:
    case 10:
      return [OPCODES.CMD_RESUME | SSec | (random.below(4) << 12), sid, random.below(4), 0];
    default:
      return [OPCODES.CMD_SYNC | (random.below(3) << 12), 0x99, random.pick([0, MSI_TARGET + 8, NOWHERE]), 0];
  }
}
