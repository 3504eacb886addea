/**
 * What boot software does with one SMMU: each stream as its program says, contexts shared where they are named so,
 * memory chosen where a mapping names none. Returns where every mapping went, for whoever verifies the bytes.
 */
import { SECURE, type SecurityState } from '../arch/security.js';
import type { Context } from './context.js';
import type { ContextOptions, SmmuDriver, StreamMove } from './driver.js';
import type { DeferredRange } from './fault-handler.js';
import type { PageAllocator } from './page-allocator.js';
import { entryBits, type Granule, type Permissions } from './page-tables.js';
import { DriverError } from './port.js';

export interface BootMapping {
  readonly iova: bigint;
  readonly sizeBytes: number;
  readonly pa?: number;
  readonly access: 'rw' | 'r' | 'w';
  /** PA space of the output; default: the stream's own Security state. */
  readonly security?: SecurityState;
  /** A page is mapped when the first access to it stalls (fault-handler.ts). */
  readonly onFault?: boolean;
}

export interface BootStream {
  readonly device: string;
  readonly StreamID: number;
  readonly config: 'translate' | 'bypass' | 'abort';
  readonly granule: Granule;
  /** What an access does whose translation faults. Default: terminate, where the SMMU can. */
  readonly faults?: 'terminate' | 'stall';
  /** Streams that name the same one share a context. */
  readonly context: string;
  readonly mappings: readonly BootMapping[];
}

export interface ResolvedMapping {
  readonly context: string;
  readonly iova: bigint;
  readonly sizeBytes: number;
  readonly pa: number;
  /** PA space in which `pa` is. */
  readonly space: SecurityState;
  readonly access: 'rw' | 'r' | 'w';
}

/** What an interface's software has set up. */
export interface Booted {
  /** Contexts by name. */
  readonly contexts: Map<string, Context>;
  /** The context that each translating stream uses, by StreamID. */
  readonly streams: Map<number, string>;
  /** In the order of the programs; a mapping that several streams of a context list is there once. */
  mappings: readonly ResolvedMapping[];
  /** What is mapped on fault, by context. */
  readonly deferred: Map<string, DeferredRange[]>;
}

/** Memory for the mappings without an address, by PA space. */
export type BufferAllocators = (space: SecurityState) => PageAllocator;

const PERMISSIONS: Readonly<Record<BootMapping['access'], Permissions>> = {
  rw: { read: true, write: true },
  r: { read: true, write: false },
  w: { read: false, write: true },
};

/** Smallest block of each granule (DDI 0487 D8.3): larger buffers are aligned to it, so that blocks can be used. */
function blockBytes(granule: Granule): number {
  return 2 ** entryBits(granule, 2);
}

/**
 * Enables the SMMU and programs its streams. `driver` and every stream are of one Security state.
 * @throws DriverError when the programs contradict each other or the SMMU; the message names the device.
 */
export function boot(driver: SmmuDriver, streams: readonly BootStream[], buffers: BufferAllocators): Booted {
  const booted: Booted = { contexts: new Map(), streams: new Map(), mappings: [], deferred: new Map() };
  driver.enable();
  for (const stream of streams) programStream(driver, booted, stream, buffers);
  return booted;
}

/**
 * Programs one more stream.
 * @returns the mappings that were made for it.
 * @throws DriverError
 */
export function programStream(
  driver: SmmuDriver,
  booted: Booted,
  stream: BootStream,
  buffers: BufferAllocators,
): readonly ResolvedMapping[] {
  try {
    return program(driver, stream, booted, buffers);
  } catch (error) {
    if (!(error instanceof DriverError) || error.constructor !== DriverError) throw error;
    throw new DriverError(`device ${stream.device}: ${error.message}`);
  }
}

/** Makes a stream invalid, and takes its context apart where no other stream uses it. */
export function endStream(driver: SmmuDriver, booted: Booted, StreamID: number): void {
  driver.detach(StreamID);
  const name = booted.streams.get(StreamID);
  booted.streams.delete(StreamID);
  if (name === undefined || [...booted.streams.values()].includes(name)) return;
  driver.destroyContext(booted.contexts.get(name)!);
  booted.contexts.delete(name);
  booted.mappings = booted.mappings.filter(({ context }) => context !== name);
  booted.deferred.delete(name);
}

/** Lets streams go on under other StreamIDs, for which the driver has reserved, with the contexts and mappings that they have. */
export function renumberStreams(driver: SmmuDriver, { streams }: Booted, moves: readonly StreamMove[]): void {
  driver.renumber(moves);
  const names = moves.map(({ from }) => streams.get(from));
  for (const { from } of moves) streams.delete(from);
  for (const [index, { to }] of moves.entries()) {
    const name = names[index];
    if (name !== undefined) streams.set(to, name);
  }
}

/** What a stream's accesses may fault for, to have it mapped. */
export function deferredRanges({ streams, deferred }: Booted, StreamID: number): readonly DeferredRange[] {
  return deferred.get(streams.get(StreamID) ?? '') ?? [];
}

function program(
  driver: SmmuDriver,
  stream: BootStream,
  booted: Booted,
  buffers: BufferAllocators,
): ResolvedMapping[] {
  if (stream.config !== 'translate') {
    driver[stream.config](stream.StreamID);
    return [];
  }
  const { contexts } = booted;
  const context = contexts.get(stream.context) ?? driver.createContext(contextOptions(stream));
  if (context.tables.format.granule !== stream.granule) {
    throw new DriverError(`context ${stream.context} has ${context.tables.format.granule} granules already`);
  }
  contexts.set(stream.context, context);
  const made: ResolvedMapping[] = [];
  for (const mapping of stream.mappings) {
    const known = [...booted.mappings, ...made].some(
      (done) => done.context === stream.context && isSame(mapping, done, driver.security),
    );
    if (!known) made.push(map(driver, stream, context, mapping, booted, buffers));
  }
  booted.mappings = [...booted.mappings, ...made];
  booted.streams.set(stream.StreamID, stream.context);
  // Mappings come first: the stream sees all of them from its first access on.
  driver.attach(stream.StreamID, context);
  return made;
}

function contextOptions({ granule, faults }: BootStream): ContextOptions {
  return faults === 'stall' ? { granule, stall: true } : { granule };
}

function isSame(mapping: BootMapping, done: ResolvedMapping, own: SecurityState): boolean {
  return (
    mapping.iova === done.iova &&
    mapping.sizeBytes === done.sizeBytes &&
    mapping.access === done.access &&
    (mapping.pa === undefined || mapping.pa === done.pa) &&
    (mapping.security ?? own) === done.space
  );
}

function map(
  driver: SmmuDriver,
  stream: BootStream,
  context: Context,
  mapping: BootMapping,
  { deferred }: Booted,
  buffers: BufferAllocators,
): ResolvedMapping {
  const { iova, sizeBytes, access } = mapping;
  const space = mapping.security ?? driver.security;
  if (space === SECURE && driver.security !== SECURE) {
    throw new DriverError('a Non-secure stream cannot reach the Secure PA space');
  }
  const block = blockBytes(stream.granule);
  const align = sizeBytes >= block ? block : context.tables.granuleBytes;
  const pa = mapping.pa ?? buffers(space).allocate(sizeBytes, align);
  const permissions = { ...PERMISSIONS[access], ns: space !== driver.security };
  if (mapping.onFault === true) {
    const others = deferred.get(stream.context) ?? [];
    deferred.set(stream.context, [...others, { context, iova, sizeBytes, pa, permissions }]);
  } else driver.map(context, iova, pa, sizeBytes, permissions);
  return { context: stream.context, iova, sizeBytes, pa, space, access };
}
