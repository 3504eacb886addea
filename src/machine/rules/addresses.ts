/** Slots and functions: where devices and ports sit. */
import { parseSlotFunction, requesterID, type SlotFunction } from '../../bus/requester-id.js';
import { errorRule, type Reporter, usable, type Value, warningRule } from '../diagnostics.js';
import { type Bus, byOffset, type Model } from '../model.js';

export const addrInvalid = errorRule(
  'addr-invalid',
  '`addr` is not slot.function: one or two hex digits up to 1f, a point, one digit 0 to 7.',
);
export const addrClash = errorRule('addr-clash', 'Two functions in one place; a root port occupies its own.');
export const addrSlotBelowPort = warningRule(
  'addr-slot-below-port',
  'A slot above 0 below a root port: a PCIe link has one device, so software will not find it.',
);

export const rules = [addrInvalid, addrClash, addrSlotBelowPort] as const;

interface Occupant {
  readonly label: string;
  readonly addr: Value<string>;
  readonly bus: Bus | undefined;
  readonly settle: (place: SlotFunction) => void;
}

export function checkAddresses(model: Model, reporter: Reporter): void {
  const taken = new Map<Bus, Map<number, Occupant>>();
  for (const occupant of occupants(model).sort((a, b) => byOffset(a.addr, b.addr))) {
    const text = usable(occupant.addr);
    if (text === undefined) continue;
    const place = parseSlotFunction(text);
    if (place === undefined) {
      const message = `addr of ${occupant.label} is '${text}', which is not slot 0-1f and function 0-7`;
      reporter.value(addrInvalid, occupant.addr, message, 'write slot.function, as "02.0" or "1f.7"');
    } else if (occupant.bus !== undefined) settle(occupant, occupant.bus, place, taken, reporter);
  }
}

function occupants(model: Model): Occupant[] {
  const devices = model.devices.map((device): Occupant => {
    const { label, addr } = device.item;
    const settle = (place: SlotFunction): void => {
      if (device.bus?.number !== undefined) device.requesterID = requesterID(device.bus.number, place);
    };
    return { label, addr, bus: device.bus, settle };
  });
  const ports = model.buses.map((bus): Occupant => {
    const { label, addr } = bus.item;
    return { label, addr, bus: bus.seat, settle: () => {} };
  });
  return [...devices, ...ports];
}

function settle(
  occupant: Occupant,
  bus: Bus,
  place: SlotFunction,
  taken: Map<Bus, Map<number, Occupant>>,
  reporter: Reporter,
): void {
  const places = taken.get(bus) ?? new Map<number, Occupant>();
  taken.set(bus, places);
  const key = requesterID(0, place);
  const other = places.get(key);
  if (other !== undefined) {
    const message = `${occupant.label} and ${other.label} are both at ${occupant.addr.value} of bus ${bus.item.label}`;
    reporter.value(addrClash, occupant.addr, message, 'move one of them to a free slot or function');
    return;
  }
  places.set(key, occupant);
  occupant.settle(place);
  if (bus.item.type.value === 'pcie-root-port' && place.slot > 0) {
    const message = `${occupant.label} is in slot ${place.slot.toString(16)} below root port ${bus.item.label}`;
    reporter.value(addrSlotBelowPort, occupant.addr, message, 'below a root port use slot 00');
  }
}
