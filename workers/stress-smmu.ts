/** Thread entry of one SMMU with a built-in fault. */
import { parentPort, workerData } from 'node:worker_threads';
import { expose } from 'comlink';
import { endpointOf } from '../src/runtime/threads/endpoint.js';
import { SmmuThread } from '../src/runtime/threads/smmu-thread.js';
import type { MutationName } from '../src/stress/mutations/mutation-names.js';
import { MUTATIONS } from '../src/stress/mutations/mutations.js';

const faults = MUTATIONS[workerData.extra as MutationName].make();
const thread = new SmmuThread(workerData, faults.channel);
expose(thread.api(), endpointOf(parentPort!));
