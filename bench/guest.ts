/**
 * The guest of the benchmarks: 1 GiB of memory with a Stream table, CDs and translation tables, and an SMMU
 * programmed to use them. The C kernels read the same tables from a copy of the memory.
 *
 * 65,536 pages of 4 KiB in shuffled order, scattered over 768 MiB. Dense: in 256 MiB of input addresses, 0.5 MiB of tables.
 * Sparse: over 64 GiB, 111 MiB of tables, so that a walk waits for memory. Stage 2 maps everything onto itself by pages.
 */
import { encode, type Words } from '../src/arch/layout.js';
import { BANKS } from '../src/arch/registers.js';
import { NON_SECURE } from '../src/arch/security.js';
import { CD, STE } from '../src/arch/structures.js';
import { loadMachine } from '../src/machine/load.js';
import type { Machine } from '../src/machine/types.js';
import type { PhysicalAddressSpace } from '../src/memory/address-space.js';
import type { SmmuPort } from '../src/software/port.js';

export const RAM_BASE = 0x4000_0000;
export const RAM_BYTES = 0x4000_0000;
export const PAGES = 65_536;
/** Accesses of one pass over a list. */
export const ACCESSES = 65_536;
/** Streams of each kind: devices that take turns. */
export const STREAMS_PER_KIND = 16;

/** What a stream's configuration translates; the StreamIDs of each kind begin at a multiple of 16, in this order. */
export const KINDS = ['stage 1', 'stage 1 sparse', 'stage 2', 'nested', 'nested sparse'] as const;
export type Kind = (typeof KINDS)[number];

export const COMMAND_QUEUE = RAM_BASE;
const EVENT_QUEUE = RAM_BASE + 0x1_0000;
const STREAM_TABLE = RAM_BASE + 0x4_0000;
const CDS = RAM_BASE + 0x5_0000;
const TABLES = RAM_BASE + 0x10_0000;
const DATA = RAM_BASE + 0x1000_0000;
const DATA_PAGES = 196_608;
const LOG2_STREAMS = 8;
export const LOG2_COMMANDS = 8;
export const LOG2_EVENTS = 11;

/** SMMUEN, EVENTQEN, CMDQEN (6.3.9). */
const CR0_ENABLE = 0xd;
/** 6.3.12. */
const CR2_RECINVSID = 2;

const VA_BASE = 0x7f00_0000_0000;
const SPARSE_PAGES = 2 ** 24;
const INPUT_BITS = 48;
const OAS_BITS = 44;
const OAS_44 = 4;
const TWO_32 = 2 ** 32;

/** Places that a page moves between in the invalidation test: a power of two, as many as fit the data pages. */
export const GENERATIONS = 4;

// Leaves (DDI 0487 D8.3): AF, inner shareable, readable and writable at any privilege, nG; stage 2 with Normal memory.
const STAGE1_LEAF = 0xf43;
const STAGE2_LEAF = 0x7ff;

/** A machine as a file describes it, all defaults: what is measured is what users get. */
export function benchMachine(smmus = 1, properties = ''): Machine {
  const roots = Array.from({ length: smmus }, (_, index) => index);
  const text = `
machine: bench
memory: [{ id: ram, base: 0x40000000, size: 1GiB }]
buses:
${roots.map((i) => `  - { id: pcie.${i}, type: ${i === 0 ? 'pcie' : 'pxb-pcie'}, bus-nr: ${i * 2} }`).join('\n')}
smmus:
${roots.map((i) => `  - { id: smmu${i}, base: ${0x900_0000 + i * 0x2_0000}, primary-bus: pcie.${i}, stage: nested, oas: ${OAS_BITS}${properties} }`).join('\n')}
devices:
${roots.map((i) => `  - { id: nic${i}, type: dma-engine, bus: pcie.${i}, addr: "02.0" }`).join('\n')}
`;
  const { machine, diagnostics } = loadMachine(text, 'bench.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

/**
 * A list of accesses: StreamIDs, numbers of the pages, and input addresses by halves. A class, because of an object literal the
 * second instance makes the engine compile anew, and worse, what has read the first one's fields.
 */
export class AccessList {
  readonly pages = new Int32Array(ACCESSES);
  readonly streams = new Int32Array(ACCESSES);
  readonly lo = new Int32Array(ACCESSES);
  readonly hi = new Int32Array(ACCESSES);
}

/** xorshift32: the same lists in every run. */
class Random {
  #state = 0x2545_f491;

  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  shuffle(values: Uint32Array): Uint32Array {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const value = values[i]!;
      values[i] = values[j]!;
      values[j] = value;
    }
    return values;
  }
}

const sequence = (length: number) => Uint32Array.from({ length }, (_, index) => index);

export class Guest {
  /** First address above everything that the guest's structures take. */
  end = TABLES;
  readonly #space: PhysicalAddressSpace;
  readonly #random = new Random();
  readonly #words = new Int32Array(2);
  /** Physical page of each of the 65,536 pages. */
  readonly #pages: Uint32Array;
  /** Input pages by kind, relative to VA_BASE; for stage 2 they are IPAs / 4096. */
  readonly #inputs = new Map<Kind, Uint32Array>();
  readonly #roots = new Map<Kind, { stage1: number; stage2: number }>();
  #leafTable = 0;
  #leafTableOf = -1;

  /** Writes tables and structures. */
  constructor(space: PhysicalAddressSpace) {
    this.#space = space;
    this.#pages = this.#random.shuffle(sequence(DATA_PAGES)).slice(0, PAGES);
    const dense = this.#stage1(sequence(PAGES));
    const sparse = this.#stage1(this.#sparseInputs());
    const stage2 = this.#stage2();
    const denseInputs = sequence(PAGES);
    const physical = this.#pages.map((page) => DATA / 4096 + page);
    this.#define('stage 1', denseInputs, dense, 0);
    this.#define('stage 1 sparse', this.#sparse, sparse, 0);
    this.#define('stage 2', physical, 0, stage2);
    this.#define('nested', denseInputs, dense, stage2);
    this.#define('nested sparse', this.#sparse, sparse, stage2);
  }

  /** For the C kernels: tables of each stream. */
  streams(): { StreamID: number; stage1: number; stage2: number }[] {
    return KINDS.flatMap((kind) =>
      Array.from({ length: STREAMS_PER_KIND }, (_, i) => ({
        StreamID: firstStream(kind) + i,
        ...this.#roots.get(kind)!,
      })),
    );
  }

  /**
   * Random accesses to `pages` of the pages, by all streams of a kind in random order; all 65,536 are each accessed once.
   * @param unmapped input addresses that no table maps instead.
   */
  accesses(kind: Kind, pages: number, unmapped = false): AccessList {
    const random = new Random();
    const inputs = this.#inputs.get(kind)!;
    const order = pages === PAGES ? random.shuffle(sequence(PAGES)) : undefined;
    const list = new AccessList();
    for (let i = 0; i < ACCESSES; i++) {
      const page = order === undefined ? random.below(pages) : order[i]!;
      const base = kind === 'stage 2' ? 0 : VA_BASE - (unmapped ? 2 ** 40 : 0);
      const va = base + inputs[page]! * 4096;
      list.pages[i] = page;
      list.streams[i] = firstStream(kind) + random.below(STREAMS_PER_KIND);
      list.lo[i] = va;
      list.hi[i] = va / TWO_32;
    }
    return list;
  }

  /** Enables an SMMU with the guest's structures. */
  static program(port: SmmuPort): void {
    const at = BANKS[NON_SECURE];
    port.write64(at.STRTAB_BASE.offset, BigInt(STREAM_TABLE));
    port.write32(at.STRTAB_BASE_CFG.offset, LOG2_STREAMS);
    port.write64(at.CMDQ_BASE.offset, BigInt(COMMAND_QUEUE + LOG2_COMMANDS));
    port.write64(at.EVENTQ_BASE.offset, BigInt(EVENT_QUEUE + LOG2_EVENTS));
    port.write32(at.CR2.offset, CR2_RECINVSID);
    port.write32(at.CR0.offset, CR0_ENABLE);
    while (port.read32(at.CR0ACK.offset) !== CR0_ENABLE) port.relax();
  }

  /** Physical address of the descriptor of a page of the dense tables. */
  leafAddress(page: number): number {
    let table = this.#roots.get('stage 1')!.stage1;
    for (let level = 0; level < 3; level++) table = this.#read(entry(table, VA_BASE + page * 4096, level));
    return entry(table, VA_BASE + page * 4096, 3);
  }

  static dataPage(index: number): number {
    return DATA + index * 4096;
  }

  /** The number of the data page that an address is in. */
  static dataIndex(pa: number): number {
    return Math.floor((pa - DATA) / 4096);
  }

  /** Points a page somewhere else, with one 64-bit store. */
  static remap(space: PhysicalAddressSpace, descriptor: number, pa: number): void {
    const value = pa + STAGE1_LEAF;
    space.store(descriptor, value | 0, (value / TWO_32) | 0);
  }

  #define(kind: Kind, inputs: Uint32Array, stage1: number, stage2: number): void {
    this.#inputs.set(kind, inputs);
    this.#roots.set(kind, { stage1, stage2 });
    const index = KINDS.indexOf(kind);
    const cd = CDS + index * 64;
    if (stage1 !== 0) this.#store(cd, encode(CD, cdFields(stage1, index + 1)));
    const ste = encode(STE, {
      V: 1,
      Config: 4 + (stage1 === 0 ? 0 : 1) + (stage2 === 0 ? 0 : 2),
      S1ContextPtr: stage1 === 0 ? 0 : BigInt(cd) >> 6n,
      SHCFG: 1,
      ...(stage2 === 0 ? {} : stage2Fields(stage2, index + 1)),
    });
    for (let i = 0; i < STREAMS_PER_KIND; i++) this.#store(STREAM_TABLE + (firstStream(kind) + i) * 64, ste);
  }

  #sparse = new Uint32Array(0);

  #sparseInputs(): Uint32Array {
    const chosen = new Set<number>();
    while (chosen.size < PAGES) chosen.add(this.#random.below(SPARSE_PAGES));
    this.#sparse = Uint32Array.from(chosen);
    return this.#sparse;
  }

  #stage1(inputs: Uint32Array): number {
    const root = this.#allocateTable();
    for (let i = 0; i < PAGES; i++) {
      this.#map(root, VA_BASE + inputs[i]! * 4096, DATA + this.#pages[i]! * 4096 + STAGE1_LEAF);
    }
    return root;
  }

  #stage2(): number {
    const root = this.#allocateTable();
    for (let pa = RAM_BASE; pa < RAM_BASE + RAM_BYTES; pa += 4096) this.#map(root, pa, pa + STAGE2_LEAF);
    return root;
  }

  #map(root: number, input: number, leaf: number): void {
    const block = Math.floor(input / 2 ** 21) + root * 2 ** 20;
    if (block !== this.#leafTableOf) {
      let table = root;
      for (let level = 0; level < 3; level++) {
        const at = entry(table, input, level);
        table = this.#read(at);
        if (table !== 0) continue;
        table = this.#allocateTable();
        this.#write(at, table + 3);
      }
      this.#leafTable = table;
      this.#leafTableOf = block;
    }
    this.#write(entry(this.#leafTable, input, 3), leaf);
  }

  #allocateTable(): number {
    const table = this.end;
    this.end += 4096;
    if (this.end > DATA) throw new Error('the tables of the bench do not fit');
    return table;
  }

  /** Output address of a descriptor; 0 when it is not there. */
  #read(at: number): number {
    this.#space.load(at, this.#words, 1);
    return this.#words[1]! * TWO_32 + ((this.#words[0]! & ~0xfff) >>> 0);
  }

  #write(at: number, descriptor: number): void {
    this.#space.store(at, descriptor | 0, (descriptor / TWO_32) | 0);
  }

  #store(at: number, words: Words): void {
    for (let i = 0; i < words.length; i += 2) this.#space.store(at + 4 * i, words[i]! | 0, words[i + 1]! | 0);
  }
}

export function firstStream(kind: Kind): number {
  return KINDS.indexOf(kind) * STREAMS_PER_KIND;
}

/** Address of the descriptor of a level, 4 KiB granule. */
function entry(table: number, input: number, level: number): number {
  return table + (Math.floor(input / 2 ** (39 - 9 * level)) % 512) * 8;
}

/** CD.AA64, R, A, ASET: faults abort and are recorded. */
function cdFields(table: number, ASID: number): Record<string, number | bigint> {
  return {
    V: 1,
    AA64: 1,
    T0SZ: 64 - INPUT_BITS,
    IR0: 1,
    OR0: 1,
    SH0: 3,
    EPD1: 1,
    IPS: OAS_44,
    R: 1,
    A: 1,
    ASET: 1,
    ASID,
    TTB0: BigInt(table) >> 4n,
    MAIR0: 0x4ff,
  };
}

/** Stage 2 with 44 bits of IPA, walked from level 0. */
function stage2Fields(table: number, VMID: number): Record<string, number | bigint> {
  return {
    S2VMID: VMID,
    S2T0SZ: 64 - OAS_BITS,
    S2SL0: 2,
    S2IR0: 1,
    S2OR0: 1,
    S2SH0: 3,
    S2PS: OAS_44,
    S2AA64: 1,
    S2R: 1,
    S2TTB: BigInt(table) >> 4n,
  };
}
