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
import type { Invalidation } from '../../software/page-tables.js';
import { invalidationCommands } from '../../software/tlb-invalidation.js';
import type { Random } from '../random.js';
import type { StressContext } from './kit.js';

/** How often a change is invalidated by the command that names it alone, in percent. */
const EXACT_PERCENT = 60;
const RANGE_MAX = 8;

function changed(words: CommandWords, change: (copy: CommandWords) => void): CommandWords {
  const copy = words.slice();
  change(copy);
  return copy;
}

/** The commands that name exactly what changed in a context's tables. */
export function exactTlbi(
  context: StressContext,
  invalidation: Invalidation,
  features: Features,
): CommandWords[] {
  const { tables, ASID } = context.context;
  const tags = { ASID, VMID: context.VMID };
  return invalidationCommands(invalidation, tables.format, tags, features.rangeInvalidation);
}

/** Commands that invalidate what changed, and perhaps more. */
export function anyTlbi(
  context: StressContext,
  invalidation: Invalidation,
  features: Features,
  security: SecurityState,
  random: Random,
): CommandWords[] {
  const exact = exactTlbi(context, invalidation, features);
  if (random.chance(EXACT_PERCENT)) return exact;
  const { VMID } = context;
  const wider: CommandWords[][] = [
    exact.map((words) => changed(words, (copy) => set(copy, COMMAND.Leaf, 0))),
  ];
  if (context.kind !== 'stage2') {
    wider.push(
      exact.map((words) => changed(words, (copy) => set(copy, COMMAND.Opcode, CMD_TLBI_NH_VAA))),
      [tlbiNHASID(VMID, context.context.ASID)],
      [tlbiNHAll(VMID)],
    );
  }
  if (security === NON_SECURE) {
    wider.push([tlbiNSNHAll()]);
    if (features.stage2) wider.push([tlbiS12VMAll(VMID)]);
  }
  return random.pick(wider);
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

/** Commands that invalidate a stream's CD, and perhaps more. */
export function anyCfgiCD(StreamID: number, security: SecurityState, random: Random) {
  const exact = cfgiCD(StreamID, 0, security, true);
  if (random.chance(EXACT_PERCENT)) return exact;
  return random.pick([
    cfgiCD(StreamID, 0, security, false),
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
