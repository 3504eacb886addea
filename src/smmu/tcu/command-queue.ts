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
import { type Commit, StateError } from '../state.js';
import type { GlobalErrors } from './gerror.js';
import type { Interrupts } from './interrupts.js';
import { entryAddress, QueueBase, type QueueGeometry } from './queue.js';
import { entriesUsed, indexMask } from './queue-index.js';
import { type Bank, maskOf } from './registers.js';

/** Commands consumed in one step at most: enough that the steps cost nothing, few enough that others get their turn. */
export const COMMANDS_PER_STEP = 64;

/** In both banks. */
const CMDQEN = maskOf(BANKS[NON_SECURE].CR0.fields.CMDQEN!);
const ERR_SHIFT = BANKS[NON_SECURE].CMDQ_CONS.fields.ERR!.lo;

/** CMD_SYNC.MSIAddress within the second of the command's two 64-bit words. */
const MSI_ADDRESS: Field = { hi: SYNC.MSIAddress.hi - 64, lo: SYNC.MSIAddress.lo - 64 };

/** What becomes of a legal command. */
export interface CommandExecutor {
  /**
   * Executes any command but CMD_SYNC. The words are valid during the call only.
   * @returns whether it went to the TBUs.
   */
  execute(command: Command, words: Int32Array): boolean;
  /** How many of the latest commands that went to the TBUs could not be carried out (TbuChannel.carryOut). */
  carryOut(): number;
  /** Whether everything that was executed so far has taken effect everywhere (4.7.3). */
  settled(): boolean;
}

export interface CommandQueueState {
  readonly consumed: number;
  /** The CMD_SYNC that was fetched and waits for the TBUs. */
  readonly syncing?: Int32Array;
}

export class CommandQueue {
  readonly #bank: Bank;
  readonly #space: PhysicalAddressSpace;
  readonly #errors: GlobalErrors;
  readonly #interrupts: Interrupts;
  readonly #executor: CommandExecutor;
  readonly #base: QueueBase;
  readonly #ranges: RangeFeatures;
  #accepted: ReadonlyArray<Command | undefined> = [];
  readonly #words = new Int32Array(4);
  /** A CMD_SYNC stands in `#words` and waits; it was fetched once and is completed once. */
  #syncing = false;
  #consumed = 0;
  /** Commands executed since CMDQ_CONS was written: they are consumed when they have been carried out. */
  #ahead = 0;
  /** Which of them went to the TBUs. */
  readonly #sent: number[] = [];

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
    this.#base = new QueueBase(bank, 'CMDQ_BASE', log2Max, COMMAND_BYTES);
    this.#ranges = ranges;
  }

  /** Takes the set of legal commands from the ID registers as they read now: NSSTALLD changes it (6.3.57). */
  accept(id: IdWords): void {
    this.#accepted = acceptedCommands(this.#bank.security, id);
  }

  reset(): void {
    this.#syncing = false;
    this.#ahead = this.#sent.length = 0;
  }

  save(): CommandQueueState {
    return {
      consumed: this.#consumed,
      ...(this.#syncing ? { syncing: this.#words.slice() } : {}),
    };
  }

  /** @throws StateError */
  prepare({ consumed, syncing }: CommandQueueState): Commit {
    if (syncing !== undefined && (syncing.length !== 4 || get(syncing, COMMAND.Opcode) !== CMD_SYNC)) {
      throw new StateError('the command under way is no CMD_SYNC');
    }
    return () => {
      this.#consumed = consumed;
      this.#syncing = syncing !== undefined;
      if (syncing !== undefined) this.#words.set(syncing);
    };
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
   * Consumes up to `limit` commands.
   * @returns whether it did anything.
   */
  step(limit: number): boolean {
    const synced = this.#syncing && this.#completeSync();
    if (this.#syncing) return false;
    const queue = this.#base.geometry;
    let fetched = 0;
    while (fetched < limit && this.#mayFetch(queue)) {
      fetched++;
      this.#consume(queue);
    }
    this.#carryOut();
    return synced || fetched > 0;
  }

  #mayFetch({ log2Size }: QueueGeometry): boolean {
    const bank = this.#bank;
    const enabled = bank.read('CR0') & bank.read('CR0ACK') & CMDQEN;
    if (enabled === 0 || this.#syncing || this.#errors.isActive('CMDQ_ERR')) return false;
    // Choice: inconsistent-indexes.
    const used = entriesUsed(bank.read('CMDQ_PROD'), bank.read('CMDQ_CONS'), log2Size);
    return used > this.#ahead && used <= 1 << log2Size;
  }

  /** Consumes one command, or stops: at an error, or at a CMD_SYNC that has to wait. Either shows in `#mayFetch`. */
  #consume(queue: QueueGeometry): void {
    const words = this.#words;
    const index = this.#bank.read('CMDQ_CONS') + this.#ahead;
    if (!this.#space.load(entryAddress(queue, index), words, COMMAND_BYTES / 8)) {
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
    if (this.#executor.execute(command, words)) this.#sent.push(this.#ahead);
    this.#ahead++;
  }

  /** Lets CMDQ_CONS follow. @returns false when a command could not be carried out: the queue stops there. */
  #carryOut(): boolean {
    if (this.#ahead === 0) return true;
    const failed = this.#executor.carryOut();
    const done = failed === 0 ? this.#ahead : this.#sent[this.#sent.length - failed]!;
    this.#ahead = this.#sent.length = 0;
    this.#advance(done);
    if (failed > 0) this.#stop(CERROR_ILL);
    return failed === 0;
  }

  /** The consumption is to be seen before the interrupt (3.18, 4.7.3). SIG_SEV wakes nobody (choice: sev). */
  #completeSync(): boolean {
    if (!this.#carryOut()) {
      // What came before is not done: the CMD_SYNC has not been reached.
      this.#syncing = false;
      return true;
    }
    if (!this.#executor.settled()) return false;
    this.#syncing = false;
    this.#advance(1);
    if (get(this.#words, SYNC.CS) === SIG_IRQ) {
      const data = get(this.#words, SYNC.MSIData) | 0;
      const addressLo = this.#words[2]! & maskOf(MSI_ADDRESS, 0);
      const addressHi = this.#words[3]! & maskOf(MSI_ADDRESS, 1);
      if (!this.#interrupts.commandSync(addressLo, addressHi, data))
        this.#errors.activate('MSI_CMDQ_ABT_ERR');
    }
    return true;
  }

  #advance(commands: number): void {
    if (commands === 0) return;
    const bank = this.#bank;
    this.#consumed += commands;
    const { log2Size } = this.#base.geometry;
    const cons = bank.read('CMDQ_CONS');
    const index = (cons + commands) & indexMask(log2Size);
    bank.write('CMDQ_CONS', (cons & bank.mask('CMDQ_CONS', 'ERR')) | index);
  }

  /** Stops at the culprit, after what came before it. */
  #fail(reason: number): void {
    if (this.#carryOut()) this.#stop(reason);
  }

  /** The reason is visible before the error is (7.1). */
  #stop(reason: number): void {
    const bank = this.#bank;
    const cons = bank.read('CMDQ_CONS') & ~bank.mask('CMDQ_CONS', 'ERR');
    bank.write('CMDQ_CONS', cons | (reason << ERR_SHIFT));
    this.#errors.activate('CMDQ_ERR');
  }
}
