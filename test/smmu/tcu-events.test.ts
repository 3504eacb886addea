import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { GERROR, IDR0, IRQ_CTRL, OFFSETS, OVFLG, S_OFFSETS } from '../spec-numbers.js';
import { Bench, EVENTQ_BASE, IDR, SECURE_IDR } from './tcu-bench.js';

const record = (mark: number) => Int32Array.from([mark, mark, mark, mark, mark, mark, mark, mark]);
function marks(bench: Bench, count: number): (number | undefined)[] {
  return Array.from({ length: count }, (_, i) => bench.spaces[NON_SECURE].words.get(EVENTQ_BASE + 32 * i));
}

describe('the Event queue', () => {
  test('G11, 3.5.2: records are appended whole and PROD moves past them', () => {
    const bench = new Bench();
    bench.enableQueues(1);
    const words = Int32Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
    bench.tcu.record(words, NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(1);
    expect(words.map((_, i) => bench.spaces[NON_SECURE].words.get(EVENTQ_BASE + 4 * i)!)).toEqual(words);
    bench.tcu.record(record(9), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(2);
    expect(bench.tcu.counters.events).toBe(2);
  });

  test('7.2.1, 7.4: a disabled queue drops without overflow', () => {
    const bench = new Bench();
    bench.enableQueues(0);
    bench.write(OFFSETS.CR0, 0);
    bench.tcu.record(record(1), NON_SECURE, false);
    bench.tcu.record(record(2), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(0);
  });

  test('7.4: a full queue drops, toggles OVFLG once, and again after it was acknowledged', () => {
    const bench = new Bench();
    bench.enableQueues(1);
    for (let mark = 1; mark <= 4; mark++) bench.tcu.record(record(mark), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(OVFLG + 2);
    expect(marks(bench, 2)).toEqual([1, 2]);
    bench.write(OFFSETS.EVENTQ_CONS, 1);
    bench.tcu.record(record(5), NON_SECURE, false);
    bench.tcu.record(record(6), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD), 'not acknowledged: no second toggle').toBe(OVFLG + 3);
    bench.write(OFFSETS.EVENTQ_CONS, OVFLG + 1);
    bench.tcu.record(record(7), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(3);
  });

  test('3.5.1: inconsistent indexes count as full', () => {
    const bench = new Bench();
    bench.enableQueues(1);
    bench.write(OFFSETS.EVENTQ_CONS, 1);
    bench.tcu.record(record(1), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(OVFLG);
  });

  test('7.2.2: an abort stops delivery until it is acknowledged; PROD stays, no event interrupt, no overflow', () => {
    const bench = new Bench();
    bench.enableQueues(4);
    bench.write(OFFSETS.IRQ_CTRL, IRQ_CTRL.EVENTQ_IRQEN | IRQ_CTRL.GERROR_IRQEN);
    bench.spaces[NON_SECURE].limit = EVENTQ_BASE;
    bench.tcu.record(record(1), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(0);
    expect(bench.read(OFFSETS.GERROR)).toBe(GERROR.EVENTQ_ABT_ERR);
    expect(bench.interrupts).toEqual(['0:gerror']);
    bench.spaces[NON_SECURE].limit = Number.POSITIVE_INFINITY;
    bench.tcu.record(record(2), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(0);
    bench.write(OFFSETS.GERRORN, GERROR.EVENTQ_ABT_ERR);
    bench.tcu.record(record(3), NON_SECURE, false);
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(1);
  });

  test('A38: Secure events go to the Secure queue, in Secure memory, with the Secure interrupt', () => {
    const bench = new Bench(SECURE_IDR);
    bench.enableQueues();
    bench.enableSecureQueues(0);
    bench.writeSecure(S_OFFSETS.S_IRQ_CTRL, IRQ_CTRL.EVENTQ_IRQEN);
    bench.tcu.record(record(1), SECURE, false);
    bench.tcu.record(record(2), SECURE, false);
    expect(bench.read(S_OFFSETS.S_EVENTQ_PROD, SECURE)).toBe(OVFLG + 1);
    expect(bench.spaces[SECURE].words.get(EVENTQ_BASE)).toBe(1);
    expect(bench.spaces[NON_SECURE].words.get(EVENTQ_BASE)).toBeUndefined();
    expect(bench.read(OFFSETS.EVENTQ_PROD)).toBe(0);
    expect(bench.interrupts).toEqual(['1:eventq']);
  });
});

describe('interrupts and global errors', () => {
  test('3.18.2: an edge when the queue becomes non-empty, and only while it is enabled', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.tcu.record(record(1), NON_SECURE, false);
    bench.write(OFFSETS.IRQ_CTRL, IRQ_CTRL.EVENTQ_IRQEN);
    bench.tcu.record(record(2), NON_SECURE, false);
    expect(bench.interrupts).toEqual([]);
    bench.write(OFFSETS.EVENTQ_CONS, 2);
    bench.tcu.record(record(3), NON_SECURE, false);
    bench.tcu.record(record(4), NON_SECURE, false);
    expect(bench.interrupts).toEqual(['0:eventq']);
  });

  test('G14, 7.5.1: Event queue and GERROR MSIs; an aborted one is an error of its own, without a second GERROR MSI', () => {
    const bench = new Bench({ ...IDR, IDR0: IDR.IDR0 | IDR0.MSI });
    const memory = bench.spaces[NON_SECURE];
    bench.enableQueues();
    bench.write(OFFSETS.EVENTQ_IRQ_CFG0, 0x9000n, 8);
    bench.write(OFFSETS.EVENTQ_IRQ_CFG1, 0x11);
    bench.write(OFFSETS.GERROR_IRQ_CFG0, 0x9004n, 8);
    bench.write(OFFSETS.GERROR_IRQ_CFG1, 0x22);
    bench.write(OFFSETS.IRQ_CTRL, IRQ_CTRL.EVENTQ_IRQEN | IRQ_CTRL.GERROR_IRQEN);
    bench.tcu.record(record(1), NON_SECURE, false);
    expect(memory.words.get(0x9000)).toBe(0x11);
    bench.putCommands([[0]]);
    bench.write(OFFSETS.CMDQ_PROD, 1);
    expect(memory.words.get(0x9004)).toBe(0x22);
    memory.limit = 0x9000;
    bench.write(OFFSETS.EVENTQ_CONS, 1);
    bench.write(OFFSETS.GERRORN, GERROR.CMDQ_ERR);
    expect(bench.read(OFFSETS.GERROR), 'the fetch aborts now, and so does its GERROR MSI').toBe(
      GERROR.MSI_GERROR_ABT_ERR,
    );
  });

  test('7.5, 6.3.20: an error toggles once while active; GERRORN reads back what was written', () => {
    const bench = new Bench();
    bench.enableQueues();
    bench.putCommands([[0], [0]]);
    bench.write(OFFSETS.CMDQ_PROD, 2);
    expect(bench.read(OFFSETS.GERROR)).toBe(GERROR.CMDQ_ERR);
    bench.write(OFFSETS.GERRORN, GERROR.CMDQ_ERR);
    expect(bench.read(OFFSETS.GERRORN)).toBe(GERROR.CMDQ_ERR);
    expect(bench.read(OFFSETS.GERROR), 'the same command fails again').toBe(0);
  });
});
