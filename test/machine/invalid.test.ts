import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadMachine } from '../../src/machine/load.js';
import { renderDiagnostics } from '../../src/machine/render.js';
import { RULES } from '../../src/machine/rules/table.js';

const FOLDER = new URL('../../machines/invalid/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, FOLDER), 'utf8');

describe('A13, F3: machines/invalid has one example per rule, with its golden diagnostics', () => {
  test('every rule has a file and every file a rule', () => {
    const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));
    expect(files.map((name) => name.replace('.yaml', '')).sort()).toEqual(
      RULES.map(({ code }) => code).sort(),
    );
  });

  test.each(RULES.map(({ code, severity }) => ({ code, severity })))('$code', ({ code, severity }) => {
    const { machine, diagnostics } = loadMachine(read(`${code}.yaml`), `${code}.yaml`);
    expect(diagnostics).toEqual(JSON.parse(read(`${code}.expected.json`)));
    expect(new Set(diagnostics.map((d) => d.code))).toEqual(new Set([code]));
    expect(machine === undefined).toBe(severity === 'error');
  });
});

test('I3: diagnostics are printed as a compiler prints them', () => {
  const text = read('oas-invalid.yaml');
  const { diagnostics } = loadMachine(text, 'oas-invalid.yaml');
  const mark = (name: string) => (part: string) => `<${name}>${part}</${name}>`;
  const palette = {
    error: mark('e'),
    warning: mark('w'),
    help: mark('h'),
    place: mark('p'),
    source: (s: string) => s,
  };
  expect(renderDiagnostics(diagnostics, text, palette).split('\n')).toEqual([
    '<p>oas-invalid.yaml:8:62:</p> <e>error[oas-invalid]:</e> oas 47 is not an output address size',
    ' 8 |   - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, oas: 47 }',
    `   | ${' '.repeat(61)}<e>^</e>`,
    '<h>help:</h> write 32, 36, 40, 42, 44, 48 or 52',
    '',
  ]);
});

test('I3: of a long line the part around the place is shown, and nothing that a terminal would obey', () => {
  const text = `machine: m\nmemory: [${' '.repeat(300)}\u202e, { id: "\u001b[31mram", base: -1, size: 4KiB }]\n`;
  const rendered = renderDiagnostics(loadMachine(text, 'long.yaml').diagnostics, text);
  expect(rendered).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
  for (const line of rendered.split('\n')) expect(line.length).toBeLessThan(400);
  const [, source, caret] = rendered.slice(rendered.indexOf('-1, which')).split('\n');
  expect(source).toContain('\uFFFD[31mram');
  expect(source!.indexOf('-1')).toBe(caret!.indexOf('^'));
});
