/** F10, H9: a thread that dies or hangs ends the run, with its name and state, and nothing is left behind. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { startMachine } from '../../src/runtime/coordinator.js';
import { WaitAborted } from '../../src/runtime/shared/signal.js';
import { MachineFailure } from '../../src/runtime/threads/supervisor.js';
import { OFFSETS } from '../spec-numbers.js';
import { twoSmmus } from './machines.js';

const VICTIM = fileURLToPath(new URL('./doomed-run.mjs', import.meta.url));

describe('F10: a thread that breaks in the middle of a run', () => {
  it.concurrent.each([
    ['smmu1', 'throw', /^smmu1 died: sabotaged \(.*CMDQ_PROD 0x[0-9a-f]+/],
    ['smmu1', 'exit', /^smmu1 died: its thread exited with code 3 \(/],
    ['smmu1', 'hang', /^smmu1 hangs: no sign of life for [\d.]+ s \(/],
    ['dma thread 0', 'throw', /^dma thread 0 failed: sabotaged \(running; doing DMA\)/],
    ['dma thread 0', 'exit', /^dma thread 0 failed: worker exited with code: 3 \(/],
    ['dma thread 0', 'hang', /^dma thread 0 hangs: no sign of life for [\d.]+ s \(/],
    ['software', 'exit', /^software failed: worker exited with code: 3 \(/],
  ])(
    '%s, %s: the run rejects with name and state, and the process ends by itself',
    async (thread, how, message) => {
      // A process that had a thread or a handle left would not end, and be killed with a signal instead.
      const run = promisify(execFile)(process.execPath, [VICTIM, thread, how], { timeout: 40_000 });
      const ended = await run.catch((error) => error);
      expect(ended).toMatchObject({ code: 1, signal: null, stderr: '' });
      expect(ended.stdout).toMatch(message);
    },
  );

  it('a call to a dead thread is answered by the failure', async () => {
    const running = await startMachine(twoSmmus(), { lanes: 1 });
    running.sabotage('smmu0', 'exit');
    const askAgainAndAgain = async () => {
      for (;;) await running.statistics(0);
    };
    await expect(askAgainAndAgain()).rejects.toThrow(MachineFailure);
    await running.close();
    await running.close();
  });

  it('after close every access to a register says so at once', async () => {
    const running = await startMachine(twoSmmus(), { lanes: 1 });
    const port = running.port(0);
    port.write32(OFFSETS.CR1, 0x3f);
    expect(port.read32(OFFSETS.CR1)).toBe(0x3f);
    await running.close();
    const closed = (did: string) => new WaitAborted(`${did} a register of smmu0: the machine was closed`);
    expect(() => port.write32(OFFSETS.CR1, 0)).toThrow(closed('wrote'));
    expect(() => port.write64(OFFSETS.STRTAB_BASE, 0n)).toThrow(closed('wrote'));
    expect(() => port.read32(OFFSETS.CR1)).toThrow(closed('read'));
    expect(() => port.read64(OFFSETS.STRTAB_BASE)).toThrow(closed('read'));
    expect(() => port.relax()).toThrow(closed('polled'));
  });

  it('a clean close is no failure', async () => {
    const running = await startMachine(twoSmmus(), { lanes: 2 });
    expect(await running.statistics(1)).toEqual({ commands: 0, invalidations: 0, events: 0 });
    await running.close();
    expect(running.supervisor.failure).toBeUndefined();
  });
});
