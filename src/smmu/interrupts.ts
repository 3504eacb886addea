/**
 * Interrupts of one programming interface: wired edges and MSIs (IHI 0070 3.18, 6.3.16, 6.3.21).
 *
 * An MSI is a 32-bit write to the PA space of its source. Its memory attributes are not modelled. A write completes at
 * once, so that the synchronization points of 3.18.1 hold without further ado.
 */
import { IDR5, OAS_BITS } from '../arch/id-registers.js';
import { get, getAddress } from '../arch/layout.js';
import { BANKS } from '../arch/registers.js';
import { SECURE, type SecurityState } from '../arch/security.js';
import type { PhysicalAddressSpace } from '../memory/address-space.js';
import type { IdRegisters } from './config.js';
import type { Bank } from './registers.js';

export type InterruptName = 'eventq' | 'priq' | 'cmd-sync' | 'gerror';

/** What an SMMU is wired to. */
export interface InterruptLines {
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
  readonly #lines: InterruptLines;
  readonly #hasMsi: boolean;
  readonly #oasBytes: number;

  constructor(bank: Bank, space: PhysicalAddressSpace, lines: InterruptLines, idr: IdRegisters) {
    this.#bank = bank;
    this.#space = space;
    this.#lines = lines;
    const idr0 = bank.security === SECURE ? BANKS[SECURE].IDR0 : BANKS[0].IDR0;
    const word = bank.security === SECURE ? idr.S_IDR0 : idr.IDR0;
    this.#hasMsi = get([word], idr0.fields.MSI!) === 1;
    this.#oasBytes = 2 ** OAS_BITS[get([idr.IDR5], IDR5.fields.OAS)]!;
  }

  /**
   * Raises a source's interrupt if it is enabled: wire and MSI (choice: interrupt-wires).
   * @returns false when its MSI was terminated with an abort.
   */
  notify(source: keyof typeof SOURCES): boolean {
    const bank = this.#bank;
    const { enable, address, data } = SOURCES[source];
    if ((bank.read('IRQ_CTRLACK') & bank.mask('IRQ_CTRL', enable)) === 0) return true;
    this.#lines.interrupt(source, bank.security);
    return this.#message(
      getAddress(bank.pair(address), BANKS[bank.security][address].fields.ADDR!),
      bank.read(data),
    );
  }

  /**
   * The completion interrupt of a CMD_SYNC, which no register enables (4.7.3).
   * @returns false when its MSI was terminated with an abort.
   */
  commandSync(msiAddress: number, msiData: number): boolean {
    this.#lines.interrupt('cmd-sync', this.#bank.security);
    return this.#message(msiAddress, msiData);
  }

  /** Address zero means no MSI; the check comes before the address is truncated to the OAS (3.4.3, 4.7.3). */
  #message(address: number, data: number): boolean {
    if (!this.#hasMsi || address === 0) return true;
    return this.#space.store32(address % this.#oasBytes, data);
  }
}
