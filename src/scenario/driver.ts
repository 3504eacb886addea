/**
 * What a scenario is played upon. The replayer knows the SMMUs of a scenario by this interface only, so the same
 * scenario can run on SMMUs in this thread, under a scheduler, or in threads of their own, and must come out alike.
 */
import type { SecurityState } from '../arch/security.js';
import type { InjectedFault } from '../memory/injected-faults.js';
import type { SmmuState } from '../smmu/smmu.js';
import type { Transaction } from '../smmu/transaction.js';
import type { InterruptName } from './format.js';
import type { MemoryImage } from './memory.js';

/** A value now or later: a driver whose SMMUs live in other threads answers later. */
export type Awaitable<T> = T | Promise<T>;

/** SMMUs, interrupts that nobody has taken, and memory, at one moment. */
export interface DriverState {
  readonly smmus: ReadonlyMap<string, SmmuState>;
  readonly interrupts: ReadonlyMap<string, Readonly<Record<SecurityState, readonly InterruptName[]>>>;
  readonly memory: MemoryImage;
}

export interface ScenarioDriver {
  writeRegister(
    smmu: string,
    offset: number,
    sizeBytes: number,
    value: bigint,
    security: SecurityState,
  ): Awaitable<void>;
  readRegister(smmu: string, offset: number, sizeBytes: number, security: SecurityState): Awaitable<bigint>;
  /** Translates one access that stays within 4 KiB; the answer is left in the transaction. */
  translate(smmu: string, transaction: Transaction): Awaitable<void>;
  /** What has become of an access that stalled; the answer is left in the transaction, as translate leaves it. */
  resume(smmu: string, transaction: Transaction): Awaitable<void>;
  /** A device's access to memory after its translation; false is an external abort. */
  read(space: SecurityState, pa: number, into: Uint8Array): boolean;
  write(space: SecurityState, pa: number, from: Uint8Array): boolean;
  /** The scenario's own hand on memory, which no injected fault meets. */
  peek(space: SecurityState, pa: number, into: Uint8Array): boolean;
  poke(space: SecurityState, pa: number, from: Uint8Array): boolean;
  inject(space: SecurityState, fault: InjectedFault): void;
  /** Until every SMMU has consumed its commands and followed its registers. */
  runToIdle(): Awaitable<void>;
  /** Wired interrupts since the last call. */
  takeInterrupts(smmu: string, security: SecurityState): ReadonlySet<InterruptName>;
  /** Resets one SMMU, or all. Memory keeps what it holds. */
  reset(smmu?: string): Awaitable<void>;
  /** Everything, with the caches, between two steps. */
  save(): Awaitable<DriverState>;
  /** Goes back, on SMMUs made anew. */
  restore(state: DriverState): Awaitable<void>;
}
