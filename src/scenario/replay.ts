/**
 * Plays a scenario's steps upon a driver and finds the first that comes out differently.
 *
 * Not there yet: stalled accesses (`dma.outcome`, an expected `stall`) and snapshots. A scenario that comes to such
 * a step fails at it, by name.
 */
import { NON_SECURE, SECURITY_STATES, type SecurityState } from '../arch/security.js';
import type { PlannedSmmu } from './configure.js';
import { describeBank, printEvent } from './describe.js';
import { type DmaResult, performDma, printDmaResult } from './dma.js';
import type { ScenarioDriver } from './driver.js';
import { EventQueueView } from './event-queue.js';
import type { PlacedStep } from './files.js';
import type {
  DmaExpectation,
  DmaStep,
  EventsStep,
  EventWords,
  IrqStep,
  MemReadStep,
  MmioReadStep,
  MmioWriteStep,
  Step,
} from './format.js';
import { hex, hexOf, printExpectation, printStep } from './print.js';

/** Where a replay and its scenario part. */
export interface Difference {
  readonly stepNumber: number;
  readonly line: number;
  readonly smmu: string | undefined;
  /** The step, as one line. */
  readonly step: string;
  readonly expected: readonly string[];
  readonly got: readonly string[];
  /** What the SMMU did meanwhile: unconsumed events, command queue and error state. */
  readonly state: readonly string[];
}

/** Undefined: as expected. */
type Comparison = { readonly expected: readonly string[]; readonly got: readonly string[] } | undefined;

function differs(expected: string | readonly string[], got: string | readonly string[]): Comparison {
  return { expected: [expected].flat(), got: [got].flat() };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function meets(answer: DmaResult, expect: DmaExpectation): boolean {
  if (answer.result !== 'ok' || expect.result !== 'ok') return answer.result === expect.result;
  return (
    (expect.pa === undefined || expect.pa === answer.pa) &&
    (expect.space === undefined || expect.space === answer.space) &&
    (expect.bytes === undefined || sameBytes(expect.bytes, answer.bytes))
  );
}

function masked(words: EventWords, mask: EventWords): EventWords {
  return words.map((word, index) => word & mask[index]!) as unknown as EventWords;
}

export class Replay {
  readonly #driver: ScenarioDriver;
  readonly #smmus: ReadonlyMap<string, PlannedSmmu>;
  readonly #queues = new Map<string, EventQueueView>();

  constructor(driver: ScenarioDriver, smmus: ReadonlyMap<string, PlannedSmmu>) {
    this.#driver = driver;
    this.#smmus = smmus;
  }

  /** Takes one step and lets the SMMUs run to idle. */
  async take({ number, line, step }: PlacedStep): Promise<Difference | undefined> {
    const comparison = await this.#perform(step);
    await this.#driver.runToIdle();
    if (comparison === undefined) return undefined;
    const smmu = 'smmu' in step ? step.smmu : undefined;
    return {
      stepNumber: number,
      line,
      smmu: this.#smmus.size > 1 ? smmu : undefined,
      step: printStep(step),
      ...comparison,
      state: smmu === undefined ? [] : await this.#describeState(smmu, step),
    };
  }

  async #perform(step: Step): Promise<Comparison> {
    switch (step.op) {
      case 'mem.write':
        return this.#driver.poke(step.space, step.pa, step.bytes)
          ? undefined
          : differs('memory', 'external abort');
      case 'mem.read':
        return this.#memRead(step);
      case 'mem.copy': {
        const bytes = new Uint8Array(step.sizeBytes);
        const done =
          this.#driver.peek(step.fromSpace, step.from, bytes) &&
          this.#driver.poke(step.toSpace, step.to, bytes);
        return done ? undefined : differs('memory', 'external abort');
      }
      case 'mmio.write':
        return this.#mmioWrite(step);
      case 'mmio.read':
        return this.#mmioRead(step);
      case 'dma':
        return this.#dma(step);
      case 'events':
        return this.#events(step);
      case 'irq':
        return this.#irq(step);
      case 'inject':
        this.#driver.inject(step.space, step);
        return undefined;
      case 'reset':
        await this.#driver.reset(step.smmu);
        return undefined;
      case 'note':
        return undefined;
      case 'dma.outcome':
      case 'snapshot':
      case 'restore':
        return differs(`step ${step.op}`, 'this replayer cannot do that yet');
    }
  }

  #memRead(step: MemReadStep): Comparison {
    const got = new Uint8Array(step.sizeBytes);
    if (!this.#driver.peek(step.space, step.pa, got)) return differs(hexOf(step.expect), 'external abort');
    return sameBytes(got, step.expect) ? undefined : differs(hexOf(step.expect), hexOf(got));
  }

  async #mmioWrite(step: MmioWriteStep): Promise<Comparison> {
    const { smmu, offset, sizeBytes, value, security } = step;
    const write = () => this.#driver.writeRegister(smmu, offset, sizeBytes, value, security);
    const queue = SECURITY_STATES.map((of) => this.#queue(smmu, of)).find((of) => of.isProducer(offset));
    await (queue === undefined ? write() : queue.aroundProducerWrite(write));
    return undefined;
  }

  async #mmioRead(step: MmioReadStep): Promise<Comparison> {
    const unlike = step.sizeBytes === 4 ? (this.#smmus.get(step.smmu)?.unlike.get(step.offset) ?? 0) : 0;
    const mask = step.mask & ~BigInt(unlike);
    const got = await this.#driver.readRegister(step.smmu, step.offset, step.sizeBytes, step.security);
    if ((got & mask) === (step.expect & mask)) return undefined;
    const under = step.mask === 0xffff_ffff_ffff_ffffn ? '' : ` (mask ${hex(mask)})`;
    return differs(`${hex(step.expect)}${under}`, hex(got));
  }

  async #dma(step: DmaStep): Promise<Comparison> {
    if (step.expect.result === 'stall')
      return differs('stall', 'this replayer cannot hold a stalled access yet');
    const answer = await performDma(step, this.#driver);
    return meets(answer, step.expect)
      ? undefined
      : differs(printExpectation(step.expect), printDmaResult(answer));
  }

  async #events(step: EventsStep): Promise<Comparison> {
    const queue = this.#queue(step.smmu, step.SEC_SID);
    const got = step.consume ? await queue.consume() : await queue.list(step.expect.length);
    const same =
      got.length === step.expect.length &&
      got.every((record, index) =>
        record.every((word, at) => ((word ^ step.expect[index]![at]!) & step.mask[at]!) === 0n),
      );
    if (same) return undefined;
    const print = (records: readonly EventWords[]) =>
      records.length === 0 ? ['no event'] : records.map((record) => printEvent(masked(record, step.mask)));
    return differs(print(step.expect), print(got));
  }

  #irq(step: IrqStep): Comparison {
    const got = [...this.#driver.takeInterrupts(step.smmu, step.SEC_SID)].sort();
    const expected = [...new Set(step.expect)].sort();
    const print = (names: readonly string[]) => (names.length === 0 ? 'no interrupt' : names.join(', '));
    return print(got) === print(expected) ? undefined : differs(print(expected), print(got));
  }

  async #describeState(smmu: string, step: Step): Promise<readonly string[]> {
    const security = 'SEC_SID' in step ? step.SEC_SID : 'security' in step ? step.security : NON_SECURE;
    return describeBank(this.#driver, smmu, security, this.#queue(smmu, security));
  }

  #queue(smmu: string, security: SecurityState): EventQueueView {
    const key = `${smmu}/${security}`;
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = new EventQueueView(this.#driver, smmu, security);
      this.#queues.set(key, queue);
    }
    return queue;
  }
}
