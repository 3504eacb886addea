/**
 * External aborts on request: a test or a machine file names an address range, and the next accesses to it are refused.
 * The architecture reports them per structure (F_STE_FETCH, F_CD_FETCH, F_WALK_EABT, CERROR_ABT, ... IHI 0070 7.3).
 */

export interface InjectedFault {
  readonly pa: number;
  readonly sizeBytes: number;
  /** Which accesses are refused. A compare-and-swap is both. */
  readonly access: 'read' | 'write' | 'any';
  /** How many accesses are refused before the fault disarms; Infinity for ever. */
  readonly times: number;
  /** How many matching accesses pass first, so that the n-th one is the one refused. Default 0. */
  readonly skip?: number;
}

export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;
export const ACCESS_BOTH = 3;

const ACCESS_BITS = { read: ACCESS_READ, write: ACCESS_WRITE, any: ACCESS_BOTH } as const;

/** A fault that waits for its accesses, with how many are still to come. */
export interface ArmedFault {
  readonly pa: number;
  readonly end: number;
  readonly accessBits: number;
  skip: number;
  times: number;
}

export class InjectedFaults {
  /** Tested by every access; false costs nothing more. */
  armed = false;
  private faults: ArmedFault[] = [];

  inject(fault: InjectedFault): void {
    const { pa, sizeBytes, access, times, skip = 0 } = fault;
    if (times <= 0) return;
    this.faults.push({ pa, end: pa + sizeBytes, accessBits: ACCESS_BITS[access], skip, times });
    this.armed = true;
  }

  save(): readonly ArmedFault[] {
    return this.faults.map((fault) => ({ ...fault }));
  }

  restore(faults: readonly ArmedFault[]): void {
    this.faults = faults.map((fault) => ({ ...fault }));
    this.armed = faults.length > 0;
  }

  disarm(): void {
    this.faults = [];
    this.armed = false;
  }

  /** Counts the access on every fault that it meets. True when one of them refuses it. */
  refuses(pa: number, sizeBytes: number, accessBits: number): boolean {
    let refused = false;
    for (const fault of this.faults) {
      if (pa >= fault.end || pa + sizeBytes <= fault.pa || (fault.accessBits & accessBits) === 0) continue;
      if (fault.skip > 0) {
        fault.skip--;
      } else {
        fault.times--;
        refused = true;
      }
    }
    if (refused) {
      this.faults = this.faults.filter((fault) => fault.times > 0);
      this.armed = this.faults.length > 0;
    }
    return refused;
  }
}
