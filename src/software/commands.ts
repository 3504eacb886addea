/**
 * The commands that the driver issues (IHI 0070 chapter 4), made from their parameters.
 * Leaves out: what belongs to ATS, PRI, stalls, Hyp StreamWorlds other than the reset sequence, and Realm.
 */
import { encode, f, layout } from '../arch/layout.js';
import { SECURE, type SecurityState } from '../arch/security.js';

/** A command is four words. */
export type Command = Uint32Array;
export const COMMAND_BYTES = 16;

const OPCODE = {
  CFGI_STE: 0x03,
  CFGI_STE_RANGE: 0x04,
  CFGI_CD: 0x05,
  CFGI_CD_ALL: 0x06,
  TLBI_NH_ALL: 0x10,
  TLBI_NH_ASID: 0x11,
  TLBI_NH_VA: 0x12,
  TLBI_EL3_ALL: 0x18,
  TLBI_EL2_ALL: 0x20,
  TLBI_S12_VMALL: 0x28,
  TLBI_S2_IPA: 0x2a,
  TLBI_NSNH_ALL: 0x30,
  SYNC: 0x46,
} as const;

const CFGI = layout('CMD_CFGI', '4.3', 128, {
  Opcode: f(7, 0),
  SSec: f(10),
  SubstreamID: f(31, 12),
  StreamID: f(63, 32),
  Leaf: f(64),
});

const CFGI_RANGE = layout('CMD_CFGI_STE_RANGE', '4.3.2', 128, {
  Opcode: f(7, 0),
  SSec: f(10),
  StreamID: f(63, 32),
  Range: f(68, 64),
});

const TLBI = layout('CMD_TLBI', '4.4', 128, {
  Opcode: f(7, 0),
  NUM: f(16, 12),
  SCALE: f(25, 20),
  VMID: f(47, 32),
  ASID: f(63, 48),
  Leaf: f(64),
  TTL: f(73, 72),
  TG: f(75, 74),
  Address: f(127, 76),
});

const ssec = (security: SecurityState) => (security === SECURE ? 1 : 0);

/** Leaf == 0: level 1 stream table descriptors on the way to the STE go too. */
export function cfgiSTE(StreamID: number, security: SecurityState, leaf: boolean): Command {
  return encode(CFGI, { Opcode: OPCODE.CFGI_STE, SSec: ssec(security), StreamID, Leaf: leaf ? 1 : 0 });
}

/** CMD_CFGI_ALL is CMD_CFGI_STE_RANGE over all StreamIDs (4.3.3). */
export function cfgiAll(security: SecurityState): Command {
  return encode(CFGI_RANGE, { Opcode: OPCODE.CFGI_STE_RANGE, SSec: ssec(security), Range: 31 });
}

export function cfgiCD(StreamID: number, SubstreamID: number, security: SecurityState, leaf: boolean): Command {
  return encode(CFGI, { Opcode: OPCODE.CFGI_CD, SSec: ssec(security), StreamID, SubstreamID, Leaf: leaf ? 1 : 0 });
}

export function cfgiCDAll(StreamID: number, security: SecurityState): Command {
  return encode(CFGI, { Opcode: OPCODE.CFGI_CD_ALL, SSec: ssec(security), StreamID });
}

/** What an address-based TLBI says besides its tags (4.4.1). */
export interface TlbiAddress {
  readonly address: bigint;
  readonly leaf: boolean;
  /** 0 when neither a hint nor a range is given. */
  readonly TG?: number;
  readonly TTL?: number;
  readonly NUM?: number;
  readonly SCALE?: number;
}

function addressFields({ address, leaf, ...hints }: TlbiAddress) {
  return { ...hints, Leaf: leaf ? 1 : 0, Address: BigInt.asUintN(64, address) >> 12n };
}

export function tlbiNHVA(VMID: number, ASID: number, at: TlbiAddress): Command {
  return encode(TLBI, { Opcode: OPCODE.TLBI_NH_VA, VMID, ASID, ...addressFields(at) });
}

export function tlbiS2IPA(VMID: number, at: TlbiAddress): Command {
  return encode(TLBI, { Opcode: OPCODE.TLBI_S2_IPA, VMID, ...addressFields(at) });
}

export function tlbiNHASID(VMID: number, ASID: number): Command {
  return encode(TLBI, { Opcode: OPCODE.TLBI_NH_ASID, VMID, ASID });
}

export function tlbiNHAll(VMID: number): Command {
  return encode(TLBI, { Opcode: OPCODE.TLBI_NH_ALL, VMID });
}

export function tlbiS12VMAll(VMID: number): Command {
  return encode(TLBI, { Opcode: OPCODE.TLBI_S12_VMALL, VMID });
}

export function tlbiNSNHAll(): Command {
  return encode(TLBI, { Opcode: OPCODE.TLBI_NSNH_ALL });
}

export function tlbiEL2All(): Command {
  return encode(TLBI, { Opcode: OPCODE.TLBI_EL2_ALL });
}

export function tlbiEL3All(): Command {
  return encode(TLBI, { Opcode: OPCODE.TLBI_EL3_ALL });
}

/** CMD_SYNC with CS == SIG_NONE: completion is seen by CONS passing it (4.7.3). */
export function sync(): Command {
  return encode(TLBI, { Opcode: OPCODE.SYNC });
}
