/**
 * `npm run bench`: measures, prints the table, and says which goals are met. See bench/README.md.
 *
 * The steps run in three processes, one after the other, and each figure is the median of the three: how the engine
 * happens to compile the same code differs from process to process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Host, renderPage } from './report.js';
import { judge, type Measurement, type Result, ROWS, type RowId } from './rows.js';
import { type ProcessMessage, type ProcessOrder, runSteps, STEPS } from './steps.js';
import { renderTable } from './table.js';

const USAGE = `npm run bench -- [options]

  --gate           one short pass of the ratios to C, with 40 % room; exit status 1 when one is missed
  --full           the long rows whole: 20 million reads, 2 x 10 million misses; default is a tenth
  --runs N         processes whose median is taken; default 3
  --only TEXT      only rows whose id or description has TEXT
  --json FILE      the results as JSON
  --report FILE    the results as an HTML page with plots
`;

/** What a goal may be missed by in the gate: the machine is shared, and the pass is short. */
const GATE_ROOM = 1.4;
/** A row that misses the gate is measured again: noise does not miss three times. */
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

/** The medians of what several processes measured, judged, in the order of the rows. */
function results(measurements: readonly Measurement[], room = 1): Result[] {
  return (Object.keys(ROWS) as RowId[]).flatMap((id) => {
    const of = measurements.filter(({ row }) => row === id);
    if (of.length === 0) return [];
    // The median by ratio, so that a figure stands beside the C of its own process.
    const sorted = of.toSorted((a, b) => a.figure / (a.c ?? 1) - b.figure / (b.c ?? 1));
    const { figure, c, series } = sorted[sorted.length >> 1]!;
    return [{ ...judge(id, figure, c, room), ...(series === undefined ? {} : { series }) }];
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
  let steps = [...STEPS.keys()].filter((step) => STEPS[step]!.ratio);
  for (let attempt = 1; ; attempt++) {
    const { measurements, compiler } = await measure({ steps, short: true, scale: 0 }, () => {});
    if (!compiler) {
      console.log('bench gate: skipped, no C compiler here');
      return 0;
    }
    const judged = results(measurements, GATE_ROOM);
    const missed = judged.filter(({ met }) => met === false);
    if (missed.length === 0 || attempt === GATE_TRIES) {
      console.log(renderTable(judged, GATE_ROOM));
      console.log(missed.length === 0 ? 'bench gate: passed' : `bench gate: ${missed.length} missed`);
      return missed.length === 0 ? 0 : 1;
    }
    steps = steps.filter((step) => STEPS[step]!.rows.some((row) => missed.some(({ id }) => id === row)));
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      gate: { type: 'boolean' },
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
