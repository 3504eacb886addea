/**
 * What a driver needs of a machine: registers that it can read and write, memory that it can read and write.
 * Everything else in `software` is built on these two. Also the ways in which a driver can fail.
 */
import type { Words } from '../arch/layout.js';
import type { PhysicalAddressSpace } from '../memory/address-space.js';

/** The register window of one SMMU, as the CPU in this driver's Security state reaches it. Offsets from its base. */
export interface SmmuPort {
  read32(offset: number): number;
  write32(offset: number, value: number): void;
  read64(offset: number): bigint;
  write64(offset: number, value: bigint): void;
  /** Called in each polling iteration: lets the SMMU run. May throw when the machine has died. */
  relax(): void;
}

/** Memory as the CPU in this driver's Security state reaches it. 64-bit accesses are single-copy atomic. */
export interface CpuMemory {
  load64(pa: number): bigint;
  store64(pa: number, value: bigint): void;
  fill(pa: number, byte: number, sizeBytes: number): void;
  readBytes(pa: number, sizeBytes: number): Uint8Array;
  writeBytes(pa: number, bytes: Uint8Array): void;
}

/** One double-word of a structure, as 64-bit accesses have it. */
export function doubleWord(words: Words, index = 0): bigint {
  return (BigInt(words[2 * index + 1]! >>> 0) << 32n) | BigInt(words[2 * index]! >>> 0);
}

/** A driver could not do what it was asked; the message says what and why. */
export class DriverError extends Error {
  override readonly name: string = 'DriverError';
}

/** The CPU's own access to memory was refused: the driver was given an address that is no memory. */
export class BusError extends DriverError {
  override readonly name = 'BusError';
  readonly pa: number;

  constructor(pa: number) {
    super(`no memory answers at physical address 0x${pa.toString(16)}`);
    this.pa = pa;
  }
}

/** A register did not reach the value that the driver polled for. */
export class DriverTimeout extends DriverError {
  override readonly name = 'DriverTimeout';
  readonly register: string;

  constructor(smmu: string, register: string, expected: string, last: number, polls: number) {
    super(`${smmu}: ${register} is 0x${last.toString(16)} after ${polls} polls, expected ${expected}`);
    this.register = register;
  }
}

/** The SMMU stopped at a command (IHI 0070 7.1). */
export class CommandError extends DriverError {
  override readonly name = 'CommandError';
  /** CERROR_ILL, CERROR_ABT, CERROR_ATC_INV_SYNC. */
  readonly cerror: string;
  /** The command that it stopped at, as memory held it. */
  readonly command: Uint32Array;

  constructor(smmu: string, cerror: string, command: Uint32Array) {
    const words = [...command].map((word) => word.toString(16).padStart(8, '0')).join(' ');
    super(`${smmu}: ${cerror} at command ${words}`);
    this.cerror = cerror;
    this.command = command;
  }
}

const FILL_CHUNK_BYTES = 65536;

/** The CPU's view of a physical address space; an external abort becomes a BusError. */
export class SpaceMemory implements CpuMemory {
  readonly #space: PhysicalAddressSpace;
  readonly #pair = new Int32Array(2);
  readonly #pairBig = new BigUint64Array(this.#pair.buffer);

  constructor(space: PhysicalAddressSpace) {
    this.#space = space;
  }

  load64(pa: number): bigint {
    if (!this.#space.load(pa, this.#pair, 1)) throw new BusError(pa);
    return this.#pairBig[0]!;
  }

  store64(pa: number, value: bigint): void {
    this.#pairBig[0] = value;
    if (!this.#space.store(pa, this.#pair[0]!, this.#pair[1]!)) throw new BusError(pa);
  }

  fill(pa: number, byte: number, sizeBytes: number): void {
    const chunk = new Uint8Array(Math.min(sizeBytes, FILL_CHUNK_BYTES)).fill(byte);
    for (let done = 0; done < sizeBytes; done += chunk.length) {
      const count = Math.min(chunk.length, sizeBytes - done);
      if (!this.#space.write(pa + done, chunk, 0, count)) throw new BusError(pa + done);
    }
  }

  readBytes(pa: number, sizeBytes: number): Uint8Array {
    const bytes = new Uint8Array(sizeBytes);
    if (!this.#space.read(pa, bytes, 0, sizeBytes)) throw new BusError(pa);
    return bytes;
  }

  writeBytes(pa: number, bytes: Uint8Array): void {
    if (!this.#space.write(pa, bytes, 0, bytes.length)) throw new BusError(pa);
  }
}
