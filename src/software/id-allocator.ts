/** Hands out ASIDs and VMIDs: the lowest free number first, so that runs repeat exactly. */
import { DriverError } from './port.js';

export class IdAllocator {
  readonly #what: string;
  readonly #end: number;
  #next: number;
  readonly #returned: number[] = [];

  /** Numbers from `first` up to, not including, `end`. */
  constructor(what: string, first: number, end: number) {
    this.#what = what;
    this.#next = first;
    this.#end = end;
  }

  allocate(): number {
    if (this.#returned.length > 0) {
      const lowest = Math.min(...this.#returned);
      this.#returned.splice(this.#returned.indexOf(lowest), 1);
      return lowest;
    }
    if (this.#next === this.#end) throw new DriverError(`no ${this.#what} left`);
    return this.#next++;
  }

  /** Only after everything tagged with it has been invalidated. */
  free(id: number): void {
    this.#returned.push(id);
  }
}
