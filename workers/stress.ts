/** Thread entries of a stress run: for the DMA pool and for the software pool. */
export { stressLane } from '../src/stress/actors/lane-thread.js';
export { stressSoftware } from '../src/stress/actors/software-thread.js';
