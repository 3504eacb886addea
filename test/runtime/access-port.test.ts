/** A device's way to memory where the kernel moves the data: whose accesses they are. */
import { expect, test } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { TranslatedPort } from '../../src/runtime/threads/access-port.js';
import { OK } from '../../src/smmu/transaction.js';
import { CDS, TbuBench } from '../smmu/tbu-bench.js';

const TABLE = 0x10_0000;

/** Each stream has a block of its own at 0. */
function makePort() {
  const bench = new TbuBench({ tlb: 16 });
  for (const StreamID of [0, 1]) {
    const table = TABLE + 0x1000 * StreamID;
    const cd = CDS + 64 * StreamID;
    bench.store64(table, 0xf41n | BigInt((StreamID + 1) << 21));
    const TTB0 = BigInt(table) >> 4n;
    bench.cd(cd, { AA64: 1, T0SZ: 34, IPS: 5, EPD1: 1, R: 1, A: 1, ASID: StreamID, TTB0 });
    bench.ste(StreamID, { Config: 5, S1ContextPtr: BigInt(cd) >> 6n });
  }
  const { tbu } = bench.smmu;
  const lane = { tbu, spaces: bench.spaces, bounce: bench.bounce, isBehind: false };
  const port = new TranslatedPort({ StreamID: 0, SEC_SID: NON_SECURE }, lane);
  const read = (sizeBytes: number) => port.read(0, 0, bench.bounce, 0, sizeBytes);
  return { bench, port, read };
}

test('a device that goes on under another StreamID reads what that one is given, and no more what its old one is', () => {
  const { bench, port, read } = makePort();
  for (const StreamID of [0, 1]) {
    bench.store64((StreamID + 1) << 21, BigInt(0xa0 + StreamID));
    expect(bench.access({ iova: 0, StreamID }).outcome).toBe('ok');
  }
  for (const StreamID of [0, 1, 0]) {
    port.StreamID = StreamID;
    expect(read(8)).toBe(OK);
    expect(bench.bounce[0]).toBe(0xa0 + StreamID);
  }
});
