/** A run in which a thread breaks; a process of its own, for failure.test.ts. Runs the built package. */
import { loadMachine } from '../../dist/src/machine/load.js';
import { runMachine } from '../../dist/src/runtime/run.js';

const TEXT = `
machine: doomed
memory: [{ id: ram, base: 0x40000000, size: 64MiB }]
buses: [{ id: pcie.0, type: pcie, bus-nr: 0 }, { id: pcie.1, type: pxb-pcie, bus-nr: 0x20 }]
smmus: [{ id: smmu0, base: 0x09050000, primary-bus: pcie.0 }, { id: smmu1, base: 0x09070000, primary-bus: pcie.1 }]
devices: [{ id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }, { id: nic1, type: dma-engine, bus: pcie.1, addr: "02.0" }]
software:
  - { device: nic0, config: translate, mappings: [{ iova: 0x10000, size: 64KiB, access: rw }] }
  - { device: nic1, config: translate, mappings: [{ iova: 0x10000, size: 64KiB, access: rw }] }
workload:
  - { device: nic0, op: fill, iova: 0x10000, size: 64KiB, repeat: 1000000000 }
  - { device: nic1, op: fill, iova: 0x10000, size: 64KiB, repeat: 1000000000 }
`;

const { machine } = loadMachine(TEXT, 'doomed.yaml');
let running;
try {
  await runMachine(
    machine,
    {
      // Others may be busy with something else, but for a shorter time.
      hungMs: process.argv[3] === 'hang' ? 4000 : 30_000,
      onStart: (started) => {
        running = started;
      },
    },
    ({ phase }) => {
      if (phase === 'dma') running.sabotage(process.argv[2], process.argv[3]);
    },
  );
} catch (error) {
  process.stdout.write(`${error.message}\n`);
  process.exitCode = 1;
}
