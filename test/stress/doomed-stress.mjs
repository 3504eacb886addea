/**
 * Stress runs in which a thread dies or hangs; a process of its own, for robustness.test.ts. Runs the built package.
 * Arguments: [how, kind, milliseconds after the first DMA] for each run. Prints one JSON line for each.
 */
import { readFileSync } from 'node:fs';
import { loadMachine } from '../../dist/src/machine/load.js';
import { runThreaded } from '../../dist/src/stress/threads.js';

const file = new URL('../../machines/secure-island.yaml', import.meta.url);
const { machine } = loadMachine(readFileSync(file, 'utf8'), 'secure-island.yaml');

const NAMES = { smmu: 'smmu1', dma: 'dma thread 0', software: 'software' };

for (const [how, kind, afterMs] of JSON.parse(process.argv[2])) {
  let isUnderWay = false;
  let strike = () => {};
  const report = await runThreaded(machine, {
    ...{ seed: 1, profile: 'everything', check: true, durationMs: 30_000, lanes: 2 },
    hungMs: how === 'hang' ? 3000 : 60_000,
    onStart: (running) => {
      strike = () => {
        if (how === 'kill') running.kill(kind, kind === 'smmu' ? 1 : 0);
        else running.sabotage(NAMES[kind], how);
      };
    },
    onProgress: ({ transactions }) => {
      if (transactions > 0 && !isUnderWay) setTimeout(strike, afterMs);
      isUnderWay ||= transactions > 0;
    },
  });
  const { end, ok, failure, smmus, devices, findings } = report;
  console.log(JSON.stringify({ end, ok, failure, smmus: smmus.length, devices: devices.length, findings }));
}
