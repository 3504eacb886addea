/**
 * Interrupts of one programming interface: wired edges and MSIs (IHI 0070 3.18, 6.3.16, 6.3.21).
 *
 * An MSI is a 32-bit write to the PA space of its source. Its memory attributes are not modelled. A write completes at
 * once, so that the synchronization points of 3.18.1 hold without further ado.
 */
import { IDR5, OAS_BITS } from '../../arch/id-registers.js';
import { get } from '../../arch/layout.js';
import { BANKS } from '../../arch/registers.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../arch/security.js';
import type { PhysicalAddressSpace } from '../../memory/address-space.js';
import type { IdRegisters } from '../config.js';
import type { Bank } from './registers.js';

export type InterruptName = 'eventq' | 'priq' | 'cmd-sync' | 'gerror';

/** What an SMMU is wired to. */
export interface TcuIo {
  /** An edge on a wired output. */
  interrupt(name: InterruptName, security: SecurityState): void;
}

const SOURCES = {
  eventq: { enable: 'EVENTQ_IRQEN', address: 'EVENTQ_IRQ_CFG0', data: 'EVENTQ_IRQ_CFG1' },
  gerror: { enable: 'GERROR_IRQEN', address: 'GERROR_IRQ_CFG0', data: 'GERROR_IRQ_CFG1' },
} as const;

export class Interrupts {
  readonly #bank: Bank;
  readonly #space: PhysicalAddressSpace;
  readonly #io: TcuIo;
  readonly #hasMsi: boolean;
  /** High word of the addresses below 2^OAS. */
  readonly #oasMaskHi: number;

  constructor(bank: Bank, space: PhysicalAddressSpace, io: TcuIo, idr: IdRegisters) {
    this.#bank = bank;
    this.#space = space;
    this.#io = io;
    const idr0 = bank.security === SECURE ? BANKS[SECURE].IDR0 : BANKS[NON_SECURE].IDR0;
    const word = bank.security === SECURE ? idr.S_IDR0 : idr.IDR0;
    this.#hasMsi = get([word], idr0.fields.MSI!) === 1;
    this.#oasMaskHi = 2 ** (OAS_BITS[get([idr.IDR5], IDR5.fields.OAS)]! - 32) - 1;
  }

  /**
   * Raises a source's interrupt if it is enabled: wire and MSI (choice: interrupt-wires).
   * @returns false when its MSI was terminated with an abort.
   */
  notify(source: keyof typeof SOURCES): boolean {
    const bank = this.#bank;
    const { enable, address, data } = SOURCES[source];
    if ((bank.read('IRQ_CTRLACK') & bank.mask('IRQ_CTRL', enable)) === 0) return true;
    this.#io.interrupt(source, bank.security);
    return this.#message(bank.read(address), bank.readHigh(address), bank.read(data));
  }

  /**
   * The completion interrupt of a CMD_SYNC, which no register enables (4.7.3).
   * @returns false when its MSI was terminated with an abort.
   */
  commandSync(addressLo: number, addressHi: number, data: number): boolean {
    this.#io.interrupt('cmd-sync', this.#bank.security);
    return this.#message(addressLo, addressHi, data);
  }

  /** Address zero means no MSI; the check comes before the address is truncated to the OAS (3.4.3, 4.7.3). */
  #message(addressLo: number, addressHi: number, data: number): boolean {
    if (!this.#hasMsi || (addressLo | addressHi) === 0) return true;
    const address = (addressHi & this.#oasMaskHi) * 0x1_0000_0000 + (addressLo >>> 0);
    return this.#space.store32(address, data);
  }
}
