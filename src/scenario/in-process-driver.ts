/**
 * Scenarios upon SMMUs in this thread: TCU and TBU call each other, every step is over when the call returns.
 */
import { NON_SECURE, SECURE, SECURITY_STATES, type SecurityState } from '../arch/security.js';
import type { InjectedFault } from '../memory/injected-faults.js';
import { Smmu } from '../smmu/smmu.js';
import type { CacheChoice } from '../smmu/state.js';
import type { Tbu } from '../smmu/tbu/tbu.js';
import type { Transaction } from '../smmu/transaction.js';
import type { PlannedSmmu } from './configure.js';
import type { DriverState, ScenarioDriver } from './driver.js';
import type { InterruptName } from './format.js';
import { restoreMemory, type ScenarioMemory, saveMemory, workspaceOf } from './memory.js';

type Interrupts = Record<SecurityState, Set<InterruptName>>;

interface Built {
  readonly planned: PlannedSmmu;
  readonly smmu: Smmu;
  readonly interrupts: Interrupts;
}

function build(planned: PlannedSmmu, index: number, memory: ScenarioMemory): Built {
  const interrupts: Interrupts = { [NON_SECURE]: new Set(), [SECURE]: new Set() };
  const { config } = planned;
  const io = {
    interrupt: (name: InterruptName, security: SecurityState) => interrupts[security].add(name),
  };
  const smmu = new Smmu(config, memory.spaces, io, workspaceOf(memory, index, config.tlb));
  return { planned, smmu, interrupts };
}

export class InProcessDriver implements ScenarioDriver {
  readonly #memory: ScenarioMemory;
  #smmus: ReadonlyMap<string, Built>;

  constructor(smmus: ReadonlyMap<string, PlannedSmmu>, memory: ScenarioMemory) {
    this.#memory = memory;
    this.#smmus = new Map([...smmus].map(([id, planned], index) => [id, build(planned, index, memory)]));
  }

  writeRegister(
    smmu: string,
    offset: number,
    sizeBytes: number,
    value: bigint,
    security: SecurityState,
  ): void {
    this.#built(smmu).smmu.writeRegister(offset, sizeBytes, value, security);
  }

  readRegister(smmu: string, offset: number, sizeBytes: number, security: SecurityState): bigint {
    return this.#built(smmu).smmu.readRegister(offset, sizeBytes, security);
  }

  translate(smmu: string, transaction: Transaction): void {
    this.tbu(smmu).translate(transaction);
  }

  resume(smmu: string, transaction: Transaction): void {
    this.tbu(smmu).resume(transaction);
  }

  /** Where an SMMU translates, for those who watch it. */
  protected tbu(smmu: string): Tbu {
    return this.#built(smmu).smmu.tbu;
  }

  read(space: SecurityState, pa: number, into: Uint8Array): boolean {
    return this.#memory.spaces[space].read(pa, into, 0, into.length);
  }

  write(space: SecurityState, pa: number, from: Uint8Array): boolean {
    return this.#memory.spaces[space].write(pa, from, 0, from.length);
  }

  peek(space: SecurityState, pa: number, into: Uint8Array): boolean {
    return this.#memory.direct[space].read(pa, into, 0, into.length);
  }

  poke(space: SecurityState, pa: number, from: Uint8Array): boolean {
    return this.#memory.direct[space].write(pa, from, 0, from.length);
  }

  inject(space: SecurityState, fault: InjectedFault): void {
    this.#memory.spaces[space].injectFault(fault);
  }

  runToIdle(): void {
    for (const { smmu } of this.#smmus.values()) smmu.runToIdle();
  }

  takeInterrupts(smmu: string, security: SecurityState): ReadonlySet<InterruptName> {
    const pending = this.#built(smmu).interrupts[security];
    const taken = new Set(pending);
    pending.clear();
    return taken;
  }

  reset(smmu?: string): void {
    const chosen = smmu === undefined ? this.#smmus.values() : [this.#built(smmu)];
    for (const built of chosen) {
      built.smmu.reset();
      built.interrupts[NON_SECURE].clear();
      built.interrupts[SECURE].clear();
    }
  }

  save(caches: CacheChoice = 'kept'): DriverState {
    return { ...this.saveSmmus(caches), memory: saveMemory(this.#memory) };
  }

  restore(state: DriverState): void {
    restoreMemory(this.#memory, state.memory);
    this.restoreSmmus(state);
  }

  protected saveSmmus(caches: CacheChoice): Omit<DriverState, 'memory'> {
    const each = <T>(take: (built: Built) => T) =>
      new Map([...this.#smmus].map(([id, built]) => [id, take(built)]));
    return {
      smmus: each(({ smmu }) => structuredClone(smmu.save(caches))),
      interrupts: each(({ interrupts }) => ({
        [NON_SECURE]: [...interrupts[NON_SECURE]],
        [SECURE]: [...interrupts[SECURE]],
      })),
    };
  }

  protected restoreSmmus({ smmus, interrupts }: Omit<DriverState, 'memory'>): void {
    this.#smmus = new Map(
      [...this.#smmus].map(([id, { planned }], index) => {
        const built = build(planned, index, this.#memory);
        built.smmu.restore(smmus.get(id)!);
        for (const security of SECURITY_STATES) {
          for (const name of interrupts.get(id)![security]) built.interrupts[security].add(name);
        }
        return [id, built];
      }),
    );
  }

  #built(id: string): Built {
    const built = this.#smmus.get(id);
    // The parser lets no step through that names an SMMU which the header has not.
    if (built === undefined) throw new Error(`scenario driver: no SMMU ${id}`);
    return built;
  }
}
