/** Thread entry of the DMA pool. */
export { runLane } from '../src/runtime/dma-lane.js';
