/**
 * One whole SMMU on a bench: guest memory, its registers programmed as software does, structures made of words that are
 * typed by bit position. It knows names and numbers from the specification only.
 */
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import type { MappedSpace } from '../../src/memory/mapped-space.js';
import type { CacheSettings, IdRegisters } from '../../src/smmu/config.js';
import { Smmu } from '../../src/smmu/smmu.js';
import type { IncomingAttributes } from '../../src/smmu/tbu/attributes.js';
import { workspaceBytes } from '../../src/smmu/tbu/translation-kernel.js';
import { OUTCOME_NAMES, type Outcome, Transaction } from '../../src/smmu/transaction.js';
import { CERROR, CR0, OFFSETS, OPCODES, S_OFFSETS } from '../spec-numbers.js';
import { CD_BITS, EVENT_BITS, L1CD_BITS, L1STD_BITS, STE_BITS, wordsOf } from '../spec-structures.js';

export const CMDQ = 0x1_0000;
export const EVENTQ = 0x2_0000;
export const STRTAB = 0x4_0000;
export const CDS = 0x5_0000;
/** Stream table entries, as a power of two; SIDSIZE is larger. */
export const LOG2SIZE = 6;
const QUEUE_LOG2 = 7;
/** Memory at the top of a 52-bit address space. */
export const HIGH = 2 ** 51;
/** Memory within 48 bits, in another region than the rest. */
export const FAR = 2 ** 44;
export const RAM_BYTES = 32 * 2 ** 20;

type Fields<P> = Partial<Record<keyof P, number | bigint>>;
export type SteFields = Fields<typeof STE_BITS>;
export type CdFields = Fields<typeof CD_BITS>;
export type EventFields = Fields<typeof EVENT_BITS>;

/** 6.3.1: S1P, S2P, AArch64, Hyp, 16-bit ASIDs and VMIDs, VMW, CD2L, no stall, RAZ/WI, 2-level Stream tables. */
const IDR0 = 0x3 | 0x8 | 0x200 | 0x1000 | 0x2_0000 | 0x4_0000 | 0x8_0000 | 0x100_0000 | 0x800_0000;
/** HAD, XNX, FWB, STT, RIL, E0PD, EPAN. */
const IDR3 = 0x4 | 0x10 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x2_0000;
export const FULL_IDR: IdRegisters = {
  IDR0,
  // CMDQS and EVENTQS 8, ATTR_PERMS_OVR, SSIDSIZE 16, SIDSIZE 16.
  IDR1: (1 << 26) | (8 << 21) | (8 << 16) | (16 << 6) | 16,
  IDR3,
  // OAS 52, all granules, DS, VAX 52.
  IDR5: 6 | 0x70 | 0x80 | (1 << 10),
  IIDR: 0x43b,
  AIDR: 2,
  S_IDR0: 0x100_0000,
  S_IDR1: (0x8000_0000 | 16) >>> 0,
};

export interface BenchOptions {
  readonly idr?: Partial<IdRegisters>;
  readonly caches?: Partial<CacheSettings>;
  readonly tlb?: number;
  readonly configCache?: number;
  /** CR2: bit 0 E2H, bit 1 RECINVSID. */
  readonly cr2?: number;
  readonly cr0?: number;
  readonly secureCr0?: number;
  readonly strtabBase?: number;
  readonly strtabBaseCfg?: number;
}

export interface Access {
  readonly StreamID?: number;
  readonly SubstreamID?: number;
  readonly security?: SecurityState;
  readonly iova: bigint | number;
  readonly write?: boolean;
  readonly privileged?: boolean;
  readonly instruction?: boolean;
  readonly ns?: boolean;
  readonly attributes?: IncomingAttributes;
}

export interface Answer {
  readonly outcome: string;
  readonly pa?: bigint;
  readonly space?: SecurityState;
}

function answerOf(txn: Transaction, outcome: Outcome): Answer {
  const name = OUTCOME_NAMES[outcome];
  return name === 'ok' ? { outcome: name, pa: BigInt(txn.pa), space: txn.space } : { outcome: name };
}

/** The largest TLB of a bench that has the kernel. */
const KERNEL_ENTRIES = 256;

let shared: GuestMemory | undefined;

function freshMemory(): GuestMemory {
  if (shared !== undefined) shared.clear();
  const regions = [
    { id: 'ram', base: 0, sizeBytes: RAM_BYTES },
    { id: 'far', base: FAR, sizeBytes: 2 ** 20 },
    { id: 'high', base: HIGH, sizeBytes: 2 ** 20 },
    { id: 'secure', base: 0, sizeBytes: RAM_BYTES },
  ];
  shared ??= GuestMemory.create(regions, workspaceBytes(KERNEL_ENTRIES));
  return shared;
}

/** A bench owns the file's guest memory from its making until the next one is made. */
export class TbuBench {
  readonly spaces: readonly [MappedSpace, MappedSpace];
  /** Beside guest memory, where a kernel moves data to and from. */
  readonly bounce: Uint8Array;
  readonly smmu: Smmu;
  /** The last access, with all that came of it. */
  readonly transaction = new Transaction();
  readonly #prod = [0, 0];
  readonly #cons = [0, 0];

  constructor(options: BenchOptions = {}) {
    const memory = freshMemory();
    this.bounce = memory.bounce;
    this.spaces = [memory.space(['ram', 'far', 'high']), memory.space(['secure'])];
    const idr = { ...FULL_IDR, ...options.idr };
    const { tlb = Number.POSITIVE_INFINITY, configCache = Number.POSITIVE_INFINITY } = options;
    const config = { id: 'smmu0', idr, tlb, configCache, ...options.caches };
    const bytes = tlb > KERNEL_ENTRIES ? 0 : workspaceBytes(tlb);
    const workspace = bytes === 0 ? undefined : memory.workspace(0, bytes);
    this.smmu = new Smmu(config, this.spaces, { interrupt: () => {} }, workspace);
    const enable = CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN;
    this.#start(OFFSETS, NON_SECURE, options, options.cr0 ?? enable);
    if (idr.S_IDR1 >>> 31) {
      const names = Object.entries(S_OFFSETS).map(([name, offset]) => [name.slice(2), offset]);
      this.#start(Object.fromEntries(names), SECURE, options, options.secureCr0 ?? enable);
    }
  }

  #start(offsets: Record<string, number>, security: SecurityState, options: BenchOptions, cr0: number): void {
    const write = (name: string, value: number | bigint, sizeBytes = 4) =>
      this.write(offsets[name]!, value, sizeBytes, security);
    write('STRTAB_BASE', options.strtabBase ?? STRTAB, 8);
    write('STRTAB_BASE_CFG', options.strtabBaseCfg ?? LOG2SIZE);
    write('CMDQ_BASE', CMDQ | QUEUE_LOG2, 8);
    write('EVENTQ_BASE', EVENTQ | QUEUE_LOG2, 8);
    write('CR2', options.cr2 ?? 2);
    write('CR0', cr0);
  }

  write(offset: number, value: number | bigint, sizeBytes = 4, security: SecurityState = NON_SECURE): void {
    this.smmu.writeRegister(offset, sizeBytes, BigInt(value), security);
    this.smmu.runToIdle();
  }

  read(offset: number, security: SecurityState = NON_SECURE): number {
    return Number(this.smmu.readRegister(offset, 4, security));
  }

  store(pa: number, words: readonly number[], security: SecurityState = NON_SECURE): void {
    for (let i = 0; i < words.length; i += 2)
      this.spaces[security].store(pa + 4 * i, words[i]! | 0, (words[i + 1] ?? 0) | 0);
  }

  store64(pa: number | bigint, value: bigint, security: SecurityState = NON_SECURE): void {
    const lo = Number(BigInt.asIntN(32, value));
    const hi = Number(BigInt.asIntN(32, value >> 32n));
    this.spaces[security].store(Number(pa), lo, hi);
  }

  load64(pa: number | bigint, security: SecurityState = NON_SECURE): bigint | undefined {
    const words = new Int32Array(2);
    if (pa >= 2n ** 52n || !this.spaces[security].load(Number(pa), words, 1)) return undefined;
    return (BigInt(words[1]! >>> 0) << 32n) | BigInt(words[0]! >>> 0);
  }

  ste(StreamID: number, fields: SteFields, security: SecurityState = NON_SECURE, table = STRTAB): void {
    this.store(table + 64 * StreamID, wordsOf(STE_BITS, 512, { V: 1, ...fields }), security);
  }

  cd(address: number, fields: CdFields, security: SecurityState = NON_SECURE): void {
    this.store(address, wordsOf(CD_BITS, 512, { V: 1, ...fields }), security);
  }

  l1std(address: number, Span: number, L2Ptr: number): void {
    this.store(address, wordsOf(L1STD_BITS, 64, { Span, L2Ptr: BigInt(L2Ptr) >> 6n }));
  }

  l1cd(address: number, V: number, L2Ptr: number): void {
    this.store(address, wordsOf(L1CD_BITS, 64, { V, L2Ptr: BigInt(L2Ptr) >> 12n }));
  }

  /** Puts a command into a queue and runs the SMMU until it is consumed. */
  command(words: readonly number[], security: SecurityState = NON_SECURE): void {
    const prod = this.#prod[security]!;
    const all = [...words, 0, 0, 0, 0].slice(0, 4);
    this.store(CMDQ + 16 * (prod & 127), all, security);
    this.#prod[security] = (prod + 1) & 255;
    const [at, cons] =
      security === SECURE
        ? [S_OFFSETS.S_CMDQ_PROD, S_OFFSETS.S_CMDQ_CONS]
        : [OFFSETS.CMDQ_PROD, OFFSETS.CMDQ_CONS];
    this.write(at, this.#prod[security]!, 4, security);
    const now = this.read(cons, security);
    if ((now & (CERROR.ILL | CERROR.ABT)) !== 0) throw new Error(`command ${words.map(hex)} is refused`);
  }

  sync(): void {
    this.command([OPCODES.CMD_SYNC]);
  }

  /** The records since the last call, as bigints of 256 bits. */
  events(security: SecurityState = NON_SECURE): bigint[] {
    const [prodAt, consAt] =
      security === SECURE
        ? [S_OFFSETS.S_EVENTQ_PROD, S_OFFSETS.S_EVENTQ_CONS]
        : [OFFSETS.EVENTQ_PROD, OFFSETS.EVENTQ_CONS];
    this.smmu.runToIdle();
    const prod = this.read(prodAt, security) & 0xff;
    const records: bigint[] = [];
    while (this.#cons[security] !== prod) {
      const base = EVENTQ + 32 * (this.#cons[security]! & 127);
      let record = 0n;
      for (let i = 3; i >= 0; i--) record = (record << 64n) | this.load64(base + 8 * i, security)!;
      records.push(record);
      this.#cons[security] = (this.#cons[security]! + 1) & 0xff;
    }
    if (records.length > 0) this.write(consAt, this.#cons[security]!, 4, security);
    return records;
  }

  access(access: Access): Answer {
    return this.begin(access, this.transaction);
  }

  /** An access with a transaction of its own, which may stall. */
  begin(access: Access, txn: Transaction): Answer {
    const iova = BigInt.asUintN(64, BigInt(access.iova));
    txn.StreamID = access.StreamID ?? 0;
    txn.SubstreamID = access.SubstreamID ?? -1;
    txn.SEC_SID = access.security ?? NON_SECURE;
    txn.iovaLo = Number(BigInt.asIntN(32, iova));
    txn.iovaHi = Number(BigInt.asIntN(32, iova >> 32n));
    txn.write = access.write ?? false;
    txn.privileged = access.privileged ?? false;
    txn.instruction = access.instruction ?? false;
    txn.ns = access.ns ?? false;
    txn.attributes = access.attributes;
    return answerOf(txn, this.smmu.tbu.translate(txn));
  }

  /** What has become of an access that stalled. */
  resume(txn: Transaction): Answer {
    return answerOf(txn, this.smmu.tbu.resume(txn));
  }
}

export const hex = (value: number | bigint) => `0x${value.toString(16)}`;

/** An event record by field values; fields not named are zero. */
export function eventOf(fields: EventFields): bigint {
  return wordsOf(EVENT_BITS, 256, fields).reduceRight((all, word) => (all << 32n) | BigInt(word), 0n);
}
