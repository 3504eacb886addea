/** Global errors of one programming interface: the GERROR and GERRORN handshake and its interrupt (IHI 0070 7.5, 6.3.19). */
import type { Interrupts } from './interrupts.js';
import type { Bank } from './registers.js';

export type GlobalError =
  | 'CMDQ_ERR'
  | 'EVENTQ_ABT_ERR'
  | 'MSI_CMDQ_ABT_ERR'
  | 'MSI_EVENTQ_ABT_ERR'
  | 'MSI_GERROR_ABT_ERR';

export class GlobalErrors {
  readonly #bank: Bank;
  readonly #interrupts: Interrupts;

  constructor(bank: Bank, interrupts: Interrupts) {
    this.#bank = bank;
    this.#interrupts = interrupts;
  }

  /** Choice: gerrorn-inactive-toggle. */
  isActive(error: GlobalError): boolean {
    const bank = this.#bank;
    const active = bank.read('GERROR') ^ bank.read('GERRORN');
    return active !== 0 && (active & bank.mask('GERROR', error)) !== 0;
  }

  /** Activates an error; one that is active already is not logged again. */
  activate(error: GlobalError): void {
    if (this.isActive(error)) return;
    const bank = this.#bank;
    bank.write('GERROR', bank.read('GERROR') ^ bank.mask('GERROR', error));
    // The abort of a GERROR MSI raises none: it would go to the same address (7.5.1).
    if (error === 'MSI_GERROR_ABT_ERR') return;
    if (!this.#interrupts.notify('gerror')) this.activate('MSI_GERROR_ABT_ERR');
  }
}
