/**
 * `smmulator check FILE`: realizes a machine without starting anything.
 */
import { FAILURE, SUCCESS } from './exit-status.js';
import { loadMachineFile, reportDiagnostics } from './machine-file.js';
import type { MachineArguments } from './options.js';
import { colours, counted, say } from './terminal.js';

export async function check(args: MachineArguments): Promise<number> {
  const loaded = await loadMachineFile(args);
  reportDiagnostics(loaded, args.json);
  const { machine, diagnostics } = loaded;
  const status = machine === undefined ? FAILURE : SUCCESS;
  if (args.json) return status;
  const count = (severity: string) => diagnostics.filter((each) => each.severity === severity).length;
  if (diagnostics.length > 0)
    say(`${counted(count('error'), 'error')}, ${counted(count('warning'), 'warning')}`);
  if (machine !== undefined) {
    const { name, smmus, devices } = machine;
    say(
      `${colours.green('ok')}: machine ${name}, ${counted(smmus.length, 'SMMU')}, ${counted(devices.length, 'device')}`,
    );
  }
  return status;
}
