/** A DMA thread that makes one access at a time, with whatever attributes it is told; runs the built package. */
import { parentPort, workerData } from 'node:worker_threads';
import { MachineView, memoryThreads } from '../../dist/src/runtime/shared/shared-machine.js';
import { LaneTbu } from '../../dist/src/runtime/threads/lane-tbu.js';
import { OK, OUTCOME_NAMES, Transaction } from '../../dist/src/smmu/transaction.js';

const { shared, lane } = workerData;
const view = MachineView.attach(shared, memoryThreads.lane(shared.shape, lane));
const tbus = new Map();

/** The data moves within the batch, as a device's does. */
function perform({ smmu, attributes, data }) {
  const tbu = tbus.get(smmu) ?? new LaneTbu(view, smmu, lane);
  tbus.set(smmu, tbu);
  const txn = Object.assign(new Transaction(), attributes);
  tbu.begin();
  try {
    if (tbu.tbu.translate(txn) !== OK) return { outcome: OUTCOME_NAMES[txn.outcome] };
    const [space] = tbu.spaces;
    const move = txn.write ? space.write : space.read;
    if (!move.call(space, txn.pa, data, 0, data.length)) return { outcome: 'abort' };
    return { outcome: 'ok', pa: txn.pa, data };
  } finally {
    tbu.end();
  }
}

parentPort.on('message', (access) => parentPort.postMessage(perform(access)));
