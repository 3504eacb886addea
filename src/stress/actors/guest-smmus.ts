/**
 * Accelerated SMMUs in a deterministic run. What a guest's SMMU does waits within one step for the physical SMMU, and
 * that waits for devices in the middle of a batch, which in one thread cannot go on meanwhile. So a step begins only while
 * there is no batch, and no batch begins while a step is due.
 */
import type { AcceleratedSmmu } from '../../iommufd/vsmmu/accelerated-smmu.js';
import type { AddressSpaces } from '../../runtime/shared/shared-machine.js';
import type { Origin } from '../../smmu/tbu/origin.js';
import type { Outcome, Transaction } from '../../smmu/transaction.js';
import type { Actor, Progress } from './actor.js';
import type { TbuLink } from './dma-actor.js';

/** Between the guests of one physical SMMU and its devices. */
export class HostGate {
  #batches = 0;
  readonly #due = new Set<GuestSmmuActor>();

  get isBarred(): boolean {
    return this.#due.size > 0;
  }

  begin(): void {
    this.#batches++;
  }

  end(): void {
    this.#batches--;
  }

  /** Whether a step may begin now; otherwise it is due. */
  admits(guest: GuestSmmuActor): boolean {
    if (this.#batches > 0) this.#due.add(guest);
    else this.#due.delete(guest);
    return this.#batches === 0;
  }
}

export class GuestSmmuActor implements Actor {
  readonly name: string;
  readonly operations = 0;
  readonly atRest = true;
  readonly #smmu: AcceleratedSmmu;
  readonly #gate: HostGate;

  constructor(name: string, smmu: AcceleratedSmmu, gate: HostGate) {
    this.name = name;
    this.#smmu = smmu;
    this.#gate = gate;
  }

  stop(): void {}

  step(): Progress {
    return this.#gate.admits(this) && this.#smmu.step(1) ? 'worked' : 'idle';
  }
}

/** A device's link that tells the gate of its batches. */
export class GatedLink implements TbuLink {
  readonly spaces: AddressSpaces;
  readonly #link: TbuLink;
  readonly #gate: HostGate;

  constructor(link: TbuLink, gate: HostGate) {
    this.spaces = link.spaces;
    this.#link = link;
    this.#gate = gate;
  }

  get isBarred(): boolean {
    return this.#gate.isBarred;
  }

  begin(): void {
    this.#gate.begin();
    this.#link.begin();
  }

  end(): void {
    this.#link.end();
    this.#gate.end();
  }

  translate(transaction: Transaction): Outcome {
    return this.#link.translate(transaction);
  }

  resume(transaction: Transaction): Outcome | undefined {
    return this.#link.resume(transaction);
  }

  origin(transaction: Transaction): Origin | undefined {
    return this.#link.origin?.(transaction);
  }
}
