/** I4, G16: what hardware changes in the tables is part of an access's story. */
import { expect, test } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { renderTranslation } from '../../src/explain/render.js';
import { traceRequest } from '../../src/explain/trace.js';
import { CDS, FULL_IDR, TbuBench } from '../smmu/tbu-bench.js';

const L1 = 0x10_0000;

test('a write to a page that was neither accessed nor dirty', () => {
  const idr = { ...FULL_IDR, IDR0: FULL_IDR.IDR0 | (2 << 6) };
  const bench = new TbuBench({ idr });
  bench.ste(1, { Config: 5, S1ContextPtr: CDS >> 6 });
  bench.cd(CDS, { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, HA: 1, HD: 1 });
  // A block at 1 GiB: DBM, AP[2:1] == 0b11.
  bench.store64(L1, 0x4000_0000n | (1n << 51n) | (3n << 6n) | 1n);
  const config = { id: 'smmu0', idr, tlb: 0, configCache: 0 };
  const lines = renderTranslation(
    traceRequest(bench.smmu.tbu, config, {
      ...{ StreamID: 1, SubstreamID: -1, SEC_SID: NON_SECURE, iova: 0x1234n },
      ...{ write: true, privileged: false, instruction: false, ns: false },
    }),
  ).join('\n');
  expect(lines).toMatch(
    /^ {2}update +pa 0x100000: AF = 1, AP\[2\] = 0, writable-dirty now {2}\(IHI 0070 3\.13\)$/m,
  );
  expect(lines).toContain('read-only at any privilege, DBM, AF=0 (not accessed yet)');
  expect(lines).toMatch(/^result +ok: pa 0x40001234/m);
});
