/**
 * What is measured, and the goals: the rows of the table, as data. C is the C kernel in the same run.
 */

export interface Goal {
  /** What the goal is about: the figure itself, or its ratio to C. */
  readonly of: 'figure' | 'ratio';
  readonly most?: number;
  readonly least?: number;
}

export interface Row {
  readonly what: string;
  readonly unit: 'ns' | 'us' | 'ms' | 's' | 'MiB' | 'x' | '%' | '';
  readonly goal?: Goal;
}

const ratio = (most: number): Goal => ({ of: 'ratio', most });
const atMost = (most: number): Goal => ({ of: 'figure', most });
const atLeast = (least: number): Goal => ({ of: 'figure', least });

export const ROWS = {
  hit64: { what: 'TLB hit, 64 pages', unit: 'ns', goal: ratio(2.9) },
  hit1024: { what: 'TLB hit, 1024 pages', unit: 'ns', goal: ratio(2.9) },
  workingSet: { what: 'hit at 1024 pages against 64', unit: 'x', goal: atMost(1.15) },
  dma64: { what: '64 B DMA on a hit', unit: 'ns', goal: ratio(1.9) },
  dma4096: { what: '4 KiB DMA on a hit', unit: 'ns', goal: ratio(1.5) },
  miss: { what: 'stage 1 miss, 65,536 pages, dense', unit: 'ns', goal: ratio(2.5) },
  missSparse: { what: 'stage 1 miss, sparse', unit: 'ns', goal: ratio(2.0) },
  stage2: { what: 'stage 2 miss, 65,536 pages', unit: 'ns' },
  nested: { what: 'nested miss, dense', unit: 'ns', goal: ratio(2.0) },
  nestedSparse: { what: 'nested miss, sparse', unit: 'ns', goal: ratio(1.6) },
  fault: { what: 'fault with event record, on the TBU', unit: 'ns', goal: atMost(60) },
  guard: { what: 'guard of a batch of 64, of 64 B DMA', unit: '%', goal: atMost(5) },
  tracing: { what: 'tracing off against no tracing code, hit', unit: 'x', goal: atMost(1.05) },
  tracingMiss: { what: 'tracing off against no tracing code, miss', unit: 'x', goal: atMost(1.05) },
  scavenges: { what: 'scavenges in ten million transactions', unit: '', goal: atMost(0) },
  oneSmmu: { what: 'two threads on one SMMU, of one thread', unit: 'x', goal: atLeast(1.9) },
  twoSmmus: { what: 'two threads on two SMMUs, of one thread', unit: 'x', goal: atLeast(1.95) },
  syncP50: { what: 'CMD_SYNC under load, TCU to TBU, p50', unit: 'us', goal: atMost(3) },
  syncP99: { what: 'CMD_SYNC under load, TCU to TBU, p99', unit: 'us', goal: atMost(10) },
  softwareSyncP50: { what: 'the same as software sees it, three threads, p50', unit: 'us' },
  softwareSyncP99: { what: 'the same as software sees it, three threads, p99', unit: 'us' },
  registerRead: { what: 'register read from another thread', unit: 'ns' },
  registerWrite: { what: 'register write from another thread, posted', unit: 'ns' },
  registerApplied: { what: 'register write from another thread, until applied', unit: 'us' },
  torn: { what: 'torn descriptors, 64-bit writer', unit: '', goal: atMost(0) },
  wrong: { what: 'wrong results under invalidation, two threads', unit: '', goal: atMost(0) },
  start1: { what: 'start of 1 SMMU', unit: 'ms' },
  start8: { what: 'start of 8 SMMUs', unit: 'ms' },
  start64: { what: 'start of 64 SMMUs', unit: 'ms', goal: atMost(1500) },
  idleSmmu: { what: "memory of an idle SMMU beyond its thread's", unit: 'MiB', goal: atMost(8) },
  snapshot: { what: 'snapshot of 1 GiB, every page in use', unit: 's' },
  restore: { what: 'its restoration', unit: 's' },
  check: { what: 'cold `check` of virt-3-smmus.yaml', unit: 'ms', goal: atMost(250) },
} as const satisfies Record<string, Row>;

export type RowId = keyof typeof ROWS;

/** What a row came to in one process. */
export interface Measurement {
  readonly row: RowId;
  readonly figure: number;
  /** The C kernel's figure for the same work. */
  readonly c?: number;
  /** Figures for one thread, two threads and so on. */
  readonly series?: readonly number[];
}

export interface Result extends Row {
  readonly id: RowId;
  readonly figure: number;
  readonly c?: number;
  readonly ratio?: number;
  readonly series?: readonly number[];
  /** Undefined for a row without a goal, or without the C that the goal is about. */
  readonly met?: boolean;
}

/** @param row with a goal of its own where it is not the table's that is asked about. */
export function judge(id: RowId, figure: number, c: number | undefined, row: Row = ROWS[id]): Result {
  const result = { id, ...row, figure, ...(c === undefined ? {} : { c, ratio: figure / c }) };
  const { goal } = row;
  const judged = goal?.of === 'ratio' ? result.ratio : figure;
  if (goal === undefined || judged === undefined) return result;
  return { ...result, met: judged <= (goal.most ?? Infinity) && judged >= (goal.least ?? 0) };
}
