/**
 * The front door: the text of a machine file in, a Machine or the list of everything that is wrong with it out.
 */
import { addItem, type Changes, removeDevices, renumberBus } from './additions.js';
import { type Diagnostic, Reporter } from './diagnostics.js';
import { buildModel, type Model } from './model.js';
import { applyOverrides, OverrideError, type Overrides, parseOverrides } from './overrides.js';
import { readMachine } from './read.js';
import { realize } from './realize.js';
import { checkAccel } from './rules/accel.js';
import { checkAddresses } from './rules/addresses.js';
import { checkBuses } from './rules/buses.js';
import { checkFeatures, checkOas } from './rules/features.js';
import { checkIds } from './rules/ids.js';
import { checkInterrupts } from './rules/interrupts.js';
import { checkMemory, checkSpaces } from './rules/memory.js';
import { checkReferences } from './rules/references.js';
import { schema, yamlSyntax } from './rules/schema.js';
import { checkSecureDevices, checkSecureEL2, checkSecureSupport } from './rules/secure.js';
import { checkSoftware } from './rules/software.js';
import { checkStreams } from './rules/streams.js';
import { Sources, SourceText } from './source.js';
import { type MapNode, parseTree } from './tree.js';
import type { Machine, MachineSource } from './types.js';

export type { Diagnostic, Overrides };
export { OverrideError };

export interface LoadResult {
  /** Present exactly when nothing is worse than a warning. */
  readonly machine?: Machine;
  /** In file order. */
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Reads and realizes a machine without starting anything.
 * @param fileName as diagnostics shall print it
 * @throws OverrideError for a wrong command line; never for anything in the text
 */
export function loadMachine(text: string, fileName: string, overrides: Overrides = {}): LoadResult {
  const unchanged = { additions: [], removed: new Set<string>(), renumberings: [] };
  return realizeSource({ text, fileName, overrides }, unchanged);
}

/**
 * Realizes a machine from its file and what has changed since.
 * @throws OverrideError
 */
export function realizeSource(
  source: MachineSource,
  { additions, removed, renumberings }: Changes,
): LoadResult {
  const parsedOverrides = parseOverrides(source.overrides);
  const sources = new Sources();
  const reporter = new Reporter(sources);
  const root = readRoot(new SourceText(source.text), source.fileName, sources, reporter);
  if (root === undefined) return { diagnostics: reporter.diagnostics() };
  for (const addition of additions) addItem(root, addition, sources, reporter);
  applyOverrides(root, parsedOverrides);
  removeDevices(root, removed, source.text.length);
  for (const renumbering of renumberings) renumberBus(root, renumbering, sources, reporter);
  const model = buildModel(readMachine(root, reporter), removed.size > 0);
  checkAll(model, reporter);
  const diagnostics = reporter.diagnostics();
  return reporter.failed ? { diagnostics } : { machine: realize(model, source), diagnostics };
}

function readRoot(
  source: SourceText,
  fileName: string,
  sources: Sources,
  reporter: Reporter,
): MapNode | undefined {
  const { root, problems } = parseTree(source.text, sources.add(fileName, source));
  for (const { offset, message } of problems) {
    reporter.at(yamlSyntax, { offset, path: '' }, message, 'correct the YAML; nothing else was checked');
  }
  if (problems.length === 0 && root?.kind !== 'map') {
    const message = root === undefined ? 'the file is empty' : 'the top level is no mapping';
    reporter.at(schema, { offset: 0, path: '' }, message, "begin with 'machine: NAME' and 'memory:'");
  }
  return root?.kind === 'map' ? root : undefined;
}

/** In the order in which each group needs what the one before it found out. */
function checkAll(model: Model, reporter: Reporter): void {
  checkIds(model, reporter);
  checkReferences(model, reporter);
  checkOas(model, reporter);
  checkMemory(model, reporter);
  checkBuses(model, reporter);
  checkAddresses(model, reporter);
  checkSecureSupport(model, reporter);
  checkSecureEL2(model, reporter);
  checkSpaces(model, reporter);
  checkStreams(model, reporter);
  checkSecureDevices(model, reporter);
  checkInterrupts(model, reporter);
  checkFeatures(model, reporter);
  checkAccel(model, reporter);
  checkSoftware(model, reporter);
}
