/** The driver against the real SMMU: the same calls that a machine's boot software makes. */
import { describe, expect, test } from 'vitest';
import { C_BAD_STE, C_BAD_STREAMID, F_PERMISSION, F_TRANSLATION } from '../../src/arch/events.js';
import { IDR0, IDR1, IDR3, IDR5, S_IDR0, S_IDR1 } from '../../src/arch/id-registers.js';
import { encode } from '../../src/arch/layout.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import { Smmu } from '../../src/smmu/smmu.js';
import { ABORT, OK, Transaction } from '../../src/smmu/transaction.js';
import { boot } from '../../src/software/boot.js';
import { type DriverOptions, SmmuDriver } from '../../src/software/driver.js';
import { PageAllocator } from '../../src/software/page-allocator.js';
import { CommandError, DriverTimeout, type SmmuPort, SpaceMemory } from '../../src/software/port.js';

const RAM = 0x4000_0000;
const RAM_BYTES = 0x1000_0000;
const SECURE_RAM = 0x0e00_0000;
const SECURE_BYTES = 0x100_0000;
const RW = { read: true, write: true };

interface Choices {
  readonly RIL?: number;
  readonly ST_LEVEL?: number;
  readonly CMDQS?: number;
  readonly EVENTQS?: number;
  readonly SSIDSIZE?: number;
  /** With stage 2. */
  readonly SEL2?: number;
}

function makeMachine({
  RIL = 1,
  ST_LEVEL = 1,
  CMDQS = 8,
  EVENTQS = 7,
  SSIDSIZE = 0,
  SEL2 = 0,
}: Choices = {}) {
  const guest = GuestMemory.create([
    { id: 'ram', base: RAM, sizeBytes: RAM_BYTES },
    { id: 'secure', base: SECURE_RAM, sizeBytes: SECURE_BYTES },
  ]);
  const spaces = [guest.space(['ram']), guest.space(['secure', 'ram'])] as const;
  const idr = {
    IDR0: encode(IDR0, {
      S1P: 1,
      S2P: SEL2,
      TTF: 2,
      COHACC: 1,
      ASID16: 1,
      TTENDIAN: 2,
      STALL_MODEL: 1,
      TERM_MODEL: 1,
      ST_LEVEL,
      CD2L: 1,
    })[0]!,
    IDR1: encode(IDR1, { SIDSIZE: 16, SSIDSIZE, EVENTQS, CMDQS })[0]!,
    IDR3: encode(IDR3, { HAD: 1, RIL })[0]!,
    IDR5: encode(IDR5, { OAS: 4, GRAN4K: 1, GRAN16K: 1, GRAN64K: 1 })[0]!,
    IIDR: 0,
    AIDR: 2,
    S_IDR0: encode(S_IDR0, { STALL_MODEL: 1 })[0]!,
    S_IDR1: encode(S_IDR1, { S_SIDSIZE: 16, SEL2, SECURE_IMPL: 1 })[0]!,
  };
  const config = { id: 'smmu0', idr, tlb: Number.POSITIVE_INFINITY, configCache: Number.POSITIVE_INFINITY };
  const smmu = new Smmu(config, spaces, { interrupt() {} });
  const port = (security: SecurityState): SmmuPort => ({
    read32: (offset) => Number(smmu.readRegister(offset, 4, security)),
    write32: (offset, value) => smmu.writeRegister(offset, 4, BigInt(value), security),
    read64: (offset) => smmu.readRegister(offset, 8, security),
    write64: (offset, value) => smmu.writeRegister(offset, 8, value, security),
    relax: () => smmu.runToIdle(),
  });
  const driver = (security: SecurityState, options: Partial<DriverOptions> = {}) =>
    new SmmuDriver({
      smmu: 'smmu0',
      security,
      port: port(security),
      memory: new SpaceMemory(spaces[security]),
      allocator:
        security === SECURE
          ? new PageAllocator(SECURE_RAM, SECURE_BYTES / 2)
          : new PageAllocator(RAM, RAM_BYTES / 2),
      ...options,
    });
  const translate = (StreamID: number, iova: bigint, request: Partial<Transaction> = {}) => {
    const txn = Object.assign(new Transaction(), {
      StreamID,
      iovaLo: Number(iova & 0xffff_ffffn) | 0,
      iovaHi: Number(iova >> 32n) | 0,
      ...request,
    });
    smmu.tbu.translate(txn);
    smmu.runToIdle();
    return txn;
  };
  return { smmu, port, driver, translate, memory: new SpaceMemory(spaces[SECURE]) };
}

const numbers = (driver: SmmuDriver) => driver.events.drain().records.map(({ number }) => number);

describe.each([
  { RIL: 1, ST_LEVEL: 1 },
  { RIL: 0, ST_LEVEL: 0 },
])('3.11 a driver and an SMMU with RIL $RIL, ST_LEVEL $ST_LEVEL', (choices) => {
  test.each(['4KiB', '16KiB', '64KiB'] as const)('%s: map, protect, unmap are seen at once', (granule) => {
    const { driver: make, translate } = makeMachine(choices);
    const driver = make(NON_SECURE);
    driver.enable();
    const context = driver.createContext({ granule });
    const page = context.tables.granuleBytes;
    driver.attach(0x123, context);
    driver.map(context, 0x4000_0000n, 0x4800_0000, 4 * page, RW);
    expect(translate(0x123, 0x4000_0010n, { write: true })).toMatchObject({
      outcome: OK,
      pa: 0x4800_0010,
      space: NON_SECURE,
    });
    driver.protect(context, 0x4000_0000n, page, { read: true, write: false });
    expect(translate(0x123, 0x4000_0010n, { write: true }).outcome).toBe(ABORT);
    expect(translate(0x123, 0x4000_0010n).outcome).toBe(OK);
    expect(translate(0x123, 0x4000_0000n + BigInt(page), { write: true }).outcome).toBe(OK);
    expect(numbers(driver)).toEqual([F_PERMISSION]);
    driver.unmap(context, 0x4000_0000n, 4 * page);
    expect(translate(0x123, 0x4000_0010n).outcome).toBe(ABORT);
    expect(numbers(driver)).toEqual([F_TRANSLATION]);
    driver.map(context, 0x4000_0000n, 0x4900_0000, page, RW);
    expect(translate(0x123, 0x4000_0010n).pa).toBe(0x4900_0010);
  });

  test('3.21.3.1 streams change between bypass, abort, translate and nothing', () => {
    const { driver: make, translate } = makeMachine(choices);
    const driver = make(NON_SECURE);
    driver.enable();
    const context = driver.createContext({ granule: '4KiB' });
    driver.map(context, 0n, 0x4800_0000, 4096, RW);
    expect(translate(5, 0x40n).outcome).toBe(ABORT);
    driver.bypass(5);
    expect(translate(5, 0x4000_0040n)).toMatchObject({ outcome: OK, pa: 0x4000_0040 });
    driver.attach(5, context);
    expect(translate(5, 0x40n)).toMatchObject({ outcome: OK, pa: 0x4800_0040 });
    driver.abort(5);
    expect(translate(5, 0x40n).outcome).toBe(ABORT);
    driver.detach(5);
    expect(translate(5, 0x40n).outcome).toBe(ABORT);
    // Nothing for the abort STE; the first is a level 2 table that does not exist, or an STE that is not valid.
    expect(numbers(driver)).toEqual([choices.ST_LEVEL ? C_BAD_STREAMID : C_BAD_STE, C_BAD_STE]);
  });
});

describe('4.1 the command queue', () => {
  test('a queue of two entries wraps, fills and is waited for', () => {
    const { driver: make, translate } = makeMachine({ RIL: 0, CMDQS: 1 });
    const driver = make(NON_SECURE);
    driver.enable();
    const context = driver.createContext({ granule: '4KiB', blocks: false });
    driver.attach(1, context);
    for (let round = 0; round < 3; round++) {
      driver.map(context, 0n, 0x4800_0000, 37 * 4096, RW);
      expect(translate(1, 36n * 4096n).outcome).toBe(OK);
      driver.unmap(context, 0n, 37 * 4096);
      expect(translate(1, 36n * 4096n).outcome).toBe(ABORT);
    }
  });

  test('7.1 an illegal command is told by name, and the queue goes on behind it', () => {
    const driver = makeMachine().driver(NON_SECURE);
    driver.enable();
    const illegal = Uint32Array.of(0xff, 1, 2, 3);
    const attempt = () => driver.commands.sync([illegal]);
    expect(attempt).toThrow(CommandError);
    expect(attempt).toThrow('smmu0 (non-secure): CERROR_ILL at command 000000ff 00000001 00000002 00000003');
    expect(() => driver.commands.sync()).not.toThrow();
  });
});

describe('7.4 the event queue', () => {
  test('records wrap, an overflow is told once and acknowledged', () => {
    const { driver: make, translate } = makeMachine({ EVENTQS: 2 });
    const driver = make(NON_SECURE);
    driver.enable();
    driver.bypass(0);
    for (let round = 0; round < 3; round++) {
      for (let i = 1; i <= 3; i++) translate(i, 0n);
      const { records, overflow } = driver.events.drain();
      expect(records.map(({ StreamID }) => StreamID)).toEqual([1, 2, 3]);
      expect(overflow).toBe(false);
    }
    for (let round = 0; round < 2; round++) {
      for (let i = 1; i <= 9; i++) translate(i, 0n);
      const { records, overflow } = driver.events.drain();
      expect(records.map(({ StreamID }) => StreamID)).toEqual([1, 2, 3, 4]);
      expect(overflow).toBe(true);
      expect(driver.events.drain()).toEqual({ records: [], overflow: false });
    }
  });
});

describe('G3 substreams', () => {
  test.each([2, 8])('2^%d CDs', (S1CDMax) => {
    const { driver: make, translate } = makeMachine({ SSIDSIZE: 8 });
    const driver = make(NON_SECURE);
    driver.enable();
    const table = driver.attachSubstreams(9, S1CDMax);
    for (const [SubstreamID, pa] of [
      [0, 0x4800_0000],
      [3, 0x4900_0000],
      [2 ** S1CDMax - 1, 0x4a00_0000],
    ] as const) {
      const context = driver.createContext({ granule: '4KiB' });
      driver.map(context, 0n, pa, 4096, RW);
      driver.setSubstream(table, SubstreamID, context);
      // S1DSS: CD 0 is for accesses without a SubstreamID, and for no others.
      const request = { SubstreamID: SubstreamID === 0 ? -1 : SubstreamID };
      expect(translate(9, 8n, request)).toMatchObject({ outcome: OK, pa: pa + 8 });
    }
    driver.setSubstream(table, 3, undefined);
    expect(translate(9, 8n, { SubstreamID: 3 }).outcome).toBe(ABORT);
    expect(translate(9, 8n, { SubstreamID: 0 }).outcome).toBe(ABORT);
    expect(translate(9, 8n).outcome).toBe(OK);
  });
});

describe('6.3 registers that are waited for', () => {
  test('6.3.14.1 GBPA: abort and bypass while disabled', () => {
    const { driver: make, translate } = makeMachine();
    const driver = make(NON_SECURE);
    driver.setGlobalBypass('abort');
    expect(translate(1, 0x4000_0000n).outcome).toBe(ABORT);
    driver.setGlobalBypass('bypass');
    expect(translate(1, 0x4000_0000n).outcome).toBe(OK);
  });

  test('a register that never answers is named', () => {
    const { port, driver: make } = makeMachine();
    const stuck = { ...port(NON_SECURE), write32() {}, relax() {} };
    const driver = make(NON_SECURE, { port: stuck, pollLimit: 10 });
    expect(() => driver.enable()).toThrow(DriverTimeout);
    expect(() => driver.enable()).toThrow(
      'smmu0 (non-secure): SMMU_CR0ACK is 0x0 after 10 polls, expected 0x8',
    );
  });
});

test.each([
  [0, ['10', '18']],
  [1, ['60', '50', '18']],
])('4.4 enabling a Secure interface with SEL2 == %i takes every Secure TLB entry', (SEL2, opcodes) => {
  const { port, driver: make, smmu, memory } = makeMachine({ SEL2 });
  const seen: string[] = [];
  const secure = port(SECURE);
  const driver = make(SECURE, {
    port: {
      ...secure,
      write32: (offset, value) => {
        // S_CMDQ_PROD: the commands up to it are in memory (6.3.75).
        const base = Number(secure.read64(0x8090) & 0xf_ffff_ffff_ffe0n);
        if (offset === 0x8098) {
          for (let at = seen.length; at < value; at++) {
            seen.push((Number(memory.load64(base + 16 * at)) & 0xff).toString(16));
          }
        }
        secure.write32(offset, value);
      },
    },
  });
  driver.enable();
  smmu.runToIdle();
  expect(seen.filter((opcode) => !['4', '46'].includes(opcode))).toEqual(opcodes);
});

describe('A33, A35 boot software, both Security states', () => {
  test('programs streams, shares contexts, chooses memory and says where', () => {
    const { driver: make, translate } = makeMachine();
    const buffers = [
      new PageAllocator(RAM + RAM_BYTES / 2, RAM_BYTES / 2),
      new PageAllocator(SECURE_RAM + SECURE_BYTES / 2, SECURE_BYTES / 2),
    ] as const;
    const program = { config: 'translate', granule: '4KiB', context: 'c' } as const;
    const shared = { iova: 0x10_0000n, sizeBytes: 0x40_0000, access: 'rw' } as const;
    const normal = boot(
      make(NON_SECURE),
      [
        { ...program, device: 'nic0', StreamID: 0x10, mappings: [shared] },
        {
          ...program,
          device: 'nic1',
          StreamID: 0x2018,
          mappings: [shared, { ...shared, iova: 0x800_0000n, pa: 0x4f00_0000, access: 'r' }],
        },
        { ...program, device: 'disk', StreamID: 0x20, config: 'bypass', mappings: [] },
        { ...program, device: 'bad', StreamID: 0x30, config: 'abort', mappings: [] },
      ],
      (space) => buffers[space],
    );
    expect(normal.mappings).toHaveLength(2);
    const [first, second] = normal.mappings;
    expect(second).toMatchObject({ pa: 0x4f00_0000, space: NON_SECURE, access: 'r' });
    for (const StreamID of [0x10, 0x2018]) {
      expect(translate(StreamID, 0x10_1234n, { write: true })).toMatchObject({
        outcome: OK,
        pa: first!.pa + 0x1234,
      });
      expect(translate(StreamID, 0x800_0000n, { write: true }).outcome).toBe(ABORT);
    }
    expect(translate(0x20, 0x4000_0000n).outcome).toBe(OK);
    expect(translate(0x30, 0x10_0000n).outcome).toBe(ABORT);

    const secure = boot(
      make(SECURE),
      [
        {
          ...program,
          device: 'hsm0',
          StreamID: 0x10,
          mappings: [
            { iova: 0x1000n, sizeBytes: 4096, access: 'rw' },
            { iova: 0x2000n, sizeBytes: 4096, access: 'rw', security: NON_SECURE },
          ],
        },
      ],
      (space) => buffers[space],
    );
    const [own, other] = secure.mappings;
    expect(translate(0x10, 0x1008n, { SEC_SID: SECURE })).toMatchObject({
      outcome: OK,
      pa: own!.pa + 8,
      space: SECURE,
    });
    expect(translate(0x10, 0x2008n, { SEC_SID: SECURE })).toMatchObject({
      outcome: OK,
      pa: other!.pa + 8,
      space: NON_SECURE,
    });
    expect(translate(0x10, 0x10_0000n)).toMatchObject({ outcome: OK, pa: first!.pa, space: NON_SECURE });
  });

  test('a contradiction names the device', () => {
    const mapping = { iova: 0x1000n, sizeBytes: 4096, pa: 0x4800_0000, access: 'rw' } as const;
    const stream = {
      device: 'nic0',
      StreamID: 1,
      config: 'translate',
      granule: '4KiB',
      context: 'a',
    } as const;
    const driver = makeMachine().driver(NON_SECURE);
    const clash = { ...mapping, pa: 0x4900_0000 };
    expect(() => boot(driver, [{ ...stream, mappings: [mapping, clash] }], () => expect.fail())).toThrow(
      'device nic0: 0x1000 is already mapped',
    );
  });

  test('A17 a Non-secure stream is not mapped to the Secure PA space', () => {
    const mapping = { iova: 0x1000n, sizeBytes: 4096, access: 'rw', security: SECURE } as const;
    const stream = {
      device: 'nic0',
      StreamID: 1,
      config: 'translate',
      granule: '4KiB',
      context: 'a',
    } as const;
    const driver = makeMachine().driver(NON_SECURE);
    expect(() => boot(driver, [{ ...stream, mappings: [mapping] }], () => expect.fail())).toThrow(
      'device nic0: a Non-secure stream cannot reach the Secure PA space',
    );
  });
});
