/** Small machines for the threaded tests, made without the machine file. */
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';

const HARDWARE = `
machine: test
memory:
  - { id: ram, base: 0x40000000, size: 64MiB }
buses:
  - { id: pcie.0, type: pcie, bus-nr: 0x00 }
  - { id: pcie.1, type: pxb-pcie, bus-nr: 0x20 }
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, stage: "1" }
  - { id: smmu1, base: 0x09070000, primary-bus: pcie.1, stage: "1" }
devices:
  - { id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }
  - { id: nic1, type: dma-engine, bus: pcie.1, addr: "02.0" }
`;

/** Two SMMUs with a device each, and the given software and workload (YAML lists, without their keys). */
export function twoSmmus(software = '', workload = ''): Machine {
  const text = `${HARDWARE}software: [${software}]\nworkload: [${workload}]\n`;
  const { machine, diagnostics } = loadMachine(text, 'test.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

/** nic0 and nic1 with 64 KiB at 0x10000. */
export const BOTH_MAPPED = ['nic0', 'nic1']
  .map(
    (device) =>
      `{ device: ${device}, config: translate, granule: 4KiB, mappings: [{ iova: 0x10000, size: 64KiB, access: rw }] }`,
  )
  .join(', ');
