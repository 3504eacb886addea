/** Links: every id that names something else is looked up here, and nowhere else. */
import { SECURITY_NAMES } from '../../arch/security.js';
import { errorRule, isReported, type Reporter, usable, type Value } from '../diagnostics.js';
import type { RegionItem } from '../file-shape.js';
import { type Bus, isGuestMemory, type Model, type Smmu, type Space } from '../model.js';
import { mayHoldMore } from '../read.js';
import { nearest } from './schema.js';

export const unknownReference = errorRule(
  'unknown-reference',
  'A bus, SMMU, region, address space, host or device is named that does not exist.',
);

export const rules = [unknownReference] as const;

/** What a reference may name. */
export interface Directory<T> {
  readonly what: string;
  readonly entries: ReadonlyMap<string, T>;
  /** Items whose names could not be read may be meant: a name that is not found is then no news. */
  readonly open: boolean;
}

/** Finds what a reference names, or reports it. A reference that is absent or was reported finds nothing. */
export function resolve<T>(
  reporter: Reporter,
  reference: Value<string>,
  directory: Directory<T>,
): T | undefined {
  const id = usable(reference);
  if (id === undefined) return undefined;
  const found = directory.entries.get(id);
  if (found !== undefined) return found;
  if (directory.open) (reference.shared ?? reference).reported = true;
  else {
    const known = [...directory.entries.keys()];
    const near =
      known.length === 0 ? `there is no ${directory.what}` : `the nearest is '${nearest(id, known).word}'`;
    reporter.intrinsic(
      unknownReference,
      reference,
      `no ${directory.what} is called '${id}'; ${near}`,
      help(known),
    );
  }
  return undefined;
}

function help(known: readonly string[]): string {
  return known.length === 0 ? 'define it first' : `name one of ${known.join(', ')}, or define it`;
}

type Identified = { readonly item: { readonly id: Value<string> } };

/** The first of each id, in file order. */
export function directory<T extends Identified>(
  what: string,
  entities: readonly T[],
  open: boolean,
): Directory<T> {
  const entries = new Map<string, T>();
  for (const entity of entities) {
    const id = entity.item.id.value;
    if (id !== undefined && !entries.has(id)) entries.set(id, entity);
  }
  return { what, entries, open };
}

export function checkReferences(model: Model, reporter: Reporter): void {
  const { file } = model;
  const buses = directory('bus', model.buses, mayHoldMore(file.buses));
  const smmus = directory('SMMU', model.smmus, mayHoldMore(file.smmus));
  linkSpaces(model, reporter);
  linkBuses(model.buses, buses, reporter);
  const spaces = { what: 'address space', entries: model.spaces, open: isReported(file['address-spaces']) };
  for (const smmu of model.smmus) linkSmmu(smmu, buses, spaces, smmus, reporter);
  for (const map of model.idMaps) {
    const bus = resolve(reporter, map.item.bus, buses);
    const smmu = resolve(reporter, map.item.smmu, smmus);
    if (bus !== undefined) map.bus = bus;
    if (smmu !== undefined) map.smmu = smmu;
  }
  for (const device of model.devices) {
    const bus = resolve(reporter, device.item.bus, buses);
    if (bus !== undefined) device.bus = bus;
  }
  const devices = directory('device of the host', model.devices, mayHoldMore(file.devices));
  for (const device of model.devices) {
    const host = resolve(reporter, device.item.host, devices);
    if (host !== undefined) device.host = host;
  }
}

function linkBuses(all: readonly Bus[], buses: Directory<Bus>, reporter: Reporter): void {
  for (const bus of all) {
    const seat = resolve(reporter, bus.item.bus, buses);
    if (seat !== undefined) bus.seat = seat;
    if (seat !== undefined && bus.item.type.value === 'pcie-root-port') bus.parent = seat;
  }
}

function linkSmmu(
  smmu: Smmu,
  buses: Directory<Bus>,
  spaces: Directory<Space>,
  smmus: Directory<Smmu>,
  reporter: Reporter,
): void {
  const { item } = smmu;
  const primaryBus = resolve(reporter, item['primary-bus'], buses);
  const memory = resolve(reporter, item.memory, spaces);
  const secureMemory = resolve(reporter, item['secure-memory'], spaces);
  if (primaryBus !== undefined) smmu.primaryBus = primaryBus;
  if (memory !== undefined) smmu.memory = memory;
  if (secureMemory !== undefined) smmu.secureMemory = secureMemory;
  if (usable(item.accel) === 'off') return;
  const host = resolve(reporter, item.accel, { ...smmus, what: 'host SMMU' });
  if (host !== undefined) smmu.host = host;
}

function linkSpaces(model: Model, reporter: Reporter): void {
  const regions: Directory<RegionItem> = {
    what: 'region',
    entries: new Map(
      [...model.regions].reverse().flatMap((r) => (r.id.value === undefined ? [] : [[r.id.value, r]])),
    ),
    open: mayHoldMore(model.file.memory),
  };
  for (const region of model.regions) {
    const host = resolve(reporter, region['backed-by'], regions);
    if (host !== undefined) model.backing.set(region, host);
  }
  for (const { name, value } of model.file['address-spaces'].value ?? []) {
    model.spaces.set(name, explicitSpace(name, value, regions, reporter));
  }
  for (const space of defaultSpaces(model.regions, regions.open)) {
    if (!model.spaces.has(space.id)) model.spaces.set(space.id, space);
  }
}

function explicitSpace(
  id: string,
  list: Value<readonly Value<string>[]>,
  regions: Directory<RegionItem>,
  reporter: Reporter,
): Space {
  const found = (list.value ?? []).map((reference) => resolve(reporter, reference, regions));
  const resolved = found.filter((region) => region !== undefined);
  const known = !list.reported && resolved.length === found.length && resolved.every(securityKnown);
  return { id, regions: resolved, known };
}

/** `system`: all Non-secure regions that are no guest's. `secure`, where there may be any Secure region: those over the others. */
function defaultSpaces(regions: readonly RegionItem[], open: boolean): Space[] {
  const [plain, secure] = SECURITY_NAMES.map((name) =>
    regions.filter((r) => usable(r.security) === name && !isGuestMemory(r)),
  );
  const known = !open && regions.every(securityKnown);
  const spaces: Space[] = [{ id: 'system', regions: plain!, known }];
  if (secure!.length > 0 || !known) spaces.push({ id: 'secure', regions: [...secure!, ...plain!], known });
  return spaces;
}

function securityKnown(region: RegionItem): boolean {
  return !isReported(region.security);
}
