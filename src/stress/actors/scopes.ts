/** By which commands a change is invalidated: exactly, or by any of the wider scopes of IHI 0070 4.3 and 4.4. */
import { CMD_TLBI_NH_VAA, COMMAND } from '../../arch/commands.js';
import { set } from '../../arch/layout.js';
import { NON_SECURE, type SecurityState } from '../../arch/security.js';
import {
  type CommandWords,
  cfgiAll,
  cfgiCD,
  cfgiCDAll,
  cfgiSTE,
  cfgiSTERange,
  prefetchConfig,
  tlbiNHAll,
  tlbiNHASID,
  tlbiNSNHAll,
  tlbiS12VMAll,
} from '../../software/commands.js';
import type { Features } from '../../software/features.js';
import type { Invalidation, LeafRange } from '../../software/page-tables.js';
import { invalidationCommands } from '../../software/tlb-invalidation.js';
import type { Stage } from '../plan.js';
import type { Random } from '../random.js';
import type { StressContext } from './kit.js';

/** How often a change is invalidated by the command that names it alone, in percent. */
const EXACT_PERCENT = 60;
/** How often a change of stage 2 is invalidated with all that a VMID has. */
const WHOLE_PERCENT = 20;
const RANGE_MAX = 8;

function changed(words: CommandWords, change: (copy: CommandWords) => void): CommandWords {
  const copy = words.slice();
  change(copy);
  return copy;
}

/** What changed in the tables of one stage of a context. */
export interface Change {
  readonly target: StressContext;
  readonly stage: Stage;
  readonly invalidation: Invalidation;
  /** Of stage 2 below a stage 1: the input addresses whose translations are combined with it; undefined: there are none. */
  readonly combined: LeafRange | 'all' | undefined;
}

/** Commands, and a CMD_SYNC after each round. */
export type Rounds = CommandWords[][];

/**
 * Commands that invalidate what changed, and perhaps more. After stage 2 has been invalidated by IPA, what is combined of
 * both stages goes by stage 1 scopes (16.2); as on a PE, the one must be complete before the other begins (3.21.1, DDI 0487 D8.17).
 */
export function anyTlbi(change: Change, features: Features, security: SecurityState, random: Random): Rounds {
  const { target, stage, invalidation, combined } = change;
  const { VMID } = target;
  const all: CommandWords[] = [];
  if (security === NON_SECURE) {
    all.push(tlbiNSNHAll());
    if (features.stage2) all.push(tlbiS12VMAll(VMID));
  }
  if (stage === 1) return [anyStage1(target, invalidation, all, features, random)];
  if (random.chance(WHOLE_PERCENT)) return [[random.pick(all)]];
  const { format } = target.stage2!;
  const exact = invalidationCommands(invalidation, format, { ASID: 0, VMID }, features.rangeInvalidation);
  const byIPA = random.chance(EXACT_PERCENT) ? exact : exact.map(anyLevel);
  if (combined === undefined) return [byIPA];
  if (combined === 'all')
    return [byIPA, [random.pick([tlbiNHAll(VMID), tlbiNHASID(VMID, target.context.ASID)])]];
  return [byIPA, anyStage1(target, { ranges: [combined], tables: [] }, [], features, random)];
}

function anyStage1(
  { context, VMID }: StressContext,
  invalidation: Invalidation,
  wider: readonly CommandWords[],
  features: Features,
  random: Random,
): CommandWords[] {
  const { tables, ASID } = context;
  const exact = invalidationCommands(invalidation, tables.format, { ASID, VMID }, features.rangeInvalidation);
  if (random.chance(EXACT_PERCENT)) return exact;
  return random.pick([
    exact.map(anyLevel),
    exact.map((words) => changed(words, (copy) => set(copy, COMMAND.Opcode, CMD_TLBI_NH_VAA))),
    [tlbiNHASID(VMID, ASID)],
    [tlbiNHAll(VMID)],
    ...wider.map((command) => [command]),
  ]);
}

function anyLevel(words: CommandWords): CommandWords {
  return changed(words, (copy) => set(copy, COMMAND.Leaf, 0));
}

/** Commands that invalidate a stream's STE, and perhaps more. */
export function anyCfgiSTE(exact: CommandWords, StreamID: number, security: SecurityState, random: Random) {
  if (random.chance(EXACT_PERCENT)) return exact;
  return random.pick([
    cfgiSTE(StreamID, security, false),
    cfgiSTERange(StreamID, security, random.below(RANGE_MAX)),
    cfgiAll(security),
  ]);
}

/** Commands that invalidate a CD of a stream, or with `leaf` false the level 1 descriptor before it, and perhaps more. */
export function anyCfgiCD(
  StreamID: number,
  SubstreamID: number,
  leaf: boolean,
  security: SecurityState,
  random: Random,
) {
  if (random.chance(EXACT_PERCENT)) return cfgiCD(StreamID, SubstreamID, security, leaf);
  return random.pick([
    cfgiCD(StreamID, SubstreamID, security, false),
    cfgiCDAll(StreamID, security),
    cfgiSTE(StreamID, security, true),
    cfgiAll(security),
  ]);
}

/** Commands that nothing asks for and that do no harm. */
export function idleTalk(
  contexts: readonly StressContext[],
  StreamID: number,
  security: SecurityState,
  features: Features,
  random: Random,
): CommandWords[] {
  const { VMID, context } = random.pick(contexts);
  const some = [
    cfgiSTE(StreamID, security, true),
    cfgiAll(security),
    prefetchConfig(StreamID, security),
    tlbiNSNHAll(),
  ];
  if (features.stage1) some.push(tlbiNHAll(VMID), tlbiNHASID(VMID, context.ASID));
  return Array.from({ length: 1 + random.below(4) }, () => random.pick(some));
}
