/**
 * What memory must hold after a run, byte for byte: the fills and copies of the workload, carried out on a list of ranges.
 *
 * Steps of one device run in order, so that its last write counts. Devices run concurrently: what two of them
 * wrote, or one copied from where another wrote, has no one right value and is left out, as contested.
 */
import type { SecurityState } from '../../arch/security.js';
import type { Machine, WorkloadStep } from '../../machine/types.js';
import type { Placement } from './placement.js';

/** Bytes made by `pattern` from input addresses that count up from `origin`. */
export interface Content {
  readonly pattern: number;
  readonly origin: bigint;
}

/** A range of one physical address space that a device wrote. */
export interface WrittenRange {
  readonly space: SecurityState;
  readonly pa: number;
  readonly sizeBytes: number;
  readonly device: number;
  /** Index of the step among the device's own. */
  readonly step: number;
  /** Input address that the device wrote to. */
  readonly iova: bigint;
  /** Undefined: contested, or copied from memory that nobody filled. */
  readonly content: Content | undefined;
}

export class ExpectedMemory {
  /** In no order, none overlapping another. */
  #ranges: WrittenRange[] = [];

  /** @param steps of each device, by index. */
  static after(
    machine: Machine,
    placement: Placement,
    stepsOf: (device: number) => readonly WorkloadStep[],
  ): ExpectedMemory {
    const memory = new ExpectedMemory();
    for (const device of machine.devices.keys()) {
      for (const [step, what] of stepsOf(device).entries()) {
        if (what.expect === 'ok') memory.#perform(placement, device, step, what);
      }
    }
    return memory;
  }

  get ranges(): readonly WrittenRange[] {
    return this.#ranges;
  }

  #perform(placement: Placement, device: number, step: number, what: WorkloadStep): void {
    if (what.op === 'fill') {
      for (const { pa, sizeBytes, space, iova } of placement.resolve(device, what.iova, what.sizeBytes)) {
        const content = { pattern: what.pattern, origin: iova };
        this.#write({ space, pa, sizeBytes, device, step, iova, content });
      }
    }
    if (what.op === 'copy') this.#copy(placement, device, step, what);
  }

  #copy(placement: Placement, device: number, step: number, what: WorkloadStep): void {
    const to = what.to!;
    const sources = placement.resolve(device, what.iova, what.sizeBytes);
    // Read everything before anything is written; a copy onto itself is contested by its own passes.
    const found = sources.flatMap((source) =>
      this.#overlapping(source.space, source.pa, source.sizeBytes).map((range) => ({
        target: to + (source.iova - what.iova) + BigInt(range.pa - source.pa),
        range,
      })),
    );
    const targets = placement.resolve(device, to, what.sizeBytes);
    const ontoItself = targets.some((target) =>
      sources.some((source) => source.space === target.space && overlap(source, target)),
    );
    for (const { pa, sizeBytes, space, iova } of targets) {
      this.#write({ space, pa, sizeBytes, device, step, iova, content: undefined });
    }
    if (ontoItself) return;
    for (const { target, range } of found) {
      const content = range.device === device ? range.content : undefined;
      for (const { pa, sizeBytes, space, iova } of placement.resolve(device, target, range.sizeBytes)) {
        const moved = content && {
          pattern: content.pattern,
          origin: content.origin + (iova - target),
        };
        this.#write({ space, pa, sizeBytes, device, step, iova, content: moved });
      }
    }
  }

  /** The parts of what was written that lie in a range. */
  #overlapping(space: SecurityState, pa: number, sizeBytes: number): WrittenRange[] {
    return this.#ranges
      .filter((range) => range.space === space && overlap(range, { pa, sizeBytes }))
      .map((range) => part(range, Math.max(range.pa, pa), Math.min(endOf(range), pa + sizeBytes)));
  }

  #write(written: WrittenRange): void {
    const kept: WrittenRange[] = [];
    const contested: WrittenRange[] = [];
    for (const range of this.#ranges) {
      if (range.space !== written.space || !overlap(range, written)) {
        kept.push(range);
        continue;
      }
      const from = Math.max(range.pa, written.pa);
      const to = Math.min(endOf(range), endOf(written));
      if (range.pa < from) kept.push(part(range, range.pa, from));
      if (to < endOf(range)) kept.push(part(range, to, endOf(range)));
      if (range.device !== written.device) contested.push({ ...part(range, from, to), content: undefined });
    }
    // Another device's claim stays where the two meet, without a value.
    const own = contested.reduce((parts, other) => parts.flatMap((one) => without(one, other)), [written]);
    this.#ranges = [...kept, ...own, ...contested];
  }
}

interface Extent {
  readonly pa: number;
  readonly sizeBytes: number;
}

function endOf(range: Extent): number {
  return range.pa + range.sizeBytes;
}

function overlap(a: Extent, b: Extent): boolean {
  return a.pa < endOf(b) && b.pa < endOf(a);
}

function part(range: WrittenRange, from: number, to: number): WrittenRange {
  const offset = BigInt(from - range.pa);
  const { content } = range;
  return {
    ...range,
    pa: from,
    sizeBytes: to - from,
    iova: range.iova + offset,
    content: content && { pattern: content.pattern, origin: content.origin + offset },
  };
}

function without(range: WrittenRange, hole: Extent): WrittenRange[] {
  if (!overlap(range, hole)) return [range];
  const parts: WrittenRange[] = [];
  if (range.pa < hole.pa) parts.push(part(range, range.pa, hole.pa));
  if (endOf(hole) < endOf(range)) parts.push(part(range, endOf(hole), endOf(range)));
  return parts;
}
