/**
 * The translation table walker of a TBU: VMSAv8-64 and VMSAv8-32 LPAE, stage 1, stage 2 and both (DDI 0487 D8, IHI 0070 3.4, 7.3.12-7.3.16).
 *
 * A walk leaves its answer in the walker's fields: a TlbFill and the output address, or a fault with all that its event
 * record needs. It allocates nothing. Hardware updates of Access flag and dirty state are made by compare-and-swap, in the
 * order in which the descriptors are used (IHI 0070 3.13, DDI 0487 D8.5; choice: httu-order). Not here, because not advertised: permission
 * indirection. The Contiguous bit is not used: it only permits larger TLB entries.
 */
import {
  DESC_AF,
  DESC_APTABLE1,
  DESC_DBM,
  DESC_DIRTY,
  DESC_NG,
  DESC_NS,
  DESC_NSTABLE,
  DESC_TABLE_OR_PAGE,
  DESC_VALID,
} from '../../arch/descriptor-masks.js';
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
import { extract, HIERARCHICAL, outputAddress, pageWithin, swap32, swapBytes } from './descriptor-bits.js';
import { pageLoOf } from './input-address.js';
import { STAGE_1, STAGE_2, TABLE_1, TABLE_2 } from './kernel-layout.js';
import type { OriginLog } from './origin.js';
import {
  ALL,
  EXECUTE,
  PRIV_READ,
  stage1Permissions,
  stage2Permissions,
  UNPRIV_READ,
  WRITE,
} from './permission.js';
import type { StreamContext } from './stream-context.js';
import { alignDown, type TranslationTable } from './table.js';
import { TableCache } from './table-cache.js';
import type { Tlb } from './tlb.js';
import { type StageTag, TlbFill } from './tlb-entry.js';
import type { WalkObserver } from './walk-observer.js';

const TWO_32 = 0x1_0000_0000;
/**
 * How often a walk begins anew because somebody changed the descriptor between its read and its update; more is an external
 * abort (choice: httu-contention).
 */
const UPDATES_MAX = 64;
const UPDATED = 0;
const CHANGED = 1;
const FAULTED = 2;
type Update = typeof UPDATED | typeof CHANGED | typeof FAULTED;

export class Walker {
  /** The completed translation, ready to be cached. */
  readonly fill = new TlbFill();
  /** Whether it is complete: also when it only does not permit the access. */
  isWhole = false;
  /** Output page (address / 4096) and PA space, after a walk that answered true. */
  outPage = 0;
  space: SecurityState = NON_SECURE;
  /** What stage 2 permits (permission.ts), after a stage 2 translation. */
  stage2Permissions = 0;
  /** Raw attributes of stage 2, after a stage 2 translation that answered true (attributes.ts). */
  stage2Attributes = 0;

  /** Event number of the fault, after a walk that answered false. */
  fault = 0;
  faultStage2 = false;
  faultClass = CLASS_IN;
  /** What stage 2 was asked for when it refused: the update of a stage 1 descriptor is a write. */
  faultWrite = false;
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

  /** No access waits for the walk: it changes no descriptor, and fails where it would have to (choice: speculative-updates). */
  speculative = false;

  readonly #features: Features;
  readonly #spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace];
  readonly #tlb: Tlb;
  readonly #keepsTables: boolean;
  readonly #words = new Int32Array(2);
  /** Fill of the stage 2 walks, apart from the fill of the whole translation. */
  readonly #fill2 = new TlbFill();
  readonly #tables1: TableCache;
  readonly #tables2: TableCache;

  /** Pages of the output address space. */
  readonly #oasPages: number;

  // Result of the last stage 2 translation.
  #out2 = 0;
  #sizeBits2 = 12;
  /** By a descriptor that is still writable-clean. */
  #clean2 = false;
  /** By a descriptor that may be cached: it was accessed. */
  #accessed2 = true;

  // Result of the last leaf.
  #lo = 0;
  #hi = 0;
  #leafPage = 0;
  #leafBits = 12;
  #level = 3;
  #tableFlags = 0;
  #leafSpace: SecurityState = NON_SECURE;
  #nonSecureTable = false;
  /** Writable-clean: writable but for the dirty state (DDI 0487 D8.5.2). */
  #clean = false;

  // Where the last descriptor was read: its address, an IPA where stage 2 translates it, and the PA.
  #address = 0;
  #addressSpace: SecurityState = NON_SECURE;
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
    this.#tables1 = new TableCache(tlb, TABLE_1);
    this.#tables2 = new TableCache(tlb, TABLE_2);
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
    let granted = false;
    for (let tries = 0; ; tries++) {
      if (!this.#walk(context, table, vaLo, vaHi, STAGE_1, CLASS_IN)) return false;
      if ((this.#lo & DESC_AF) === 0 && table.accessFlagFaults)
        return this.#fail(F_ACCESS, STAGE_1, CLASS_IN);
      granted = this.#stage1Leaf(context, table, need);
      if (!granted) {
        // Choice: access-flag-of-a-permission-fault. What has not been accessed is not cached either.
        if ((this.#lo & DESC_AF) === 0 && table.setsAccessFlag) return false;
        break;
      }
      const update = this.#use(context, table, STAGE_1, need, CLASS_IN, tries);
      if (update === UPDATED) break;
      if (update === FAULTED) return false;
    }
    if (this.#clean) fill.own &= ~WRITE;
    fill.clean = this.#clean;
    this.outPage = fill.outPage;
    this.space = fill.space as SecurityState;
    if (context.ste.stage2 !== undefined) {
      // Stage 2 is not asked for what stage 1 denies.
      if (!granted) return false;
      const ipaPage = this.outPage;
      const ipaSpace = this.space;
      granted = this.translateStage2(context, ipaPage * 4096, ipaSpace, need, CLASS_IN, fill.leafBits);
      if (!granted && (this.fault !== F_PERMISSION || !this.#accessed2)) return false;
      fill.ipaSpace = ipaSpace;
      fill.ipaPage = ipaPage;
      fill.attributes |= this.stage2Attributes;
      fill.parent = this.stage2Permissions;
      fill.clean ||= this.#clean2;
      fill.sizeBits = Math.min(fill.sizeBits, this.#sizeBits2);
    } else if (table.lpae) this.outPage %= this.#oasPages;
    fill.outPage = this.outPage;
    fill.space = this.space;
    this.isWhole = true;
    return granted;
  }

  /** What the leaf of a stage 1 walk says goes into `fill`. @returns whether it lets the access pass. */
  #stage1Leaf(context: StreamContext, table: TranslationTable, need: number): boolean {
    const cd = context.cd!;
    const fill = this.fill;
    // What is removed by APTable is no matter of the dirty state; for WXN, clean counts as writable (DDI 0487 D8.5.2).
    this.#clean =
      this.#isCandidate(table) && (this.#lo & DESC_DIRTY) !== 0 && (this.#tableFlags & DESC_APTABLE1) === 0;
    const lo = this.#clean ? this.#lo & ~DESC_DIRTY : this.#lo;
    fill.own = stage1Permissions(lo, this.#hi, this.#tableFlags, cd, context.singlePrivilege);
    if (this.sif && context.security === SECURE && this.#leafSpace === NON_SECURE) fill.own &= ~EXECUTE;
    this.observer?.leaf(1, this.#leafPage, fill.own);
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
    fill.outPage = this.#leafPage;
    fill.space = this.#leafSpace;
    return (fill.own & need) !== 0 || this.#fail(F_PERMISSION, STAGE_1, CLASS_IN);
  }

  /** Whether the dirty state of the last leaf is hardware's to manage. */
  #isCandidate(table: TranslationTable): boolean {
    return table.setsDirty && (this.#hi & DESC_DBM) !== 0;
  }

  /**
   * Makes of the last leaf what its use makes of it: accessed, and by a write dirty. The access is permitted.
   * @returns CHANGED where somebody else changed it meanwhile: it has to be read again.
   */
  #use(
    context: StreamContext,
    table: TranslationTable,
    stage: StageTag,
    need: number,
    faultClass: number,
    tries: number,
  ): Update {
    const dirties = this.#clean && (need & WRITE) !== 0 && !this.speculative;
    const accessed = table.setsAccessFlag ? this.#lo | DESC_AF : this.#lo;
    const used = dirties ? accessed ^ DESC_DIRTY : accessed;
    if (used === this.#lo) return UPDATED;
    const update = this.#swap(context, table, stage, this.#lo, this.#hi, used, faultClass, tries);
    if (update === UPDATED && dirties) this.#clean = false;
    return update;
  }

  /**
   * Translates an IPA, through the TLB's STAGE_2 entries. Leaves outPage and space for a stage-2-only stream.
   * @param ipa any byte address; faults name it.
   * @param ipaSpace a Secure stream has two IPA spaces, each with its table (IHI 0070 3.10.2.2).
   * @param faultClass what the access is for: the transaction itself, a stage 1 descriptor or a CD.
   * @param stage1Bits log2 of the bytes of the stage 1 leaf that it is for: a STAGE_2 entry that is no larger would serve no
   * access that the combined one does not, and is not kept: a tenth of a nested miss.
   */
  translateStage2(
    context: StreamContext,
    ipa: number,
    ipaSpace: SecurityState,
    need: number,
    faultClass: number,
    stage1Bits = 0,
  ): boolean {
    const table = ipaSpace === SECURE ? context.ste.stage2Secure! : context.ste.stage2!;
    this.faultIpa = ipa;
    this.faultIpaSpace = ipaSpace;
    this.faultWrite = (need & WRITE) !== 0;
    this.observer?.stage2(ipa, ipaSpace, faultClass);
    const page = Math.floor(ipa / 4096);
    const pageLo = page | 0;
    const pageHi = (page / TWO_32) | 0;
    const found = this.#tlb.lookup(STAGE_2, context.world, context.vmid, ipaSpace, 0, pageLo, pageHi);
    const hit = unlessOutgrown(this.#tlb, found, need);
    if (hit >= 0) {
      this.#clean2 = this.#tlb.clean(hit);
      this.#accessed2 = true;
      this.stage2Permissions = this.#tlb.own(hit);
      this.#out2 = this.#tlb.outPage(hit, pageLo);
      this.#sizeBits2 = this.#tlb.sizeBits(hit);
      this.stage2Attributes = this.#tlb.attributes(hit);
      this.observer?.stage2Hit(this.#out2, this.stage2Permissions, this.origins?.of(hit));
      if (context.cd !== undefined) this.origins?.use(hit);
    } else if (!this.#walkStage2(context, table, ipa, ipaSpace, page, need, faultClass, stage1Bits))
      return false;
    this.outPage = this.#out2;
    this.space = table.outputSpace;
    return !this.#refuses(context, need, faultClass) || this.#fail(F_PERMISSION, STAGE_2, faultClass);
  }

  /** Whether stage 2's permissions, or S2PTW for a walk, are against the access. */
  #refuses(context: StreamContext, need: number, faultClass: number): boolean {
    if ((this.stage2Permissions & need) === 0) return true;
    return faultClass !== CLASS_IN && context.ste.s2PTW && isStage2Device(this.stage2Attributes);
  }

  #walkStage2(
    context: StreamContext,
    table: TranslationTable,
    ipa: number,
    ipaSpace: SecurityState,
    page: number,
    need: number,
    faultClass: number,
    stage1Bits: number,
  ): boolean {
    // The input range of stage 2 is S2T0SZ's (IHI 0070 3.4).
    if (ipa >= 2 ** table.inputBits) return this.#fail(F_TRANSLATION, STAGE_2, faultClass);
    for (let tries = 0; ; tries++) {
      if (!this.#walk(context, table, ipa | 0, (ipa / TWO_32) | 0, STAGE_2, faultClass)) return false;
      if ((this.#lo & DESC_AF) === 0 && table.accessFlagFaults)
        return this.#fail(F_ACCESS, STAGE_2, faultClass);
      this.#stage2Leaf(context, table);
      this.#accessed2 = (this.#lo & DESC_AF) !== 0 || !table.setsAccessFlag;
      if (this.#refuses(context, need, faultClass)) break;
      const update = this.#use(context, table, STAGE_2, need, faultClass, tries);
      this.#accessed2 = true;
      if (update === UPDATED) break;
      if (update === FAULTED) return false;
    }
    this.#clean2 = this.#clean;
    if (this.#clean) this.stage2Permissions &= ~WRITE;
    // Choice: access-flag-of-a-permission-fault. What has not been accessed is not cached either.
    if (!this.#accessed2) return true;
    if (this.#leafBits <= stage1Bits && !this.#keepsTables) return true;
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
    fill.own = this.stage2Permissions;
    fill.parent = ALL;
    fill.ipaPage = page;
    fill.space = table.outputSpace;
    fill.ipaSpace = ipaSpace;
    fill.attributes = this.stage2Attributes;
    fill.clean = this.#clean;
    this.#tlb.fill(fill);
    return true;
  }

  /** What the leaf of a stage 2 walk says. */
  #stage2Leaf(context: StreamContext, table: TranslationTable): void {
    this.#clean = this.#isCandidate(table) && (this.#lo & DESC_DIRTY) === 0;
    const lo = this.#clean ? this.#lo | DESC_DIRTY : this.#lo;
    this.stage2Permissions = stage2Permissions(lo, this.#hi, this.#features.xnx, table.lpae);
    this.stage2Attributes = stage2Word((this.#lo >>> 2) & 0xf, this.#sh(table), context.ste.s2FWB);
    this.#out2 = table.lpae ? this.#leafPage % this.#oasPages : this.#leafPage;
    this.#sizeBits2 = this.#leafBits;
    this.observer?.leaf(2, this.#out2, this.stage2Permissions);
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
    stage: StageTag,
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
    let tries = 0;
    const tables = stage === STAGE_1 ? this.#tables1 : this.#tables2;
    const nested = stage === STAGE_1 && context.ste.stage2 !== undefined;
    this.origins?.begin(stage, context.cd === undefined);
    if (this.#keepsTables) {
      known =
        stage === STAGE_1
          ? tables.begin(context, table, context.asid, this.fill.pageLo, this.fill.pageHi)
          : tables.begin(context, table, this.faultIpaSpace, pageLoOf(inLo, inHi), (inHi >>> 12) & 0xff);
      if (known >= 0) {
        first = level = this.#tlb.level(known) + 1;
        lsb = table.granuleBits + stride * (3 - level);
        indexBits = stride;
        base = alignDown(this.#tlb.tableIpaPage(known) * 4096, table.granuleBits);
        space = this.#tlb.ipaSpace(known) as SecurityState;
        flags = tables.flags(known);
        this.observer?.tableHit(stage === STAGE_1 ? 1 : 2, level - 1, base, this.origins?.of(known));
        this.origins?.use(known);
      }
    }
    for (;;) {
      const address = base + extract(inHi, inLo, lsb, indexBits) * 8;
      if (known >= 0) {
        const pa = tables.pa(known, address, lsb);
        const paSpace = this.#tlb.space(known) as SecurityState;
        if (!this.#read(table, address, pa, paSpace, stage, level, faultClass)) return false;
        known = -1;
      } else if (!this.#fetch(context, table, address, space, stage, level, faultClass)) return false;
      this.#address = address;
      this.#addressSpace = space;
      if (this.#keepsTables && level > first) {
        const pageBits = nested ? this.#sizeBits2 : Number.POSITIVE_INFINITY;
        tables.keep(level, lsb, pageBits, address, space, this.#fetchedPa, this.#fetchedSpace, flags);
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
      if (table.setsTableAccessFlag && (lo & DESC_AF) === 0) {
        const update = this.#swap(context, table, stage, lo, hi, lo | DESC_AF, faultClass, tries++);
        if (update === FAULTED) return false;
        if (update === CHANGED) continue;
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
    stage: StageTag,
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
    stage: StageTag,
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

  /**
   * Replaces the low word of the descriptor that was read last, unless it has changed. To stage 2, the update of a stage 1
   * descriptor is a write (IHI 0070 3.13.5).
   */
  #swap(
    context: StreamContext,
    table: TranslationTable,
    stage: StageTag,
    lo: number,
    hi: number,
    newLo: number,
    faultClass: number,
    tries: number,
  ): Update {
    if (this.speculative) return FAULTED;
    let pa = this.#fetchedPa;
    let space = this.#fetchedSpace;
    if (stage === STAGE_1 && context.ste.stage2 !== undefined) {
      const address = this.#address;
      const clean = this.#clean;
      if (!this.translateStage2(context, address, this.#addressSpace, WRITE, CLASS_TT)) return FAULTED;
      this.#clean = clean;
      pa = this.#out2 * 4096 + (address % 4096);
      space = this.space;
    }
    const memory = this.#spaces[space];
    const swapped = table.bigEndian
      ? memory.compareAndSwap(pa, swap32(hi), swap32(lo), swap32(hi), swap32(newLo))
      : memory.compareAndSwap(pa, lo, hi, newLo, hi);
    if (swapped === 1) {
      this.observer?.update(stage === STAGE_1 ? 1 : 2, pa, space, lo, newLo);
      this.origins?.changed(pa, space, newLo);
      return UPDATED;
    }
    if (swapped === 0 && tries < UPDATES_MAX) return CHANGED;
    this.fetchAddr = pa;
    this.#fail(F_WALK_EABT, stage, stage === STAGE_1 ? CLASS_TT : faultClass);
    return FAULTED;
  }

  #fail(event: number, stage: StageTag, faultClass: number): false {
    this.fault = event;
    this.faultStage2 = stage === STAGE_2;
    this.faultClass = faultClass;
    this.observer?.fault(event, stage === STAGE_1 ? 1 : 2, faultClass);
    return false;
  }
}

/**
 * Drops an entry that lacks a write which its descriptor, being writable-clean, may let pass: that is for a walk to find out.
 * @returns the entry, or -1 where there is none any more.
 */
export function unlessOutgrown(tlb: Tlb, index: number, need: number): number {
  if (index < 0 || (need & WRITE) === 0 || !tlb.clean(index)) return index;
  if ((tlb.own(index) & tlb.parent(index) & need) !== 0) return index;
  tlb.drop(index);
  return -1;
}
