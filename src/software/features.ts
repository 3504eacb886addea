/** What a driver learns from the ID registers of an SMMU (IHI 0070 6.3.1 to 6.3.6, 6.3.52, 6.3.53). */
import { IDR0, IDR1, IDR3, IDR5, OAS_BITS, S_IDR0, S_IDR1, STALL_MODEL } from '../arch/id-registers.js';
import { get } from '../arch/layout.js';
import { NON_SECURE, SECURE } from '../arch/security.js';
import type { Granule } from './page-tables.js';
import { DriverError } from './port.js';
import type { RegisterInterface } from './register-interface.js';

export interface Features {
  readonly stage1: boolean;
  readonly stage2: boolean;
  /** Hardware notes accesses (1), and writes (2), in stage 1 and 2 descriptors. */
  readonly HTTU: number;
  readonly hyp: boolean;
  readonly ASIDBits: number;
  readonly VMIDBits: number;
  readonly twoLevelStreamTable: boolean;
  readonly twoLevelCDTable: boolean;
  /** Faults may stall (STALL_MODEL 0b00 and 0b10). */
  readonly stall: boolean;
  /** Stalling is forced: a CD or STE must ask for it (STALL_MODEL == 0b10). */
  readonly forcedStall: boolean;
  readonly sidBits: number;
  readonly ssidBits: number;
  readonly log2Commands: number;
  readonly log2Events: number;
  readonly rangeInvalidation: boolean;
  readonly outputBits: number;
  readonly granules: ReadonlySet<Granule>;
}

/** @throws DriverError for a Secure interface that the SMMU does not have. */
export function probe(registers: RegisterInterface): Features {
  const idr0 = [registers.readFrom(NON_SECURE, 'IDR0')];
  const idr1 = [registers.readFrom(NON_SECURE, 'IDR1')];
  const idr3 = [registers.readFrom(NON_SECURE, 'IDR3')];
  const idr5 = [registers.readFrom(NON_SECURE, 'IDR5')];
  const secure = registers.security === SECURE;
  const s_idr0 = [secure ? registers.readFrom(SECURE, 'IDR0') : 0];
  const s_idr1 = [secure ? registers.readFrom(SECURE, 'IDR1') : 0];
  if (secure && get(s_idr1, S_IDR1.fields.SECURE_IMPL) === 0) {
    throw new DriverError(`${registers.name}: the SMMU has no Secure support`);
  }
  const granules = new Set<Granule>();
  if (get(idr5, IDR5.fields.GRAN4K)) granules.add('4KiB');
  if (get(idr5, IDR5.fields.GRAN16K)) granules.add('16KiB');
  if (get(idr5, IDR5.fields.GRAN64K)) granules.add('64KiB');
  const stallModel = secure ? get(s_idr0, S_IDR0.fields.STALL_MODEL) : get(idr0, IDR0.fields.STALL_MODEL);
  return {
    stage1: get(idr0, IDR0.fields.S1P) === 1,
    stage2: get(idr0, IDR0.fields.S2P) === 1 && (!secure || get(s_idr1, S_IDR1.fields.SEL2) === 1),
    HTTU: get(idr0, IDR0.fields.HTTU),
    hyp: get(idr0, IDR0.fields.Hyp) === 1,
    ASIDBits: get(idr0, IDR0.fields.ASID16) ? 16 : 8,
    VMIDBits: get(idr0, IDR0.fields.VMID16) ? 16 : 8,
    twoLevelStreamTable: get(idr0, IDR0.fields.ST_LEVEL) === 1,
    twoLevelCDTable: get(idr0, IDR0.fields.CD2L) === 1,
    stall: stallModel !== STALL_MODEL.terminate,
    forcedStall: stallModel === STALL_MODEL.forced,
    sidBits: secure ? get(s_idr1, S_IDR1.fields.S_SIDSIZE) : get(idr1, IDR1.fields.SIDSIZE),
    ssidBits: get(idr1, IDR1.fields.SSIDSIZE),
    log2Commands: get(idr1, IDR1.fields.CMDQS),
    log2Events: get(idr1, IDR1.fields.EVENTQS),
    rangeInvalidation: get(idr3, IDR3.fields.RIL) === 1,
    outputBits: OAS_BITS[get(idr5, IDR5.fields.OAS)]!,
    granules,
  };
}
