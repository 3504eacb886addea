/**
 * Which event records a workload must cause, and what the queues held: each access of a step that expects a fault must have
 * its record, with number, StreamID and, where the record has one, input address; every other record is unexpected, but
 * for those of accesses that stalled and were retried.
 */
import { EVENT, EVENTS, formatEvent } from '../../arch/events.js';
import { get, getBig } from '../../arch/layout.js';
import { SECURITY_NAMES } from '../../arch/security.js';
import { BOUNDARY_BYTES } from '../../devices/dma-master.js';
import type { Machine, WorkloadStep } from '../../machine/types.js';
import type { DrainedEvents, EventCount } from '../threads/software-thread.js';

const EVENT_NUMBERS: ReadonlyMap<string, number> = new Map(
  [...EVENTS].map(([number, { name }]) => [name, number]),
);

/**
 * Sentences about records that are missing or too many.
 * @param originalOf the StreamID in the machine file of a device that was renumbered since.
 */
export function compareEvents(
  machine: Machine,
  drained: DrainedEvents,
  stepsOf: (device: number) => readonly WorkloadStep[],
  originalOf: (smmu: number, StreamID: number) => number,
): string[] {
  const wanted = new Map<string, { count: number; where: string }>();
  for (const [index, device] of machine.devices.entries()) {
    for (const [step, what] of stepsOf(index).entries()) {
      const number = EVENT_NUMBERS.get(what.expect);
      if (number === undefined) continue;
      const hasAddress = EVENTS.get(number)!.fields.InputAddr !== undefined;
      for (const iova of accessAddresses(what)) {
        const key = keyOf(
          device.smmu,
          device.SEC_SID,
          number,
          device.StreamID,
          hasAddress ? iova : undefined,
        );
        const known = wanted.get(key);
        const where = `device ${device.id}, step ${step + 1}: ${what.expect} at ${hex(iova)}`;
        if (known === undefined) wanted.set(key, { count: what.repeat, where });
        else known.count += what.repeat;
      }
    }
  }
  const events = drained.events.filter(({ retried }) => !retried);
  const found = countByKey(events, originalOf);
  const overflowed = new Set(drained.overflowed.map(({ smmu, security }) => `${smmu}/${security}`));
  const failures: string[] = [];
  for (const [key, { count, where }] of wanted) {
    const got = found.get(key)?.count ?? 0;
    const lost = overflowed.has(key.split('/', 2).join('/'));
    if (got < count && !lost) failures.push(`${where}: ${got} of ${count} event records`);
    if (got > count) failures.push(`${where}: ${got} event records for ${count} accesses`);
  }
  for (const [key, { record, count }] of found) {
    if (!wanted.has(key)) failures.push(`${describeEvent(machine, record)}: unexpected, ${count} times`);
  }
  return failures;
}

/** Input addresses of the accesses of one pass of a step: the rule of DmaMaster, written again. */
function* accessAddresses(step: WorkloadStep): Iterable<bigint> {
  for (let done = 0; done < step.sizeBytes; ) {
    const iova = step.iova + BigInt(done);
    yield iova;
    let size = Math.min(step.blockBytes, step.sizeBytes - done, room(iova));
    if (step.op === 'copy') size = Math.min(size, room(step.to! + BigInt(done)));
    done += size;
  }
}

/** "smmu0 (non-secure): F_TRANSLATION StreamID=0x10 InputAddr=0x1000 RnW=1". */
function describeEvent(machine: Machine, record: EventCount): string {
  const queue = `${machine.smmus[record.smmu]!.id} (${SECURITY_NAMES[record.security]})`;
  return `${queue}: ${formatEvent(record.words)}`;
}

export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

function countByKey(
  events: readonly EventCount[],
  originalOf: (smmu: number, StreamID: number) => number,
): Map<string, { record: EventCount; count: number }> {
  const found = new Map<string, { record: EventCount; count: number }>();
  for (const record of events) {
    const number = get(record.words, EVENT.EventNumber);
    const fields = EVENTS.get(number)?.fields;
    const StreamID = fields === undefined ? 0 : get(record.words, fields.StreamID);
    const address = fields?.InputAddr === undefined ? undefined : getBig(record.words, fields.InputAddr);
    const original = originalOf(record.smmu, StreamID);
    const key = keyOf(record.smmu, record.security, number, original, address);
    const known = found.get(key);
    if (known === undefined) found.set(key, { record, count: record.count });
    else known.count += record.count;
  }
  return found;
}

function keyOf(smmu: number, security: number, number: number, StreamID: number, iova?: bigint): string {
  return `${smmu}/${security}/${number}/${StreamID}/${iova ?? '-'}`;
}

function room(iova: bigint): number {
  return BOUNDARY_BYTES - Number(iova & BigInt(BOUNDARY_BYTES - 1));
}
