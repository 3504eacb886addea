/**
 * Guest memory between real threads. Node 20 does not start a worker from TypeScript, so the module under test is
 * compiled into a temporary folder first.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import { load64, store64 } from '../../src/memory/words.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const RAM = { id: 'ram', base: 0x8000_0000, sizeBytes: 0x10_0000 };

let folder: string;
let guestMemoryModule: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'guest-memory-'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const options =
    '--ignoreConfig --target es2023 --module nodenext --types node --skipLibCheck --outDir'.split(' ');
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const source = join(root, 'src/memory/guest-memory.ts');
  execFileSync(process.execPath, [tsc, source, ...options, folder], { cwd: root });
  guestMemoryModule = pathToFileURL(join(folder, 'guest-memory.js')).href;
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `body` in a thread attached to the memory, with `space`, `memory`, `control` and `report` in scope. */
async function startThread(memory: GuestMemory, threadIndex: number, control: Int32Array, body: string) {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const report = (message) => parentPort.postMessage(message);
    import(workerData.module).then(({ GuestMemory }) => {
      const memory = GuestMemory.attach(workerData.handle, workerData.threadIndex);
      const space = memory.space(['ram']);
      const control = workerData.control;
      ${body}
    });`;
  const workerData = { module: guestMemoryModule, handle: memory.handle, threadIndex, control };
  return new Worker(code, { eval: true, workerData });
}

async function reply(worker: Worker): Promise<unknown> {
  const [message] = await once(worker, 'message');
  return message;
}

describe('threads', () => {
  it('a thread that attaches sees the data, and what it writes is seen', async () => {
    const memory = GuestMemory.create([RAM]);
    const space = memory.space(['ram']);
    store64(space, RAM.base, 0x0123_4567_89ab_cdefn);
    const worker = await startThread(
      memory,
      1,
      new Int32Array(1),
      `const pair = new Int32Array(2);
       space.load(${RAM.base}, pair, 1);
       space.store(${RAM.base + 0x8000}, ~pair[0], ~pair[1]);
       report([...pair]);`,
    );
    expect(await reply(worker)).toEqual([0x89ab_cdef | 0, 0x0123_4567]);
    await worker.terminate();
    expect(load64(space, RAM.base + 0x8000)).toBe(0xfedc_ba98_7654_3210n);
  });

  it('IHI 0070 3.21.3: 64-bit words do not tear, by store or by an aligned write of 8 bytes', async () => {
    const memory = GuestMemory.create([RAM]);
    const space = memory.space(['ram']);
    const control = new Int32Array(new SharedArrayBuffer(4));
    const worker = await startThread(
      memory,
      1,
      control,
      `const bytes = [0x11, 0x77].map((value) => new Uint8Array(8).fill(value));
       report('running');
       while (Atomics.load(control, 0) === 0) {
         for (let i = 0; i < 1000; i++) {
           const value = i & 1 ? 0x55555555 : 0x33333333;
           space.store(${RAM.base}, value, value);
           space.write(${RAM.base + 64}, bytes[i & 1], 0, 8);
         }
       }
       report('done');`,
    );
    expect(await reply(worker)).toBe('running');
    const pair = new Int32Array(2);
    const into = new Uint8Array(8);
    let torn = 0;
    for (let i = 0; i < 1_000_000; i++) {
      space.load(RAM.base, pair, 1);
      if (pair[0] !== pair[1]) torn++;
      space.load(RAM.base + 64, pair, 1);
      if (pair[0] !== pair[1]) torn++;
      space.read(RAM.base + 64, into, 0, 8);
      if (into[0] !== into[7]) torn++;
    }
    Atomics.store(control, 0, 1);
    expect(await reply(worker)).toBe('done');
    await worker.terminate();
    expect(torn).toBe(0);
  });

  it('compareAndSwap loses no update between two threads', async () => {
    const memory = GuestMemory.create([RAM]);
    const space = memory.space(['ram']);
    const rounds = 20_000;
    const increment = (n: number) => `
      const pair = new Int32Array(2);
      for (let done = 0; done < ${n}; ) {
        space.load(${RAM.base}, pair, 1);
        const next = pair[0] + 1;
        if (space.compareAndSwap(${RAM.base}, pair[0], pair[1], next, -next) === 1) done++;
      }
      report('done');`;
    const workers = await Promise.all(
      [1, 2].map((index) => startThread(memory, index, new Int32Array(1), increment(rounds))),
    );
    await Promise.all(workers.map(reply));
    await Promise.all(workers.map((worker) => worker.terminate()));
    const pair = new Int32Array(2);
    space.load(RAM.base, pair, 1);
    expect([...pair]).toEqual([2 * rounds, -2 * rounds]);
  });
});
