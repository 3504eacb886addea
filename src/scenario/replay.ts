/**
 * Plays a scenario's steps upon a driver and finds the first that comes out differently.
 */
import { NON_SECURE, SECURITY_STATES, type SecurityState } from '../arch/security.js';
import type { PlannedSmmu } from './configure.js';
import { describeBank, printEvent } from './describe.js';
import { DmaAccess, type DmaResult, printDmaResult } from './dma.js';
import type { DriverState, ScenarioDriver } from './driver.js';
import { EventQueueView } from './event-queue.js';
import type { PlacedStep } from './files.js';
import type {
  DmaExpectation,
  DmaOutcomeStep,
  DmaStep,
  EventsStep,
  EventWords,
  IrqStep,
  MemReadStep,
  MmioReadStep,
  MmioWriteStep,
  Step,
} from './format.js';
import { hex, hexOf, printExpectation, printOutcome, printStep } from './print.js';

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

/** RAZ/WI is a success that leads to no address. */
function meetsOutcome(answer: DmaResult, { result, bytes }: DmaOutcomeStep['expect']): boolean {
  if (answer.result !== 'ok') return answer.result === result;
  if (result === 'abort' || (result === 'raz-wi' && answer.pa !== undefined)) return false;
  return bytes === undefined || sameBytes(bytes, answer.bytes);
}

function masked(words: EventWords, mask: EventWords): EventWords {
  return words.map((word, index) => word & mask[index]!) as unknown as EventWords;
}

type StalledAccesses = Map<string, { readonly access: DmaAccess; result: DmaResult }>;

/** A moment of a replay: the SMMUs with their memory, the devices' accesses, and what the scenario has looked at. */
interface Point {
  readonly driver: DriverState;
  readonly stalled: StalledAccesses;
  readonly listed: ReadonlyMap<string, number>;
}

function copies(stalled: StalledAccesses): StalledAccesses {
  return new Map([...stalled].map(([id, { access, result }]) => [id, { access: access.copy(), result }]));
}

export class Replay {
  readonly #driver: ScenarioDriver;
  readonly #smmus: ReadonlyMap<string, PlannedSmmu>;
  /** Accesses that stalled, by the scenario's names for them, with how far they have come. */
  #stalled: StalledAccesses = new Map();
  readonly #snapshots = new Map<string, Point>();
  readonly #queues = new Map<string, EventQueueView>();

  constructor(driver: ScenarioDriver, smmus: ReadonlyMap<string, PlannedSmmu>) {
    this.#driver = driver;
    this.#smmus = smmus;
  }

  /** Takes one step and lets the SMMUs run to idle. */
  async take({ number, line, step }: PlacedStep): Promise<Difference | undefined> {
    const comparison = await this.#perform(step);
    await this.#settle();
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
        return this.#dmaOutcome(step);
      case 'snapshot':
        this.#snapshots.set(step.as, await this.#save());
        return undefined;
      case 'restore': {
        const point = this.#snapshots.get(step.from);
        if (point === undefined) return differs(`snapshot "${step.from}"`, 'no snapshot of that name');
        await this.#restore(point);
        return undefined;
      }
    }
  }

  async #save(): Promise<Point> {
    return {
      driver: await this.#driver.save(),
      stalled: copies(this.#stalled),
      listed: new Map([...this.#queues].map(([key, queue]) => [key, queue.position])),
    };
  }

  /** The scenario goes back as a whole, to a moment to which it may come back again. */
  async #restore({ driver, stalled, listed }: Point): Promise<void> {
    await this.#driver.restore(driver);
    this.#stalled = copies(stalled);
    for (const [key, queue] of this.#queues) queue.position = listed.get(key) ?? 0;
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
    const access = new DmaAccess(step, this.#driver);
    const answer = await access.proceed();
    if (!meets(answer, step.expect)) return differs(printExpectation(step.expect), printDmaResult(answer));
    if (step.expect.result === 'stall') this.#stalled.set(step.expect.id, { access, result: answer });
    return undefined;
  }

  #dmaOutcome({ id, expect }: DmaOutcomeStep): Comparison {
    const held = this.#stalled.get(id);
    if (held === undefined) return differs(expect.result, `no access "${id}" has stalled`);
    return meetsOutcome(held.result, expect)
      ? undefined
      : differs(printOutcome(expect), printDmaResult(held.result));
  }

  /** Lets the SMMUs and the stalled accesses go on until nothing more happens without a further step. */
  async #settle(): Promise<void> {
    for (let moved = true; moved; ) {
      await this.#driver.runToIdle();
      moved = false;
      for (const held of this.#stalled.values()) {
        const before = held.result;
        if (before.result !== 'stall') continue;
        held.result = await held.access.proceed();
        moved ||= held.result.result !== 'stall' || held.result.stag !== before.stag;
      }
    }
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
