/**
 * An SMMU's thread for register-races.test.ts that notes which commands it executes, and that can be given a fault. Runs the
 * built package.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { SmmuThread } from '../../dist/src/runtime/threads/smmu-thread.js';
import { BANK_STRTAB_BASE_CFG, MESSAGE_BANK, MESSAGE_COMMAND } from '../../dist/src/smmu/maintenance.js';

const { shared, executed, fault, at } = workerData;
const nobody = new Int32Array(new SharedArrayBuffer(4));

/** Notes the StreamID of each command on its way to the TBUs: the test's commands have nothing else to be told by. */
function recording(channel) {
  return {
    broadcast(message) {
      if (message[0] === MESSAGE_COMMAND)
        executed[1 + (Atomics.add(executed, 0, 1) % (executed.length - 1))] = message[2];
      channel.broadcast(message);
    },
    settled: () => channel.settled(),
  };
}

/** Announces a bank in two messages: the Stream table's configuration comes after its base. */
function tornBank(channel) {
  let config = 0;
  let messages = 0;
  return {
    broadcast(message) {
      if (message[0] === MESSAGE_BANK) {
        const half = message.slice();
        half[BANK_STRTAB_BASE_CFG] = config;
        config = message[BANK_STRTAB_BASE_CFG];
        channel.broadcast(half);
        if (messages++ % 8 === 0) Atomics.wait(nobody, 0, 0, 1);
      }
      channel.broadcast(message);
    },
    settled: () => channel.settled(),
  };
}

/** Waits for nobody. */
const unsettled = (channel) => ({ broadcast: (message) => channel.broadcast(message), settled: () => true });

const channels = { 'torn bank': tornBank, 'early acknowledgement': unsettled };
const thread = new SmmuThread({ shared, smmu: 0 }, (channel) =>
  recording(channels[fault]?.(channel) ?? channel),
);
const { tcu } = thread;
const { words } = tcu.registers;
const write = tcu.writeRegister.bind(tcu);

const writers = {
  /** Guarded registers take what is written whenever it is. */
  'no guards': (offset, sizeBytes, value, security) => {
    if (!at.guarded.includes(offset & ~7)) return write(offset, sizeBytes, value, security);
    for (let word = 0; word < sizeBytes / 4; word++) {
      Atomics.store(words, offset / 4 + word, Number(BigInt.asIntN(32, value >> BigInt(32 * word))));
    }
  },
  /** The upper half of a 64-bit write waits for the next write. */
  'halves apart': (() => {
    let upper;
    return (offset, sizeBytes, value, security) => {
      const late = upper;
      upper = undefined;
      if (sizeBytes === 8) {
        write(offset, 4, value & 0xffff_ffffn, security);
        upper = () => write(offset + 4, 4, value >> 32n, security);
      } else write(offset, sizeBytes, value, security);
      late?.();
    };
  })(),
  /** A queue that is disabled forgets the last command that it consumed. */
  'forgets one': (offset, sizeBytes, value, security) => {
    const isEnabled = (words[at.CR0 / 4] & at.CMDQEN) !== 0;
    write(offset, sizeBytes, value, security);
    if (!isEnabled || (words[at.CR0 / 4] & at.CMDQEN) !== 0) return;
    Atomics.store(words, at.CMDQ_CONS / 4, (words[at.CMDQ_CONS / 4] - 1) & at.indexMask);
  },
};
if (writers[fault] !== undefined) tcu.writeRegister = writers[fault];
// Who only sleeps on memory is no reason for Node to keep a thread.
parentPort.on('message', () => {});
thread.run();
