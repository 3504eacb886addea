/** A scenario with stalls on a real SMMU: what a driver does with the records (IHI 0070 3.12.2, 4.7.1, 4.7.2). */
import { describe, expect, it } from 'vitest';
import { planScenario } from '../../src/scenario/configure.js';
import { InProcessDriver } from '../../src/scenario/in-process-driver.js';
import { MemoryPool } from '../../src/scenario/memory.js';
import { parseHeader } from '../../src/scenario/parse-header.js';
import { parseStep } from '../../src/scenario/parse-step.js';
import { Replay } from '../../src/scenario/replay.js';
import { CR0, OFFSETS, OPCODES } from '../spec-numbers.js';
import { CD_BITS, STE_BITS, wordsOf } from '../spec-structures.js';

const RAM = 0x4000_0000;
const STRTAB = RAM;
const CD = RAM + 0x1000;
const L1 = RAM + 0x2000;
const CMDQ = RAM + 0x4000;
const EVENTQ = RAM + 0x5000;
const DATA = 0x4010_0000;
const BLOCK = 0x4000_0000 | 0x401 | (1 << 6);

const hexOf = (words: readonly number[]) =>
  Buffer.from(Uint32Array.from(words.map((word) => word >>> 0)).buffer).toString('hex');
const memory = (pa: number, words: readonly number[]) => ({
  op: 'mem.write',
  pa: `0x${pa.toString(16)}`,
  hex: hexOf(words),
});
const register = (name: keyof typeof OFFSETS, value: number, size = 4) => ({
  op: 'mmio.write',
  offset: `0x${OFFSETS[name].toString(16)}`,
  size,
  value: `0x${value.toString(16)}`,
});
const ste = (fields: object) => memory(STRTAB, wordsOf(STE_BITS, 512, { V: 1, ...fields }));
const read = (iova: string, expectation: object) => ({
  op: 'dma',
  sid: 0,
  access: 'read',
  iova,
  size: 4,
  expect: expectation,
});
const stall = (id: string, iova: string) => read(iova, { result: 'stall', id });
const outcome = (id: string, expectation: object) => ({ op: 'dma.outcome', id, expect: expectation });
/** The command at an index, with the STAG of the record at another. */
const resume = (index: number, recorded: number, flags: number) => [
  memory(CMDQ + 16 * index, [OPCODES.CMD_RESUME | flags, 0, 0, 0]),
  {
    op: 'mem.copy',
    from: `0x${(EVENTQ + 32 * recorded + 8).toString(16)}`,
    to: `0x${(CMDQ + 16 * index + 8).toString(16)}`,
    size: 2,
  },
  register('CMDQ_PROD', index + 1),
];
const HEADER = parseHeader({
  version: 1,
  name: 'stalls',
  smmu: { stage: '1' },
  idr: { IDR0: '0x80c000a' },
  assumes: { IDR0: { mask: '0x7000002', value: '0x2' } },
  memory: [{ space: 'non-secure', base: '0x40000000', size: '0x200000' }],
}).header;
const START = [
  ste({ Config: 5, S1ContextPtr: CD >> 6 }),
  memory(
    CD,
    wordsOf(CD_BITS, 512, {
      V: 1,
      AA64: 1,
      T0SZ: 25,
      EPD1: 1,
      IPS: 4,
      TTB0: L1 >> 4,
      A: 1,
      R: 1,
      S: 1,
      ASID: 1,
    }),
  ),
  memory(DATA, [0x11223344]),
  register('STRTAB_BASE', STRTAB, 8),
  register('STRTAB_BASE_CFG', 4),
  register('CMDQ_BASE', CMDQ | 4, 8),
  register('EVENTQ_BASE', EVENTQ | 1, 8),
  register('CR0', CR0.SMMUEN | CR0.CMDQEN | CR0.EVENTQEN),
];

async function play(
  steps: readonly object[],
  caches: { tlb: number; configCache: number },
): Promise<unknown> {
  const plan = planScenario(HEADER, caches);
  if (plan.kind === 'skip') throw new Error(plan.reason);
  const replay = new Replay(
    new InProcessDriver(plan.smmus, new MemoryPool().take(HEADER.memory)),
    plan.smmus,
  );
  for (const [index, step] of [...START, ...steps].entries()) {
    const difference = await replay.take({
      number: index + 1,
      line: index + 1,
      step: parseStep(step, HEADER),
    });
    if (difference !== undefined) return difference;
  }
  return undefined;
}

describe.each([
  ['off', { tlb: 0, configCache: 0 }],
  ['on', { tlb: 64, configCache: 16 }],
])('J2, G12 replay of stalls, caches %s', (_, caches) => {
  it('retry, retry that faults again, RAZ/WI and abort, each by the STAG of its record', async () => {
    const steps = [
      stall('a', '0x100000'),
      stall('b', '0x40000000'),
      ...resume(0, 0, 1 << 12),
      outcome('b', { result: 'abort' }),
    ];
    expect(await play(steps, caches), 'b is held').toMatchObject({ got: [expect.stringContaining('stall')] });
    const done = [
      stall('a', '0x100000'),
      stall('b', '0x40000000'),
      memory(L1, [BLOCK, 0]),
      ...resume(0, 0, 1 << 12),
      outcome('a', { result: 'ok', hex: '44332211' }),
      ...resume(1, 1, 1 << 12),
      { op: 'mmio.write', offset: '0x100ac', size: 4, value: '0x2' },
      ...resume(2, 0, 0),
      outcome('b', { result: 'raz-wi', hex: '00000000' }),
      stall('c', '0x80000000'),
      ...resume(3, 1, 1 << 13),
      outcome('c', { result: 'abort' }),
    ];
    expect(await play(done, caches)).toBeUndefined();
  });

  it('A47: a stalled access goes back with a snapshot, and may end in another way', async () => {
    const steps = [
      stall('a', '0x40000000'),
      { op: 'snapshot', as: 'held' },
      ...resume(0, 0, 1 << 13),
      outcome('a', { result: 'abort' }),
      { op: 'restore', from: 'held' },
      ...resume(0, 0, 0),
      outcome('a', { result: 'raz-wi' }),
      { op: 'restore', from: 'held' },
      { op: 'events', expect: [['0x10', '0x0', '0x0', '0x0']], mask: ['0xff', '0x0', '0x0', '0x0'] },
    ];
    expect(await play(steps, caches)).toBeUndefined();
  });

  it('CMD_STALL_TERM, a full queue, a reset', async () => {
    const steps = [
      stall('a', '0x40000000'),
      stall('b', '0x40000000'),
      stall('c', '0x100000'),
      memory(L1, [BLOCK, 0]),
      { op: 'mmio.write', offset: '0x100ac', size: 4, value: '0x2' },
      outcome('c', { result: 'ok', hex: '44332211' }),
      memory(CMDQ, [OPCODES.CMD_STALL_TERM, 0, 0, 0]),
      register('CMDQ_PROD', 1),
      outcome('a', { result: 'abort' }),
      outcome('b', { result: 'abort' }),
      stall('d', '0x40000000'),
      { op: 'reset' },
      outcome('d', { result: 'abort' }),
    ];
    expect(await play(steps, caches)).toBeUndefined();
  });
});
