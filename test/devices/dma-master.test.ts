import { describe, expect, test } from 'vitest';
import { type AccessPort, BATCH_ACCESSES, DmaMaster, type DmaStep } from '../../src/devices/dma-master.js';
import { countMismatches, fillPattern, patternByte } from '../../src/devices/pattern.js';
import { ABORT, OK, type Outcome, STALL } from '../../src/smmu/transaction.js';

interface Recorded {
  readonly kind: 'read' | 'write';
  readonly iova: bigint;
  readonly sizeBytes: number;
}

/** Flat memory by input address; what `refuse` says is aborted. */
class RecordingPort implements AccessPort {
  isAwaited = false;
  readonly accesses: Recorded[] = [];
  readonly bytes = new Map<bigint, number>();
  refuse: (iova: bigint, write: boolean) => boolean = () => false;
  /** How often each access stalls before it is answered. */
  stalls = 0;
  #asked = 0;

  #stalled(): boolean {
    this.#asked = this.#asked < this.stalls ? this.#asked + 1 : 0;
    return this.#asked > 0;
  }

  #record(kind: 'read' | 'write', lo: number, hi: number, sizeBytes: number): bigint {
    const iova = (BigInt(hi) << 32n) | BigInt(lo);
    this.accesses.push({ kind, iova, sizeBytes });
    return iova;
  }

  read(lo: number, hi: number, into: Uint8Array, offset: number, sizeBytes: number): Outcome {
    if (this.#stalled()) return STALL;
    const iova = this.#record('read', lo, hi, sizeBytes);
    if (this.refuse(iova, false)) return ABORT;
    for (let i = 0; i < sizeBytes; i++) into[offset + i] = this.bytes.get(iova + BigInt(i)) ?? 0;
    return OK;
  }

  write(lo: number, hi: number, from: Uint8Array, offset: number, sizeBytes: number): Outcome {
    if (this.#stalled()) return STALL;
    const iova = this.#record('write', lo, hi, sizeBytes);
    if (this.refuse(iova, true)) return ABORT;
    for (let i = 0; i < sizeBytes; i++) this.bytes.set(iova + BigInt(i), from[offset + i]!);
    return OK;
  }
}

function step(values: Partial<DmaStep>): DmaStep {
  return { op: 'fill', iova: 0n, sizeBytes: 4096, blockBytes: 64, repeat: 1, pattern: 7, ...values };
}

function runAll(master: DmaMaster): void {
  while (!master.finished) master.run();
}

describe('H2 the pattern', () => {
  test('byte by byte and by range agree at any alignment', () => {
    const buffer = new Uint8Array(300);
    for (const start of [0, 1, 2, 3, 0xfff, 0x1234_5679, 0xffff_fe00]) {
      fillPattern(99, start, 5, buffer, 3, 201);
      for (let i = 0; i < 201; i++) expect(buffer[3 + i]).toBe(patternByte(99, start + i, 5));
      expect(countMismatches(99, start, 5, buffer, 3, 201)).toBe(0);
    }
  });

  test('data that is a word, a page or 4 GiB off, or another pattern, is noticed', () => {
    const buffer = new Uint8Array(4096);
    fillPattern(1, 0x1000, 0, buffer, 0, 4096);
    for (const [pattern, lo, hi] of [
      [1, 0x1004, 0],
      [1, 0x1040, 0],
      [1, 0x2000, 0],
      [1, 0x1000, 1],
      [2, 0x1000, 0],
      [0, 0x1000, 1],
    ] as const) {
      expect(countMismatches(pattern, lo, hi, buffer, 0, 4096)).toBeGreaterThan(3500);
    }
    buffer[77]! ^= 1;
    expect(countMismatches(1, 0x1000, 0, buffer, 0, 4096)).toBe(1);
  });
});

describe('H1 a DMA master', () => {
  test('makes no further access in a batch when somebody waits for those it has made, and gets on all the same', () => {
    const port = new RecordingPort();
    const master = new DmaMaster([step({})], port);
    expect(master.run(8)).toBe(8);
    port.isAwaited = true;
    expect(master.run(8), '64 bytes each').toBe(4);
    expect(port.accesses).toHaveLength(12);
    runAll(master);
    expect(master.counters).toEqual([{ accesses: 64, bytes: 4096, aborts: 0, mismatches: 0 }]);
  });

  test.each([
    [1, 8],
    [8, 8],
    [64, 4],
    [128, 2],
    [4096, 1],
  ])('looks for who waits in time: accesses of %d bytes, %d of them', (blockBytes, accesses) => {
    const port = new RecordingPort();
    port.isAwaited = true;
    const master = new DmaMaster([step({ blockBytes, sizeBytes: 64 * blockBytes })], port);
    expect(master.run(64)).toBe(accesses);
  });

  test('fills and checks what it filled, and counts', () => {
    const port = new RecordingPort();
    const master = new DmaMaster([step({}), step({ op: 'check' }), step({ op: 'read', repeat: 3 })], port);
    runAll(master);
    expect(master.counters).toEqual([
      { accesses: 64, bytes: 4096, aborts: 0, mismatches: 0 },
      { accesses: 64, bytes: 4096, aborts: 0, mismatches: 0 },
      { accesses: 192, bytes: 12288, aborts: 0, mismatches: 0 },
    ]);
  });

  test('a check counts each wrong byte', () => {
    const port = new RecordingPort();
    runAll(new DmaMaster([step({})], port));
    port.bytes.set(5n, port.bytes.get(5n)! ^ 0x80);
    const master = new DmaMaster([step({ op: 'check' })], port);
    runAll(master);
    expect(master.counters[0]!.mismatches).toBe(1);
  });

  test('no access crosses 4 KiB, whatever the block size and the alignment', () => {
    const port = new RecordingPort();
    const steps = [
      step({ iova: 0xfffn, sizeBytes: 9000, blockBytes: 4096 }),
      step({ op: 'copy', iova: 0x1f00n, to: 0x5_0000_0e80n, sizeBytes: 5000, blockBytes: 300 }),
    ];
    runAll(new DmaMaster(steps, port));
    for (const { iova, sizeBytes } of port.accesses) {
      expect(sizeBytes).toBeGreaterThan(0);
      expect(iova >> 12n).toBe((iova + BigInt(sizeBytes) - 1n) >> 12n);
    }
    expect(port.accesses.slice(0, 4).map(({ sizeBytes }) => sizeBytes)).toEqual([1, 4096, 4096, 807]);
  });

  test('addresses carry across 4 GiB', () => {
    const port = new RecordingPort();
    runAll(new DmaMaster([step({ iova: 0xffff_f000n, sizeBytes: 8192, blockBytes: 4096 })], port));
    expect(port.accesses.map(({ iova }) => iova)).toEqual([0xffff_f000n, 0x1_0000_0000n]);
  });

  test('a copy reads then writes, and does not write what it could not read', () => {
    const port = new RecordingPort();
    runAll(new DmaMaster([step({ sizeBytes: 256 })], port));
    port.accesses.length = 0;
    port.refuse = (iova) => iova === 64n;
    const copy = step({ op: 'copy', to: 0x9000n, sizeBytes: 256 });
    const master = new DmaMaster([copy], port);
    runAll(master);
    expect(port.accesses.map(({ kind }) => kind).join(' ')).toBe('read write read read write read write');
    expect(master.counters[0]).toEqual({ accesses: 7, bytes: 6 * 64, aborts: 1, mismatches: 0 });
    expect(port.bytes.get(0x9000n)).toBe(patternByte(7, 0, 0));
    expect(port.bytes.has(0x9040n)).toBe(false);
  });

  test('a batch is at most 64 accesses, ends with its step, and resumes inside a copy', () => {
    const port = new RecordingPort();
    const master = new DmaMaster([step({ op: 'copy', to: 0x9000n }), step({ sizeBytes: 0 }), step({})], port);
    expect(BATCH_ACCESSES).toBe(64);
    expect(master.run(1)).toBe(1);
    expect(master.run(1)).toBe(1);
    expect(port.accesses.map(({ kind }) => kind)).toEqual(['read', 'write']);
    expect(master.run()).toBe(64);
    expect(master.run()).toBe(62);
    expect(master.step).toBe(2);
    expect(master.run()).toBe(64);
    expect(master.finished).toBe(true);
    expect(master.run()).toBe(0);
  });

  test('G12: a stalled access ends the batch and is asked about again; nothing is done twice or left out', () => {
    const steps = [
      step({ sizeBytes: 128 }),
      step({ op: 'copy', to: 0x9000n, sizeBytes: 128 }),
      step({ op: 'check', sizeBytes: 128 }),
    ];
    const [smooth, stalling] = [new RecordingPort(), new RecordingPort()];
    stalling.stalls = 2;
    const masters = [smooth, stalling].map((port) => new DmaMaster(steps, port));
    runAll(masters[0]!);
    const master = masters[1]!;
    expect([
      master.run(),
      master.stalled,
      master.run(),
      master.stalled,
      master.run(1),
      master.stalled,
    ]).toEqual([...[0, true, 0, true, 1, false]]);
    runAll(master);
    expect(stalling.accesses).toEqual(smooth.accesses);
    expect(master.counters).toEqual(masters[0]!.counters);
  });

  test('an aborted access is counted and the step goes on', () => {
    const port = new RecordingPort();
    port.refuse = (iova) => iova < 128n;
    const master = new DmaMaster([step({ sizeBytes: 256 })], port);
    runAll(master);
    expect(master.counters[0]).toEqual({ accesses: 4, bytes: 128, aborts: 2, mismatches: 0 });
  });
});
