/**
 * Secure support: inferred or explicit, wired or not, and the devices that need it (REQUIREMENTS A1, A6 to A14,
 * A18, A20, A23; IHI 0070 3.10.2, 6.3.53).
 */
import { formatBDF } from '../../bus/requester-id.js';
import { errorRule, isGiven, isReported, type Reporter, usable } from '../diagnostics.js';
import { type Device, isAccelerated, type Model, type Smmu } from '../model.js';

export const secureMemoryMissing = errorRule(
  'secure-memory-missing',
  'Secure support is on, but no `secure-memory` is wired.',
);
export const secureNeedsStage1 = errorRule(
  'secure-needs-stage1',
  'Secure support on an SMMU without stage 1: SECURE_IMPL == 1 requires IDR0.S1P == 1.',
);
export const secureDeviceUnsupported = errorRule(
  'secure-device-unsupported',
  '`sec-sid: secure` on a device behind an SMMU without Secure support.',
);
export const secureDeviceWithoutSmmu = errorRule(
  'secure-device-without-smmu',
  '`sec-sid: secure` on a device behind no SMMU.',
);

export const sel2Unsupported = errorRule(
  'sel2-unsupported',
  '`sel2: on` on an SMMU without Secure support, without both stages, or older than SMMUv3.2.',
);

export const rules = [
  secureMemoryMissing,
  secureNeedsStage1,
  secureDeviceUnsupported,
  secureDeviceWithoutSmmu,
  sel2Unsupported,
] as const;

export function checkSecureSupport(model: Model, reporter: Reporter): void {
  for (const smmu of model.smmus) {
    const secure = effectiveSupport(smmu, reporter);
    if (secure === undefined) continue;
    smmu.secure = secure;
    if (secure && usable(smmu.item.stage) === '2') {
      const message = `SMMU ${smmu.item.label} has Secure support, which needs stage 1, but stage is "2"`;
      reporter.value(
        secureNeedsStage1,
        smmu.item.stage,
        message,
        'write stage: nested or "1", or secure-impl: off',
      );
    }
  }
}

/** Secure EL2 (6.3.53 SEL2). Needs effective Secure support; a property that was reported is not held against it. */
export function checkSecureEL2(model: Model, reporter: Reporter): void {
  for (const { item, secure } of model.smmus) {
    if (usable(item.sel2) !== 'on') continue;
    const stage = usable(item.stage);
    const problems: readonly (readonly [boolean, string, string])[] = [
      [secure === false, 'has no Secure support', 'wire secure-memory, or remove sel2'],
      [
        stage !== undefined && stage !== 'nested',
        `has stage "${stage}" alone`,
        'write stage: nested, or remove sel2',
      ],
      [usable(item.ril) === 'off', 'is an SMMUv3.1 by ril: off', 'remove ril: off, or sel2'],
    ];
    const found = problems.find(([wrong]) => wrong);
    if (found === undefined) continue;
    const [, why, help] = found;
    reporter.value(sel2Unsupported, item.sel2, `SMMU ${item.label} has sel2: on, but it ${why}`, help);
  }
}

/** Absent and auto infer; on and off are the author's word. Undefined: what decides it was reported. */
function effectiveSupport(smmu: Smmu, reporter: Reporter): boolean | undefined {
  // Only Non-secure streams are passed through (rules/accel.ts warns).
  if (isAccelerated(smmu)) return false;
  const { item } = smmu;
  const impl = item['secure-impl'];
  const link = item['secure-memory'];
  const wired = isGiven(link) || isReported(link);
  switch (usable(impl)) {
    case 'off':
      return false;
    case 'auto':
      return isReported(link) ? undefined : wired;
    case 'on': {
      if (wired) return true;
      const message = `SMMU ${item.label} has secure-impl: on, but no secure-memory`;
      const at = impl.origin === 'own' ? impl.at : { offset: item.at.offset, path: impl.at.path };
      reporter.at(
        secureMemoryMissing,
        at,
        message,
        'add secure-memory with an address space, or remove secure-impl',
      );
      impl.reported = true;
      return undefined;
    }
    default:
      return undefined;
  }
}

export function checkSecureDevices(model: Model, reporter: Reporter): void {
  for (const device of model.devices) {
    if (usable(device.item['sec-sid']) !== 'secure') continue;
    if (device.route.kind === 'none') {
      const message = `device ${name(device)} is secure, but no SMMU is above it`;
      const help = 'remove sec-sid, or put an SMMU with Secure support on its root complex';
      reporter.value(secureDeviceWithoutSmmu, device.item['sec-sid'], message, help);
    } else if (device.route.kind === 'smmu' && device.route.smmu.secure === false) {
      reportUnsupported(device, device.route.smmu, reporter);
    }
  }
}

function reportUnsupported(device: Device, smmu: Smmu, reporter: Reporter): void {
  const { label } = smmu.item;
  const forced = usable(smmu.item['secure-impl']) === 'off';
  const why = forced ? ': secure-impl: off forces it off' : '';
  const message = `device ${name(device)} is secure, but SMMU ${label} has no Secure support${why}`;
  const help = forced
    ? `remove secure-impl: off from SMMU ${label} (or from the global that sets it), or sec-sid from the device`
    : `wire secure-memory to SMMU ${label}, or remove sec-sid from the device`;
  reporter.value(secureDeviceUnsupported, device.item['sec-sid'], message, help);
}

function name(device: Device): string {
  const { requesterID, item } = device;
  return requesterID === undefined ? item.label : `${item.label} (${formatBDF(requesterID)})`;
}
