/**
 * An SMMU's registers as an agent in another thread reaches them: reads from the shared register file, since
 * register reads have no side effects (IHI 0070 6.2), writes through the mailbox.
 */
import type { SecurityState } from '../../arch/security.js';
import { readRegister } from '../../smmu/tcu/registers.js';
import type { SmmuPort } from '../../software/port.js';
import type { Control } from '../shared/control.js';
import { MailboxSender } from '../shared/mailbox.js';
import type { MachineView } from '../shared/shared-machine.js';
import { Signal, WaitAborted } from '../shared/signal.js';

/** Polls in a row before `relax` sleeps. */
const EAGER_POLLS = 16;
/** How long a poll sleeps when the SMMU does nothing. */
const POLL_MS = 2;

export class SharedSmmuPort implements SmmuPort {
  readonly #sender: MailboxSender;
  readonly #registers: Int32Array;
  readonly #security: SecurityState;
  readonly #nonSecureInit: boolean;
  readonly #progress: Signal;
  readonly #control: Control;
  readonly #smmu: string;
  readonly #beat: () => void;
  #polls = 0;

  /** @param beat called with every access and poll: the agent's sign of life. */
  constructor(view: MachineView, smmu: number, security: SecurityState, beat: () => void = () => {}) {
    this.#beat = beat;
    const { smmus } = view.control.offsets;
    // An accelerated SMMU is stepped by the thread of the physical one.
    const { doorbell } = smmus[view.machine.smmus[smmu]!.accel ?? smmu]!;
    const at = { ...smmus[smmu]!, doorbell };
    const limit = view.smmuLimit(smmu, 'to take a register write');
    this.#sender = new MailboxSender(view.control, at, limit);
    this.#registers = new Int32Array(view.shared.registers[smmu]!);
    this.#security = security;
    this.#nonSecureInit = view.machine.smmus[smmu]!.config.nonSecureInit === true;
    this.#progress = new Signal(view.control.words, at.progress);
    this.#control = view.control;
    this.#smmu = view.machine.smmus[smmu]!.id;
  }

  read32(offset: number): number {
    return Number(this.#read(offset, 4));
  }

  write32(offset: number, value: number): void {
    this.#write(offset, 4, BigInt(value >>> 0));
  }

  read64(offset: number): bigint {
    return this.#read(offset, 8);
  }

  write64(offset: number, value: bigint): void {
    this.#write(offset, 8, value);
  }

  /** Gives the processor to the SMMU's thread: at first by looking again, then by sleeping until it has done something. */
  relax(): void {
    this.#beat();
    this.#lookForPartner('polled');
    this.#polls++;
    if (this.#polls > EAGER_POLLS) this.#progress.sleep(this.#progress.count, POLL_MS);
  }

  #read(offset: number, sizeBytes: number): bigint {
    this.#lookForPartner('read');
    this.#sender.flush();
    return readRegister(this.#registers, offset, sizeBytes, this.#security, this.#nonSecureInit);
  }

  #write(offset: number, sizeBytes: number, value: bigint): void {
    this.#beat();
    this.#polls = 0;
    this.#lookForPartner('wrote');
    this.#sender.post(offset, sizeBytes, value, this.#security);
  }

  /** @throws WaitAborted when the machine has failed or was closed: its registers are nobody's. */
  #lookForPartner(did: string): void {
    const { lost } = this.#control;
    if (lost !== undefined) throw new WaitAborted(`${did} a register of ${this.#smmu}: ${lost}`);
  }
}
