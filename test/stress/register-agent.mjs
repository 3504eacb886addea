/** An agent that reads and writes registers and notes what it saw; for register-threads.test.ts. Runs the built package. */
import { parentPort, workerData } from 'node:worker_threads';
import { MachineView } from '../../dist/src/runtime/shared/shared-machine.js';
import { SharedSmmuPort } from '../../dist/src/runtime/threads/smmu-port.js';

const { shared, agent, agents, operations, registers, clock } = workerData;
// The guest memory wants a number for every thread; agents take those that no thread of the machine has.
const port = new SharedSmmuPort(MachineView.attach(shared, 200 + agent), 0, 0);

let state = agent + 1;
function random(below) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

/** A value of this write, in the bits that the register keeps; both halves tell which write it was. */
function taggedValue(number, bits, mask) {
  const tag = BigInt(number * agents + agent + 1);
  return ((tag << BigInt((bits / 32) * 16)) | (tag << 6n)) & mask;
}

const history = registers.map(() => []);
Atomics.add(clock, 1, 1);
// Nobody begins before all are there.
while (Atomics.load(clock, 1) < agents) Atomics.wait(clock, 1, Atomics.load(clock, 1), 1);
for (let number = 0; number < operations; number++) {
  const index = random(registers.length);
  const { offset, bits, mask } = registers[index];
  const part = bits === 32 ? 'low' : ['whole', 'low', 'high'][random(3)];
  const at = part === 'high' ? offset + 4 : offset;
  const write = random(3) === 0;
  const whole = taggedValue(number, bits, BigInt(mask));
  let value = part === 'whole' ? whole : part === 'low' ? whole & 0xffff_ffffn : whole >> 32n;
  const invoked = Atomics.add(clock, 0, 1);
  if (write) {
    if (part === 'whole') port.write64(at, value);
    else port.write32(at, Number(value));
    // A read of the same agent ends when its write has been applied: the write is over then.
    port.read32(0);
  } else {
    value = part === 'whole' ? port.read64(at) : BigInt(port.read32(at));
  }
  history[index].push({ invoked, completed: Atomics.add(clock, 0, 1), write, part, value });
}
parentPort.postMessage(history);
