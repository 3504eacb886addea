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
import {
  cacheOptions,
  jsonOption,
  lanesOption,
  machineOptions,
  overrideOptions,
  refuseRepeated,
} from './options.js';
import { CACHE_CHOICES } from './snapshot-options.js';
import { stressOptions } from './stress-options.js';
import { complain, endOnClosedOutput } from './terminal.js';

const EPILOGUE = 'Exit status: 0 as it should be, 1 not so, 2 a wrong command line or an unreadable file.';

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  return String(version);
}

/** Yargs lays out the help of each command that it runs, asked for or not: half of that is folding lines, which null saves. */
function helpWidth(): number | null {
  const isAsked = hideBin(process.argv).some((arg) => arg === '--help' || arg === 'help');
  return isAsked ? Math.min(110, process.stdout.columns ?? 100) : null;
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
      lanesOption(machineOptions(command))
        .example('$0 run machines/one-smmu.yaml', 'One SMMU, two devices: the default machine')
        .example('$0 run board.yaml --set smmus.smmu0.tlb=off', 'The same workload without a TLB')
        .option('snapshot-at', {
          describe:
            'A moment (boot, step:N, accesses:N) and a file: keep the machine as it is then, and go on',
          type: 'string',
          array: true,
          nargs: 2,
        })
        .option('caches', {
          describe: 'What a snapshot does with TLBs and configuration caches',
          choices: CACHE_CHOICES,
          default: 'kept' as const,
        })
        .example('$0 run board.yaml --json', 'The report as JSON')
        .example('$0 run board.yaml --snapshot-at step:3 board.snap', 'With a snapshot when step 3 is over')
        .epilogue(EPILOGUE),
    async (args) => finish((await import('./run.js')).run(args)),
  )
  .command(
    'snapshot <file> <snapshot>',
    'Run a machine up to a moment and keep it in a file',
    (command) =>
      lanesOption(machineOptions(command))
        .positional('snapshot', { describe: 'The file to write', type: 'string', demandOption: true })
        .option('at', {
          describe: 'The moment: boot, step:N (step N of the workload is over), accesses:N (of all devices)',
          type: 'string',
          requiresArg: true,
          default: 'boot',
        })
        .option('caches', {
          describe: 'What becomes of TLBs and configuration caches',
          choices: CACHE_CHOICES,
          default: 'kept' as const,
        })
        .example('$0 snapshot board.yaml board.snap', 'After boot, before the first access')
        .example('$0 snapshot board.yaml board.snap --at accesses:5000', 'In the middle of the workload')
        .epilogue(EPILOGUE),
    async (args) => finish((await import('./snapshot.js')).takeSnapshot(args)),
  )
  .command(
    'restore <snapshot>',
    'Go on from a snapshot, and verify every byte',
    (command) =>
      jsonOption(
        overrideOptions(
          command
            .positional('snapshot', {
              describe: 'A file that snapshot or run wrote',
              type: 'string',
              demandOption: true,
            })
            .option('machine', {
              describe:
                'A machine file that must be the one of the snapshot (default: the one in the snapshot)',
              type: 'string',
              requiresArg: true,
            }),
          'With --machine: as for run',
          'With --machine: as for run',
        ),
      )
        .example('$0 restore board.snap', 'The rest of the workload, its verification and its report')
        .epilogue(EPILOGUE),
    async (args) => finish((await import('./snapshot.js')).restore(args)),
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
      jsonOption(cacheOptions(command))
        .positional('files', {
          describe: 'Scenario files: .json, .jsonl, .scenarios.jsonl, each also with .gz',
          type: 'string',
          array: true,
          demandOption: true,
        })
        .option('verbose', { describe: 'Name the scenarios that pass, too', type: 'boolean', default: false })
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
  .wrap(helpWidth())
  .exitProcess(false)
  .fail((message, error) => {
    // Yargs has a message where the command line is wrong, and only the error where a command failed.
    throw message ? new UsageError(`${message}\nTry 'smmulator --help'.`) : error;
  });

endOnClosedOutput();
try {
  refuseRepeated(hideBin(process.argv));
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
