/** The faulty parts that mutations.ts puts into a run: memories, spaces and links that are not quite what they should be. */
import type { SecurityState } from '../../arch/security.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { AddressSpaces } from '../../runtime/shared/shared-machine.js';
import { ABORT, OK, type Outcome, type Transaction } from '../../smmu/transaction.js';
import type { CpuMemory } from '../../software/port.js';
import type { TbuLink } from '../actors/dma-actor.js';

const PAGE_BYTES = 4096;
const TWO_32 = 0x1_0000_0000;
const LATE_BATCHES = 3;
/** How long a torn word stays so. */
const TORN_POINTS = 400;
/** A valid descriptor of a table or page. */
const TABLE_OR_PAGE = 3n;
const HALF = 0xffff_ffffn;

/** Stores a new descriptor as two halves, the lower first, and lets others go in between. */
export class TornMemory implements CpuMemory {
  readonly #memory: CpuMemory;
  readonly #point: () => void;

  constructor(memory: CpuMemory, point: () => void) {
    this.#memory = memory;
    this.#point = point;
  }

  store64(pa: number, value: bigint): void {
    const before = this.#memory.load64(pa);
    if (before === 0n && (value & TABLE_OR_PAGE) === TABLE_OR_PAGE) {
      this.#memory.store64(pa, value & HALF);
      for (let points = 0; points < TORN_POINTS; points++) this.#point();
    }
    this.#memory.store64(pa, value);
  }

  load64(pa: number): bigint {
    return this.#memory.load64(pa);
  }

  fill(pa: number, byte: number, sizeBytes: number): void {
    this.#memory.fill(pa, byte, sizeBytes);
  }

  readBytes(pa: number, sizeBytes: number): Uint8Array {
    return this.#memory.readBytes(pa, sizeBytes);
  }

  writeBytes(pa: number, bytes: Uint8Array): void {
    this.#memory.writeBytes(pa, bytes);
  }
}

/** A space that passes everything on. */
class Passing implements PhysicalAddressSpace {
  protected readonly space: PhysicalAddressSpace;

  constructor(space: PhysicalAddressSpace) {
    this.space = space;
  }

  load(pa: number, into: Int32Array, count: number): boolean {
    return this.space.load(pa, into, count);
  }

  store(pa: number, lo: number, hi: number): boolean {
    return this.space.store(pa, lo, hi);
  }

  store32(pa: number, value: number): boolean {
    return this.space.store32(pa, value);
  }

  compareAndSwap(pa: number, oldLo: number, oldHi: number, newLo: number, newHi: number): 1 | 0 | -1 {
    return this.space.compareAndSwap(pa, oldLo, oldHi, newLo, newHi);
  }

  read(pa: number, into: Uint8Array, offset: number, sizeBytes: number): boolean {
    return this.space.read(pa, into, offset, sizeBytes);
  }

  write(pa: number, from: Uint8Array, offset: number, sizeBytes: number): boolean {
    return this.space.write(pa, from, offset, sizeBytes);
  }
}

/** Hardware updates of descriptors are taken for made, and are not. */
export class LostUpdates extends Passing {
  override compareAndSwap(): 1 {
    return 1;
  }
}

/** Changes what is loaded. */
export class StructureSpace extends Passing {
  readonly #change: (words: Int32Array, count: number) => void;

  constructor(space: PhysicalAddressSpace, change: (words: Int32Array, count: number) => void) {
    super(space);
    this.#change = change;
  }

  override load(pa: number, into: Int32Array, count: number): boolean {
    const loaded = super.load(pa, into, count);
    if (loaded) this.#change(into, count);
    return loaded;
  }
}

/** A link that passes everything on. */
class PassingLink implements TbuLink {
  readonly spaces: AddressSpaces;
  protected readonly link: TbuLink;

  constructor(link: TbuLink, spaces: AddressSpaces = link.spaces) {
    this.link = link;
    this.spaces = spaces;
  }

  begin(): void {
    this.link.begin();
  }

  end(): void {
    this.link.end();
  }

  translate(transaction: Transaction): Outcome {
    return this.link.translate(transaction);
  }

  resume(transaction: Transaction): Outcome | undefined {
    return this.link.resume(transaction);
  }
}

/** What is stalled does not always wait for CMD_RESUME. */
export class ImpatientStalls extends PassingLink {
  readonly #strikes: () => boolean;

  constructor(link: TbuLink, strikes: () => boolean) {
    super(link);
    this.#strikes = strikes;
  }

  override resume(transaction: Transaction): Outcome | undefined {
    const outcome = super.resume(transaction);
    if (outcome !== undefined || !this.#strikes()) return outcome;
    transaction.outcome = ABORT;
    return ABORT;
  }
}

function pageOf({ iovaLo, iovaHi }: Transaction): number {
  return (iovaHi >>> 0) * TWO_32 + (iovaLo >>> 0) - (iovaLo & (PAGE_BYTES - 1));
}

interface Remembered {
  readonly page: number;
  readonly space: SecurityState;
}

/** A first-level TLB before the TBU, right in all but its tags: they have no SEC_SID. It is emptied with each batch. */
export class SharedTags extends PassingLink {
  readonly #entries = new Map<string, Remembered>();
  #batches = 0;

  override begin(): void {
    // Often enough that nothing in it is stale, seldom enough that both Security states meet in it.
    if (++this.#batches % 2 === 0) this.#entries.clear();
    super.begin();
  }

  override translate(transaction: Transaction): Outcome {
    const { write, instruction, privileged, iovaLo } = transaction;
    const tag = `${pageOf(transaction)} ${write} ${instruction} ${privileged}`;
    const known = this.#entries.get(tag);
    if (known !== undefined) {
      transaction.outcome = OK;
      transaction.pa = known.page + (iovaLo & (PAGE_BYTES - 1));
      transaction.space = known.space;
      return OK;
    }
    const outcome = super.translate(transaction);
    const { pa, space } = transaction;
    if (outcome === OK) this.#entries.set(tag, { page: pa - (pa % PAGE_BYTES), space });
    return outcome;
  }
}

/** Whoever was once let write to a page is let write for ever, wherever the page is now. */
export class ForgetfulLink extends PassingLink {
  readonly #granted = new Set<string>();

  override translate(transaction: Transaction): Outcome {
    if (!transaction.write) return super.translate(transaction);
    const key = `${transaction.StreamID} ${transaction.SEC_SID} ${transaction.privileged} ${pageOf(transaction)}`;
    if (this.#granted.has(key)) return this.#asRead(transaction);
    const outcome = super.translate(transaction);
    if (outcome === OK) this.#granted.add(key);
    return outcome;
  }

  #asRead(transaction: Transaction): Outcome {
    transaction.write = false;
    const outcome = super.translate(transaction);
    transaction.write = true;
    return outcome;
  }
}

/** Accesses of streams of one Security state go to another PA space than they were translated to. */
export class OtherSpace extends PassingLink {
  readonly #of: SecurityState;
  readonly #to: SecurityState;
  readonly #strikes: () => boolean;

  constructor(link: TbuLink, of: SecurityState, to: SecurityState, strikes: () => boolean) {
    super(link);
    this.#of = of;
    this.#to = to;
    this.#strikes = strikes;
  }

  override translate(transaction: Transaction): Outcome {
    const outcome = super.translate(transaction);
    if (outcome === OK && transaction.SEC_SID === this.#of && this.#strikes()) transaction.space = this.#to;
    return outcome;
  }
}

/** Accesses arrive without the SubstreamID that they were sent with. */
export class LostSubstreams extends PassingLink {
  readonly #strikes: () => boolean;

  constructor(link: TbuLink, strikes: () => boolean) {
    super(link);
    this.#strikes = strikes;
  }

  override translate(transaction: Transaction): Outcome {
    const { SubstreamID } = transaction;
    if (this.#strikes()) transaction.SubstreamID = -1;
    const outcome = super.translate(transaction);
    transaction.SubstreamID = SubstreamID;
    return outcome;
  }
}

class NextPageSpace extends Passing {
  readonly #strikes: () => boolean;

  constructor(space: PhysicalAddressSpace, strikes: () => boolean) {
    super(space);
    this.#strikes = strikes;
  }

  override write(pa: number, from: Uint8Array, offset: number, sizeBytes: number): boolean {
    return super.write(this.#strikes() ? pa + PAGE_BYTES : pa, from, offset, sizeBytes);
  }
}

export class NextPage extends PassingLink {
  constructor(link: TbuLink, strikes: () => boolean) {
    const [nonSecure, secure] = link.spaces;
    super(link, [new NextPageSpace(nonSecure, strikes), new NextPageSpace(secure, strikes)]);
  }
}

/** Keeps writes back; they are seen by reads through it, and reach memory when it is told. */
class PostedSpace extends Passing {
  readonly #posted: { readonly pa: number; readonly bytes: Uint8Array }[] = [];

  override write(pa: number, from: Uint8Array, offset: number, sizeBytes: number): boolean {
    this.#posted.push({ pa, bytes: from.slice(offset, offset + sizeBytes) });
    return true;
  }

  override read(pa: number, into: Uint8Array, offset: number, sizeBytes: number): boolean {
    const newest = this.#posted.findLast((write) => write.pa === pa && write.bytes.length === sizeBytes);
    if (newest === undefined) return super.read(pa, into, offset, sizeBytes);
    into.set(newest.bytes, offset);
    return true;
  }

  flush(): void {
    for (const { pa, bytes } of this.#posted.splice(0)) super.write(pa, bytes, 0, bytes.length);
  }
}

/** Writes of a batch reach memory some batches later. */
export class LateWrites extends PassingLink {
  #batches = 0;
  readonly #posted: readonly PostedSpace[];

  constructor(link: TbuLink) {
    const [nonSecure, secure] = link.spaces;
    const posted = [new PostedSpace(nonSecure), new PostedSpace(secure)] as const;
    super(link, posted);
    this.#posted = posted;
  }

  override begin(): void {
    if (++this.#batches % LATE_BATCHES === 0) for (const space of this.#posted) space.flush();
    super.begin();
  }
}
