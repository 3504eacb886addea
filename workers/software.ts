/** Thread entry of the software that programs the SMMUs. */
export { bootSoftware, drainSoftware, endStream, programStream } from '../src/runtime/software-thread.js';
