/**
 * What `explain` prints, whole: one golden text per kind of story. After a deliberate change of the text, delete the
 * golden file, run the test and read what it wrote.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { SECURE } from '../../src/arch/security.js';
import { renderTranslation } from '../../src/explain/render.js';
import { type Request, type Translation, traceRequest } from '../../src/explain/trace.js';
import { loadMachine } from '../../src/machine/load.js';
import { bootInProcess } from '../../src/runtime/in-process-machine.js';
import { ExplainError, explainStep } from '../../src/scenario/explain-step.js';
import { replayFile } from '../../src/scenario/run-file.js';

const CACHES = { tlb: 64, configCache: 16 };
const MACHINE = `machine: test
memory:
  - { id: ram, base: 0x40000000, size: 256MiB }
  - { id: secure-ram, base: 0x0e000000, size: 16MiB, security: secure }
address-spaces:
  secure-world: [secure-ram, ram]
buses:
  - { id: pcie.0, type: pcie }
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, secure-memory: secure-world }
devices:
  - { id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }
  - { id: hsm0, type: dma-engine, bus: pcie.0, addr: "03.0", sec-sid: secure }
software:
  - { device: nic0, mappings: [{ iova: 0x10000, pa: 0x48000000, size: 64KiB, access: r }] }
  - { device: hsm0, mappings: [{ iova: 0x200000, pa: 0x0e800000, size: 2MiB }] }
`;

function explainDevice(id: string, access: Partial<Request>, text = MACHINE): string {
  const { machine, diagnostics } = loadMachine(text, 'test.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics, undefined, 2));
  const { StreamID, SEC_SID, smmu, bdf, requesterID } = machine.devices.find((one) => one.id === id)!;
  const { tbu, config } = bootInProcess(machine)[smmu]!;
  const request: Request = {
    StreamID,
    SubstreamID: -1,
    SEC_SID,
    iova: 0n,
    write: false,
    privileged: false,
    instruction: false,
    ns: false,
    ...access,
  };
  return joined(renderTranslation(traceRequest(tbu, config, request), { device: id, bdf, requesterID }));
}

async function explainVector(file: string, name: string, stepNumber: number): Promise<string> {
  const explained = await explainStep(`test/vectors/${file}`, { name, stepNumber }, CACHES);
  return joined(
    explained!.translations.flatMap((translation: Translation) => renderTranslation(translation)),
  );
}

function joined(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}

describe('I4: explain after the software of a machine ran', () => {
  test('stage 1, 4KB granule: every structure and descriptor to the PA', async () => {
    await expect(explainDevice('nic0', { iova: 0x1_1234n })).toMatchFileSnapshot('golden/stage1-ok.txt');
  });

  test('an unmapped leaf: F_TRANSLATION with the descriptor that is invalid', async () => {
    await expect(explainDevice('nic0', { iova: 0x2_0000n, write: true })).toMatchFileSnapshot(
      'golden/unmapped.txt',
    );
  });

  test('G12: an access that stalls: what holds it, and what will end that', () => {
    const stalling = MACHINE.replace('secure-memory: secure-world', 'stall-model: stall').replace(
      '{ device: nic0, mappings',
      '{ device: nic0, faults: stall, mappings',
    );
    const lines = explainDevice('nic0', { iova: 0x2_0000n }, stalling.replace(/^.*hsm0.*\n/gm, ''));
    expect(lines).toMatch(/^result +stall; unprivileged read needed$/m);
    expect(lines).toMatch(
      /CD\.S == 1: held under STAG 0x0 until CMD_RESUME or CMD_STALL_TERM {2}\(IHI 0070 3\.12\.2\)/,
    );
  });

  test('a read-only page: F_PERMISSION with what is needed and what is granted', async () => {
    await expect(explainDevice('nic0', { iova: 0x1_0000n, write: true })).toMatchFileSnapshot(
      'golden/read-only.txt',
    );
  });

  test('VA out of range of T0SZ (IHI 0070 3.4.1)', () => {
    const lines = explainDevice('nic0', { iova: 0x1_0000_0000_0000n });
    expect(lines).toContain('VA[63:48] is not all zeros with CD.T0SZ == 16  (IHI 0070 3.4.1)');
  });

  test('VA[55] == 1 with EPD1 == 1 (IHI 0070 5.4)', () => {
    const lines = explainDevice('nic0', { iova: 0xffff_ffff_ffff_0000n });
    expect(lines).toContain('the address selects TTB1, and CD.EPD1 == 1 disables its walks  (IHI 0070 5.4)');
  });

  test('a Secure stream: Secure tables and a Secure PA space', async () => {
    const lines = explainDevice('hsm0', { iova: 0x20_0010n, SEC_SID: SECURE, write: true });
    await expect(lines).toMatchFileSnapshot('golden/secure.txt');
  });
});

describe('J2: replay explains a first difference', () => {
  const folder = mkdtempSync(join(tmpdir(), 'explain-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test('an access that was expected to abort, with SMMUEN == 0', async () => {
    const file = join(folder, 'bug.json');
    const dma = {
      op: 'dma',
      sid: 8,
      access: 'read',
      iova: '0x40000010',
      size: 4,
      expect: { result: 'abort' },
    };
    const memory = [{ space: 'non-secure', base: '0x40000000', size: '0x1000000' }];
    const scenario = { version: 1, name: 'bug', spec: '3.4', smmu: { stage: '1' }, memory, steps: [dma] };
    writeFileSync(file, JSON.stringify(scenario));
    for await (const result of replayFile(file, CACHES)) {
      expect(result).toMatchObject({
        status: 'failed',
        explanation: [
          'smmu           StreamID 0x8, SEC_SID non-secure',
          'access         unprivileged read at 0x40000010',
          'SMMU_CR0       SMMUEN == 0: GBPA decides  (IHI 0070 6.3.9)',
          expect.stringMatching(/^SMMU_GBPA {6}0x.* {2}\(IHI 0070 6\.3\.14\)$/),
          'attributes     Normal-iWB/RAWAnTR-oWB/RAWAnTR-NSH, unprivileged data  (IHI 0070 13.4)',
          'result         ok: pa 0x40000010, non-secure PA space',
        ],
      });
    }
    expect.assertions(1);
  });
});

describe('I4: explain a step of a scenario', () => {
  test('nested: stage 2 of the CD, of every descriptor and of the access', async () => {
    const lines = await explainVector('qemu/nested.scenarios.jsonl.gz', 'n-4k-4k-tsz25-25', 34);
    await expect(lines).toMatchFileSnapshot('golden/nested.txt');
  });

  test('cache hits of both kinds, and a stage 2 permission fault', async () => {
    const lines = await explainVector('qemu/nested.scenarios.jsonl.gz', 'n-4k-4k-tsz25-25', 44);
    await expect(lines).toMatchFileSnapshot('golden/nested-permission.txt');
  });

  test('a TLB hit, with the descriptor that the entry was filled from', async () => {
    const lines = await explainVector(
      'qemu/invalidation.scenarios.jsonl.gz',
      'inv-4k-l3-nsnh-all-stage1',
      25,
    );
    await expect(lines).toMatchFileSnapshot('golden/tlb-hit.txt');
  });

  test('an ILLEGAL STE: every rule that it breaks', async () => {
    const lines = await explainVector('qemu/stream-table.scenarios.jsonl.gz', 'st-config-6-stage1', 22);
    await expect(lines).toMatchFileSnapshot('golden/illegal-ste.txt');
  });

  test('no such scenario, no such step, a step that is no access', async () => {
    const file = 'test/vectors/qemu/nested.scenarios.jsonl.gz';
    await expect(explainStep(file, { name: 'none', stepNumber: 1 }, CACHES)).rejects.toThrow(ExplainError);
    await expect(explainStep(file, { stepNumber: 9999 }, CACHES)).rejects.toThrow('there is no step 9999');
    expect(await explainStep(file, { stepNumber: 1 }, CACHES)).toBeUndefined();
  });
});
