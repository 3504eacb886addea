/**
 * A TBU in a DMA thread, with what guards it and publishes its counters. A thread has one at every SMMU that its devices
 * sit behind.
 */
import { S_IDR1 } from '../../arch/id-registers.js';
import { get } from '../../arch/layout.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { EventChannel } from '../../smmu/maintenance.js';
import { Tbu } from '../../smmu/tbu/tbu.js';
import type { TbuState } from '../../smmu/tbu/tbu-state.js';
import {
  type Control,
  type SmmuOffsets,
  TBU_HITS,
  TBU_MISSES,
  TBU_TRANSACTIONS,
  TBU_WALKS,
} from '../shared/control.js';
import { EventRingSender } from '../shared/event-ring.js';
import type { AddressSpaces, MachineView } from '../shared/shared-machine.js';
import { Signal } from '../shared/signal.js';
import { type MessageHandler, TbuGuard } from '../shared/tbu-guard.js';
import { workspaceOf } from '../shared/workspaces.js';

/** Longest sleep while all devices of a thread are stalled: there may be several SMMUs to hear from. */
const STALL_NAP_MS = 5;

/** What one device's accesses did to the TBU that it shares with the other devices of its thread. */
export interface TranslationCounts {
  hits: number;
  misses: number;
  walks: number;
  events: number;
}

/** What may stand between a TBU and the parts that it is joined to: how a stress run builds in a fault. */
export interface TbuSeams {
  /** What hands the TBU its messages. */
  messages?(tbu: MessageHandler): MessageHandler;
  /** Its way to the TCU, which has a Secure Event queue or has none. */
  events?(channel: EventChannel, hasSecure: boolean): EventChannel;
  /** What it reads structures and descriptors from. */
  structures?(space: PhysicalAddressSpace): PhysicalAddressSpace;
}

export class LaneTbu {
  readonly tbu: Tbu;
  readonly spaces: AddressSpaces;
  /** Where the thread's devices have their data on the way. */
  readonly bounce: Uint8Array;
  readonly #guard: TbuGuard;
  readonly #events: EventRingSender;
  readonly #progress: Signal;
  readonly #control: Control;
  readonly #statistics: number;
  /** The TCU's progress when the last batch began. */
  #seen = 0;
  readonly #before: TranslationCounts = { hits: 0, misses: 0, walks: 0, events: 0 };

  constructor(view: MachineView, smmu: number, lane: number, seams: TbuSeams = {}) {
    const at: SmmuOffsets = view.control.offsets.smmus[smmu]!;
    const slot = at.slots[lane]!;
    const events = new EventRingSender(view.control, at, slot, view.smmuLimit(smmu, 'to take event records'));
    this.spaces = view.spacesOf(smmu);
    this.bounce = view.memory.bounce;
    const { config } = view.machine.smmus[smmu]!;
    this.#events = events;
    const stalls = view.control.stalls(at, config.idr).range(lane, at.slots.length);
    const [nonSecure, secure] = this.spaces;
    const { structures } = seams;
    const read =
      structures === undefined ? this.spaces : ([structures(nonSecure), structures(secure)] as const);
    const hasSecure = get([config.idr.S_IDR1], S_IDR1.fields.SECURE_IMPL) === 1;
    const channel = seams.events?.(events, hasSecure) ?? events;
    this.tbu = new Tbu(config, read, channel, stalls, workspaceOf(view, smmu, lane));
    this.#guard = new TbuGuard(
      view.control,
      at,
      slot,
      seams.messages?.(this.tbu) ?? this.tbu,
      view.smmuLimit(smmu, 'to finish a register update'),
    );
    this.#progress = new Signal(view.control.words, at.progress);
    this.#control = view.control;
    this.#statistics = slot.statistics;
  }

  /** Takes a state, within a batch: so that what the TCU has said so far comes before it. */
  restore(state: TbuState): void {
    this.begin();
    this.tbu.prepare(state)();
    this.end();
    this.publish({ ...this.#before });
  }

  /** Opens a batch, which {@link end} closes. */
  begin(): void {
    this.#seen = this.#progress.count;
    this.#guard.begin();
  }

  /** The batch had better end: the TCU has sent something. */
  get isBehind(): boolean {
    return this.#guard.isBehind;
  }

  end(): void {
    this.#guard.end();
    this.#events.call();
  }

  /** Sleeps until the TCU has done something since the last batch began. */
  awaitProgress(): void {
    this.#progress.sleep(this.#seen, STALL_NAP_MS);
  }

  /** Publishes the counters, and adds to `counts` what was done since the last call: one device's batch. */
  publish(counts: TranslationCounts): void {
    const { transactions, hits, misses, walks, events } = this.tbu.counters;
    this.#control.setStatistic(this.#statistics, TBU_TRANSACTIONS, transactions);
    this.#control.setStatistic(this.#statistics, TBU_HITS, hits);
    this.#control.setStatistic(this.#statistics, TBU_MISSES, misses);
    this.#control.setStatistic(this.#statistics, TBU_WALKS, walks);
    const before = this.#before;
    counts.hits += hits - before.hits;
    counts.misses += misses - before.misses;
    counts.walks += walks - before.walks;
    counts.events += events - before.events;
    before.hits = hits;
    before.misses = misses;
    before.walks = walks;
    before.events = events;
  }
}
