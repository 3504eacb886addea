/**
 * Where the entries of a TLB came from: the descriptors that were read for each, with the values that they had. Kept only
 * while somebody wants to know; a look-up that hits pays nothing for it, a fill does.
 */
import type { SecurityState } from '../../arch/security.js';
import type { Transaction } from '../transaction.js';
import { outputSpace } from './attributes.js';
import { pageHiOf, pageLoOf, selectTable } from './input-address.js';
import { STAGE_1, STAGE_2, TABLE_1 } from './kernel-layout.js';
import type { StreamContext } from './stream-context.js';
import type { Tlb } from './tlb.js';
import type { EntryTag } from './tlb-entry.js';

export interface DescriptorRead {
  readonly stage: 1 | 2;
  readonly level: number;
  /** An IPA where stage 2 translates it, else the PA. */
  readonly address: number;
  readonly pa: number;
  readonly space: SecurityState;
  readonly lo: number;
  readonly hi: number;
}

export interface Origin {
  /** Which access of the TBU was under way, counted from 1. */
  readonly access: number;
  /**
   * In the order of the walk. What another entry of the TLB stood for is here as it was read for that one: stage 2 of a
   * stage 1 table, or the upper levels below which a walk began.
   */
  readonly descriptors: readonly DescriptorRead[];
}

export class OriginLog {
  /** The access that is under way. */
  access = 0;
  /** By index of the entry. */
  readonly #origins: (Origin | undefined)[] = [];
  /** Of the walk that is under way; a walk of stage 2 within one of stage 1 is at its end. */
  #reads: DescriptorRead[] = [];
  #stage2From = 0;

  constructor(tlb: Tlb) {
    tlb.onFill = (entry, tag) => this.#filled(entry, tag);
  }

  of(entry: number): Origin | undefined {
    return this.#origins[entry];
  }

  /** @param alone there is no stage 1 whose walk this one is part of. */
  begin(stage: typeof STAGE_1 | typeof STAGE_2, alone: boolean): void {
    if (stage === STAGE_1 || alone) this.#reads = [];
    this.#stage2From = this.#reads.length;
  }

  read(descriptor: DescriptorRead): void {
    this.#reads.push(descriptor);
  }

  /** The walk has changed the descriptor that it read last there. */
  changed(pa: number, space: SecurityState, lo: number): void {
    const at = this.#reads.findLastIndex((read) => read.pa === pa && read.space === space);
    if (at >= 0) this.#reads[at] = { ...this.#reads[at]!, lo };
  }

  /** Another entry stands for descriptors that are not read now. */
  use(entry: number): void {
    this.#reads.push(...(this.#origins[entry]?.descriptors ?? []));
  }

  /** What has just been read is where an entry comes from. A table descriptor is kept after one of its table was read. */
  #filled(entry: number, tag: EntryTag): void {
    const from = tag === STAGE_1 || tag === TABLE_1 ? 0 : this.#stage2From;
    const to = tag >= TABLE_1 ? -1 : undefined;
    this.#origins[entry] = { access: this.access, descriptors: this.#reads.slice(from, to) };
  }

  /** The entries are others from now on. */
  clear(): void {
    this.#origins.length = 0;
  }
}

/** The entry that answers an access of a stream, or -1. */
export function findEntry(tlb: Tlb, context: StreamContext, { iovaLo, iovaHi, ns }: Transaction): number {
  const { world, vmid, asid, aset, cd, ste, security } = context;
  const pageLo = pageLoOf(iovaLo, iovaHi);
  if (cd === undefined) {
    const ipaSpace = outputSpace(security, ste.nscfg, ns);
    return tlb.lookup(STAGE_2, world, vmid, ipaSpace, 0, pageLo, (iovaHi >>> 12) & 0xff);
  }
  const half = selectTable(context, iovaLo, iovaHi);
  if (half === -1) return -1;
  return tlb.lookup(STAGE_1, world, vmid, asid, aset, pageLo, pageHiOf(cd, half, iovaHi));
}
