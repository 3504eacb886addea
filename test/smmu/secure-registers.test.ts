/** The Secure bank of registers (IHI 0070 3.10.2, 3.11, 6.2, 6.3.52 to 6.3.82; REQUIREMENTS A24 to A32, A38, A39). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { CERROR, CR0, GERROR, IDR0, IRQ_CTRL, OFFSETS, OPCODES, S_IDR0, S_OFFSETS } from '../spec-numbers.js';
import { Bench, CMDQ_BASE, EVENTQ_BASE, IDR, SECURE_IDR } from './tcu-bench.js';

const RUNS = Number(process.env.SMMULATOR_RUNS ?? 150);
/** Where S_ registers are, and the same offsets of page 1. */
const SECURE_AREAS = [0x8000, 0x1_8000];

function* secureAccesses(): Iterable<readonly [offset: number, sizeBytes: number]> {
  for (const base of SECURE_AREAS) {
    for (let offset = base; offset < base + 0x1000; offset += 4) {
      yield [offset, 4];
      if (offset % 8 === 0) yield [offset, 8];
    }
  }
}

describe('who reaches the Secure bank', () => {
  test.each<[string, Bench, SecurityState]>([
    ['A24: nobody without SECURE_IMPL, by Secure accesses', new Bench(), SECURE],
    ['A24: nobody without SECURE_IMPL, by Non-secure accesses', new Bench(), NON_SECURE],
    ['A25: no Non-secure access with SECURE_IMPL', new Bench(SECURE_IDR), NON_SECURE],
  ])('%s', (_, bench, security) => {
    const before = bench.tcu.registers.words.slice();
    for (const [offset, sizeBytes] of secureAccesses()) {
      bench.write(offset, -1n, sizeBytes, security);
      expect(bench.tcu.readRegister(offset, sizeBytes, security)).toBe(0n);
    }
    expect(bench.tcu.registers.words).toEqual(before);
    expect(bench.messages).toEqual([]);
  });

  test('A26: Secure accesses reach the Non-secure bank, 32 and 64 bits wide', () => {
    const bench = new Bench(SECURE_IDR);
    bench.writeSecure(OFFSETS.STRTAB_BASE, 0x12_4567_8000n, 8);
    expect(bench.readWide(OFFSETS.STRTAB_BASE, SECURE)).toBe(0x12_4567_8000n);
    bench.writeSecure(OFFSETS.CR0, CR0.SMMUEN);
    expect(bench.read(OFFSETS.CR0ACK, SECURE)).toBe(CR0.SMMUEN);
    expect(bench.read(S_OFFSETS.S_CR0ACK, SECURE)).toBe(0);
  });

  test('A27: S_INIT answers Non-secure accesses only where the machine says so, and nothing else of the bank does', () => {
    for (const nonSecureInit of [undefined, false, true]) {
      const more = nonSecureInit === undefined ? {} : { nonSecureInit };
      const bench = new Bench(SECURE_IDR, more);
      bench.settled = false;
      bench.write(S_OFFSETS.S_INIT, 1);
      const reached = nonSecureInit === true;
      expect(bench.messages.map(([kind]) => kind)).toEqual(reached ? [3] : []);
      expect(bench.read(S_OFFSETS.S_INIT)).toBe(reached ? 1 : 0);
      bench.settled = true;
      bench.idle();
      expect(bench.read(S_OFFSETS.S_INIT)).toBe(0);
      for (const [offset] of secureAccesses()) {
        if (offset !== S_OFFSETS.S_INIT) expect(bench.read(offset)).toBe(0);
      }
      bench.writeSecure(S_OFFSETS.S_INIT, 1);
      expect(bench.messages, 'Secure accesses reach it always').toHaveLength(reached ? 2 : 1);
    }
  });

  test('A27, A28: without Secure support there is no S_INIT to expose', () => {
    const bench = new Bench(IDR, { nonSecureInit: true });
    bench.write(S_OFFSETS.S_INIT, 1);
    expect(bench.read(S_OFFSETS.S_INIT)).toBe(0);
    expect(bench.messages).toEqual([]);
  });

  test('6.3.55, 6.3.64: S_IDR3.SAMS is RES0 without ATS, and S_AGBPA without attributes of its own', () => {
    const bench = new Bench(SECURE_IDR);
    for (const offset of [S_OFFSETS.S_IDR3, S_OFFSETS.S_AGBPA]) {
      bench.writeSecure(offset, -1);
      expect(bench.read(offset, SECURE)).toBe(0);
    }
  });
});

describe('guards of the Secure bank', () => {
  test('A32: S_CR0 guards the Secure registers, and CR0 does not', () => {
    const bench = new Bench(SECURE_IDR);
    const { S_STRTAB_BASE, S_STRTAB_BASE_CFG, S_CR2, S_CMDQ_BASE, S_EVENTQ_BASE } = S_OFFSETS;
    const image = () =>
      [S_STRTAB_BASE, S_STRTAB_BASE_CFG, S_CR2, S_CMDQ_BASE, S_EVENTQ_BASE].map((at) =>
        bench.read(at, SECURE),
      );
    const write = (value: number) => {
      for (const at of [S_STRTAB_BASE, S_CMDQ_BASE, S_EVENTQ_BASE]) bench.writeSecure(at, value << 12);
      for (const at of [S_STRTAB_BASE_CFG, S_CR2]) bench.writeSecure(at, value);
    };
    const all = CR0.SMMUEN | CR0.CMDQEN | CR0.EVENTQEN;
    bench.write(OFFSETS.CR0, all);
    write(2);
    expect(image()).toEqual([0x2000, 2, 2, 0x2000, 0x2000]);
    bench.writeSecure(S_OFFSETS.S_CR0, all);
    write(0);
    expect(image(), 'read-only while enabled').toEqual([0x2000, 2, 2, 0x2000, 0x2000]);
    bench.writeSecure(S_OFFSETS.S_CR0, 0);
    write(0);
    expect(image()).toEqual([0, 0, 0, 0, 0]);
  });

  test('A28: S_INIT.INV_ALL has no effect while the SMMUEN of either bank is set', () => {
    for (const [offset, security] of [
      [OFFSETS.CR0, NON_SECURE],
      [S_OFFSETS.S_CR0, SECURE],
    ] as const) {
      const bench = new Bench(SECURE_IDR);
      bench.write(offset, CR0.SMMUEN, 4, security);
      bench.messages.length = 0;
      bench.writeSecure(S_OFFSETS.S_INIT, 1);
      expect(bench.messages).toEqual([]);
      expect(bench.read(S_OFFSETS.S_INIT, SECURE)).toBe(0);
      bench.write(offset, 0, 4, security);
      bench.messages.length = 0;
      bench.writeSecure(S_OFFSETS.S_INIT, 1);
      expect(bench.messages.map(([kind]) => kind)).toEqual([3]);
    }
  });
});

describe('A39: SSec on the Command queues', () => {
  const withSSec = [1, 2, 3, 4, 5, 6];
  test.each(withSSec)(
    'opcode 0x0%i with SSec == 1: CERROR_ILL on the Non-secure queue, executed on the Secure one',
    (opcode) => {
      const words = [opcode | (1 << 10), 0, 0, 0];
      const bench = new Bench(SECURE_IDR);
      bench.enableQueues();
      bench.enableSecureQueues();
      for (const security of [NON_SECURE, SECURE] as const) bench.putCommands([words], 0, security);
      bench.write(OFFSETS.CMDQ_PROD, 1);
      expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(CERROR.ILL);
      expect(bench.read(OFFSETS.GERROR)).toBe(GERROR.CMDQ_ERR);
      expect(bench.messages.filter(([kind]) => kind === 1)).toEqual([]);
      bench.writeSecure(S_OFFSETS.S_CMDQ_PROD, 1);
      expect(bench.read(S_OFFSETS.S_CMDQ_CONS, SECURE)).toBe(1);
      expect(bench.read(S_OFFSETS.S_GERROR, SECURE), 'A38: the other queue is not disturbed').toBe(0);
    },
  );

  test('an opcode that is unknown, or that the queue lacks, is CERROR_ILL with either SSec', () => {
    for (const opcode of [0, 7, 0x44, 0x45, 0xff]) {
      for (const ssec of [0, 1 << 10]) {
        const bench = new Bench(SECURE_IDR);
        bench.enableQueues();
        bench.putCommands([[opcode | ssec]]);
        bench.write(OFFSETS.CMDQ_PROD, 1);
        expect(bench.read(OFFSETS.CMDQ_CONS)).toBe(CERROR.ILL);
      }
    }
  });
});

test('A34, A38, 3.18: MSIs of the Secure interface go to the Secure PA space, and the Non-secure ones do not', () => {
  const idr = { ...SECURE_IDR, IDR0: IDR.IDR0 | IDR0.MSI, S_IDR0: S_IDR0.MSI | S_IDR0.STALL_MODEL_TERMINATE };
  for (const own of [NON_SECURE, SECURE] as const) {
    const other = own === SECURE ? NON_SECURE : SECURE;
    const bench = new Bench(idr);
    const at = (name: 'GERROR_IRQ_CFG0' | 'GERROR_IRQ_CFG1' | 'EVENTQ_IRQ_CFG0' | 'EVENTQ_IRQ_CFG1') =>
      own === SECURE ? S_OFFSETS[`S_${name}`] : OFFSETS[name];
    bench.write(at('GERROR_IRQ_CFG0'), 0x70_0000n, 8, own);
    bench.write(at('GERROR_IRQ_CFG1'), 0x11, 4, own);
    bench.write(at('EVENTQ_IRQ_CFG0'), 0x70_1000n, 8, own);
    bench.write(at('EVENTQ_IRQ_CFG1'), 0x22, 4, own);
    bench.enableQueues();
    bench.enableSecureQueues();
    bench.write(OFFSETS.IRQ_CTRL, 5);
    bench.writeSecure(S_OFFSETS.S_IRQ_CTRL, 5);
    bench.tcu.record(Int32Array.of(4, 0, 0, 0, 0, 0, 0, 0), own, false);
    bench.putCommands([[OPCODES.CMD_SYNC | (1 << 12), 0x33, 0x70_2000], [0]], 0, own);
    bench.write(own === SECURE ? S_OFFSETS.S_CMDQ_PROD : OFFSETS.CMDQ_PROD, 2, 4, own);
    const written = (space: SecurityState) =>
      [0x70_0000, 0x70_1000, 0x70_2000].map((pa) => bench.spaces[space].words.get(pa));
    expect(written(own)).toEqual([0x11, 0x22, 0x33]);
    expect(written(other)).toEqual([undefined, undefined, undefined]);
  }
});

describe('A38: overflow', () => {
  test.each([
    [NON_SECURE, OFFSETS.EVENTQ_PROD, S_OFFSETS.S_EVENTQ_PROD],
    [SECURE, S_OFFSETS.S_EVENTQ_PROD, OFFSETS.EVENTQ_PROD],
  ] as const)('of the Event queue of state %i is not seen in the other', (full, own, other) => {
    const bench = new Bench(SECURE_IDR);
    bench.enableQueues(1);
    bench.enableSecureQueues(1);
    bench.write(OFFSETS.IRQ_CTRL, IRQ_CTRL.EVENTQ_IRQEN);
    bench.writeSecure(S_OFFSETS.S_IRQ_CTRL, IRQ_CTRL.EVENTQ_IRQEN);
    const record = Int32Array.of(4, 0, 0, 0, 0, 0, 0, 0);
    for (let i = 0; i < 3; i++) bench.tcu.record(record, full, false);
    expect(bench.read(own, SECURE) >>> 0).toBe(0x8000_0002);
    expect(bench.read(other, SECURE)).toBe(0);
    expect(bench.interrupts).toEqual([`${full}:eventq`]);
    const unlike = full === SECURE ? NON_SECURE : SECURE;
    bench.tcu.record(record, unlike, false);
    expect(bench.read(other, SECURE)).toBe(1);
    expect(bench.spaces[unlike].words.get(EVENTQ_BASE)).toBe(4);
    expect(bench.interrupts).toEqual([`${full}:eventq`, `${unlike}:eventq`]);
  });
});

describe('A30: the two programming interfaces are as two SMMUs', () => {
  const idr = { ...SECURE_IDR, IDR0: IDR.IDR0 | IDR0.MSI, S_IDR0: S_IDR0.MSI | S_IDR0.STALL_MODEL_TERMINATE };
  const offsets = [Object.values(OFFSETS), Object.values(S_OFFSETS).filter((at) => at !== S_OFFSETS.S_INIT)];
  const value = fc.oneof(
    fc.nat(0xf),
    fc.constantFrom(CMDQ_BASE | 2, EVENTQ_BASE | 1, 0x30_0000),
    fc.nat(0xffff_ffff),
  );
  const opcode = fc.constantFrom(
    0,
    OPCODES.CMD_SYNC,
    OPCODES.CMD_SYNC | (1 << 12),
    OPCODES.CMD_CFGI_STE,
    OPCODES.CMD_TLBI_NH_ALL,
  );
  const step = (security: SecurityState) =>
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constant('write' as const),
          offset: fc.constantFrom(...offsets[security]!),
          value,
          size: fc.constantFrom(4, 8),
          security: fc.constant(security),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant('command' as const),
          opcode,
          index: fc.nat(3),
          security: fc.constant(security),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('event' as const), security: fc.constant(security) }),
      },
    );
  type Step = ReturnType<typeof step> extends fc.Arbitrary<infer T> ? T : never;

  function apply(bench: Bench, one: Step): void {
    if (one.kind === 'write') bench.write(one.offset, one.value, one.size, SECURE);
    else if (one.kind === 'command') bench.putCommands([[one.opcode, 0, 0x40_0000]], one.index, one.security);
    else bench.tcu.record(Int32Array.of(4, 7, 0, 0, 0, 0, 0, 0), one.security, false);
  }

  /** All that software of one state can see: its registers, its memory, its interrupts. */
  const seen = (bench: Bench, security: SecurityState) => ({
    registers: offsets[security]!.map((at) => bench.read(at, SECURE)),
    memory: bench.spaces[security].words,
    interrupts: bench.interrupts.filter((name) => name.startsWith(`${security}:`)),
  });

  /** Queues that work, so that the programs reach commands, events and interrupts. */
  function running(): Bench {
    const bench = new Bench(idr);
    bench.enableQueues(2);
    bench.enableSecureQueues(2);
    bench.write(OFFSETS.IRQ_CTRL, 5);
    bench.writeSecure(S_OFFSETS.S_IRQ_CTRL, 5);
    return bench;
  }

  test('registers, queues, errors and interrupts of each are as if the other did nothing', () => {
    let interrupts = 0;
    const steps = fc.array(fc.oneof(step(NON_SECURE), step(SECURE)), { minLength: 5, maxLength: 60 });
    fc.assert(
      fc.property(steps, (program) => {
        const both = running();
        const alone = [running(), running()] as const;
        for (const one of program) {
          apply(both, one);
          apply(alone[one.security], one);
        }
        for (const security of [NON_SECURE, SECURE] as const) {
          expect(seen(both, security)).toEqual(seen(alone[security], security));
        }
        interrupts += both.interrupts.length;
      }),
      { numRuns: RUNS },
    );
    expect(interrupts).toBeGreaterThan(0);
  });
});
