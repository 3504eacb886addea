import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from './command-line.js';

/** Modules that are loaded before the first line of a module runs. */
function required(file: string): string[] {
  const found = readFileSync(file, 'utf8').matchAll(/^\S.*\brequire\("([^"]+)"\)/gm);
  return [...found].map(([, specifier]) => specifier!);
}

it('K1 every thread starts from one file, which needs nothing but Node', async () => {
  const { bundle } = await import(`${root}scripts/bundle.mjs`);
  const dir = mkdtempSync(join(tmpdir(), 'smmulator-bundle-'));
  try {
    await bundle(dir);
    const modulesOf = (thread: string) => required(join(dir, 'workers', `${thread}.js`));
    expect(modulesOf('smmu')).toContain('node:worker_threads');
    // No TBU, which is in the threads of DMA.
    const tbu = '// src/smmu/tbu/tbu.ts';
    expect(readFileSync(join(dir, 'workers/dma.js'), 'utf8')).toContain(tbu);
    expect(readFileSync(join(dir, 'workers/smmu.js'), 'utf8')).not.toContain(tbu.replace('tbu.ts', ''));
    const threads = readdirSync(`${root}workers`).filter((name) => name.endsWith('.ts'));
    for (const thread of threads.map((name) => name.replace('.ts', ''))) {
      const others = modulesOf(thread).filter((specifier) => !isBuiltin(specifier));
      expect(others, thread).toEqual([]);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});
