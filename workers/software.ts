/** Thread entry of the software that programs the SMMUs. */
export { bootSoftware, drainSoftware } from '../src/runtime/software-thread.js';
