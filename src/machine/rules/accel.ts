/**
 * Accelerated SMMUs: what may be behind them, what their host must have, and where the guest's memory is (REQUIREMENTS C19 to
 * C21).
 */
import { capabilityMismatches } from '../../iommufd/vsmmu/capabilities.js';
import {
  errorRule,
  isGiven,
  isReported,
  type Reporter,
  usable,
  type Value,
  warningRule,
} from '../diagnostics.js';
import { autoProperties, effectiveIdRegisters } from '../effective-idr.js';
import type { RegionItem } from '../file-shape.js';
import {
  byOffset,
  type Device,
  extent,
  formatRange,
  hex,
  isAccelerated,
  type Model,
  type Smmu,
} from '../model.js';

export const accelEmulatedDevice = errorRule(
  'accel-emulated-device',
  'An emulated device behind an accelerated SMMU: the physical SMMU never sees its accesses.',
);
export const accelCapability = errorRule(
  'accel-capability',
  "An accelerated SMMU promises what its host's does not have.",
);
export const accelAutoUnresolved = errorRule(
  'accel-auto-unresolved',
  'A property is `auto`, but no device is passed through whose host could decide it.',
);
export const accelReduced = warningRule(
  'accel-reduced',
  'A property that an accelerated SMMU cannot have: it offers stage 1 to Non-secure streams, and no Stall model.',
);
export const vfioHost = errorRule(
  'vfio-host',
  'A vfio-pci device whose `host` is no device that could be passed through there.',
);
export const accelHostSoftware = warningRule(
  'accel-host-software',
  'Software for a device of a host that runs guests: its kernel blocks what it does not pass through, and programs nothing else.',
);
export const backingInvalid = errorRule(
  'backing-invalid',
  "A guest's memory that is no part of the region that backs it, or another guest's memory as well.",
);

export const rules = [
  accelEmulatedDevice,
  accelCapability,
  accelAutoUnresolved,
  accelReduced,
  vfioHost,
  accelHostSoftware,
  backingInvalid,
] as const;

/** Needs routes, and effective Secure support. */
export function checkAccel(model: Model, reporter: Reporter): void {
  checkBacking(model, reporter);
  checkDevices(model, reporter);
  checkHostSoftware(model, reporter);
  for (const smmu of model.smmus) {
    if (!isAccelerated(smmu)) continue;
    checkReduced(smmu, reporter);
    const passed = model.devices.some(
      ({ item, route }) => route.kind === 'smmu' && route.smmu === smmu && item.type.value === 'vfio-pci',
    );
    if (passed) checkCapabilities(smmu, reporter);
    else if (!model.isRunning) checkAuto(smmu, reporter);
  }
}

function checkBacking({ backing }: Model, reporter: Reporter): void {
  const good: { region: RegionItem; of: RegionItem; start: number; end: number }[] = [];
  for (const [region, of] of [...backing].sort(([a], [b]) => byOffset(a.base, b.base))) {
    const mine = extent(region);
    const whole = extent(of);
    const offset = usable(region.offset);
    if (mine === undefined || whole === undefined || offset === undefined) continue;
    const start = whole.start + offset;
    const end = start + mine.end - mine.start;
    const other = good.find((one) => one.of === of && start < one.end && one.start < end);
    const trouble =
      backing.has(of) || of === region
        ? `region ${of.label} is a guest's memory itself`
        : end > whole.end
          ? `region ${of.label} ends at ${hex(whole.end - 1)}`
          : other !== undefined
            ? `${formatRange(other.start, other.end)} backs region ${other.region.label}`
            : undefined;
    if (trouble === undefined) good.push({ region, of, start, end });
    else {
      const message = `region ${region.label} is backed by ${formatRange(start, end)}, but ${trouble}`;
      const at: Value<unknown> = isGiven(region.offset) ? region.offset : region['backed-by'];
      reporter.value(
        backingInvalid,
        at,
        message,
        'choose an offset at which the host has memory for it alone',
      );
    }
  }
}

function checkDevices({ devices, software, workload }: Model, reporter: Reporter): void {
  const taken = new Map<Device, Device>();
  const busy = new Set([...software, ...workload].map(({ device }) => device.value));
  for (const device of devices) {
    const { item, route, host } = device;
    const type = usable(item.type);
    if (type === undefined || route.kind === 'unknown') continue;
    const accelerated = route.kind === 'smmu' && isAccelerated(route.smmu) ? route.smmu : undefined;
    if (type !== 'vfio-pci') {
      if (accelerated === undefined) continue;
      const message = `device ${item.label} is emulated, but SMMU ${accelerated.item.label} is accelerated by ${accelerated.item.accel.value}`;
      const help =
        'pass a device of the host through (type: vfio-pci), or put it behind an SMMU without accel';
      reporter.value(accelEmulatedDevice, item.type, message, help);
      continue;
    }
    if (accelerated === undefined) {
      const message = `device ${item.label} is passed through, but no accelerated SMMU is above it`;
      reporter.value(vfioHost, item.type, message, 'put it behind an SMMU with accel');
      continue;
    }
    if (host === undefined || accelerated.host === undefined) continue;
    const trouble = hostTrouble(host, accelerated.host, taken.get(host), busy);
    if (trouble === undefined) taken.set(host, device);
    else
      reporter.value(
        vfioHost,
        item.host,
        `device ${item.label} cannot be ${host.item.label} of the host: ${trouble}`,
        'name another device of the host',
      );
  }
}

function checkHostSoftware({ smmus, devices, software }: Model, reporter: Reporter): void {
  for (const { device } of software) {
    const named = devices.find(({ item }) => item.id.value === device.value);
    if (named?.route.kind !== 'smmu' || isReported(device)) continue;
    const { smmu } = named.route;
    if (!smmus.some(({ host }) => host === smmu)) continue;
    const message = `device ${named.item.label} is the host's, which runs guests on SMMU ${smmu.item.label}: it is blocked, and not programmed`;
    reporter.value(accelHostSoftware, device, message, 'put it behind another SMMU, or pass it through');
  }
}

function hostTrouble(
  host: Device,
  smmu: Smmu,
  owner: Device | undefined,
  busy: ReadonlySet<string | undefined>,
): string | undefined {
  if (host.item.type.value === 'vfio-pci') return 'it is passed through itself';
  if (host.route.kind === 'unknown') return undefined;
  if (host.route.kind === 'none' || host.route.smmu !== smmu)
    return `it is not behind SMMU ${smmu.item.label}`;
  if (usable(host.item['sec-sid']) === 'secure') return 'its stream is Secure';
  if (owner !== undefined) return `device ${owner.item.label} is it already`;
  return busy.has(host.item.id.value) ? 'the host uses it' : undefined;
}

function checkReduced({ item }: Smmu, reporter: Reporter): void {
  const stage1 = 'stage 1 for Non-secure streams';
  const asked: readonly (readonly [string, Value<unknown>, boolean, string])[] = [
    ['stage', item.stage, (usable(item.stage) ?? '1') !== '1', stage1],
    ['secure-impl', item['secure-impl'], usable(item['secure-impl']) === 'on', stage1],
    ['secure-memory', item['secure-memory'], isGiven(item['secure-memory']), stage1],
    ['sel2', item.sel2, usable(item.sel2) === 'on', stage1],
    [
      'stall-model',
      item['stall-model'],
      (usable(item['stall-model']) ?? 'terminate') !== 'terminate',
      'no Stall model',
    ],
  ];
  for (const [name, value, wanted, what] of asked) {
    if (!wanted || value.origin !== 'own') continue;
    const message = `SMMU ${item.label} is accelerated: it has ${what}, whatever ${name} says`;
    reporter.value(accelReduced, value, message, `remove ${name}`);
  }
}

function checkCapabilities(smmu: Smmu, reporter: Reporter): void {
  const { item, host } = smmu;
  const guest = effectiveIdRegisters(smmu);
  if (host === undefined || host === smmu) return;
  const below = effectiveIdRegisters(host);
  const messages: string[] = [];
  if (host.host !== undefined) messages.push('it is accelerated itself');
  else if (usable(host.item.stage) !== undefined && usable(host.item.stage) !== 'nested') {
    messages.push(`stage: nested for a host, "${host.item.stage.value}" there`);
  }
  if (guest !== undefined && below !== undefined) messages.push(...capabilityMismatches(guest, below));
  for (const message of messages) {
    const text = `SMMU ${host.item.label} cannot translate for SMMU ${item.label}: ${message}`;
    reporter.at(
      accelCapability,
      item.accel.at,
      text,
      'give the host what the guest is promised, or promise less (auto: what the host has)',
    );
  }
}

function checkAuto({ item }: Smmu, reporter: Reporter): void {
  for (const name of autoProperties(item)) {
    const message = `${name} of SMMU ${item.label} is auto, but no device is passed through whose host could decide it`;
    reporter.value(accelAutoUnresolved, item[name], message, 'add a vfio-pci device, or write a value');
  }
}
