/**
 * `smmulator explain FILE`: one access's whole way through an SMMU, of a machine after its software has run or of a
 * scenario's step.
 */
import { NON_SECURE } from '../arch/security.js';
import { reasonsOf } from '../explain/reason.js';
import { type Origin, renderTranslation } from '../explain/render.js';
import { type Request, type Translation, traceRequest } from '../explain/trace.js';
import type { DeviceInstance, Machine } from '../machine/types.js';
import { BootError, bootInProcess } from '../runtime/in-process-machine.js';
import type { CacheSettings } from '../scenario/caches.js';
import { ExplainError, explainStep } from '../scenario/explain-step.js';
import { ScenarioFileError } from '../scenario/files.js';
import { FAILURE, SUCCESS, UsageError } from './exit-status.js';
import { loadMachineFile, reportDiagnostics } from './machine-file.js';
import { cacheSettings, type MachineArguments } from './options.js';
import { say } from './terminal.js';

export interface ExplainArguments extends MachineArguments, Required<CacheSettings> {
  readonly step?: number | undefined;
  readonly name?: string | undefined;
  readonly device?: string | undefined;
  readonly iova?: bigint | undefined;
  readonly write: boolean;
  readonly ssid?: number | undefined;
  readonly privileged: boolean;
  readonly instruction: boolean;
  readonly ns: boolean;
}

interface Explained {
  readonly translation: Translation;
  readonly origin?: Origin;
}

function print(explained: readonly Explained[], json: boolean): void {
  if (json) {
    const document = explained.map(({ translation, origin }) => ({
      ...origin,
      ...translation,
      reasons: reasonsOf(translation),
    }));
    const plain = (_key: string, value: unknown) =>
      typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
    say(JSON.stringify(document, plain, 2));
    return;
  }
  for (const [index, { translation, origin }] of explained.entries()) {
    if (index > 0) say('');
    for (const line of renderTranslation(translation, origin)) say(line);
  }
}

export async function explain(args: ExplainArguments): Promise<number> {
  if (args.step !== undefined) return explainScenario(args, args.step);
  if (args.device === undefined || args.iova === undefined) {
    throw new UsageError('explain needs --device and --iova with a machine file, or --step with a scenario');
  }
  return explainMachine(args, args.device, args.iova);
}

async function explainScenario(args: ExplainArguments, stepNumber: number): Promise<number> {
  const { file, name, json } = args;
  try {
    const chosen = { stepNumber, ...(name === undefined ? {} : { name }) };
    const explained = await explainStep(file, chosen, cacheSettings(args));
    if (explained === undefined) throw new UsageError(`${file}: step ${stepNumber} is no dma step`);
    if (!json) say(`${explained.scenario}, step ${stepNumber}: ${explained.step}`);
    print(
      explained.translations.map((translation) => ({ translation })),
      json,
    );
    return SUCCESS;
  } catch (error) {
    if (error instanceof ExplainError || error instanceof ScenarioFileError)
      throw new UsageError(error.message);
    throw error;
  }
}

async function explainMachine(args: ExplainArguments, id: string, iova: bigint): Promise<number> {
  const loaded = await loadMachineFile(args);
  const { machine } = loaded;
  if (machine === undefined) {
    reportDiagnostics(loaded, args.json);
    return FAILURE;
  }
  const device = deviceOf(machine, id);
  const { bdf, smmu } = device;
  const physical = device.host ?? device;
  const { StreamID, SEC_SID } = physical;
  if (smmu < 0) {
    say(
      `${id}, ${bdf}, is behind no SMMU: its accesses go to the ${SEC_SID === NON_SECURE ? 'Non-secure ' : ''}PA space untranslated`,
    );
    return SUCCESS;
  }
  const { tbu, config } = boot(machine, args.file)[smmu]!;
  const { write, privileged, instruction, ns, ssid } = args;
  const request: Request = {
    StreamID,
    SubstreamID: ssid ?? -1,
    SEC_SID,
    iova,
    write,
    privileged,
    instruction,
    ns,
  };
  print([{ translation: traceRequest(tbu, config, request), origin: originOf(machine, device) }], args.json);
  return SUCCESS;
}

function originOf(
  { smmus }: Machine,
  { id, bdf, requesterID, host, smmu, StreamID }: DeviceInstance,
): Origin {
  const origin = { device: id, bdf, requesterID };
  if (host === undefined) return origin;
  const { id: hostDevice, bdf: hostBdf, requesterID: hostRequesterID } = host;
  return { ...origin, guest: { smmu: smmus[smmu]!.id, StreamID, hostDevice, hostBdf, hostRequesterID } };
}

function deviceOf(machine: Machine, id: string): DeviceInstance {
  const device = machine.devices.find((candidate) => candidate.id === id);
  if (device !== undefined) return device;
  const known = machine.devices.map((candidate) => candidate.id).join(', ');
  throw new UsageError(`--device: machine ${machine.name} has no '${id}'; its devices are ${known}`);
}

function boot(machine: Machine, file: string): ReturnType<typeof bootInProcess> {
  try {
    return bootInProcess(machine);
  } catch (error) {
    if (error instanceof BootError) throw new UsageError(`${file}: ${error.message}`);
    throw error;
  }
}
