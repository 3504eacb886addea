/**
 * The scenario format, version 1, as types: what a header and a step hold once a file's text has been read and
 * checked. test/vectors/README.md describes the format in prose; src/scenario/parse.ts makes these out of JSON.
 *
 * Physical addresses and sizes are exact numbers (52 bits fit), register values and input addresses are bigints,
 * byte strings are bytes.
 */
import type { SecurityState } from '../arch/security.js';

/** ID registers by the names that IHI 0070 6.3 gives them, without the `SMMU_` prefix. */
export type IdWords = Readonly<Record<string, number>>;

/** Bits of an ID register on which a scenario's answers depend. */
export interface Assumption {
  readonly mask: number;
  readonly value: number;
}

/** What one SMMU of a scenario is built as; absent properties are not asked for. */
export interface SmmuDescription {
  readonly stage?: '1' | '2' | 'nested';
  readonly oas?: number;
  readonly sidSize?: number;
  readonly ssidSize?: number;
  readonly secureImpl?: boolean;
  readonly ats?: boolean;
  readonly idr: IdWords;
}

export interface MemoryDescription {
  readonly space: SecurityState;
  readonly base: number;
  readonly sizeBytes: number;
}

export interface ScenarioHeader {
  readonly name: string;
  readonly origin: string;
  /** The section that the scenario exercises, where one is named. */
  readonly spec: string;
  /** A recording of a real driver; its `dma` steps only translate. */
  readonly recorded: boolean;
  /** In the order of the file; one without a name of its own is called `smmu`. */
  readonly smmus: ReadonlyMap<string, SmmuDescription>;
  readonly assumes: Readonly<Record<string, Assumption>>;
  readonly memory: readonly MemoryDescription[];
  /** Number of steps that a recording promises; a shorter file is cut off. */
  readonly stepsCount?: number;
}

export interface MemWriteStep {
  readonly op: 'mem.write';
  readonly space: SecurityState;
  readonly pa: number;
  readonly bytes: Uint8Array;
}

export interface MemReadStep {
  readonly op: 'mem.read';
  readonly space: SecurityState;
  readonly pa: number;
  readonly sizeBytes: number;
  readonly expect: Uint8Array;
}

export interface MemCopyStep {
  readonly op: 'mem.copy';
  readonly from: number;
  readonly fromSpace: SecurityState;
  readonly to: number;
  readonly toSpace: SecurityState;
  readonly sizeBytes: number;
}

export interface MmioWriteStep {
  readonly op: 'mmio.write';
  readonly smmu: string;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly security: SecurityState;
  readonly value: bigint;
}

export interface MmioReadStep {
  readonly op: 'mmio.read';
  readonly smmu: string;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly security: SecurityState;
  readonly expect: bigint;
  readonly mask: bigint;
}

export type DmaExpectation =
  | {
      readonly result: 'ok';
      readonly pa?: number;
      readonly space?: SecurityState;
      readonly bytes?: Uint8Array;
    }
  | { readonly result: 'abort' }
  | { readonly result: 'stall'; readonly id: string };

export interface DmaStep {
  readonly op: 'dma';
  readonly smmu: string;
  readonly StreamID: number;
  /** -1: no substream. */
  readonly SubstreamID: number;
  readonly SEC_SID: SecurityState;
  readonly write: boolean;
  readonly privileged: boolean;
  readonly instruction: boolean;
  readonly ns: boolean;
  readonly iova: bigint;
  readonly sizeBytes: number;
  /** What a write writes; zeros where the file does not say. */
  readonly bytes: Uint8Array;
  /** Compare result and address, move nothing. */
  readonly translateOnly: boolean;
  readonly expect: DmaExpectation;
}

export interface DmaOutcomeStep {
  readonly op: 'dma.outcome';
  readonly id: string;
  readonly expect: { readonly result: 'ok' | 'abort' | 'raz-wi'; readonly bytes?: Uint8Array };
}

/** An event record: four 64-bit words, lowest first. */
export type EventWords = readonly [bigint, bigint, bigint, bigint];

export interface EventsStep {
  readonly op: 'events';
  readonly smmu: string;
  readonly SEC_SID: SecurityState;
  readonly expect: readonly EventWords[];
  readonly mask: EventWords;
  /** False in recordings: the recorded driver consumes the records itself. */
  readonly consume: boolean;
}

export const INTERRUPTS = ['eventq', 'gerror', 'cmd-sync', 'priq'] as const;
export type InterruptName = (typeof INTERRUPTS)[number];

export interface IrqStep {
  readonly op: 'irq';
  readonly smmu: string;
  readonly SEC_SID: SecurityState;
  readonly expect: readonly InterruptName[];
}

export interface InjectStep {
  readonly op: 'inject';
  readonly fault: 'external-abort';
  readonly space: SecurityState;
  readonly pa: number;
  readonly sizeBytes: number;
  readonly access: 'read' | 'write' | 'any';
  readonly times: number;
}

export interface ResetStep {
  readonly op: 'reset';
  /** Absent: every SMMU. */
  readonly smmu?: string;
}

export interface SnapshotStep {
  readonly op: 'snapshot';
  readonly as: string;
}

export interface RestoreStep {
  readonly op: 'restore';
  readonly from: string;
}

export interface NoteStep {
  readonly op: 'note';
  readonly text: string;
}

export type Step =
  | MemWriteStep
  | MemReadStep
  | MemCopyStep
  | MmioWriteStep
  | MmioReadStep
  | DmaStep
  | DmaOutcomeStep
  | EventsStep
  | IrqStep
  | InjectStep
  | ResetStep
  | SnapshotStep
  | RestoreStep
  | NoteStep;

/** The name of an SMMU that the header gives none. */
export const ONLY_SMMU = 'smmu';

/** What is wrong with a scenario file's text. The position is added where the file is known. */
export class ScenarioFormatError extends Error {
  override readonly name = 'ScenarioFormatError';
}
