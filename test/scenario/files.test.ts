import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readScenarios, ScenarioFileError } from '../../src/scenario/files.js';

const folder = mkdtempSync(join(tmpdir(), 'scenario-files-'));
afterAll(() => rmSync(folder, { recursive: true }));

const HEADER = { version: 1, name: 'one', smmu: {}, memory: [] };
const NOTE = { op: 'note', text: 'text' };

function file(name: string, text: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, name.endsWith('.gz') && typeof text === 'string' ? gzipSync(text) : text);
  return path;
}

function linesOf(...values: object[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join('');
}

/** Names, and steps with number and line, of all scenarios of a file. */
async function read(path: string): Promise<{ name: string; steps: string[] }[]> {
  const found = [];
  for await (const { header, steps } of readScenarios(path)) {
    const seen: string[] = [];
    for await (const { number, line, step } of steps) seen.push(`${number}@${line} ${step.op}`);
    found.push({ name: header.name, steps: seen });
  }
  return found;
}

describe('J2 scenario files', () => {
  const whole = { ...HEADER, steps: [NOTE, NOTE] };

  it.each(['one.json', 'one.json.gz'])('%s is one object', async (name) => {
    expect(await read(file(name, JSON.stringify(whole, undefined, 2)))).toEqual([
      { name: 'one', steps: ['1@1 note', '2@1 note'] },
    ]);
  });

  it.each(['long.jsonl', 'long.jsonl.gz'])('%s is a header and steps on lines', async (name) => {
    expect(await read(file(name, linesOf(HEADER, NOTE, NOTE)))).toEqual([
      { name: 'one', steps: ['1@2 note', '2@3 note'] },
    ]);
  });

  it.each(['all.scenarios.jsonl', 'all.scenarios.jsonl.gz'])('%s is a scenario per line', async (name) => {
    expect(await read(file(name, linesOf(whole, { ...whole, name: 'two' })))).toEqual([
      { name: 'one', steps: ['1@1 note', '2@1 note'] },
      { name: 'two', steps: ['1@2 note', '2@2 note'] },
    ]);
  });

  it('an empty collection has no scenarios', async () => {
    expect(await read(file('empty.scenarios.jsonl.gz', ''))).toEqual([]);
  });

  it('lines may be longer than what is read at once, and end without a line feed', async () => {
    const long = { op: 'note', text: 'é'.repeat(100_000) };
    expect(await read(file('wide.jsonl', `${JSON.stringify(HEADER)}\n${JSON.stringify(long)}`))).toEqual([
      { name: 'one', steps: ['1@2 note'] },
    ]);
  });

  it.each([
    ['unknown.jsonl', linesOf(HEADER, NOTE, { op: 'nap' }), ':3: step 2: unknown step "nap"'],
    ['torn.jsonl', `${linesOf(HEADER)}{"op":`, ':2: step 1: not JSON'],
    [
      'bad.scenarios.jsonl',
      linesOf(whole, { ...whole, steps: [NOTE, {}] }),
      ':2: step 2: the step lacks "op"',
    ],
    ['stepless.json', linesOf(HEADER), ':1: the header lacks "steps"'],
    ['steps.jsonl', linesOf(whole), ':1: "steps" in the header'],
    ['short.jsonl', linesOf({ ...HEADER, steps_count: 2 }, NOTE), ':2: "steps_count" is 2, the file has 1'],
    ['nothing.jsonl', '', ':1: the file is empty'],
    ['list.json', '[]', ':1: "the header" must be an object'],
    ['cut.jsonl.gz', gzipSync(linesOf(HEADER, NOTE)).subarray(0, 40), ': not a whole gzip file'],
    ['plain.jsonl.gz', Buffer.from(linesOf(HEADER)), ': not a whole gzip file'],
    ['notes.txt', '', ': not a scenario file'],
  ])('refuses %s with the place', async (name, text, message) => {
    const path = file(name, text);
    const reading = read(path);
    await expect(reading).rejects.toThrow(ScenarioFileError);
    await expect(read(path)).rejects.toThrow(`${path}${message}`);
  });

  it('refuses a gzip file that is cut off behind its first steps', async () => {
    const steps = Array.from({ length: 20_000 }, (_, step) => ({
      op: 'note',
      text: `${step * 2_654_435_761}`,
    }));
    const whole = gzipSync(linesOf(HEADER, ...steps));
    const reading = read(file('half.jsonl.gz', whole.subarray(0, whole.length / 2)));
    await expect(reading).rejects.toThrow(ScenarioFileError);
    await expect(reading).rejects.toThrow('half.jsonl.gz: not a whole gzip file');
  });

  it('refuses a file that is not there, and a folder', async () => {
    await expect(read(join(folder, 'absent.json'))).rejects.toThrow('absent.json: no such file');
    await expect(read(`${folder}/../${folder.split('/').pop()}.json`)).rejects.toThrow(ScenarioFileError);
  });
});
