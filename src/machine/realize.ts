/**
 * From a model in which everything is right to the Machine that crosses to workers. Nothing is checked here:
 * what is missing now is our mistake, and an assertion says so.
 */

import { NON_SECURE, securityState } from '../arch/security.js';
import { formatBDF } from '../bus/requester-id.js';
import { usable, type Value } from './diagnostics.js';
import { effectiveIdRegisters } from './effective-idr.js';
import {
  IRQ_NAMES,
  type MappingItem,
  type RegionItem,
  type SoftwareItem,
  type StepItem,
} from './file-shape.js';
import { GRANULE_NAMES } from './kinds.js';
import type { Device, Model, Smmu } from './model.js';
import { items } from './read.js';
import type {
  DeviceInstance,
  Machine,
  MachineSource,
  Mapping,
  MemoryRegion,
  SmmuInstance,
  SmmuInterrupts,
  StreamProgram,
  WorkloadStep,
} from './types.js';

/** The first interrupt number that is assigned where the file leaves one out: QEMU virt's first for its SMMU. */
const FIRST_FREE_IRQ = 74;

export function realize(model: Model, source: MachineSource): Machine {
  const irqs = assignInterrupts(model.smmus);
  return {
    name: must(usable(model.file.machine)),
    source,
    regions: model.regions.map((region) => ({
      id: must(usable(region.id)),
      base: must(usable(region.base)),
      sizeBytes: must(usable(region.size)),
      security: securityState(must(usable(region.security))),
      ...aliasOf(region, model),
    })),
    addressSpaces: [...model.spaces.values()].map((space) => ({
      id: space.id,
      regions: space.regions.map((region) => must(usable(region.id))),
    })),
    smmus: model.smmus.map((smmu, index) => realizeSmmu(smmu, irqs[index]!, model.smmus)),
    devices: model.devices.map((device) => realizeDevice(device, model)),
    software: model.software.map(realizeProgram),
    workload: model.workload.map(realizeStep),
  };
}

function must<T>(value: T | undefined): T {
  if (value === undefined)
    throw new Error('realize: a rule let a value through that it should have reported');
  return value;
}

/** Numbers that are left out avoid every number that the file uses. */
function assignInterrupts(smmus: readonly Smmu[]): SmmuInterrupts[] {
  const given = (smmu: Smmu, output: (typeof IRQ_NAMES)[number]): number | undefined => {
    const value: Value<number> | undefined = smmu.item.irqs.value?.[output];
    return value === undefined ? undefined : usable(value);
  };
  const used = new Set(smmus.flatMap((smmu) => IRQ_NAMES.map((output) => given(smmu, output))));
  let next = FIRST_FREE_IRQ;
  const free = (): number => {
    while (used.has(next)) next++;
    return next++;
  };
  return smmus.map((smmu) => {
    const [eventq, priq, cmdSync, gerror] = IRQ_NAMES.map((output) => given(smmu, output) ?? free());
    return { eventq: eventq!, priq: priq!, cmdSync: cmdSync!, gerror: gerror! };
  });
}

function aliasOf(region: RegionItem, { backing }: Model): Pick<MemoryRegion, 'alias'> {
  const of = backing.get(region);
  return of === undefined ? {} : { alias: { of: must(usable(of.id)), offset: must(usable(region.offset)) } };
}

function realizeSmmu(smmu: Smmu, irqs: SmmuInterrupts, smmus: readonly Smmu[]): SmmuInstance {
  const { item } = smmu;
  const id = must(usable(item.id));
  const secureMemory = smmu.secureMemory?.id;
  return {
    id,
    base: must(usable(item.base)),
    config: {
      id,
      idr: must(effectiveIdRegisters(smmu)),
      tlb: must(usable(item.tlb)),
      configCache: must(usable(item['config-cache'])),
      caching: must(usable(item.caching)),
      replacement: must(usable(item.replacement)),
      cacheSeed: must(usable(item['cache-seed'])),
      speculativeFills: must(usable(item['speculative-fills'])) === 'on',
      ...(must(usable(item['s-init'])) === 'non-secure' ? { nonSecureInit: true } : {}),
    },
    memory: must(smmu.memory).id,
    ...(secureMemory === undefined ? {} : { secureMemory }),
    ...(smmu.host === undefined ? {} : { accel: smmus.indexOf(smmu.host) }),
    irqs,
  };
}

function realizeDevice(device: Device, model: Model): DeviceInstance {
  const { smmus } = model;
  const requesterID = must(device.requesterID);
  const { route } = device;
  if (route.kind === 'unknown') throw new Error('realize: a device whose way to memory is unknown');
  return {
    id: must(usable(device.item.id)),
    type: must(usable(device.item.type)),
    bdf: formatBDF(requesterID),
    requesterID,
    smmu: route.kind === 'smmu' ? smmus.indexOf(route.smmu) : -1,
    StreamID: route.kind === 'smmu' ? must(route.StreamID) : requesterID,
    SEC_SID: route.kind === 'smmu' ? securityState(must(usable(device.item['sec-sid']))) : NON_SECURE,
    ...(device.host === undefined ? {} : { host: realizeDevice(device.host, model) }),
  };
}

function realizeProgram(item: SoftwareItem): StreamProgram {
  const device = must(usable(item.device));
  return {
    device,
    config: must(usable(item.config)),
    granule: GRANULE_NAMES[must(usable(item.granule))],
    faults: must(usable(item.faults)),
    context: usable(item.context) ?? device,
    mappings: items(item.mappings).map(realizeMapping),
  };
}

function realizeMapping(item: MappingItem): Mapping {
  const pa = usable(item.pa);
  const security = usable(item.security);
  return {
    iova: must(usable(item.iova)),
    sizeBytes: must(usable(item.size)),
    ...(pa === undefined ? {} : { pa }),
    access: must(usable(item.access)),
    ...(must(usable(item.populate)) === 'on-fault' ? { onFault: true } : {}),
    ...(security === undefined ? {} : { security: securityState(security) }),
  };
}

function realizeStep(item: StepItem): WorkloadStep {
  const to = usable(item.to);
  return {
    device: must(usable(item.device)),
    op: must(usable(item.op)),
    iova: must(usable(item.iova)),
    ...(to === undefined ? {} : { to }),
    sizeBytes: must(usable(item.size)),
    blockBytes: must(usable(item.block)),
    repeat: must(usable(item.repeat)),
    pattern: must(usable(item.pattern)),
    expect: must(usable(item.expect)),
  };
}
