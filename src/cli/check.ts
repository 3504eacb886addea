/**
 * `smmulator check FILE`: realizes a machine without starting anything.
 */
import { FAILURE, SUCCESS } from './exit-status.js';
import { isSound, loadMachineFile, reportDiagnostics } from './machine-file.js';
import type { MachineArguments } from './options.js';
import { colours, counted, say } from './terminal.js';

export async function check(args: MachineArguments): Promise<number> {
  const loaded = await loadMachineFile(args);
  reportDiagnostics(loaded, args.json);
  const sound = isSound(loaded);
  if (args.json) return sound ? SUCCESS : FAILURE;
  const count = (severity: string) => loaded.diagnostics.filter((each) => each.severity === severity).length;
  if (loaded.diagnostics.length > 0)
    say(`${counted(count('error'), 'error')}, ${counted(count('warning'), 'warning')}`);
  if (sound && loaded.machine !== undefined) {
    const { name, smmus, devices } = loaded.machine;
    say(
      `${colours.green('ok')}: machine ${name}, ${counted(smmus.length, 'SMMU')}, ${counted(devices.length, 'device')}`,
    );
  }
  return sound ? SUCCESS : FAILURE;
}
