/** A TCU on a test bench: sparse memory, a TBU channel that can be held back, interrupt lines that are written down. */
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import type { PhysicalAddressSpace } from '../../src/memory/address-space.js';
import type { IdRegisters, SmmuConfig } from '../../src/smmu/config.js';
import { Tcu } from '../../src/smmu/tcu/tcu.js';
import { CR0, IDR0, IDR3, IDR5, OFFSETS, S_IDR0, S_IDR1, S_OFFSETS } from '../spec-numbers.js';

export class SparseSpace implements PhysicalAddressSpace {
  readonly words = new Map<number, number>();
  /** Addresses from here on are external aborts. */
  limit = Number.POSITIVE_INFINITY;

  load(pa: number, into: Int32Array, count: number): boolean {
    if (pa + 8 * count > this.limit) return false;
    for (let i = 0; i < 2 * count; i++) into[i] = this.words.get(pa + 4 * i) ?? 0;
    return true;
  }
  store(pa: number, lo: number, hi: number): boolean {
    return this.store32(pa, lo) && this.store32(pa + 4, hi);
  }
  store32(pa: number, value: number): boolean {
    if (pa + 4 > this.limit) return false;
    this.words.set(pa, value);
    return true;
  }
  compareAndSwap(): never {
    throw new Error('the TCU does not swap');
  }
  read(): never {
    throw new Error('the TCU does not copy');
  }
  write(): never {
    throw new Error('the TCU does not copy');
  }
}

export const IDR: IdRegisters = {
  IDR0: IDR0.S1P | IDR0.TTF_AARCH64 | IDR0.STALL_MODEL_TERMINATE | IDR0.TERM_MODEL | IDR0.ST_LEVEL_2,
  // CMDQS and EVENTQS 8, SIDSIZE 16.
  IDR1: (8 << 21) | (8 << 16) | 16,
  IDR3: IDR3.RIL,
  IDR5: IDR5.OAS_44 | IDR5.GRAN_ALL,
  IIDR: 0x43b,
  AIDR: 2,
  S_IDR0: 0,
  S_IDR1: 0,
};

export const SECURE_IDR: IdRegisters = {
  ...IDR,
  S_IDR0: S_IDR0.STALL_MODEL_TERMINATE,
  S_IDR1: (S_IDR1.SECURE_IMPL | 16) >>> 0,
};

export const CMDQ_BASE = 0x10_0000;
export const EVENTQ_BASE = 0x20_0000;

export class Bench {
  readonly spaces = [new SparseSpace(), new SparseSpace()] as const;
  readonly messages: number[][] = [];
  readonly interrupts: string[] = [];
  settled = true;
  readonly tcu: Tcu;

  constructor(idr: IdRegisters = IDR, more: Partial<SmmuConfig> = {}) {
    const channel = {
      broadcast: (message: Int32Array) => {
        this.messages.push([...message]);
      },
      settled: () => this.settled,
    };
    const io = {
      interrupt: (name: string, security: SecurityState) => this.interrupts.push(`${security}:${name}`),
    };
    this.tcu = new Tcu({ id: 'smmu0', idr, tlb: 0, configCache: 0, ...more }, this.spaces, channel, io);
    this.idle();
    this.messages.length = 0;
  }

  idle(): void {
    for (let steps = 0; this.tcu.step(); steps++) if (steps > 100_000) throw new Error('never idle');
  }

  /** Writes without letting the TCU work. */
  post(offset: number, value: number | bigint, sizeBytes = 4, security: SecurityState = NON_SECURE): void {
    this.tcu.writeRegister(offset, sizeBytes, BigInt.asUintN(64, BigInt(value)), security);
  }
  write(offset: number, value: number | bigint, sizeBytes = 4, security: SecurityState = NON_SECURE): void {
    this.post(offset, value, sizeBytes, security);
    this.idle();
  }
  writeSecure(offset: number, value: number | bigint, sizeBytes = 4): void {
    this.write(offset, value, sizeBytes, SECURE);
  }
  read(offset: number, security: SecurityState = NON_SECURE): number {
    return Number(this.tcu.readRegister(offset, 4, security));
  }
  readWide(offset: number, security: SecurityState = NON_SECURE): bigint {
    return this.tcu.readRegister(offset, 8, security);
  }

  /** Empty queues of 2^log2Size entries, enabled. */
  enableQueues(log2Size = 4, extraCr0 = 0): void {
    this.write(OFFSETS.CMDQ_BASE, CMDQ_BASE | log2Size, 8);
    this.write(OFFSETS.CMDQ_PROD, 0);
    this.write(OFFSETS.CMDQ_CONS, 0);
    this.write(OFFSETS.EVENTQ_BASE, EVENTQ_BASE | log2Size, 8);
    this.write(OFFSETS.EVENTQ_PROD, 0);
    this.write(OFFSETS.EVENTQ_CONS, 0);
    this.write(OFFSETS.CR0, CR0.CMDQEN | CR0.EVENTQEN | extraCr0);
  }
  enableSecureQueues(log2Size = 4): void {
    this.writeSecure(S_OFFSETS.S_CMDQ_BASE, CMDQ_BASE | log2Size, 8);
    this.writeSecure(S_OFFSETS.S_EVENTQ_BASE, EVENTQ_BASE | log2Size, 8);
    this.writeSecure(S_OFFSETS.S_CR0, CR0.CMDQEN | CR0.EVENTQEN);
  }

  /** Puts commands, four words each, into the queue's memory from an entry on. */
  putCommands(
    commands: readonly (readonly number[])[],
    from = 0,
    security: SecurityState = NON_SECURE,
  ): void {
    for (const [i, words] of commands.entries()) {
      for (let w = 0; w < 4; w++) {
        this.spaces[security].words.set(CMDQ_BASE + 16 * (from + i) + 4 * w, (words[w] ?? 0) | 0);
      }
    }
  }
}
