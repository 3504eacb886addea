/** What boot software is to program, and what the devices are to do: whether that can be done at all. */
import { errorRule, isReported, type Reporter, usable, type Value, warningRule } from '../diagnostics.js';
import type { MappingItem, SoftwareItem, StepItem } from '../file-shape.js';
import { GRANULE_NAMES } from '../kinds.js';
import { type Device, extent, hex, isAccelerated, type Model, type Smmu, type Space } from '../model.js';
import { DEFAULT_OAS, granules, numberOr } from '../properties.js';
import { items, mayHoldMore } from '../read.js';
import { directory, resolve } from './references.js';

export const softwareConflict = errorRule(
  'software-conflict',
  'A stream that cannot be programmed so: no SMMU, twice, a granule that is not there, a context that cannot be shared.',
);
export const mappingInvalid = errorRule(
  'mapping-invalid',
  'A mapping that no page table can have: misaligned, overlapping, beyond the address range, outside memory.',
);
export const stepInvalid = errorRule('step-invalid', 'A workload step that cannot be done as written.');
export const stepUnmapped = warningRule(
  'step-unmapped',
  'A workload step expects `ok` where the software maps nothing, or not for this access.',
);

export const rules = [softwareConflict, mappingInvalid, stepInvalid, stepUnmapped] as const;

/** TTB0 and TTB1 translate 48-bit input addresses each; boot software uses TTB0. */
const IOVA_LIMIT = 2n ** 48n;
const STAGE_1_OUTPUT_BITS = 48n;

interface Programmed {
  readonly item: SoftwareItem;
  readonly device: Device;
  readonly smmu: Smmu;
}

export function checkSoftware(model: Model, reporter: Reporter): void {
  const devices = directory('device', model.devices, mayHoldMore(model.file.devices));
  const programs = new Map<Device, Programmed>();
  const contexts = new Map<string, Programmed[]>();
  for (const item of model.software) {
    const device = resolve(reporter, item.device, devices);
    const program = device === undefined ? undefined : programOf(item, device, programs, reporter);
    if (program === undefined) continue;
    programs.set(program.device, program);
    const name = usable(item.context) ?? `the context of ${item.device.value}`;
    const sharers = contexts.get(name) ?? [];
    contexts.set(name, [...sharers, program]);
    checkProgram(program, sharers, reporter);
  }
  for (const step of model.workload) {
    const device = resolve(reporter, step.device, devices);
    checkStep(step, reporter);
    const program = device === undefined ? undefined : programs.get(device);
    if (program !== undefined && !reporter.failed) checkStepIsMapped(step, program, contexts, reporter);
  }
}

function programOf(
  item: SoftwareItem,
  device: Device,
  programs: ReadonlyMap<Device, Programmed>,
  reporter: Reporter,
): Programmed | undefined {
  const { label } = device.item;
  if (device.route.kind === 'none') {
    const message = `device ${label} is behind no SMMU: there is no stream to program`;
    reporter.value(
      softwareConflict,
      item.device,
      message,
      'remove the entry, or put an SMMU above the device',
    );
  } else if (programs.has(device)) {
    const message = `the stream of device ${label} is programmed twice`;
    reporter.value(softwareConflict, item.device, message, 'merge the two entries');
  } else if (device.route.kind === 'smmu') return { item, device, smmu: device.route.smmu };
  return undefined;
}

function checkProgram(program: Programmed, sharers: readonly Programmed[], reporter: Reporter): void {
  const { item, smmu } = program;
  const granule = usable(item.granule);
  if (granule !== undefined && granules(smmu.item)?.includes(granule) === false) {
    const message = `SMMU ${smmu.item.label} has no ${GRANULE_NAMES[granule]} granule`;
    reporter.value(softwareConflict, item.granule, message, 'use one of its granules');
  }
  const accelerated = isAccelerated(smmu);
  if (usable(item.faults) === 'stall' && (accelerated || usable(smmu.item['stall-model']) === 'terminate')) {
    const message = `SMMU ${smmu.item.label} has no Stall model, so no fault of ${program.device.item.label} can stall`;
    const help = accelerated
      ? 'write faults: terminate, or remove accel from the SMMU'
      : 'give the SMMU stall-model: stall';
    reporter.value(softwareConflict, item.faults, message, help);
  }
  const first = sharers[0];
  const difference = first === undefined ? undefined : sharingTrouble(program, first);
  if (difference !== undefined) {
    const message = `context ${item.context.value} is shared by ${first!.device.item.label} and ${program.device.item.label}, which ${difference}`;
    reporter.value(softwareConflict, item.context, message, 'give them contexts of their own');
  }
  const mappings = items(item.mappings);
  if (mappings.length > 0 && usable(item.config) !== undefined && item.config.value !== 'translate') {
    const message = `config ${item.config.value} translates nothing, so it has no mappings`;
    reporter.value(softwareConflict, item.mappings, message, 'remove mappings, or write config: translate');
    return;
  }
  const others = sharers.flatMap((each) => items(each.item.mappings));
  for (const [index, mapping] of mappings.entries()) {
    checkMapping(mapping, program, [...others, ...mappings.slice(0, index)], reporter);
  }
}

function sharingTrouble(a: Programmed, b: Programmed): string | undefined {
  if (a.smmu !== b.smmu) return 'are behind different SMMUs';
  if (differ(a.device.item['sec-sid'], b.device.item['sec-sid'])) return 'are of different Security states';
  if (differ(a.item.faults, b.item.faults)) return 'treat faults differently';
  return differ(a.item.granule, b.item.granule) ? 'use different granules' : undefined;
}

function differ<T>(a: Value<T>, b: Value<T>): boolean {
  return !isReported(a) && !isReported(b) && a.value !== b.value;
}

function checkMapping(
  mapping: MappingItem,
  program: Programmed,
  others: readonly MappingItem[],
  reporter: Reporter,
): void {
  const granule = usable(program.item.granule);
  const mine = iovas(mapping);
  if (granule === undefined || mine === undefined) return;
  for (const value of [mapping.iova, mapping.size, mapping.pa]) {
    const number = usable<number | bigint>(value);
    if (number === undefined || BigInt(number) % BigInt(granule) === 0n) continue;
    const message = `${hex(number)} is no multiple of the ${GRANULE_NAMES[granule]} granule`;
    reporter.value(mappingInvalid, value, message, `use a multiple of ${hex(granule)}`);
  }
  const other = others.find((each) => overlaps(mine, iovas(each)));
  if (isReported(mapping.iova)) return;
  if (mine.end > IOVA_LIMIT) {
    const message = `the mapping ends at ${hex(mine.end - 1n)}; boot software maps 48-bit addresses`;
    reporter.value(mappingInvalid, mapping.iova, message, 'choose an iova below 2^48');
  } else if (other !== undefined) {
    const message = `iova ${hex(mine.start)} is mapped already, from ${hex(other.iova.value!)}`;
    reporter.value(mappingInvalid, mapping.iova, message, 'let the mappings of one context be disjoint');
  }
  if (usable(mapping.populate) === 'on-fault' && usable(program.item.faults) === 'terminate') {
    const message = 'populated on fault, but a fault terminates the access before anything is mapped';
    reporter.value(mappingInvalid, mapping.populate, message, 'write faults: stall beside the mappings');
  }
  checkOutput(mapping, program, reporter);
}

interface Iovas {
  readonly start: bigint;
  readonly end: bigint;
}

function iovas(of: MappingItem | StepItem): Iovas | undefined {
  const start = usable(of.iova);
  const size = usable(of.size);
  return start === undefined || size === undefined ? undefined : { start, end: start + BigInt(size) };
}

function overlaps(a: Iovas, b: Iovas | undefined): boolean {
  return b !== undefined && a.start < b.end && b.start < a.end;
}

/** The physical side: the right space, and memory there. */
function checkOutput(mapping: MappingItem, { device, smmu }: Programmed, reporter: Reporter): void {
  const stream = usable(device.item['sec-sid']);
  const security = isReported(mapping.security) ? undefined : (mapping.security.value ?? stream);
  if (stream === 'non-secure' && security === 'secure') {
    const message = `device ${device.item.label} has a Non-secure stream, which cannot reach secure memory`;
    reporter.value(
      mappingInvalid,
      mapping.security,
      message,
      'remove security, or give the device sec-sid: secure',
    );
    return;
  }
  const start = usable(mapping.pa);
  const size = usable(mapping.size);
  const oas = numberOr(smmu.item.oas, DEFAULT_OAS);
  if (security === undefined) return;
  const space = security === 'secure' ? smmu.secureMemory : smmu.memory;
  if (start === undefined || size === undefined || oas === undefined || space?.known !== true) return;
  const limit = 2 ** Number(oas < STAGE_1_OUTPUT_BITS ? oas : STAGE_1_OUTPUT_BITS);
  if (start + size > limit) {
    const message = `pa ${hex(start)} and ${hex(size)} bytes go beyond ${hex(limit)}`;
    reporter.value(mappingInvalid, mapping.pa, message, 'choose a lower pa');
  } else if (!isMemory(space, start, start + size)) {
    const message = `pa ${hex(start)} and ${hex(size)} bytes are not all memory of address space '${space.id}'`;
    reporter.value(mappingInvalid, mapping.pa, message, 'choose a pa within a region, or leave it out');
  }
}

function isMemory(space: Space, start: number, end: number): boolean {
  const regions = space.regions.map(extent);
  if (regions.some((region) => region === undefined)) return true;
  let at = start;
  while (at < end) {
    const region = regions.find((each) => each !== undefined && each.start <= at && at < each.end);
    if (region === undefined) return false;
    at = region.end;
  }
  return true;
}

function checkStep(step: StepItem, reporter: Reporter): void {
  const op = usable(step.op);
  if (op === 'copy' && step.to.origin === 'none') {
    reporter.at(stepInvalid, step.at, "a copy has no 'to'", "add 'to', the first address of the writes");
  } else if (op !== undefined && op !== 'copy' && usable(step.to) !== undefined) {
    reporter.value(stepInvalid, step.to, `'to' means nothing to ${op}`, "remove 'to', or write op: copy");
  }
  checkBlocks(step, reporter);
  for (const [value, what] of [
    [step.iova, 'accesses'],
    [step.to, 'writes'],
  ] as const) {
    const start = usable(value);
    const size = usable(step.size);
    if (start === undefined || size === undefined || start + BigInt(size) <= 2n ** 64n) continue;
    reporter.value(
      stepInvalid,
      value,
      `the ${what} go beyond 2^64`,
      'choose a lower address or a smaller size',
    );
  }
}

/** An access never crosses a 4 KiB boundary, so blocks divide a page and start on their own multiple. */
function checkBlocks(step: StepItem, reporter: Reporter): void {
  const block = usable(step.block);
  const size = usable(step.size);
  if (block === undefined || size === undefined) return;
  for (const value of [step.iova, step.to]) {
    const start = usable(value);
    if (start === undefined) continue;
    const inPage = start % 4096n;
    const crosses = 4096 % block === 0 ? inPage % BigInt(block) !== 0n : inPage + BigInt(size) > 4096n;
    if (!crosses || inPage + BigInt(size) <= 4096n) continue;
    const message = `accesses of ${block} bytes from ${hex(start)} cross 4 KiB boundaries`;
    reporter.value(
      stepInvalid,
      step.block.origin === 'default' ? value : step.block,
      message,
      'use a block that divides 4096, and an address that is a multiple of it',
    );
    return;
  }
}

/** Whether the accesses of a step that expects ok can be: only where translation decides. */
function checkStepIsMapped(
  step: StepItem,
  program: Programmed,
  contexts: ReadonlyMap<string, readonly Programmed[]>,
  reporter: Reporter,
): void {
  const { item } = program;
  if (step.expect.value !== 'ok' || item.config.value !== 'translate') return;
  const name = item.context.value ?? `the context of ${item.device.value}`;
  const mappings = (contexts.get(name) ?? []).flatMap((each) => items(each.item.mappings));
  const size = BigInt(step.size.value!);
  const reads = step.op.value !== 'fill';
  const writes = step.op.value === 'fill';
  const ok =
    isMapped(mappings, step.iova.value!, size, reads, writes) &&
    (step.to.value === undefined || isMapped(mappings, step.to.value, size, false, true));
  if (ok) return;
  const message = `${step.op.value} expects ok, but the software does not map all of it for device ${program.device.item.label}`;
  const at = step.expect.origin === 'own' ? step.expect : step.iova;
  reporter.value(stepUnmapped, at, message, 'map it, or write expect: F_TRANSLATION or F_PERMISSION');
}

function isMapped(
  mappings: readonly MappingItem[],
  start: bigint,
  size: bigint,
  reads: boolean,
  writes: boolean,
): boolean {
  let at = start;
  while (at < start + size) {
    const mapping = mappings.find((each) => {
      const range = iovas(each)!;
      return range.start <= at && at < range.end;
    });
    const access = mapping?.access.value ?? '';
    // Read access is part of every stage 1 mapping: AP has no write-only encoding.
    if (mapping === undefined || (writes && !access.includes('w')) || (reads && access === '')) return false;
    at = iovas(mapping)!.end;
  }
  return true;
}
