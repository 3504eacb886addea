import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from './command-line.js';

/** Modules that are loaded before the first line of a module runs. */
function staticImports(file: string): string[] {
  const found = readFileSync(file, 'utf8').matchAll(/^(?:import|export)\b.* from "([^"]+)";$/gm);
  return [...found].map(([, specifier]) => specifier!);
}

it('K1 every thread starts from one file, which needs nothing but Node', async () => {
  const { bundle } = await import(`${root}scripts/bundle.mjs`);
  const dir = mkdtempSync(join(tmpdir(), 'smmulator-bundle-'));
  try {
    await bundle(dir);
    const importsOf = (thread: string) => staticImports(join(dir, 'workers', `${thread}.js`));
    expect(importsOf('smmu')).toContain('node:worker_threads');
    for (const thread of readdirSync(`${root}workers`).map((name) => name.replace('.ts', ''))) {
      const others = importsOf(thread).filter((specifier) => !isBuiltin(specifier));
      expect(others, thread).toEqual([]);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
