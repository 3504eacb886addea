/** The structures between threads under real threads; the partner thread runs the built package. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Control } from '../../src/runtime/shared/control.js';
import { initializeMailbox, MailboxReceiver } from '../../src/runtime/shared/mailbox.js';
import { Signal } from '../../src/runtime/shared/signal.js';
import { SharedTbuChannel } from '../../src/runtime/shared/tbu-channel.js';
import { BANK_SMMUEN, MESSAGE_BANK, MESSAGE_COMMAND, MESSAGE_WORDS } from '../../src/smmu/maintenance.js';

const SHAPE = { smmus: 1, lanes: 2, software: 1, devices: 0 };

function setUp() {
  const buffer = Control.allocate(SHAPE);
  const control = new Control(SHAPE, buffer);
  const smmu = control.offsets.smmus[0]!;
  initializeMailbox(control.words, smmu);
  const flags = new Int32Array(new SharedArrayBuffer(16));
  const partner = (role: string, id: number, count = 0) =>
    new Worker(new URL('./ring-partner.mjs', import.meta.url), {
      workerData: { role, shape: SHAPE, buffer, flags, count, id },
    });
  return { control, smmu, flags, partner };
}

describe('between real threads', () => {
  it('B5: register writes of two agents arrive once, whole, and each agent in order', async () => {
    const { control, smmu, partner } = setUp();
    const count = 5000;
    const workers = [partner('post', 0, count), partner('post', 4, count)];
    const ended = Promise.all(workers.map((worker) => once(worker, 'exit')));
    const next = new Map([
      [0, 0],
      [4, 0],
    ]);
    let torn = 0;
    const writer = {
      writeRegister: (offset: number, _size: number, value: bigint) => {
        const expected = next.get(offset)!;
        if (value !== ((BigInt(expected) << 32n) | BigInt(expected))) torn++;
        next.set(offset, expected + 1);
      },
    };
    const receiver = new MailboxReceiver(control, smmu);
    const doorbell = new Signal(control.words, smmu.doorbell);
    const progress = new Signal(control.words, smmu.progress);
    for (let idle = 0; idle < 500 && next.get(0)! + next.get(4)! < 2 * count; ) {
      const seen = doorbell.count;
      if (receiver.drain(writer)) {
        progress.raise();
        idle = 0;
      } else {
        await doorbell.sleepAsync(seen, 20);
        idle++;
      }
    }
    await ended;
    expect(torn).toBe(0);
    expect([...next.values()]).toEqual([count, count]);
  });

  it('F7: no batch that began before a message is still running when it settles', async () => {
    const { control, smmu, flags, partner } = setUp();
    const channel = new SharedTbuChannel(control, smmu);
    const workers = [partner('translate', 0), partner('translate', 1)];
    while (Atomics.load(flags, 3) < 100) await new Promise((resolve) => setTimeout(resolve, 1));
    const message = new Int32Array(MESSAGE_WORDS);
    const progress = new Signal(control.words, smmu.progress);
    const doorbell = new Signal(control.words, smmu.doorbell);
    const events = { record: () => {} };
    const deadline = performance.now() + 3000;
    let tag = 0;
    for (; tag < 20_000 && performance.now() < deadline; ) {
      // Bursts of more than the log, so that TBUs also start from scratch.
      const burst = tag % 7 === 0 ? 300 : 1;
      for (let i = 0; i < burst; i++) {
        tag++;
        message[0] = i === burst - 1 ? MESSAGE_BANK : MESSAGE_COMMAND;
        message[BANK_SMMUEN] = tag;
        channel.broadcast(message);
      }
      for (;;) {
        const seen = doorbell.count;
        if (channel.settled()) break;
        if (channel.drainEvents(events)) progress.raise();
        else doorbell.sleep(seen, 1);
      }
      Atomics.store(flags, 1, tag);
    }
    Atomics.store(flags, 0, 1);
    const ended = Promise.all(workers.map((worker) => once(worker, 'exit')));
    const drain = setInterval(() => channel.drainEvents(events) && progress.raise(), 1);
    await ended;
    clearInterval(drain);
    expect(Atomics.load(flags, 2)).toBe(0);
    expect(tag).toBeGreaterThan(300);
  });
});
