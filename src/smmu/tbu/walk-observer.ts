/** What a walker tells about a walk to whoever watches. */
import type { SecurityState } from '../../arch/security.js';
import type { Origin } from './origin.js';

/** Told about each step of a walk; absent in normal running. */
export interface WalkObserver {
  descriptor(
    stage: 1 | 2,
    level: number,
    address: number,
    pa: number,
    space: SecurityState,
    lo: number,
    hi: number,
  ): void;
  /** A table descriptor of the TLB answers: the walk goes on at the next level, in the table at an IPA or PA. */
  tableHit(stage: 1 | 2, level: number, address: number, origin: Origin | undefined): void;
  /** A stage 2 translation begins, for the access itself, a stage 1 descriptor or a CD. */
  stage2(ipa: number, ipaSpace: SecurityState, faultClass: number): void;
  /** A STAGE_2 entry of the TLB answers; pages are addresses / 4096. */
  stage2Hit(outPage: number, permissions: number, origin: Origin | undefined): void;
  /** A stage has come to a leaf: where it leads and what it permits. */
  leaf(stage: 1 | 2, outPage: number, permissions: number): void;
  /** The low word of a descriptor has been replaced in memory. */
  update(stage: 1 | 2, pa: number, space: SecurityState, lo: number, newLo: number): void;
  fault(event: number, stage: 1 | 2, faultClass: number): void;
}
