/** PCIe places and Requester IDs: bus << 8 | slot << 3 | function. */

export interface SlotFunction {
  /** 0 to 0x1f */
  readonly slot: number;
  /** 0 to 7 */
  readonly function: number;
}

/** Slot in hex as QEMU writes it: one or two digits, a point, one function digit. */
const ADDR = /^([0-9a-fA-F]{1,2})\.([0-7])$/;

/** @returns undefined where the text is no slot 0 to 1f and function 0 to 7. */
export function parseSlotFunction(text: string): SlotFunction | undefined {
  const match = ADDR.exec(text);
  const slot = match === null ? Number.NaN : Number.parseInt(match[1]!, 16);
  return match !== null && slot <= 0x1f ? { slot, function: Number(match[2]) } : undefined;
}

export function requesterID(bus: number, place: SlotFunction): number {
  return (bus << 8) | (place.slot << 3) | place.function;
}

/** `bb:ss.f`, as `00:03.0`. */
export function formatBDF(requester: number): string {
  const bus = (requester >>> 8).toString(16).padStart(2, '0');
  const slot = ((requester >>> 3) & 0x1f).toString(16).padStart(2, '0');
  return `${bus}:${slot}.${requester & 7}`;
}
