/**
 * What one process measures, step by step, in order. A step measures one row or a few that belong together.
 */
import { CKernel } from './c-kernel.js';
import { benchMachine, PAGES } from './guest.js';
import { Rig } from './rig.js';
import type { Measurement, RowId } from './rows.js';
import { FULL_TURNS, SHORT_TURNS, type Turns } from './slices.js';
import { snapshot } from './snapshot.js';
import { coldCheck, startUp } from './start.js';
import { commandSync, invalidation, registers, scaling, torn } from './threads.js';
import { Translate } from './translate.js';
import { tracing } from './untraced.js';

export interface StepContext {
  readonly rig: Rig;
  readonly translate: Translate;
  readonly turns: Turns;
  /** 1 with --full; otherwise the long rows do this part of what the goals say. */
  readonly scale: number;
}

export interface Step {
  readonly rows: readonly RowId[];
  /** Compares with C: what the gate runs. */
  readonly ratio?: true;
  /** Not in each of the three processes: it makes processes of its own, or takes long. */
  readonly once?: true;
  measure(context: StepContext): Promise<readonly Measurement[]> | readonly Measurement[];
}

const one = (
  row: RowId,
  measure: (translate: Translate) => Promise<Measurement>,
  ratio: { ratio?: true } = { ratio: true },
): Step => ({ rows: [row], ...ratio, measure: async ({ translate }) => [await measure(translate)] });

const TEN_MILLION = 10_000_000;

export const STEPS: readonly Step[] = [
  {
    rows: ['hit64', 'hit1024', 'workingSet'],
    ratio: true,
    async measure({ translate }) {
      const few = await translate.translate('hit64', 'stage 1', 64);
      const many = await translate.translate('hit1024', 'stage 1', 1024);
      return [few, many, { row: 'workingSet', figure: many.figure / few.figure }];
    },
  },
  one('dma64', (translate) => translate.dma('dma64', 64)),
  one('dma4096', (translate) => translate.dma('dma4096', 4096)),
  one('miss', (translate) => translate.translate('miss', 'stage 1', PAGES)),
  one('missSparse', (translate) => translate.translate('missSparse', 'stage 1 sparse', PAGES)),
  one('stage2', (translate) => translate.translate('stage2', 'stage 2', PAGES)),
  one('nested', (translate) => translate.translate('nested', 'nested', PAGES)),
  one('nestedSparse', (translate) => translate.translate('nestedSparse', 'nested sparse', PAGES)),
  one('fault', (translate) => translate.fault(), {}),
  one('guard', (translate) => translate.guard(), {}),
  { rows: ['tracing', 'tracingMiss'], measure: ({ rig, turns }) => tracing(rig, turns) },
  {
    rows: ['scavenges'],
    measure: async ({ translate }) => [await translate.scavenges(TEN_MILLION)],
  },
  { rows: ['oneSmmu'], measure: ({ turns }) => scaling('oneSmmu', turns) },
  { rows: ['twoSmmus'], measure: ({ turns }) => scaling('twoSmmus', turns) },
  { rows: ['syncP50', 'syncP99'], measure: () => commandSync(20_000) },
  {
    rows: ['registerRead', 'registerWrite', 'registerApplied', 'softwareSyncP50', 'softwareSyncP99'],
    measure: ({ turns }) => registers(turns, 2_000),
  },
  { rows: ['start1', 'start8', 'start64', 'idleSmmu'], once: true, measure: () => startUp(3) },
  { rows: ['snapshot', 'restore'], once: true, measure: snapshot },
  { rows: ['check'], once: true, measure: () => coldCheck(15) },
  { rows: ['torn'], once: true, measure: ({ scale }) => torn(2 * TEN_MILLION * scale) },
  { rows: ['wrong'], once: true, measure: ({ scale }) => invalidation(TEN_MILLION * scale) },
];

/** How a process of the bench is told what to do. */
export interface ProcessOrder {
  readonly steps: readonly number[];
  readonly short: boolean;
  readonly scale: number;
}

export type ProcessMessage =
  | { readonly kind: 'compiler'; readonly there: boolean }
  | { readonly kind: 'step'; readonly step: number }
  | { readonly kind: 'measured'; readonly measurements: readonly Measurement[] };

/** Runs the ordered steps in this process. */
export async function runSteps(order: ProcessOrder, tell: (message: ProcessMessage) => void): Promise<void> {
  const turns = order.short ? SHORT_TURNS : FULL_TURNS;
  const rig = Rig.make(benchMachine(), 1);
  const c = CKernel.start(rig.guest, rig.view.memory);
  tell({ kind: 'compiler', there: c !== undefined });
  const context = { rig, translate: new Translate(rig, c, turns), turns, scale: order.scale };
  try {
    for (const step of order.steps) {
      tell({ kind: 'step', step });
      tell({ kind: 'measured', measurements: await STEPS[step]!.measure(context) });
    }
  } finally {
    c?.close();
  }
}
