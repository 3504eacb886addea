/**
 * A thread of the benchmarks with a TBU of its own, told what to do by messages:
 * reading at full speed for a while, reading until stopped, checking translations that another thread keeps changing,
 * or changing a descriptor under another thread's walks.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { NON_SECURE } from '../src/arch/security.js';
import { MachineView, memoryThreads, type SharedMachine } from '../src/runtime/shared/shared-machine.js';
import { BATCH_TRANSACTIONS } from '../src/runtime/shared/tbu-guard.js';
import { LaneTbu } from '../src/runtime/threads/lane-tbu.js';
import { OK, Transaction } from '../src/smmu/transaction.js';
import { type AccessList, GENERATIONS, Guest } from './guest.js';
import { Readers } from './readers.js';

export interface LaneSetup {
  readonly shared: SharedMachine;
  readonly smmu: number;
  readonly lane: number;
  readonly list: AccessList;
  /** Word 0 ends what runs until stopped; then FLOORS and CEILINGS of `pages` (remap.ts). */
  readonly flags: SharedArrayBuffer;
}

export type LaneOrder =
  /** Answers with accesses per microsecond. */
  | { readonly do: 'read'; readonly ms: number }
  /** Answers when the first batch is done, and goes on until stopped. */
  | { readonly do: 'load' }
  /** Answers with the number of wrong results. */
  | { readonly do: 'verify'; readonly pages: number; readonly accesses: number }
  /** Answers at once, and goes on until stopped. */
  | { readonly do: 'flip'; readonly descriptor: number; readonly pas: readonly [number, number] };

const setup = workerData as LaneSetup;
const view = MachineView.attach(setup.shared, memoryThreads.lane(setup.shared.shape, setup.lane));
const tbu = new LaneTbu(view, setup.smmu, setup.lane);
const readers = new Readers(view, tbu);
const flags = new Int32Array(setup.flags);
const stopped = () => Atomics.load(flags, 0) !== 0;
const { list } = setup;

/** @returns where the next one begins. */
function batch(first: number): number {
  const next = first + readers.batch(list, first);
  return next + BATCH_TRANSACTIONS > list.lo.length ? 0 : next;
}

/** For about so long; the clock is looked at every few batches. */
function read(ms: number): number {
  const start = performance.now();
  let batches = 0;
  let next = 0;
  let now = start;
  while (now - start < ms) {
    for (let i = 0; i < 64; i++) next = batch(next);
    batches += 64;
    now = performance.now();
  }
  return (batches * BATCH_TRANSACTIONS) / ((now - start) * 1000);
}

/** What a translation gives must have been true at some moment since the access began: neither older nor newer. */
function verify(pages: number, accesses: number): number {
  const txn = new Transaction();
  txn.ns = true;
  let wrong = 0;
  for (let done = 0; done < accesses; done += BATCH_TRANSACTIONS) {
    tbu.begin();
    for (let i = done; i < done + BATCH_TRANSACTIONS; i++) {
      const at = i % list.lo.length;
      const page = list.pages[at]!;
      txn.StreamID = list.streams[at]!;
      txn.iovaLo = list.lo[at]!;
      txn.iovaHi = list.hi[at]!;
      const floor = Atomics.load(flags, 1 + page);
      const outcome = tbu.tbu.translate(txn);
      const ceiling = Atomics.load(flags, 1 + pages + page);
      const index = Guest.dataIndex(txn.pa) - page * GENERATIONS;
      const age = (index - floor) & (GENERATIONS - 1);
      if (outcome !== OK || index < 0 || index >= GENERATIONS || age > ceiling - floor) wrong++;
    }
    tbu.end();
  }
  return wrong;
}

/** With one 64-bit store each, as software does it. */
function flip(descriptor: number, pas: readonly [number, number]): void {
  const space = view.spacesOf(setup.smmu)[NON_SECURE];
  while (!stopped()) {
    for (let i = 0; i < 64; i++) Guest.remap(space, descriptor, pas[i & 1]!);
  }
}

parentPort!.on('message', (order: LaneOrder) => {
  switch (order.do) {
    case 'read':
      parentPort!.postMessage(read(order.ms));
      break;
    case 'load':
      parentPort!.postMessage(batch(0));
      for (let next = 0; !stopped(); ) next = batch(next);
      break;
    case 'verify':
      parentPort!.postMessage(verify(order.pages, order.accesses));
      break;
    case 'flip':
      parentPort!.postMessage(0);
      flip(order.descriptor, order.pas);
  }
});
parentPort!.postMessage('ready');
