/**
 * Instantiates Wasm kernels over a shared memory: the memory's own, and those of others who work in it.
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
  read(dst: number, src: number, sizeBytes: number): void;
  write(dst: number, src: number, sizeBytes: number): void;
}

/** A compiled kernel; `Exports` is what its instances export. */
export interface KernelModule<Exports> {
  readonly exports?: Exports;
}

interface Wasm {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => KernelModule<never>;
  readonly Instance: new (
    module: KernelModule<unknown>,
    imports: { env: { memory: WasmMemory } },
  ) => { readonly exports: unknown };
}

const wasm = (globalThis as unknown as { readonly WebAssembly: Wasm }).WebAssembly;

export const WASM_PAGE_BYTES = 0x10000;

const MEMORY_KERNEL = compileKernel<Kernel>(KERNEL_BASE64);

/** Reserves address space of exactly this size; the host commits a page when it is first written. */
export function reserveMemory(pages: number): WasmMemory {
  return new wasm.Memory({ initial: pages, maximum: pages, shared: true });
}

/** @param base64 as `scripts/kernel.mjs` writes it. */
export function compileKernel<Exports>(base64: string): KernelModule<Exports> {
  return new wasm.Module(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
}

/** An instance for one thread. */
export function instantiate<Exports>(kernel: KernelModule<Exports>, memory: WasmMemory): Exports {
  return new wasm.Instance(kernel, { env: { memory } }).exports as Exports;
}

export function instantiateKernel(memory: WasmMemory): Kernel {
  return instantiate(MEMORY_KERNEL, memory);
}
