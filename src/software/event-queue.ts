/** The consumer's end of an Event queue (IHI 0070 3.5, 7.2, 7.4): records, wrapping, acknowledging an overflow. */
import { EVENT, EVENT_BYTES } from '../arch/events.js';
import { get } from '../arch/layout.js';
import type { PageAllocator } from './page-allocator.js';
import type { CpuMemory } from './port.js';
import type { RegisterInterface } from './register-interface.js';

export interface EventRecord {
  readonly number: number;
  readonly StreamID: number;
  /** All 32 bytes as eight words, for whoever knows the record's layout. */
  readonly words: Uint32Array;
}

export interface Drained {
  readonly records: readonly EventRecord[];
  /** Events were lost since the last time. */
  readonly overflow: boolean;
}

export interface EventQueuePosition {
  /** Index with its wrap bit. */
  readonly cons: number;
  /** The overflow flag as it was acknowledged last. */
  readonly acknowledged: number;
}

export class EventQueue {
  readonly #registers: RegisterInterface;
  readonly #memory: CpuMemory;
  readonly #base: number;
  readonly #log2Size: number;
  #cons = 0;
  #acknowledged = 0;

  constructor(registers: RegisterInterface, memory: CpuMemory, allocator: PageAllocator, log2Size: number) {
    this.#registers = registers;
    this.#memory = memory;
    this.#log2Size = log2Size;
    const sizeBytes = 2 ** log2Size * EVENT_BYTES;
    this.#base = allocator.allocate(sizeBytes, Math.max(4096, sizeBytes));
  }

  /** Programs the queue's registers, empty. The queue must be disabled. */
  program(): void {
    this.#registers.writeFields('EVENTQ_BASE', { LOG2SIZE: this.#log2Size, ADDR: this.#base / 32, WA: 1 });
    this.#cons = 0;
    this.#acknowledged = 0;
    this.#registers.write('EVENTQ_PROD', 0);
    this.#registers.write('EVENTQ_CONS', 0);
  }

  /** What EVENTQ_CONS is to the program, of a queue that it has programmed before. */
  get position(): EventQueuePosition {
    return { cons: this.#cons, acknowledged: this.#acknowledged };
  }

  set position({ cons, acknowledged }: EventQueuePosition) {
    this.#cons = cons & (2 ** (this.#log2Size + 1) - 1);
    this.#acknowledged = acknowledged;
  }

  /** Takes all records that are in the queue now, oldest first. */
  drain(): Drained {
    const prod = this.#registers.read('EVENTQ_PROD');
    const mask = 2 ** (this.#log2Size + 1) - 1;
    const records: EventRecord[] = [];
    while (this.#cons !== (prod & mask)) {
      records.push(this.#read(this.#cons & (mask >>> 1)));
      this.#cons = (this.#cons + 1) & mask;
    }
    const flag = (prod & this.#registers.encode('EVENTQ_PROD', { OVFLG: 1 })) >>> 0;
    const overflow = flag !== this.#acknowledged;
    this.#acknowledged = flag;
    if (records.length > 0 || overflow) this.#registers.write('EVENTQ_CONS', this.#cons | flag);
    return { records, overflow };
  }

  /** Events have been lost that {@link drain} has not told of yet: after it looked and before it made room. */
  get hasOverflowed(): boolean {
    const flag = this.#registers.read('EVENTQ_PROD') & this.#registers.encode('EVENTQ_PROD', { OVFLG: 1 });
    return flag >>> 0 !== this.#acknowledged;
  }

  /** No record is in the queue now. */
  get isEmpty(): boolean {
    const mask = 2 ** (this.#log2Size + 1) - 1;
    return (this.#registers.read('EVENTQ_PROD') & mask) === this.#cons;
  }

  #read(index: number): EventRecord {
    const bytes = this.#memory.readBytes(this.#base + index * EVENT_BYTES, EVENT_BYTES);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, EVENT_BYTES / 4);
    return { number: get(words, EVENT.EventNumber), StreamID: get(words, EVENT.StreamID), words };
  }
}
