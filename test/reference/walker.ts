/**
 * The oracle: a VMSAv8-64 walker over bigint, written from the text of DDI 0487 D8 for clarity alone.
 * It caches nothing, shares no code and no declaration with `src`, and is slow.
 *
 * Implements: stage 1 (D8.2, D8.3) with TTB0 and TTB1, stage 2 with concatenated start tables, nested walks,
 * granules 4KB, 16KB and 64KB, 52-bit addresses by LPA (64KB) and DS (4KB, 16KB), hierarchical attributes,
 * permissions (D8.4), access flag, NSTable.
 * Leaves out: whether parameters are legal at all (that is C_BAD_CD or C_BAD_STE, decided before a walk),
 * VMSAv9-128, stage 1 permission indirection. Of hardware updates (D8.5) it tells what they would be made to; whoever
 * calls it makes them.
 */

export type GranuleKiB = 4 | 16 | 64;
export type FaultType = 'translation' | 'address-size' | 'access-flag' | 'external-abort';

/** Reads one descriptor; undefined is an external abort. `ns` tells the PA space of a Secure stage 1 walk. */
export type ReadDescriptor = (address: bigint, ns: boolean) => bigint | undefined;

export interface Stage1Params {
  readonly va: bigint;
  readonly TTB0?: bigint;
  readonly T0SZ?: number;
  readonly TG0?: GranuleKiB;
  readonly EPD0?: boolean;
  readonly TBI0?: boolean;
  readonly HAD0?: boolean;
  readonly TTB1?: bigint;
  readonly T1SZ?: number;
  readonly TG1?: GranuleKiB;
  readonly EPD1?: boolean;
  readonly TBI1?: boolean;
  readonly HAD1?: boolean;
  /** Effective output address size in bits: the smaller of CD.IPS and the implementation's. */
  readonly outputBits: number;
  readonly DS?: boolean;
  /** 52-bit descriptors of a 64KB granule, where the implementation has them. Default: when outputBits is 52. */
  readonly LPA?: boolean;
  /** CD.AFFD: an access flag of 0 does not fault. */
  readonly AFFD?: boolean;
  /** Whether the walk starts in the Non-secure PA space. Default true; a Secure stream passes its NSCFGx. */
  readonly ns?: boolean;
  /** Only one half of the address space exists (StreamWorlds EL2 and EL3). */
  readonly singleRange?: boolean;
  readonly updates?: HardwareUpdates;
}

/** D8.5: what hardware manages. */
export interface HardwareUpdates {
  /** The Access flag: one that is clear does not fault. */
  readonly HA: boolean;
  /** The dirty state. */
  readonly HD: boolean;
  /** Told of each Table descriptor on the way, with FEAT_HAFT. */
  readonly onTable?: (address: bigint, value: bigint) => void;
}

export interface Stage2Params {
  readonly ipa: bigint;
  readonly S2TTB: bigint;
  readonly S2T0SZ: number;
  readonly S2SL0: number;
  readonly S2SL0_2?: boolean;
  readonly S2TG: GranuleKiB;
  /** Effective output address size in bits: the smaller of STE.S2PS and the implementation's. */
  readonly outputBits: number;
  readonly DS?: boolean;
  /** As in {@link Stage1Params}. */
  readonly LPA?: boolean;
  /** STE.S2AFFD. */
  readonly AFFD?: boolean;
  readonly updates?: HardwareUpdates;
}

export interface Fault {
  readonly kind: 'fault';
  readonly stage: 1 | 2;
  readonly type: FaultType;
  readonly level: number;
  /** The address that could not be translated by this stage: VA for stage 1, IPA for stage 2. */
  readonly input: bigint;
  /** Nested only: what stage 2 was asked for, as the event's CLASS. */
  readonly class?: 'TT' | 'IN';
}

interface Leaf {
  readonly kind: 'ok';
  readonly output: bigint;
  readonly level: number;
  readonly descriptor: bigint;
  readonly descriptorAddress: bigint;
  /** Bytes that the block or page covers, without regard to the Contiguous bit. */
  readonly sizeBytes: bigint;
  readonly contiguous: boolean;
  readonly AF: boolean;
  /** Writable-clean: the permissions are given as though it were writable-dirty. */
  readonly clean: boolean;
  readonly SH: number;
  /** Descriptors visited, root first, as (level, address, value). */
  readonly visited: readonly Visit[];
}

export interface Visit {
  readonly level: number;
  readonly address: bigint;
  readonly value: bigint;
}

export interface Stage1Leaf extends Leaf {
  readonly stage: 1;
  readonly range: 0 | 1;
  /** AP[2:1] after APTable. */
  readonly AP: number;
  /** After the table bits. */
  readonly UXN: boolean;
  readonly PXN: boolean;
  readonly nG: boolean;
  /** Output PA space of a Secure stream. */
  readonly NS: boolean;
  readonly AttrIndx: number;
}

export interface Stage2Leaf extends Leaf {
  readonly stage: 2;
  /** S2AP[1:0]: bit 0 read, bit 1 write. */
  readonly S2AP: number;
  /** XN[1:0], bits [54:53]. */
  readonly XN: number;
  readonly MemAttr: number;
}

const PAGE_BITS: Readonly<Record<GranuleKiB, number>> = { 4: 12, 16: 14, 64: 16 };

const field = (value: bigint, hi: number, lo: number): bigint =>
  (value >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
const bit = (value: bigint, at: number): boolean => field(value, at, at) === 1n;
const alignDown = (value: bigint, size: bigint): bigint => value - (value % size);

/** What is common to both stages: geometry of the tables and how a descriptor is read. */
interface Geometry {
  readonly granule: GranuleKiB;
  readonly inputBits: number;
  readonly startLevel: number;
  readonly base: bigint;
  readonly outputBits: number;
  readonly DS: boolean;
  readonly LPA: boolean;
}

/** Lowest input bit that an index at `level` uses: what a block at that level covers, as a power of two. */
function shiftAt(granule: GranuleKiB, level: number): number {
  const pageBits = PAGE_BITS[granule];
  return pageBits + (3 - level) * (pageBits - 3);
}

/** D8.2: the level at which 64 - TxSZ input bits are first resolved, without concatenation. */
export function startLevelOf(granule: GranuleKiB, inputBits: number): number {
  const pageBits = PAGE_BITS[granule];
  return 4 - Math.ceil((inputBits - pageBits) / (pageBits - 3));
}

/** D8.2.4: STE.S2SL0 to start level, for each granule. */
export function stage2StartLevel(granule: GranuleKiB, SL0: number, SL0_2: boolean): number {
  if (granule === 4) return SL0_2 ? -1 : ([2, 1, 0, 3] as const)[SL0]!;
  return ([3, 2, 1, 0] as const)[SL0]!;
}

/** D8.3: levels at which a block descriptor is allowed. */
function blockAllowed(geometry: Geometry, level: number): boolean {
  switch (geometry.granule) {
    case 4:
      return level === 1 || level === 2 || (level === 0 && geometry.DS);
    case 16:
      return level === 2 || (level === 1 && geometry.DS);
    case 64:
      return level === 2 || (level === 1 && geometry.LPA);
  }
}

/** D8.3: the address in a descriptor; the bits above 47 lie elsewhere for 52-bit formats. */
function addressIn(geometry: Geometry, value: bigint, lowBit: number): bigint {
  if (geometry.granule === 64) {
    const high = geometry.LPA ? field(value, 15, 12) << 48n : 0n;
    return high | (field(value, 47, lowBit) << BigInt(lowBit));
  }
  if (geometry.DS) return (field(value, 9, 8) << 50n) | (field(value, 49, lowBit) << BigInt(lowBit));
  return field(value, 47, lowBit) << BigInt(lowBit);
}

type RawLeaf = { level: number; value: bigint; address: bigint; output: bigint; shift: number };
type RawResult = { leaf: RawLeaf; visited: Visit[] } | { fault: FaultType; level: number };

/**
 * The loop of D8.2. `read` may itself fail with a fault of another stage, which it keeps to itself and reports
 * as undefined here.
 */
function descend(
  geometry: Geometry,
  input: bigint,
  read: (address: bigint, level: number) => bigint | undefined,
  onTable: (value: bigint, address: bigint) => void,
): RawResult {
  const { granule, inputBits, startLevel, outputBits } = geometry;
  const visited: Visit[] = [];
  const startEntries = 1n << BigInt(inputBits - shiftAt(granule, startLevel));
  const minimum = outputBits >= 52 ? 64n : 8n;
  const startBytes = startEntries * 8n;
  let table = alignDown(geometry.base, startBytes > minimum ? startBytes : minimum);
  for (let level = startLevel; ; level++) {
    const shift = shiftAt(granule, level);
    const top = level === startLevel ? inputBits - 1 : shiftAt(granule, level - 1) - 1;
    const address = table + field(input, top, shift) * 8n;
    const value = read(address, level);
    if (value === undefined) return { fault: 'external-abort', level };
    visited.push({ level, address, value });
    if (!bit(value, 0)) return { fault: 'translation', level };
    const isTable = bit(value, 1) && level < 3;
    if (!isTable) {
      // At level 3 bit 1 must be set; above it, a block must be allowed.
      if (level === 3 ? !bit(value, 1) : !blockAllowed(geometry, level))
        return { fault: 'translation', level };
      const base = addressIn(geometry, value, shift);
      if (base >> BigInt(outputBits) !== 0n) return { fault: 'address-size', level };
      const output = base | field(input, shift - 1, 0);
      return { leaf: { level, value, address, output, shift }, visited };
    }
    table = addressIn(geometry, value, PAGE_BITS[granule]);
    if (table >> BigInt(outputBits) !== 0n) return { fault: 'address-size', level };
    onTable(value, address);
  }
}

function leafOf(raw: RawLeaf, visited: Visit[], DS: boolean, clean: boolean): Leaf {
  return {
    kind: 'ok',
    output: raw.output,
    level: raw.level,
    descriptor: raw.value,
    descriptorAddress: raw.address,
    sizeBytes: 1n << BigInt(raw.shift),
    contiguous: bit(raw.value, 52),
    AF: bit(raw.value, 10),
    clean,
    // With DS bits [9:8] are address bits; shareability comes from the CD or STE.
    SH: DS ? 0 : Number(field(raw.value, 9, 8)),
    visited,
  };
}

/** D8.5.2: DBM gives the dirty state of a leaf into the hands of hardware. */
function isCandidate(updates: HardwareUpdates | undefined, value: bigint): boolean {
  return updates?.HA === true && updates.HD && bit(value, 51);
}

/** Which half of the address space a VA lies in, or undefined where it lies in neither. */
function rangeOf(params: Stage1Params): 0 | 1 | undefined {
  const upper = !params.singleRange && bit(params.va, 55);
  const TSZ = upper ? params.T1SZ : params.T0SZ;
  if (TSZ === undefined) return undefined;
  const ignoreTop = upper ? params.TBI1 : params.TBI0;
  const hi = ignoreTop ? 55 : 63;
  const lo = 64 - TSZ;
  const above = hi < lo ? 0n : field(params.va, hi, lo);
  const expected = upper && hi >= lo ? (1n << BigInt(hi - lo + 1)) - 1n : 0n;
  return above === expected ? (upper ? 1 : 0) : undefined;
}

/** Translates a VA by stage 1. */
export function walkStage1(params: Stage1Params, readDescriptor: ReadDescriptor): Stage1Leaf | Fault {
  const fault = (type: FaultType, level: number): Fault => ({
    kind: 'fault',
    stage: 1,
    type,
    level,
    input: params.va,
  });
  const range = rangeOf(params);
  if (range === undefined || (range === 0 ? params.EPD0 : params.EPD1)) return fault('translation', 0);
  const granule = (range === 0 ? params.TG0 : params.TG1) ?? 4;
  const inputBits = 64 - (range === 0 ? params.T0SZ! : params.T1SZ!);
  const hierarchyOff = (range === 0 ? params.HAD0 : params.HAD1) === true;
  const geometry: Geometry = {
    granule,
    inputBits,
    startLevel: startLevelOf(granule, inputBits),
    base: (range === 0 ? params.TTB0 : params.TTB1) ?? 0n,
    outputBits: params.outputBits,
    DS: params.DS === true && granule !== 64,
    LPA: params.LPA ?? params.outputBits >= 52,
  };
  let ns = params.ns ?? true;
  let APTable = 0;
  let UXNTable = false;
  let PXNTable = false;
  const result = descend(
    geometry,
    field(params.va, inputBits - 1, 0),
    (address) => readDescriptor(address, ns),
    (value, address) => {
      params.updates?.onTable?.(address, value);
      ns = ns || bit(value, 63); // NSTable is no permission: HADx does not turn it off.
      if (hierarchyOff) return;
      APTable |= Number(field(value, 62, 61));
      UXNTable = UXNTable || bit(value, 60);
      PXNTable = PXNTable || bit(value, 59);
    },
  );
  if ('fault' in result) return fault(result.fault, result.level);
  const { value, level } = result.leaf;
  if (!bit(value, 10) && !params.AFFD && !params.updates?.HA) return fault('access-flag', level);
  let AP = Number(field(value, 7, 6));
  const clean = isCandidate(params.updates, value) && (AP & 2) !== 0 && (APTable & 2) === 0;
  if (clean) AP &= ~2;
  if (APTable & 1) AP &= ~1; // no unprivileged access
  if (APTable & 2) AP |= 2; // no write
  return {
    ...leafOf(result.leaf, result.visited, geometry.DS, clean),
    stage: 1,
    range,
    AP,
    UXN: bit(value, 54) || UXNTable,
    PXN: bit(value, 53) || PXNTable,
    // Entries from Non-secure tables of a Secure regime are never global (D8.5).
    nG: bit(value, 11) || (ns && params.ns === false),
    NS: ns || bit(value, 5),
    AttrIndx: Number(field(value, 4, 2)),
  };
}

/** Translates an IPA by stage 2. */
export function walkStage2(params: Stage2Params, readDescriptor: ReadDescriptor): Stage2Leaf | Fault {
  const fault = (type: FaultType, level: number): Fault => ({
    kind: 'fault',
    stage: 2,
    type,
    level,
    input: params.ipa,
  });
  const inputBits = 64 - params.S2T0SZ;
  const startLevel = stage2StartLevel(params.S2TG, params.S2SL0, params.S2SL0_2 === true);
  if (params.ipa >> BigInt(inputBits) !== 0n) return fault('translation', 0);
  const geometry: Geometry = {
    granule: params.S2TG,
    inputBits,
    startLevel,
    base: params.S2TTB,
    outputBits: params.outputBits,
    DS: params.DS === true && params.S2TG !== 64,
    LPA: params.LPA ?? params.outputBits >= 52,
  };
  const result = descend(
    geometry,
    params.ipa,
    (address) => readDescriptor(address, true),
    (value, address) => params.updates?.onTable?.(address, value),
  );
  if ('fault' in result) return fault(result.fault, result.level);
  const { value, level } = result.leaf;
  if (!bit(value, 10) && !params.AFFD && !params.updates?.HA) return fault('access-flag', level);
  const clean = isCandidate(params.updates, value) && !bit(value, 7);
  return {
    ...leafOf(result.leaf, result.visited, geometry.DS, clean),
    stage: 2,
    S2AP: Number(field(value, 7, 6)) | (clean ? 2 : 0),
    XN: Number(field(value, 54, 53)),
    MemAttr: Number(field(value, 5, 2)),
  };
}

export interface NestedLeaf {
  readonly kind: 'ok';
  readonly output: bigint;
  readonly stage1: Stage1Leaf;
  readonly stage2: Stage2Leaf;
}

/** Translates a VA by stage 1 with every table address, and then the result, translated by stage 2. */
export function walkNested(
  stage1: Stage1Params,
  stage2: Omit<Stage2Params, 'ipa'>,
  readDescriptor: ReadDescriptor,
): NestedLeaf | Fault {
  let inner: Fault | undefined;
  const first = walkStage1(stage1, (ipa, ns) => {
    const table = walkStage2({ ...stage2, ipa }, readDescriptor);
    if (table.kind === 'ok') return readDescriptor(table.output, ns);
    inner = { ...table, class: 'TT' };
    return undefined;
  });
  if (inner !== undefined) return inner;
  if (first.kind === 'fault') return first;
  const second = walkStage2({ ...stage2, ipa: first.output }, readDescriptor);
  if (second.kind === 'fault') return { ...second, class: 'IN' };
  return { kind: 'ok', output: second.output, stage1: first, stage2: second };
}

export interface Access {
  readonly write?: boolean;
  readonly privileged?: boolean;
  readonly instruction?: boolean;
}

export interface Stage1Controls {
  readonly WXN?: boolean;
  readonly PAN?: boolean;
  /** StreamWorlds EL2 and EL3 know one privilege level: AP[1] is ignored and XN is bit 54. */
  readonly singlePrivilege?: boolean;
}

/** D8.4: whether stage 1 permits an access. An instruction access needs execute permission only. */
export function stage1Permits(leaf: Stage1Leaf, access: Access, controls: Stage1Controls = {}): boolean {
  const readOnly = (leaf.AP & 2) !== 0;
  const userAccess = (leaf.AP & 1) !== 0;
  if (controls.singlePrivilege) {
    if (access.instruction) return !leaf.UXN && !(controls.WXN && !readOnly);
    return !(access.write && readOnly);
  }
  const userWrite = userAccess && !readOnly;
  if (access.instruction) {
    // What unprivileged accesses may write, privileged ones never execute.
    if (access.privileged) return !leaf.PXN && !userWrite && !(controls.WXN && !readOnly);
    return !leaf.UXN && !(controls.WXN && userWrite);
  }
  if (access.write && readOnly) return false;
  if (access.privileged) return !(controls.PAN && userAccess);
  return userAccess;
}

/** D8.4: whether stage 2 permits an access. `XNX` tells whether bit 53 has a meaning. */
export function stage2Permits(leaf: Stage2Leaf, access: Access, XNX = false): boolean {
  if (access.instruction) {
    if ((leaf.S2AP & 1) === 0) return false;
    if (!XNX) return (leaf.XN & 2) === 0;
    return access.privileged ? leaf.XN === 0 || leaf.XN === 3 : leaf.XN === 0 || leaf.XN === 1;
  }
  return access.write ? (leaf.S2AP & 2) !== 0 : (leaf.S2AP & 1) !== 0;
}
