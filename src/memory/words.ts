/** 64-bit words of memory as bigint, for software at the API's edge. Not for hot code: a bigint is an allocation. */
import type { PhysicalAddressSpace } from './address-space.js';

const pair = new Int32Array(2);

/** @param pa 8-byte aligned. Answers undefined for an external abort. */
export function load64(space: PhysicalAddressSpace, pa: number): bigint | undefined {
  if (!space.load(pa, pair, 1)) return undefined;
  return (BigInt(pair[1] >>> 0) << 32n) | BigInt(pair[0] >>> 0);
}

/** @param pa 8-byte aligned. Answers false for an external abort. */
export function store64(space: PhysicalAddressSpace, pa: number, value: bigint): boolean {
  return space.store(pa, Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
}
