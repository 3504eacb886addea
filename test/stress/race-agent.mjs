/** The agents of register-races.test.ts, one in a thread each. They run the built package. */
import { parentPort, workerData } from 'node:worker_threads';
import { MachineView } from '../../dist/src/runtime/shared/shared-machine.js';
import { LaneTbu } from '../../dist/src/runtime/threads/lane-tbu.js';
import { SharedSmmuPort } from '../../dist/src/runtime/threads/smmu-port.js';
import { OK, Transaction } from '../../dist/src/smmu/transaction.js';
import { SpaceMemory } from '../../dist/src/software/port.js';

const { shared, agent, agents, role, state, at, task } = workerData;
// The guest memory wants a number for every thread; agents take those that no thread of the machine has.
const view = MachineView.attach(shared, 200 + agent);
const port = new SharedSmmuPort(view, 0, 0);
const memory = new SpaceMemory(view.spacesOf(0)[0]);

// Words of the state that all agents share.
const PRESENT = 0;
const STOP = 1;
const LOCK = 2;
const CLOCK = 3;
const NEXT = 4;
const PHASE = 5;

let seed = agent + 1;
function random(below) {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}
const pick = (list) => list[random(list.length)];
const isOver = () => Atomics.load(state, STOP) !== 0;

/** What the agents agree to do one at a time, as software does with a spin lock. */
function locked(work) {
  while (Atomics.compareExchange(state, LOCK, 0, 1) !== 0) Atomics.wait(state, LOCK, 1, 1);
  try {
    return work();
  } finally {
    Atomics.store(state, LOCK, 0);
    Atomics.notify(state, LOCK, 1);
  }
}

/** Polls for as long as the machine lives. */
function until(done) {
  while (!done()) port.relax();
}

function writeWide(offset, value) {
  const part = random(3);
  if (part !== 1) port.write64(offset, value);
  else {
    port.write32(offset, Number(value & 0xffff_ffffn));
    port.write32(offset + 4, Number(value >> 32n));
  }
}

/** CR0, and the wait for CR0ACK. */
function setControl(value) {
  port.write32(at.CR0, value);
  until(() => port.read32(at.CR0ACK) === value);
}

const roles = {
  /** Appends commands to one queue, together with others: each is numbered, in the order in which they are published. */
  producer() {
    const { base, log2Size, commands } = task;
    const indexMask = (2 << log2Size) - 1;
    // Never less than none, whatever an SMMU with a fault shows.
    const room = () =>
      Math.max(0, 2 ** log2Size - ((Atomics.load(state, NEXT) - port.read32(at.CMDQ_CONS)) & indexMask));
    let left = true;
    // An SMMU with a fault may never make room.
    for (let idle = 0; left && idle < task.patience; idle++) {
      left = locked(() => {
        const first = Atomics.load(state, NEXT);
        const count = Math.min(room(), 1 + random(6), commands - first);
        for (let number = first; number < first + count; number++) {
          const pa = base + (number % 2 ** log2Size) * 16;
          memory.store64(pa, (BigInt(number) << 32n) | at.CMD_CFGI_STE);
          memory.store64(pa + 8, 1n);
        }
        if (count > 0) idle = 0;
        Atomics.store(state, NEXT, first + count);
        port.write32(at.CMDQ_PROD, (first + count) & indexMask);
        return first + count < commands;
      });
      port.relax();
    }
  },

  /** Writes what must not be taken while the queue is enabled. */
  meddler() {
    while (!isOver()) {
      if (random(2) === 0) writeWide(at.CMDQ_BASE, BigInt(pick(task.bases)));
      else port.write32(at.CMDQ_CONS, random(64));
      if (random(4) === 0) port.read32(0);
    }
  },

  /** Disables and enables the queue, and does not always wait until that is acknowledged. */
  toggler() {
    while (!isOver()) {
      port.write32(at.CR0, random(3) === 0 ? 0 : at.CMDQEN);
      if (random(2) === 0) until(() => isOver() || port.read32(at.CR0ACK) === port.read32(at.CR0));
    }
  },

  /** Lets the command queue be now here, now there. @returns what it saw of an enabled queue and should not have. */
  mover() {
    const wrong = [];
    for (let round = 0; round < task.rounds; round++) {
      setControl(0);
      // Whole, as the others do: halves of two bases would be a base that nobody means.
      port.write64(at.CMDQ_BASE, BigInt(pick(task.bases)));
      setControl(at.CMDQEN);
      const base = port.read64(at.CMDQ_BASE);
      const cons = port.read32(at.CMDQ_CONS) & 0xfffff;
      const log2Size = Number(base & 31n);
      if (!task.bases.includes(String(base))) wrong.push(`CMDQ_BASE 0x${base.toString(16)}`);
      if (cons >= 2 << log2Size) wrong.push(`CMDQ_CONS ${cons} in a queue of ${2 ** log2Size}`);
      if (port.read64(at.CMDQ_BASE) !== base) wrong.push('CMDQ_BASE has changed');
    }
    Atomics.store(state, STOP, 1);
    return wrong;
  },

  /** Writes whatever registers of the queue, whenever. */
  vandal() {
    while (!isOver()) {
      if (random(3) === 0) port.write64(at.CMDQ_BASE, BigInt(pick(task.bases)));
      else port.write32(pick([at.CMDQ_PROD, at.CMDQ_CONS]), random(2 ** 20));
      if (random(2) === 0) port.read32(0);
    }
  },

  /** Looks at an index. @returns one that no queue of the test has. */
  observer() {
    const wrong = new Set();
    while (!isOver()) {
      const cons = port.read32(at.CMDQ_CONS) & 0xfffff;
      if (cons > task.indexMax) wrong.add('CMDQ_CONS beyond every queue');
    }
    return [...wrong];
  },

  /** Goes round: disabled and aborting, one Stream table, disabled and bypassing, the other Stream table. */
  configurer() {
    const setGbpa = (value) => {
      port.write32(at.GBPA, value | at.Update);
      until(() => (port.read32(at.GBPA) & at.Update) === 0);
    };
    for (let round = 0; round < 4 * task.rounds; round++) {
      locked(() => {
        Atomics.add(state, PHASE, 1);
        if (round % 2 === 0) {
          const { base, config } = task.tables[(round / 2) % 2];
          writeWide(at.STRTAB_BASE, BigInt(base));
          port.write32(at.STRTAB_BASE_CFG, config);
          setControl(at.SMMUEN);
        } else {
          // Concerns nobody while translation is enabled.
          setGbpa(round % 4 === 1 ? 0 : at.ABORT);
          setControl(0);
        }
        Atomics.add(state, PHASE, 1);
      });
      // Others have their turn.
      if (round % 8 === 0) Atomics.wait(state, STOP, 0, 1);
    }
    Atomics.store(state, STOP, 1);
  },

  /** Writes a Stream table's registers while translation is enabled, when that is ignored. */
  intruder() {
    while (!isOver()) {
      locked(() => {
        if (Atomics.load(state, PHASE) % 4 !== 2) return;
        const { base, config } = pick(task.tables);
        if (random(2) === 0) writeWide(at.STRTAB_BASE, BigInt(base));
        else port.write32(at.STRTAB_BASE_CFG, config);
        port.read32(0);
      });
      Atomics.wait(state, STOP, 0, 1);
    }
  },

  /** Has accesses translated. @returns how many went where, and those that went where no state of their time leads. */
  device() {
    const tbu = new LaneTbu(view, 0, task.lane);
    const transaction = new Transaction();
    transaction.StreamID = task.StreamID;
    transaction.iovaLo = task.iova;
    const seen = {};
    const wrong = {};
    while (!isOver()) {
      tbu.begin();
      for (let count = 0; count < 64; count++) {
        const before = Atomics.load(state, PHASE) >> 1;
        const where = tbu.tbu.translate(transaction) === OK ? `0x${transaction.pa.toString(16)}` : 'abort';
        const after = (Atomics.load(state, PHASE) + 1) >> 1;
        let isRight = false;
        for (let phase = before; phase <= after; phase++) isRight ||= task.phases[phase % 4] === where;
        seen[where] = (seen[where] ?? 0) + 1;
        if (!isRight) wrong[where] = (wrong[where] ?? 0) + 1;
      }
      tbu.end();
    }
    return { seen, wrong };
  },

  /** Reads and writes the registers of the Event queue. @returns what it saw, for the linearizability check. */
  historian() {
    const low = (tag) => (tag << 8n) | BigInt(pick([4, 10]));
    const high = (tag) => tag & 0xfffn;
    const accesses = [
      { name: 'CR0', part: 'low', offset: at.CR0, value: () => BigInt(pick([0, at.EVENTQEN])) },
      { name: 'CR0ACK', part: 'low', offset: at.CR0ACK },
      { name: 'EVENTQ_PROD', part: 'low', offset: at.EVENTQ_PROD, value: () => BigInt(random(2 ** 20)) },
      { name: 'EVENTQ_BASE', part: 'low', offset: at.EVENTQ_BASE, value: low },
      { name: 'EVENTQ_BASE', part: 'high', offset: at.EVENTQ_BASE + 4, value: high },
      ...Array(2).fill({
        ...{ name: 'EVENTQ_BASE', part: 'whole', offset: at.EVENTQ_BASE },
        value: (tag) => (high(tag) << 32n) | low(tag),
      }),
    ];
    const history = [];
    for (let number = 0; number < task.operations; number++) {
      const access = pick(accesses);
      const { name, part, offset } = access;
      const write = access.value !== undefined && random(2) === 0;
      let value = write ? access.value(BigInt(number * agents + agent + 1)) : 0n;
      const invoked = Atomics.add(state, CLOCK, 1);
      if (write) {
        if (part === 'whole') port.write64(offset, value);
        else port.write32(offset, Number(value));
        // A read of the same agent ends when its write has been applied: the write is over then.
        port.read32(0);
      } else value = part === 'whole' ? port.read64(offset) : BigInt(port.read32(offset) >>> 0);
      history.push({ invoked, completed: Atomics.add(state, CLOCK, 1), name, write, part, value });
    }
    return history;
  },
};

Atomics.add(state, PRESENT, 1);
// Nobody begins before all are there.
while (Atomics.load(state, PRESENT) < agents) Atomics.wait(state, PRESENT, Atomics.load(state, PRESENT), 1);
parentPort.postMessage({ role, result: roles[role]() });
