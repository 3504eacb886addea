/** Thread entry of the DMA pool, and of the thread of the plugged devices. */
export { runLane } from '../src/runtime/dma-lane.js';
export { runPluggedLane } from '../src/runtime/plugged-lane.js';
