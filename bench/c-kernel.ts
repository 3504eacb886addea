/**
 * The C kernels of bench/c, compiled with the system's compiler and driven in a process of their own, line by line.
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { GuestMemory } from '../src/memory/guest-memory.js';
import { ACCESSES, type AccessList, type Guest, RAM_BASE } from './guest.js';

const SOURCE = fileURLToPath(new URL('../../bench/c/smmu.c', import.meta.url));
const COMPILERS = ['cc', 'gcc', 'clang'];

/** What one slice says: nanoseconds of an access, and what proves that both sides did the same. */
export interface CSlice {
  readonly ns: number;
  /** Sum of the output addresses, modulo 2^64. */
  readonly sum: bigint;
  readonly faults: number;
}

export class CKernel {
  readonly #folder: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  /** @returns undefined where no C compiler is. */
  static start(guest: Guest, memory: GuestMemory): CKernel | undefined {
    const folder = mkdtempSync(join(tmpdir(), 'smmulator-bench-'));
    const binary = join(folder, 'smmu');
    const compiled = COMPILERS.some(
      (compiler) => spawnSync(compiler, ['-O2', '-o', binary, SOURCE], { stdio: 'ignore' }).status === 0,
    );
    if (compiled) return new CKernel(folder, binary, guest, memory);
    rmSync(folder, { recursive: true });
    return undefined;
  }

  private constructor(folder: string, binary: string, guest: Guest, memory: GuestMemory) {
    this.#folder = folder;
    this.#child = spawn(binary, { stdio: 'pipe' });
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    const bytes = guest.end - RAM_BASE;
    const image = new Uint8Array(bytes);
    memory.space(['ram']).read(RAM_BASE, image, 0, bytes);
    this.#say(`ram ${this.#file('ram', image)} ${bytes}`);
    for (const { StreamID, stage1, stage2 } of guest.streams()) {
      this.#say(`stream ${StreamID} ${stage1} ${stage2}`);
    }
  }

  /** The accesses of the slices to come. */
  use({ streams, lo, hi }: AccessList): void {
    const words = new Int32Array(4 * ACCESSES);
    for (let i = 0; i < ACCESSES; i++) words.set([streams[i]!, 0, lo[i]!, hi[i]!], 4 * i);
    this.#say(`accesses ${this.#file(`accesses-${this.#files++}`, new Uint8Array(words.buffer))}`);
  }

  #files = 0;

  async slice(bytes: number, first: number, count: number): Promise<CSlice> {
    this.#say(`run ${bytes} ${first} ${count}`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the C kernel has ended');
    const [ns, sum, faults] = value.split(' ');
    return { ns: Number(ns), sum: BigInt(sum!), faults: Number(faults) };
  }

  close(): void {
    this.#child.stdin.end();
    rmSync(this.#folder, { recursive: true });
  }

  #say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  #file(name: string, bytes: Uint8Array): string {
    const path = join(this.#folder, name);
    writeFileSync(path, bytes);
    return path;
  }
}
