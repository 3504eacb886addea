import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { COMMANDS_PER_STEP } from '../../src/smmu/tcu/command-queue.js';
import { CERROR, CR0, GERROR, IDR0, IRQ_CTRL, OFFSETS, OPCODES, S_OFFSETS } from '../spec-numbers.js';
import { Bench, IDR, SECURE_IDR } from './tcu-bench.js';

const SYNC = [OPCODES.CMD_SYNC] as const;
const SYNC_IRQ = [OPCODES.CMD_SYNC | (1 << 12)] as const;
const CFGI_ALL = [OPCODES.CMD_CFGI_STE_RANGE, 0, 31] as const;
const RESERVED = [0] as const;

describe('consumption', () => {
  test('4.1.4, 3.5.1: commands are consumed in order and wrap with the queue', () => {
    const bench = new Bench();
    bench.enableQueues(1);
    bench.putCommands([CFGI_ALL, SYNC]);
    for (const prod of [2, 0, 1, 3, 0]) {
      bench.write(OFFSETS.CMDQ_PROD, prod);
      expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(prod);
    }
    expect(bench.tcu.counters.commands).toBe(2 + 2 + 1 + 2 + 1);
  });

  test('4.3, 4.4: an invalidation goes to the TBUs with the queue that it came from', () => {
    const bench = new Bench(SECURE_IDR);
    bench.enableSecureQueues();
    bench.putCommands([[OPCODES.CMD_CFGI_STE | (1 << 10), 7, 1]], 0, SECURE);
    bench.writeSecure(S_OFFSETS.S_CMDQ_PROD, 1);
    expect(bench.messages).toEqual([[1, 0x403, 7, 1, 0, SECURE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]);
  });

  test('H7: invalidations are counted, and nothing else as one', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.putCommands([CFGI_ALL, [OPCODES.CMD_TLBI_NSNH_ALL], [OPCODES.CMD_PREFETCH_CONFIG, 5], SYNC]);
    bench.write(OFFSETS.CMDQ_PROD, 4);
    expect(bench.tcu.counters).toMatchObject({ commands: 4, invalidations: 2 });
  });

  test('4.2: prefetches are consumed without effect', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.putCommands([
      [OPCODES.CMD_PREFETCH_CONFIG, 5],
      [OPCODES.CMD_PREFETCH_ADDR, 5],
    ]);
    bench.write(OFFSETS.CMDQ_PROD, 2);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(2);
    expect(bench.messages).toEqual([]);
  });

  test('B18: a step consumes a bounded number of commands', () => {
    const bench = new Bench();
    bench.enableQueues(8);
    bench.putCommands(Array.from({ length: 256 }, () => CFGI_ALL));
    bench.post(OFFSETS.CMDQ_PROD, 256);
    bench.tcu.step();
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(COMMANDS_PER_STEP);
    bench.idle();
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(256);
  });

  test('B7, 3.5.1: inconsistent indexes consume nothing, consistent ones then do', () => {
    const bench = new Bench();
    bench.enableQueues(2);
    bench.putCommands([SYNC, SYNC, SYNC, SYNC]);
    bench.write(OFFSETS.CMDQ_PROD, 5);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(0);
    bench.write(OFFSETS.CMDQ_PROD, 4);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(4);
  });

  test('B20: CMDQEN 0 to 1 starts consumption; nothing is consumed before, or after it is cleared', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.write(OFFSETS.CR0, 0);
    bench.putCommands([SYNC, SYNC]);
    bench.write(OFFSETS.CMDQ_PROD, 1);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(0);
    bench.write(OFFSETS.CR0, CR0.CMDQEN);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(1);
  });
});

describe('command errors', () => {
  test('B19, 7.1: consumption stops at the culprit, with code and GERROR, and goes on when it is acknowledged', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.write(OFFSETS.IRQ_CTRL, IRQ_CTRL.GERROR_IRQEN);
    bench.putCommands([SYNC, RESERVED, SYNC]);
    bench.write(OFFSETS.CMDQ_PROD, 3);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(CERROR.ILL | 1);
    expect(bench.read(OFFSETS.GERROR)).toBe(GERROR.CMDQ_ERR);
    expect(bench.interrupts).toEqual(['0:gerror']);
    bench.write(OFFSETS.CMDQ_PROD, 3);
    bench.write(OFFSETS.CR0, 0);
    bench.write(OFFSETS.CR0, CR0.CMDQEN);
    expect(bench.read(OFFSETS.CMDQ_CONS), 'CMDQEN does not acknowledge').toBe(CERROR.ILL | 1);
    bench.putCommands([SYNC], 1);
    bench.write(OFFSETS.GERRORN, GERROR.CMDQ_ERR);
    expect(bench.read(OFFSETS.CMDQ_CONS) & 0xfffff).toBe(3);
  });

  test('G18, 7.1: an external abort on the fetch is CERROR_ABT', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.spaces[NON_SECURE].limit = 0;
    bench.write(OFFSETS.CMDQ_PROD, 1);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(CERROR.ABT);
    expect(bench.read(OFFSETS.GERROR)).toBe(GERROR.CMDQ_ERR);
  });

  test('A34, A38: the Secure queue is in Secure memory and its error in S_GERROR alone', () => {
    const bench = new Bench(SECURE_IDR);
    bench.enableSecureQueues();
    bench.putCommands([SYNC], 0, NON_SECURE);
    bench.writeSecure(S_OFFSETS.S_CMDQ_PROD, 1);
    expect(bench.read(S_OFFSETS.S_CMDQ_CONS, SECURE)).toBe(CERROR.ILL);
    expect(bench.read(S_OFFSETS.S_GERROR, SECURE)).toBe(GERROR.CMDQ_ERR);
    expect(bench.read(OFFSETS.GERROR)).toBe(0);
  });
});

describe('CMD_SYNC', () => {
  test('4.7.3: waits for the TBUs, is consumed before its interrupt, and holds back what follows', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.settled = false;
    bench.putCommands([CFGI_ALL, SYNC_IRQ, CFGI_ALL]);
    bench.write(OFFSETS.CMDQ_PROD, 3);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(1);
    expect(bench.messages).toHaveLength(1);
    expect(bench.interrupts).toEqual([]);
    bench.settled = true;
    bench.idle();
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(3);
    expect(bench.messages).toHaveLength(2);
    expect(bench.interrupts).toEqual(['0:cmd-sync']);
  });

  test('6.3.9.3: CMDQEN goes to 0 when the CMD_SYNC that was begun is consumed', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.settled = false;
    bench.putCommands([SYNC, SYNC]);
    bench.write(OFFSETS.CMDQ_PROD, 2);
    bench.write(OFFSETS.CR0, CR0.EVENTQEN);
    expect(bench.read(OFFSETS.CR0ACK)).toBe(CR0.CMDQEN | CR0.EVENTQEN);
    bench.settled = true;
    bench.idle();
    expect(bench.read(OFFSETS.CR0ACK)).toBe(CR0.EVENTQEN);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(1);
  });

  test('G14, 4.7.3: an MSI where MSIs are, unless its address is zero; truncated to the OAS', () => {
    const bench = new Bench({ ...IDR, IDR0: IDR.IDR0 | IDR0.MSI });
    const memory = bench.spaces[NON_SECURE].words;
    bench.enableQueues();
    bench.putCommands([
      [SYNC_IRQ[0], 0x1234, 0x9000, 0],
      [SYNC_IRQ[0], 0x5678, 0, 0],
      [SYNC_IRQ[0], 0x9abc, 0xa004, 0xff_f000],
      [OPCODES.CMD_SYNC, 0xdead, 0xb000, 0],
    ]);
    bench.write(OFFSETS.CMDQ_PROD, 4);
    expect([0x9000, 0, 0xa004, 0xb000].map((pa) => memory.get(pa))).toEqual([
      0x1234,
      undefined,
      0x9abc,
      undefined,
    ]);
    expect(bench.interrupts).toEqual(['0:cmd-sync', '0:cmd-sync', '0:cmd-sync']);
  });

  test('G13, 7.5: an aborted MSI activates MSI_CMDQ_ABT_ERR and stops nothing', () => {
    const bench = new Bench({ ...IDR, IDR0: IDR.IDR0 | IDR0.MSI });
    bench.enableQueues();
    bench.putCommands([[SYNC_IRQ[0], 0, 0x800_0000], SYNC]);
    bench.spaces[NON_SECURE].limit = 0x400_0000;
    bench.write(OFFSETS.CMDQ_PROD, 2);
    expect(bench.read(OFFSETS.GERROR)).toBe(GERROR.MSI_CMDQ_ABT_ERR);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(2);
  });
});

describe('commands of other features', () => {
  test('4.5.1: CMD_ATC_INV is IGNORED while SMMUEN is 0', () => {
    const bench = new Bench({ ...IDR, IDR0: IDR.IDR0 | IDR0.ATS });
    bench.enableQueues();
    bench.putCommands([[OPCODES.CMD_ATC_INV], [OPCODES.CMD_ATC_INV]]);
    bench.write(OFFSETS.CMDQ_PROD, 1);
    expect(bench.messages).toEqual([]);
    bench.write(OFFSETS.CR0, CR0.CMDQEN | CR0.SMMUEN);
    bench.write(OFFSETS.CMDQ_PROD, 2);
    expect(bench.messages.map((message) => message[1])).toEqual([expect.any(Number), OPCODES.CMD_ATC_INV]);
    expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(2);
  });
});
