/**
 * The rules about the shape of the code that a compiler does not know: who may import whom, which package belongs
 * where, what the pure folders must not touch, how long a file may be.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const LINES_MAX = 600;

/** Folders of src, each with those that it may import. `workers` is the folder beside src. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  arch: [],
  memory: ['arch'],
  smmu: ['arch', 'memory'],
  bus: ['arch', 'memory', 'smmu'],
  devices: ['arch', 'memory', 'smmu'],
  software: ['arch', 'memory', 'smmu'],
  iommufd: ['arch', 'memory', 'smmu', 'software'],
  explain: ['arch', 'memory', 'smmu'],
  machine: ['arch', 'memory', 'smmu', 'bus', 'devices', 'software', 'iommufd'],
  runtime: ['arch', 'memory', 'smmu', 'bus', 'devices', 'software', 'iommufd', 'machine'],
  stress: ['arch', 'memory', 'smmu', 'bus', 'devices', 'software', 'iommufd', 'machine', 'runtime'],
  scenario: ['arch', 'memory', 'smmu', 'bus', 'devices', 'software', 'iommufd', 'explain', 'machine'],
  snapshot: ['arch', 'memory', 'smmu', 'bus', 'devices', 'software', 'iommufd', 'machine', 'runtime'],
  cli: ['arch', 'explain', 'machine', 'runtime', 'scenario', 'snapshot', 'stress'],
  workers: ['arch', 'memory', 'smmu', 'bus', 'devices', 'software', 'machine', 'runtime', 'stress'],
};

/** Packages and the only folders that may know them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  comlink: ['runtime', 'workers'],
  piscina: ['runtime', 'workers'],
  yargs: ['cli'],
  picocolors: ['cli'],
  yaml: ['machine'],
  zod: ['machine'],
};

const PURE = ['arch', 'memory', 'smmu', 'bus', 'devices', 'software', 'iommufd'];
/** What a pure folder does not reach for: clock, chance, host, threads. */
const IMPURE_NAMES =
  /\b(?:Date|Math\.random|process|console|performance|Promise|setTimeout|setImmediate|queueMicrotask)\b/;

interface Source {
  /** Path from the project's directory, with forward slashes. */
  readonly path: string;
  /** Folder of src, `workers`, or '' for files directly in src. */
  readonly folder: string;
  readonly text: string;
  /** The text without comments and string contents. */
  readonly code: string;
  readonly imports: readonly string[];
}

function filesBelow(folder: string): string[] {
  return readdirSync(`${root}${folder}`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(?:ts|mjs)$/.test(entry.name))
    .map((entry) => relative(root, `${entry.parentPath}/${entry.name}`).replaceAll('\\', '/'));
}

function withoutCommentsAndStrings(text: string): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g,
    (match) => (match.startsWith('/') ? '' : "''"),
  );
}

function importsOf(text: string): string[] {
  const statements = text.matchAll(
    /^\s*(?:import|export)\b[^;'"]*?from\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|^\s*import\s*['"]([^'"]+)['"]/gm,
  );
  return [...statements].map((match) => (match[1] ?? match[2] ?? match[3])!);
}

function readSource(path: string): Source {
  const text = readFileSync(`${root}${path}`, 'utf8');
  const parts = path.split('/');
  const folder = parts[0] === 'src' ? (parts.length > 2 ? parts[1]! : '') : parts[0]!;
  return { path, folder, text, code: withoutCommentsAndStrings(text), imports: importsOf(text) };
}

const sources = [...filesBelow('src'), ...filesBelow('workers')].map(readSource);
const tests = [...filesBelow('test'), ...filesBelow('scripts'), ...filesBelow('bench')].map(readSource);

/** The file of ours that an import names, or undefined for a package. */
function target(from: Source, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  return posix.normalize(posix.join(dirname(from.path), specifier)).replace(/\.js$/, '.ts');
}

function offenders(of: readonly Source[], complaint: (source: Source) => readonly string[]): string[] {
  return of.flatMap((source) => complaint(source).map((what) => `${source.path}: ${what}`));
}

describe('tidy: layering', () => {
  it('every folder of src has its place in the order', () => {
    const folders = new Set(sources.map(({ folder }) => folder));
    expect([...folders].filter((folder) => folder !== '' && MAY_IMPORT[folder] === undefined)).toEqual([]);
  });

  it('imports point down only', () => {
    const found = offenders(sources, (source) => {
      const allowed = MAY_IMPORT[source.folder];
      if (allowed === undefined) return [];
      return source.imports.filter((specifier) => {
        const folder = target(source, specifier)?.split('/').slice(0, 2);
        if (folder === undefined) return false;
        const name = folder[0] === 'src' ? folder[1]! : folder[0]!;
        return name !== source.folder && !allowed.includes(name);
      });
    });
    expect(found).toEqual([]);
  });

  it('every relative import names a file that exists', () => {
    const known = new Set(sources.map(({ path }) => path));
    const found = offenders(sources, (source) =>
      source.imports.filter((specifier) => {
        const file = target(source, specifier);
        return file !== undefined && !known.has(file);
      }),
    );
    expect(found).toEqual([]);
  });

  it('no import cycles', () => {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
      if (done.has(path) || trail.includes(path)) return;
      const source = byPath.get(path);
      for (const specifier of source?.imports ?? []) {
        const next = target(source!, specifier);
        if (next !== undefined) visit(next, [...trail, path]);
      }
      done.add(path);
    };
    for (const { path } of sources) visit(path, []);
    expect(cycles).toEqual([]);
  });

  it('each package is known in one place only', () => {
    const found = offenders(sources, (source) =>
      source.imports.filter((specifier) => {
        const owners = PACKAGES[specifier.split('/')[0]!];
        return owners !== undefined && !owners.includes(source.folder);
      }),
    );
    expect(found).toEqual([]);
  });

  it('nothing is imported that is neither Node, ours nor a known package', () => {
    const found = offenders(sources, (source) =>
      source.imports.filter(
        (specifier) =>
          !specifier.startsWith('.') &&
          !specifier.startsWith('node:') &&
          PACKAGES[specifier.split('/')[0]!] === undefined,
      ),
    );
    expect(found).toEqual([]);
  });
});

describe('tidy: the pure folders', () => {
  const pure = sources.filter(({ folder, path }) => PURE.includes(folder) && !path.endsWith('.as.ts'));

  it('import nothing of Node', () => {
    expect(offenders(pure, ({ imports }) => imports.filter((name) => name.startsWith('node:')))).toEqual([]);
  });

  it('have no clock, chance, console, process or promise', () => {
    expect(offenders(pure, ({ code }) => IMPURE_NAMES.exec(code)?.slice(0, 1) ?? [])).toEqual([]);
  });

  it('have no asynchronous functions', () => {
    expect(offenders(pure, ({ code }) => /\b(?:async|await)\b/.exec(code)?.slice(0, 1) ?? [])).toEqual([]);
  });
});

describe('tidy: shape', () => {
  const generated = (path: string) => path.endsWith('.generated.ts');

  it(`no file is longer than ${LINES_MAX} lines`, () => {
    const found = offenders([...sources, ...tests], ({ path, text }) => {
      const lines = text.split('\n').length - 1;
      return lines > LINES_MAX && !generated(path) ? [`${lines} lines`] : [];
    });
    expect(found).toEqual([]);
  });

  it('every module begins by saying what it is', () => {
    expect(offenders(sources, ({ text }) => (/^(?:#!.*\n)?\/\*\*/.test(text) ? [] : ['no header']))).toEqual(
      [],
    );
  });

  it('files are named in kebab-case', () => {
    const named = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.(?:generated|as|test|d))?\.(?:ts|mjs)$/;
    const all = [...sources, ...tests];
    expect(all.map(({ path }) => path).filter((path) => !named.test(posix.basename(path)))).toEqual([]);
  });

  it('no default exports, but where a thread pool takes its task from one', () => {
    const found = offenders(sources, ({ folder, code }) =>
      folder !== 'workers' && /\bexport\s+default\b/.test(code) ? ['export default'] : [],
    );
    expect(found).toEqual([]);
  });

  it('no barrel but src/index.ts', () => {
    const found = sources.filter(({ path }) => path.endsWith('/index.ts') && path !== 'src/index.ts');
    expect(found.map(({ path }) => path)).toEqual([]);
  });

  it('nothing is left to do', () => {
    const marks = new RegExp(['TO', 'DO|FIX', 'ME|X', 'XX'].join(''));
    expect(offenders([...sources, ...tests], ({ text }) => marks.exec(text)?.slice(0, 1) ?? [])).toEqual([]);
  });

  it('no test is switched off or singled out', () => {
    const marks = /\b(?:it|test|describe)\.(?:only|skip|todo|fails)\b/;
    expect(offenders(tests, ({ code }) => marks.exec(code)?.slice(0, 1) ?? [])).toEqual([]);
  });
});
