/**
 * `npm run bench`: measures, prints the table, and says which goals are met. See bench/README.md.
 *
 * The steps run in three processes, one after the other, and each figure is the median of the three: how the engine
 * happens to compile the same code differs from process to process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Host, renderPage } from './report.js';
import { judge, type Measurement, type Result, ROWS, type Row, type RowId } from './rows.js';
import { type ProcessMessage, type ProcessOrder, runSteps, STEPS } from './steps.js';
import { renderTable } from './table.js';

const USAGE = `npm run bench -- [options]

  --gate           one short pass of the ratios to C; exit status 1 when one is 40 % worse than in bench/ratios.json
  --record         writes the ratios of this run to bench/ratios.json
  --full           the long rows whole: 20 million reads, 2 x 10 million misses; default is a tenth
  --runs N         processes whose median is taken; default 3
  --only TEXT      only rows whose id or description has TEXT
  --json FILE      the results as JSON
  --report FILE    the results as an HTML page with plots
`;

const RATIOS = fileURLToPath(new URL('../../bench/ratios.json', import.meta.url));
/** What a ratio may be worse by than the recorded one: the machine is shared, and the pass is short. */
const GATE_ROOM = 1.4;
/** A row that misses the gate is measured again, in a process of its own: noise does not miss three times. */
const GATE_TRIES = 3;
const CHILD = '--as-process';

/** One process of the bench; answers with all that it measured, and whether there was a C compiler. */
async function measure(
  order: ProcessOrder,
  progress: (step: number) => void,
): Promise<{ measurements: Measurement[]; compiler: boolean }> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [CHILD, JSON.stringify(order)]);
  const measurements: Measurement[] = [];
  let compiler = false;
  child.on('message', (message: ProcessMessage) => {
    if (message.kind === 'compiler') compiler = message.there;
    else if (message.kind === 'step') progress(message.step);
    else measurements.push(...message.measurements);
  });
  const [status] = await once(child, 'exit');
  if (status !== 0) throw new Error(`a process of the bench ended with status ${status}`);
  return { measurements, compiler };
}

/** The ratios to C as they were last recorded. */
function recorded(): Partial<Record<RowId, number>> {
  return JSON.parse(readFileSync(RATIOS, 'utf8'));
}

function record(measured: readonly Result[]): void {
  const ratios = measured.flatMap(({ id, ratio }) => (ratio === undefined ? [] : [[id, +ratio.toFixed(2)]]));
  writeFileSync(RATIOS, `${JSON.stringify({ ...recorded(), ...Object.fromEntries(ratios) }, null, 2)}\n`);
}

/** A row of which the gate asks that it is not much worse than it was; of one that is new, nothing. */
function gateRow(id: RowId, ratio: number | undefined): Row {
  const { what, unit } = ROWS[id];
  return ratio === undefined
    ? { what, unit }
    : { what, unit, goal: { of: 'ratio', most: ratio * GATE_ROOM } };
}

/** The medians of what several processes measured, judged, in the order of the rows. */
function results(measurements: readonly Measurement[], rowOf = (id: RowId): Row => ROWS[id]): Result[] {
  return (Object.keys(ROWS) as RowId[]).flatMap((id) => {
    const of = measurements.filter(({ row }) => row === id);
    if (of.length === 0) return [];
    // The median by ratio, so that a figure stands beside the C of its own process.
    const sorted = of.toSorted((a, b) => a.figure / (a.c ?? 1) - b.figure / (b.c ?? 1));
    const { figure, c, series } = sorted[sorted.length >> 1]!;
    return [{ ...judge(id, figure, c, rowOf(id)), ...(series === undefined ? {} : { series }) }];
  });
}

/** A line that is written over: only where somebody watches. */
function progressLine(): { say(text: string): void; clear(): void } {
  const watched = process.stderr.isTTY;
  return {
    say: (text) => void (watched && process.stderr.write(`\r\x1b[K${text}`)),
    clear: () => void (watched && process.stderr.write('\r\x1b[K')),
  };
}

function chosen(only: string | undefined): number[] {
  const wanted = (row: RowId) => only === undefined || row.includes(only) || ROWS[row].what.includes(only);
  return [...STEPS.keys()].filter((step) => STEPS[step]!.rows.some(wanted));
}

async function bench(steps: readonly number[], runs: number, scale: number): Promise<Result[]> {
  const line = progressLine();
  const all: Measurement[] = [];
  for (let run = 1; run <= runs; run++) {
    const mine = steps.filter((step) => run === runs || STEPS[step]!.once === undefined);
    const { measurements, compiler } = await measure({ steps: mine, short: false, scale }, (step) => {
      const what = STEPS[step]!.rows.map((row) => ROWS[row].what)[0];
      line.say(`process ${run} of ${runs}, step ${mine.indexOf(step) + 1} of ${mine.length}: ${what}`);
    });
    line.clear();
    if (run === 1 && !compiler) console.log('No C compiler here: no ratios.\n');
    all.push(...measurements);
  }
  return results(all);
}

async function gate(): Promise<number> {
  const ratios = recorded();
  const judged = new Map<RowId, Result>();
  const isMissed = (id: RowId) => judged.get(id)?.met === false;
  const missed = () => [...judged.keys()].filter(isMissed).length;
  let steps = [...STEPS.keys()].filter((step) => STEPS[step]!.ratio);
  for (let attempt = 1; attempt <= GATE_TRIES && steps.length > 0; attempt++) {
    const { measurements, compiler } = await measure({ steps, short: true, scale: 0 }, () => {});
    if (!compiler) {
      console.log('bench gate: skipped, no C compiler here');
      return 0;
    }
    for (const result of results(measurements, (id) => gateRow(id, ratios[id]))) {
      if (attempt === 1 || isMissed(result.id)) judged.set(result.id, result);
    }
    steps = steps.filter((step) => STEPS[step]!.rows.some(isMissed));
  }
  console.log(renderTable([...judged.values()]));
  console.log(missed() === 0 ? 'bench gate: passed' : `bench gate: ${missed()} missed`);
  return missed() === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      gate: { type: 'boolean' },
      record: { type: 'boolean' },
      full: { type: 'boolean' },
      runs: { type: 'string', default: '3' },
      only: { type: 'string' },
      json: { type: 'string' },
      report: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (values.gate) return await gate();
  const measured = await bench(chosen(values.only), Number(values.runs), values.full ? 1 : 0.1);
  if (values.record) record(measured);
  const host = hostOf();
  console.log(renderTable(measured));
  console.log(`${host.cpu}, ${host.processors} processors, Node ${host.node}`);
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ host, results: measured }, null, 2)}\n`);
  if (values.report !== undefined) writeFileSync(values.report, renderPage(host, measured));
  return 0;
}

function hostOf(): Host {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? process.arch,
    processors: processors.length,
    node: process.versions.node,
  };
}

if (process.argv[2] === CHILD) {
  await runSteps(JSON.parse(process.argv[3]!), (message) => process.send!(message));
  process.disconnect();
} else {
  process.exitCode = await main();
}
