/** Thread entries of a stress run: for the DMA pool and for the software pool. */
export { stressLane } from '../src/stress/lane-thread.js';
export { stressSoftware } from '../src/stress/software-thread.js';
