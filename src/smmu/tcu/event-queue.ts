/**
 * One Event queue: the producer's side (IHI 0070 3.5.2 to 3.5.4, 7.2.1, 7.2.2, 7.4).
 *
 * Records of terminated transactions are dropped when the queue is not writable. A stalled one whose record could
 * not be written is retried when it is (choice: unwritten-stall). Left out: merging (3.5.5), which is not required.
 */
import { EVENT, EVENT_BYTES } from '../../arch/events.js';
import { get } from '../../arch/layout.js';
import { BANKS } from '../../arch/registers.js';
import { NON_SECURE } from '../../arch/security.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { StallTable } from '../stalls.js';
import type { GlobalErrors } from './gerror.js';
import type { Interrupts } from './interrupts.js';
import { entryAddress, QueueBase } from './queue.js';
import { entriesUsed, nextIndex } from './queue-index.js';
import { type Bank, maskOf } from './registers.js';

const EVENT_WORDS = EVENT_BYTES / 4;
/** In both banks. */
const EVENTQEN = maskOf(BANKS[NON_SECURE].CR0.fields.EVENTQEN!);

export class EventQueue {
  readonly #bank: Bank;
  readonly #space: PhysicalAddressSpace;
  readonly #errors: GlobalErrors;
  readonly #interrupts: Interrupts;
  readonly #base: QueueBase;
  readonly #stalls: StallTable;
  /** The stall table may have an UNWRITTEN entry of this bank. */
  #unwritten = true;
  #recorded = 0;

  /** @param log2Max IDR1.EVENTQS. */
  constructor(
    bank: Bank,
    space: PhysicalAddressSpace,
    errors: GlobalErrors,
    interrupts: Interrupts,
    log2Max: number,
    stalls: StallTable,
  ) {
    this.#bank = bank;
    this.#space = space;
    this.#errors = errors;
    this.#interrupts = interrupts;
    this.#base = new QueueBase(bank, 'EVENTQ_BASE', log2Max, EVENT_BYTES);
    this.#stalls = stalls;
  }

  /** Records written since the instance was made. */
  get recorded(): number {
    return this.#recorded;
  }

  /** Continues another's count, beside its stall table. */
  restore(recorded: number): void {
    this.#recorded = recorded;
    this.#unwritten = true;
  }

  /** Records an event of 8 words, which are copied. */
  record(words: Int32Array, stall: boolean): void {
    const written = this.#isWritable() && this.#append(words);
    if (stall) {
      const stag = get(words, EVENT.STAG);
      if (written) this.#stalls.recorded(stag);
      else this.#stalls.unwritten(stag);
      this.#unwritten ||= !written;
    } else if (!written && this.#isEnabled() && this.#isFull()) {
      this.#overflow();
    }
  }

  /**
   * Has stalled transactions retried whose records could not be written, once the queue is writable.
   * @returns whether there was any.
   */
  retryUnwritten(): boolean {
    if (!this.#unwritten || !this.#isWritable()) return false;
    this.#unwritten = false;
    return this.#stalls.retryUnwritten(this.#bank.security);
  }

  /** An EVENTQ_ABT_ERR stops delivery, and that is all: what is lost meanwhile is no overflow (7.2.1, 7.5). */
  #isWritable(): boolean {
    return this.#isEnabled() && !this.#isFull() && !this.#errors.isActive('EVENTQ_ABT_ERR');
  }

  #isEnabled(): boolean {
    return (this.#bank.read('CR0ACK') & EVENTQEN) !== 0;
  }

  /** Full, or with indexes that make no sense (choice: inconsistent-indexes). */
  #isFull(): boolean {
    const { log2Size } = this.#base.geometry;
    return this.#used(log2Size) >= 1 << log2Size;
  }

  #used(log2Size: number): number {
    return entriesUsed(this.#bank.read('EVENTQ_PROD'), this.#bank.read('EVENTQ_CONS'), log2Size);
  }

  #overflow(): void {
    const bank = this.#bank;
    const flag = bank.mask('EVENTQ_PROD', 'OVFLG');
    const prod = bank.read('EVENTQ_PROD');
    if (((prod ^ bank.read('EVENTQ_CONS')) & flag) === 0) bank.write('EVENTQ_PROD', prod ^ flag);
  }

  /** @returns false when the write was aborted. */
  #append(words: Int32Array): boolean {
    const bank = this.#bank;
    const queue = this.#base.geometry;
    const wasEmpty = this.#used(queue.log2Size) === 0;
    const prod = bank.read('EVENTQ_PROD');
    const pa = entryAddress(queue, prod);
    for (let i = 0; i < EVENT_WORDS; i += 2) {
      if (!this.#space.store(pa + 4 * i, words[i]!, words[i + 1]!)) {
        // Choice: event-queue-abort. PROD stays, and so no interrupt tells of an entry.
        this.#errors.activate('EVENTQ_ABT_ERR');
        return false;
      }
    }
    this.#recorded++;
    const flag = prod & bank.mask('EVENTQ_PROD', 'OVFLG');
    bank.write('EVENTQ_PROD', flag | nextIndex(prod, queue.log2Size));
    if (wasEmpty && !this.#interrupts.notify('eventq')) this.#errors.activate('MSI_EVENTQ_ABT_ERR');
    return true;
  }
}
