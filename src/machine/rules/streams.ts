/**
 * From Requester ID to SMMU and StreamID: every device resolves to exactly one, or to no SMMU (REQUIREMENTS F2, F4).
 */
import { covers, formatRIDs, IDENTITY, lastStreamID, overlap, streamID } from '../../bus/id-map.js';
import { formatBDF } from '../../bus/requester-id.js';
import { errorRule, isReported, type Reporter, usable } from '../diagnostics.js';
import { byOffset, type Device, hex, type IdMap, type Model, type Route, type Smmu } from '../model.js';
import { mayHoldMore } from '../read.js';
import { busesAbove } from './buses.js';

export const idmapOverlap = errorRule('idmap-overlap', 'Two id-maps of one bus cover one Requester ID.');
export const idmapGap = errorRule('idmap-gap', "A device's Requester ID that no id-map of its bus covers.");
export const streamidOutOfRange = errorRule(
  'streamid-out-of-range',
  "A StreamID that the SMMU's `sidsize` cannot hold.",
);
export const streamidClash = errorRule(
  'streamid-clash',
  'Two devices of one SMMU and Security state have one StreamID.',
);

export const rules = [idmapOverlap, idmapGap, streamidOutOfRange, streamidClash] as const;

export function checkStreams(model: Model, reporter: Reporter): void {
  checkOverlaps(model.idMaps, reporter);
  for (const map of model.idMaps) checkMapFits(map, reporter);
  for (const device of model.devices) {
    device.route = route(device, model, reporter);
    checkDeviceFits(device, reporter);
  }
  checkClashes(model, reporter);
}

function checkOverlaps(maps: readonly IdMap[], reporter: Reporter): void {
  const good: IdMap[] = [];
  for (const map of [...maps].sort((a, b) => byOffset(a.item['rid-base'], b.item['rid-base']))) {
    const ridBase = usable(map.item['rid-base']);
    const count = usable(map.item.count);
    if (ridBase === undefined || count === undefined || map.bus === undefined) continue;
    const range = { ridBase, count, sidBase: usable(map.item['sid-base']) ?? 0 };
    const other = good.find((each) => overlap(range, each.range!) && sameTree(map, each));
    if (other === undefined) {
      good.push(map);
      map.range = range;
    } else {
      const message = `the map ${formatRIDs(range)} of bus ${map.bus.item.label} overlaps the map ${formatRIDs(other.range!)} of bus ${other.bus!.item.label}`;
      reporter.value(idmapOverlap, map.item['rid-base'], message, 'let the ranges of one bus be disjoint');
    }
  }
}

function sameTree(a: IdMap, b: IdMap): boolean {
  return busesAbove(a.bus!).includes(b.bus!) || busesAbove(b.bus!).includes(a.bus!);
}

function highestStreamID(smmu: Smmu): number | undefined {
  const sidsize = usable(smmu.item.sidsize);
  return sidsize === undefined ? undefined : 2 ** sidsize - 1;
}

function checkMapFits(map: IdMap, reporter: Reporter): void {
  const sidBase = map.item['sid-base'];
  map.fits = !isReported(sidBase);
  if (map.range === undefined || map.smmu === undefined || !map.fits) return;
  const last = lastStreamID(map.range);
  const highest = highestStreamID(map.smmu);
  if (highest === undefined || last <= highest) return;
  map.fits = false;
  const message = `the last StreamID of the map is ${hex(last)}; SMMU ${map.smmu.item.label} holds up to ${hex(highest)} (sidsize ${map.smmu.item.sidsize.value})`;
  reporter.value(streamidOutOfRange, sidBase, message, 'lower sid-base or count, or raise sidsize');
}

function route(device: Device, model: Model, reporter: Reporter): Route {
  const root = device.bus?.root;
  if (device.bus === undefined || root === undefined) return { kind: 'unknown' };
  const above = busesAbove(device.bus);
  const maps = model.idMaps.filter((map) => map.bus !== undefined && above.includes(map.bus));
  const uncertain =
    isReported(model.file['id-maps']) ||
    (model.file['id-maps'].value ?? []).some((item) => item === undefined) ||
    model.idMaps.some((map) => map.bus === undefined) ||
    maps.some((map) => map.range === undefined);
  if (maps.length > 0) return mappedRoute(device, maps, uncertain, reporter);
  if (uncertain) return { kind: 'unknown' };
  if (root.smmu !== undefined) return identityRoute(root.smmu, device);
  // An SMMU whose bus is in doubt may be the one above.
  const doubtful = mayHoldMore(model.file.smmus) || model.smmus.some((smmu) => smmu.primaryBus === undefined);
  return doubtful ? { kind: 'unknown' } : { kind: 'none' };
}

function identityRoute(smmu: Smmu, device: Device): Route {
  const id = device.requesterID;
  return id === undefined ? { kind: 'smmu', smmu } : { kind: 'smmu', smmu, StreamID: streamID(IDENTITY, id) };
}

function mappedRoute(device: Device, maps: readonly IdMap[], uncertain: boolean, reporter: Reporter): Route {
  const rid = device.requesterID;
  if (rid === undefined) return { kind: 'unknown' };
  const map = maps.find((each) => each.range !== undefined && covers(each.range, rid));
  if (map !== undefined) {
    if (map.smmu === undefined) return { kind: 'unknown' };
    return { kind: 'smmu', smmu: map.smmu, map, StreamID: streamID(map.range!, rid) };
  }
  if (!uncertain) {
    const ranges = maps.map((each) => formatRIDs(each.range!)).join(', ');
    const message = `device ${device.item.label} (${formatBDF(rid)}, Requester ID ${hex(rid)}) is in no map of its bus: ${ranges}`;
    reporter.value(idmapGap, device.item.addr, message, 'widen a map, add one, or move the device');
  }
  return { kind: 'unknown' };
}

/** Under the identity each device is its own mistake; an explicit map that does not fit was reported as a whole. */
function checkDeviceFits(device: Device, reporter: Reporter): void {
  if (device.route.kind !== 'smmu' || device.route.map !== undefined) return;
  const { smmu, StreamID } = device.route;
  const highest = highestStreamID(smmu);
  if (StreamID === undefined || highest === undefined || StreamID <= highest) return;
  const message = `device ${device.item.label} (${formatBDF(StreamID)}) has StreamID ${hex(StreamID)}; SMMU ${smmu.item.label} holds up to ${hex(highest)} (sidsize ${smmu.item.sidsize.value})`;
  reporter.value(
    streamidOutOfRange,
    device.item.addr,
    message,
    'raise sidsize, or map the Requester ID lower in id-maps',
  );
}

function checkClashes({ devices, smmus }: Model, reporter: Reporter): void {
  const owners = new Map<string, Device>();
  for (const device of [...devices].sort((a, b) => byOffset(a.item.addr, b.item.addr))) {
    const { route: way, item } = device;
    const security = usable(item['sec-sid']);
    if (way.kind !== 'smmu' || way.StreamID === undefined || security === undefined) continue;
    if (isReported(item.addr) || way.map?.fits === false) continue;
    const key = `${smmus.indexOf(way.smmu)}/${security}/${way.StreamID}`;
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, device);
    else {
      const message = `devices ${item.label} and ${owner.item.label} both have the ${security} StreamID ${hex(way.StreamID)} at SMMU ${way.smmu.item.label}`;
      reporter.value(streamidClash, item.addr, message, 'let their id-maps lead to different StreamIDs');
    }
  }
}
