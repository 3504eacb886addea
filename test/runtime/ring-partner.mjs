/** The other thread of the stress tests in shared-rings-threads.test.ts; runs the built package. */
import { workerData } from 'node:worker_threads';
import { Control } from '../../dist/src/runtime/shared/control.js';
import { EventRingSender } from '../../dist/src/runtime/shared/event-ring.js';
import { MailboxSender } from '../../dist/src/runtime/shared/mailbox.js';
import { TbuGuard } from '../../dist/src/runtime/shared/tbu-guard.js';

const { role, shape, buffer, flags, count, id } = workerData;
const control = new Control(shape, buffer);
const smmu = control.offsets.smmus[0];
const limit = { what: 'the test', timeoutMs: 30_000, lost: () => undefined };

/** Posts numbered values; every eighth time waits until the last is applied. */
function post() {
  const sender = new MailboxSender(control, smmu, limit);
  for (let i = 0; i < count; i++) {
    sender.post(id, 8, (BigInt(i) << 32n) | BigInt(i), 0);
    if (i % 8 === 0) sender.flush();
  }
}

/**
 * Runs batches until told to stop. flags: [stop, newest message that has settled, violations, batches]. While a batch
 * runs, no message may settle that it has not applied.
 */
function translate() {
  let applied = 0;
  const slot = smmu.slots[id];
  const tbu = {
    handle: (message) => {
      // INVALIDATE_ALL: what was skipped is covered, up to the newest BANK message.
      if (message[0] === 2) applied = Math.max(applied, message[1]);
      if (message[0] === 1) applied = message[1];
    },
  };
  const guard = new TbuGuard(control, smmu, slot, tbu, limit);
  const events = new EventRingSender(control, smmu, slot, limit);
  const record = new Int32Array(8);
  while (Atomics.load(flags, 0) === 0) {
    guard.begin();
    for (let i = 0; i < 16; i++) if (Atomics.load(flags, 1) > applied) Atomics.add(flags, 2, 1);
    if ((record[0] & 63) === 0) events.record(record, 0, false);
    record[0]++;
    guard.end();
    events.call();
    Atomics.add(flags, 3, 1);
  }
}

if (role === 'post') post();
else translate();
