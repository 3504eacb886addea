/**
 * The Event queue as a scenario looks at it: records between the consumer's position and EVENTQ_PROD, read from
 * memory the way software reads them (IHI 0070 3.5, 7.1).
 */
import { EVENT_BYTES } from '../arch/events.js';
import { get, getAddress, type Words } from '../arch/layout.js';
import { BANKS, type RegisterKey } from '../arch/registers.js';
import type { SecurityState } from '../arch/security.js';
import type { Awaitable, ScenarioDriver } from './driver.js';
import type { EventWords } from './format.js';

/** IDR1.EVENTQS is at most this (IHI 0070 6.3.2). */
const LOG2SIZE_MAX = 19;

type EventQueueRegister = Extract<RegisterKey, 'EVENTQ_BASE' | 'EVENTQ_PROD' | 'EVENTQ_CONS'>;

interface Ring {
  readonly entries: number;
  readonly base: number;
  /** The producer's index with its wrap bit. */
  readonly WR: number;
}

export class EventQueueView {
  readonly #driver: ScenarioDriver;
  readonly #smmu: string;
  readonly #security: SecurityState;
  /** Next record that no `events` step with `consume: false` has listed, as a queue index with its wrap bit. */
  #listed = 0;

  constructor(driver: ScenarioDriver, smmu: string, security: SecurityState) {
    this.#driver = driver;
    this.#smmu = smmu;
    this.#security = security;
  }

  /** Which record a listing begins with: all that the view knows of itself. */
  get position(): number {
    return this.#listed;
  }

  set position(listed: number) {
    this.#listed = listed;
  }

  /** Records that software has not consumed; consumes them, acknowledging an overflow too. */
  async consume(): Promise<EventWords[]> {
    const records = await this.unconsumed();
    const PROD = (await this.#read('EVENTQ_PROD'))[0]!;
    const { offset } = BANKS[this.#security].EVENTQ_CONS;
    await this.#driver.writeRegister(this.#smmu, offset, 4, BigInt(PROD), this.#security);
    return records;
  }

  /** Records that software has not consumed. */
  async unconsumed(): Promise<EventWords[]> {
    const RD = get(await this.#read('EVENTQ_CONS'), BANKS[this.#security].EVENTQ_CONS.fields.RD!);
    return this.#records(await this.#ring(), RD, Number.POSITIVE_INFINITY);
  }

  /** The next `count` records that were not listed yet, or as many as there are; consumes nothing. */
  async list(count: number): Promise<EventWords[]> {
    const ring = await this.#ring();
    const records = this.#records(ring, this.#listed, count);
    this.#listed = (this.#listed + records.length) & (2 * ring.entries - 1);
    return records;
  }

  isProducer(offset: number): boolean {
    return offset === BANKS[this.#security].EVENTQ_PROD.offset;
  }

  /** Software that moves EVENTQ_PROD sets the queue up anew: the listing starts there. */
  async aroundProducerWrite(write: () => Awaitable<void>): Promise<void> {
    const before = await this.#ring();
    await write();
    const after = await this.#ring();
    if (after.WR !== before.WR) this.#listed = after.WR;
  }

  #records({ entries, base, WR }: Ring, from: number, limit: number): EventWords[] {
    const indexMask = 2 * entries - 1;
    const records: EventWords[] = [];
    for (let index = from & indexMask; index !== (WR & indexMask) && records.length < limit; ) {
      records.push(this.#record(base + (index & (entries - 1)) * EVENT_BYTES));
      index = (index + 1) & indexMask;
    }
    return records;
  }

  #record(pa: number): EventWords {
    const bytes = new Uint8Array(EVENT_BYTES);
    this.#driver.peek(this.#security, pa, bytes);
    const view = new DataView(bytes.buffer);
    return [0, 8, 16, 24].map((offset) => view.getBigUint64(offset, true)) as unknown as EventWords;
  }

  async #ring(): Promise<Ring> {
    const { EVENTQ_BASE, EVENTQ_PROD } = BANKS[this.#security];
    const BASE = await this.#read('EVENTQ_BASE');
    const entries = 2 ** Math.min(get(BASE, EVENTQ_BASE.fields.LOG2SIZE!), LOG2SIZE_MAX);
    const ADDR = getAddress(BASE, EVENTQ_BASE.fields.ADDR!);
    return {
      entries,
      // The queue is aligned to its size: lower address bits are treated as 0 (IHI 0070 6.3.29).
      base: ADDR - (ADDR % (entries * EVENT_BYTES)),
      WR: get(await this.#read('EVENTQ_PROD'), EVENTQ_PROD.fields.WR!),
    };
  }

  async #read(key: EventQueueRegister): Promise<Words> {
    const { offset, bits } = BANKS[this.#security][key];
    const value = await this.#driver.readRegister(this.#smmu, offset, bits / 8, this.#security);
    return [Number(BigInt.asUintN(32, value)), Number(value >> 32n)];
  }
}
