/**
 * The oracle of VMSAv8-32 LPAE: a walker over bigint, written from DDI 0487 G5.5 and G5.6 and IHI 0070 3.4 for clarity
 * alone. It shares no code and no declaration with `src`, nor with the VMSAv8-64 oracle beside it.
 *
 * Implements: the regions of TTB0 and TTB1, Hyp's single region, stage 2 with concatenated start tables, 40-bit outputs
 * and their truncation to a smaller OAS, hierarchical attributes, permissions, the access flag.
 * Leaves out: whether parameters are legal at all, Secure tables.
 */

export type LpaeFault = 'translation' | 'address-size' | 'access-flag' | 'external-abort';
export type ReadLpaeDescriptor = (address: bigint) => bigint | undefined;

export interface LpaeStage1 {
  readonly va: bigint;
  /** Bits [2:0] of CD.TxSZ. */
  readonly T0SZ: number;
  readonly T1SZ: number;
  readonly TTB0: bigint;
  readonly TTB1: bigint;
  readonly EPD0: boolean;
  readonly EPD1: boolean;
  readonly HAD0: boolean;
  readonly HAD1: boolean;
  readonly AFFD: boolean;
  /** One region only, TTB0's. */
  readonly hyp: boolean;
  /** Where this is the last stage: the size that physical addresses have. */
  readonly oas: number | undefined;
}

export interface LpaeStage2 {
  readonly ipa: bigint;
  /** Bits [3:0] of STE.S2T0SZ. */
  readonly S2T0SZ: number;
  readonly S2SL0: number;
  readonly S2TTB: bigint;
  readonly AFFD: boolean;
  readonly oas: number;
}

export interface LpaeLeaf {
  readonly output: bigint;
  readonly level: number;
  /** AP[2:1] or S2AP. */
  readonly AP: number;
  /** Bit 54, and with stage 1 XNTable. */
  readonly XN: boolean;
  /** Bit 53, and with stage 1 PXNTable. */
  readonly PXN: boolean;
  readonly MemAttr: number;
}

type Result = LpaeLeaf | { readonly fault: LpaeFault };

const FOUR_GIB = 1n << 32n;
const bits = (value: bigint, hi: number, lo: number) => (value >> BigInt(lo)) % (1n << BigInt(hi - lo + 1));
/** Level 1 descriptors cover a gigabyte, level 2 ones 2 MiB, level 3 ones 4 KiB. */
const COVERS: readonly bigint[] = [0n, 1n << 30n, 1n << 21n, 1n << 12n];

/** G5.5.4, Table G5-2: first and last address of each region; undefined where there is none. */
export function lpaeRegions(
  T0SZ: number,
  T1SZ: number,
  hyp: boolean,
): readonly [readonly [bigint, bigint], readonly [bigint, bigint] | undefined] {
  const size0 = FOUR_GIB >> BigInt(T0SZ);
  if (hyp) return [[0n, size0 - 1n], undefined];
  const size1 = FOUR_GIB >> BigInt(T1SZ);
  if (T0SZ === 0 && T1SZ === 0) return [[0n, FOUR_GIB - 1n], undefined];
  if (T1SZ === 0) return [[0n, size0 - 1n], [size0, FOUR_GIB - 1n]]; // biome-ignore format: one row of the table
  if (T0SZ === 0) return [[0n, FOUR_GIB - size1 - 1n], [FOUR_GIB - size1, FOUR_GIB - 1n]]; // biome-ignore format: one row
  return [[0n, size0 - 1n], [FOUR_GIB - size1, FOUR_GIB - 1n]]; // biome-ignore format: one row
}

interface Walk {
  readonly input: bigint;
  readonly inputBits: number;
  readonly startLevel: number;
  readonly base: bigint;
  /** What a table's own address must be below. */
  readonly tableLimit: bigint;
  readonly AFFD: boolean;
}

function descend(walk: Walk, read: ReadLpaeDescriptor, onTable: (value: bigint) => void): Result {
  let covered = 1n << BigInt(walk.inputBits);
  let table = walk.base - (walk.base % ((covered / COVERS[walk.startLevel]!) * 8n));
  for (let level = walk.startLevel; ; level++) {
    const entry = (walk.input % covered) / COVERS[level]!;
    const value = read(table + entry * 8n);
    if (value === undefined) return { fault: 'external-abort' };
    const type = bits(value, 1, 0);
    // 0b01 is a block at levels 1 and 2 and reserved at level 3; 0b11 is a table there and a page at level 3.
    if (type !== 3n && (type !== 1n || level === 3)) return { fault: 'translation' };
    if (bits(value, 47, 40) !== 0n) return { fault: 'address-size' };
    covered = COVERS[level]!;
    if (level === 3 || type === 1n) {
      const address = bits(value, 39, 12) << 12n;
      if (bits(value, 10, 10) === 0n && !walk.AFFD) return { fault: 'access-flag' };
      return {
        output: address - (address % covered) + (walk.input % covered),
        level,
        AP: Number(bits(value, 7, 6)),
        XN: bits(value, 54, 54) === 1n,
        PXN: bits(value, 53, 53) === 1n,
        MemAttr: Number(bits(value, 5, 2)),
      };
    }
    table = bits(value, 39, 12) << 12n;
    if (table >= walk.tableLimit) return { fault: 'address-size' };
    onTable(value);
  }
}

/** Translates a VA. The output is an IPA of 40 bits, or a PA cut to the OAS. */
export function walkLpaeStage1(params: LpaeStage1, read: ReadLpaeDescriptor): Result {
  const { va, hyp, oas } = params;
  const regions = lpaeRegions(params.T0SZ, params.T1SZ, hyp);
  const half = regions.findIndex((region) => region !== undefined && va >= region[0] && va <= region[1]);
  if (half < 0) return { fault: 'translation' };
  if (!hyp && (half === 0 ? params.EPD0 : params.EPD1)) return { fault: 'translation' };
  const inputBits = 32 - (half === 0 ? params.T0SZ : params.T1SZ);
  let APTable = 0n;
  let XNTable = 0n;
  let PXNTable = 0n;
  const leaf = descend(
    {
      input: va % (1n << BigInt(inputBits)),
      inputBits,
      startLevel: inputBits > 30 ? 1 : 2,
      base: half === 0 ? params.TTB0 : params.TTB1,
      tableLimit: 1n << BigInt(Math.min(40, oas ?? 40)),
      AFFD: params.AFFD,
    },
    read,
    (value) => {
      if (half === 0 ? params.HAD0 : params.HAD1) return;
      APTable |= bits(value, 62, 61);
      XNTable |= bits(value, 60, 60);
      PXNTable |= bits(value, 59, 59);
    },
  );
  if ('fault' in leaf) return leaf;
  let { AP } = leaf;
  if (APTable & 1n) AP &= 2;
  if (APTable & 2n) AP |= 2;
  return {
    ...leaf,
    AP,
    XN: leaf.XN || XNTable === 1n,
    PXN: leaf.PXN || PXNTable === 1n,
    output: oas === undefined ? leaf.output : leaf.output % (1n << BigInt(oas)),
  };
}

/** Translates an IPA. */
export function walkLpaeStage2(params: LpaeStage2, read: ReadLpaeDescriptor): Result {
  const { ipa, oas } = params;
  const inputBits = 32 - (params.S2T0SZ < 8 ? params.S2T0SZ : params.S2T0SZ - 16);
  if (ipa >= 1n << BigInt(inputBits)) return { fault: 'translation' };
  const startLevel = params.S2SL0 === 0 ? 2 : 1;
  const tableLimit = 1n << BigInt(Math.min(40, oas));
  const walk = { input: ipa, inputBits, startLevel, base: params.S2TTB, tableLimit, AFFD: params.AFFD };
  const leaf = descend(walk, read, () => {});
  return 'fault' in leaf ? leaf : { ...leaf, output: leaf.output % (1n << BigInt(oas)) };
}

export interface LpaeControls {
  readonly hyp: boolean;
  readonly WXN: boolean;
  readonly UWXN: boolean;
  readonly PAN: boolean;
}

/** G5.6: letters r, w, x privileged and R, W, X unprivileged, as in permissions.ts. */
export function lpaeStage1Letters(leaf: Pick<LpaeLeaf, 'AP' | 'XN' | 'PXN'>, checks: LpaeControls): string {
  const writable = leaf.AP < 2;
  if (checks.hyp) {
    const executable = !leaf.XN && !(checks.WXN && writable);
    return `rR${writable ? 'wW' : ''}${executable ? 'xX' : ''}`;
  }
  const user = leaf.AP === 1 || leaf.AP === 3;
  const XN = leaf.XN || (checks.WXN && writable);
  const PXN = XN || leaf.PXN || (checks.UWXN && leaf.AP === 1);
  const data = checks.PAN && user ? '' : writable ? 'rw' : 'r';
  return `${data}${user ? (writable ? 'RW' : 'R') : ''}${PXN ? '' : 'x'}${XN || !user ? '' : 'X'}`;
}

/** G5.6.1 and Table G5-10: nothing executes that cannot be read. */
export function lpaeStage2Letters(
  { AP, XN, PXN }: Pick<LpaeLeaf, 'AP' | 'XN' | 'PXN'>,
  XNX: boolean,
): string {
  const read = (AP & 1) === 1;
  const execute = !read ? '' : !XNX ? (XN ? '' : 'xX') : XN ? (PXN ? 'x' : '') : PXN ? 'X' : 'xX';
  return `${read ? 'rR' : ''}${AP & 2 ? 'wW' : ''}${execute}`;
}
