/**
 * What the software and the devices of a deterministic run did, in one order: the steps that a scenario file can say
 * (test/vectors/README.md). Also the wrappers that write it down.
 */
import { SECURITY_NAMES, type SecurityState } from '../../arch/security.js';
import type { Transaction } from '../../smmu/transaction.js';
import type { CpuMemory, SmmuPort } from '../../software/port.js';

export interface MemoryWrite {
  readonly op: 'mem.write';
  readonly space: SecurityState;
  readonly pa: number;
  /** Hexadecimal, in memory order; grows while the next write adjoins. */
  hex: string;
}

export interface RegisterWrite {
  readonly op: 'mmio.write';
  readonly smmu: number;
  readonly security: SecurityState;
  readonly offset: number;
  readonly size: number;
  readonly value: bigint;
}

export interface Access {
  readonly op: 'dma';
  readonly smmu: number;
  readonly sid: number;
  /** -1: none. */
  readonly ssid: number;
  readonly secSid: SecurityState;
  readonly write: boolean;
  readonly privileged: boolean;
  readonly instruction: boolean;
  readonly ns: boolean;
  readonly iova: number;
}

export type TraceStep = MemoryWrite | RegisterWrite | Access;

interface Range {
  readonly base: number;
  readonly sizeBytes: number;
}

const TWO_32 = 0x1_0000_0000;

export class Trace {
  readonly steps: TraceStep[] = [];

  memory(space: SecurityState, pa: number, bytes: Uint8Array): void {
    const hex = Buffer.from(bytes).toString('hex');
    const last = this.steps.at(-1);
    if (last?.op === 'mem.write' && last.space === space && last.pa + last.hex.length / 2 === pa)
      last.hex += hex;
    else this.steps.push({ op: 'mem.write', space, pa, hex });
  }

  register(smmu: number, security: SecurityState, offset: number, size: number, value: bigint): void {
    this.steps.push({ op: 'mmio.write', smmu, security, offset, size, value });
  }

  access(smmu: number, transaction: Transaction): void {
    const { StreamID, SubstreamID, SEC_SID, write, privileged, instruction, ns, iovaLo, iovaHi } =
      transaction;
    const iova = (iovaHi >>> 0) * TWO_32 + (iovaLo >>> 0);
    this.steps.push({
      ...{
        op: 'dma',
        smmu,
        sid: StreamID,
        ssid: SubstreamID,
        secSid: SEC_SID,
        write,
        privileged,
        instruction,
        iova,
      },
      // The format has the attribute for Secure streams alone.
      ns: SECURITY_NAMES[SEC_SID] === 'secure' && ns,
    });
  }
}

/** The software's tables: writes down what changes memory. What lies outside a range is data, not structure. */
export class TracedMemory implements CpuMemory {
  readonly #memory: CpuMemory;
  readonly #quiet: CpuMemory;
  readonly #space: SecurityState;
  readonly #trace: Trace;
  readonly #range: Range;

  /** @param quiet the same memory for looking at it: nobody gets a turn meanwhile. */
  constructor(memory: CpuMemory, quiet: CpuMemory, space: SecurityState, trace: Trace, range: Range) {
    this.#memory = memory;
    this.#quiet = quiet;
    this.#space = space;
    this.#trace = trace;
    this.#range = range;
  }

  load64(pa: number): bigint {
    return this.#memory.load64(pa);
  }

  store64(pa: number, value: bigint): void {
    this.#change(pa, 8, () => this.#memory.store64(pa, value));
  }

  fill(pa: number, byte: number, sizeBytes: number): void {
    this.#change(pa, sizeBytes, () => this.#memory.fill(pa, byte, sizeBytes));
  }

  readBytes(pa: number, sizeBytes: number): Uint8Array {
    return this.#memory.readBytes(pa, sizeBytes);
  }

  writeBytes(pa: number, bytes: Uint8Array): void {
    this.#change(pa, bytes.length, () => this.#memory.writeBytes(pa, bytes));
  }

  /** Notes what differs afterwards, in units of eight bytes: most of what software clears is clear already. */
  #change(pa: number, sizeBytes: number, write: () => void): void {
    const { base, sizeBytes: rangeBytes } = this.#range;
    if (pa < base || pa >= base + rangeBytes) {
      write();
      return;
    }
    const before = this.#quiet.readBytes(pa, sizeBytes);
    write();
    const after = this.#quiet.readBytes(pa, sizeBytes);
    for (let at = 0; at < sizeBytes; at += 8) {
      const word = after.subarray(at, at + 8);
      if (word.some((byte, i) => byte !== before[at + i])) this.#trace.memory(this.#space, pa + at, word);
    }
  }
}

export class TracedPort implements SmmuPort {
  readonly #port: SmmuPort;
  readonly #smmu: number;
  readonly #security: SecurityState;
  readonly #trace: Trace;

  constructor(port: SmmuPort, smmu: number, security: SecurityState, trace: Trace) {
    this.#port = port;
    this.#smmu = smmu;
    this.#security = security;
    this.#trace = trace;
  }

  read32(offset: number): number {
    return this.#port.read32(offset);
  }

  write32(offset: number, value: number): void {
    this.#port.write32(offset, value);
    this.#trace.register(this.#smmu, this.#security, offset, 4, BigInt(value >>> 0));
  }

  read64(offset: number): bigint {
    return this.#port.read64(offset);
  }

  write64(offset: number, value: bigint): void {
    this.#port.write64(offset, value);
    this.#trace.register(this.#smmu, this.#security, offset, 8, value);
  }

  relax(): void {
    this.#port.relax();
  }
}
