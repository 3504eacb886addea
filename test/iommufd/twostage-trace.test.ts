/**
 * A Linux kernel with iommufd, recorded while it nested (test/vectors/linux, twostage): what its guest did and saw, done again
 * with an accelerated SMMU. The recording is of the host: nested STEs, stage 2 tables and the physical command queue. From it
 * comes what the guest did: its STE, its CDs and stage 1 tables in its own memory, the invalidations that it asked for.
 * Here a guest does this on an accelerated SMMU, our host makes stage 2, STEs and commands of its own, and every access must
 * reach the recorded address or abort, and the guest must see exactly the recorded events that are its own.
 */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { COMMAND } from '../../src/arch/commands.js';
import { CLASS_IN, EVENT, F_TRANSLATION } from '../../src/arch/events.js';
import { encode, get, getAddress, set } from '../../src/arch/layout.js';
import { NON_SECURE } from '../../src/arch/security.js';
import { STE } from '../../src/arch/structures.js';
import { HostSmmu } from '../../src/iommufd/host-smmu.js';
import type { Area } from '../../src/iommufd/ioas.js';
import { AcceleratedSmmu } from '../../src/iommufd/vsmmu/accelerated-smmu.js';
import { VfioCore, type VfioDevice } from '../../src/iommufd/vsmmu/vfio-core.js';
import { GuestMemory } from '../../src/memory/guest-memory.js';
import { readScenarios } from '../../src/scenario/files.js';
import type { DmaStep, EventsStep, MmioWriteStep } from '../../src/scenario/format.js';
import type { IdRegisters } from '../../src/smmu/config.js';
import { Smmu } from '../../src/smmu/smmu.js';
import { UNPRIV_READ, UNPRIV_WRITE } from '../../src/smmu/tbu/permission.js';
import { OK } from '../../src/smmu/transaction.js';
import { SmmuDriver } from '../../src/software/driver.js';
import { PageAllocator } from '../../src/software/page-allocator.js';
import { SpaceMemory } from '../../src/software/port.js';
import { OFFSETS } from '../spec-numbers.js';
import { config, guestIdRegisters, idRegisters, portOf, request } from './bench.js';

const TRACE = fileURLToPath(new URL('../vectors/linux/twostage-1.jsonl.gz', import.meta.url));
/** Our kernel's memory, beyond the recorded machine's, and what each guest has of it for STEs and queues. */
const KERNEL = 0x4_0000_0000;
const KERNEL_BYTES = 0x400_0000;
const OWN_GPA = 0x7f_0000_0000;
const OWN_BYTES = 0x10_0000;
const GUESTS_MAX = 16;
const NESTED = 7;
const STAGE_2 = 6;
const TLBI_FIRST = 0x10;
const TLBI_NH_VAA = 0x13;
const CFGI_CD = [0x05, 0x06];

/** Only stage 2 faults on a CD or a stage 1 table; the recording leaves S2 out there (linux/README.md). */
function isStage2(words: Uint32Array): boolean {
  const isFault = get(words, EVENT.EventNumber) >= F_TRANSLATION;
  return isFault && (get(words, EVENT.S2) === 1 || get(words, EVENT.CLASS) !== CLASS_IN);
}

const field = (name: keyof typeof STE.fields, words: ArrayLike<number>) => get(words, STE.fields[name]);

/** The recorded machine's memory, and ours beside it. */
class TraceMemory {
  readonly guest: GuestMemory;
  readonly host: SpaceMemory;
  readonly allocator = new PageAllocator(KERNEL, KERNEL_BYTES - GUESTS_MAX * OWN_BYTES);
  #taken = 0;

  constructor(base: number, sizeBytes: number) {
    const own = Array.from({ length: GUESTS_MAX }, (_, index) => ({
      id: `own${index}`,
      base: OWN_GPA,
      sizeBytes: OWN_BYTES,
      alias: { of: 'kernel', offset: this.#offset(index) },
    }));
    this.guest = GuestMemory.create([
      { id: 'ram', base, sizeBytes },
      { id: 'kernel', base: KERNEL, sizeBytes: KERNEL_BYTES },
      ...own,
    ]);
    this.host = new SpaceMemory(this.space);
  }

  get space() {
    return this.guest.space(['ram', 'kernel']);
  }

  takeOwn() {
    const index = this.#taken++;
    return { space: this.guest.space([`own${index}`]), pa: KERNEL + this.#offset(index) };
  }

  #offset(index: number): number {
    return KERNEL_BYTES - (GUESTS_MAX - index) * OWN_BYTES;
  }
}

/** What the recorded stage 2 says of the pages that an access needed: of each where it is, or undefined. */
type Stage2 = ReadonlyMap<number, Omit<Area, 'gpa' | 'sizeBytes'> | undefined>;

const PAGE = 4096;

/** The recorded SMMU itself, which is asked where its stage 2 leads. */
class RecordedSmmu {
  readonly smmu: Smmu;
  readonly #stage2 = new Map<number, Omit<Area, 'gpa' | 'sizeBytes'> | undefined>();

  constructor(id: string, memory: TraceMemory, idr: IdRegisters) {
    this.smmu = new Smmu(config(id, idr, 0), [memory.space, memory.space], { interrupt() {} });
    const ignore = () => {};
    let page = 0;
    this.smmu.tbu.observe({
      stage2: (ipa) => {
        page = ipa - (ipa % PAGE);
        this.#stage2.set(page, undefined);
      },
      leaf: (stage, outPage, permissions) => {
        if (stage !== 2) return;
        const readable = (permissions & UNPRIV_READ) !== 0;
        const writable = (permissions & UNPRIV_WRITE) !== 0;
        this.#stage2.set(page, { pa: outPage * PAGE, readable, writable });
      },
      structure: ignore,
      configHit: ignore,
      bank: ignore,
      context: ignore,
      tlbHit: ignore,
      event: ignore,
      descriptor: ignore,
      tableHit: ignore,
      stage2Hit: ignore,
      update: ignore,
      fault: ignore,
    });
  }

  write({ offset, sizeBytes, value }: MmioWriteStep): void {
    this.smmu.writeRegister(offset, sizeBytes, value, NON_SECURE);
    this.smmu.runToIdle();
  }

  access({ StreamID, iova, write }: DmaStep): Stage2 {
    this.#stage2.clear();
    this.smmu.tbu.translate(request(StreamID, iova, write));
    return this.#stage2;
  }
}

/** One device's guest: its memory follows the recorded stage 2. */
class TraceGuest {
  readonly VMID: number;
  readonly vsid: number;
  readonly events: bigint[][] = [];
  readonly wanted: { words: bigint[]; mask: readonly bigint[] }[] = [];
  readonly #core = new VfioCore();
  readonly #smmu: AcceleratedSmmu;
  readonly #driver: SmmuDriver;
  readonly #vfio: VfioDevice;
  readonly #pages = new Map<number, string>();
  #ste = '';

  constructor(memory: TraceMemory, host: HostSmmu, sid: number, ste: ArrayLike<number>) {
    this.VMID = field('S2VMID', ste);
    // A StreamID that the host does not know it by.
    this.vsid = (sid & 0x1f) + 3;
    const { space, pa } = memory.takeOwn();
    this.#core.mapMemory({ gpa: OWN_GPA, pa, sizeBytes: OWN_BYTES, writable: true });
    const idr = guestIdRegisters({ IDR1: { SSIDSIZE: 0 }, IDR0: { CD2L: 0, TERM_MODEL: 1 } });
    const smmu = new AcceleratedSmmu(
      config(`guest of ${sid}`, idr),
      [space, space],
      { interrupt() {} },
      this.#core,
    );
    this.#smmu = smmu;
    this.#vfio = this.#core.open(host.probe(`device ${sid}`, sid));
    smmu.bind(0, this.#vfio, this.vsid);
    const allocator = new PageAllocator(OWN_GPA, OWN_BYTES);
    const guestMemory = new SpaceMemory(space);
    this.#driver = new SmmuDriver({
      smmu: 'guest',
      security: NON_SECURE,
      port: portOf(smmu),
      memory: guestMemory,
      allocator,
      sidBits: 8,
    });
    this.#driver.enable();
  }

  /** What the recorded STE says of the guest's stream and memory. */
  follow(words: Uint32Array, stage2: Stage2): void {
    for (const [gpa, page] of stage2) this.#followPage(gpa, page);
    const kind = field('Config', words);
    const guest = encode(STE, { V: 1, Config: kind === NESTED ? 5 : kind === STAGE_2 ? 4 : 0 });
    if (kind === NESTED) {
      for (const name of ['S1Fmt', 'S1CDMax', 'S1DSS', 'S1CIR', 'S1COR', 'S1CSH', 'S1STALLD'] as const) {
        set(guest, STE.fields[name], field(name, words));
      }
      set(guest, STE.fields.S1ContextPtr, BigInt(getAddress(words, STE.fields.S1ContextPtr)) >> 6n);
    }
    const key = guest.join();
    if (key === this.#ste) return;
    this.#ste = key;
    this.#driver.writeSTE(this.vsid, guest);
  }

  command(words: Uint32Array): void {
    const own = words.slice();
    const opcode = get(own, COMMAND.Opcode);
    if (CFGI_CD.includes(opcode)) set(own, COMMAND.StreamID, this.vsid);
    else set(own, COMMAND.VMID, 0);
    this.#driver.commands.sync([own]);
  }

  takeEvents(): void {
    this.#smmu.runToIdle();
    for (const { words } of this.#driver.events.drain().records) {
      this.events.push([...new BigUint64Array(words.slice().buffer)]);
    }
  }

  #followPage(gpa: number, page: Omit<Area, 'gpa' | 'sizeBytes'> | undefined): void {
    const known = this.#pages.get(gpa);
    const now = page && JSON.stringify(page);
    if (known === now) return;
    if (known !== undefined) this.#core.unmapMemory(gpa, PAGE);
    this.#pages.delete(gpa);
    if (page === undefined || now === undefined) return;
    this.#core.mapMemory({ gpa, sizeBytes: PAGE, ...page });
    this.#pages.set(gpa, now);
  }
}

/** One recorded SMMU and the physical SMMU that stands for it. */
class TraceSmmu {
  readonly guests = new Map<number, TraceGuest>();
  readonly smmu: Smmu;
  readonly host: HostSmmu;
  accesses = 0;
  readonly #recorded: RecordedSmmu;
  readonly #memory: TraceMemory;
  readonly #registers = new Map<number, bigint>();

  constructor(id: string, memory: TraceMemory) {
    this.#memory = memory;
    const { space, host, allocator } = memory;
    const idr = idRegisters({ IDR1: { SSIDSIZE: 0 }, IDR0: { CD2L: 0, TERM_MODEL: 1 } });
    this.#recorded = new RecordedSmmu(id, memory, idr);
    this.smmu = new Smmu(config(id, idr), [space, space], { interrupt() {} });
    const port = portOf(this.smmu);
    const driver = new SmmuDriver({ smmu: id, security: NON_SECURE, port, memory: host, allocator });
    driver.enable();
    this.host = new HostSmmu({ id, driver, port, memory: host, allocator });
  }

  write(step: MmioWriteStep): void {
    const { offset, value } = step;
    this.#recorded.write(step);
    const before = Number(this.#registers.get(offset) ?? 0n);
    this.#registers.set(offset, value);
    if (offset === OFFSETS.CMDQ_PROD) this.#commands(before, Number(value));
  }

  dma(step: DmaStep): void {
    const stage2 = this.#recorded.access(step);
    if (((this.#registers.get(OFFSETS.CR0) ?? 0n) & 1n) === 0n) return;
    const words = this.#ste(step.StreamID);
    const kind = field('Config', words);
    let guest = this.guests.get(step.StreamID);
    if (guest === undefined && kind === NESTED) {
      guest = new TraceGuest(this.#memory, this.host, step.StreamID, words);
      this.guests.set(step.StreamID, guest);
    }
    // Streams of the recorded kernel's own are none of a guest's.
    if (guest === undefined || kind === 5) return;
    guest.follow(words, stage2);
    const txn = request(step.StreamID, step.iova, step.write);
    const outcome = this.smmu.tbu.translate(txn);
    guest.takeEvents();
    this.accesses++;
    const seen = outcome === OK ? { result: 'ok', pa: txn.pa } : { result: 'abort' };
    const { result } = step.expect;
    const wanted = step.expect.result === 'ok' ? { result, pa: step.expect.pa } : { result };
    expect(seen, `StreamID ${step.StreamID} at 0x${step.iova.toString(16)}`).toEqual(wanted);
  }

  /** Recorded events of stage 1 and of the guest's CDs are the guest's; those of stage 2 the host keeps. */
  recorded({ expect: records, mask }: EventsStep): void {
    for (const record of records) {
      const words = new Uint32Array(new BigUint64Array(record).buffer);
      const guest = this.guests.get(get(words, EVENT.StreamID));
      if (guest === undefined || isStage2(words)) continue;
      set(words, EVENT.StreamID, guest.vsid);
      guest.wanted.push({ words: [...new BigUint64Array(words.buffer)], mask });
    }
  }

  #ste(StreamID: number): Uint32Array {
    const base = Number((this.#registers.get(OFFSETS.STRTAB_BASE) ?? 0n) & 0xf_ffff_ffff_ffc0n);
    const split = Number(((this.#registers.get(OFFSETS.STRTAB_BASE_CFG) ?? 0n) >> 6n) & 31n);
    const first = this.#memory.host.load64(base + 8 * (StreamID >>> split));
    const level2 = Number(first & 0xf_ffff_ffff_ffc0n);
    return new Uint32Array(this.#memory.host.readBytes(level2 + (StreamID % 2 ** split) * 64, 64).buffer);
  }

  #commands(from: number, to: number): void {
    const register = this.#registers.get(OFFSETS.CMDQ_BASE) ?? 0n;
    const log2 = Number(register & 31n);
    const base = Number(register & 0xf_ffff_ffff_ffe0n);
    for (let index = from; index !== to; index = (index + 1) % 2 ** (log2 + 1)) {
      const bytes = this.#memory.host.readBytes(base + (index % 2 ** log2) * 16, 16);
      const words = new Uint32Array(bytes.buffer);
      const opcode = get(words, COMMAND.Opcode);
      if (CFGI_CD.includes(opcode)) this.guests.get(get(words, COMMAND.StreamID))?.command(words);
      if (opcode < TLBI_FIRST || opcode > TLBI_NH_VAA) continue;
      for (const guest of this.guests.values())
        if (guest.VMID === get(words, COMMAND.VMID)) guest.command(words);
    }
  }
}

test('the guest of the twostage recording sees the same of an accelerated SMMU', {
  timeout: 300_000,
}, async () => {
  for await (const { header, steps } of readScenarios(TRACE)) {
    const memory = new TraceMemory(header.memory[0]!.base, header.memory[0]!.sizeBytes);
    const smmus = new Map([...header.smmus.keys()].map((id) => [id, new TraceSmmu(id, memory)]));
    for await (const { step } of steps) {
      if (step.op === 'mem.write') {
        memory.host.writeBytes(step.pa, step.bytes);
      } else if (step.op === 'mmio.write') smmus.get(step.smmu)!.write(step);
      else if (step.op === 'dma') smmus.get(step.smmu)!.dma(step);
      else if (step.op === 'events') smmus.get(step.smmu)!.recorded(step);
    }
    const all = [...smmus.values()];
    const guests = all.flatMap((smmu) => [...smmu.guests.values()]);
    for (const { events, wanted } of guests) {
      const masked = (words: readonly bigint[], mask: readonly bigint[]) =>
        words.map((word, index) => word & mask[index]!);
      expect(events.map((words, index) => masked(words, wanted[index]?.mask ?? []))).toEqual(
        wanted.map(({ words, mask }) => masked(words, mask)),
      );
    }
    const total = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0);
    const counts = {
      accesses: total(all.map(({ accesses }) => accesses)),
      guestEvents: total(guests.map(({ events }) => events.length)),
      hostEvents: total(all.map(({ host }) => host.dropped.get('stage 2') ?? 0)),
    };
    expect(counts).toEqual({ accesses: 12526, guestEvents: 6553, hostEvents: 1767 });
  }
});
