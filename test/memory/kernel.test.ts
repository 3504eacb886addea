/** The committed kernel is the one that the present source gives. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);

it('the generated kernel is fresh (else: node scripts/kernel.mjs)', async () => {
  const script = new URL('scripts/kernel.mjs', root).href;
  const { renderKernel } = (await import(/* @vite-ignore */ script)) as { renderKernel(): Promise<string> };
  expect(readFileSync(new URL('src/memory/kernel.generated.ts', root), 'utf8')).toBe(await renderKernel());
}, 60_000);
