/**
 * What each CFGI and TLBI command takes out of a TBU's caches: exactly its scope (IHI 0070 4.3, 4.4; REQUIREMENTS
 * D16-D19, A40, A41; choice: tlbi-over-invalidation). The TCU has checked that the command is legal on the queue that
 * it came from.
 */
import {
  CMD_CFGI_CD,
  CMD_CFGI_CD_ALL,
  CMD_CFGI_STE,
  CMD_CFGI_STE_RANGE,
  CMD_TLBI_EL2_ALL,
  CMD_TLBI_EL2_ASID,
  CMD_TLBI_EL2_VA,
  CMD_TLBI_EL2_VAA,
  CMD_TLBI_EL3_ALL,
  CMD_TLBI_EL3_VA,
  CMD_TLBI_NH_ALL,
  CMD_TLBI_NH_ASID,
  CMD_TLBI_NH_VA,
  CMD_TLBI_NH_VAA,
  CMD_TLBI_NSNH_ALL,
  CMD_TLBI_S_EL2_ALL,
  CMD_TLBI_S_EL2_ASID,
  CMD_TLBI_S_EL2_VA,
  CMD_TLBI_S_EL2_VAA,
  CMD_TLBI_S_S2_IPA,
  CMD_TLBI_S_S12_VMALL,
  CMD_TLBI_S2_IPA,
  CMD_TLBI_S12_VMALL,
  CMD_TLBI_SNH_ALL,
  COMMAND,
} from '../../arch/commands.js';
import { get } from '../../arch/layout.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../arch/security.js';
import { type Features, hasStage2 } from '../features.js';
import type { ConfigCache } from './config-cache.js';
import { STAGE_1, STAGE_2, TABLE_1, TABLE_2 } from './kernel-layout.js';
import { EL3, NS_EL1, NS_EL2, NS_EL2_E2H, S_EL2, S_EL2_E2H, SECURE_EL1 } from './stream-world.js';
import type { Tlb } from './tlb.js';
import { TlbScope } from './tlb-entry.js';

const S1 = (1 << STAGE_1) | (1 << TABLE_1);
const S2 = (1 << STAGE_2) | (1 << TABLE_2);
/** With Leaf == 1 table descriptors stay. */
const LEAVES = (1 << STAGE_1) | (1 << STAGE_2);
const BOTH = S1 | S2;
const TWO_32 = 0x1_0000_0000;
/** Pages of one half of the VA space, TTB0's or TTB1's: 52 address bits. */
const HALF_PAGES = 2 ** 40;
/** SCALE values above this count as this (4.4.1.1). */
const SCALE_MAX = 39;
const RANGE_ALL = 31;

export class Invalidator {
  readonly #features: Features;
  readonly #config: ConfigCache;
  readonly #tlb: Tlb;
  readonly #scope = new TlbScope();
  readonly #words = new Int32Array(4);

  constructor(features: Features, config: ConfigCache, tlb: Tlb) {
    this.#features = features;
    this.#config = config;
    this.#tlb = tlb;
  }

  /** Executes a COMMAND message (maintenance.ts). @returns whether that is a CFGI; it is a TLBI otherwise. */
  command(message: Int32Array): boolean {
    for (let i = 0; i < 4; i++) this.#words[i] = message[1 + i]!;
    const queue = message[5] as SecurityState;
    if (this.#configuration(queue)) return true;
    this.#translation(queue);
    return false;
  }

  #isLeaf(): boolean {
    return get(this.#words, COMMAND.Leaf) === 1;
  }

  /** CFGI commands; SSec chooses the Stream table on the Secure queue (4.1.6). */
  #configuration(queue: SecurityState): boolean {
    const words = this.#words;
    const security = queue === SECURE && get(words, COMMAND.SSec) === 1 ? SECURE : NON_SECURE;
    const StreamID = get(words, COMMAND.StreamID);
    switch (get(words, COMMAND.Opcode)) {
      case CMD_CFGI_STE:
        this.#config.invalidateSte(security, StreamID, this.#isLeaf());
        return true;
      case CMD_CFGI_STE_RANGE: {
        const range = get(words, COMMAND.Range);
        const count = 2 ** (range + 1);
        const first = Math.floor(StreamID / count) * count;
        if (range === RANGE_ALL) this.#config.invalidateAll(security);
        else this.#config.invalidateStes(security, first, first + count - 1);
        return true;
      }
      case CMD_CFGI_CD:
        this.#config.invalidateCd(security, StreamID, get(words, COMMAND.SubstreamID), this.#isLeaf());
        return true;
      case CMD_CFGI_CD_ALL:
        this.#config.invalidateCds(security, StreamID);
        return true;
      default:
        return false;
    }
  }

  /** TLBI commands: who is meant, then by what. A command that invalidates nothing here has no case. */
  #translation(queue: SecurityState): void {
    const scope = this.#scope;
    const el1 = 1 << (queue === SECURE ? SECURE_EL1 : NS_EL1);
    switch (get(this.#words, COMMAND.Opcode)) {
      case CMD_TLBI_NH_ALL:
        scope.reset(el1, S1);
        this.#byVmid(queue);
        break;
      case CMD_TLBI_NH_ASID:
        scope.reset(el1, S1);
        this.#byVmid(queue);
        this.#byAsid(false);
        break;
      case CMD_TLBI_NH_VA:
        scope.reset(el1, S1);
        this.#byVmid(queue);
        this.#byAsid(true);
        this.#byVa();
        break;
      case CMD_TLBI_NH_VAA:
        scope.reset(el1, S1);
        this.#byVmid(queue);
        this.#byVa();
        break;
      case CMD_TLBI_EL3_ALL:
        scope.reset(1 << EL3, S1);
        break;
      case CMD_TLBI_EL3_VA:
        scope.reset(1 << EL3, S1);
        this.#byVa();
        break;
      case CMD_TLBI_EL2_ALL:
        scope.reset((1 << NS_EL2) | (1 << NS_EL2_E2H), S1);
        break;
      case CMD_TLBI_S_EL2_ALL:
        scope.reset((1 << S_EL2) | (1 << S_EL2_E2H), S1);
        break;
      case CMD_TLBI_EL2_ASID:
        scope.reset(1 << NS_EL2_E2H, S1);
        this.#byAsid(false);
        break;
      case CMD_TLBI_S_EL2_ASID:
        scope.reset(1 << S_EL2_E2H, S1);
        this.#byAsid(false);
        break;
      case CMD_TLBI_EL2_VA:
        this.#el2ByVa(NON_SECURE, true);
        break;
      case CMD_TLBI_EL2_VAA:
        this.#el2ByVa(NON_SECURE, false);
        break;
      case CMD_TLBI_S_EL2_VA:
        this.#el2ByVa(SECURE, true);
        break;
      case CMD_TLBI_S_EL2_VAA:
        this.#el2ByVa(SECURE, false);
        break;
      case CMD_TLBI_S12_VMALL:
        scope.reset(1 << NS_EL1, BOTH);
        this.#byVmid(NON_SECURE);
        break;
      case CMD_TLBI_S_S12_VMALL:
        scope.reset(1 << SECURE_EL1, BOTH);
        this.#byVmid(SECURE);
        break;
      case CMD_TLBI_S2_IPA:
        scope.reset(1 << NS_EL1, S2);
        this.#byVmid(NON_SECURE);
        this.#byRange();
        break;
      case CMD_TLBI_S_S2_IPA:
        scope.reset(1 << SECURE_EL1, S2);
        this.#byVmid(SECURE);
        this.#byRange();
        // A STAGE_2 entry has its IPA space in place of an ASID.
        scope.asid = get(this.#words, COMMAND.NS) === 1 ? NON_SECURE : SECURE;
        break;
      case CMD_TLBI_NSNH_ALL:
        scope.reset(1 << NS_EL1, BOTH);
        break;
      case CMD_TLBI_SNH_ALL:
        scope.reset(1 << SECURE_EL1, BOTH);
        break;
      default:
        return;
    }
    this.#tlb.invalidate(scope);
  }

  /** CR2.E2H chooses between EL2 and EL2-E2H entries; only the latter have an ASID (4.4.2.8). */
  #el2ByVa(security: SecurityState, matchAsid: boolean): void {
    const { e2h } = this.#config.bank(security);
    const world = security === SECURE ? (e2h ? S_EL2_E2H : S_EL2) : e2h ? NS_EL2_E2H : NS_EL2;
    this.#scope.reset(1 << world, S1);
    if (matchAsid && e2h) this.#byAsid(true);
    this.#byVa();
  }

  /** VMID counts only where stage 2 exists for the Security state (4.4.2); CR0.VMW widens it (3.17.6). */
  #byVmid(security: SecurityState): void {
    if (!hasStage2(this.#features, security)) return;
    this.#scope.vmid = get(this.#words, COMMAND.VMID);
    this.#scope.vmidIgnored = this.#config.bank(security).vmidIgnored;
  }

  #byAsid(global: boolean): void {
    this.#scope.asid = get(this.#words, COMMAND.ASID);
    this.#scope.global = global;
  }

  /** VA commands name the TTB1 half by VA[55], as the page numbers of the TLB do. */
  #byVa(): void {
    this.#byRange();
    if ((this.#words[3]! & (1 << 23)) !== 0) {
      this.#scope.firstPage += HALF_PAGES;
      this.#scope.lastPage += HALF_PAGES;
    }
  }

  /**
   * One page, or a range when TG is given (4.4.1.1). The range ends with its half of the address space: it does not wrap.
   * Without IDR3.RIL the range and hint fields are RES0 and have no effect.
   */
  #byRange(): void {
    const words = this.#words;
    const scope = this.#scope;
    const page = ((words[3]! >>> 12) & 0xff) * TWO_32 + (((words[2]! >>> 12) | (words[3]! << 20)) >>> 0);
    scope.firstPage = scope.lastPage = page;
    if (this.#isLeaf()) scope.stages &= LEAVES;
    const tg = get(words, COMMAND.TG);
    if (tg === 0 || !this.#features.ril) return;
    const granuleBits = 10 + 2 * tg;
    const scaleField = get(words, COMMAND.SCALE);
    const scale = this.#features.ds ? Math.min(scaleField, SCALE_MAX) : scaleField & 0x1f;
    const granules = (get(words, COMMAND.NUM) + 1) * 2 ** scale;
    scope.lastPage = Math.min(page + granules * 2 ** (granuleBits - 12), HALF_PAGES) - 1;
    scope.granuleBits = granuleBits;
    const ttl = get(words, COMMAND.TTL);
    // Level 1 of a 16KB table has leaves only with DS; the hint is no hint otherwise.
    if (ttl !== 0 && !(ttl === 1 && granuleBits === 14 && !this.#features.ds)) scope.level = ttl;
  }
}
