/**
 * Device findings on their way from the main thread to the software threads, which never return to their event loops: a
 * length and JSON text in shared memory, written once, before the software is told that all devices are done.
 */
import type { Finding } from '../checker/finding.js';

/** A device's finding, and the interface whose software knows its story. */
export interface DeviceFinding {
  /** Among all findings of the run. */
  readonly index: number;
  readonly interface: number;
  readonly finding: Finding;
}

const BYTES = 0x4_0000;
const HEADER_BYTES = 4;

export function allocateInbox(): SharedArrayBuffer {
  return new SharedArrayBuffer(BYTES);
}

/** Writes as many as there is room for. */
export function writeInbox(inbox: SharedArrayBuffer, findings: readonly DeviceFinding[]): void {
  let some = findings;
  let text = new TextEncoder().encode(JSON.stringify(some));
  while (text.length > BYTES - HEADER_BYTES) {
    some = some.slice(0, some.length >> 1);
    text = new TextEncoder().encode(JSON.stringify(some));
  }
  new Uint8Array(inbox, HEADER_BYTES).set(text);
  new Int32Array(inbox, 0, 1)[0] = text.length;
}

export function readInbox(inbox: SharedArrayBuffer): readonly DeviceFinding[] {
  const length = new Int32Array(inbox, 0, 1)[0]!;
  if (length === 0) return [];
  return JSON.parse(new TextDecoder().decode(new Uint8Array(inbox, HEADER_BYTES, length).slice()));
}
