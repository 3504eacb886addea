/**
 * The TBU's kernel (translate.as.ts) as the TBU calls it: it looks up, walks and fills in one go where all of a translation
 * is plain, and says so where it is not. What is plain is decided here, once for each stream's context: Non-secure VMSAv8-64
 * tables in the memory that the kernel works in, without hardware updates. A miss costs about a third so.
 */
import {
  DESC_AP1,
  DESC_AP2,
  DESC_PXN,
  DESC_S2AP_R,
  DESC_S2AP_W,
  DESC_UXN,
} from '../../arch/descriptor-masks.js';
import { NON_SECURE, type SecurityState } from '../../arch/security.js';
import type { MemoryWindow, PhysicalAddressSpace, Refusals } from '../../memory/address-space.js';
import type { Workspace } from '../../memory/guest-memory.js';
import { InjectedFaults } from '../../memory/injected-faults.js';
import { compileKernel, instantiate, type KernelModule, type WasmMemory } from '../../memory/kernel.js';
import { stage1Word, stage2Word } from './attributes.js';
import { DirectStream, type Move, type StreamKey } from './direct-stream.js';
import { FirstLevel } from './first-level.js';
import {
  CONTEXT_ASET,
  CONTEXT_ASID,
  CONTEXT_VMID,
  CONTEXT_WORDS,
  FIRST_BYTES,
  FIRST_STREAMS,
  GLOBAL,
  HALVES,
  MAIR,
  NESTED,
  NOT_PLAIN,
  REGIME_NUMBER,
  SHAPE_AF_FAULTS,
  SHAPE_E0PD,
  SHAPE_HIERARCHICAL,
  SHAPE_TBI,
  STAGE_1_ON,
  STAGE1_ATTRIBUTES,
  STAGE1_PERMISSIONS,
  STAGE2_ATTRIBUTES,
  STAGE2_PERMISSIONS,
  TABLE_BASE,
  TABLE_FIRST,
  TABLE_OUTPUT_LIMIT,
  TABLE_SHAPE,
  TABLE_WALK_LIMIT,
  TABLE_WORDS,
  TABLES,
  TAG_GLOBAL,
  WINDOW_BYTES,
  WINDOW_DELTA,
  WINDOW_START,
  WORLD,
} from './kernel-layout.js';
import { stage1Permissions, stage2Permissions } from './permission.js';
import type { StreamContext } from './stream-context.js';
import type { TranslationTable } from './table.js';
import { tlbWords } from './tlb.js';
import { TRANSLATE_BASE64 } from './translate.generated.js';

interface Exports {
  translate(tlb: number, context: number, inputLo: number, inputHi: number, need: number): number;
  read: Move;
  write: Move;
  clear(at: number, sizeBytes: number): void;
}

/** One for each stream of the first level. */
const CONTEXTS = FIRST_STREAMS;
const CONTEXT_MASK = CONTEXTS - 1;
/** What the first level knows a place of in one piece. */
const PAGE_BYTES = 4096;
const TWO_32 = 0x1_0000_0000;
/** A larger TLB is kept outside: the workspace takes address space that guest memory could have. */
const ENTRIES_MAX = 0x1_0000;

type Spaces = readonly [PhysicalAddressSpace, PhysicalAddressSpace];

/** Of a space that refuses nothing on request; of the class of the others, so that the engine sees one shape. */
const NEVER: Refusals = new InjectedFaults();

let compiled: KernelModule<Exports> | undefined;

/** Bytes of workspace of one TBU with so many TLB entries; 0 where the kernel is not for it. */
export function workspaceBytes(entries: number): number {
  if (entries === 0 || entries > ENTRIES_MAX) return 0;
  return FIRST_BYTES + 4 * (tlbWords(entries) + CONTEXTS * CONTEXT_WORDS);
}

export class TranslationKernel {
  /** What the two levels of the TLB are to lie in. */
  readonly first: FirstLevel;
  readonly tlbMemory: Int32Array;

  readonly #spaces: Spaces;
  readonly #refusals: readonly [Refusals, Refusals];
  readonly #xnx: boolean;
  readonly #memory: WasmMemory;
  readonly #exports: Exports;
  /** Offset of the TLB in the memory, and the words from there on. */
  readonly #tlb: number;
  readonly #words: Int32Array;
  /** First word of the contexts there. */
  readonly #firstContext: number;
  /** The contexts that were looked at, and whether they are plain. */
  readonly #contexts: (StreamContext | undefined)[] = new Array(CONTEXTS).fill(undefined);
  readonly #isPlain: boolean[] = new Array(CONTEXTS).fill(false);

  /** @param xnx IDR3.XNX. */
  constructor(workspace: Workspace, entries: number, spaces: Spaces, xnx: boolean) {
    const { memory, offset, words } = workspace;
    compiled ??= compileKernel<Exports>(TRANSLATE_BASE64);
    this.#exports = instantiate(compiled, memory);
    this.#memory = memory;
    this.#spaces = spaces;
    const [nonSecure, secure] = spaces;
    this.#refusals = [nonSecure.refusals ?? NEVER, secure.refusals ?? NEVER];
    this.#xnx = xnx;
    this.#tlb = offset + FIRST_BYTES;
    this.#words = words.subarray(FIRST_BYTES / 4);
    this.#firstContext = tlbWords(entries);
    this.first = new FirstLevel(memory.buffer, offset, this.#exports.clear);
    this.tlbMemory = this.#words.subarray(0, this.#firstContext);
  }

  /**
   * Answers an access in the first level.
   * @param context of its stream, as `contextAt` has it.
   * @returns FOUND, FILLED, UNPLACED; NOT_PLAIN; or, negative as well, the fault that ends it (kernel-layout.ts).
   */
  translate(context: number, lo: number, hi: number, need: number): number {
    if (context === 0 || this.#refusals[NON_SECURE].armed) return NOT_PLAIN;
    return this.#exports.translate(this.#tlb, context, lo, hi, need);
  }

  /** The data of a stream's unprivileged accesses. */
  direct(stream: StreamKey): DirectStream {
    return new DirectStream(this.#exports, this.#tlb, this.#refusals, stream);
  }

  /** Where a page lies in the kernel's memory; 0 for one that does not, or not all of it. */
  placeOf(pa: number, space: SecurityState): number {
    return this.#spaces[space].placeIn?.(this.#memory, pa, PAGE_BYTES) ?? 0;
  }

  /** Takes a context. @returns its offset in the memory, or 0 where it is not plain. */
  contextAt(context: StreamContext): number {
    const slot = context.StreamID & CONTEXT_MASK;
    const at = this.#firstContext + slot * CONTEXT_WORDS;
    if (this.#contexts[slot] !== context) {
      const window = this.#windowOf(context);
      if (window !== undefined) this.#write(context, window, at);
      this.#contexts[slot] = context;
      this.#isPlain[slot] = window !== undefined;
    }
    return this.#isPlain[slot] ? this.#tlb + 4 * at : 0;
  }

  #write(context: StreamContext, window: MemoryWindow, at: number): void {
    const { ste, cd, world, vmid, asid, aset } = context;
    const { stage2 } = ste;
    const words = this.#words.subarray(at, at + CONTEXT_WORDS);
    words.fill(0);
    setPair(words, WINDOW_START, window.start);
    setPair(words, WINDOW_BYTES, window.end - window.start);
    setPair(words, WINDOW_DELTA, window.delta);
    words[WORLD] = world;
    words[CONTEXT_ASID] = (vmid << 16) | asid;
    words[CONTEXT_ASET] = (vmid << 16) | aset;
    words[CONTEXT_VMID] = vmid << 16;
    words[REGIME_NUMBER] = context.tag;
    if (cd !== undefined) {
      words[STAGE_1_ON] = 1;
      words[HALVES] = context.singlePrivilege ? 0 : 1;
      words[NESTED] = stage2 === undefined ? 0 : 1;
      words[GLOBAL] = context.singlePrivilege ? 0 : TAG_GLOBAL;
      words.set(cd.mair, MAIR);
      words[STAGE1_ATTRIBUTES] = stage1Word([0, 0], 0, 0);
      setMasks(words, STAGE1_PERMISSIONS, (access) => {
        const lo = (access & 1 ? DESC_AP1 : 0) | (access & 2 ? DESC_AP2 : 0);
        const hi = (access & 4 ? DESC_UXN : 0) | (access & 8 ? DESC_PXN : 0);
        return stage1Permissions(lo, hi, 0, cd, context.singlePrivilege);
      });
      setTable(words, 0, cd.ttb0, (cd.tbi0 ? SHAPE_TBI : 0) | (cd.e0pd0 ? SHAPE_E0PD : 0));
      setTable(words, 1, cd.ttb1, (cd.tbi1 ? SHAPE_TBI : 0) | (cd.e0pd1 ? SHAPE_E0PD : 0));
    }
    if (stage2 !== undefined) {
      words[STAGE2_ATTRIBUTES] = stage2Word(0, 0, ste.s2FWB);
      setMasks(words, STAGE2_PERMISSIONS, (access) => {
        const lo = (access & 1 ? DESC_S2AP_R : 0) | (access & 2 ? DESC_S2AP_W : 0);
        const hi = (access & 4 ? DESC_PXN : 0) | (access & 8 ? DESC_UXN : 0);
        return stage2Permissions(lo, hi, this.#xnx, false);
      });
      setTable(words, 2, stage2, 0);
    }
  }

  /** The memory that a context's tables may be in; undefined for one that is not plain. */
  #windowOf({ security, ste, cd }: StreamContext): MemoryWindow | undefined {
    const { stage2 } = ste;
    const first = stage2 ?? cd?.ttb0 ?? cd?.ttb1;
    if (first === undefined || security !== NON_SECURE || ste.s2PTW) return undefined;
    if (stage2 !== undefined && kernelShape(stage2) === 0) return undefined;
    const window = this.#spaces[NON_SECURE].window?.(first.base);
    return window?.memory === this.#memory ? window : undefined;
  }
}

/** TABLE_SHAPE of a table; 0 where the kernel does not know its descriptors, or must not act on them. */
function kernelShape(table: TranslationTable): number {
  const updates = table.setsAccessFlag || table.setsDirty || table.setsTableAccessFlag;
  const format = table.ds || table.lpa || table.lpae || table.bigEndian || table.startLevel < 0;
  if (updates || format || table.space !== NON_SECURE) return 0;
  return (
    table.granuleBits |
    (table.startLevel << 8) |
    (table.minBlockLevel << 12) |
    (table.inputBits << 16) |
    (table.accessFlagFaults ? SHAPE_AF_FAULTS : 0) |
    (table.hierarchical ? SHAPE_HIERARCHICAL : 0)
  );
}

/** @param flags SHAPE_TBI, SHAPE_E0PD. */
function setTable(
  words: Int32Array,
  index: number,
  table: TranslationTable | undefined,
  flags: number,
): void {
  const shape = table === undefined ? 0 : kernelShape(table);
  if (table === undefined || shape === 0) return;
  const at = TABLES + index * TABLE_WORDS;
  setPair(words, at + TABLE_BASE, table.base);
  setPair(words, at + TABLE_OUTPUT_LIMIT, table.outputLimit);
  setPair(words, at + TABLE_WALK_LIMIT, table.walkLimit);
  words[at + TABLE_SHAPE] = shape | flags;
  const shift = table.granuleBits + (table.granuleBits - 3) * (3 - table.startLevel);
  words[at + TABLE_FIRST] = (shift - 3) | ((table.inputBits - shift) << 8);
}

/** Sixteen masks of one byte. */
function setMasks(words: Int32Array, at: number, mask: (access: number) => number): void {
  for (let access = 0; access < 16; access++) {
    words[at + (access >> 2)]! |= mask(access) << (8 * (access & 3));
  }
}

/** A whole number as 64 bits, in two's complement. */
function setPair(words: Int32Array, at: number, value: number): void {
  words[at] = value | 0;
  words[at + 1] = Math.floor(value / TWO_32);
}
