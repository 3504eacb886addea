/**
 * B7, B8: threads that write the registers of one SMMU at the same time, and against translations. What counts is what comes of
 * it: which commands are executed, and where accesses go. Each check is shown to find an SMMU with a fault.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { NON_SECURE } from '../../src/arch/security.js';
import { loadMachine } from '../../src/machine/load.js';
import { type SharedMachine, shareMachine } from '../../src/runtime/shared/shared-machine.js';
import { SharedSmmuPort } from '../../src/runtime/threads/smmu-port.js';
import { writeCD } from '../../src/software/cd-table.js';
import { contextDescriptor, stage1STE } from '../../src/software/context.js';
import { PageAllocator } from '../../src/software/page-allocator.js';
import { PageTables } from '../../src/software/page-tables.js';
import { doubleWord, SpaceMemory } from '../../src/software/port.js';
import {
  linearize,
  type Operation,
  type SequentialObject,
} from '../../src/stress/checker/linearizability.js';
import { CR0, GBPA, OFFSETS, OPCODES } from '../spec-numbers.js';

const SCALE = Number(process.env.SMMULATOR_RUNS ?? 100);
const LANES = 2;
const POLLS_MAX = 2000;

const MACHINE = `
machine: races
memory:
  - { id: low, base: 0x40000000, size: 16MiB }
  - { id: high, base: 0x880000000, size: 16MiB }
buses: [{ id: pcie.0, type: pcie, bus-nr: 0 }]
smmus:
  - { id: smmu0, base: 0x09050000, primary-bus: pcie.0, stage: "1", tlb: off, config-cache: off }
devices: [{ id: nic0, type: dma-engine, bus: pcie.0, addr: "02.0" }]
`;
const LOW = 0x4000_0000;
const HIGH = 0x8_8000_0000;

/** What threads that know no spec need of it. */
const AT = {
  ...OFFSETS,
  ...CR0,
  ...GBPA,
  CMD_CFGI_STE: BigInt(OPCODES.CMD_CFGI_STE),
  guarded: [
    ...[OFFSETS.CMDQ_BASE, OFFSETS.CMDQ_PROD, OFFSETS.STRTAB_BASE, OFFSETS.STRTAB_BASE_CFG],
    ...[OFFSETS.EVENTQ_BASE, OFFSETS.EVENTQ_PROD],
  ],
};

interface Role {
  readonly role: string;
  readonly task?: Readonly<Record<string, unknown>>;
}

/** Threads on the registers of one SMMU, which has a thread of its own and may have a fault. */
class Race {
  readonly memory: SpaceMemory;
  /** The registers from this thread. */
  readonly port: SharedSmmuPort;
  readonly #shared: SharedMachine;
  readonly #executed = new Int32Array(new SharedArrayBuffer(4 * (1 + 2 ** 16)));
  readonly #smmu: Worker;
  readonly #broken: Promise<never>;

  constructor(fault?: string, at: object = {}) {
    const { machine, diagnostics } = loadMachine(MACHINE, 'races.yaml');
    if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
    const { shared, view } = shareMachine(machine, LANES);
    this.memory = new SpaceMemory(view.spacesOf(0)[0]);
    this.#shared = shared;
    this.port = new SharedSmmuPort(view, 0, NON_SECURE);
    const workerData = { shared, executed: this.#executed, fault, at: { ...AT, ...at } };
    this.#smmu = new Worker(new URL('./race-smmu.mjs', import.meta.url), { workerData });
    this.#broken = once(this.#smmu, 'exit').then(() => Promise.reject(new Error('the SMMU has died')));
    this.#broken.catch(() => {});
  }

  /** Lets agents loose. @returns what each of them has to tell when it has ended. */
  async run(roles: readonly Role[]): Promise<unknown[]> {
    const state = new Int32Array(new SharedArrayBuffer(64));
    const ends = roles.map(async ({ role, task }, agent) => {
      const workerData = { shared: this.#shared, agent, agents: roles.length, role, task, state, at: AT };
      const worker = new Worker(new URL('./race-agent.mjs', import.meta.url), { workerData });
      const [{ result }] = await once(worker, 'message');
      // Those who work for ever do so for as long as others have an end.
      if (role === 'producer') Atomics.store(state, 1, 1);
      return result;
    });
    return await Promise.race([Promise.all(ends), this.#broken]);
  }

  /** Polls until a register has a value; for as long as a wait may take. */
  awaitValue(offset: number, value: number): void {
    for (let polls = 0; this.port.read32(offset) !== value; polls++) {
      if (polls === POLLS_MAX)
        throw new Error(`register 0x${offset.toString(16)} is ${this.port.read32(offset)}`);
      this.port.relax();
    }
  }

  /** CR0, and the wait for CR0ACK. */
  setControl(value: number): void {
    this.port.write32(OFFSETS.CR0, value);
    this.awaitValue(OFFSETS.CR0ACK, value);
  }

  /** The StreamIDs of the commands that were executed. */
  get executed(): number[] {
    return [...this.#executed.subarray(1, 1 + Atomics.load(this.#executed, 0))];
  }

  async close(): Promise<void> {
    await this.#smmu.terminate();
  }
}

async function race<Result>(
  fault: string | undefined,
  work: (race: Race) => Promise<Result>,
  at: object = {},
): Promise<Result> {
  const own = new Race(fault, at);
  try {
    return await work(own);
  } finally {
    await own.close();
  }
}

describe('B7: each command is executed once, in order, whatever is written to the registers', () => {
  const LOG2SIZE = 5;
  const COMMANDS = 20 * SCALE;
  const base = BigInt(LOW) | BigInt(LOG2SIZE);
  const others = [BigInt(HIGH) | 3n, BigInt(LOW + 0x1000) | 7n].map(String);
  /** @param patience looks at a queue without room before giving up. */
  const producers = (patience: number): Role[] =>
    Array.from({ length: 2 }, () => ({
      role: 'producer',
      task: { base: LOW, log2Size: LOG2SIZE, commands: COMMANDS, patience },
    }));

  /** @returns whether what was executed is what was published. */
  function inOrder(fault: string | undefined, disturbers: readonly Role[]): Promise<boolean> {
    return race(
      fault,
      async (smmu) => {
        const { port } = smmu;
        port.write64(OFFSETS.CMDQ_BASE, base);
        smmu.setControl(CR0.CMDQEN);
        await smmu.run([...producers(fault === undefined ? POLLS_MAX : 100), ...disturbers]);
        smmu.setControl(CR0.CMDQEN);
        if (fault === undefined) smmu.awaitValue(OFFSETS.CMDQ_CONS, COMMANDS % 2 ** (LOG2SIZE + 1));
        const { executed } = smmu;
        const isAll = executed.length === COMMANDS && executed.every((StreamID, i) => StreamID === i);
        return isAll && port.read32(OFFSETS.GERROR) === 0;
      },
      { indexMask: 2 ** (LOG2SIZE + 1) - 1 },
    );
  }

  const meddlers = Array.from({ length: 2 }, () => ({ role: 'meddler', task: { bases: others } }));
  const togglers = Array.from({ length: 2 }, () => ({ role: 'toggler' }));

  it.each([
    ['CMDQ_BASE and CMDQ_CONS written while CMDQEN is 1 (6.3.26, 6.3.28)', undefined, meddlers, true],
    ['the same, found out in an SMMU without the guards', 'no guards', meddlers, false],
    ['CMDQEN cleared and set at any time (6.3.9.3)', undefined, togglers, true],
    ['the same, found out in an SMMU that forgets a command then', 'forgets one', togglers, false],
  ])('%s', async (_, fault, disturbers, isRight) => {
    expect(await inOrder(fault, disturbers)).toBe(isRight);
  });
});

describe('B7: a Command queue that is moved is here or there, and its indexes fit it', () => {
  /** The size and what stands in it: commands that are told by their StreamIDs. */
  const QUEUES = [
    { base: LOW, log2Size: 3, first: 0x000 },
    { base: HIGH, log2Size: 5, first: 0x100 },
  ];
  const TRAP = 0xffff;
  const bases = QUEUES.map(({ base, log2Size }) => String(BigInt(base) | BigInt(log2Size)));

  function fill({ memory }: Race): void {
    for (const { base, log2Size, first } of QUEUES) {
      for (let index = 0; index < 4 * 2 ** log2Size; index++) {
        const StreamID = index < 2 ** log2Size ? first + index : TRAP;
        memory.store64(base + 16 * index, (BigInt(StreamID) << 32n) | AT.CMD_CFGI_STE);
        memory.store64(base + 16 * index + 8, 1n);
      }
    }
  }

  /** @returns what should not have been seen, and from which queues commands were executed. */
  function moved(fault?: string): Promise<{ wrong: readonly unknown[]; executed: ReadonlySet<string> }> {
    return race(fault, async (smmu) => {
      fill(smmu);
      const vandal = { role: 'vandal', task: { bases } };
      const agents = [
        { role: 'mover', task: { bases, rounds: 2 * SCALE } },
        { role: 'observer', task: { indexMax: 2 ** 6 - 1 } },
        ...[vandal, vandal],
      ];
      const wrong = (await smmu.run(agents)).slice(0, 2).flat();
      const from = (StreamID: number) => (StreamID === TRAP ? 'beyond' : StreamID < 0x100 ? 'low' : 'high');
      const error = smmu.port.read32(OFFSETS.GERROR);
      return {
        wrong: error === 0 ? wrong : [...wrong, `GERROR ${error}`],
        executed: new Set(smmu.executed.map(from)),
      };
    });
  }

  it('CMDQ_BASE, CMDQ_PROD and CMDQ_CONS written at any time by three threads, and read by a fourth', async () => {
    expect(await moved()).toEqual({ wrong: [], executed: new Set(['low', 'high']) });
  });

  it.each(['no guards', 'halves apart'])('the same, found out in an SMMU with a fault: %s', async (fault) => {
    expect((await moved(fault)).wrong).not.toEqual([]);
  });
});

describe('B8: a translation sees one state of SMMUEN, GBPA, STRTAB_BASE and STRTAB_BASE_CFG', () => {
  const IOVA = 0x4080_0000;
  const STREAM_ID = 0x10;
  /** Where a translation ends, by the Stream table that led there; and by what no state of the registers is. */
  const PAGE = { linear: 0x4090_0000, twoLevel: 0x4091_0000, mixed: 0x4092_0000 };
  /** 6.3.25: 256 STEs in one level; 2^16 of them in two, SPLIT 8. */
  const TABLES = [
    { base: String(LOW), config: 8 },
    { base: String(HIGH), config: (1 << 16) | (8 << 6) | 16 },
  ];
  const STE_BYTES = 64;

  /** Tables that lead to a page of their own, and to another one when they are taken for one of the other format. */
  function fill({ memory }: Race): void {
    const allocator = new PageAllocator(LOW + 0x10_0000, 0x40_0000);
    const format = { stage: 1, granule: '4KiB', inputBits: 39, outputBits: 44, blocks: true } as const;
    const steFor = (pa: number) => {
      const tables = new PageTables(format, memory, allocator, () => {});
      tables.map(BigInt(IOVA), pa, 0x1000, { read: true, write: true });
      const cd = allocator.allocate(0x1000);
      writeCD(memory, cd, contextDescriptor(tables, 1, false));
      return stage1STE(cd, 0, 0);
    };
    const store = (at: number, ste: Uint32Array) => {
      for (let word = 0; word < STE_BYTES / 8; word++) memory.store64(at + 8 * word, doubleWord(ste, word));
    };
    /** A level 2 array with the STE of the stream. */
    const level2 = (pa: number) => {
      const array = allocator.allocate(0x4000, 0x4000);
      memory.fill(array, 0, 0x4000);
      store(array + STREAM_ID * STE_BYTES, steFor(pa));
      // 5.1: L2Ptr and a Span of 8 + 1.
      return BigInt(array) | 9n;
    };
    store(LOW + STREAM_ID * STE_BYTES, steFor(PAGE.linear));
    memory.store64(LOW, level2(PAGE.mixed));
    memory.store64(HIGH, level2(PAGE.twoLevel));
    store(HIGH + STREAM_ID * STE_BYTES, steFor(PAGE.mixed));
  }

  const hex = (pa: number) => `0x${pa.toString(16)}`;
  /** As the configurer goes round. */
  const PHASES = ['abort', hex(PAGE.linear), hex(IOVA), hex(PAGE.twoLevel)];

  interface Seen {
    readonly seen: Readonly<Record<string, number>>;
    readonly wrong: Readonly<Record<string, number>>;
  }

  function translated(fault?: string): Promise<Seen[]> {
    return race(fault, async (smmu) => {
      fill(smmu);
      // 6.3.14: GBPA.ABORT is what the round begins with.
      smmu.port.write32(OFFSETS.GBPA, GBPA.Update | GBPA.ABORT);
      smmu.awaitValue(OFFSETS.GBPA, GBPA.ABORT);
      const devices = Array.from({ length: LANES }, (_, lane) => ({
        role: 'device',
        task: { lane, StreamID: STREAM_ID, iova: IOVA, phases: PHASES },
      }));
      const software = [
        { role: 'configurer', task: { tables: TABLES, rounds: SCALE / 2 } },
        { role: 'intruder', task: { tables: TABLES } },
      ];
      return (await smmu.run([...devices, ...software])).slice(0, LANES) as Seen[];
    });
  }

  it('the state is old or new while it changes, and new once that is acknowledged', async () => {
    for (const { seen, wrong } of await translated()) {
      expect(wrong).toEqual({});
      expect(Object.keys(seen).toSorted()).toEqual(PHASES.toSorted());
    }
  });

  it.each(['torn bank', 'early acknowledgement', 'no guards'])(
    'the same, found out in an SMMU with a fault: %s',
    async (fault) => {
      const wrong = (await translated(fault)).flatMap((own) => Object.keys(own.wrong));
      expect(wrong).not.toEqual([]);
    },
  );
});

describe('B7: the Event queue is programmed by four threads at once', () => {
  const EVENTQEN = BigInt(CR0.EVENTQEN);

  interface QueueAccess extends Operation {
    readonly name: 'CR0' | 'CR0ACK' | 'EVENTQ_BASE' | 'EVENTQ_PROD';
    readonly write: boolean;
    readonly part: 'whole' | 'low' | 'high';
    readonly value: bigint;
  }

  type QueueState = readonly [CR0: bigint, CR0ACK: bigint, EVENTQ_BASE: bigint, EVENTQ_PROD: bigint];

  const LOW_HALF = 0xffff_ffffn;
  /** Of those that the agents write. */
  const LOG2SIZE_MIN = 4n;
  const trimmed = (prod: bigint, base: bigint) => prod & ((2n << (base & 31n)) - 1n);

  /** 6.3.9, 6.3.93, 6.3.95: EVENTQEN and its Update, the guard, the size and the index that fits it. */
  const EVENT_QUEUE: SequentialObject<QueueState, QueueAccess> = {
    initial: [0n, 0n, 0n, 0n],
    apply(state, { name, write, part, value }) {
      const [control, acknowledged, base, prod] = state;
      const shown = { CR0: control, CR0ACK: acknowledged, EVENTQ_BASE: base, EVENTQ_PROD: prod }[name];
      if (!write) {
        const word = part === 'whole' ? shown : part === 'low' ? shown & LOW_HALF : shown >> 32n;
        return word === value ? state : undefined;
      }
      // A field under Update keeps its first new value (choice: update-under-way).
      if (name === 'CR0') return control === acknowledged ? [value, acknowledged, base, prod] : state;
      if (((control | acknowledged) & EVENTQEN) !== 0n) return state;
      if (name === 'EVENTQ_PROD') return [control, acknowledged, base, trimmed(value, base)];
      const low = part === 'high' ? base & LOW_HALF : value & LOW_HALF;
      const high = part === 'whole' ? value >> 32n : part === 'high' ? value : base >> 32n;
      const next = (high << 32n) | low;
      return [control, acknowledged, next, trimmed(prod, next)];
    },
    /** The acknowledgement; and an index shrinks a moment before its queue does, which are two registers. */
    moves: ([control, acknowledged, base, prod]) => {
      const moves: QueueState[] = [];
      if (control !== acknowledged) moves.push([control, control, base, prod]);
      else if (control === 0n) moves.push([control, acknowledged, base, trimmed(prod, LOG2SIZE_MIN)]);
      return moves;
    },
  };

  async function explained(fault?: string): Promise<boolean> {
    return race(fault, async (smmu) => {
      const historian = { role: 'historian', task: { operations: 8 * SCALE } };
      const histories = await smmu.run(Array(4).fill(historian));
      const { ok, stuckAt } = linearize(histories as QueueAccess[][], EVENT_QUEUE);
      if (fault === undefined && !ok) console.error(stuckAt);
      return ok;
    });
  }

  it('what they saw can be explained', async () => {
    expect(await explained()).toBe(true);
  });

  it.each(['no guards', 'halves apart'])('the same, found out in an SMMU with a fault: %s', async (fault) => {
    expect(await explained(fault)).toBe(false);
  });
});
