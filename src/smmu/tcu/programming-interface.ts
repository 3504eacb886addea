/**
 * The programming interface of one Security state: its bank of registers with what they control (IHI 0070 6.3.9 to 6.3.16).
 *
 * Non-secure and Secure are two instances. Here are the Update protocols: a change of CR0 or GBPA is announced to
 * the TBUs and acknowledged when all of them have followed. CR1, CR2 and the Stream table's registers are guarded by
 * SMMUEN and travel with it.
 */
import {
  CMD_ATC_INV,
  CMD_PREFETCH_ADDR,
  CMD_PREFETCH_CONFIG,
  CMD_PRI_RESP,
  CMD_RESUME,
  CMD_STALL_TERM,
  COMMAND,
  type Command,
  RESUME,
} from '../../arch/commands.js';
import { IDR0, IDR1, IDR3, IDR5 } from '../../arch/id-registers.js';
import { get } from '../../arch/layout.js';
import { BANKS, type Register } from '../../arch/registers.js';
import { NON_SECURE, SECURITY_NAMES, type SecurityState } from '../../arch/security.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { IdRegisters } from '../config.js';
import {
  BANK_CR0_FLAGS,
  BANK_CR1,
  BANK_CR2,
  BANK_GBPA,
  BANK_SECURITY,
  BANK_SMMUEN,
  BANK_STRTAB_BASE_CFG,
  BANK_STRTAB_BASE_HI,
  BANK_STRTAB_BASE_LO,
  MESSAGE_BANK,
  MESSAGE_COMMAND,
  MESSAGE_WORDS,
  type TbuChannel,
} from '../maintenance.js';
import { RESOLVED_ABORT, RESOLVED_RAZ_WI, RESOLVED_RETRY, type StallTable } from '../stalls.js';
import { type Commit, StateError } from '../state.js';
import { CommandQueue, type CommandQueueState } from './command-queue.js';
import { EventQueue } from './event-queue.js';
import { GlobalErrors } from './gerror.js';
import { Interrupts, type TcuIo } from './interrupts.js';
import { type Bank, maskOf } from './registers.js';

/** CR0 fields that the TBUs need to know. */
const ANNOUNCED = ['SMMUEN', 'ATSCHK', 'VMW', 'SIF', 'NSSTALLD'];

/** In both banks. */
const GBPA_UPDATE = maskOf(BANKS[NON_SECURE].GBPA.fields.Update!);

/** What an interface asks of the SMMU that it belongs to. */
export interface Surroundings {
  /** The TBUs are being told of an Update of CR0; `changed` holds its bits. */
  announced(security: SecurityState, changed: number): void;
  /** They have followed, and CR0ACK is about to say so. */
  acknowledging(security: SecurityState, changed: number): void;
  /** S_CR0.NSSTALLD as it was announced: it concerns Non-secure streams and is in the Secure bank. */
  nsStallDisabled(): boolean;
}

/** What a programming interface knows beside its registers. */
export interface InterfaceState {
  /** The BANK message that the TBUs were told last (maintenance.ts). */
  readonly announced: Int32Array;
  /** An Update that the TBUs have been told of and not all have followed. */
  readonly update?: { readonly CR0: number; readonly GBPA: boolean };
  readonly commands: CommandQueueState;
  /** Event records written, and commands executed that invalidate. */
  readonly recorded: number;
  readonly invalidations: number;
}

export class ProgrammingInterface {
  readonly bank: Bank;
  readonly events: EventQueue;
  readonly commands: CommandQueue;
  readonly #channel: TbuChannel;
  readonly #stalls: StallTable;
  readonly #canRazWi: boolean;
  readonly #surroundings: Surroundings;
  #invalidations = 0;
  readonly #message = new Int32Array(MESSAGE_WORDS);
  readonly #announced = new Int32Array(MESSAGE_WORDS);
  /** An Update has been announced and is not acknowledged yet; the values are those that it was announced with. */
  #updating = false;
  #targetCr0 = 0;
  #updatesGbpa = false;

  constructor(
    bank: Bank,
    space: PhysicalAddressSpace,
    channel: TbuChannel,
    stalls: StallTable,
    io: TcuIo,
    idr: IdRegisters,
    surroundings: Surroundings,
  ) {
    this.bank = bank;
    this.#channel = channel;
    this.#stalls = stalls;
    this.#canRazWi = get([idr.IDR0], IDR0.fields.TERM_MODEL) === 0;
    this.#surroundings = surroundings;
    const idr1 = [idr.IDR1];
    const cmdqs = get(idr1, IDR1.fields.CMDQS);
    const eventqs = get(idr1, IDR1.fields.EVENTQS);
    const ranges = {
      ril: get([idr.IDR3], IDR3.fields.RIL) === 1,
      ds: get([idr.IDR5], IDR5.fields.DS) === 1,
    };
    const interrupts = new Interrupts(bank, space, io, idr);
    const errors = new GlobalErrors(bank, interrupts);
    this.events = new EventQueue(bank, space, errors, interrupts, eventqs, stalls);
    this.commands = new CommandQueue(bank, space, errors, interrupts, this, cmdqs, ranges);
  }

  /** The registers have been reset: forgets what was under way and tells the TBUs. */
  reset(): void {
    this.#updating = false;
    this.#stalls.terminate(this.bank.security);
    this.commands.reset();
    this.#announce(0);
  }

  save(): InterfaceState {
    const update = { CR0: this.#targetCr0, GBPA: this.#updatesGbpa };
    return {
      announced: this.#announced.slice(),
      ...(this.#updating ? { update } : {}),
      commands: this.commands.save(),
      recorded: this.events.recorded,
      invalidations: this.#invalidations,
    };
  }

  /**
   * Prepares all but the registers, which are to be in place when it is committed. The TBUs hear again what they heard last.
   * @throws StateError
   */
  prepare({ announced, update, commands, recorded, invalidations }: InterfaceState): Commit {
    const { security } = this.bank;
    if (
      announced.length !== MESSAGE_WORDS ||
      announced[0] !== MESSAGE_BANK ||
      announced[BANK_SECURITY] !== security
    ) {
      throw new StateError(`the ${SECURITY_NAMES[security]} bank was announced as something else`);
    }
    const commit = this.commands.prepare(commands);
    return () => {
      commit();
      this.events.restore(recorded);
      this.#invalidations = invalidations;
      this.#updating = update !== undefined;
      this.#targetCr0 = update?.CR0 ?? 0;
      this.#updatesGbpa = update?.GBPA ?? false;
      this.#announced.set(announced);
      this.#channel.broadcast(this.#announced);
    };
  }

  /** What follows at once from a write to one of the bank's registers. */
  written(register: Register): void {
    // Interrupts are raised by this thread alone and MSIs are complete when sent: nothing to wait for (6.3.16).
    if (register.key === 'IRQ_CTRL') this.bank.write('IRQ_CTRLACK', this.bank.read('IRQ_CTRL'));
  }

  /** @returns whether it did anything. */
  step(commands: number): boolean {
    const updated = this.#stepUpdate();
    const consumed = this.commands.step(commands);
    const retried = this.events.retryUnwritten();
    return updated || consumed || retried;
  }

  get isEnabled(): boolean {
    return (this.bank.read('CR0ACK') & this.bank.mask('CR0', 'SMMUEN')) !== 0;
  }

  /** CommandExecutor. */
  settled(): boolean {
    return this.#channel.settled();
  }

  /** CommandExecutor. */
  carryOut(): number {
    return this.#channel.carryOut?.() ?? 0;
  }

  /** CommandExecutor. */
  execute(command: Command, words: Int32Array): boolean {
    const { opcode } = command;
    if (command.invalidates) this.#invalidations++;
    // Choice: prefetch.
    if (opcode === CMD_PREFETCH_CONFIG || opcode === CMD_PREFETCH_ADDR) return false;
    if ((opcode === CMD_ATC_INV || opcode === CMD_PRI_RESP) && !this.isEnabled) return false;
    if (opcode === CMD_RESUME || opcode === CMD_STALL_TERM) {
      this.#resolve(opcode, words);
      return false;
    }
    const message = this.#message.fill(0);
    message[0] = MESSAGE_COMMAND;
    message.set(words, 1);
    message[5] = this.bank.security;
    this.#channel.broadcast(message);
    return true;
  }

  /** CMD_RESUME and CMD_STALL_TERM have done all that they do when they are consumed (4.7.1 to 4.7.3). */
  #resolve(opcode: number, words: Int32Array): void {
    const security = get(words, COMMAND.SSec) as SecurityState;
    const StreamID = get(words, COMMAND.StreamID);
    if (opcode === CMD_STALL_TERM) {
      // Choice: stall-term-early.
      this.#stalls.terminate(security, StreamID);
      return;
    }
    const retry = get(words, RESUME.Ac) === 1;
    const razWi = this.#canRazWi && get(words, RESUME.Ab) === 0;
    const resolution = retry ? RESOLVED_RETRY : razWi ? RESOLVED_RAZ_WI : RESOLVED_ABORT;
    this.#stalls.resume(security, StreamID, get(words, RESUME.STAG), resolution);
  }

  /** Invalidations executed since the instance was made. */
  get invalidations(): number {
    return this.#invalidations;
  }

  #stepUpdate(): boolean {
    if (!this.#updating) return this.#beginUpdate();
    return this.#endUpdate();
  }

  #beginUpdate(): boolean {
    const bank = this.bank;
    const changed = bank.read('CR0') ^ bank.read('CR0ACK');
    const updatesGbpa = (bank.read('GBPA') & GBPA_UPDATE) !== 0;
    if (changed === 0 && !updatesGbpa) return false;
    this.#updating = true;
    this.#targetCr0 = bank.read('CR0');
    this.#updatesGbpa = updatesGbpa;
    const announced = ANNOUNCED.some((field) => (changed & bank.mask('CR0', field)) !== 0);
    if (announced || updatesGbpa) this.#announce(this.#targetCr0);
    this.#surroundings.announced(bank.security, changed);
    this.#endUpdate();
    return true;
  }

  /** Acknowledges when every TBU has followed, and the command under way is consumed if the queue is being disabled. */
  #endUpdate(): boolean {
    const bank = this.bank;
    const old = bank.read('CR0ACK');
    const cleared = old & ~this.#targetCr0;
    if ((cleared & bank.mask('CR0', 'CMDQEN')) !== 0 && this.commands.isBusy) return false;
    if (!this.#channel.settled()) return false;
    this.#surroundings.acknowledging(bank.security, old ^ this.#targetCr0);
    this.#updating = false;
    bank.write('CR0ACK', this.#targetCr0);
    if (this.#updatesGbpa) bank.write('GBPA', bank.read('GBPA') & ~bank.mask('GBPA', 'Update'));
    if ((cleared & bank.mask('CR0', 'SMMUEN')) !== 0) this.#stalls.terminate(bank.security);
    return true;
  }

  /** The value of CR0 that the TBUs have been told of. */
  get announcedCr0(): number {
    return this.#updating ? this.#targetCr0 : this.bank.read('CR0ACK');
  }

  /** Tells the TBUs this bank's translation controls again: what another bank adds to them has changed. */
  announce(): void {
    this.#announce(this.announcedCr0);
  }

  /** Tells the TBUs this bank's translation controls, as they are with a value of CR0. */
  #announce(cr0: number): void {
    const bank = this.bank;
    const message = this.#message.fill(0);
    const flag = (field: string) => ((cr0 & bank.mask('CR0', field)) !== 0 ? 1 : 0);
    const vmwMask = bank.mask('CR0', 'VMW');
    const vmw = (cr0 & vmwMask) / (vmwMask & -vmwMask);
    const nsstalld = flag('NSSTALLD') || (this.#surroundings.nsStallDisabled() ? 1 : 0);
    message[0] = MESSAGE_BANK;
    message[BANK_SMMUEN] = flag('SMMUEN');
    message[BANK_GBPA] = bank.read('GBPA') & ~bank.mask('GBPA', 'Update');
    message[BANK_CR1] = bank.read('CR1');
    message[BANK_CR2] = bank.read('CR2');
    message[BANK_STRTAB_BASE_LO] = bank.read('STRTAB_BASE');
    message[BANK_STRTAB_BASE_HI] = bank.readHigh('STRTAB_BASE');
    message[BANK_STRTAB_BASE_CFG] = bank.read('STRTAB_BASE_CFG');
    message[BANK_CR0_FLAGS] = flag('ATSCHK') | (flag('SIF') << 1) | (nsstalld << 2) | (vmw << 3);
    message[BANK_SECURITY] = bank.security;
    this.#announced.set(message);
    this.#channel.broadcast(message);
  }
}
