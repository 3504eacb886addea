/** A deterministic stress run as a file: what is needed to make the same run again, with the machine file beside it. */

import { MUTATION_NAMES, type MutationName } from '../mutations/mutation-names.js';
import { PROFILE_NAMES, type ProfileName } from '../profiles.js';
import type { DeterministicOptions, DeterministicReport } from './deterministic.js';

const VERSION = 1;
const KIND = 'stress-schedule';

/** Not a schedule file; the message says why. */
export class ScheduleFormatError extends Error {
  override readonly name = 'ScheduleFormatError';
}

/** The text of a run's schedule file. */
export function printSchedule(options: DeterministicOptions, report: DeterministicReport): string {
  const { seed, profile, mutate, check, operations } = options;
  const file = {
    ...{ version: VERSION, kind: KIND, machine: report.machine, seed, profile, mutate, check, operations },
    findings: report.findings.map(({ kind, actor, summary }) => ({ kind, actor, summary })),
    schedule: report.schedule,
  };
  return `${JSON.stringify(file)}\n`;
}

export interface Schedule {
  /** The machine's name, for whoever wants to know that it is the right one. */
  readonly machine: string;
  readonly options: DeterministicOptions;
}

/** @throws ScheduleFormatError */
export function parseSchedule(text: string): Schedule {
  const file = parseObject(text);
  const fail = (key: string): never => {
    throw new ScheduleFormatError(`"${key}" is missing or not what it must be`);
  };
  if (file.version !== VERSION || file.kind !== KIND) fail('version');
  const number = (key: string): number =>
    Number.isSafeInteger(file[key]) ? (file[key] as number) : fail(key);
  const profile = PROFILE_NAMES.find((name) => name === file.profile) ?? fail('profile');
  const mutate = MUTATION_NAMES.find((name) => name === file.mutate);
  if (file.mutate !== undefined && mutate === undefined) fail('mutate');
  const isGrant = (grant: unknown): grant is number => Number.isSafeInteger(grant) && (grant as number) >= 0;
  const { schedule, machine } = file;
  if (!Array.isArray(schedule) || !schedule.every(isGrant)) return fail('schedule');
  return {
    machine: typeof machine === 'string' ? machine : fail('machine'),
    options: {
      ...{ seed: number('seed'), operations: number('operations'), profile: profile as ProfileName },
      ...{ check: file.check !== false, schedule },
      ...(mutate !== undefined && { mutate: mutate as MutationName }),
    },
  };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ScheduleFormatError('not JSON');
  }
  if (typeof value !== 'object' || value === null) throw new ScheduleFormatError('not a JSON object');
  return value as Record<string, unknown>;
}
