/** Snapshots on the command line: taken on the way and at an end, restored, refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { lastLine, smmulator } from './command-line.js';

const folder = mkdtempSync(join(tmpdir(), 'snap-'));
afterAll(() => rmSync(folder, { recursive: true }));
const MACHINE = 'machines/one-smmu.yaml';
const file = join(folder, 'one.snap');

describe('A47 snapshot, run --snapshot-at, restore', () => {
  it('a run with a snapshot on its way, and its rest, report the same', () => {
    const run = smmulator('run', MACHINE, '--json', '--snapshot-at', 'step:3', file);
    expect(run).toMatchObject({ status: 0, stderr: '' });
    const rest = smmulator('restore', file, '--json');
    expect(rest).toMatchObject({ status: 0, stderr: '' });
    const outcome = ({ stdout }: typeof run) => {
      const { devices, events, verifiedBytes, failures } = JSON.parse(stdout);
      return { devices, events, verifiedBytes, failures };
    };
    expect(outcome(rest)).toEqual(outcome(run));
  });

  it('snapshot ends there; restore goes on without caches, verified against the machine file', () => {
    const taken = smmulator('snapshot', MACHINE, file, '--at', 'accesses:700', '--caches', 'dropped');
    expect(taken).toMatchObject({ status: 0, stderr: '' });
    expect(lastLine(taken)).toMatch(/one\.snap: \d+ bytes, taken after \d+ accesses$/);
    expect(taken.stdout).toContain(
      '\nboot: software programs the SMMUs\ndma: devices work through their streams\n',
    );
    const rest = smmulator('restore', file, '--machine', MACHINE);
    expect(rest).toMatchObject({ status: 0, stderr: '' });
    expect(lastLine(rest)).toContain('everything as expected');
  });

  it('A46, A48, D3: what does not fit or is no snapshot is status 2 and one sentence', () => {
    const cut = join(folder, 'cut.snap');
    writeFileSync(cut, readFileSync(file).subarray(0, 5000));
    const refused = (...args: string[]) => {
      const { status, stderr } = smmulator(...args);
      return [status, stderr.trimEnd()];
    };
    expect(refused('restore', cut)).toEqual([
      2,
      expect.stringMatching(/cut\.snap: it has 5000 of its \d+ bytes$/),
    ]);
    expect(refused('restore', MACHINE)).toEqual([
      2,
      expect.stringMatching(/it is no snapshot of smmulator$/),
    ]);
    expect(refused('restore', file, '--machine', MACHINE, '--set', 'smmus.smmu0.oas=40')).toEqual([
      2,
      'smmulator: smmu0: the state is of an SMMU with an OAS of 44 bits, this one has 40',
    ]);
    expect(refused('restore', file, '--set', 'smmus.smmu0.oas=40')).toEqual([
      2,
      'smmulator: --set and --global change a machine file, which --machine names',
    ]);
    expect(refused('restore', file, '--machine', MACHINE, '--machine', MACHINE)).toEqual([
      2,
      'smmulator: --machine is given more than once',
    ]);
    expect(refused('snapshot', MACHINE, join(folder, 'no', 'x.snap'))).toEqual([
      2,
      expect.stringMatching(/x\.snap cannot be written: no such file or folder$/),
    ]);
    expect(refused('snapshot', MACHINE, file, '--at', 'step:99')).toEqual([
      2,
      "smmulator: 'step:99': the workload has the steps 1 to 7",
    ]);
    expect(refused('run', MACHINE, '--snapshot-at', 'noon', file)).toEqual([
      2,
      "smmulator: 'noon' is no moment for a snapshot: boot, step:N or accesses:N",
    ]);
  });
});
