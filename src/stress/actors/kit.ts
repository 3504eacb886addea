/** What the parts of a stress run's software share. */
import type { Context } from '../../software/context.js';
import type { SmmuDriver } from '../../software/driver.js';
import type { PageAllocator } from '../../software/page-allocator.js';
import type { PageTables } from '../../software/page-tables.js';
import type { CpuMemory } from '../../software/port.js';
import type { RegisterInterface } from '../../software/register-interface.js';
import type { EventChecker } from '../checker/event-checker.js';
import type { Report } from '../checker/finding.js';
import type { Ledger } from '../checker/ledger.js';
import type { PageKeeper } from '../checker/page-keeper.js';
import type { ContextKind, InterfacePlan, StressPlan } from '../plan.js';
import type { Random } from '../random.js';
import type { CommandFlow } from './command-flow.js';

/** A context with what its streams' STEs and its invalidations need. */
export interface StressContext {
  readonly kind: ContextKind;
  readonly context: Context;
  /** Tables of its stage 2: its own, or those below its stage 1. */
  readonly stage2: PageTables | undefined;
  /** The VMID of its translations; 0 without stage 2. */
  readonly VMID: number;
}

export interface SoftwareKit {
  readonly plan: StressPlan;
  /** Index into StressPlan.interfaces, and that plan. */
  readonly index: number;
  readonly own: InterfacePlan;
  readonly driver: SmmuDriver;
  readonly registers: RegisterInterface;
  /** Where the driver's tables are, and more can be. */
  readonly memory: CpuMemory;
  readonly allocator: PageAllocator;
  readonly ledger: Ledger;
  readonly random: Random;
  readonly flow: CommandFlow;
  readonly pages: PageKeeper;
  /** Undefined when nothing is checked. */
  readonly events: EventChecker | undefined;
  readonly contexts: readonly StressContext[];
  readonly report: Report;
}
