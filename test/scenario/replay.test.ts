import { describe, expect, it } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import type { PlannedSmmu } from '../../src/scenario/configure.js';
import { planScenario } from '../../src/scenario/configure.js';
import type { ScenarioDriver } from '../../src/scenario/driver.js';
import type { InterruptName, ScenarioHeader } from '../../src/scenario/format.js';
import { InProcessDriver } from '../../src/scenario/in-process-driver.js';
import { MemoryPool } from '../../src/scenario/memory.js';
import { parseHeader } from '../../src/scenario/parse-header.js';
import { parseStep } from '../../src/scenario/parse-step.js';
import { type Difference, Replay } from '../../src/scenario/replay.js';
import { ABORT, OK, RAZ_WI, STALL, type Transaction } from '../../src/smmu/transaction.js';

const CACHES = { tlb: 4, configCache: 4 };
const RAM = 0x4000_0000;

const HEADER = parseHeader({
  version: 1,
  name: 'replay',
  smmu: { stage: '1', secureImpl: true },
  memory: [
    { space: 'non-secure', base: '0x40000000', size: '0x100000' },
    { space: 'secure', base: '0x40010000', size: '0x1000' },
  ],
}).header;

function plannedSmmus(header: ScenarioHeader): ReadonlyMap<string, PlannedSmmu> {
  const plan = planScenario(header, CACHES);
  if (plan.kind === 'skip') throw new Error(plan.reason);
  return plan.smmus;
}

/** Real memory and registers, and translations that the test decides. */
class ScriptedDriver extends InProcessDriver implements ScenarioDriver {
  readonly seen: { iova: bigint; write: boolean; SubstreamID: number; ns: boolean }[] = [];
  readonly script: ((transaction: Transaction) => void)[] = [];
  /** What becomes of a stalled access each time that it is asked for; nothing while this is empty. */
  readonly resumed: ((transaction: Transaction) => void)[] = [];
  readonly interrupts = new Set<InterruptName>();

  override translate(_smmu: string, transaction: Transaction): void {
    const { iovaHi, iovaLo, write, SubstreamID, ns } = transaction;
    const iova = (BigInt(iovaHi >>> 0) << 32n) | BigInt(iovaLo >>> 0);
    this.seen.push({ iova, write, SubstreamID, ns });
    this.script.shift()?.(transaction);
  }

  override resume(_smmu: string, transaction: Transaction): void {
    this.resumed.shift()?.(transaction);
  }

  override takeInterrupts(): ReadonlySet<InterruptName> {
    return this.interrupts;
  }
}

function ok(pa: number, space: typeof NON_SECURE | typeof SECURE = NON_SECURE) {
  return (transaction: Transaction) => Object.assign(transaction, { outcome: OK, pa, space });
}
const answer = (outcome: typeof ABORT | typeof RAZ_WI | typeof STALL) => (transaction: Transaction) =>
  Object.assign(transaction, { outcome, stag: 7 });

function setUp() {
  const smmus = plannedSmmus(HEADER);
  const driver = new ScriptedDriver(smmus, new MemoryPool().take(HEADER.memory));
  const replay = new Replay(driver, smmus);
  let number = 0;
  const take = (value: object): Promise<Difference | undefined> => {
    number++;
    return replay.take({ number, line: number + 1, step: parseStep(value, HEADER) });
  };
  return { driver, take };
}

const read = (iova: string, size: number, expectation: object) => ({
  op: 'dma',
  sid: 1,
  access: 'read',
  iova,
  size,
  expect: expectation,
});

describe('J2 replay: memory steps', () => {
  it('a secure entry lies over the non-secure ones in the secure space only', async () => {
    const { take } = setUp();
    expect(await take({ op: 'mem.write', pa: '0x40010000', hex: 'aa' })).toBeUndefined();
    expect(await take({ op: 'mem.write', pa: '0x40010000', hex: 'bb', space: 'secure' })).toBeUndefined();
    expect(await take({ op: 'mem.write', pa: '0x40020000', hex: 'cc', space: 'secure' })).toBeUndefined();
    expect(await take({ op: 'mem.read', pa: '0x40010000', size: 1, expect: 'aa' })).toBeUndefined();
    expect(
      await take({ op: 'mem.read', pa: '0x40010000', size: 1, expect: 'bb', space: 'secure' }),
    ).toBeUndefined();
    expect(await take({ op: 'mem.read', pa: '0x40020000', size: 1, expect: 'cc' })).toBeUndefined();
  });

  it('mem.copy carries bytes between the spaces', async () => {
    const { take } = setUp();
    await take({ op: 'mem.write', pa: '0x40000000', hex: '0102' });
    await take({ op: 'mem.copy', from: '0x40000000', to: '0x40010000', size: 2, toSpace: 'secure' });
    expect(
      await take({ op: 'mem.read', pa: '0x40010000', size: 2, expect: '0102', space: 'secure' }),
    ).toBeUndefined();
    expect(await take({ op: 'mem.read', pa: '0x40010000', size: 2, expect: '0000' })).toBeUndefined();
  });

  it('a difference names step, line, what was expected and what came', async () => {
    const { take } = setUp();
    await take({ op: 'note', text: 'one' });
    expect(await take({ op: 'mem.read', pa: '0x40000000', size: 2, expect: '00ff' })).toEqual({
      stepNumber: 2,
      line: 3,
      smmu: undefined,
      step: 'mem.read of 2 bytes at 0x40000000',
      expected: ['00ff'],
      got: ['0000'],
      state: [],
    });
  });

  it('memory that no entry covers is an external abort', async () => {
    const { take } = setUp();
    expect(await take({ op: 'mem.read', pa: '0x1000', size: 1, expect: '00' })).toMatchObject({
      got: ['external abort'],
    });
    expect(await take({ op: 'mem.write', pa: '0x1000', hex: '00' })).toMatchObject({
      got: ['external abort'],
    });
  });

  it('a scenario starts from zeroes, whatever the one before it left', async () => {
    const pool = new MemoryPool();
    const first = pool.take(HEADER.memory);
    first.direct[SECURE].write(RAM + 0x10000, new Uint8Array([1]), 0, 1);
    first.spaces[NON_SECURE].injectFault({ pa: RAM, sizeBytes: 8, access: 'any', times: 9 });
    const second = pool.take(HEADER.memory);
    const byte = new Uint8Array([9]);
    expect(second.direct[SECURE].read(RAM + 0x10000, byte, 0, 1)).toBe(true);
    expect(byte[0]).toBe(0);
    expect(second.spaces[NON_SECURE].read(RAM, byte, 0, 1)).toBe(true);
  });
});

describe('J2 replay: dma steps', () => {
  it('are cut at 4 KiB, and move data where the translation says', async () => {
    const { driver, take } = setUp();
    driver.script.push(ok(RAM + 0xffe), ok(RAM + 0x5000));
    const write = {
      op: 'dma',
      sid: 1,
      access: 'write',
      iova: '0xffff000000001ffe',
      size: 4,
      hex: '01020304',
    };
    expect(await take({ ...write, expect: { result: 'ok', pa: '0x40000ffe' } })).toBeUndefined();
    expect(driver.seen.map(({ iova }) => iova)).toEqual([0xffff_0000_0000_1ffen, 0xffff_0000_0000_2000n]);
    expect(await take({ op: 'mem.read', pa: '0x40000ffe', size: 2, expect: '0102' })).toBeUndefined();
    expect(await take({ op: 'mem.read', pa: '0x40005000', size: 2, expect: '0304' })).toBeUndefined();
  });

  it('compare pa, space and data where the step names them', async () => {
    const { driver, take } = setUp();
    await take({ op: 'mem.write', pa: '0x40010000', hex: '5a', space: 'secure' });
    const cases: [object, boolean][] = [
      [{ result: 'ok' }, true],
      [{ result: 'ok', pa: '0x40010000', space: 'secure', hex: '5a' }, true],
      [{ result: 'ok', pa: '0x40010001' }, false],
      [{ result: 'ok', space: 'non-secure' }, false],
      [{ result: 'ok', hex: '5b' }, false],
      [{ result: 'abort' }, false],
    ];
    for (const [expectation, same] of cases) {
      driver.script.push(ok(RAM + 0x10000, SECURE));
      expect((await take(read('0x1000', 1, expectation))) === undefined).toBe(same);
    }
  });

  it('abort when one part does, and when memory refuses', async () => {
    const { driver, take } = setUp();
    driver.script.push(ok(RAM), answer(ABORT));
    expect(await take(read('0xfff', 2, { result: 'abort' }))).toBeUndefined();
    driver.script.push(ok(0x1000));
    expect(await take(read('0x0', 1, { result: 'abort' }))).toBeUndefined();
  });

  it('translateOnly moves nothing: the address need not be memory', async () => {
    const { driver, take } = setUp();
    driver.script.push(ok(0x809_0040));
    const step = {
      ...read('0x0', 1, { result: 'ok', pa: '0x8090040' }),
      translateOnly: true,
      info: { from: 'walk' },
    };
    expect(await take(step)).toBeUndefined();
  });

  it('a RAZ/WI termination is ok with zero data and no pa (IHI 0070 3.12.1)', async () => {
    const { driver, take } = setUp();
    driver.script.push(answer(RAZ_WI), answer(RAZ_WI));
    expect(await take(read('0x0', 2, { result: 'ok', hex: '0000' }))).toBeUndefined();
    expect(await take(read('0x0', 2, { result: 'ok', pa: '0x0' }))).toMatchObject({ got: ['ok, data 0000'] });
  });

  it('carry SubstreamID and NS', async () => {
    const { driver, take } = setUp();
    await take({ ...read('0x0', 1, { result: 'abort' }), ssid: 5, ns: true, secSid: 'secure' });
    expect(driver.seen[0]).toMatchObject({ SubstreamID: 5, ns: true });
  });

  describe('that stall (IHI 0070 3.12.2)', () => {
    const stall = { result: 'stall', id: 't' };
    const outcome = (expectation: object) => ({ op: 'dma.outcome', id: 't', expect: expectation });

    it('are told apart from those that do not, both ways', async () => {
      const { driver, take } = setUp();
      driver.script.push(answer(STALL), ok(RAM));
      expect(await take(read('0x0', 1, { result: 'abort' }))).toMatchObject({ got: ['stall, STAG 0x7'] });
      expect(await take(read('0x0', 1, stall))).toMatchObject({ expected: ['stall'] });
    });

    it('go on when they are resumed, the parts behind them too', async () => {
      const { driver, take } = setUp();
      driver.script.push(ok(RAM), answer(STALL), ok(RAM + 0x1000));
      expect(await take({ op: 'mem.write', pa: '0x40001000', hex: '0102' })).toBeUndefined();
      expect(await take(read('0xffe', 4, stall))).toBeUndefined();
      expect(await take(outcome({ result: 'ok' }))).toMatchObject({ got: ['stall, STAG 0x7'] });
      driver.resumed.push(ok(RAM + 0x1000));
      await take({ op: 'note', text: 'resumed' });
      expect(await take(outcome({ result: 'ok', hex: '00000102' }))).toBeUndefined();
      expect(await take(outcome({ result: 'raz-wi' }))).toMatchObject({ expected: ['raz-wi'] });
    });

    it('are terminated in one of two ways', async () => {
      for (const [end, result] of [
        [answer(ABORT), 'abort'],
        [answer(RAZ_WI), 'raz-wi'],
      ] as const) {
        const { driver, take } = setUp();
        driver.script.push(answer(STALL));
        await take(read('0x0', 2, stall));
        driver.resumed.push(end);
        await take({ op: 'note', text: 'terminated' });
        for (const other of ['abort', 'raz-wi']) {
          expect((await take(outcome({ result: other }))) === undefined).toBe(other === result);
        }
      }
    });

    it('a dma.outcome of an access that never stalled is a difference', async () => {
      const { take } = setUp();
      expect(await take(outcome({ result: 'ok' }))).toMatchObject({ got: ['no access "t" has stalled'] });
    });
  });

  describe('A47 snapshot and restore', () => {
    const write = (hex: string) => ({ op: 'mem.write', pa: '0x40000010', hex });
    const look = (hex: string) => ({ op: 'mem.read', pa: '0x40000010', size: 1, expect: hex });
    const register = (offset: string) => ({ op: 'mmio.write', offset, size: 4, value: '0x21' });
    const value = (offset: string, expected: string) => ({
      op: 'mmio.read',
      offset,
      size: 4,
      expect: expected,
    });

    it('take memory, registers and faults back, as often as asked', async () => {
      const { take } = setUp();
      const steps = [
        write('01'),
        register('0x28'),
        { op: 'snapshot', as: 'a' },
        write('02'),
        register('0x98'),
        { op: 'snapshot', as: 'b' },
        { op: 'restore', from: 'a' },
        look('01'),
        value('0x28', '0x21'),
        value('0x98', '0x0'),
        write('03'),
        { op: 'restore', from: 'b' },
        look('02'),
        value('0x98', '0x21'),
        { op: 'restore', from: 'a' },
        look('01'),
      ];
      for (const step of steps) expect(await take(step)).toBeUndefined();
    });

    it('a restore of what was never taken is a difference', async () => {
      const { take } = setUp();
      expect(await take({ op: 'restore', from: 'a' })).toMatchObject({ got: ['no snapshot of that name'] });
    });
  });
});

describe('J2 replay: events and interrupts', () => {
  const QUEUE = { op: 'mmio.write', offset: '0xa0', size: 8, value: '0x40002002' };
  const record = (first: string) => [first, '0x0', '0x0', '0x0'];
  const put = (index: number, byte: string) => ({
    op: 'mem.write',
    pa: `0x${(0x4000_2000 + 32 * index).toString(16)}`,
    hex: byte,
  });
  const PROD = (value: string) => ({ op: 'mmio.write', offset: '0x100a8', size: 4, value });

  it('events consumes: EVENTQ_CONS becomes EVENTQ_PROD, the overflow flag too', async () => {
    const { take } = setUp();
    await take(QUEUE);
    await take({ op: 'mmio.write', offset: '0x100ac', size: 4, value: '0x3' });
    await take(PROD('0x80000005'));
    await take(put(3, '0a'));
    await take(put(0, '0b'));
    expect(await take({ op: 'events', expect: [record('0xa'), record('0xb')] })).toBeUndefined();
    expect(await take({ op: 'mmio.read', offset: '0x100ac', size: 4, expect: '0x80000005' })).toBeUndefined();
    expect(await take({ op: 'events', expect: [] })).toBeUndefined();
  });

  it('a record too many, too few or different is a difference, but for masked bits', async () => {
    for (const [expectation, mask, same] of [
      [[record('0xa')], undefined, true],
      [[record('0xff0a')], record('0xff'), true],
      [[record('0xb')], undefined, false],
      [[], undefined, false],
      [[record('0xa'), record('0xa')], undefined, false],
    ] as const) {
      const { take } = setUp();
      await take(QUEUE);
      await take(PROD('0x1'));
      await take(put(0, '0a'));
      const step = { op: 'events', expect: expectation, ...(mask === undefined ? {} : { mask }) };
      expect((await take(step)) === undefined).toBe(same);
    }
  });

  it('consume: false lists each record once and leaves EVENTQ_CONS alone', async () => {
    const { driver, take } = setUp();
    const list = (...expectation: string[]) =>
      take({ op: 'events', consume: false, expect: expectation.map(record) });
    // Not a step: it is the SMMU that produces.
    const produce = (WR: bigint) => driver.writeRegister('smmu', 0x100a8, 4, WR, NON_SECURE);
    await take(QUEUE);
    for (const index of [0, 1, 2, 3]) await take(put(index, `0${index + 1}`));
    produce(3n);
    expect(await list('0x1')).toBeUndefined();
    expect(await list('0x2', '0x3')).toBeUndefined();
    expect(await list('0x4')).toMatchObject({ got: ['no event'] });
    produce(5n);
    expect(await list('0x4', '0x1')).toBeUndefined();
    expect(await take({ op: 'mmio.read', offset: '0x100ac', size: 4, expect: '0x0' })).toBeUndefined();
  });

  it('consume: false lists from where software puts EVENTQ_PROD', async () => {
    const { driver, take } = setUp();
    await take(QUEUE);
    await take(PROD('0x2'));
    await take(put(2, '07'));
    driver.writeRegister('smmu', 0x100a8, 4, 3n, NON_SECURE);
    expect(await take({ op: 'events', consume: false, expect: [record('0x7')] })).toBeUndefined();
  });

  it('irq compares names, each once, in any order', async () => {
    const { driver, take } = setUp();
    driver.interrupts.add('gerror').add('eventq');
    expect(await take({ op: 'irq', expect: ['eventq', 'gerror'] })).toBeUndefined();
    expect(await take({ op: 'irq', expect: ['eventq'] })).toMatchObject({ got: ['eventq, gerror'] });
  });
});

describe('J2 replay: registers', () => {
  it('mmio.read compares under its mask, and names the register', async () => {
    const { take } = setUp();
    await take({ op: 'mmio.write', offset: '0x80', size: 8, value: '0x12345678900' });
    expect(
      await take({ op: 'mmio.read', offset: '0x84', size: 4, expect: '0xf23', mask: '0xff' }),
    ).toBeUndefined();
    const difference = await take({ op: 'mmio.read', offset: '0x84', size: 4, expect: '0x124' });
    expect(difference).toMatchObject({
      step: 'mmio.read SMMU_STRTAB_BASE + 0x4 (0x84), 4 bytes',
      got: ['0x123'],
    });
  });

  it('a reset brings every register back', async () => {
    const { take } = setUp();
    await take({ op: 'mmio.write', offset: '0x80', size: 8, value: '0x40000000' });
    await take({ op: 'reset' });
    expect(await take({ op: 'mmio.read', offset: '0x80', size: 8, expect: '0x0' })).toBeUndefined();
  });
});
