/** Sparse memory for tests of software that needs no machine: 64-bit words, zero until written. */
import type { CpuMemory } from '../../src/software/port.js';

export class FakeMemory implements CpuMemory {
  readonly words = new Map<number, bigint>();
  /** Every 64-bit store, in order. */
  readonly stores: Array<{ pa: number; value: bigint }> = [];

  load64(pa: number): bigint {
    if (pa % 8 !== 0) throw new Error(`misaligned load of 0x${pa.toString(16)}`);
    return this.words.get(pa) ?? 0n;
  }

  store64(pa: number, value: bigint): void {
    if (pa % 8 !== 0) throw new Error(`misaligned store to 0x${pa.toString(16)}`);
    if (BigInt.asUintN(64, value) !== value) throw new Error('not a 64-bit value');
    this.stores.push({ pa, value });
    this.words.set(pa, value);
  }

  fill(pa: number, byte: number, sizeBytes: number): void {
    if (byte !== 0) throw new Error('only zero is ever filled in');
    for (let at = pa; at < pa + sizeBytes; at += 8) this.words.delete(at);
  }

  readBytes(pa: number, sizeBytes: number): Uint8Array {
    const bytes = new Uint8Array(sizeBytes);
    for (let i = 0; i < sizeBytes; i++) {
      const word = this.load64(pa + i - ((pa + i) % 8));
      bytes[i] = Number((word >> BigInt(((pa + i) % 8) * 8)) & 0xffn);
    }
    return bytes;
  }

  writeBytes(pa: number, bytes: Uint8Array): void {
    for (const [i, byte] of bytes.entries()) {
      const word = pa + i - ((pa + i) % 8);
      const shift = BigInt(((pa + i) % 8) * 8);
      this.words.set(word, (this.load64(word) & ~(0xffn << shift)) | (BigInt(byte) << shift));
    }
  }
}
