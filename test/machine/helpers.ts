/** Small machine files for tests: a head, and whatever a test puts below it. */
import { type Diagnostic, loadMachine, type Overrides } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';

export const HEAD = `machine: test
memory:
  - { id: ram, base: 0x40000000, size: 1GiB }
  - { id: secure-ram, base: 0x0e000000, size: 16MiB, security: secure }
buses:
  - { id: pcie.0, type: pcie }
  - { id: pcie.1, type: pxb-pcie, bus-nr: 0x20 }
`;

export function load(text: string, overrides?: Overrides): ReturnType<typeof loadMachine> {
  return loadMachine(text, 'test.yaml', overrides);
}

/** HEAD with more sections. */
export function check(sections: string, overrides?: Overrides): readonly Diagnostic[] {
  return load(HEAD + sections, overrides).diagnostics;
}

export function machineOf(sections: string, overrides?: Overrides): Machine {
  const { machine, diagnostics } = load(HEAD + sections, overrides);
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics, null, 2));
  return machine;
}

export function codes(diagnostics: readonly Diagnostic[]): string[] {
  return diagnostics.map(({ code }) => code);
}

/** `code line:column`, the shape in which tests compare positions. */
export function places(diagnostics: readonly Diagnostic[]): string[] {
  return diagnostics.map(({ code, line, column }) => `${code} ${line}:${column}`);
}

/** One SMMU on pcie.0 with further properties, at line 9 of the file; its item starts at column 5. */
export function smmu(properties = ''): string {
  const rest = properties === '' ? '' : `, ${properties}`;
  return `smmus:\n  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0${rest} }\n`;
}
