/**
 * Where a mutation (mutations.ts) takes hold of a run: wrappers around what the actors and the SMMU are joined by. All
 * of them are absent in a run without one, and nothing inside the SMMU knows of them.
 */
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { MessageHandler } from '../../runtime/shared/tbu-guard.js';
import type { EventChannel, TbuChannel } from '../../smmu/maintenance.js';
import type { CommandWords } from '../../software/commands.js';
import type { CpuMemory } from '../../software/port.js';
import type { TbuLink } from '../actors/dma-actor.js';

export interface Faults {
  /** What the software puts into the queue instead. */
  commands?(commands: readonly CommandWords[]): readonly CommandWords[];
  /** The software goes on without waiting for its CMD_SYNC. */
  readonly impatient?: boolean;
  /** After a change of stage 2 the software forgets its second round: what stage 1 and 2 were combined to. */
  readonly forgetsCombined?: boolean;
  /** How the software writes its tables; `point` lets others go first. */
  tables?(memory: CpuMemory, point: () => void): CpuMemory;
  /** The TCU's way to its TBUs. */
  channel?(channel: TbuChannel): TbuChannel;
  /** What hands a TBU its messages. */
  messages?(tbu: MessageHandler): MessageHandler;
  /** A TBU's way to its TCU, which has a Secure Event queue or has none. */
  events?(channel: EventChannel, hasSecure: boolean): EventChannel;
  /** What a TBU reads its structures and descriptors from. */
  structures?(space: PhysicalAddressSpace): PhysicalAddressSpace;
  /** A device's way through its TBU. */
  link?(link: TbuLink): TbuLink;
}

export const NO_FAULTS: Faults = {};
