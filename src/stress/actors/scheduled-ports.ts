/** Memory, registers and TBUs of a deterministic run: what every thread has, with a point of the scheduler before each access. */
import type { SecurityState } from '../../arch/security.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import { type Control, EVENT_SLOTS, type SlotOffsets } from '../../runtime/shared/control.js';
import type { AddressSpaces } from '../../runtime/shared/shared-machine.js';
import type { SharedTbuChannel } from '../../runtime/shared/tbu-channel.js';
import type { TbuGuard } from '../../runtime/shared/tbu-guard.js';
import type { EventChannel } from '../../smmu/maintenance.js';
import type { Origin } from '../../smmu/tbu/origin.js';
import type { Tbu } from '../../smmu/tbu/tbu.js';
import type { Tcu } from '../../smmu/tcu/tcu.js';
import { type Outcome, STALL, type Transaction } from '../../smmu/transaction.js';
import type { SmmuPort } from '../../software/port.js';
import type { Actor, Progress } from './actor.js';
import type { TbuLink } from './dma-actor.js';

/** Lets others go first, perhaps. */
export type Point = () => void;

export class ScheduledSpace implements PhysicalAddressSpace {
  readonly #space: PhysicalAddressSpace;
  readonly #point: Point;

  constructor(space: PhysicalAddressSpace, point: Point) {
    this.#space = space;
    this.#point = point;
  }

  load(pa: number, into: Int32Array, count: number): boolean {
    this.#point();
    return this.#space.load(pa, into, count);
  }

  store(pa: number, lo: number, hi: number): boolean {
    this.#point();
    return this.#space.store(pa, lo, hi);
  }

  store32(pa: number, value: number): boolean {
    this.#point();
    return this.#space.store32(pa, value);
  }

  compareAndSwap(pa: number, oldLo: number, oldHi: number, newLo: number, newHi: number): 1 | 0 | -1 {
    this.#point();
    return this.#space.compareAndSwap(pa, oldLo, oldHi, newLo, newHi);
  }

  read(pa: number, into: Uint8Array, offset: number, sizeBytes: number): boolean {
    this.#point();
    return this.#space.read(pa, into, offset, sizeBytes);
  }

  write(pa: number, from: Uint8Array, offset: number, sizeBytes: number): boolean {
    this.#point();
    return this.#space.write(pa, from, offset, sizeBytes);
  }
}

/** A TCU's registers: a write is there at once, what follows from it is the TCU's turn. */
export class ScheduledPort implements SmmuPort {
  readonly #tcu: Tcu;
  readonly #security: SecurityState;
  readonly #point: Point;
  readonly #pump: () => void;

  /** @param pump lets the SMMU run, for software that waits: only while the machine boots. */
  constructor(tcu: Tcu, security: SecurityState, point: Point, pump: () => void) {
    this.#tcu = tcu;
    this.#security = security;
    this.#point = point;
    this.#pump = pump;
  }

  read32(offset: number): number {
    return Number(this.#tcu.readRegister(offset, 4, this.#security));
  }

  write32(offset: number, value: number): void {
    this.#point();
    this.#tcu.writeRegister(offset, 4, BigInt(value >>> 0), this.#security);
  }

  read64(offset: number): bigint {
    return this.#tcu.readRegister(offset, 8, this.#security);
  }

  write64(offset: number, value: bigint): void {
    this.#point();
    this.#tcu.writeRegister(offset, 8, value, this.#security);
  }

  relax(): void {
    this.#pump();
  }
}

/**
 * A TCU as an actor: a turn of its thread (runtime/threads/smmu-thread.ts), but of one command. There are no points inside its
 * steps: register writes reach a TCU between two turns, and each turn takes the TBUs' events before it looks at its
 * queues. A CMD_SYNC relies on that order: it stands for the events of all accesses that were over when it was issued.
 */
export class TcuActor implements Actor {
  readonly name: string;
  readonly operations = 0;
  readonly atRest = true;
  readonly #tcu: Tcu;
  readonly #channel: SharedTbuChannel;

  constructor(name: string, tcu: Tcu, channel: SharedTbuChannel) {
    this.name = name;
    this.#tcu = tcu;
    this.#channel = channel;
  }

  stop(): void {}

  step(): Progress {
    const took = this.#channel.drainEvents(this.#tcu);
    return this.#tcu.step(1) || took ? 'worked' : 'idle';
  }
}

/** An event ring that is never full: in one thread nobody else could make room while the TBU waits. */
export class RoomyEvents implements EventChannel {
  readonly #sender: EventChannel;
  readonly #words: Int32Array;
  readonly #slot: SlotOffsets;
  readonly #makeRoom: () => void;

  constructor(sender: EventChannel, control: Control, slot: SlotOffsets, makeRoom: () => void) {
    this.#sender = sender;
    this.#words = control.words;
    this.#slot = slot;
    this.#makeRoom = makeRoom;
  }

  record(words: Int32Array, security: SecurityState, stall: boolean): void {
    const { eventTail, eventHead } = this.#slot;
    if (this.#words[eventTail]! - this.#words[eventHead]! >= EVENT_SLOTS - 1) this.#makeRoom();
    this.#sender.record(words, security, stall);
  }
}

export class GuardedLink implements TbuLink {
  readonly spaces: AddressSpaces;
  readonly #tbu: Tbu;
  readonly #guard: Pick<TbuGuard, 'begin' | 'end'>;

  constructor(tbu: Tbu, guard: Pick<TbuGuard, 'begin' | 'end'>, spaces: AddressSpaces) {
    this.#tbu = tbu;
    this.#guard = guard;
    this.spaces = spaces;
  }

  begin(): void {
    this.#guard.begin();
  }

  end(): void {
    this.#guard.end();
  }

  translate(transaction: Transaction): Outcome {
    return this.#tbu.translate(transaction);
  }

  resume(transaction: Transaction): Outcome | undefined {
    const { stag } = transaction;
    const { stalls } = this.#tbu.counters;
    const outcome = this.#tbu.resume(transaction);
    const isAnew = transaction.stag !== stag || this.#tbu.counters.stalls !== stalls;
    return outcome === STALL && !isAnew ? undefined : outcome;
  }
}

/** One device's part of what a TBU does. */
export interface Traffic {
  hits: number;
  misses: number;
  walks: number;
  events: number;
}

/** A device's own view of a link that it shares with others of its lane: counts what its batches do to the TBU. */
export class MeteredLink implements TbuLink {
  readonly traffic: Traffic = { hits: 0, misses: 0, walks: 0, events: 0 };
  readonly spaces: AddressSpaces;
  readonly #link: TbuLink;
  readonly #tbu: Tbu;
  readonly #watch: (transaction: Transaction) => void;
  #before: Traffic;

  /** @param watch told of each transaction before it is translated. */
  constructor(link: TbuLink, tbu: Tbu, watch: (transaction: Transaction) => void) {
    this.#watch = watch;
    this.#link = link;
    this.#tbu = tbu;
    this.#before = tbu.counters;
    this.spaces = link.spaces;
  }

  begin(): void {
    this.#before = this.#tbu.counters;
    this.#link.begin();
  }

  end(): void {
    this.#link.end();
    const now = this.#tbu.counters;
    for (const key of ['hits', 'misses', 'walks', 'events'] as const) {
      this.traffic[key] += now[key] - this.#before[key];
    }
  }

  translate(transaction: Transaction): Outcome {
    this.#watch(transaction);
    return this.#link.translate(transaction);
  }

  resume(transaction: Transaction): Outcome | undefined {
    return this.#link.resume(transaction);
  }

  origin(transaction: Transaction): Origin | undefined {
    return this.#tbu.originOf(transaction);
  }
}
