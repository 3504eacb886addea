/** The pure parts between threads, in one thread: every order of steps that the protocol distinguishes. */
import { describe, expect, it } from 'vitest';
import { NON_SECURE, SECURE, type SecurityState } from '../../src/arch/security.js';
import { Control, EVENT_SLOTS, LOG_MESSAGES, MAILBOX_SLOTS } from '../../src/runtime/shared/control.js';
import { EventRingReceiver, EventRingSender } from '../../src/runtime/shared/event-ring.js';
import { initializeMailbox, MailboxReceiver, MailboxSender } from '../../src/runtime/shared/mailbox.js';
import { Signal, WaitAborted, waitUntil } from '../../src/runtime/shared/signal.js';
import { SharedTbuChannel } from '../../src/runtime/shared/tbu-channel.js';
import { TbuGuard } from '../../src/runtime/shared/tbu-guard.js';
import {
  BANK_GBPA,
  BANK_SECURITY,
  MESSAGE_BANK,
  MESSAGE_COMMAND,
  MESSAGE_INVALIDATE_ALL,
  MESSAGE_WORDS,
} from '../../src/smmu/maintenance.js';

const SHAPE = { smmus: 2, lanes: 2, software: 1, devices: 1 };
const AT_ONCE = { what: 'a partner', timeoutMs: 0, lost: () => undefined };

function freshControl(): Control {
  const control = new Control(SHAPE, Control.allocate(SHAPE));
  for (const smmu of control.offsets.smmus) initializeMailbox(control.words, smmu);
  return control;
}

function command(tag: number): Int32Array {
  const message = new Int32Array(MESSAGE_WORDS);
  message[0] = MESSAGE_COMMAND;
  message[1] = tag;
  return message;
}

function bank(GBPA: number, security: SecurityState): Int32Array {
  const message = new Int32Array(MESSAGE_WORDS);
  message[0] = MESSAGE_BANK;
  message[BANK_GBPA] = GBPA;
  message[BANK_SECURITY] = security;
  return message;
}

class Recorder {
  readonly messages: number[][] = [];

  handle(message: Int32Array): void {
    this.messages.push([...message]);
  }

  get tags(): number[] {
    return this.messages.filter((words) => words[0] === MESSAGE_COMMAND).map((words) => words[1]!);
  }
}

function guardOf(control: Control, lane: number, tbu: Recorder, limit = AT_ONCE): TbuGuard {
  const smmu = control.offsets.smmus[0]!;
  return new TbuGuard(control, smmu, smmu.slots[lane]!, tbu, limit);
}

describe('control memory', () => {
  it('gives every watched word a 128-byte line of its own', () => {
    const { smmus, totalWords } = freshControl().offsets;
    const watched = smmus.flatMap((smmu) => [
      smmu.state,
      smmu.heartbeat,
      smmu.doorbell,
      smmu.progress,
      smmu.mailboxTail,
      smmu.mailboxConsumed,
      smmu.logEpoch,
      smmu.logReserved,
      smmu.awaitsTbus,
      ...smmu.slots.flatMap((slot) => [slot.active, slot.seen, slot.eventHead, slot.eventTail]),
    ]);
    expect(new Set(watched.map((offset) => offset >>> 5)).size).toBe(watched.length);
    expect(watched.every((offset) => offset % 32 === 0 && offset < totalWords)).toBe(true);
  });
});

describe('register-write mailbox (B5, B6)', () => {
  it('delivers 64-bit values whole, in ticket order, with size and Security state', () => {
    const control = freshControl();
    const at = control.offsets.smmus[0]!;
    const [one, other] = [new MailboxSender(control, at, AT_ONCE), new MailboxSender(control, at, AT_ONCE)];
    const writes: unknown[][] = [];
    one.post(0x80, 8, 0xffff_ffff_0000_0001n, NON_SECURE);
    other.post(0x8098, 4, 7n, SECURE);
    one.post(0x20, 4, 0xffff_ffffn, NON_SECURE);
    const receiver = new MailboxReceiver(control, at);
    expect(receiver.drain({ writeRegister: (...write) => writes.push(write) })).toBe(true);
    expect(writes).toEqual([
      [0x80, 8, 0xffff_ffff_0000_0001n, NON_SECURE],
      [0x8098, 4, 7n, SECURE],
      [0x20, 4, 0xffff_ffffn, NON_SECURE],
    ]);
    expect(receiver.drain({ writeRegister: () => expect.unreachable() })).toBe(false);
  });

  it('keeps a read behind the own last write, and gives up after a bounded wait', () => {
    const control = freshControl();
    const at = control.offsets.smmus[0]!;
    const sender = new MailboxSender(control, at, AT_ONCE);
    const bystander = new MailboxSender(control, at, AT_ONCE);
    sender.post(0x20, 4, 1n, NON_SECURE);
    expect(() => sender.flush()).toThrow(WaitAborted);
    expect(() => bystander.flush()).not.toThrow();
    new MailboxReceiver(control, at).drain({ writeRegister: () => {} });
    expect(() => sender.flush()).not.toThrow();
  });

  it('goes round the ring many times, and a full ring blocks the producer', () => {
    const control = freshControl();
    const at = control.offsets.smmus[1]!;
    const sender = new MailboxSender(control, at, AT_ONCE);
    const receiver = new MailboxReceiver(control, at);
    const seen: bigint[] = [];
    for (let value = 0n; value < 5 * MAILBOX_SLOTS; value++) {
      sender.post(0, 8, value, NON_SECURE);
      if (value % 100n === 99n) receiver.drain({ writeRegister: (_offset, _size, got) => seen.push(got) });
    }
    while (receiver.drain({ writeRegister: (_offset, _size, got) => seen.push(got) }));
    expect(seen).toEqual(Array.from({ length: 5 * MAILBOX_SLOTS }, (_, i) => BigInt(i)));
    for (let i = 0; i < MAILBOX_SLOTS; i++) sender.post(0, 8, 0n, NON_SECURE);
    expect(() => sender.post(0, 8, 0n, NON_SECURE)).toThrow(WaitAborted);
  });

  it('names the reason when the partner is lost', () => {
    const control = freshControl();
    const limit = { what: 'smmu0 to take a register write', timeoutMs: 1e9, lost: () => 'smmu0 died' };
    expect(() => waitUntil(() => false, new Signal(control.words, 0), limit)).toThrow(
      'waited for smmu0 to take a register write: smmu0 died',
    );
  });
});

describe('maintenance between TCU and TBU (IHI 0070 4.7.3)', () => {
  it('F7: does not settle while a batch that began before the message runs', () => {
    const control = freshControl();
    const channel = new SharedTbuChannel(control, control.offsets.smmus[0]!);
    const tbu = new Recorder();
    const guard = guardOf(control, 0, tbu);
    guard.begin();
    channel.broadcast(command(1));
    expect(channel.settled()).toBe(false);
    guard.end();
    expect(channel.settled()).toBe(true);
    expect(tbu.tags).toEqual([]);
    guard.begin();
    expect(tbu.tags).toEqual([1]);
    expect(channel.settled()).toBe(true);
  });

  it('F7: each of several TBUs counts', () => {
    const control = freshControl();
    const channel = new SharedTbuChannel(control, control.offsets.smmus[0]!);
    const guards = [guardOf(control, 0, new Recorder()), guardOf(control, 1, new Recorder())];
    for (const guard of guards) guard.begin();
    channel.broadcast(command(1));
    guards[0]!.end();
    expect(channel.settled()).toBe(false);
    guards[0]!.begin();
    expect(channel.settled()).toBe(false);
    guards[1]!.end();
    expect(channel.settled()).toBe(true);
  });

  it('F8: one SMMU neither waits for nor reaches the TBUs of another', () => {
    const control = freshControl();
    const [first, second] = control.offsets.smmus as [
      (typeof control.offsets.smmus)[0],
      (typeof control.offsets.smmus)[0],
    ];
    const tbu = new Recorder();
    const guard = new TbuGuard(control, second, second.slots[0]!, tbu, AT_ONCE);
    guard.begin();
    const before = tbu.messages.length;
    const channel = new SharedTbuChannel(control, first);
    channel.broadcast(command(1));
    expect(channel.settled()).toBe(true);
    guard.end();
    guard.begin();
    expect(tbu.messages.length).toBe(before);
  });

  it('an idle TBU is never waited for and catches up in order when it wakes', () => {
    const control = freshControl();
    const channel = new SharedTbuChannel(control, control.offsets.smmus[0]!);
    const tbu = new Recorder();
    const guard = guardOf(control, 0, tbu);
    guard.begin();
    guard.end();
    for (let tag = 1; tag <= LOG_MESSAGES; tag++) channel.broadcast(command(tag));
    expect(channel.settled()).toBe(true);
    guard.begin();
    expect(tbu.tags).toEqual(Array.from({ length: LOG_MESSAGES }, (_, i) => i + 1));
  });

  it('a TBU that is behind by more than the ring drops everything and reads both banks again', () => {
    const control = freshControl();
    const channel = new SharedTbuChannel(control, control.offsets.smmus[0]!);
    const tbu = new Recorder();
    const guard = guardOf(control, 0, tbu);
    guard.begin();
    guard.end();
    tbu.messages.length = 0;
    channel.broadcast(bank(0x11, NON_SECURE));
    channel.broadcast(bank(0x22, NON_SECURE));
    channel.broadcast(bank(0x33, SECURE));
    for (let tag = 0; tag < LOG_MESSAGES; tag++) channel.broadcast(command(tag));
    guard.begin();
    expect(tbu.messages.map((words) => [words[0], words[BANK_GBPA], words[BANK_SECURITY]])).toEqual([
      [MESSAGE_INVALIDATE_ALL, 0, 0],
      [MESSAGE_BANK, 0x22, NON_SECURE],
      [MESSAGE_BANK, 0x33, SECURE],
    ]);
    expect(channel.settled()).toBe(true);
  });

  it('a TBU that is overtaken while it reads the ring starts from scratch', () => {
    const control = freshControl();
    const channel = new SharedTbuChannel(control, control.offsets.smmus[0]!);
    class Overtaken extends Recorder {
      overtake = false;
      override handle(message: Int32Array): void {
        super.handle(message);
        if (!this.overtake) return;
        this.overtake = false;
        for (let tag = 0; tag <= LOG_MESSAGES; tag++) channel.broadcast(command(1000 + tag));
      }
    }
    const tbu = new Overtaken();
    const guard = guardOf(control, 0, tbu);
    guard.begin();
    guard.end();
    tbu.messages.length = 0;
    channel.broadcast(command(1));
    channel.broadcast(command(2));
    tbu.overtake = true;
    guard.begin();
    // Once for what it was overtaken by while it read, and once for what has come since.
    expect(tbu.messages.map((words) => words[0])).toEqual([
      ...[MESSAGE_COMMAND, MESSAGE_INVALIDATE_ALL, MESSAGE_INVALIDATE_ALL],
    ]);
    expect(channel.settled()).toBe(true);
    guard.end();
  });

  it('K1: a batch is behind from the moment that a message is sent until the next one is opened', () => {
    const control = freshControl();
    const channel = new SharedTbuChannel(control, control.offsets.smmus[0]!);
    const guard = guardOf(control, 0, new Recorder());
    guard.begin();
    expect(guard.isBehind).toBe(false);
    channel.broadcast(command(1));
    expect(guard.isBehind).toBe(true);
    guard.end();
    guard.begin();
    expect(guard.isBehind).toBe(false);
  });

  it('K1: a TBU that applies messages before its batch keeps no CMD_SYNC waiting, and misses none that comes meanwhile', () => {
    const control = freshControl();
    const smmu = control.offsets.smmus[0]!;
    const channel = new SharedTbuChannel(control, smmu);
    const settled: boolean[] = [];
    const tags: number[] = [];
    const tbu = {
      handle: (message: Int32Array) => {
        if (message[0] !== MESSAGE_COMMAND) return;
        tags.push(message[1]!);
        settled.push(channel.settled());
        if (tags.length === 1) channel.broadcast(command(2));
      },
    };
    const guard = new TbuGuard(control, smmu, smmu.slots[0]!, tbu, AT_ONCE);
    guard.begin();
    guard.end();
    channel.broadcast(command(1));
    guard.begin();
    expect(tags).toEqual([1, 2]);
    expect(settled[0]).toBe(true);
    expect(channel.settled()).toBe(true);
  });

  it('a TBU that comes late takes the banks as they are now', () => {
    const control = freshControl();
    const channel = new SharedTbuChannel(control, control.offsets.smmus[0]!);
    channel.broadcast(bank(0x44, NON_SECURE));
    const tbu = new Recorder();
    guardOf(control, 1, tbu).begin();
    expect(tbu.messages.map((words) => words[0])).toEqual([MESSAGE_INVALIDATE_ALL, MESSAGE_BANK]);
  });
});

describe('event rings', () => {
  const record = (tag: number) => Int32Array.of(tag, 1, 2, 3, 4, 5, 6, -7);

  it('CMD_SYNC settles only when the events of finished transactions have been handed over, in order', () => {
    const control = freshControl();
    const at = control.offsets.smmus[0]!;
    const channel = new SharedTbuChannel(control, at);
    const sender = new EventRingSender(control, at, at.slots[1]!, AT_ONCE);
    const guard = guardOf(control, 1, new Recorder());
    guard.begin();
    sender.record(record(1), SECURE, true);
    sender.record(record(2), NON_SECURE, false);
    guard.end();
    channel.broadcast(command(1));
    expect(channel.settled()).toBe(false);
    sender.record(record(3), NON_SECURE, false);
    const events: unknown[] = [];
    channel.drainEvents({
      record: (words, security, stall) => events.push([[...words], security, stall]),
    });
    expect(events).toEqual([
      [[...record(1)], SECURE, true],
      [[...record(2)], NON_SECURE, false],
      [[...record(3)], NON_SECURE, false],
    ]);
    sender.record(record(4), NON_SECURE, false);
    expect(channel.settled()).toBe(true);
  });

  it('drops nothing: a full ring holds the producer, for a bounded time', () => {
    const control = freshControl();
    const at = control.offsets.smmus[0]!;
    const sender = new EventRingSender(control, at, at.slots[0]!, AT_ONCE);
    for (let tag = 0; tag < EVENT_SLOTS; tag++) sender.record(record(tag), NON_SECURE, false);
    expect(() => sender.record(record(-1), NON_SECURE, false)).toThrow(WaitAborted);
    const tags: number[] = [];
    new EventRingReceiver(control, at.slots[0]!).drain({ record: (words) => tags.push(words[0]!) });
    expect(tags).toEqual(Array.from({ length: EVENT_SLOTS }, (_, i) => i));
  });

  it('goes round the ring many times, whenever the TCU takes some', () => {
    const control = freshControl();
    const at = control.offsets.smmus[0]!;
    const sender = new EventRingSender(control, at, at.slots[0]!, AT_ONCE);
    const receiver = new EventRingReceiver(control, at.slots[0]!);
    const tags: number[] = [];
    for (let tag = 0; tag < 5 * EVENT_SLOTS; tag++) {
      sender.record(record(tag), NON_SECURE, false);
      if (tag % 50 === 49) receiver.drain({ record: (words) => tags.push(words[0]!) });
    }
    receiver.drain({ record: (words) => tags.push(words[0]!) });
    expect(tags).toEqual(Array.from({ length: 5 * EVENT_SLOTS }, (_, i) => i));
  });

  it('K1: the TCU is called once for the records of a batch, and where the ring is full', () => {
    const control = freshControl();
    const at = control.offsets.smmus[0]!;
    const doorbell = new Signal(control.words, at.doorbell);
    const sender = new EventRingSender(control, at, at.slots[0]!, AT_ONCE);
    sender.call();
    expect(doorbell.count).toBe(0);
    for (let tag = 0; tag < 3; tag++) sender.record(record(tag), NON_SECURE, false);
    sender.call();
    sender.call();
    expect(doorbell.count).toBe(1);
    for (let tag = 3; tag < EVENT_SLOTS; tag++) sender.record(record(tag), NON_SECURE, false);
    expect(doorbell.count).toBe(1);
    expect(() => sender.record(record(-1), NON_SECURE, false)).toThrow(WaitAborted);
    expect(doorbell.count).toBe(2);
  });
});
