/**
 * `smmulator decode NAME HEX...`: words or bytes to the fields of a structure, command, event, descriptor or register.
 */
import { type SecurityName, securityState } from '../arch/security.js';
import { DecodeError, decode as decodeWords, renderDecoded } from '../explain/decode.js';
import { idRegisters } from '../machine/idr.js';
import { SUCCESS, UsageError } from './exit-status.js';
import { say } from './terminal.js';

export interface DecodeArguments {
  readonly name: string;
  readonly words: readonly string[];
  /** As `IDR0=0x0d44101b`. */
  readonly idr: readonly string[];
  readonly security: SecurityName;
  readonly stage: 1 | 2;
  readonly granule: '4KB' | '16KB' | '64KB';
  readonly level?: number | undefined;
  readonly addressBits: 48 | 52;
  readonly all: boolean;
  readonly json: boolean;
}

const GRANULE_BITS = { '4KB': 12, '16KB': 14, '64KB': 16 } as const;

/** The SMMU whose features count where `--idr` says nothing: nested, with all that a machine file can ask for. */
const DEFAULT_IDR = idRegisters({
  stage: 'nested',
  oas: 48,
  sidsize: 16,
  ssidsize: 20,
  granules: [4096, 16384, 65536],
  ril: true,
  vmid16: true,
  asid16: true,
  cmdqs: 19,
  eventqs: 19,
  iidr: 0,
  httu: 'tables',
  stall: true,
  secure: true,
  lpae: true,
  msi: true,
  sel2: true,
});

function idrOf(settings: readonly string[]): typeof DEFAULT_IDR {
  const words: Record<string, number> = { ...DEFAULT_IDR };
  for (const setting of settings) {
    const [, name = '', value = ''] = /^(?:SMMU_)?([A-Z0-9_]+)=(0x[0-9a-fA-F]{1,8})$/.exec(setting) ?? [];
    if (words[name] === undefined) {
      const names = Object.keys(DEFAULT_IDR).join(', ');
      throw new UsageError(`--idr: '${setting}' is not REGISTER=0xWORD with one of ${names}`);
    }
    words[name] = Number(value);
  }
  return words as unknown as typeof DEFAULT_IDR;
}

export async function decode(args: DecodeArguments): Promise<number> {
  const { name, words, security, stage, granule, level, addressBits, all, json } = args;
  const options = {
    idr: idrOf(args.idr),
    security: securityState(security),
    stage,
    granuleBits: GRANULE_BITS[granule],
    addressBits,
    ...(level === undefined ? {} : { level }),
  };
  try {
    const readings = decodeWords(name, words, options);
    if (json) say(JSON.stringify(readings, undefined, 2));
    else for (const reading of readings) for (const line of renderDecoded(reading, all)) say(line);
  } catch (error) {
    if (error instanceof DecodeError) throw new UsageError(error.message);
    throw error;
  }
  return SUCCESS;
}
