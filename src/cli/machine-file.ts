/**
 * Reads and realizes the machine file that a command names, and prints what is wrong with it.
 */
import { createReadStream } from 'node:fs';
import type { Diagnostic } from '../machine/diagnostics.js';
import { type LoadResult, loadMachine, OverrideError } from '../machine/load.js';
import { type Palette, renderDiagnostics } from '../machine/render.js';
import type { Machine } from '../machine/types.js';
import { UsageError, unreadable } from './exit-status.js';
import type { MachineArguments } from './options.js';
import { colours, say } from './terminal.js';

/** More characters than any machine file may have, so that a device that never ends is refused as too long. */
const READ_MAX = 1 << 24;

async function readText(file: string): Promise<string> {
  try {
    let text = '';
    for await (const part of createReadStream(file, 'utf8')) {
      text += part;
      if (text.length > READ_MAX) break;
    }
    return text;
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

/**
 * The machine that a command is to run, and the warnings about it; undefined when there is none. A document on stdout is
 * the run's alone, unless there is no run.
 */
export async function loadRunnable(
  args: MachineArguments,
): Promise<{ readonly machine: Machine; readonly diagnostics: readonly Diagnostic[] } | undefined> {
  const loaded = await loadMachineFile(args);
  const { machine, diagnostics } = loaded;
  if (machine === undefined || !args.json) reportDiagnostics(loaded, args.json);
  return machine && { machine, diagnostics };
}

/** The diagnostics, as text with the lines that they speak of, or as the JSON document of `--json`. */
export function reportDiagnostics(loaded: Loaded, json: boolean): void {
  const { machine, diagnostics, text } = loaded;
  if (json) say(JSON.stringify({ ok: machine !== undefined, diagnostics }, undefined, 2));
  else if (diagnostics.length > 0) say(renderDiagnostics(diagnostics, text, PALETTE));
}
