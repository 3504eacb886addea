/**
 * What an SMMU did, in lines of text: for the reader of a difference.
 */
import { formatEvent } from '../arch/events.js';
import { BANKS, type RegisterKey } from '../arch/registers.js';
import type { SecurityState } from '../arch/security.js';
import { SECURITY_NAMES } from '../arch/security.js';
import type { ScenarioDriver } from './driver.js';
import type { EventQueueView } from './event-queue.js';
import type { EventWords } from './format.js';
import { hex, printWords } from './print.js';

const SHOWN_EVENTS = 4;

/** The record by names and fields, then as words. */
export function printEvent(record: EventWords): string {
  const words = Uint32Array.from(
    record.flatMap((word) => [Number(word & 0xffff_ffffn), Number(word >> 32n)]),
  );
  return `${formatEvent(words)}  [${printWords(record)}]`;
}

async function describeErrors(
  driver: ScenarioDriver,
  smmu: string,
  security: SecurityState,
): Promise<readonly string[]> {
  const lines: string[] = [];
  const compare = async (one: RegisterKey, other: RegisterKey) => {
    const [a, b] = [BANKS[security][one], BANKS[security][other]];
    const first = await driver.readRegister(smmu, a.offset, 4, security);
    const second = await driver.readRegister(smmu, b.offset, 4, security);
    if (first !== second) lines.push(`${a.name} ${hex(first)}, ${b.name} ${hex(second)}`);
  };
  await compare('CMDQ_PROD', 'CMDQ_CONS');
  await compare('GERROR', 'GERRORN');
  return lines;
}

/** The state of one Security state's programming interface, as far as it is worth a line. */
export async function describeBank(
  driver: ScenarioDriver,
  smmu: string,
  security: SecurityState,
  queue: EventQueueView,
): Promise<readonly string[]> {
  const records = await queue.unconsumed();
  const lines = records
    .slice(0, SHOWN_EVENTS)
    .map((record) => `${SECURITY_NAMES[security]} event: ${printEvent(record)}`);
  if (records.length > SHOWN_EVENTS) lines.push(`and ${records.length - SHOWN_EVENTS} more events`);
  return [...lines, ...(await describeErrors(driver, smmu, security))];
}
