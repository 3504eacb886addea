/** Thread entry of the software that programs the SMMUs. */
export {
  bootSoftware,
  concludeSoftware,
  consumeEvents,
  endStream,
  programStream,
  renumberStreams,
  restoreSoftware,
  saveSoftware,
} from '../src/runtime/threads/software-thread.js';
