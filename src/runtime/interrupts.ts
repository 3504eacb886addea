/** Wired interrupts as other threads see them: how often each of an SMMU's outputs was raised (IHI 0070 3.18). */
import type { SecurityState } from '../arch/security.js';
import type { Control, SmmuOffsets } from './control.js';

export const INTERRUPTS = ['eventq', 'priq', 'cmd-sync', 'gerror'] as const;
export type InterruptName = (typeof INTERRUPTS)[number];

/** Word offset of one interrupt's counter. */
export function interruptOffset(at: SmmuOffsets, name: InterruptName, security: SecurityState): number {
  return at.interrupts + security * INTERRUPTS.length + INTERRUPTS.indexOf(name);
}

/** How often an interrupt was raised since the machine started, modulo 2^32. */
export function interruptCount(
  control: Control,
  at: SmmuOffsets,
  name: InterruptName,
  security: SecurityState,
): number {
  return Atomics.load(control.words, interruptOffset(at, name, security)) >>> 0;
}
