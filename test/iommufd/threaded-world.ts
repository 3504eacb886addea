/**
 * The two guests of a machine in threads: each SMMU in a thread of its own, the devices of both guests in the same DMA threads, and
 * the guests' software in this one, which waits for none of them while another guest could go on.
 */
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { BANKS, type RegisterKey } from '../../src/arch/registers.js';
import { NON_SECURE } from '../../src/arch/security.js';
import { loadMachine } from '../../src/machine/load.js';
import type { Machine } from '../../src/machine/types.js';
import { type RunningMachine, startMachine } from '../../src/runtime/coordinator.js';
import { INTERRUPTS, interruptOffset } from '../../src/runtime/shared/interrupts.js';
import { hostBase } from '../../src/runtime/shared/shared-machine.js';
import { type SmmuPort, SpaceMemory } from '../../src/software/port.js';
import { GUESTS } from './bench.js';
import { type Access, type Seen, toTransaction, type World } from './worlds.js';

const LANES = 2;

/** The guests' devices have the StreamIDs of worlds.ts. */
const TEXT = `
machine: twice
memory:
  - { id: ram, base: 0x80000000, size: 64MiB }
  - { id: ram-a, base: 0x40000000, size: 8MiB, backed-by: ram, offset: 0x2000000 }
  - { id: ram-b, base: 0x40000000, size: 8MiB, backed-by: ram, offset: 0x2800000 }
address-spaces: { guest-a: [ram-a], guest-b: [ram-b] }
global: { arm-smmuv3.ssidsize: 4, arm-smmuv3.httu: dirty }
buses:
  - { id: pcie.0, type: pcie, bus-nr: 0x00 }
  - { id: pcie.a, type: pxb-pcie, bus-nr: 0x20 }
  - { id: pcie.b, type: pxb-pcie, bus-nr: 0x40 }
id-maps:
  - { bus: pcie.a, rid-base: 0x2000, count: 0x100, smmu: smmu-a, sid-base: 0 }
  - { bus: pcie.b, rid-base: 0x4000, count: 0x100, smmu: smmu-b, sid-base: 0 }
smmus:
  - { id: host0, base: 0x09050000, primary-bus: pcie.0, stage: nested }
  - { id: smmu-a, base: 0x09070000, primary-bus: pcie.a, memory: guest-a, accel: host0 }
  - { id: smmu-b, base: 0x09090000, primary-bus: pcie.b, memory: guest-b, accel: host0 }
devices:
${['a', 'b'].flatMap((guest, index) => ['00.0', '00.5', '08.6'].map((addr, n) => `  - { id: host-${guest}${n}, type: dma-engine, bus: pcie.0, addr: "0${1 + index * 3 + n}.0" }\n  - { id: ${guest}${n}, type: vfio-pci, bus: pcie.${guest}, addr: "${addr}", host: host-${guest}${n} }`)).join('\n')}
`;

/** @param accelerated whether the guests' SMMUs are; they are the same in all else. */
export function machineOfGuests(accelerated: boolean, cache: number): Machine {
  const { machine, diagnostics } = loadMachine(TEXT, 'twice.yaml');
  if (machine === undefined) throw new Error(JSON.stringify(diagnostics));
  const smmus = machine.smmus.map(({ accel, ...smmu }) => ({
    ...smmu,
    ...(accel !== undefined && accelerated ? { accel } : {}),
    config: { ...smmu.config, tlb: cache, configCache: cache },
  }));
  if (accelerated) return { ...machine, smmus };
  return { ...machine, smmus, devices: machine.devices.map(({ host: _, ...device }) => device) };
}

interface Reply {
  readonly outcome: string;
  readonly pa?: number;
  readonly data?: Uint8Array;
}

/** A machine whose devices do what they are told, one access after the other. */
export class ThreadedMachine {
  readonly running: RunningMachine;
  readonly #agents: readonly Worker[];
  readonly #waiting: readonly ((reply: Reply) => void)[][];

  private constructor(running: RunningMachine) {
    this.running = running;
    this.#waiting = Array.from({ length: LANES }, () => []);
    this.#agents = this.#waiting.map((waiting, lane) => {
      const workerData = { shared: running.shared, lane };
      const agent = new Worker(new URL('./dma-agent.mjs', import.meta.url), { workerData });
      agent.on('message', (reply: Reply) => waiting.shift()!(reply));
      agent.on('error', (error) => running.supervisor.fail(`dma agent ${lane}`, String(error)));
      return agent;
    });
  }

  static async start(accelerated: boolean, cache: number): Promise<ThreadedMachine> {
    return new ThreadedMachine(await startMachine(machineOfGuests(accelerated, cache), { lanes: LANES }));
  }

  world(guest: number): ThreadedWorld {
    return new ThreadedWorld(this, guest);
  }

  access(lane: number, access: unknown): Promise<Reply> {
    const reply = new Promise<Reply>((resolve) => this.#waiting[lane]!.push(resolve));
    this.#agents[lane]!.postMessage(access);
    return this.running.supervisor.guard(reply);
  }

  async close(): Promise<void> {
    await this.running.close();
    await Promise.all(
      this.#agents.map(async (agent) => {
        const ended = once(agent, 'exit');
        await agent.terminate();
        await ended;
      }),
    );
  }
}

const { CR0, CR0ACK, CR2, GBPA, GERROR, GERRORN, IRQ_CTRL, IRQ_CTRLACK, CMDQ_PROD, CMDQ_CONS } =
  BANKS[NON_SECURE];
const GBPA_UPDATE = 2 ** 31;
const CMDQ_ERR = 1;
const bitOf = (key: RegisterKey, field: string) => 2 ** BANKS[NON_SECURE][key].fields[field]!.lo;
const CMDQEN = bitOf('CR0', 'CMDQEN');
/** RD, WR and their wrap bits, of the guest program's queue and any larger one. */
const INDEX = 0xf_ffff;

export class ThreadedWorld implements World {
  readonly memory: SpaceMemory;
  readonly threaded = true;
  readonly #machine: ThreadedMachine;
  readonly #guest: number;
  /** Indexes of the guest's devices. */
  readonly #devices: readonly number[];
  readonly #port: SmmuPort;
  /** Where its memory is, for the SMMU that translates. */
  readonly #base: number;
  #interrupts: number[];

  constructor(machine: ThreadedMachine, guest: number) {
    const { view } = machine.running;
    const smmu = view.machine.smmus.length - GUESTS + guest;
    const { accel, memory } = view.machine.smmus[smmu]!;
    const [id] = view.machine.addressSpaces.find((space) => space.id === memory)!.regions;
    const region = view.machine.regions.find((candidate) => candidate.id === id)!;
    this.#machine = machine;
    this.#guest = guest;
    this.#devices = [...view.machine.devices.keys()].filter(
      (index) => view.machine.devices[index]!.smmu === smmu,
    );
    this.#port = machine.running.port(smmu);
    this.#base = accel === undefined ? region.base : hostBase(view.machine, region);
    this.memory = new SpaceMemory(view.spacesOf(smmu)[NON_SECURE]);
    this.#interrupts = this.#countInterrupts(smmu);
    this.takeInterrupts = () => {
      const before = this.#interrupts;
      this.#interrupts = this.#countInterrupts(smmu);
      return INTERRUPTS.flatMap((name, index) =>
        Array.from({ length: this.#interrupts[index]! - before[index]! }, () => name),
      );
    };
  }

  readonly takeInterrupts: () => string[];

  readRegister(offset: number): number {
    return this.#port.read32(offset);
  }

  async writeRegister(offset: number, sizeBytes: number, value: bigint): Promise<void> {
    const port = this.#port;
    if (sizeBytes === 8) port.write64(offset, value);
    else port.write32(offset, Number(value));
    while (!this.#isDone(offset)) {
      await this.#machine.running.supervisor.guard(nextTurn());
    }
  }

  async access(access: Access, data: Uint8Array): Promise<Seen> {
    const { machine } = this.#machine.running;
    const device = machine.devices[this.#devices[access.device]!]!;
    const { smmu, StreamID } = device.host ?? device;
    const attributes = { ...toTransaction(access, StreamID) };
    const lane = (this.#guest + access.device) % LANES;
    const reply = await this.#machine.access(lane, { smmu, attributes, data });
    if (reply.pa === undefined) return { outcome: reply.outcome };
    return { outcome: reply.outcome, gpa: reply.pa - this.#base, bytes: reply.data!.join(' ') };
  }

  /** A machine that runs has no reset; software that starts anew does this. */
  async reset(): Promise<void> {
    await this.#write(CR0.offset, 0);
    await this.#write(IRQ_CTRL.offset, 0);
    await this.#write(CR2.offset, 0);
    await this.#write(GBPA.offset, GBPA_UPDATE);
  }

  /** The device leaves and comes back, while the other guest goes on. */
  async disturb(how: 'replug' | 'remap', device: number): Promise<void> {
    const { running } = this.#machine;
    const { id, requesterID, host } = running.machine.devices[this.#devices[device]!]!;
    if (host === undefined || how === 'remap') return;
    await running.unplugDevice(id);
    const bus = `pcie.${id.at(0)}`;
    const addr = `${((requesterID >> 3) & 0x1f).toString(16).padStart(2, '0')}.${requesterID & 7}`;
    const description = `{ id: ${id}, type: vfio-pci, bus: ${bus}, addr: "${addr}", host: ${host.id} }`;
    const { diagnostics } = await running.plugDevice(description);
    if (diagnostics.length > 0) throw new Error(JSON.stringify(diagnostics));
  }

  async #write(offset: number, value: number): Promise<void> {
    await this.writeRegister(offset, 4, BigInt(value));
  }

  /** Whether what a write asks for has come about: the protocols of 6.3.9 to 6.3.20, and the end of the Command queue. */
  #isDone(offset: number): boolean {
    const read = (register: { readonly offset: number }) => this.#port.read32(register.offset) >>> 0;
    switch (offset) {
      case CR0.offset:
        return read(CR0ACK) === read(CR0);
      case IRQ_CTRL.offset:
        return read(IRQ_CTRLACK) === read(IRQ_CTRL);
      case GBPA.offset:
        return read(GBPA) < GBPA_UPDATE;
      case CMDQ_PROD.offset:
      case GERRORN.offset:
        return (
          (read(CR0ACK) & CMDQEN) === 0 ||
          ((read(GERROR) ^ read(GERRORN)) & CMDQ_ERR) !== 0 ||
          (read(CMDQ_CONS) & INDEX) === (read(CMDQ_PROD) & INDEX)
        );
      default:
        // The read behind the write: it has been applied.
        read(CR0);
        return true;
    }
  }

  #countInterrupts(smmu: number): number[] {
    const { control } = this.#machine.running.view;
    const at = control.offsets.smmus[smmu]!;
    return INTERRUPTS.map((name) => Atomics.load(control.words, interruptOffset(at, name, NON_SECURE)));
  }
}
