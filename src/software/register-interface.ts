/**
 * The registers of one programming interface by name (IHI 0070 6.2): the Non-secure and the Secure one are two
 * instances. Also the bounded polling that every protocol of chapter 6 needs.
 */
import { encode, get } from '../arch/layout.js';
import { BANKS, type Register, type RegisterKey } from '../arch/registers.js';
import { SECURITY_NAMES, type SecurityState } from '../arch/security.js';
import { DriverTimeout, doubleWord, type SmmuPort } from './port.js';

/** Polls before giving up; each lets the SMMU run. */
export const POLL_LIMIT = 1_000_000;

/** Field values by name; what is left out is zero. */
export type FieldValues = Readonly<Record<string, number>>;

export class RegisterInterface {
  /** Name for messages: the SMMU and which of its interfaces. */
  readonly name: string;
  readonly security: SecurityState;
  readonly #port: SmmuPort;
  readonly #pollLimit: number;

  constructor(smmu: string, port: SmmuPort, security: SecurityState, pollLimit: number = POLL_LIMIT) {
    this.name = `${smmu} (${SECURITY_NAMES[security]})`;
    this.security = security;
    this.#port = port;
    this.#pollLimit = pollLimit;
  }

  read(key: RegisterKey): number {
    return this.#port.read32(this.#register(key).offset) >>> 0;
  }

  /** Reads a register of a given bank: the ID registers of the whole SMMU stand in the Non-secure one. */
  readFrom(security: SecurityState, key: RegisterKey): number {
    return this.#port.read32(BANKS[security][key].offset) >>> 0;
  }

  readField(key: RegisterKey, field: string): number {
    return get([this.read(key)], this.#register(key).fields[field]!);
  }

  write(key: RegisterKey, value: number): void {
    this.#port.write32(this.#register(key).offset, value >>> 0);
  }

  /** Writes all fields of a register of either size. */
  writeFields(key: RegisterKey, values: FieldValues): void {
    const register = this.#register(key);
    const words = encode(register, values);
    if (register.bits === 32) this.write(key, words[0]!);
    else this.#port.write64(register.offset, doubleWord(words));
  }

  /** The value of a 32-bit register with the given fields. */
  encode(key: RegisterKey, values: FieldValues): number {
    return encode(this.#register(key), values)[0]!;
  }

  /** What a value of the field is called in the specification. */
  valueName(key: RegisterKey, field: string, value: number): string {
    return this.#register(key).fields[field]!.values?.[value] ?? `${key}.${field} ${value}`;
  }

  /** Polls until `done` says so of the register. @throws DriverTimeout naming the register. */
  poll(key: RegisterKey, expected: string, done: (value: number) => boolean): number {
    let value = this.read(key);
    for (let polls = 0; !done(value); polls++) {
      if (polls === this.#pollLimit) {
        throw new DriverTimeout(this.name, this.#register(key).name, expected, value, polls);
      }
      this.#port.relax();
      value = this.read(key);
    }
    return value;
  }

  /** Writes a register and waits until the one that acknowledges it has taken the value. */
  writeAcknowledged(key: RegisterKey, acknowledge: RegisterKey, values: FieldValues): void {
    const wanted = this.encode(key, values);
    this.write(key, wanted);
    this.poll(acknowledge, `0x${wanted.toString(16)}`, (got) => got === wanted);
  }

  #register(key: RegisterKey): Register {
    return BANKS[this.security][key];
  }
}
