/**
 * One Command queue: the consumer's side (IHI 0070 3.5.1, 4.1.2 to 4.1.4, 4.7.3, 4.8, 7.1).
 *
 * Commands are taken in order, a bounded number per step, so that no guest can hold the thread (REQUIREMENTS B18). The
 * queue decides what is legal and completes CMD_SYNC; every other legal command goes to the executor.
 * Left out: CERROR_ATC_INV_SYNC, for which there is no ATS yet.
 */
import {
  acceptedCommands,
  CERROR_ABT,
  CERROR_ILL,
  CMD_SYNC,
  COMMAND,
  COMMAND_BYTES,
  type Command,
  hasIllegalParameters,
  type RangeFeatures,
  SIG_IRQ,
  SYNC,
} from '../../arch/commands.js';
import type { IdWords } from '../../arch/conditions.js';
import { type Field, get } from '../../arch/layout.js';
import { BANKS } from '../../arch/registers.js';
import { NON_SECURE } from '../../arch/security.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { GlobalErrors } from './gerror.js';
import type { Interrupts } from './interrupts.js';
import { entriesUsed, entryAddress, nextIndex, type QueueGeometry, queueGeometry } from './queue.js';
import { type Bank, maskOf } from './registers.js';

/** Commands consumed in one step at most: enough that the steps cost nothing, few enough that others get their turn. */
export const COMMANDS_PER_STEP = 64;

const ERR_SHIFT = BANKS[NON_SECURE].CMDQ_CONS.fields.ERR!.lo;

/** CMD_SYNC.MSIAddress within the second of the command's two 64-bit words. */
const MSI_ADDRESS: Field = { hi: SYNC.MSIAddress.hi - 64, lo: SYNC.MSIAddress.lo - 64 };

/** What becomes of a legal command. */
export interface CommandExecutor {
  /** Executes any command but CMD_SYNC. The words are valid during the call only. */
  execute(command: Command, words: Int32Array): void;
  /** Whether everything that was executed so far has taken effect everywhere (4.7.3). */
  settled(): boolean;
}

export class CommandQueue {
  readonly #bank: Bank;
  readonly #space: PhysicalAddressSpace;
  readonly #errors: GlobalErrors;
  readonly #interrupts: Interrupts;
  readonly #executor: CommandExecutor;
  readonly #log2Max: number;
  readonly #ranges: RangeFeatures;
  #accepted: ReadonlyArray<Command | undefined> = [];
  readonly #words = new Int32Array(4);
  /** A CMD_SYNC stands in `#words` and waits; it was fetched once and is completed once. */
  #syncing = false;
  #consumed = 0;

  /** @param log2Max IDR1.CMDQS. */
  constructor(
    bank: Bank,
    space: PhysicalAddressSpace,
    errors: GlobalErrors,
    interrupts: Interrupts,
    executor: CommandExecutor,
    log2Max: number,
    ranges: RangeFeatures,
  ) {
    this.#bank = bank;
    this.#space = space;
    this.#errors = errors;
    this.#interrupts = interrupts;
    this.#executor = executor;
    this.#log2Max = log2Max;
    this.#ranges = ranges;
  }

  /** Takes the set of legal commands from the ID registers as they read now: NSSTALLD changes it (6.3.57). */
  accept(id: IdWords): void {
    this.#accepted = acceptedCommands(this.#bank.security, id);
  }

  reset(): void {
    this.#syncing = false;
  }

  /** Commands consumed since the instance was made. */
  get consumed(): number {
    return this.#consumed;
  }

  /** A command has been begun and is not consumed: CMDQEN cannot complete its Update to 0 (6.3.9.3). */
  get isBusy(): boolean {
    return this.#syncing;
  }

  /**
   * Consumes up to {@link COMMANDS_PER_STEP} commands.
   * @returns whether it did anything.
   */
  step(): boolean {
    const synced = this.#syncing && this.#completeSync();
    if (this.#syncing) return false;
    const queue = queueGeometry(this.#bank, 'CMDQ_BASE', this.#log2Max, COMMAND_BYTES);
    let fetched = 0;
    while (fetched < COMMANDS_PER_STEP && this.#mayFetch(queue)) {
      fetched++;
      this.#consume(queue);
    }
    return synced || fetched > 0;
  }

  #mayFetch({ log2Size }: QueueGeometry): boolean {
    const bank = this.#bank;
    const enabled = bank.read('CR0') & bank.read('CR0ACK') & bank.mask('CR0', 'CMDQEN');
    if (enabled === 0 || this.#syncing || this.#errors.isActive('CMDQ_ERR')) return false;
    // Choice: inconsistent-indexes.
    const used = entriesUsed(bank.read('CMDQ_PROD'), bank.read('CMDQ_CONS'), log2Size);
    return used > 0 && used <= 2 ** log2Size;
  }

  /** Consumes one command, or stops: at an error, or at a CMD_SYNC that has to wait. Either shows in `#mayFetch`. */
  #consume(queue: QueueGeometry): void {
    const words = this.#words;
    if (!this.#space.load(entryAddress(queue, this.#bank.read('CMDQ_CONS')), words, COMMAND_BYTES / 8)) {
      this.#fail(CERROR_ABT);
      return;
    }
    const command = this.#accepted[get(words, COMMAND.Opcode)];
    if (command === undefined || hasIllegalParameters(command, words, this.#bank.security, this.#ranges)) {
      this.#fail(CERROR_ILL);
      return;
    }
    if (command.opcode === CMD_SYNC) {
      this.#syncing = true;
      this.#completeSync();
      return;
    }
    this.#executor.execute(command, words);
    this.#advance();
  }

  /** The consumption is to be seen before the interrupt (3.18, 4.7.3). */
  #completeSync(): boolean {
    if (!this.#executor.settled()) return false;
    this.#syncing = false;
    this.#advance();
    if (get(this.#words, SYNC.CS) === SIG_IRQ) {
      const data = get(this.#words, SYNC.MSIData) | 0;
      const addressLo = this.#words[2]! & maskOf(MSI_ADDRESS, 0);
      const addressHi = this.#words[3]! & maskOf(MSI_ADDRESS, 1);
      if (!this.#interrupts.commandSync(addressLo, addressHi, data))
        this.#errors.activate('MSI_CMDQ_ABT_ERR');
    }
    return true;
  }

  #advance(): void {
    const bank = this.#bank;
    this.#consumed++;
    const { log2Size } = queueGeometry(bank, 'CMDQ_BASE', this.#log2Max, COMMAND_BYTES);
    const cons = bank.read('CMDQ_CONS');
    bank.write('CMDQ_CONS', (cons & bank.mask('CMDQ_CONS', 'ERR')) | nextIndex(cons, log2Size));
  }

  /** Stops at the culprit; the reason is visible before the error is (7.1). */
  #fail(reason: number): void {
    const bank = this.#bank;
    const cons = bank.read('CMDQ_CONS') & ~bank.mask('CMDQ_CONS', 'ERR');
    bank.write('CMDQ_CONS', cons | (reason << ERR_SHIFT));
    this.#errors.activate('CMDQ_ERR');
  }
}
