/**
 * The translation table walker of a TBU: VMSAv8-64 and VMSAv8-32 LPAE, stage 1, stage 2 and both (DDI 0487 D8, IHI 0070 3.4, 7.3.12-7.3.16).
 *
 * A walk leaves its answer in the walker's fields: a TlbFill and the output address, or a fault with all that its event
 * record needs. It allocates nothing. Not here, because not advertised: HTTU, permission indirection. The
 * Contiguous bit is not used: it only permits larger TLB entries.
 *
 * With `keepsTables` a walk leaves the table descriptors that it read in the TLB, and begins at the lowest one there: a
 * walk cache. One of a stage 1 table that stage 2 translates holds the table's PA, so that it is combined and subject to
 * invalidation by VA alone, as combined translations are (16.2.1).
 */
import {
  DESC_AF,
  DESC_APTABLE0,
  DESC_APTABLE1,
  DESC_NG,
  DESC_NS,
  DESC_NSTABLE,
  DESC_PXNTABLE,
  DESC_TABLE_OR_PAGE,
  DESC_UXNTABLE,
  DESC_VALID,
} from '../../arch/descriptors.js';
import {
  CLASS_IN,
  CLASS_TT,
  F_ACCESS,
  F_ADDR_SIZE,
  F_PERMISSION,
  F_TRANSLATION,
  F_WALK_EABT,
} from '../../arch/events.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../arch/security.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { Features } from '../features.js';
import { isStage2Device, stage1Word, stage2Word } from './attributes.js';
import type { Origin, OriginLog } from './origin.js';
import { ALL, EXECUTE, PRIV_READ, stage1Permissions, stage2Permissions, UNPRIV_READ } from './permission.js';
import type { StreamContext } from './stream-context.js';
import { alignDown, type TranslationTable } from './table.js';
import { STAGE_1, STAGE_2, TABLE_1, TABLE_2, type Tlb, TlbFill } from './tlb.js';

const TWO_32 = 0x1_0000_0000;
const TWO_48 = 0x1_0000_0000_0000;
const HIERARCHICAL = DESC_APTABLE0 | DESC_APTABLE1 | DESC_UXNTABLE | DESC_PXNTABLE;
/** The lowest of them. */
const HIERARCHICAL_SHIFT = 27;

/** Told about each step of a walk; absent in normal running. */
export interface WalkObserver {
  descriptor(
    stage: 1 | 2,
    level: number,
    address: number,
    pa: number,
    space: SecurityState,
    lo: number,
    hi: number,
  ): void;
  /** A table descriptor of the TLB answers: the walk goes on at the next level, in the table at an IPA or PA. */
  tableHit(stage: 1 | 2, level: number, address: number, origin: Origin | undefined): void;
  /** A stage 2 translation begins, for the access itself, a stage 1 descriptor or a CD. */
  stage2(ipa: number, ipaSpace: SecurityState, faultClass: number): void;
  /** A STAGE_2 entry of the TLB answers; pages are addresses / 4096. */
  stage2Hit(outPage: number, permissions: number, origin: Origin | undefined): void;
  /** A stage has come to a leaf: where it leads and what it permits. */
  leaf(stage: 1 | 2, outPage: number, permissions: number): void;
  fault(event: number, stage: 1 | 2, faultClass: number): void;
}

export class Walker {
  /** The completed translation, ready to be cached. */
  readonly fill = new TlbFill();
  /** Whether it is complete: also when it only does not permit the access. */
  isWhole = false;
  /** Output page (address / 4096) and PA space, after a walk that answered true. */
  outPage = 0;
  space: SecurityState = NON_SECURE;
  /** Raw attributes of stage 2, after a stage 2 translation that answered true (attributes.ts). */
  stage2Attributes = 0;

  /** Event number of the fault, after a walk that answered false. */
  fault = 0;
  faultStage2 = false;
  faultClass = CLASS_IN;
  /** IPA of a stage 2 fault. */
  faultIpa = 0;
  faultIpaSpace: SecurityState = NON_SECURE;
  /** Physical address of the descriptor of an F_WALK_EABT. */
  fetchAddr = 0;

  /** Descriptor reads since the walker was made. */
  descriptorReads = 0;
  /** Walks of stage 1, or of stage 2 alone. */
  walks = 0;

  observer: WalkObserver | undefined;
  /** Kept up while somebody wants to know where entries come from. */
  origins: OriginLog | undefined;

  /** S_CR0.SIF (IHI 0070 6.3.57). */
  sif = false;

  readonly #features: Features;
  readonly #spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace];
  readonly #tlb: Tlb;
  readonly #keepsTables: boolean;
  readonly #words = new Int32Array(2);
  /** Fill of the stage 2 walks, apart from the fill of the whole translation. */
  readonly #fill2 = new TlbFill();
  readonly #tableFill = new TlbFill();

  /** Pages of the output address space. */
  readonly #oasPages: number;

  // Result of the last stage 2 translation.
  #out2 = 0;
  #sizeBits2 = 12;
  #own2 = 0;

  // Result of the last leaf.
  #lo = 0;
  #hi = 0;
  #leafPage = 0;
  #leafBits = 12;
  #level = 3;
  #tableFlags = 0;
  #leafSpace: SecurityState = NON_SECURE;
  #nonSecureTable = false;

  // Where the last descriptor was read.
  #fetchedPa = 0;
  #fetchedSpace: SecurityState = NON_SECURE;

  constructor(
    features: Features,
    spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace],
    tlb: Tlb,
    keepsTables: boolean,
  ) {
    this.#features = features;
    this.#keepsTables = keepsTables && tlb.enabled;
    this.#oasPages = 2 ** (features.oas - 12);
    this.#spaces = spaces;
    this.#tlb = tlb;
  }

  /**
   * Translates a VA through stage 1 and, where the stream has it, stage 2.
   * @param pageLo,pageHi the VA's page number in the TLB.
   * @param need the permission bit that the access needs.
   */
  translate(
    context: StreamContext,
    table: TranslationTable,
    pageLo: number,
    pageHi: number,
    vaLo: number,
    vaHi: number,
    need: number,
  ): boolean {
    this.walks++;
    this.isWhole = false;
    const fill = this.fill;
    fill.world = context.world;
    fill.vmid = context.vmid;
    fill.asid = context.asid;
    fill.aset = context.aset;
    fill.pageLo = pageLo;
    fill.pageHi = pageHi;
    if (!this.#walk(context, table, vaLo, vaHi, STAGE_1, CLASS_IN)) return false;
    const cd = context.cd!;
    if ((this.#lo & DESC_AF) === 0 && table.accessFlagFaults) return this.#fail(F_ACCESS, STAGE_1, CLASS_IN);
    fill.own = stage1Permissions(this.#lo, this.#hi, this.#tableFlags, cd, context.singlePrivilege);
    if (this.sif && context.security === SECURE && this.#leafSpace === NON_SECURE) fill.own &= ~EXECUTE;
    this.observer?.leaf(1, this.#leafPage, fill.own);
    const nested = context.ste.stage2 !== undefined;
    let granted = (fill.own & need) !== 0;
    if (!granted) {
      this.#fail(F_PERMISSION, STAGE_1, CLASS_IN);
      // Stage 2 is not asked for what stage 1 denies.
      if (nested) return false;
    }
    fill.stage = STAGE_1;
    fill.level = this.#level;
    fill.granuleBits = table.granuleBits;
    fill.leafBits = fill.sizeBits = this.#leafBits;
    // A page that was found through a Non-secure table of a Secure regime is never global (DDI 0487 D8.11).
    // Where there are no ASIDs, nG has no effect (IHI 0070 3.17.1).
    fill.global =
      (this.#lo & DESC_NG) === 0 &&
      !context.singlePrivilege &&
      !(context.security === SECURE && this.#nonSecureTable);
    fill.parent = ALL;
    fill.ipaPage = 0;
    fill.ipaSpace = NON_SECURE;
    fill.attributes = stage1Word(cd.mair, (this.#lo >>> 2) & 7, this.#sh(table));
    this.outPage = this.#leafPage;
    this.space = this.#leafSpace;
    if (nested) {
      const ipaPage = this.#leafPage;
      const ipaSpace = this.#leafSpace;
      granted = this.translateStage2(context, ipaPage * 4096, ipaSpace, need, CLASS_IN);
      if (!granted && this.fault !== F_PERMISSION) return false;
      fill.ipaSpace = ipaSpace;
      fill.ipaPage = ipaPage;
      fill.attributes |= this.stage2Attributes;
      fill.parent = this.#own2;
      fill.sizeBits = Math.min(fill.sizeBits, this.#sizeBits2);
    } else if (table.lpae) this.outPage %= this.#oasPages;
    fill.outPage = this.outPage;
    fill.space = this.space;
    this.isWhole = true;
    return granted;
  }

  /**
   * Translates an IPA, through the TLB's STAGE_2 entries. Leaves outPage and space for a stage-2-only stream.
   * @param ipa any byte address; faults name it.
   * @param ipaSpace a Secure stream has two IPA spaces, each with its table (IHI 0070 3.10.2.2).
   * @param faultClass what the access is for: the transaction itself, a stage 1 descriptor or a CD.
   */
  translateStage2(
    context: StreamContext,
    ipa: number,
    ipaSpace: SecurityState,
    need: number,
    faultClass: number,
  ): boolean {
    const table = ipaSpace === SECURE ? context.ste.stage2Secure! : context.ste.stage2!;
    this.faultIpa = ipa;
    this.faultIpaSpace = ipaSpace;
    this.observer?.stage2(ipa, ipaSpace, faultClass);
    const page = Math.floor(ipa / 4096);
    const pageLo = page | 0;
    const pageHi = (page / TWO_32) | 0;
    const hit = this.#tlb.lookup(STAGE_2, context.world, context.vmid, ipaSpace, 0, pageLo, pageHi);
    if (hit >= 0) {
      this.#own2 = this.#tlb.own(hit);
      this.#out2 = this.#tlb.outPage(hit, pageLo);
      this.#sizeBits2 = this.#tlb.sizeBits(hit);
      this.stage2Attributes = this.#tlb.attributes(hit);
      this.observer?.stage2Hit(this.#out2, this.#own2, this.origins?.of(hit));
      if (context.cd !== undefined) this.origins?.use(hit);
    } else if (!this.#walkStage2(context, table, ipa, ipaSpace, page, faultClass)) return false;
    this.outPage = this.#out2;
    this.space = table.outputSpace;
    if ((this.#own2 & need) === 0) return this.#fail(F_PERMISSION, STAGE_2, faultClass);
    if (faultClass !== CLASS_IN && context.ste.s2PTW && isStage2Device(this.stage2Attributes)) {
      return this.#fail(F_PERMISSION, STAGE_2, faultClass);
    }
    return true;
  }

  #walkStage2(
    context: StreamContext,
    table: TranslationTable,
    ipa: number,
    ipaSpace: SecurityState,
    page: number,
    faultClass: number,
  ): boolean {
    // The input range of stage 2 is S2T0SZ's (IHI 0070 3.4).
    if (ipa >= 2 ** table.inputBits) return this.#fail(F_TRANSLATION, STAGE_2, faultClass);
    if (!this.#walk(context, table, ipa | 0, (ipa / TWO_32) | 0, STAGE_2, faultClass)) return false;
    if ((this.#lo & DESC_AF) === 0 && table.accessFlagFaults)
      return this.#fail(F_ACCESS, STAGE_2, faultClass);
    this.#own2 = stage2Permissions(this.#lo, this.#hi, this.#features.xnx, table.lpae);
    this.stage2Attributes = stage2Word((this.#lo >>> 2) & 0xf, this.#sh(table), context.ste.s2FWB);
    this.#out2 = table.lpae ? this.#leafPage % this.#oasPages : this.#leafPage;
    this.#sizeBits2 = this.#leafBits;
    this.observer?.leaf(2, this.#out2, this.#own2);
    const fill = this.#fill2;
    fill.stage = STAGE_2;
    fill.world = context.world;
    fill.vmid = context.vmid;
    fill.asid = ipaSpace;
    fill.global = false;
    fill.pageLo = page | 0;
    fill.pageHi = (page / TWO_32) | 0;
    fill.sizeBits = fill.leafBits = this.#leafBits;
    fill.granuleBits = table.granuleBits;
    fill.level = this.#level;
    fill.outPage = this.#out2;
    fill.own = this.#own2;
    fill.parent = ALL;
    fill.ipaPage = page;
    fill.space = table.outputSpace;
    fill.ipaSpace = ipaSpace;
    fill.attributes = this.stage2Attributes;
    this.#tlb.fill(fill);
    return true;
  }

  /** Shareability of the last leaf (DDI 0487 D8.6.2, D8.6.7). */
  #sh(table: TranslationTable): number {
    return table.ds ? table.sh : (this.#lo >>> 8) & 3;
  }

  /** Walks one stage from its starting level to a leaf whose output address is in range. */
  #walk(
    context: StreamContext,
    table: TranslationTable,
    inLo: number,
    inHi: number,
    stage: typeof STAGE_1 | typeof STAGE_2,
    faultClass: number,
  ): boolean {
    const stride = table.granuleBits - 3;
    let level = table.startLevel;
    let lsb = table.granuleBits + stride * (3 - level);
    let base = table.base;
    let space = table.space;
    let flags = 0;
    let indexBits = table.inputBits - lsb;
    let first = level;
    let known = -1;
    this.origins?.begin(stage, context.cd === undefined);
    if (this.#keepsTables) {
      known = this.#lookupTable(context, table, inLo, inHi, stage);
      if (known >= 0) {
        first = level = this.#tlb.level(known) + 1;
        lsb = table.granuleBits + stride * (3 - level);
        indexBits = stride;
        base = alignDown(this.#tlb.tableIpaPage(known) * 4096, table.granuleBits);
        space = this.#tlb.ipaSpace(known) as SecurityState;
        flags = this.#tlb.own(known) << HIERARCHICAL_SHIFT;
        this.observer?.tableHit(stage === STAGE_1 ? 1 : 2, level - 1, base, this.origins?.of(known));
        this.origins?.use(known);
      }
    }
    for (;;) {
      const address = base + extract(inHi, inLo, lsb, indexBits) * 8;
      if (known >= 0) {
        if (!this.#fetchKnown(table, known, address, lsb, stage, level, faultClass)) return false;
        known = -1;
      } else if (!this.#fetch(context, table, address, space, stage, level, faultClass)) return false;
      if (this.#keepsTables && level > first) {
        this.#keepTable(context, table, inLo, inHi, stage, level, lsb, address, space, flags);
      }
      const lo = this.#words[0]!;
      const hi = this.#words[1]!;
      if ((lo & DESC_VALID) === 0) return this.#fail(F_TRANSLATION, stage, faultClass);
      const isTable = level < 3 && (lo & DESC_TABLE_OR_PAGE) !== 0;
      if (!isTable && (level === 3 ? (lo & DESC_TABLE_OR_PAGE) === 0 : level < table.minBlockLevel)) {
        return this.#fail(F_TRANSLATION, stage, faultClass);
      }
      const output = outputAddress(table, lo, hi, isTable ? table.granuleBits : lsb);
      if (output >= (isTable ? table.walkLimit : table.outputLimit))
        return this.#fail(F_ADDR_SIZE, stage, faultClass);
      if (!isTable) {
        this.#lo = lo;
        this.#hi = hi;
        this.#level = level;
        this.#leafBits = lsb;
        this.#tableFlags = flags;
        this.#leafPage = output / 4096 + pageWithin(inLo, inHi, lsb);
        if (stage === STAGE_1) {
          this.#nonSecureTable = space === NON_SECURE;
          this.#leafSpace = space === NON_SECURE || (lo & DESC_NS) !== 0 ? NON_SECURE : SECURE;
        }
        return true;
      }
      if (table.hierarchical) flags |= hi & HIERARCHICAL;
      // NSTable holds for all that is below it, and is not one of the attributes that HADx disables.
      if (stage === STAGE_1 && (hi & DESC_NSTABLE) !== 0) space = NON_SECURE;
      base = output;
      level++;
      lsb -= stride;
      indexBits = stride;
    }
  }

  /** Reads one descriptor into #words; a stage 1 descriptor's address goes through stage 2 where the stream has it. */
  #fetch(
    context: StreamContext,
    table: TranslationTable,
    address: number,
    space: SecurityState,
    stage: typeof STAGE_1 | typeof STAGE_2,
    level: number,
    faultClass: number,
  ): boolean {
    let pa = address;
    let paSpace = space;
    if (stage === STAGE_1 && context.ste.stage2 !== undefined) {
      if (!this.translateStage2(context, address, space, UNPRIV_READ | PRIV_READ, CLASS_TT)) return false;
      pa = this.#out2 * 4096 + (address % 4096);
      paSpace = this.space;
    }
    return this.#read(table, address, pa, paSpace, stage, level, faultClass);
  }

  #read(
    table: TranslationTable,
    address: number,
    pa: number,
    paSpace: SecurityState,
    stage: typeof STAGE_1 | typeof STAGE_2,
    level: number,
    faultClass: number,
  ): boolean {
    this.#fetchedPa = pa;
    this.#fetchedSpace = paSpace;
    this.descriptorReads++;
    if (!this.#spaces[paSpace].load(pa, this.#words, 1)) {
      this.fetchAddr = pa;
      return this.#fail(F_WALK_EABT, stage, stage === STAGE_1 ? CLASS_TT : faultClass);
    }
    if (table.bigEndian) swapBytes(this.#words);
    const lo = this.#words[0]!;
    const hi = this.#words[1]!;
    this.observer?.descriptor(stage === STAGE_1 ? 1 : 2, level, address, pa, paSpace, lo, hi);
    if (this.origins !== undefined) {
      this.origins.read({ stage: stage === STAGE_1 ? 1 : 2, level, address, pa, space: paSpace, lo, hi });
    }
    return true;
  }

  /** The lowest table descriptor of the TLB for an input address, or -1; one of another granule is none. */
  #lookupTable(
    context: StreamContext,
    table: TranslationTable,
    inLo: number,
    inHi: number,
    stage: typeof STAGE_1 | typeof STAGE_2,
  ): number {
    const own = stage === STAGE_1;
    const hit = this.#tlb.lookup(
      own ? TABLE_1 : TABLE_2,
      context.world,
      context.vmid,
      own ? context.asid : this.faultIpaSpace,
      0,
      own ? this.fill.pageLo : (inLo >>> 12) | (inHi << 20),
      own ? this.fill.pageHi : (inHi >>> 12) & 0xff,
    );
    if (hit < 0 || this.#tlb.granuleBits(hit) !== table.granuleBits) return -1;
    return this.#tlb.level(hit) < table.startLevel ? -1 : hit;
  }

  /** Reads the descriptor at an address within a table whose place the TLB knows. */
  #fetchKnown(
    table: TranslationTable,
    entry: number,
    address: number,
    lsb: number,
    stage: typeof STAGE_1 | typeof STAGE_2,
    level: number,
    faultClass: number,
  ): boolean {
    const within = address % tableBytes(this.#tlb.sizeBits(entry), lsb);
    const pa = this.#tlb.tablePage(entry) * 4096 + within;
    return this.#read(table, address, pa, this.#tlb.space(entry) as SecurityState, stage, level, faultClass);
  }

  /**
   * Keeps the table descriptor that led to the last read. Where a stage 2 page is smaller than the table, what lies in
   * that page.
   * @param level,lsb of the table that it leads to.
   */
  #keepTable(
    context: StreamContext,
    table: TranslationTable,
    inLo: number,
    inHi: number,
    stage: typeof STAGE_1 | typeof STAGE_2,
    level: number,
    lsb: number,
    address: number,
    space: SecurityState,
    flags: number,
  ): void {
    const own = stage === STAGE_1;
    const nested = own && context.ste.stage2 !== undefined;
    const fill = this.#tableFill;
    fill.stage = own ? TABLE_1 : TABLE_2;
    fill.world = context.world;
    fill.vmid = context.vmid;
    fill.asid = own ? context.asid : this.faultIpaSpace;
    fill.pageLo = own ? this.fill.pageLo : (inLo >>> 12) | (inHi << 20);
    fill.pageHi = own ? this.fill.pageHi : (inHi >>> 12) & 0xff;
    fill.leafBits = lsb + table.granuleBits - 3;
    fill.sizeBits = nested ? Math.min(fill.leafBits, lsb + this.#sizeBits2 - 3) : fill.leafBits;
    fill.granuleBits = table.granuleBits;
    fill.level = level - 1;
    const within = address % tableBytes(fill.sizeBits, lsb);
    fill.outPage = (this.#fetchedPa - within) / 4096;
    fill.ipaPage = (address - within) / 4096;
    fill.own = flags >>> HIERARCHICAL_SHIFT;
    fill.space = this.#fetchedSpace;
    fill.ipaSpace = space;
    this.#tlb.fill(fill);
  }

  #fail(event: number, stage: typeof STAGE_1 | typeof STAGE_2, faultClass: number): false {
    this.fault = event;
    this.faultStage2 = stage === STAGE_2;
    this.faultClass = faultClass;
    this.observer?.fault(event, stage === STAGE_1 ? 1 : 2, faultClass);
    return false;
  }
}

/** Bytes of a table, or part of one, whose entries cover 2^lsb bytes each and 2^bits together. */
function tableBytes(bits: number, lsb: number): number {
  return 2 ** (bits - lsb + 3);
}

/** Bits [lsb + width - 1 : lsb] of a 64-bit value in two halves; width is at most 30. */
function extract(hi: number, lo: number, lsb: number, width: number): number {
  const mask = (1 << width) - 1;
  if (lsb >= 32) return (hi >>> (lsb - 32)) & mask;
  return ((lo >>> lsb) | (hi << (32 - lsb))) & mask;
}

/** Number of the 4 KiB page within a leaf of 2^bits bytes. */
function pageWithin(lo: number, hi: number, bits: number): number {
  if (bits <= 32) return bits === 32 ? lo >>> 12 : (lo & ((1 << bits) - 1)) >>> 12;
  return (hi & ((1 << (bits - 32)) - 1)) * 0x10_0000 + (lo >>> 12);
}

/** The output address of a descriptor, aligned to 2^bits (DDI 0487 D8.3.1, with FEAT_LPA and FEAT_LPA2 formats). */
export function outputAddress(
  table: Pick<TranslationTable, 'lpa' | 'ds'>,
  lo: number,
  hi: number,
  bits: number,
): number {
  let address: number;
  if (bits >= 32) address = (hi & 0xffff & (-1 << (bits - 32))) * TWO_32;
  else address = (hi & 0xffff) * TWO_32 + ((lo & (-1 << bits)) >>> 0);
  if (table.lpa) return address + ((lo >>> 12) & 0xf) * TWO_48;
  if (table.ds) return address + (((lo >>> 8) & 3) * 4 + ((hi >>> 16) & 3)) * TWO_48;
  return address;
}

function swapBytes(words: Int32Array): void {
  const lo = words[0]!;
  words[0] = swap32(words[1]!);
  words[1] = swap32(lo);
}

function swap32(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}
