/** The story of a Secure stream with two IPA spaces (IHI 0070 3.10.2.2). */
import { expect, test } from 'vitest';
import { SECURE } from '../../src/arch/security.js';
import { renderTranslation } from '../../src/explain/render.js';
import { type Request, traceRequest } from '../../src/explain/trace.js';
import { CDS, FULL_IDR, TbuBench } from '../smmu/tbu-bench.js';

const L1 = 0x11_0000;
const NS_S2 = 0x12_0000;
const S_S2 = 0x13_0000;

/** Stage 1 has its table in the Secure IPA space and leads to the Non-secure one. */
function bench(): TbuBench {
  const of = new TbuBench({ idr: { S_IDR1: (FULL_IDR.S_IDR1 | 0x2000_0000) >>> 0 } });
  of.ste(
    1,
    {
      ...{ Config: 7, S1ContextPtr: CDS >> 6, S2AA64: 1, S2PS: 5, S2R: 1, S2NSA: 1, S2VMID: 9 },
      ...{ S2T0SZ: 25, S2SL0: 1, S2TTB: NS_S2 >> 4, S_S2T0SZ: 28, S_S2SL0: 1, S_S2TTB: S_S2 >> 4 },
    },
    SECURE,
  );
  of.cd(CDS, { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, ASID: 1 }, SECURE);
  of.store64(L1, 0x4000_0000n | 0xc61n, SECURE);
  of.store64(S_S2, 0x4fdn, SECURE);
  return of;
}

function explain(of: TbuBench): string[] {
  const config = { id: 'smmu0', idr: { ...FULL_IDR }, tlb: 0, configCache: 0 };
  const idr = { ...config.idr, S_IDR1: (FULL_IDR.S_IDR1 | 0x2000_0000) >>> 0 };
  const request: Request = {
    ...{ StreamID: 1, SubstreamID: -1, SEC_SID: SECURE, iova: 0x5000n, ns: false },
    ...{ write: false, privileged: true, instruction: false },
  };
  return renderTranslation(traceRequest(of.smmu.tbu, { ...config, idr }, request));
}

test('I4: each stage 2 walk names its IPA space, is shown by the table of that space, and the output has its PA space', () => {
  const of = bench();
  of.store64(NS_S2 + 8, 0x8000_0000n | 0x4fdn, SECURE);
  const lines = explain(of);
  const stage2 = lines.filter((line) => line.includes(' ipa 0x') && line.includes(' of '));
  expect(stage2.map((line) => line.trim().replace(/ {2,}/g, ' '))).toEqual([
    expect.stringMatching(/^stage 2 secure ipa 0x50000 of .*36-bit input.*table at 0x130000/),
    expect.stringMatching(/^stage 2 secure ipa 0x110000 of /),
    expect.stringMatching(/^stage 2 non-secure ipa 0x40005000 of .*39-bit input.*table at 0x120000/),
  ]);
  expect(lines.join('\n')).toMatch(/pa 0x120008 secure: /);
  expect(lines.at(-1)).toMatch(/ok: pa 0x80005000, non-secure PA space/);
});

test('I4: a fault of the Non-secure IPA space is told by its descriptor, with a Secure event', () => {
  const text = explain(bench()).join('\n');
  expect(text).toMatch(/event +Secure F_TRANSLATION .*NSIPA=0x1 S2=0x1/);
  expect(text).toMatch(/cause +stage 2 level 1 descriptor at 0x120008 is invalid/);
});
