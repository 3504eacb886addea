/**
 * The register file of one SMMU: pages 0 and 1 as words that may lie in shared memory (IHI 0070 6.1, 6.2).
 *
 * Register reads have no side effects, so that any thread reads a register with a load. Writes are the TCU's alone: this
 * class decides what of a write reaches the register (size, alignment, Security state, RES0, guards, Update
 * protocols); what follows from it is not its business. A word is stored whole, a 64-bit write as one 64-bit word
 * (choice: wide-access-atomicity).
 */
import { holds } from '../../arch/conditions.js';
import { IDR1, IDR5, OAS_BITS, S_IDR1 } from '../../arch/id-registers.js';
import { type Field, get } from '../../arch/layout.js';
import {
  BANKS,
  type Guard,
  REGISTER_BYTES,
  REGISTERS,
  type Register,
  type RegisterKey,
} from '../../arch/registers.js';
import { SECURE, SECURITY_STATES, type SecurityState } from '../../arch/security.js';
import type { IdRegisters } from '../config.js';
import { type Commit, StateError } from '../state.js';
import { indexMask } from './queue-index.js';

const WIDE_OFFSETS: ReadonlySet<number> = new Set(
  REGISTERS.filter((of) => of.bits === 64).map((of) => of.offset),
);

/** One bit or field that makes others read-only: its words in the control and in the ACK register. */
interface GuardBits {
  readonly control: number;
  readonly acknowledge: number;
  readonly mask: number;
}

/**
 * An index that the SMMU owns, which is RAZ above its wrap flag and truncated when the queue shrinks (6.3.28, 6.3.95); those
 * of software are not (choice: queue-index-spare-bits). No other thread may see one that is too large for its queue:
 * what does not fit is never stored, and an index shrinks before its queue does (REQUIREMENTS B7).
 */
interface OwnedIndex {
  readonly index: number;
  readonly mask: number;
  /** The low word of the queue's BASE register, and its LOG2SIZE. */
  readonly base: number;
  readonly log2Size: Field;
  readonly log2Max: number;
}

/** One 32-bit word that software can write. */
interface WritableWord {
  readonly register: Register;
  readonly index: number;
  /** Bits that software can write when nothing guards them. */
  readonly mask: number;
  readonly guards: readonly GuardBits[];
  readonly fieldGuards: readonly { readonly mask: number; readonly guards: readonly GuardBits[] }[];
  /** Word that acknowledges this one, or -1; and the fields that are Updated one by one. */
  readonly acknowledge: number;
  readonly fieldMasks: readonly number[];
  /** The Update flag, or 0. */
  readonly update: number;
  /** The index that this is, or of whose queue this is the low word of BASE. */
  readonly owned: OwnedIndex | undefined;
}

/** The bits of a field that lie in one word of its register. */
export function maskOf(field: Field, half: 0 | 1 = 0): number {
  const lo = Math.max(field.lo - 32 * half, 0);
  const hi = Math.min(field.hi - 32 * half, 31);
  if (hi < lo) return 0;
  return hi - lo === 31 ? -1 : ((1 << (hi - lo + 1)) - 1) << lo;
}

const S_INIT = BANKS[SECURE].INIT.offset;

/**
 * Offsets at and above 0x8000 of either page belong to the Secure bank, which answers Secure accesses, and at S_INIT
 * Non-secure ones too where the system lets them (3.11).
 */
function isRefused(offset: number, security: SecurityState, nonSecureInit: boolean): boolean {
  return (offset & 0x8000) !== 0 && security !== SECURE && !(nonSecureInit && offset === S_INIT);
}

/** Choices: illegal-register-access, pair-access. */
function isLegalAccess(offset: number, sizeBytes: number): boolean {
  if (offset < 0 || offset >= REGISTER_BYTES) return false;
  return sizeBytes === 4 ? (offset & 3) === 0 : sizeBytes === 8 && WIDE_OFFSETS.has(offset);
}

/**
 * Reads a register, on any thread. Whatever is not there, or not for this access, reads as zero (6.2; choice: page-1-undefined).
 * @param offset from the base of page 0; page 1 is at 0x10000.
 * @param nonSecureInit SmmuConfig.nonSecureInit.
 */
export function readRegister(
  words: Int32Array,
  offset: number,
  sizeBytes: number,
  security: SecurityState,
  nonSecureInit = false,
): bigint {
  if (!isLegalAccess(offset, sizeBytes)) return 0n;
  if (isRefused(offset, security, nonSecureInit)) return 0n;
  const index = offset >>> 2;
  if (sizeBytes === 4) return BigInt(Atomics.load(words, index) >>> 0);
  const pair = new BigInt64Array(words.buffer, words.byteOffset + offset, 1);
  return BigInt.asUintN(64, Atomics.load(pair, 0));
}

/** The registers of one bank by name, without those that identify the SMMU. */
export type RegisterValues = Readonly<Record<string, bigint>>;

export class RegisterFile {
  readonly words: Int32Array;
  readonly #wide: BigInt64Array;
  readonly #idr: IdRegisters;
  readonly #nonSecureInit: boolean;
  /** Made with the first write: no SMMU of a machine waits for it at the start. */
  #writableWords: ReadonlyMap<number, WritableWord> | undefined;

  /**
   * @param memory REGISTER_BYTES, shared or not. Its contents are lost.
   * @param nonSecureInit SmmuConfig.nonSecureInit.
   */
  constructor(idr: IdRegisters, memory: ArrayBufferLike, nonSecureInit = false) {
    this.words = new Int32Array(memory, 0, REGISTER_BYTES / 4);
    this.#wide = new BigInt64Array(memory, 0, REGISTER_BYTES / 8);
    this.#idr = idr;
    this.#nonSecureInit = nonSecureInit;
    this.reset();
  }

  get secureImpl(): boolean {
    return get([this.#idr.S_IDR1], S_IDR1.fields.SECURE_IMPL) === 1;
  }

  reset(): void {
    this.words.fill(0);
    for (const register of REGISTERS) {
      if (!holds(register.presence, this.#idr)) continue;
      this.words[register.offset >>> 2] = register.reset | this.#identification(register);
    }
  }

  read(offset: number, sizeBytes: number, security: SecurityState): bigint {
    return readRegister(this.words, offset, sizeBytes, security, this.#nonSecureInit);
  }

  /**
   * A write by software.
   * @returns the register of which some bits could be written; undefined when the write was ignored.
   */
  write(offset: number, sizeBytes: number, value: bigint, security: SecurityState): Register | undefined {
    if (!isLegalAccess(offset, sizeBytes)) return undefined;
    if (isRefused(offset, security, this.#nonSecureInit)) return undefined;
    const index = offset >>> 2;
    const low = this.#merge(index, Number(BigInt.asIntN(32, value)));
    if (sizeBytes === 4) {
      if (low === undefined) return undefined;
      this.#shrinkIndex(index, low);
      Atomics.store(this.words, index, low);
      return this.#writable.get(index)!.register;
    }
    const high = this.#merge(index + 1, Number(BigInt.asIntN(32, value >> 32n)));
    if (low === undefined && high === undefined) return undefined;
    const merged =
      (BigInt(high ?? this.words[index + 1]!) << 32n) | BigInt((low ?? this.words[index]!) >>> 0);
    if (low !== undefined) this.#shrinkIndex(index, low);
    Atomics.store(this.#wide, index >>> 1, merged);
    return this.#writable.get(index)!.register;
  }

  save(security: SecurityState): RegisterValues {
    return Object.fromEntries(
      this.#variable(security).map(({ key, offset, bits }) => [key, this.read(offset, bits / 8, SECURE)]),
    );
  }

  /**
   * One that is not there may be given as it reads, as zero.
   * @throws StateError for a register that is not there, or bits that no register has
   */
  prepare(security: SecurityState, values: RegisterValues): Commit {
    const registers = this.#variable(security);
    const isStray = (key: string) =>
      registers.every((register) => register.key !== key) &&
      !(key in BANKS[security] && values[key] === 0n && !key.includes('IDR'));
    const stray = Object.keys(values).find(isStray);
    if (stray !== undefined) throw new StateError(`there is no register ${stray} here`);
    for (const register of registers) {
      const value = values[register.key];
      if (value === undefined) throw new StateError(`${register.name} is missing`);
      this.checkValue(register, value);
    }
    return () => {
      for (const { key, offset, bits } of registers) {
        const value = values[key]!;
        if (bits === 64) Atomics.store(this.#wide, offset >>> 3, BigInt.asIntN(64, value));
        else Atomics.store(this.words, offset >>> 2, Number(BigInt.asIntN(32, value)));
      }
    };
  }

  /** @throws StateError for a value with bits that the register does not have */
  checkValue(register: Register, value: bigint): void {
    if ((value & ~implementedBits(register, this.#idr)) !== 0n) {
      throw new StateError(`${register.name} cannot hold 0x${value.toString(16)}`);
    }
  }

  /** The registers of a bank that are there and change. */
  #variable(security: SecurityState): Register[] {
    return REGISTERS.filter(
      (register) =>
        register.security === security &&
        !register.key.includes('IDR') &&
        holds(register.presence, this.#idr),
    );
  }

  /** The word after a write, or undefined when software can write none of its bits now. */
  #merge(index: number, value: number): number | undefined {
    const word = this.#writable.get(index);
    if (word === undefined) return undefined;
    const mask = this.#maskNow(word, value);
    if (mask === 0) return undefined;
    const merged = (this.words[index]! & ~mask) | (value & mask);
    const { owned } = word;
    return owned?.index === index ? fitting(merged, owned, this.words[owned.base]!) : merged;
  }

  /** What comes before a word is stored, where it is the size of a queue. */
  #shrinkIndex(word: number, value: number): void {
    const owned = this.#writable.get(word)?.owned;
    if (owned?.base !== word) return;
    Atomics.store(this.words, owned.index, fitting(this.words[owned.index]!, owned, value));
  }

  #maskNow(word: WritableWord, value: number): number {
    if (this.#isGuarded(word.guards)) return 0;
    const old = this.words[word.index]!;
    // Choice: gbpa-without-update.
    if (word.update !== 0 && ((old & word.update) !== 0 || (value & word.update) === 0)) return 0;
    let mask = word.mask;
    for (const field of word.fieldGuards) if (this.#isGuarded(field.guards)) mask &= ~field.mask;
    if (word.acknowledge >= 0) {
      // Choice: update-under-way.
      const underWay = old ^ this.words[word.acknowledge]!;
      for (const field of word.fieldMasks) if ((underWay & field) !== 0) mask &= ~field;
    }
    return mask;
  }

  /** A guard holds from the moment its field is written to 1 until its clearing is acknowledged (6.2; choice: guarded-write). */
  #isGuarded(guards: readonly GuardBits[]): boolean {
    const words = this.words;
    return guards.some(
      ({ control, acknowledge, mask }) => ((words[control]! | words[acknowledge]!) & mask) !== 0,
    );
  }

  get #writable(): ReadonlyMap<number, WritableWord> {
    this.#writableWords ??= writableWords(this.#idr);
    return this.#writableWords;
  }

  #identification(register: Register): number {
    const name = register.name.slice('SMMU_'.length) as keyof IdRegisters;
    return name in this.#idr ? this.#idr[name] : 0;
  }
}

/** Where the registers of each bank are, in words: the registers themselves are of many shapes, which makes looking there slow. */
const WORDS = BANKS.map(
  (bank) =>
    Object.fromEntries(Object.values(bank).map(({ key, offset }) => [key, offset >>> 2])) as Record<
      RegisterKey,
      number
    >,
);

/** One bank's registers by name, for the TCU, which may write what software may not. */
export class Bank {
  readonly security: SecurityState;
  readonly #words: Int32Array;
  readonly #registers: Readonly<Record<RegisterKey, Register>>;
  readonly #at: Readonly<Record<RegisterKey, number>>;
  readonly #pair = [0, 0];

  constructor(file: RegisterFile, security: SecurityState) {
    this.security = security;
    this.#words = file.words;
    this.#registers = BANKS[security];
    this.#at = WORDS[security]!;
  }

  /** The low word of a register. */
  read(key: RegisterKey): number {
    return this.#words[this.#at[key]]!;
  }

  /** The high word of a 64-bit register. */
  readHigh(key: RegisterKey): number {
    return this.#words[this.#at[key] + 1]!;
  }

  /** Stores the low word of a register. */
  write(key: RegisterKey, value: number): void {
    Atomics.store(this.#words, this.#at[key], value);
  }

  /** A field of up to 32 bits. */
  field(key: RegisterKey, field: string): number {
    return get(this.pair(key), this.#registers[key].fields[field]!);
  }

  /** Both words of a register, valid until the next call. */
  pair(key: RegisterKey): readonly number[] {
    this.#pair[0] = this.read(key);
    this.#pair[1] = this.readHigh(key);
    return this.#pair;
  }

  /** The bits of a field of a 32-bit register; 0 for a field that this bank does not have. */
  mask(key: RegisterKey, field: string): number {
    const of = this.#registers[key].fields[field];
    return of === undefined ? 0 : maskOf(of);
  }
}

/** The word of an index without what does not fit a queue of this size. */
function fitting(word: number, { mask, log2Size, log2Max }: OwnedIndex, base: number): number {
  return word & ~(mask & ~indexMask(Math.min(get([base], log2Size), log2Max)));
}

/** By queue: the register of its size, that of the index and its field, and the field of IDR1 that limits the size. */
const OWNED_INDEXES = [
  ['CMDQ_BASE', 'CMDQ_CONS', 'RD', 'CMDQS'],
  ['EVENTQ_BASE', 'EVENTQ_PROD', 'WR', 'EVENTQS'],
  ['PRIQ_BASE', 'PRIQ_PROD', 'WR', 'PRIQS'],
] as const;

function ownedIndex({ key, security }: Register, half: 0 | 1, idr: IdRegisters): OwnedIndex | undefined {
  const named = OWNED_INDEXES.find(([base, index]) => half === 0 && (key === base || key === index));
  if (named === undefined) return undefined;
  const [base, index, field, limit] = named;
  const bank = BANKS[security];
  return {
    index: bank[index].offset >>> 2,
    mask: maskOf(bank[index].fields[field]!),
    base: bank[base].offset >>> 2,
    log2Size: bank[base].fields.LOG2SIZE!,
    log2Max: get([idr.IDR1], IDR1.fields[limit]),
  };
}

function writableWords(idr: IdRegisters): Map<number, WritableWord> {
  const words = new Map<number, WritableWord>();
  for (const register of REGISTERS) {
    if (register.access === 'RO' || !holds(register.presence, idr)) continue;
    if (register.preset !== undefined && holds(register.preset, idr)) continue;
    for (let half: 0 | 1 = 0; half < register.bits / 32; half++) {
      const word = writableWord(register, half as 0 | 1, idr);
      words.set(word.index, word);
    }
  }
  return words;
}

function writableWord(register: Register, half: 0 | 1, idr: IdRegisters): WritableWord {
  const { updateField, acknowledgedIn, fields } = register;
  const masks = new Map<string, number>();
  for (const [name, field] of implementedFields(register, idr)) {
    if (!register.readOnlyFields.includes(name)) masks.set(name, maskOf(field, half));
  }
  return {
    register,
    index: (register.offset >>> 2) + half,
    mask: [...masks.values()].reduce((all, mask) => all | mask, 0),
    guards: guardBits(register.guards, register.security),
    fieldGuards: Object.entries(register.fieldGuards).map(([name, guards]) => ({
      mask: masks.get(name) ?? 0,
      guards: guardBits(guards, register.security),
    })),
    acknowledge: acknowledgedIn === undefined ? -1 : BANKS[register.security][acknowledgedIn].offset >>> 2,
    fieldMasks: [...masks.values()],
    update: updateField === undefined ? 0 : maskOf(fields[updateField]!),
    owned: ownedIndex(register, half, idr),
  };
}

/** The fields that are not RES0, as wide as they are here. */
function implementedFields(register: Register, idr: IdRegisters): [name: string, field: Field][] {
  return Object.entries<Field>(register.fields)
    .filter(([name, field]) => !field.reserved && holds(register.fieldPresence[name] ?? [], idr))
    .map(([name, field]) => [name, name === register.addressField ? withinOas(field, idr) : field]);
}

/** Every bit that the register may show as 1. */
function implementedBits(register: Register, idr: IdRegisters): bigint {
  return implementedFields(register, idr).reduce(
    (bits, [, { hi, lo }]) => bits | (((1n << BigInt(hi - lo + 1)) - 1n) << BigInt(lo)),
    0n,
  );
}

/** Address bits at and above the OAS are RES0 (6.3.24). */
function withinOas(field: Field, idr: IdRegisters): Field {
  const oas = OAS_BITS[get([idr.IDR5], IDR5.fields.OAS)]!;
  return { ...field, hi: Math.min(field.hi, oas - 1) };
}

function guardBits(guards: readonly Guard[], own: SecurityState): GuardBits[] {
  return guards.flatMap((guard) => {
    const states = guard.anyBank ? SECURITY_STATES : [own];
    return states.flatMap((security) => {
      const control = BANKS[security][guard.control];
      const field = control.fields[guard.field];
      // The Secure bank has no PRI queue: what PRIQEN guards, it guards in the Non-secure bank only.
      if (field === undefined) return [];
      const acknowledge = BANKS[security][guard.control === 'CR0' ? 'CR0ACK' : 'IRQ_CTRLACK'];
      return [{ control: control.offset >>> 2, acknowledge: acknowledge.offset >>> 2, mask: maskOf(field) }];
    });
  });
}
