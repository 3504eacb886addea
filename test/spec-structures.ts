/**
 * Bit positions of the structures in memory and of the event records, taken from the headings and figures of IHI 0070 and not
 * from src/arch: [most significant bit, least significant bit], counted over the whole structure. Tests make their golden
 * words with these, so that no table of the simulator grades itself.
 */

export type Positions = Readonly<Record<string, readonly [number, number]>>;

/** The words of a structure, lowest first. */
export function wordsOf<P extends Positions>(
  positions: P,
  bits: number,
  values: Partial<Record<keyof P, number | bigint>>,
): number[] {
  let all = 0n;
  for (const [name, value] of Object.entries(values)) {
    const [hi, lo] = positions[name]!;
    const wide = BigInt(value as number | bigint);
    if (wide >> BigInt(hi - lo + 1) !== 0n) throw new Error(`${name} does not hold ${value}`);
    all |= wide << BigInt(lo);
  }
  return Array.from({ length: bits / 32 }, (_, i) => Number((all >> BigInt(32 * i)) & 0xffff_ffffn));
}

/** 5.1 */
export const L1STD_BITS = {
  Span: [4, 0],
  L2Ptr: [55, 6],
} as const;

/** 5.2 */
export const STE_BITS = {
  V: [0, 0],
  Config: [3, 1],
  S1Fmt: [5, 4],
  S1ContextPtr: [55, 6],
  S1CDMax: [63, 59],
  S1DSS: [65, 64],
  S1CIR: [67, 66],
  S1COR: [69, 68],
  S1CSH: [71, 70],
  S2HWU59: [72, 72],
  S2HWU60: [73, 73],
  S2HWU61: [74, 74],
  S2HWU62: [75, 75],
  DRE: [76, 76],
  CONT: [80, 77],
  DCP: [81, 81],
  PPAR: [82, 82],
  MEV: [83, 83],
  SW_RESERVED: [87, 84],
  S1PIE: [88, 88],
  S2FWB: [89, 89],
  S1MPAM: [90, 90],
  S1STALLD: [91, 91],
  EATS: [93, 92],
  STRW: [95, 94],
  MemAttr: [99, 96],
  MTCFG: [100, 100],
  ALLOCCFG: [104, 101],
  SHCFG: [109, 108],
  NSCFG: [111, 110],
  PRIVCFG: [113, 112],
  INSTCFG: [115, 114],
  S2VMID: [143, 128],
  S2T0SZ: [165, 160],
  S2SL0: [167, 166],
  S2IR0: [169, 168],
  S2OR0: [171, 170],
  S2SH0: [173, 172],
  S2TG: [175, 174],
  S2PS: [178, 176],
  S2AA64: [179, 179],
  S2ENDI: [180, 180],
  S2AFFD: [181, 181],
  S2PTW: [182, 182],
  S2HD: [183, 183],
  S2HA: [184, 184],
  S2S: [185, 185],
  S2R: [186, 186],
  S2HAFT: [187, 187],
  S2PIE: [188, 188],
  S2POE: [189, 189],
  DPT_VMATCH: [191, 190],
  S2NSW: [192, 192],
  S2NSA: [193, 193],
  S2SL0_2: [194, 194],
  S2DS: [195, 195],
  S2TTB: [247, 196],
  S2SKL: [254, 253],
  PARTID: [287, 272],
  S_S2T0SZ: [293, 288],
  S_S2SL0: [295, 294],
  S_S2TG: [303, 302],
  MECID: [319, 304],
  PMG: [327, 320],
  MPAM_NS: [328, 328],
  AssuredOnly: [329, 329],
  TL0: [330, 330],
  TL1: [331, 331],
  VMSPtr: [375, 332],
  S2SW: [384, 384],
  S2SA: [385, 385],
  S_S2SL0_2: [386, 386],
  S_S2TTB: [439, 388],
  S_S2SKL: [446, 445],
  S2POI: [511, 448],
} as const;

/** 5.3 */
export const L1CD_BITS = {
  V: [0, 0],
  L2Ptr: [55, 12],
} as const;

/** 5.4 */
export const CD_BITS = {
  T0SZ: [5, 0],
  TG0: [7, 6],
  IR0: [9, 8],
  OR0: [11, 10],
  SH0: [13, 12],
  EPD0: [14, 14],
  ENDI: [15, 15],
  T1SZ: [21, 16],
  TG1: [23, 22],
  IR1: [25, 24],
  OR1: [27, 26],
  SH1: [29, 28],
  EPD1: [30, 30],
  V: [31, 31],
  IPS: [34, 32],
  AFFD: [35, 35],
  WXN: [36, 36],
  UWXN: [37, 37],
  TBI0: [38, 38],
  TBI1: [39, 39],
  PAN: [40, 40],
  AA64: [41, 41],
  HD: [42, 42],
  HA: [43, 43],
  S: [44, 44],
  R: [45, 45],
  A: [46, 46],
  ASET: [47, 47],
  ASID: [63, 48],
  NSCFG0: [64, 64],
  HAD0: [65, 65],
  E0PD0: [66, 66],
  HAFT: [67, 67],
  TTB0: [119, 68],
  PnCH: [122, 122],
  EPAN: [123, 123],
  HWU059: [124, 124],
  HWU060: [125, 125],
  SKL0: [127, 126],
  NSCFG1: [128, 128],
  HAD1: [129, 129],
  E0PD1: [130, 130],
  AIE: [131, 131],
  TTB1: [183, 132],
  DS: [186, 186],
  PIE: [187, 187],
  HWU159: [188, 188],
  HWU160: [189, 189],
  SKL1: [191, 190],
  MAIR0: [223, 192],
  MAIR1: [255, 224],
  AMAIR0: [287, 256],
  AMAIR1: [319, 288],
  PARTID: [367, 352],
  PMG: [375, 368],
  PIIU: [431, 384],
  PIIP: [495, 448],
} as const;

/** 7.3: what every record starts with. */
const HEADER = { EventNumber: [7, 0], SSV: [11, 11], SubstreamID: [31, 12], StreamID: [63, 32] } as const;
const ACCESS = { PnU: [97, 97], InD: [98, 98], RnW: [99, 99], InputAddr: [191, 128] } as const;
const STAGE = { S2: [103, 103], CLASS: [105, 104] } as const;
const FETCH = { Reason: [79, 64], GPCF: [80, 80], FetchAddr: [247, 195] } as const;
const FAULT = {
  ...HEADER,
  STAG: [79, 64],
  Stall: [95, 95],
  ...ACCESS,
  NSIPA: [100, 100],
  ...STAGE,
  IPA: [247, 204],
} as const;

/** 7.3.2 to 7.3.20: number and fields of each record. */
export const EVENT_RECORDS = {
  F_UUT: { number: 0x01, bits: { ...HEADER, UUTReason: [95, 80], ...ACCESS } },
  C_BAD_STREAMID: { number: 0x02, bits: HEADER },
  F_STE_FETCH: { number: 0x03, bits: { ...HEADER, ...FETCH } },
  C_BAD_STE: { number: 0x04, bits: HEADER },
  F_BAD_ATS_TREQ: { number: 0x05, bits: HEADER },
  F_STREAM_DISABLED: { number: 0x06, bits: HEADER },
  F_TRANSL_FORBIDDEN: { number: 0x07, bits: { ...HEADER, RnW: [99, 99], InputAddr: [191, 128] } },
  C_BAD_SUBSTREAMID: { number: 0x08, bits: HEADER },
  F_CD_FETCH: { number: 0x09, bits: { ...HEADER, ...FETCH } },
  C_BAD_CD: { number: 0x0a, bits: HEADER },
  F_WALK_EABT: { number: 0x0b, bits: { ...HEADER, ...FETCH, ...ACCESS, ...STAGE } },
  F_TRANSLATION: { number: 0x10, bits: FAULT },
  F_ADDR_SIZE: { number: 0x11, bits: FAULT },
  F_ACCESS: { number: 0x12, bits: FAULT },
  F_PERMISSION: { number: 0x13, bits: { ...FAULT, TTRnW: [108, 108] } },
} as const;

/** Every field that a record of a translation has. */
export const EVENT_BITS = { ...FAULT, ...FETCH, TTRnW: [108, 108] } as const;
