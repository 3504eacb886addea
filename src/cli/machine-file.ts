/**
 * Reads and realizes the machine file that a command names, and prints what is wrong with it.
 */
import { readFile } from 'node:fs/promises';
import { type LoadResult, loadMachine, OverrideError } from '../machine/load.js';
import { type Palette, renderDiagnostics } from '../machine/render.js';
import { UsageError, unreadable } from './exit-status.js';
import type { MachineArguments } from './options.js';
import { colours, say } from './terminal.js';

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
}

export interface Loaded extends LoadResult {
  /** Of the file, as it was read. */
  readonly text: string;
}

const PALETTE: Palette = {
  error: colours.red,
  warning: colours.yellow,
  help: colours.cyan,
  place: colours.bold,
  source: colours.dim,
};

/** @throws UsageError when the file cannot be read or an override names nothing */
export async function loadMachineFile({ file, global, set }: MachineArguments): Promise<Loaded> {
  const text = await readText(file);
  try {
    return { ...loadMachine(text, file, { global, set }), text };
  } catch (error) {
    if (error instanceof OverrideError) throw new UsageError(error.message);
    throw error;
  }
}

/** Whether nothing is worse than a warning. */
export function isSound({ diagnostics }: Loaded): boolean {
  return diagnostics.every(({ severity }) => severity !== 'error');
}

/** The diagnostics, as text with the lines that they speak of, or as the JSON document of `--json`. */
export function reportDiagnostics(loaded: Loaded, json: boolean): void {
  const { diagnostics, text } = loaded;
  if (json) say(JSON.stringify({ ok: isSound(loaded), diagnostics }, undefined, 2));
  else if (diagnostics.length > 0) say(renderDiagnostics(diagnostics, text, PALETTE));
}
