/**
 * The last step of the build: over the many files that tsc has written for the command line and for each thread, one
 * file each, with what is imported later in dist/chunks. Loading modules is most of a thread's start. Not minified, so that
 * the stack of a defect stays readable.
 */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const threads = readdirSync(`${root}workers`)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => basename(file, '.ts'));

/** @param dir where tsc has written to. */
export async function bundle(dir) {
  rmSync(`${dir}/chunks`, { recursive: true, force: true });
  await bundleEntry(dir, 'src/cli/main', 'esm');
  // CommonJS, which Node loads 6 ms faster. tsc writes this package.json too, for the ES modules that its own output is.
  for (const thread of threads) await bundleEntry(dir, `workers/${thread}`, 'cjs');
  writeFileSync(`${dir}/workers/package.json`, '{ "type": "commonjs" }\n');
}

/** Each by itself: what two entries share would be a file more for both. */
async function bundleEntry(dir, entry, format) {
  const extension = format === 'cjs' ? 'cjs' : 'js';
  await build({
    cwd: root,
    input: { [entry]: `${entry}.ts` },
    platform: 'node',
    // None of ours is imported for what its evaluation does, so that what nobody calls is left out.
    treeshake: { moduleSideEffects: [{ test: /^(?!.*node_modules)/, sideEffects: false }] },
    // Starts its threads from files beside its own.
    external: ['piscina'],
    output: {
      dir,
      format,
      chunkFileNames: `chunks/${basename(entry)}/[name].${extension}`,
      sourcemap: true,
      sourcemapExcludeSources: true,
    },
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle(`${root}dist`);
