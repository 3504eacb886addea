/**
 * The producer's end of a Command queue (IHI 0070 3.5, 4.1): batches, wrapping, waiting for space, CMD_SYNC and
 * errors (4.1.4, 7.1).
 */
import { COMMAND_BYTES } from '../arch/commands.js';
import { type CommandWords, sync } from './commands.js';
import type { PageAllocator } from './page-allocator.js';
import { CommandError, type CpuMemory, doubleWord } from './port.js';
import type { RegisterInterface } from './register-interface.js';

export class CommandQueue {
  readonly #registers: RegisterInterface;
  readonly #memory: CpuMemory;
  readonly #base: number;
  readonly #log2Size: number;
  /** Index and wrap bit: what CMDQ_PROD.WR is, or will be when the batch is published. */
  #prod = 0;

  constructor(registers: RegisterInterface, memory: CpuMemory, allocator: PageAllocator, log2Size: number) {
    this.#registers = registers;
    this.#memory = memory;
    this.#log2Size = log2Size;
    const sizeBytes = 2 ** log2Size * COMMAND_BYTES;
    this.#base = allocator.allocate(sizeBytes, Math.max(4096, sizeBytes));
  }

  /** Programs the queue's registers, empty. The queue must be disabled. */
  program(): void {
    this.#registers.writeFields('CMDQ_BASE', { LOG2SIZE: this.#log2Size, ADDR: this.#base / 32, RA: 1 });
    this.#prod = 0;
    this.#registers.write('CMDQ_PROD', 0);
    this.#registers.write('CMDQ_CONS', 0);
  }

  /** What CMDQ_PROD.WR is, of a queue that this program has programmed before. */
  get position(): number {
    return this.#prod;
  }

  set position(prod: number) {
    this.#prod = prod & this.#indexMask;
  }

  /** Puts commands into the queue, in order, with as few writes of PROD as space allows. Does not wait for them. */
  issue(commands: readonly CommandWords[]): void {
    let next = 0;
    while (next < commands.length) {
      const count = Math.min(this.#waitForSpace(), commands.length - next);
      for (const command of commands.slice(next, next + count)) this.#put(command);
      next += count;
      this.#registers.write('CMDQ_PROD', this.#prod);
    }
  }

  /** Commands for which there is room now. */
  get space(): number {
    return this.#space(this.#registers.read('CMDQ_CONS') & this.#indexMask);
  }

  /**
   * Publishes commands without waiting; there must be {@link space} for them.
   * @returns their end, for {@link hasConsumed}.
   */
  post(commands: readonly CommandWords[]): number {
    for (const command of commands) this.#put(command);
    this.#registers.write('CMDQ_PROD', this.#prod);
    return this.#prod;
  }

  /** Whether everything up to an end that {@link post} gave has been consumed. @throws CommandError */
  hasConsumed(end: number): boolean {
    const left = (this.#prod - this.#registers.read('CMDQ_CONS')) & this.#indexMask;
    if (left <= ((this.#prod - end) & this.#indexMask)) return true;
    this.#checkError();
    return false;
  }

  /** Issues commands and a CMD_SYNC, and waits until it has completed. @throws CommandError, DriverTimeout. */
  sync(commands: readonly CommandWords[] = []): void {
    this.issue([...commands, sync()]);
    this.#waitUntil('all commands consumed', (cons) => cons === this.#prod);
  }

  get #indexMask(): number {
    return 2 ** (this.#log2Size + 1) - 1;
  }

  #slot(index: number): number {
    return this.#base + (index & (this.#indexMask >>> 1)) * COMMAND_BYTES;
  }

  #put(command: CommandWords): void {
    const slot = this.#slot(this.#prod);
    this.#memory.store64(slot, doubleWord(command));
    this.#memory.store64(slot + 8, doubleWord(command, 1));
    this.#prod = (this.#prod + 1) & this.#indexMask;
  }

  #space(cons: number): number {
    const used = (this.#prod - cons) & this.#indexMask;
    return 2 ** this.#log2Size - used;
  }

  #waitForSpace(): number {
    const cons = this.#waitUntil('space in the queue', (index) => this.#space(index) > 0);
    return this.#space(cons);
  }

  #waitUntil(expected: string, done: (cons: number) => boolean): number {
    const value = this.#registers.poll('CMDQ_CONS', expected, (raw) => {
      if (done(raw & this.#indexMask)) return true;
      this.#checkError();
      return false;
    });
    return value & this.#indexMask;
  }

  #checkError(): void {
    const active = this.#registers.read('GERROR') ^ this.#registers.read('GERRORN');
    if ((active & this.#registers.encode('GERROR', { CMDQ_ERR: 1 })) !== 0) this.#recover();
  }

  /**
   * Puts a CMD_SYNC in the place of the command that stopped the queue and acknowledges the error, so that what
   * follows is carried out; then tells the caller.
   */
  #recover(): never {
    const slot = this.#slot(this.#registers.readField('CMDQ_CONS', 'RD'));
    const culprit = new Uint32Array(this.#memory.readBytes(slot, COMMAND_BYTES).buffer);
    const resume = sync();
    this.#memory.store64(slot, BigInt(resume[0]!));
    this.#memory.store64(slot + 8, 0n);
    const code = this.#registers.readField('CMDQ_CONS', 'ERR');
    const name = this.#registers.valueName('CMDQ_CONS', 'ERR', code);
    const acknowledged = this.#registers.read('GERRORN') ^ this.#registers.encode('GERRORN', { CMDQ_ERR: 1 });
    this.#registers.write('GERRORN', acknowledged);
    throw new CommandError(this.#registers.name, name, culprit);
  }
}
