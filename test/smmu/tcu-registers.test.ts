import { describe, expect, test, vi } from 'vitest';
import { REGISTERS } from '../../src/arch/registers.js';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { readRegister } from '../../src/smmu/tcu/registers.js';
import { CR0, GBPA, IDR0, IRQ_CTRL, OFFSETS, S_CR0, S_OFFSETS } from '../spec-numbers.js';
import { Bench, IDR, SECURE_IDR } from './tcu-bench.js';

const MSI_IDR = { ...IDR, IDR0: IDR.IDR0 | IDR0.MSI };

describe('register accesses', () => {
  test('B1, B4: 8-bit, 16-bit and unaligned accesses are RAZ/WI', () => {
    const bench = new Bench();
    bench.write(OFFSETS.CR1, 0xd75);
    for (const [offset, size] of [
      [0x28, 1],
      [0x28, 2],
      [0x2a, 2],
      [0x2a, 4],
      [0x84, 8],
      [0x26, 8],
    ] as const) {
      bench.write(offset, -1, size);
      expect(bench.tcu.readRegister(offset, size, NON_SECURE)).toBe(0n);
    }
    expect(bench.read(OFFSETS.CR1)).toBe(0xd75);
    expect(bench.readWide(OFFSETS.STRTAB_BASE)).toBe(0n);
  });

  test('B2: a 64-bit access to a pair of 32-bit registers is RAZ/WI', () => {
    const bench = new Bench();
    bench.write(OFFSETS.CR1, 0xd75);
    bench.write(OFFSETS.CR1, 0n, 8);
    expect(bench.readWide(OFFSETS.CR1)).toBe(0n);
    expect(bench.read(OFFSETS.CR1)).toBe(0xd75);
  });

  test('B3: the halves of a 64-bit register are written separately, and no bit above the OAS is there', () => {
    const bench = new Bench();
    bench.write(OFFSETS.STRTAB_BASE, 0xffff_ffff_ffff_ffffn, 8);
    expect(bench.readWide(OFFSETS.STRTAB_BASE)).toBe(0x4000_0fff_ffff_ffc0n);
    bench.write(OFFSETS.STRTAB_BASE, 0x1000);
    expect(bench.readWide(OFFSETS.STRTAB_BASE)).toBe(0x4000_0fff_0000_1000n);
    bench.write(OFFSETS.STRTAB_BASE + 4, 0x12);
    expect(bench.readWide(OFFSETS.STRTAB_BASE)).toBe(0x12_0000_1000n);
  });

  test('B11, B12, A29: what is not a register is RES0, on both pages, also 0x3C and the page 0 places of page 1', () => {
    const bench = new Bench(SECURE_IDR);
    const known = new Set(
      REGISTERS.flatMap((of) => (of.bits === 64 ? [of.offset, of.offset + 4] : [of.offset])),
    );
    const before = bench.tcu.registers.words.slice();
    for (let offset = 0; offset < 0x20000; offset += 4) {
      if (known.has(offset)) continue;
      bench.post(offset, -1, 4, SECURE);
      expect(bench.read(offset, SECURE)).toBe(0);
    }
    expect(bench.tcu.registers.words).toEqual(before);
    bench.write(OFFSETS.EVENTQ_CONS, 0x5);
    expect(bench.read(0xac)).toBe(0);
    expect(bench.read(OFFSETS.EVENTQ_CONS)).toBe(5);
  });

  test('A24, A25, A26: S_ registers without Secure support, from Non-secure accesses, and N registers from Secure ones', () => {
    const without = new Bench();
    const secure = new Bench(SECURE_IDR);
    for (const offset of Object.values(S_OFFSETS)) {
      without.write(offset, -1, 4, SECURE);
      expect(without.read(offset, SECURE)).toBe(0);
      secure.write(offset, -1, 4, NON_SECURE);
      expect(secure.read(offset, NON_SECURE)).toBe(0);
    }
    expect(secure.read(S_OFFSETS.S_CR1, SECURE)).toBe(0);
    expect(secure.read(S_OFFSETS.S_IDR1, SECURE)).toBe(SECURE_IDR.S_IDR1);
    secure.writeSecure(OFFSETS.CR1, 0xd75);
    expect(secure.read(OFFSETS.CR1)).toBe(0xd75);
  });

  test('6.2: ID registers are constant; any thread reads them from the same words', () => {
    const bench = new Bench();
    for (const name of ['IDR0', 'IDR1', 'IDR3', 'IDR5', 'IIDR', 'AIDR'] as const) {
      bench.write(OFFSETS[name], 0);
      expect(readRegister(bench.tcu.registers.words, OFFSETS[name], 4, NON_SECURE)).toBe(
        BigInt(IDR[name] >>> 0),
      );
    }
  });

  test('6.3.21: without MSIs the IRQ_CFG registers are RES0; without PRI the PRIQ registers are', () => {
    const bench = new Bench();
    for (const name of [
      'GERROR_IRQ_CFG0',
      'EVENTQ_IRQ_CFG1',
      'PRIQ_BASE',
      'PRIQ_PROD',
      'PRIQ_CONS',
    ] as const) {
      bench.write(OFFSETS[name], -1);
      expect(bench.read(OFFSETS[name]), name).toBe(0);
    }
    const msi = new Bench(MSI_IDR);
    msi.write(OFFSETS.GERROR_IRQ_CFG0, -1n, 8);
    expect(msi.readWide(OFFSETS.GERROR_IRQ_CFG0)).toBe(0xfff_ffff_fffcn);
  });
});

describe('guards', () => {
  test('A32: SMMUEN guards STRTAB_BASE, STRTAB_BASE_CFG, CR2 and CR1.TABLE_*, until its clearing is acknowledged', () => {
    const bench = new Bench();
    bench.settled = false;
    bench.post(OFFSETS.CR0, CR0.SMMUEN);
    const attempt = () => {
      bench.write(OFFSETS.STRTAB_BASE, 0x1000n, 8);
      bench.write(OFFSETS.STRTAB_BASE + 4, 1);
      bench.write(OFFSETS.STRTAB_BASE_CFG, 5);
      bench.write(OFFSETS.CR2, 2);
      bench.write(OFFSETS.CR1, 0xd75);
      return [
        bench.readWide(OFFSETS.STRTAB_BASE),
        bench.read(OFFSETS.STRTAB_BASE_CFG),
        bench.read(OFFSETS.CR2),
      ];
    };
    expect(attempt()).toEqual([0n, 0, 0]);
    expect(bench.read(OFFSETS.CR0ACK)).toBe(0);
    bench.settled = true;
    bench.idle();
    expect(bench.read(OFFSETS.CR0ACK)).toBe(CR0.SMMUEN);
    expect(attempt()).toEqual([0n, 0, 0]);
    expect(bench.read(OFFSETS.CR1), "QUEUE_* are not SMMUEN's").toBe(0x35);
    bench.settled = false;
    bench.write(OFFSETS.CR0, 0);
    expect(attempt()).toEqual([0n, 0, 0]);
    bench.settled = true;
    bench.idle();
    expect(attempt()).toEqual([0x1_0000_1000n, 5, 2]);
    expect(bench.read(OFFSETS.CR1)).toBe(0xd75);
  });

  test('A32, B13: CMDQEN guards CMDQ_BASE and CONS, EVENTQEN EVENTQ_BASE and PROD; EVENTQ_CONS is always writable', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.write(OFFSETS.CMDQ_BASE, 0n, 8);
    bench.write(OFFSETS.CMDQ_CONS, 3);
    bench.write(OFFSETS.EVENTQ_BASE, 0n, 8);
    bench.write(OFFSETS.EVENTQ_PROD, 3);
    bench.write(OFFSETS.EVENTQ_CONS, 3);
    expect(bench.readWide(OFFSETS.CMDQ_BASE)).toBe(0x10_0004n);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(0);
    expect(bench.readWide(OFFSETS.EVENTQ_BASE)).toBe(0x20_0004n);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(0);
    expect(bench.read(OFFSETS.EVENTQ_CONS)).toBe(3);
  });

  test('A32: each IRQEN guards its own MSI registers', () => {
    const bench = new Bench(MSI_IDR);
    bench.write(OFFSETS.IRQ_CTRL, IRQ_CTRL.GERROR_IRQEN);
    bench.write(OFFSETS.GERROR_IRQ_CFG1, 1);
    bench.write(OFFSETS.EVENTQ_IRQ_CFG1, 1);
    expect(bench.read(OFFSETS.GERROR_IRQ_CFG1)).toBe(0);
    expect(bench.read(OFFSETS.EVENTQ_IRQ_CFG1)).toBe(1);
  });
});

describe('Updates', () => {
  test('B9, A31: only what is implemented is stored and acknowledged', () => {
    const bench = new Bench(SECURE_IDR);
    bench.write(OFFSETS.CR0, -1);
    expect(bench.read(OFFSETS.CR0)).toBe(CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN);
    expect(bench.read(OFFSETS.CR0ACK)).toBe(CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN);
    bench.writeSecure(S_OFFSETS.S_CR0, -1);
    // NSSTALLD is RES0 where the Secure STALL_MODEL is not 0b00.
    expect(bench.read(S_OFFSETS.S_CR0ACK, SECURE)).toBe(CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN | S_CR0.SIF);
    const all = new Bench({ ...SECURE_IDR, IDR0: IDR.IDR0 | IDR0.ATS | IDR0.PRI | IDR0.VMW, S_IDR0: 0 });
    all.write(OFFSETS.CR0, -1);
    expect(all.read(OFFSETS.CR0ACK)).toBe(0x1df);
    all.writeSecure(S_OFFSETS.S_CR0, -1);
    expect(all.read(S_OFFSETS.S_CR0ACK, SECURE)).toBe(0x3ed);
  });

  test('6.3.9: a field under Update keeps its first new value; others are independent', () => {
    const bench = new Bench();
    bench.settled = false;
    bench.write(OFFSETS.CR0, CR0.SMMUEN);
    bench.write(OFFSETS.CR0, CR0.EVENTQEN);
    expect(bench.read(OFFSETS.CR0)).toBe(CR0.SMMUEN | CR0.EVENTQEN);
    bench.settled = true;
    bench.idle();
    expect(bench.read(OFFSETS.CR0ACK)).toBe(CR0.SMMUEN | CR0.EVENTQEN);
  });

  test('B8: SMMUEN carries the whole bank to the TBUs before it is acknowledged', () => {
    const bench = new Bench();
    bench.write(OFFSETS.STRTAB_BASE, 0x12_4567_8000n, 8);
    bench.write(OFFSETS.STRTAB_BASE_CFG, 0x10190);
    bench.write(OFFSETS.CR2, 2);
    bench.settled = false;
    bench.write(OFFSETS.CR0, CR0.SMMUEN);
    expect(bench.messages).toEqual([
      [2, 1, 0x1000, 0, 2, 0x4567_8000, 0x12, 0x10190, 0, 0, 0, 0, 0, 0, 0, NON_SECURE],
    ]);
    expect(bench.read(OFFSETS.CR0ACK)).toBe(0);
  });

  test('B7, 6.3.28, 6.3.95: at no moment is there an index that is too large for its queue', () => {
    const bench = new Bench();
    const { words } = bench.tcu.registers;
    const queues = [
      [OFFSETS.CMDQ_BASE, OFFSETS.CMDQ_CONS],
      [OFFSETS.EVENTQ_BASE, OFFSETS.EVENTQ_PROD],
    ] as const;
    const largest: number[] = [];
    const store = Atomics.store;
    const spy = vi.spyOn(Atomics, 'store').mockImplementation(((...args: Parameters<typeof store>) => {
      const stored = store(...args);
      for (const [base, index] of queues) {
        const entries = 2 ** (words[base / 4]! & 31);
        largest.push((words[index / 4]! & 0xfffff) / (2 * entries));
      }
      return stored;
    }) as typeof store);
    try {
      for (const [base, index] of queues) {
        for (const [log2Size, sizeBytes] of [
          [7, 8],
          [3, 4],
          [6, 8],
          [2, 8],
        ] as const) {
          bench.write(base, BigInt(log2Size), sizeBytes);
          bench.write(index, 0xfffff);
          expect(bench.read(index)).toBe(2 ** (log2Size + 1) - 1);
        }
        bench.write(base, 0n, 4);
        expect(bench.read(index)).toBe(1);
      }
    } finally {
      spy.mockRestore();
    }
    expect(largest.length).toBeGreaterThan(16);
    expect(Math.max(...largest)).toBeLessThan(1);
  });

  test('6.3.14.1: GBPA changes with Update only, which reads 1 until every TBU has followed', () => {
    const bench = new Bench();
    bench.write(OFFSETS.GBPA, GBPA.ABORT);
    expect(bench.read(OFFSETS.GBPA)).toBe(0x1000);
    bench.settled = false;
    bench.write(OFFSETS.GBPA, GBPA.Update | GBPA.ABORT);
    expect(bench.read(OFFSETS.GBPA)).toBe(GBPA.Update + GBPA.ABORT);
    expect(bench.messages.map((message) => message[2])).toEqual([GBPA.ABORT]);
    bench.write(OFFSETS.GBPA, GBPA.Update | 0x1000);
    bench.settled = true;
    bench.idle();
    expect(bench.read(OFFSETS.GBPA)).toBe(GBPA.ABORT);
  });

  test('A28: S_INIT.INV_ALL invalidates once, and not while any SMMUEN is set', () => {
    const bench = new Bench(SECURE_IDR);
    bench.settled = false;
    bench.writeSecure(S_OFFSETS.S_INIT, 1);
    expect(bench.messages.map((message) => message[0])).toEqual([3]);
    expect(bench.read(S_OFFSETS.S_INIT, SECURE)).toBe(1);
    bench.settled = true;
    bench.idle();
    expect(bench.read(S_OFFSETS.S_INIT, SECURE)).toBe(0);
    bench.write(OFFSETS.CR0, CR0.SMMUEN);
    bench.messages.length = 0;
    bench.writeSecure(S_OFFSETS.S_INIT, 1);
    expect(bench.messages).toEqual([]);
    expect(bench.read(S_OFFSETS.S_INIT, SECURE)).toBe(0);
  });

  test('A3, 6.3.57: NSSTALLD makes IDR0.STALL_MODEL read 0b01', () => {
    const idr0 = IDR.IDR0 & ~IDR0.STALL_MODEL_TERMINATE;
    const bench = new Bench({ ...SECURE_IDR, IDR0: idr0, S_IDR0: 0 });
    expect(bench.read(OFFSETS.IDR0)).toBe(idr0);
    bench.writeSecure(S_OFFSETS.S_CR0, S_CR0.NSSTALLD);
    expect(bench.read(OFFSETS.IDR0)).toBe(idr0 | IDR0.STALL_MODEL_TERMINATE);
    expect(bench.messages.at(-1)).toEqual(expect.arrayContaining([2, NON_SECURE]));
    expect(bench.messages.at(-1)![8]).toBe(4);
    bench.tcu.reset();
    expect(bench.read(OFFSETS.IDR0)).toBe(idr0);
  });

  test('A3, 6.3.57.1: NSSTALLD is acknowledged when the TBUs go by it, and IDR0 says it', () => {
    const idr0 = IDR.IDR0 & ~IDR0.STALL_MODEL_TERMINATE;
    const bench = new Bench({ ...SECURE_IDR, IDR0: idr0, S_IDR0: 0 });
    for (const [nsstalld, flags, stallModel] of [
      [S_CR0.NSSTALLD, 4, IDR0.STALL_MODEL_TERMINATE],
      [0, 0, 0],
    ] as const) {
      bench.settled = false;
      bench.messages.length = 0;
      bench.writeSecure(S_OFFSETS.S_CR0, nsstalld);
      const nonSecure = bench.messages.filter((message) => message[0] === 2 && message[15] === NON_SECURE);
      expect(nonSecure.map((message) => message[8])).toEqual([flags]);
      expect(bench.read(S_OFFSETS.S_CR0ACK, SECURE)).toBe(nsstalld ^ S_CR0.NSSTALLD);
      bench.settled = true;
      bench.idle();
      expect(bench.read(S_OFFSETS.S_CR0ACK, SECURE)).toBe(nsstalld);
      expect(bench.read(OFFSETS.IDR0)).toBe(idr0 | stallModel);
    }
  });

  test("B17, 6.3.26: LOG2SIZE reads as written; the SMMU's indexes are as wide as the capped size", () => {
    const bench = new Bench();
    bench.write(OFFSETS.CMDQ_BASE, 0x1f);
    bench.write(OFFSETS.CMDQ_CONS, 0xf_ffff);
    expect(bench.read(OFFSETS.CMDQ_BASE)).toBe(0x1f);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(0x1ff);
    bench.write(OFFSETS.CMDQ_BASE, 0x2);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(0x7);
    bench.write(OFFSETS.EVENTQ_BASE, 0x3);
    bench.write(OFFSETS.EVENTQ_PROD, -1);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(0x8000_000f);
  });

  test('G1: reset gives back the reset values, also under an Update', () => {
    const bench = new Bench(SECURE_IDR);
    const fresh = bench.tcu.registers.words.slice();
    bench.enableQueues(4, CR0.SMMUEN);
    bench.settled = false;
    bench.write(OFFSETS.CR0, 0);
    bench.tcu.reset();
    bench.settled = true;
    bench.idle();
    expect(bench.tcu.registers.words).toEqual(fresh);
  });
});
