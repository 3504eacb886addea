#!/usr/bin/env node
/**
 * The command line: which commands there are, what they take, and how the program ends. Each command's own code is
 * loaded when it is asked for.
 */
import { readFileSync } from 'node:fs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { DEFECT, USAGE, UsageError } from './exit-status.js';
import { decodeOptions, explainOptions } from './explain-options.js';
import { cacheOptions, laneCount, machineOptions } from './options.js';
import { stressOptions } from './stress-options.js';
import { complain, endQuietlyOnClosedPipe } from './terminal.js';

const EPILOGUE = 'Exit status: 0 as it should be, 1 not so, 2 a wrong command line or an unreadable file.';

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  return String(version);
}

/** Runs a command and keeps its exit status; output may still be under way, so nothing exits here. */
async function finish(status: Promise<number>): Promise<void> {
  process.exitCode = await status;
}

const cli = yargs(hideBin(process.argv))
  .scriptName('smmulator')
  .usage('$0 <command>\n\nSimulates machines with several Arm SMMUv3 instances.')
  .command(
    'check <file>',
    'Validate a machine file without starting anything',
    (command) =>
      machineOptions(command)
        .example('$0 check machines/one-smmu.yaml', 'Report everything that is wrong with the file')
        .example('$0 check board.yaml --global arm-smmuv3.secure-impl=on', 'The same, with another default')
        .example(
          '$0 check board.yaml --set smmus.smmu0.oas=48 --json',
          'One property changed; JSON for programs',
        )
        .epilogue(EPILOGUE),
    async (args) => finish((await import('./check.js')).check(args)),
  )
  .command(
    'run <file>',
    'Start a machine, drive its workload and verify every byte',
    (command) =>
      machineOptions(command)
        .option('lanes', {
          describe: 'DMA threads (default: one per processor, no more than devices with work)',
          type: 'string',
          requiresArg: true,
          coerce: laneCount('lanes'),
        })
        .example('$0 run machines/one-smmu.yaml', 'One SMMU, one device: the default machine')
        .example('$0 run board.yaml --set smmus.smmu0.tlb=off', 'The same workload without a TLB')
        .example('$0 run board.yaml --json', 'The report as JSON')
        .epilogue(EPILOGUE),
    async (args) => finish((await import('./run.js')).run(args)),
  )
  .command(
    'stress <file>',
    'Change everything under running DMA, in threads, and judge every access',
    (command) => stressOptions(command).epilogue(EPILOGUE),
    async (args) => finish((await import('./stress.js')).stress(args)),
  )
  .command(
    'replay <files..>',
    'Replay scenario files and recorded traces, and compare',
    (command) =>
      cacheOptions(command)
        .positional('files', {
          describe: 'Scenario files: .json, .jsonl, .scenarios.jsonl, each also with .gz',
          type: 'string',
          array: true,
          demandOption: true,
        })
        .option('verbose', { describe: 'Name the scenarios that pass, too', type: 'boolean', default: false })
        .option('json', {
          describe: 'Print one JSON document instead of text',
          type: 'boolean',
          default: false,
        })
        .example(
          '$0 replay test/vectors/qemu/stage1.scenarios.jsonl.gz',
          'A collection; quiet about what passes',
        )
        .example('$0 replay bug.json --verbose', 'One scenario of your own')
        .example(
          '$0 replay linux.jsonl.gz --tlb off --config-cache off',
          'Without caches: the verdict is the same',
        )
        .epilogue(EPILOGUE),
    async (args) => finish((await import('./replay.js')).replay(args)),
  )
  .command(
    'explain <file>',
    'Show one access on its whole way through an SMMU',
    (command) => explainOptions(command).epilogue(EPILOGUE),
    async (args) => finish((await import('./explain.js')).explain(args)),
  )
  .command(
    'decode <name> <words..>',
    'Print the fields of a structure, command, event, descriptor or register',
    (command) => decodeOptions(command).epilogue(EPILOGUE),
    async (args) => finish((await import('./decode.js')).decode(args)),
  )
  .example('$0 run machines/one-smmu.yaml', 'Start the default machine')
  .example('$0 <command> --help', 'What a command takes, with examples')
  .epilogue(EPILOGUE)
  .parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': true })
  .demandCommand(1, 'which command?')
  .recommendCommands()
  .strict()
  .version(version())
  .help()
  .wrap(Math.min(110, process.stdout.columns ?? 100))
  .exitProcess(false)
  .fail((message, error) => {
    // Yargs has a message where the command line is wrong, and only the error where a command failed.
    throw message ? new UsageError(`${message}\nTry 'smmulator --help'.`) : error;
  });

endQuietlyOnClosedPipe();
try {
  await cli.parseAsync();
} catch (error) {
  if (error instanceof UsageError) {
    complain(`smmulator: ${error.message}`);
    process.exitCode = USAGE;
  } else {
    complain('smmulator: a defect of smmulator itself; please report it with what follows:');
    complain(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exitCode = DEFECT;
  }
}
