/** Thread entry of one SMMU. */
import { parentPort, workerData } from 'node:worker_threads';
import { expose } from 'comlink';
import { endpointOf } from '../src/runtime/threads/endpoint.js';
import { SmmuThread } from '../src/runtime/threads/smmu-thread.js';

const thread = new SmmuThread(workerData);
expose(thread.api(), endpointOf(parentPort!));
