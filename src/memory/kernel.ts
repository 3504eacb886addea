/**
 * Instantiates the Wasm kernel over a shared memory.
 *
 * TypeScript declares WebAssembly only together with the whole DOM; the few members needed are declared here instead.
 */
import { KERNEL_BASE64 } from './kernel.generated.js';

/** A shared, fixed-size WebAssembly.Memory. Posting it to another thread shares it. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** The exports of kernel.as.ts. Offsets are bytes from the start of the memory, taken modulo 2^32. */
export interface Kernel {
  loadWords(src: number, dst: number, count: number): void;
  store64(dst: number, lo: number, hi: number): void;
  compareAndSwap(dst: number, oldLo: number, oldHi: number, newLo: number, newHi: number): 1 | 0;
  copy(dst: number, src: number, sizeBytes: number): void;
  descend(
    base: number,
    inputLo: number,
    inputHi: number,
    shape: number,
    start: number,
    limit: number,
    delta: number,
    out: number,
  ): number;
}

interface WasmModule {
  readonly kind?: never;
}

interface Wasm {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (
    module: WasmModule,
    imports: { env: { memory: WasmMemory } },
  ) => { readonly exports: Kernel };
}

const wasm = (globalThis as unknown as { readonly WebAssembly: Wasm }).WebAssembly;

export const WASM_PAGE_BYTES = 0x10000;

const kernelModule = new wasm.Module(Uint8Array.from(atob(KERNEL_BASE64), (char) => char.charCodeAt(0)));

/** Reserves address space of exactly this size; the host commits a page when it is first written. */
export function reserveMemory(pages: number): WasmMemory {
  return new wasm.Memory({ initial: pages, maximum: pages, shared: true });
}

export function instantiateKernel(memory: WasmMemory): Kernel {
  return new wasm.Instance(kernelModule, { env: { memory } }).exports;
}
