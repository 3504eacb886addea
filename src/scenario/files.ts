/**
 * Scenario files: one object (`.json`), header and steps on lines (`.jsonl`), collections (`.scenarios.jsonl`), each
 * gzip-compressed too (`.gz`). Long files are read as a stream; nothing but the current line is held.
 */
import { createReadStream } from 'node:fs';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { ScenarioFormatError, type ScenarioHeader, type Step } from './format.js';
import { parseHeader } from './parse-header.js';
import { parseStep } from './parse-step.js';

/** A step and where it stands. */
export interface PlacedStep {
  /** Counts from 1 within the scenario. */
  readonly number: number;
  /** Line of the file. */
  readonly line: number;
  readonly step: Step;
}

/** One scenario of a file. Its steps can be read once, and must be read before the next scenario is asked for. */
export interface PlacedScenario {
  readonly line: number;
  readonly header: ScenarioHeader;
  readonly steps: AsyncIterable<PlacedStep> | Iterable<PlacedStep>;
}

/** A file that is not there, not readable or not a scenario file; the message begins with the file's name. */
export class ScenarioFileError extends Error {
  override readonly name = 'ScenarioFileError';
}

interface Line {
  readonly number: number;
  readonly text: string;
}

type Chunks = AsyncGenerator<Uint8Array>;

async function* open(path: string): Chunks {
  const source = createReadStream(path);
  const stages = path.endsWith('.gz') ? [createGunzip()] : [];
  const output = new PassThrough();
  // A failure of any stage destroys `output` with the error, which is where the reader meets it, be it among the steps.
  pipeline([source, ...stages, output]).catch((error: Error) => output.destroy(error));
  try {
    yield* output;
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function* lines(chunks: Chunks): AsyncGenerator<Line> {
  const decoder = new TextDecoder();
  let rest = '';
  let number = 0;
  for await (const chunk of chunks) {
    const pieces = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = pieces.pop() ?? '';
    for (const text of pieces) yield { number: ++number, text };
  }
  rest += decoder.decode();
  if (rest.trim() !== '') yield { number: ++number, text: rest };
}

/** Says where a complaint belongs. */
function at(path: string, line: number, stepNumber: number | undefined, error: unknown): unknown {
  const step = stepNumber === undefined ? '' : ` step ${stepNumber}:`;
  if (error instanceof ScenarioFormatError) {
    return new ScenarioFileError(`${path}:${line}:${step} ${error.message}`);
  }
  if (error instanceof SyntaxError) {
    return new ScenarioFileError(`${path}:${line}:${step} not JSON: ${error.message}`);
  }
  return error;
}

function located<T>(path: string, line: number, stepNumber: number | undefined, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw at(path, line, stepNumber, error);
  }
}

/** A whole scenario in one object: all of it is checked before its first step is taken. */
function wholeScenario(path: string, line: number, textOfObject: string): PlacedScenario {
  const { header, steps } = located(path, line, undefined, () => {
    const parsed = parseHeader(JSON.parse(textOfObject));
    if (parsed.steps === undefined) throw new ScenarioFormatError('the header lacks "steps"');
    return { header: parsed.header, steps: parsed.steps };
  });
  const placed = steps.map((value, index) => {
    const number = index + 1;
    return { number, line, step: located(path, line, number, () => parseStep(value, header)) };
  });
  return { line, header, steps: placed };
}

async function* stepsOnLines(
  path: string,
  rest: AsyncIterator<Line>,
  header: ScenarioHeader,
): AsyncGenerator<PlacedStep> {
  let number = 0;
  let lastLine = 1;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
    const { number: line, text } = next.value;
    if (text.trim() === '') continue;
    lastLine = line;
    number++;
    const current = number;
    yield { number, line, step: located(path, line, current, () => parseStep(JSON.parse(text), header)) };
  }
  if (header.stepsCount !== undefined && header.stepsCount !== number) {
    const message = `"steps_count" is ${header.stepsCount}, the file has ${number} steps`;
    throw at(path, lastLine, undefined, new ScenarioFormatError(message));
  }
}

async function* scenarioOnLines(path: string, chunks: Chunks): AsyncGenerator<PlacedScenario> {
  const rest = lines(chunks);
  const first = await rest.next();
  if (first.done === true) throw new ScenarioFileError(`${path}:1: the file is empty`);
  const { header, steps } = located(path, 1, undefined, () => parseHeader(JSON.parse(first.value.text)));
  if (steps !== undefined) {
    throw new ScenarioFileError(`${path}:1: "steps" in the header of a file that has one step per line`);
  }
  yield { line: 1, header, steps: stepsOnLines(path, rest, header) };
}

async function* collection(path: string, chunks: Chunks): AsyncGenerator<PlacedScenario> {
  for await (const line of lines(chunks)) {
    if (line.text.trim() !== '') yield wholeScenario(path, line.number, line.text);
  }
}

async function* oneObject(path: string, chunks: Chunks): AsyncGenerator<PlacedScenario> {
  const decoder = new TextDecoder();
  let all = '';
  for await (const chunk of chunks) all += decoder.decode(chunk, { stream: true });
  yield wholeScenario(path, 1, all + decoder.decode());
}

function unreadable(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  switch (error.code) {
    case 'ENOENT':
      return new ScenarioFileError(`${path}: no such file`);
    case 'EISDIR':
      return new ScenarioFileError(`${path}: is a directory`);
    case 'EACCES':
      return new ScenarioFileError(`${path}: permission denied`);
    case 'Z_DATA_ERROR':
    case 'Z_BUF_ERROR':
      return new ScenarioFileError(`${path}: not a whole gzip file`);
    default:
      return new ScenarioFileError(`${path}: ${error.message}`);
  }
}

/**
 * The scenarios of a file, in order.
 * @throws ScenarioFileError
 */
export async function* readScenarios(path: string): AsyncGenerator<PlacedScenario> {
  const plain = path.replace(/\.gz$/, '');
  const reader = plain.endsWith('.scenarios.jsonl')
    ? collection
    : plain.endsWith('.jsonl')
      ? scenarioOnLines
      : plain.endsWith('.json')
        ? oneObject
        : undefined;
  if (reader === undefined) {
    throw new ScenarioFileError(
      `${path}: not a scenario file (.json, .jsonl or .scenarios.jsonl, or one of them with .gz)`,
    );
  }
  yield* reader(path, open(path));
}
