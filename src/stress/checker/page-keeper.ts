/**
 * The software's half of the checker for memory (finding.ts has the rules): who owns which frame, what stands in it, and
 * whether anybody wrote to a frame that was taken back.
 */
import type { CpuMemory } from '../../software/port.js';
import { type InterfacePlan, LINE_BYTES, LINES, SLOTS, type StressPlan } from '../plan.js';
import type { Finding, FindingKind, Report } from './finding.js';
import { FIRST_TENURE, type Frame, framePA, frameSpace, tenureOf, windowTenure } from './legal.js';
import { describeDefect, isWrittenLine, LINE_WORDS, lineDefect, lineStride, writeLine } from './pattern.js';

const HISTORY = 1024;

/** What the keeper remembers of a tenure, for the story of a stale write. */
interface Tenure {
  readonly frame: Frame;
  /** -1: the free pool. */
  readonly slot: number;
  /** What became of it, oldest first. */
  readonly story: string[];
  /** Something has become of it since it was mapped. */
  isChanged: boolean;
}

interface FrameState {
  readonly frame: Frame;
  /** Who owns it: a slot's mapping, or the free pool. */
  tenure: number;
  /** The free frames form a queue, so that a frame rests before it is used again. */
  free: boolean;
}

export class PageKeeper {
  readonly #plan: InterfacePlan;
  readonly #interface: number;
  /** CPU memory by PA space. */
  readonly #memory: readonly CpuMemory[];
  readonly #check: boolean;
  readonly #report: Report;
  readonly #frames: FrameState[][];
  readonly #free: FrameState[][];
  readonly #tenures = new Map<number, Tenure>();
  readonly #words = new Int32Array(LINE_WORDS);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  #count = FIRST_TENURE;

  constructor(
    plan: StressPlan,
    interfaceIndex: number,
    memory: readonly CpuMemory[],
    check: boolean,
    report: Report,
  ) {
    this.#plan = plan.interfaces[interfaceIndex]!;
    this.#interface = interfaceIndex;
    this.#memory = memory;
    this.#check = check;
    this.#report = report;
    this.#frames = this.#plan.pools.map(({ count }, pool) =>
      Array.from({ length: count }, (_, index) => ({ frame: { pool, index }, tenure: 0, free: true })),
    );
    this.#free = this.#frames.map((frames) => [...frames]);
  }

  /** Gives every page its first contents. */
  setup(): void {
    for (const state of this.#frames.flat()) this.#poison(state);
    for (let slot = 0; slot < SLOTS; slot++) {
      const pa = this.#plan.window + slot * this.#plan.granuleBytes;
      this.#fill(pa, this.#plan.security, windowTenure(this.#interface, slot));
    }
  }

  /** Pools that have a free frame. */
  poolsWithRoom(): number[] {
    return [...this.#free.keys()].filter((pool) => this.#free[pool]!.length > 0);
  }

  /** Takes a free frame for a slot and fills it. */
  allocate(pool: number, slot: number): { readonly frame: Frame; readonly tenure: number } {
    const state = this.#free[pool]!.shift()!;
    this.#verify(state);
    state.free = false;
    state.tenure = this.#nextTenure(state.frame, slot);
    this.#fill(this.#pa(state), this.#space(state), state.tenure);
    return { frame: state.frame, tenure: state.tenure };
  }

  /** Takes a frame back: no stream may reach it any more. */
  retire({ pool, index }: Frame): void {
    const state = this.#frames[pool]![index]!;
    this.#verify(state);
    state.free = true;
    this.#poison(state);
    this.#free[pool]!.push(state);
  }

  /** Remembers how a tenure was mapped. */
  noteMapping(tenure: number, what: string): void {
    this.#tenures.get(tenure)?.story.push(what);
  }

  /** Remembers what happened to a tenure since. */
  noteChange(tenure: number, what: string): void {
    const of = this.#tenures.get(tenure);
    if (of === undefined) return;
    of.story.push(what);
    of.isChanged = true;
  }

  /** Whether a device has written to the page of a tenure. */
  isWritten(tenure: number): boolean {
    const owner = this.#tenures.get(tenure);
    if (!this.#check || owner === undefined) return false;
    const pa = framePA(this.#plan, owner.frame);
    const memory = this.#memory[frameSpace(this.#plan, owner.frame)]!;
    const stride = lineStride(this.#plan.granuleBytes);
    for (let line = 0; line < LINES; line++) {
      const bytes = memory.readBytes(pa + line * stride, LINE_BYTES);
      if (isWrittenLine(new Int32Array(bytes.buffer, bytes.byteOffset, LINE_WORDS), tenure)) return true;
    }
    return false;
  }

  /** Tells what became of the page that a device reached and must not have, or not so. */
  explain(finding: Finding): Finding {
    if (finding.where === undefined) return finding;
    const { slot, pa, space } = finding.where;
    const page = pa - (pa % this.#plan.granuleBytes);
    const owners = [...this.#tenures.values()].filter(
      ({ frame, slot: own }) =>
        own >= 0 && framePA(this.#plan, frame) === page && frameSpace(this.#plan, frame) === space,
    );
    const last = owners.findLast((owner) => owner.slot === slot) ?? owners.at(-1);
    if (last === undefined) return finding;
    // After a change, the device uses what was before.
    const isStale = last.slot === slot && last.isChanged;
    return {
      ...finding,
      kind: isStale ? 'stale-use' : finding.kind,
      details: [...finding.details, ...last.story],
    };
  }

  /** Every page, when all devices are at rest. */
  sweep(): void {
    for (const state of this.#frames.flat()) this.#verify(state);
    for (let slot = 0; slot < SLOTS; slot++) {
      const pa = this.#plan.window + slot * this.#plan.granuleBytes;
      this.#compare(pa, this.#plan.security, windowTenure(this.#interface, slot), 'window page', -1);
    }
  }

  #pa({ frame }: FrameState): number {
    return framePA(this.#plan, frame);
  }

  #space({ frame }: FrameState): number {
    return this.#plan.pools[frame.pool]!.space;
  }

  #nextTenure(frame: Frame, slot: number): number {
    const tenure = tenureOf(this.#interface, this.#count++);
    this.#tenures.set(tenure, { frame, slot, story: [], isChanged: false });
    if (this.#tenures.size > HISTORY) this.#tenures.delete(this.#tenures.keys().next().value!);
    return tenure;
  }

  #poison(state: FrameState): void {
    state.tenure = this.#nextTenure(state.frame, -1);
    this.#fill(this.#pa(state), this.#space(state), state.tenure);
  }

  #verify(state: FrameState): void {
    const owner = state.free ? 'free frame' : `frame of slot ${this.#tenures.get(state.tenure)?.slot}`;
    this.#compare(this.#pa(state), this.#space(state), state.tenure, owner, state.free ? 0 : -1);
  }

  #fill(pa: number, space: number, tenure: number): void {
    if (!this.#check) return;
    const stride = lineStride(this.#plan.granuleBytes);
    for (let line = 0; line < LINES; line++) {
      writeLine(this.#words, tenure, line, 0);
      this.#memory[space]!.writeBytes(pa + line * stride, this.#bytes);
    }
  }

  /** @param sequence what each line must have; -1: anything whole. */
  #compare(pa: number, space: number, tenure: number, owner: string, sequence: number): void {
    if (!this.#check) return;
    const stride = lineStride(this.#plan.granuleBytes);
    for (let line = 0; line < LINES; line++) {
      const bytes = this.#memory[space]!.readBytes(pa + line * stride, LINE_BYTES);
      const words = new Int32Array(bytes.buffer, bytes.byteOffset, LINE_WORDS);
      const defect = lineDefect(words, tenure, line, sequence);
      if (defect === undefined) continue;
      const writer = defect.kind === 'foreign' ? this.#tenures.get(defect.tenure) : undefined;
      const kind: FindingKind = writer === undefined ? 'wrong-data' : 'stale-write';
      const where = `${owner} 0x${pa.toString(16)}, tenure ${tenure}, line ${line}`;
      const how = writer === undefined ? '' : `: written through the mapping of slot ${writer.slot}`;
      this.#report({
        kind,
        actor: this.#plan.name,
        summary: `${where} ${describeDefect(defect)}${how}`,
        details: writer?.story ?? [],
      });
      return;
    }
  }
}
