/** Wired interrupts as other threads see them: how often each of an SMMU's outputs was raised (IHI 0070 3.18). */
import type { SecurityState } from '../../arch/security.js';
import type { SmmuOffsets } from './control.js';

export const INTERRUPTS = ['eventq', 'priq', 'cmd-sync', 'gerror'] as const;
export type InterruptName = (typeof INTERRUPTS)[number];

/** Word offset of one interrupt's counter. */
export function interruptOffset(at: SmmuOffsets, name: InterruptName, security: SecurityState): number {
  return at.interrupts + security * INTERRUPTS.length + INTERRUPTS.indexOf(name);
}
