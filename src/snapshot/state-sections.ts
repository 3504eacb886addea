/** What is in each section but memory: the plain data of the state, declared field by field. */
import { BOUNDARY_BYTES, type DmaCounters, type MasterState } from '../devices/dma-master.js';
import type { MachineSource } from '../machine/types.js';
import type { DeviceState } from '../runtime/machine-state.js';
import type { TranslationCounts } from '../runtime/threads/lane-tbu.js';
import type { MappedOnFault, PlacedMapping, SoftwareState } from '../runtime/threads/software-thread.js';
import type { StalledAccess } from '../runtime/threads/stall-watch.js';
import type { IdRegisters } from '../smmu/config.js';
import { STALL_TABLE_WORDS } from '../smmu/stalls.js';
import type { CachedStream, ConfigCacheState } from '../smmu/tbu/config-cache.js';
import type { TbuCounters, TbuState } from '../smmu/tbu/tbu-state.js';
import type { TlbState } from '../smmu/tbu/tlb-entry.js';
import type { EventQueuePosition } from '../software/event-queue.js';
import { bank } from './bank-section.js';
import {
  bytes,
  type Codec,
  count,
  duration,
  flag,
  hex,
  index,
  integer,
  list,
  mapped,
  oneOf,
  optional,
  record,
  struct,
  text,
  uint32,
  words,
} from './codec.js';

/** Room for what a machine of this simulator can need; a limit for what a reader allocates. */
const CACHE_ENTRIES_MAX = 0x40_0000;
const TLB_WORDS_MAX = 0x300_0000;
const CDS_MAX = 0x10_0000;
const STEPS_MAX = 0x10_0000;
const NAME_MAX = 1024;
const SOURCE_MAX = 0x400_0000;

const security = oneOf(0, 1);
/** State of a pseudo-random sequence, whatever its sign. */
const dice = integer(-0x8000_0000, 0xffff_ffff);
/** STAGs, SubstreamIDs and failures: -1 says that there is none. */
const signed = integer(-1, 0x7fff_ffff);

export const machineSection: Codec<MachineSource> = record<MachineSource>({
  text: text(SOURCE_MAX),
  fileName: text(NAME_MAX),
  overrides: record<MachineSource['overrides']>({
    global: optional(list(text(NAME_MAX), NAME_MAX)),
    set: optional(list(text(NAME_MAX), NAME_MAX)),
  }),
});

const idr = record<IdRegisters>({
  IDR0: uint32,
  IDR1: uint32,
  IDR3: uint32,
  IDR5: uint32,
  IIDR: uint32,
  AIDR: uint32,
  S_IDR0: uint32,
  S_IDR1: uint32,
});

/** An SMMU without its Secure bank. */
export interface SmmuSection {
  readonly idr: IdRegisters;
  readonly bank: ReturnType<(typeof bank)['decode']>;
  readonly invalidating: boolean;
  readonly stalls: Int32Array;
}

export const smmuSection: Codec<SmmuSection> = record<SmmuSection>({
  idr,
  bank,
  invalidating: flag,
  stalls: words(STALL_TABLE_WORDS),
});

export const secureBankSection = record<{ bank: SmmuSection['bank'] }>({ bank });

const counters = record<TbuCounters>({
  transactions: count,
  hits: count,
  misses: count,
  walks: count,
  descriptorReads: count,
  configFetches: count,
  events: count,
  aborts: count,
  stalls: count,
});

const tlb = record<TlbState>({
  entries: words(TLB_WORDS_MAX),
  free: list(index, CACHE_ENTRIES_MAX),
  order: list(index, CACHE_ENTRIES_MAX),
  dice,
});

const stream = record<CachedStream>({
  StreamID: uint32,
  security,
  ste: optional(words(16)),
  failure: signed,
  e2h: flag,
  substreams: list(
    record<CachedStream['substreams'][number]>({
      SubstreamID: signed,
      cd: optional(words(16)),
      isIllegal: flag,
    }),
    CDS_MAX,
  ),
  l1cds: list(record<CachedStream['l1cds'][number]>({ index, valid: flag, l2Ptr: count }), CDS_MAX),
});

const config = record<ConfigCacheState>({
  streams: list(stream, CACHE_ENTRIES_MAX),
  l1stds: list(
    record<ConfigCacheState['l1stds'][number]>({
      index,
      security,
      split: uint32,
      span: uint32,
      l2Ptr: count,
    }),
    CACHE_ENTRIES_MAX,
  ),
  dice,
});

const tbu = record<TbuState>({
  counters,
  nextStag: index,
  caches: optional(
    record<NonNullable<TbuState['caches']>>({ tlb, config, regimes: list(count, CACHE_ENTRIES_MAX) }),
  ),
});

/** A TBU stands in a DMA thread. */
export interface TbuSection {
  readonly lane: number;
  readonly tbu: TbuState;
}

export const tbuSection: Codec<TbuSection> = record<TbuSection>({ lane: index, tbu });

const master = record<MasterState>({
  step: index,
  pass: count,
  doneBytes: count,
  held: bytes(BOUNDARY_BYTES),
  stalled: flag,
  counters: list(
    record<DmaCounters>({ accesses: count, bytes: count, aborts: count, mismatches: count }),
    STEPS_MAX,
  ),
});

/** JSON has no undefined: a list of what is there, with its places. */
const sparse: Codec<readonly (bigint | undefined)[]> = mapped(
  record<{ length: number; present: readonly { at: number; iova: bigint }[] }>({
    length: integer(0, STEPS_MAX),
    present: list(record<{ at: number; iova: bigint }>({ at: integer(0, STEPS_MAX), iova: hex }), STEPS_MAX),
  }),
  (values) => ({
    length: values.length,
    present: values.flatMap((iova, at) => (iova === undefined ? [] : [{ at, iova }])),
  }),
  ({ length, present }) => {
    const values = new Array<bigint | undefined>(length).fill(undefined);
    for (const { at, iova } of present) if (at < length) values[at] = iova;
    return values;
  },
);

const device = record<DeviceState>({
  device: index,
  master,
  failedAt: sparse,
  stalled: optional(record({ iova: hex, stag: signed })),
  abandoned: optional(record<StalledAccess>({ step: index, iova: hex, waitedMs: duration })),
  translation: record<TranslationCounts>({ hits: count, misses: count, walks: count, events: count }),
  accesses: count,
});

/** Each DMA thread's devices. */
export const devicesSection = record<{ lanes: readonly (readonly DeviceState[])[] }>({
  lanes: list(list(device, STEPS_MAX), 1024),
});

const mapping = record<PlacedMapping>({
  context: text(NAME_MAX),
  iova: hex,
  sizeBytes: count,
  pa: count,
  space: security,
  access: oneOf('rw', 'r', 'w'),
  smmu: index,
  security,
});

type SoftwareInterface = SoftwareState['interfaces'][number];

export const softwareSection: Codec<SoftwareState> = record<SoftwareState>({
  mappings: list(mapping, STEPS_MAX),
  mappedOnFault: list(
    record<MappedOnFault>({ smmu: index, security, StreamID: uint32, iova: hex }),
    CACHE_ENTRIES_MAX,
  ),
  interfaces: list(
    record<SoftwareInterface>({
      smmu: index,
      security,
      commands: uint32,
      events: struct('event queue', 1, record<EventQueuePosition>({ cons: uint32, acknowledged: uint32 })),
      overflowed: flag,
      counts: list(
        record<SoftwareInterface['counts'][number]>({ words: list(uint32, 8), count, retried: flag }),
        CACHE_ENTRIES_MAX,
      ),
    }),
    1024,
  ),
});
