/**
 * The producer's end of a Command queue for software that never blocks: batches as room comes, CMD_SYNC, and what was
 * said since when, for the story of a finding.
 */
import { COMMAND, COMMANDS_BY_OPCODE } from '../../arch/commands.js';
import { get, getBig } from '../../arch/layout.js';
import type { CommandQueue } from '../../software/command-queue.js';
import { type CommandWords, sync } from '../../software/commands.js';
import { CommandError } from '../../software/port.js';
import type { Faults } from '../mutations/faults.js';
import type { Random } from '../random.js';
import type { Progress, SoftwareStatistics } from './actor.js';

/** An operation: gives way with what it did, or `idle` while it waits for the SMMU. */
export type Operation = Generator<Progress, void>;

export class CommandFlow {
  /** What the last {@link invalidate} really put into the queue, and what it left out. */
  issued: readonly CommandWords[] = [];
  missing: readonly CommandWords[] = [];
  /** Its last CMD_SYNC had completed when it went on. */
  completed = true;
  readonly #queue: CommandQueue;
  readonly #random: Random;
  readonly #faults: Faults;
  readonly #statistics: SoftwareStatistics;

  constructor(queue: CommandQueue, random: Random, faults: Faults, statistics: SoftwareStatistics) {
    this.#queue = queue;
    this.#random = random;
    this.#faults = faults;
    this.#statistics = statistics;
  }

  /** Issues one round of commands after the other, each of which must have completed before the next. */
  *invalidate(rounds: readonly (readonly CommandWords[])[]): Operation {
    const issued: CommandWords[] = [];
    const told = this.#faults.forgetsCombined === true ? rounds.slice(0, 1) : rounds;
    for (const round of told) issued.push(...(yield* this.sync(round)));
    this.issued = issued;
    this.missing = rounds.flat().filter((command) => !issued.includes(command));
  }

  /** Issues commands and a CMD_SYNC, and gives way until it has completed. @returns what it really issued. */
  *sync(commands: readonly CommandWords[]): Generator<Progress, readonly CommandWords[]> {
    const issued = this.#faults.commands?.(commands) ?? commands;
    const end = yield* this.#post([...issued, sync()]);
    this.#statistics.syncs++;
    this.completed = this.#faults.impatient !== true;
    while (this.completed && !this.#queue.hasConsumed(end)) yield 'idle';
    return issued;
  }

  /** Issues a command at which the SMMU must stop, and lets it go on. @returns what it said, if it did stop. */
  *expectError(command: CommandWords): Generator<Progress, string | undefined> {
    let error: string | undefined;
    const end = yield* this.#post([command, sync()]);
    for (;;) {
      try {
        if (this.#queue.hasConsumed(end)) return error;
      } catch (stop) {
        if (!(stop instanceof CommandError)) throw stop;
        error = stop.cerror;
      }
      yield 'idle';
    }
  }

  *#post(commands: readonly CommandWords[]): Generator<Progress, number> {
    let end = 0;
    for (let next = 0; next < commands.length; ) {
      const room = this.#queue.space;
      if (room === 0) {
        yield 'idle';
        continue;
      }
      const count = Math.min(room, commands.length - next, 1 + this.#random.below(commands.length));
      end = this.#queue.post(commands.slice(next, next + count));
      next += count;
      yield 'worked';
    }
    this.#statistics.commands += commands.length;
    return end;
  }
}

/** A command in one line, as `CMD_TLBI_NH_VA VMID=0x0 ASID=0x1 Address=0x1000`. */
export function formatCommand(words: CommandWords): string {
  const of = COMMANDS_BY_OPCODE.get(get(words, COMMAND.Opcode));
  if (of === undefined) return `command ${[...words].map((word) => word.toString(16)).join(' ')}`;
  const fields = Object.entries(of.fields)
    .filter(([name]) => name !== 'Opcode')
    .map(([name, field]) => [name, getBig(words, field) << (name === 'Address' ? 12n : 0n)] as const)
    .filter(([, value]) => value !== 0n)
    .map(([name, value]) => `${name}=0x${value.toString(16)}`);
  return [of.name, ...fields].join(' ');
}
