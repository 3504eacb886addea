/**
 * The translation control unit: what of an SMMU must be serial. It owns the register file, the queues, errors and
 * interrupts, and tells the TBUs what to drop and how to translate (IHI 0070 chapters 4, 6, 7; 3.11).
 *
 * Pure and synchronous: a register write takes effect on the register at once; what follows from it happens in `step`, a bounded
 * piece at a time, and waits for the TBUs without blocking. Left out: the PRI queue, of which there are registers only.
 */
import type { IdWords } from '../../arch/conditions.js';
import { IDR0, IDR5, OAS_BITS, STALL_MODEL } from '../../arch/id-registers.js';
import { get, set } from '../../arch/layout.js';
import { BANKS, REGISTER_BYTES } from '../../arch/registers.js';
import { NON_SECURE, SECURE, SECURITY_STATES, type SecurityState } from '../../arch/security.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { IdRegisters, SmmuConfig } from '../config.js';
import { type EventChannel, MESSAGE_INVALIDATE_ALL, MESSAGE_WORDS, type TbuChannel } from '../maintenance.js';
import { StallTable } from '../stalls.js';
import { aboutInstance, type Commit, StateError } from '../state.js';
import { COMMANDS_PER_STEP } from './command-queue.js';
import type { TcuIo } from './interrupts.js';
import { type InterfaceState, ProgrammingInterface, type Surroundings } from './programming-interface.js';
import { Bank, RegisterFile, type RegisterValues } from './registers.js';

export type { TcuIo } from './interrupts.js';

export interface TcuCounters {
  /** Commands consumed, of all queues. */
  readonly commands: number;
  /** Of these, CMD_CFGI_*, CMD_TLBI_* and CMD_ATC_INV. */
  readonly invalidations: number;
  /** Event records written. */
  readonly events: number;
}

/** One bank of registers with what is behind it. */
export interface BankState extends InterfaceState {
  readonly registers: RegisterValues;
}

export interface TcuState {
  /** The instance's ID registers: a state is of an SMMU that was built so (REQUIREMENTS D3). */
  readonly idr: IdRegisters;
  /** By Security state; two exactly when Secure support is on (REQUIREMENTS A43). */
  readonly banks: readonly BankState[];
  /** S_INIT.INV_ALL is under way. */
  readonly invalidating: boolean;
  /** The stall table; the transactions themselves are with their devices. */
  readonly stalls: Int32Array;
}

export class Tcu implements EventChannel, Surroundings {
  readonly registers: RegisterFile;
  readonly #config: SmmuConfig;
  readonly #channel: TbuChannel;
  readonly #stalls: StallTable;
  /** Indexed by Security state. */
  readonly #interfaces: readonly ProgrammingInterface[];
  readonly #message = new Int32Array(MESSAGE_WORDS);
  /** S_INIT.INV_ALL was announced and not all TBUs have followed. */
  #invalidating = false;

  /**
   * @param spaces the PA space of each Security state.
   * @param io the wired interrupts.
   * @param stalls shared with the TBUs.
   * @param registers memory of the register file, for those who share it with other threads: REGISTER_BYTES.
   */
  constructor(
    config: SmmuConfig,
    spaces: readonly [PhysicalAddressSpace, PhysicalAddressSpace],
    channel: TbuChannel,
    io: TcuIo,
    stalls: StallTable = new StallTable(config.idr),
    registers: ArrayBufferLike = new ArrayBuffer(REGISTER_BYTES),
  ) {
    this.#config = config;
    this.#channel = channel;
    this.#stalls = stalls;
    this.registers = new RegisterFile(config.idr, registers, config.nonSecureInit);
    const states: readonly SecurityState[] = this.registers.secureImpl ? SECURITY_STATES : [NON_SECURE];
    this.#interfaces = states.map((security) => {
      const bank = new Bank(this.registers, security);
      return new ProgrammingInterface(bank, spaces[security], channel, stalls, io, config.idr, this);
    });
    this.#start();
  }

  reset(): void {
    this.registers.reset();
    this.#start();
  }

  /** Between two steps. */
  save(): TcuState {
    return {
      idr: { ...this.#config.idr },
      banks: this.#interfaces.map((own) => ({
        registers: this.registers.save(own.bank.security),
        ...own.save(),
      })),
      invalidating: this.#invalidating,
      stalls: this.#stalls.save(),
    };
  }

  /** @throws StateError that names the instance */
  prepare(state: TcuState): Commit {
    return aboutInstance(this.#config.id, () => {
      this.#checkIdentity(state);
      const registers = state.banks.map(({ registers, update }, security) => {
        const cr0 = BANKS[security as SecurityState].CR0;
        if (update !== undefined) this.registers.checkValue(cr0, BigInt(update.CR0 >>> 0));
        return this.registers.prepare(security as SecurityState, registers);
      });
      const rest = state.banks.map((bank, security) => this.#interfaces[security]!.prepare(bank));
      const stalls = this.#stalls.prepare(state.stalls);
      return () => {
        stalls();
        for (const commit of registers) commit();
        for (const commit of rest) commit();
        this.#updateStallModel();
        this.#invalidating = state.invalidating;
      };
    });
  }

  /** Secure support first: whoever has mixed up two machines should read that, and not about a bit of S_IDR1 (A46). */
  #checkIdentity({ idr, banks }: TcuState): void {
    if (banks.length > this.#interfaces.length) {
      throw new StateError('the state has a Secure bank, the SMMU has no Secure support');
    }
    if (banks.length < this.#interfaces.length) {
      throw new StateError('the state has no Secure bank, the SMMU has Secure support');
    }
    for (const [name, own] of Object.entries(this.#config.idr)) {
      const theirs = idr[name as keyof IdRegisters];
      if (theirs !== own) throw new StateError(describeDifference(name, theirs, own));
    }
  }

  /** Totals since the instance was made. */
  get counters(): TcuCounters {
    let commands = 0;
    let invalidations = 0;
    let events = 0;
    for (const own of this.#interfaces) {
      commands += own.commands.consumed;
      invalidations += own.invalidations;
      events += own.events.recorded;
    }
    return { commands, invalidations, events };
  }

  /** A register read by software; any other thread may use `readRegister` on the same words. */
  readRegister(offset: number, sizeBytes: number, security: SecurityState): bigint {
    return this.registers.read(offset, sizeBytes, security);
  }

  /** A register write by software. Its consequences follow in {@link step}. */
  writeRegister(offset: number, sizeBytes: number, value: bigint, security: SecurityState): void {
    const register = this.registers.write(offset, sizeBytes, value, security);
    if (register === undefined) return;
    if (register.key === 'INIT') this.#invalidateAll();
    else this.#interface(register.security).written(register);
  }

  /**
   * Does a bounded piece of what there is to do.
   * @param commands of each queue at most.
   * @returns whether it did anything; false also while it waits for the TBUs.
   */
  step(commands: number = COMMANDS_PER_STEP): boolean {
    let worked = this.#endInvalidateAll();
    for (const own of this.#interfaces) worked = own.step(commands) || worked;
    return worked;
  }

  /** EventChannel. */
  record(words: Int32Array, security: SecurityState, stall: boolean): void {
    this.#interface(security).events.record(words, stall);
  }

  /** Surroundings. Every fetch after the acknowledgement goes by the new NSSTALLD: the TBUs are told before (6.3.57.1). */
  announced(security: SecurityState, changed: number): void {
    if (this.#isNsStallDisable(security, changed)) this.#interface(NON_SECURE).announce();
  }

  /** Surroundings. */
  acknowledging(security: SecurityState, changed: number): void {
    if (this.#isNsStallDisable(security, changed)) this.#updateStallModel();
  }

  /** Surroundings. */
  nsStallDisabled(): boolean {
    const secure = this.#interfaces[SECURE];
    return secure !== undefined && this.#isNsStallDisable(SECURE, secure.announcedCr0);
  }

  #isNsStallDisable(security: SecurityState, cr0: number): boolean {
    return security === SECURE && (cr0 & this.#interface(SECURE).bank.mask('CR0', 'NSSTALLD')) !== 0;
  }

  #start(): void {
    this.#invalidating = false;
    // What the Non-secure TBU controls say follows from the Secure bank as well.
    for (const own of this.#interfaces.toReversed()) own.reset();
    this.#updateStallModel();
  }

  /** What NSSTALLD changes: IDR0.STALL_MODEL, and with it which commands the Non-secure queue accepts (6.3.57.1). */
  #updateStallModel(): void {
    const bank = this.#interface(NON_SECURE).bank;
    const words = [this.#config.idr.IDR0];
    if (this.nsStallDisabled()) set(words, IDR0.fields.STALL_MODEL, STALL_MODEL.terminate);
    bank.write('IDR0', words[0]!);
    const id: IdWords = { ...this.#config.idr, IDR0: words[0]! };
    for (const own of this.#interfaces) own.commands.accept(id);
  }

  /** The guard on the register has made sure that no SMMUEN is set (6.3.62). */
  #invalidateAll(): void {
    const { bank } = this.#interface(SECURE);
    if ((bank.read('INIT') & bank.mask('INIT', 'INV_ALL')) === 0) return;
    this.#message.fill(0);
    this.#message[0] = MESSAGE_INVALIDATE_ALL;
    this.#channel.broadcast(this.#message);
    this.#invalidating = true;
  }

  #endInvalidateAll(): boolean {
    if (!this.#invalidating || !this.#channel.settled()) return false;
    this.#invalidating = false;
    this.#interface(SECURE).bank.write('INIT', 0);
    return true;
  }

  #interface(security: SecurityState): ProgrammingInterface {
    const own = this.#interfaces[security];
    if (own === undefined) throw new Error(`${this.#config.id}: there is no Secure programming interface`);
    return own;
  }
}

function describeDifference(name: string, theirs: number, own: number): string {
  const oas = (word: number) => OAS_BITS[get([word], IDR5.fields.OAS)];
  if (name === 'IDR5' && oas(theirs) !== oas(own)) {
    return `the state is of an SMMU with an OAS of ${oas(theirs)} bits, this one has ${oas(own)}`;
  }
  const hex = (word: number) => `0x${(word >>> 0).toString(16)}`;
  return `the state is of an SMMU with ${name} ${hex(theirs)}, this one has ${hex(own)}`;
}
