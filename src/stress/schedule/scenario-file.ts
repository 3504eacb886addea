/**
 * A failing deterministic run as a scenario file that `replay` understands: everything that the software wrote and the
 * devices asked for, in the order of the run, and at the end what the access that the checker objected to must give.
 *
 * A scenario lets the SMMU run to idle after each step, so that it holds a run without its races: what needs a walk that is
 * overtaken, or a CMD_SYNC that comes too soon, is not in it. Whether the scenario fails where the run did is
 * found out here, on an SMMU in this thread, which also says what all other accesses give.
 */
import { SECURITY_NAMES } from '../../arch/security.js';
import type { Machine } from '../../machine/types.js';
import { type MachineView, shareMachine } from '../../runtime/shared/shared-machine.js';
import { Smmu } from '../../smmu/smmu.js';
import { OK, Transaction } from '../../smmu/transaction.js';
import type { Legal } from '../checker/finding.js';
import { LINE_BYTES } from '../plan.js';
import { type DeterministicOptions, type DeterministicReport, runDeterministic } from './deterministic.js';
import { type Access, Trace, type TraceStep } from './trace.js';

export interface ScenarioFile {
  /** JSON Lines: header, then a step per line. */
  readonly text: string;
  /** The last step fails on this SMMU, as the run did. Otherwise only the schedule brings the finding back. */
  readonly reproduces: boolean;
}

const TWO_32 = 0x1_0000_0000;

/** @returns undefined when the finding is about an event or a page, and not about an access. */
export function printScenario(
  machine: Machine,
  options: DeterministicOptions,
  report: DeterministicReport,
): ScenarioFile | undefined {
  const trace = new Trace();
  const { memory: _, ...rest } = options;
  const [finding] = runDeterministic(machine, { ...rest, schedule: report.schedule, trace }).findings;
  const legal = finding?.legal;
  const last = trace.steps.findLastIndex((step) => step.op === 'dma' && step.sid === finding?.StreamID);
  if (legal === undefined || last < 0) return undefined;
  const culprit = trace.steps[last] as Access;
  const play = (steps: readonly TraceStep[]): Played => {
    const player = new Player(machine);
    const lines = steps.map((step) => player.play(step));
    const isWrong = JSON.stringify(player.access(culprit)) !== JSON.stringify(legal);
    lines.push({ op: 'note', text: `${finding!.kind}: ${finding!.summary}` });
    lines.push({ ...player.describe(culprit), expect: legal });
    return { steps, lines, isWrong };
  };
  const played = dropAccesses(play(trace.steps.slice(0, last)), play);
  const header = headerOf(machine, options, report);
  const text = [header, ...played.lines].map((line) => JSON.stringify(line)).join('\n');
  return { text: `${text}\n`, reproduces: played.isWrong };
}

interface Played {
  readonly steps: readonly TraceStep[];
  readonly lines: readonly object[];
  /** The last access gives what it must not. */
  readonly isWrong: boolean;
}

/** Leaves out the accesses that the failure does not need: they fill caches, and change nothing that is legal. */
function dropAccesses(all: Played, play: (steps: readonly TraceStep[]) => Played): Played {
  let best = all;
  const accesses = all.steps.filter(({ op }) => op === 'dma');
  for (let size = accesses.length; best.isWrong && size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < accesses.length; at += size) {
      const dropped = new Set(accesses.slice(at, at + size));
      const steps = best.steps.filter((step) => !dropped.has(step));
      if (steps.length === best.steps.length) continue;
      const shorter = play(steps);
      if (shorter.isWrong) best = shorter;
    }
  }
  return best;
}

function headerOf(
  machine: Machine,
  options: DeterministicOptions,
  { schedule }: DeterministicReport,
): object {
  const name = `stress-${machine.name}-${options.seed}${options.mutate ? `-${options.mutate}` : ''}`;
  const words = (idr: object) =>
    Object.fromEntries(Object.entries(idr).map(([key, value]) => [key, hex(value as number)]));
  return {
    version: 1,
    name,
    origin: `stress, profile ${options.profile}, seed ${options.seed}, ${schedule.length} grants`,
    spec: 'IHI0070 3.21.1',
    smmus: Object.fromEntries(machine.smmus.map(({ id, config }) => [id, { idr: words(config.idr) }])),
    memory: machine.regions.map(({ security, base, sizeBytes }) => ({
      space: SECURITY_NAMES[security],
      base: hex(base),
      size: hex(sizeBytes),
    })),
  };
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

/** The SMMUs of a machine, one step after the other, each to its end. */
class Player {
  readonly #machine: Machine;
  readonly #view: MachineView;
  readonly #smmus: readonly Smmu[];
  readonly #transaction = new Transaction();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#view = shareMachine(machine, 1, 1).view;
    this.#smmus = machine.smmus.map(
      ({ config }, index) => new Smmu(config, this.#view.spacesOf(index), { interrupt() {} }),
    );
  }

  /** Carries a step out. @returns it as the file has it. */
  play(step: TraceStep): object {
    switch (step.op) {
      case 'mem.write': {
        const bytes = Uint8Array.from(Buffer.from(step.hex, 'hex'));
        this.#space(step.space).write(step.pa, bytes, 0, bytes.length);
        return { op: step.op, space: SECURITY_NAMES[step.space], pa: hex(step.pa), hex: step.hex };
      }
      case 'mmio.write': {
        const { smmu, offset, size, value, security } = step;
        this.#smmus[smmu]!.writeRegister(offset, size, value, security);
        this.#smmus[smmu]!.runToIdle();
        const where = { smmu: this.#machine.smmus[smmu]!.id, offset: hex(offset), size };
        return { op: step.op, ...where, value: hex(value), security: SECURITY_NAMES[security] };
      }
      case 'dma':
        return { ...this.describe(step), expect: this.access(step) };
    }
  }

  /** What an access gives. */
  access(step: Access): Legal {
    const transaction = this.#transaction;
    transaction.StreamID = step.sid;
    transaction.SubstreamID = step.ssid;
    transaction.SEC_SID = step.secSid;
    transaction.iovaLo = (step.iova % TWO_32) | 0;
    transaction.iovaHi = (step.iova / TWO_32) | 0;
    transaction.write = step.write;
    transaction.privileged = step.privileged;
    transaction.instruction = step.instruction;
    transaction.ns = step.ns;
    const outcome = this.#smmus[step.smmu]!.tbu.translate(transaction);
    this.#smmus[step.smmu]!.runToIdle();
    if (outcome !== OK) return { result: 'abort' };
    return { result: 'ok', pa: hex(transaction.pa), space: SECURITY_NAMES[transaction.space] };
  }

  /** An access as the file has it, without what it must give. */
  describe({ op, smmu, sid, ssid, secSid, write, privileged, instruction, ns, iova }: Access): object {
    return {
      ...{ op, smmu: this.#machine.smmus[smmu]!.id, sid, secSid: SECURITY_NAMES[secSid] },
      ...(ssid >= 0 && { ssid }),
      ...{ access: write ? 'write' : 'read', privileged, instruction, ns, iova: hex(iova) },
      ...{ size: LINE_BYTES, translateOnly: true },
    };
  }

  /** Memory of a PA space, as the SMMU that has it sees it. */
  #space(space: 0 | 1) {
    const index = this.#machine.smmus.findIndex((smmu) => space === 0 || smmu.secureMemory !== undefined);
    return this.#view.spacesOf(index)[space];
  }
}
