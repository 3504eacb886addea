/**
 * Invalidations that a guest asks for: which commands it may issue, and what the physical SMMU is told in their place. A
 * guest's commands share a queue with everybody else's, so that no bit passes that is not understood (Linux:
 * arm-smmu-v3-iommufd).
 */
import {
  CMD_CFGI_CD,
  CMD_CFGI_CD_ALL,
  CMD_TLBI_NH_ALL,
  CMD_TLBI_NH_ASID,
  CMD_TLBI_NH_VA,
  CMD_TLBI_NH_VAA,
  CMD_TLBI_NSNH_ALL,
  COMMAND,
  COMMANDS_BY_OPCODE,
  type Command,
} from '../arch/commands.js';
import { type Field, get, getBig, set, type Words } from '../arch/layout.js';
import { type CommandWords, tlbiNHAll } from '../software/commands.js';
import { IommufdError } from './errors.js';
import { hex } from './object-table.js';
import type { VIommu } from './viommu.js';

const COMMAND_WORDS = 4;
/** Fields that exist with range invalidation (IDR3.RIL) and with substreams only. */
const RANGE_FIELDS: readonly string[] = ['NUM', 'SCALE', 'TTL', 'TG'];
const NOT_A_GUESTS: readonly string[] = ['SSec', 'TTL128'];

/** What a command consists of on an SMMU with these features. */
export interface CommandFeatures {
  readonly rangeInvalidation: boolean;
  readonly ssidBits: number;
}

function fieldsOf(command: Command, { rangeInvalidation, ssidBits }: CommandFeatures): Field[] {
  return Object.entries<Field>(command.fields)
    .filter(([name, { reserved }]) => {
      if (reserved || NOT_A_GUESTS.includes(name)) return false;
      if (name === 'SubstreamID') return ssidBits > 0;
      return rangeInvalidation || !RANGE_FIELDS.includes(name);
    })
    .map(([, field]) => field);
}

/** A command without the bits that mean nothing on an SMMU with these features, where they are ignored (4.1.2). */
export function reduceCommand(command: Command, words: Words, features: CommandFeatures): CommandWords {
  const reduced = new Uint32Array(COMMAND_WORDS);
  for (const field of fieldsOf(command, features)) set(reduced, field, getBig(words, field));
  return reduced;
}

/** The command for the physical SMMU. @throws IommufdError EIO for one that a guest may not issue. */
export function convertCommand(viommu: VIommu, words: Words): CommandWords {
  const command = COMMANDS_BY_OPCODE.get(get(words, COMMAND.Opcode));
  const { features } = viommu.host.driver;
  const converted = command && reduceCommand(command, words, features);
  if (converted === undefined || converted.some((word, index) => word !== words[index]! >>> 0)) {
    throw new IommufdError('EIO', 'the command sets a bit that no guest may set');
  }
  switch (command!.opcode) {
    case CMD_TLBI_NSNH_ALL:
      return tlbiNHAll(viommu.VMID);
    case CMD_TLBI_NH_ALL:
    case CMD_TLBI_NH_ASID:
    case CMD_TLBI_NH_VA:
    case CMD_TLBI_NH_VAA:
      set(converted, COMMAND.VMID, viommu.VMID);
      return converted;
    case CMD_CFGI_CD:
    case CMD_CFGI_CD_ALL: {
      const virtualID = get(words, COMMAND.StreamID);
      const device = viommu.device(virtualID);
      if (device === undefined) throw new IommufdError('EIO', `no vDEVICE ${hex(virtualID)}`);
      set(converted, COMMAND.StreamID, device.StreamID);
      return converted;
    }
    default:
      throw new IommufdError('EIO', `${command!.name} is not a guest's`);
  }
}
