/**
 * Which TLBI commands carry out an invalidation (IHI 0070 4.4): by address, with level hints and by range where
 * IDR3.RIL is there, or everything of an ASID or VMID where that is fewer commands.
 */
import {
  type CommandWords,
  type TlbiAddress,
  tlbiNHASID,
  tlbiNHVA,
  tlbiS2IPA,
  tlbiS12VMAll,
} from './commands.js';
import {
  entryBits,
  GRANULE_BITS,
  type Granule,
  type Invalidation,
  type LeafRange,
  type TableFormat,
} from './page-tables.js';

export interface TlbTags {
  readonly VMID: number;
  readonly ASID: number;
}

/** More commands than this, and the whole ASID or VMID is invalidated instead. */
const MAX_COMMANDS = 512;

/** 4.4.1.1: TG encodings, which differ from those of a CD. */
const TG: Readonly<Record<Granule, number>> = { '4KiB': 1, '16KiB': 2, '64KiB': 3 };

/** NUM has five bits. */
const MAX_MULTIPLIER = 32;

/** Without RIL: one command for each leaf. */
function byLeaf(range: LeafRange, granule: Granule, leaf: boolean): TlbiAddress[] {
  const step = 2 ** entryBits(granule, range.level);
  const count = Math.min(range.sizeBytes / step, MAX_COMMANDS + 1);
  return Array.from({ length: count }, (_, i) => ({ address: BigInt(range.start + i * step), leaf }));
}

/**
 * With RIL: a run of granules is a sum of (NUM + 1) * 2^SCALE. The level hint keeps the combination
 * NUM == SCALE == TTL == 0 away, which is CERROR_ILL.
 */
function byRange(range: LeafRange, granule: Granule, leaf: boolean): TlbiAddress[] {
  const granuleBytes = 2 ** GRANULE_BITS[granule];
  const commands: TlbiAddress[] = [];
  let address = range.start;
  for (let rest = range.sizeBytes / granuleBytes; rest > 0; ) {
    let SCALE = 0;
    // The trailing zeros of what is left go into SCALE, then as many bits as NUM holds: an odd number.
    for (let units = rest; units % 2 === 0; units /= 2) SCALE++;
    const multiplier = (rest / 2 ** SCALE) % MAX_MULTIPLIER;
    const taken = multiplier * 2 ** SCALE;
    const fields = { TG: TG[granule], TTL: range.level, NUM: multiplier - 1, SCALE };
    commands.push({ address: BigInt(address), leaf, range: fields });
    address += taken * granuleBytes;
    rest -= taken;
  }
  return commands;
}

/**
 * @returns commands that still need a CMD_SYNC behind them.
 */
export function invalidationCommands(
  invalidation: Invalidation,
  format: TableFormat,
  tags: TlbTags,
  rangeInvalidation: boolean,
): CommandWords[] {
  // Pointers to tables that went may be cached as well: then not only the last level is invalidated.
  const leaf = invalidation.tables.length === 0;
  const addresses = invalidation.ranges.flatMap((range) =>
    rangeInvalidation ? byRange(range, format.granule, leaf) : byLeaf(range, format.granule, leaf),
  );
  if (addresses.length > MAX_COMMANDS) {
    return [format.stage === 1 ? tlbiNHASID(tags.VMID, tags.ASID) : tlbiS12VMAll(tags.VMID)];
  }
  return addresses.map((at) =>
    format.stage === 1 ? tlbiNHVA(tags.VMID, tags.ASID, at) : tlbiS2IPA(tags.VMID, at),
  );
}
