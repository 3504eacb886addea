/** Machines for the stress tests. */
import { readFileSync } from 'node:fs';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import {
  type DeterministicOptions,
  type DeterministicReport,
  runDeterministic,
} from '../../src/stress/schedule/deterministic.js';

/**
 * One SMMU with all that there is to confuse: both stages, substreams, a Non-secure and a Secure stream, and Secure memory over
 * Non-secure memory of the same addresses.
 */
const OVERLAY = `
machine: overlay
memory:
  - { id: ram, base: 0x40000000, size: 128MiB }
  - { id: secure-ram, base: 0x40000000, size: 32MiB, security: secure }
buses:
  - { id: pcie.0, type: pcie, bus-nr: 0x00 }
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, stage: nested, ssidsize: 8, secure-memory: secure }
devices:
  - { id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }
  - { id: hsm0, type: dma-engine, bus: pcie.0, addr: "03.0", sec-sid: secure }
`;

function load(text: string, name: string): Machine {
  const { machine, diagnostics } = loadMachine(text, name);
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  return machine;
}

export function machineFile(name: string): Machine {
  const path = `machines/${name}.yaml`;
  return load(readFileSync(path, 'utf8'), path);
}

export function overlay(): Machine {
  return load(OVERLAY, 'overlay.yaml');
}

/** The same, with hardware that notes accesses and writes in descriptors. */
export function notingOverlay(): Machine {
  return load(OVERLAY.replace('stage: nested,', 'stage: nested, httu: dirty,'), 'overlay.yaml');
}

/** A machine of stage 2 alone, with such hardware. */
export function notingStage2(): Machine {
  const text = OVERLAY.replace(
    'stage: nested, ssidsize: 8, secure-memory: secure',
    'stage: "2", httu: dirty',
  );
  return load(text.replace(', sec-sid: secure', ''), 'stage2.yaml');
}

/** The same as the overlay, with faults that stall. */
export function stallingOverlay(): Machine {
  return load(OVERLAY.replace('stage: nested,', 'stage: nested, stall-model: stall,'), 'overlay.yaml');
}

/** Caches that keep what they may, level 1 descriptors among it: what Leaf is about. */
export function stale(machine: Machine): Machine {
  const smmus = machine.smmus.map((smmu) => ({
    ...smmu,
    config: { ...smmu.config, caching: 'stale' as const },
  }));
  return { ...machine, smmus };
}

/** Runs a machine again and again, in the same memory. */
export function runner(machine: Machine): (options: DeterministicOptions) => DeterministicReport {
  let memory = GuestMemory.create(machine.regions);
  return (options) => {
    memory = memory.recycle(machine.regions);
    return runDeterministic(machine, { ...options, memory });
  };
}
