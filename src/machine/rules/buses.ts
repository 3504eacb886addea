/** PCIe: which buses there are, what numbers they have, and which SMMU stands above them (REQUIREMENTS F3). */
import { errorRule, isReported, type Reporter, usable, type Value, warningRule } from '../diagnostics.js';
import { type Bus, byOffset, hex, isRoot, type Model } from '../model.js';

export const busLoop = errorRule('bus-loop', 'Root ports that sit on one another in a circle.');
export const busNumberClash = errorRule(
  'bus-number-clash',
  'Bus-number ranges overlap, run backwards, or lie at or below the bus that the port hangs on.',
);
export const busRangeOutside = warningRule(
  'bus-range-outside',
  'A port below a port has bus numbers that the upper port does not forward.',
);
export const smmuWithoutBus = errorRule('smmu-without-bus', 'An SMMU has no `primary-bus`.');
export const busNotRoot = errorRule(
  'bus-not-root',
  'An SMMU on a bus that is no root complex (pcie, pxb-pcie).',
);
export const busShared = errorRule('bus-shared', 'Two SMMUs on one root complex.');
export const busBypassed = errorRule(
  'bus-bypassed',
  '`bypass-iommu: on` on a root complex that an SMMU serves.',
);

export const rules = [
  busLoop,
  busNumberClash,
  busRangeOutside,
  smmuWithoutBus,
  busNotRoot,
  busShared,
  busBypassed,
] as const;

export function checkBuses(model: Model, reporter: Reporter): void {
  findRoots(model.buses, reporter);
  checkOwnRanges(model.buses, reporter);
  checkOverlaps(model.buses, reporter);
  checkPrimaryBuses(model, reporter);
  checkBypass(model, reporter);
}

function findRoots(buses: readonly Bus[], reporter: Reporter): void {
  for (const bus of buses) {
    const path: Bus[] = [];
    let at: Bus | undefined = bus;
    while (at !== undefined && !path.includes(at) && !isRoot(at)) {
      path.push(at);
      at = at.parent;
    }
    if (at === undefined) continue;
    if (isRoot(at)) bus.root = at;
    else reportLoop(path.slice(path.indexOf(at)), reporter);
  }
}

function reportLoop(loop: readonly Bus[], reporter: Reporter): void {
  if (loop.some((bus) => bus.item.bus.reported)) return;
  const last = [...loop].sort((a, b) => byOffset(a.item.bus, b.item.bus)).at(-1)!;
  const names = loop.map((bus) => bus.item.label).join(' on ');
  const message = `${names} on ${loop[0]!.item.label}: these ports sit on one another`;
  reporter.value(busLoop, last.item.bus, message, 'let one of them sit on a root complex');
}

/** The value that says a bus's number; a `pcie` without `bus-nr` is bus 0. */
function numberValue(bus: Bus): Value<number> {
  return bus.item.type.value === 'pcie-root-port' ? bus.item.secondary : bus.item['bus-nr'];
}

interface BusRange {
  readonly first: number;
  readonly last: number;
}

function rangeOf(bus: Bus): BusRange | undefined {
  const value = numberValue(bus);
  const first = usable(value) ?? (bus.item.type.value === 'pcie' && !isReported(value) ? 0 : undefined);
  if (first === undefined) return undefined;
  return { first, last: usable(bus.item.subordinate) ?? first };
}

function formatBuses({ first, last }: BusRange): string {
  return first === last ? hex(first) : `${hex(first)}-${hex(last)}`;
}

/** A port against itself and the bus that it hangs on. */
function checkOwnRanges(buses: readonly Bus[], reporter: Reporter): void {
  for (const bus of buses) {
    const range = rangeOf(bus);
    const above = bus.root === undefined || bus.parent === undefined ? undefined : rangeOf(bus.parent);
    if (range === undefined || isRoot(bus)) continue;
    const { label, secondary } = bus.item;
    if (range.last < range.first) {
      const message = `port ${label}: subordinate ${hex(range.last)} is below secondary ${hex(range.first)}`;
      reporter.value(
        busNumberClash,
        secondary,
        message,
        'let subordinate be the highest bus number below the port',
      );
    } else if (above !== undefined && range.first <= above.first) {
      const message = `port ${label} (${formatBuses(range)}) hangs on bus ${bus.parent!.item.label}, which is number ${hex(above.first)}`;
      reporter.value(busNumberClash, secondary, message, `choose numbers above ${hex(above.first)}`);
    } else if (above !== undefined && forwardsOnly(bus.parent!) && range.last > above.last) {
      const message = `port ${label} (${formatBuses(range)}) hangs on port ${bus.parent!.item.label}, which forwards ${formatBuses(above)}`;
      reporter.value(busRangeOutside, secondary, message, 'raise subordinate of the upper port');
    }
  }
}

/** Whether a bus is a port whose range is known: a `subordinate` that was reported may have meant more. */
function forwardsOnly(bus: Bus): boolean {
  return !isRoot(bus) && !isReported(bus.item.subordinate);
}

function checkOverlaps(buses: readonly Bus[], reporter: Reporter): void {
  const good: Bus[] = [];
  for (const bus of [...buses].sort((a, b) => byOffset(numberValue(a), numberValue(b)))) {
    const range = rangeOf(bus);
    // A port that hangs nowhere may belong below whatever it overlaps.
    if (range === undefined || bus.root === undefined) continue;
    const other = good.find((each) => !related(bus, each) && overlaps(range, rangeOf(each)!));
    if (other === undefined) {
      good.push(bus);
      bus.number = range.first;
    } else {
      const message = `bus ${bus.item.label} (${formatBuses(range)}) has numbers of bus ${other.item.label} (${formatBuses(rangeOf(other)!)})`;
      reporter.value(busNumberClash, numberValue(bus), message, 'give every bus numbers of its own');
    }
  }
}

function overlaps(a: BusRange, b: BusRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** Whether one is above the other: the ranges of ports contain those below them. */
function related(a: Bus, b: Bus): boolean {
  return busesAbove(a).includes(b) || busesAbove(b).includes(a);
}

/** A bus and everything above it, up to its root complex. */
export function busesAbove(bus: Bus): Bus[] {
  const chain: Bus[] = [];
  for (let at: Bus | undefined = bus; at !== undefined && !chain.includes(at); at = at.parent) chain.push(at);
  return chain;
}

function checkPrimaryBuses(model: Model, reporter: Reporter): void {
  for (const smmu of [...model.smmus].sort((a, b) =>
    byOffset(a.item['primary-bus'], b.item['primary-bus']),
  )) {
    const { item, primaryBus: bus } = smmu;
    const reference = item['primary-bus'];
    if (reference.origin === 'none' && !reference.reported) {
      const message = `SMMU ${item.label} has no primary-bus`;
      reporter.value(
        smmuWithoutBus,
        reference,
        message,
        "add 'primary-bus' with the root complex that it serves",
      );
    } else if (bus?.item.type.value === 'pcie-root-port') {
      const root = bus.root === undefined ? 'a root complex' : `its root complex ${bus.root.item.label}`;
      const message = `SMMU ${item.label} is on ${bus.item.label}, a pcie-root-port`;
      reporter.value(busNotRoot, reference, message, `put it on ${root}`);
      delete smmu.primaryBus;
    } else if (bus?.smmu !== undefined) {
      const message = `SMMU ${item.label} and SMMU ${bus.smmu.item.label} are both on bus ${bus.item.label}`;
      reporter.value(busShared, reference, message, 'give each SMMU a root complex (pxb-pcie) of its own');
      delete smmu.primaryBus;
    } else if (bus !== undefined) bus.smmu = smmu;
  }
}

function checkBypass(model: Model, reporter: Reporter): void {
  for (const bus of model.buses) {
    if (usable(bus.item['bypass-iommu']) !== 'on') continue;
    const smmu = bus.smmu ?? model.idMaps.find((map) => map.bus === bus)?.smmu;
    if (smmu === undefined) continue;
    const message = `bus ${bus.item.label} bypasses the IOMMU, but SMMU ${smmu.item.label} serves it`;
    reporter.value(busBypassed, bus.item['bypass-iommu'], message, 'remove bypass-iommu, or the SMMU');
  }
}
