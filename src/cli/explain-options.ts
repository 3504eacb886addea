/**
 * What `explain` and `decode` take.
 */
import type { Argv } from 'yargs';
import { UsageError } from './exit-status.js';
import { cacheOptions, jsonOption, machineOptions } from './options.js';

/** Numbers on the command line: hex or decimal, exact to 64 bits. */
function wide(option: string): (text: string) => bigint {
  return (text) => {
    const plain = text.replaceAll('_', '');
    if (!/^(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})$/.test(plain) || BigInt(plain) >> 64n !== 0n) {
      throw new UsageError(`--${option}: '${text}' is no number of at most 64 bits`);
    }
    return BigInt(plain);
  };
}

function count(option: string, limit: number): (text: string) => number {
  const read = wide(option);
  return (text) => {
    const value = read(text);
    if (value > BigInt(limit)) throw new UsageError(`--${option}: ${text} is more than ${limit}`);
    return Number(value);
  };
}

const SSID_MAX = 0xf_ffff;
const flag = (describe: string) => ({ describe, type: 'boolean', default: false }) as const;
const word = { type: 'string', requiresArg: true } as const;

export function explainOptions<T>(command: Argv<T>) {
  return cacheOptions(machineOptions(command))
    .positional('file', {
      describe: 'A machine file, or with --step a scenario file',
      type: 'string',
      demandOption: true,
    })
    .option('step', {
      ...word,
      describe: 'The dma step of a scenario to explain, counted from 1',
      coerce: count('step', Number.MAX_SAFE_INTEGER),
    })
    .option('name', { ...word, describe: 'Which scenario of the file (default: the first)' })
    .option('device', { ...word, describe: 'The device of a machine whose access to explain' })
    .option('iova', { ...word, describe: 'The address that it accesses', coerce: wide('iova') })
    .option('ssid', { ...word, describe: 'SubstreamID of the access', coerce: count('ssid', SSID_MAX) })
    .option('write', flag('A write (default: a read)'))
    .option('privileged', flag('A privileged access'))
    .option('instruction', flag('An instruction fetch'))
    .option('ns', flag('The NS attribute of an access of a Secure stream'))
    .conflicts('step', ['device', 'iova'])
    .example(
      '$0 explain machines/one-smmu.yaml --device nic0 --iova 0x10100000 --write',
      'A page that is read-only',
    )
    .example('$0 explain bug.json --step 31', 'The dma step of a scenario');
}

export function decodeOptions<T>(command: Argv<T>) {
  return jsonOption(command)
    .positional('name', {
      describe: 'ste, cd, l1std, cd-l1, pte, cmd, event, or a register, as CR0 or S_GBPA',
      type: 'string',
      demandOption: true,
    })
    .positional('words', {
      describe: '64-bit or 32-bit words with 0x, lowest first, or bytes in memory order without',
      type: 'string',
      array: true,
      demandOption: true,
    })
    .option('idr', {
      describe: 'An ID register of the SMMU that judges, as IDR0=0x0d44101b',
      type: 'string',
      array: true,
      nargs: 1,
      default: [] as string[],
      defaultDescription: 'an SMMU with both stages and all features of machine files',
    })
    .option('security', {
      describe: 'Security state of the stream or queue',
      choices: ['non-secure', 'secure'] as const,
      default: 'non-secure' as const,
    })
    .option('stage', { describe: 'Stage of a pte', choices: [1, 2] as const, default: 1 as const })
    .option('granule', {
      describe: 'Granule of a pte',
      choices: ['4KB', '16KB', '64KB'] as const,
      default: '4KB' as const,
    })
    .option('level', {
      describe: 'Level of a pte, -1 to 3 (default: as table or block, and as page)',
      type: 'number',
      choices: [-1, 0, 1, 2, 3] as const,
    })
    .option('address-bits', {
      describe: 'Address bits of a pte: 52 is the format with DS, or of the 64KB granule with a 52-bit OAS',
      type: 'number',
      choices: [48, 52] as const,
      default: 48 as const,
    })
    .option('all', flag('All fields, those that are 0 or reserved too'))
    .example('$0 decode pte 0x0060000048000f43 --level 3', 'A page descriptor')
    .example('$0 decode pte 0x0000000048000f43 --address-bits 52', 'The same bits with DS')
    .example('$0 decode event 1000000008000000...', '64 hex digits of a record, as memory holds it')
    .example('$0 decode CR0 0xd', 'A register');
}
