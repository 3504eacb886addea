/**
 * `idle.js smmus N` starts a machine of N SMMUs, `idle.js threads N` as many threads that do nothing; tells how
 * long it took and what is resident then, as JSON.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { startMachine } from '../src/runtime/coordinator.js';
import { benchMachine } from './guest.js';

const [what, count] = [process.argv[2], Number(process.argv[3])];
const machine = benchMachine(count);
const start = performance.now();

function tell(): void {
  const { rss } = process.memoryUsage();
  process.stdout.write(JSON.stringify({ ms: performance.now() - start, residentBytes: rss }));
}

if (what === 'smmus') {
  const running = await startMachine(machine, { lanes: 1 });
  tell();
  await running.close();
} else {
  const idle = `require('node:worker_threads').parentPort.on('message', () => {})`;
  const threads = Array.from({ length: count }, () => new Worker(idle, { eval: true }));
  await Promise.all(threads.map((thread) => once(thread, 'online')));
  tell();
  await Promise.all(threads.map((thread) => thread.terminate()));
}
