/**
 * The commands that the driver issues (IHI 0070 chapter 4), made from their parameters.
 * Leaves out what belongs to ATS and PRI.
 */
import {
  CMD_CFGI_CD,
  CMD_CFGI_CD_ALL,
  CMD_CFGI_STE,
  CMD_CFGI_STE_RANGE,
  CMD_PREFETCH_CONFIG,
  CMD_RESUME,
  CMD_STALL_TERM,
  CMD_SYNC,
  CMD_TLBI_EL2_ALL,
  CMD_TLBI_EL3_ALL,
  CMD_TLBI_NH_ALL,
  CMD_TLBI_NH_ASID,
  CMD_TLBI_NH_VA,
  CMD_TLBI_NSNH_ALL,
  CMD_TLBI_S_EL2_ALL,
  CMD_TLBI_S2_IPA,
  CMD_TLBI_S12_VMALL,
  CMD_TLBI_SNH_ALL,
  COMMANDS_BY_OPCODE,
  SIG_NONE,
} from '../arch/commands.js';
import { encode } from '../arch/layout.js';
import type { SecurityState } from '../arch/security.js';

/** A command as it stands in the queue: four words. */
export type CommandWords = Uint32Array;

function command(Opcode: number, fields: Readonly<Record<string, number | bigint>> = {}): CommandWords {
  return encode(COMMANDS_BY_OPCODE.get(Opcode)!, { Opcode, ...fields });
}

const flag = (value: boolean) => (value ? 1 : 0);

/** With `leaf` false, the level 1 descriptor on the way to the STE goes too. */
export function cfgiSTE(StreamID: number, SSec: SecurityState, leaf: boolean): CommandWords {
  return command(CMD_CFGI_STE, { SSec, StreamID, Leaf: flag(leaf) });
}

/** All STEs of a naturally aligned block of 2^(Range + 1) StreamIDs. */
export function cfgiSTERange(StreamID: number, SSec: SecurityState, Range: number): CommandWords {
  return command(CMD_CFGI_STE_RANGE, { SSec, StreamID, Range });
}

/** CMD_CFGI_ALL is CMD_CFGI_STE_RANGE over all StreamIDs (4.3.6). */
export function cfgiAll(SSec: SecurityState): CommandWords {
  return command(CMD_CFGI_STE_RANGE, { SSec, Range: 31 });
}

export function cfgiCD(
  StreamID: number,
  SubstreamID: number,
  SSec: SecurityState,
  leaf: boolean,
): CommandWords {
  return command(CMD_CFGI_CD, { SSec, StreamID, SubstreamID, Leaf: flag(leaf) });
}

export function cfgiCDAll(StreamID: number, SSec: SecurityState): CommandWords {
  return command(CMD_CFGI_CD_ALL, { SSec, StreamID });
}

/** What an address-based TLBI says besides its tags (4.4.1). */
export interface TlbiAddress {
  readonly address: bigint;
  readonly leaf: boolean;
  /** The range and level fields go together; without them, one address and no hint. */
  readonly range?: {
    readonly TG: number;
    readonly TTL: number;
    readonly NUM: number;
    readonly SCALE: number;
  };
}

function addressFields({ address, leaf, range }: TlbiAddress) {
  return { ...range, Leaf: flag(leaf), Address: address >> 12n };
}

export function tlbiNHVA(VMID: number, ASID: number, at: TlbiAddress): CommandWords {
  return command(CMD_TLBI_NH_VA, { VMID, ASID, ...addressFields(at) });
}

export function tlbiS2IPA(VMID: number, at: TlbiAddress): CommandWords {
  return command(CMD_TLBI_S2_IPA, { VMID, ...addressFields(at) });
}

export function tlbiNHASID(VMID: number, ASID: number): CommandWords {
  return command(CMD_TLBI_NH_ASID, { VMID, ASID });
}

export function tlbiNHAll(VMID: number): CommandWords {
  return command(CMD_TLBI_NH_ALL, { VMID });
}

export function tlbiS12VMAll(VMID: number): CommandWords {
  return command(CMD_TLBI_S12_VMALL, { VMID });
}

export function tlbiNSNHAll(): CommandWords {
  return command(CMD_TLBI_NSNH_ALL);
}

export function tlbiSNHAll(): CommandWords {
  return command(CMD_TLBI_SNH_ALL);
}

export function tlbiSEL2All(): CommandWords {
  return command(CMD_TLBI_S_EL2_ALL);
}

export function prefetchConfig(StreamID: number, SSec: SecurityState): CommandWords {
  return command(CMD_PREFETCH_CONFIG, { SSec, StreamID });
}

export function tlbiEL2All(): CommandWords {
  return command(CMD_TLBI_EL2_ALL);
}

export function tlbiEL3All(): CommandWords {
  return command(CMD_TLBI_EL3_ALL);
}

/** What becomes of a stalled access (4.7.1). `raz-wi` aborts where TERM_MODEL == 1. */
export type ResumeAction = 'retry' | 'abort' | 'raz-wi';

export function resume(
  StreamID: number,
  SSec: SecurityState,
  STAG: number,
  action: ResumeAction,
): CommandWords {
  return command(CMD_RESUME, {
    SSec,
    StreamID,
    STAG,
    Ac: flag(action === 'retry'),
    Ab: flag(action === 'abort'),
  });
}

/** For a stream whose STE terminates new accesses by now (4.7.2). */
export function stallTerm(StreamID: number, SSec: SecurityState): CommandWords {
  return command(CMD_STALL_TERM, { SSec, StreamID });
}

/** Completion is seen by CONS passing the command (4.7.3). */
export function sync(): CommandWords {
  return command(CMD_SYNC, { CS: SIG_NONE });
}
