/** Thread entry of the DMA pool, and of the thread of the plugged devices. */
export { runLane } from '../src/runtime/threads/dma-lane.js';
export { runPluggedLane } from '../src/runtime/threads/plugged-lane.js';
