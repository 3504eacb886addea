/** The committed kernels are those that the present sources give. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface KernelFile {
  readonly source: string;
  readonly target: string;
}
interface Script {
  readonly KERNELS: readonly KernelFile[];
  renderKernel(kernel: KernelFile): Promise<string>;
}

const root = new URL('../../', import.meta.url);

it('the generated kernels are fresh (else: node scripts/kernel.mjs)', async () => {
  const script = new URL('scripts/kernel.mjs', root).href;
  const { KERNELS, renderKernel } = (await import(/* @vite-ignore */ script)) as Script;
  expect(KERNELS.length).toBeGreaterThan(0);
  for (const kernel of KERNELS) {
    expect(readFileSync(new URL(kernel.target, root), 'utf8')).toBe(await renderKernel(kernel));
  }
}, 60_000);
