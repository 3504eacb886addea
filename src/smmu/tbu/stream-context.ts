/** What a stream's configuration says, ready for translation: one STE and, with stage 1, one CD (IHI 0070 3.3.3). */
import type { SecurityState } from '../../arch/security.js';
import type { Cd } from './cd.js';
import type { Ste } from './ste.js';
import type { StreamWorld } from './stream-world.js';

export interface StreamContext {
  readonly StreamID: number;
  /** -1 without a SubstreamID. */
  readonly SubstreamID: number;
  readonly security: SecurityState;
  readonly ste: Ste;
  /** Absent when stage 1 does not translate for this stream or substream. */
  readonly cd: Cd | undefined;
  readonly world: StreamWorld;
  readonly vmid: number;
  readonly asid: number;
  readonly aset: number;
  /** any-EL2 and EL3: every access is checked as privileged. */
  readonly singlePrivilege: boolean;
  /** A small number that stands for (world, VMID, ASID, ASET) in the first-level TLB. */
  readonly tag: number;
}

/** What of a context tags its translations (3.17). */
export type Regime = Pick<StreamContext, 'world' | 'vmid' | 'asid' | 'aset'>;
