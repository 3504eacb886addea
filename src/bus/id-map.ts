/**
 * Requester ID to StreamID: ranges as in an IORT's ID mappings (a root complex node's output is an SMMU's input).
 */

export interface IdRange {
  readonly ridBase: number;
  readonly count: number;
  readonly sidBase: number;
}

/** The whole Requester ID space onto itself: what a root complex without maps has. */
export const IDENTITY: IdRange = { ridBase: 0, count: 0x1_0000, sidBase: 0 };

export function covers(range: IdRange, requester: number): boolean {
  return requester >= range.ridBase && requester - range.ridBase < range.count;
}

/** The StreamID of a Requester ID that the range covers. */
export function streamID(range: IdRange, requester: number): number {
  return range.sidBase + (requester - range.ridBase);
}

export function lastStreamID(range: IdRange): number {
  return range.sidBase + range.count - 1;
}

export function overlap(a: IdRange, b: IdRange): boolean {
  return a.ridBase < b.ridBase + b.count && b.ridBase < a.ridBase + a.count;
}

/** `0x2000-0x21ff`: a range of Requester IDs as messages print it. */
export function formatRIDs(range: IdRange): string {
  return `0x${range.ridBase.toString(16)}-0x${(range.ridBase + range.count - 1).toString(16)}`;
}
