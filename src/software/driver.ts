/**
 * The driver of one programming interface of one SMMU: probing, the enable sequence (IHI 0070 3.11), streams,
 * contexts and their mappings. The Non-secure and the Secure interface have a driver each.
 *
 * Synchronous: a method returns when the SMMU has acknowledged what it says. Leaves out nested translation,
 * Secure stage 2, ATS, PRI, MSIs.
 */
import { SECURE, type SecurityState } from '../arch/security.js';
import { CD_BYTES } from '../arch/structures.js';
import { CDTable, writeCD } from './cd-table.js';
import { CommandQueue } from './command-queue.js';
import {
  type CommandWords,
  cfgiAll,
  cfgiCD,
  cfgiSTE,
  type ResumeAction,
  resume,
  tlbiEL2All,
  tlbiEL3All,
  tlbiNHAll,
  tlbiNHASID,
  tlbiNSNHAll,
  tlbiS12VMAll,
  tlbiSEL2All,
  tlbiSNHAll,
} from './commands.js';
import { ABORT_STE, BYPASS_STE, type Context, contextDescriptor, stage1STE, stage2STE } from './context.js';
import { EventQueue } from './event-queue.js';
import { type Features, probe } from './features.js';
import { IdAllocator } from './id-allocator.js';
import type { PageAllocator } from './page-allocator.js';
import {
  type Granule,
  type Invalidation,
  PageTables,
  type Permissions,
  type TableFormat,
} from './page-tables.js';
import { type CpuMemory, DriverError, type SmmuPort } from './port.js';
import { RegisterInterface } from './register-interface.js';
import { StreamTable } from './stream-table.js';
import { invalidationCommands } from './tlb-invalidation.js';

export interface DriverOptions {
  /** The SMMU's name, for messages. */
  readonly smmu: string;
  readonly security: SecurityState;
  readonly port: SmmuPort;
  /** Memory of the PA space that this Security state's structures are in. */
  readonly memory: CpuMemory;
  /** Where tables and queues are allocated. */
  readonly allocator: PageAllocator;
  /** StreamID bits to provide for; at most, and by default, what the SMMU has, up to {@link DEFAULT_SID_BITS}. */
  readonly sidBits?: number;
  readonly log2Commands?: number;
  readonly log2Events?: number;
  readonly pollLimit?: number;
}

export interface ContextOptions {
  readonly granule: Granule;
  /** Default: 1 where the SMMU has it. */
  readonly stage?: 1 | 2;
  /** Default: 48 for stage 1, the output size for stage 2. */
  readonly inputBits?: number;
  /** Default true. */
  readonly blocks?: boolean;
  /** Faults stall the access (3.12.2). Default: only where the SMMU cannot do otherwise. */
  readonly stall?: boolean;
}

/** A stream whose StreamID changes. */
export interface StreamMove {
  readonly from: number;
  readonly to: number;
}

/** Enough for the Requester IDs of a PCIe segment; a larger table is asked for. */
const DEFAULT_SID_BITS = 16;
const DEFAULT_LOG2_COMMANDS = 8;
const DEFAULT_LOG2_EVENTS = 7;
const VA_BITS = 48;

/** CR1: structures are in Inner Shareable, Write-Back memory. */
const CR1_WRITE_BACK = { QUEUE_IC: 1, QUEUE_OC: 1, QUEUE_SH: 3, TABLE_IC: 1, TABLE_OC: 1, TABLE_SH: 3 };

export class SmmuDriver {
  readonly features: Features;
  readonly security: SecurityState;
  readonly commands: CommandQueue;
  readonly events: EventQueue;
  readonly #registers: RegisterInterface;
  readonly #memory: CpuMemory;
  readonly #allocator: PageAllocator;
  readonly #streamTable: StreamTable;
  readonly #ASIDs: IdAllocator;
  readonly #VMIDs: IdAllocator;
  #translating = false;

  /** Reads the ID registers and allocates queues and the stream table; writes no register. */
  constructor(options: DriverOptions) {
    const { security, memory, allocator } = options;
    this.security = security;
    this.#memory = memory;
    this.#allocator = allocator;
    this.#registers = new RegisterInterface(options.smmu, options.port, security, options.pollLimit);
    this.features = probe(this.#registers);
    const { sidBits, ASIDBits, VMIDBits, twoLevelStreamTable, log2Commands, log2Events } = this.features;
    this.commands = new CommandQueue(
      this.#registers,
      memory,
      allocator,
      Math.min(options.log2Commands ?? DEFAULT_LOG2_COMMANDS, log2Commands),
    );
    this.events = new EventQueue(
      this.#registers,
      memory,
      allocator,
      Math.min(options.log2Events ?? DEFAULT_LOG2_EVENTS, log2Events),
    );
    this.#streamTable = new StreamTable(
      Math.min(options.sidBits ?? DEFAULT_SID_BITS, sidBits),
      twoLevelStreamTable,
      memory,
      allocator,
      (StreamID, leaf) => this.#sync([cfgiSTE(StreamID, security, leaf)]),
    );
    // 0 stays free of both: a structure that was never filled in names no context.
    this.#ASIDs = new IdAllocator('ASID', 1, 2 ** ASIDBits);
    this.#VMIDs = new IdAllocator('VMID', 1, 2 ** VMIDBits);
  }

  /**
   * Brings the interface from any state into translating (3.11): everything off, attributes, tables, queues,
   * caches emptied, then on, one acknowledged step at a time.
   */
  enable(): void {
    const registers = this.#registers;
    this.disable();
    registers.writeFields('CR1', CR1_WRITE_BACK);
    // RECINVSID: a StreamID without an STE is worth an event. PTM: no part in broadcast TLB maintenance.
    registers.writeFields('CR2', { RECINVSID: 1, PTM: 1 });
    this.#streamTable.program(registers);
    this.commands.program();
    registers.writeAcknowledged('CR0', 'CR0ACK', { CMDQEN: 1 });
    this.#translating = true;
    this.#sync([cfgiAll(this.security), ...this.#invalidateAllTlbs()]);
    this.events.program();
    registers.writeAcknowledged('CR0', 'CR0ACK', { CMDQEN: 1, EVENTQEN: 1 });
    registers.writeAcknowledged('IRQ_CTRL', 'IRQ_CTRLACK', { EVENTQ_IRQEN: 1, GERROR_IRQEN: 1 });
    registers.writeAcknowledged('CR0', 'CR0ACK', { CMDQEN: 1, EVENTQEN: 1, SMMUEN: 1 });
  }

  /** Turns translation, queues and interrupts off. Traffic then follows GBPA. */
  disable(): void {
    const registers = this.#registers;
    registers.writeAcknowledged('CR0', 'CR0ACK', {});
    registers.writeAcknowledged('IRQ_CTRL', 'IRQ_CTRLACK', {});
    this.#translating = false;
    // Errors of an earlier life are acknowledged, so that a new one can be told.
    registers.write('GERRORN', registers.read('GERROR'));
  }

  /** What becomes of traffic while translation is disabled, by the Update protocol (6.3.14.1). */
  setGlobalBypass(policy: 'bypass' | 'abort'): void {
    const Update = this.#registers.encode('GBPA', { Update: 1 });
    const ABORT = this.#registers.encode('GBPA', { ABORT: 1 });
    const ready = (value: number) => (value & Update) === 0;
    const current = this.#registers.poll('GBPA', 'Update == 0', ready);
    this.#registers.write('GBPA', (policy === 'abort' ? current | ABORT : current & ~ABORT) | Update);
    this.#registers.poll('GBPA', 'Update == 0', ready);
  }

  /** Makes an empty context with an ASID or VMID of its own. */
  createContext(options: ContextOptions): Context {
    const stage = options.stage ?? (this.features.stage1 ? 1 : 2);
    const format = this.#format(stage, options);
    if (!(stage === 1 ? this.features.stage1 : this.features.stage2)) {
      throw new DriverError(`${this.#registers.name}: no stage ${stage}`);
    }
    if (options.stall === true && !this.features.stall) {
      throw new DriverError(`${this.#registers.name}: faults cannot stall (IDR0.STALL_MODEL)`);
    }
    const stall = options.stall ?? this.features.forcedStall;
    const ASID = stage === 1 ? this.#ASIDs.allocate() : 0;
    const VMID = stage === 2 ? this.#VMIDs.allocate() : 0;
    const tables = new PageTables(format, this.#memory, this.#allocator, (invalidation) =>
      this.#sync(this.#commandsFor(invalidation, format, ASID, VMID)),
    );
    let cd = 0;
    if (stage === 1) {
      cd = this.#allocator.allocate(CD_BYTES);
      writeCD(this.#memory, cd, contextDescriptor(tables, ASID, stall));
    }
    return { stage, tables, ASID, VMID, stall, cd };
  }

  /** Takes a context apart that no stream uses any more. */
  destroyContext(context: Context): void {
    const { stage, ASID, VMID } = context;
    this.#sync([stage === 1 ? tlbiNHASID(VMID, ASID) : tlbiS12VMAll(VMID)]);
    context.tables.destroy();
    if (stage === 1) {
      this.#allocator.free(context.cd, CD_BYTES);
      this.#ASIDs.free(ASID);
    } else {
      this.#VMIDs.free(VMID);
    }
  }

  /** Maps a range that nothing was mapped in: no invalidation is needed, since faults are not cached. */
  map(context: Context, iova: bigint, pa: number, sizeBytes: number, permissions: Permissions): void {
    context.tables.map(iova, pa, sizeBytes, permissions);
  }

  /** Unmaps a range. On return no access through this SMMU uses it, and none that did is in flight (3.21.1). */
  unmap(context: Context, iova: bigint, sizeBytes: number): void {
    this.#invalidate(context, context.tables.unmap(iova, sizeBytes));
  }

  /** Changes permissions of what is mapped in a range. On return the old ones are not used any more. */
  protect(context: Context, iova: bigint, sizeBytes: number, permissions: Permissions): void {
    this.#invalidate(context, context.tables.protect(iova, sizeBytes, permissions));
  }

  /** Lets a stream translate by a context. Several streams may share one. */
  attach(StreamID: number, context: Context): void {
    const { stage, tables, VMID, stall, cd } = context;
    this.#streamTable.write(StreamID, stage === 1 ? stage1STE(cd, 0, 0) : stage2STE(tables, VMID, stall));
  }

  /** Lets a stream translate by a context for each of its 2^S1CDMax substreams; {@link setSubstream} fills them in. */
  attachSubstreams(StreamID: number, S1CDMax: number): CDTable {
    if (S1CDMax < 1 || S1CDMax > this.features.ssidBits) {
      throw new DriverError(
        `${this.#registers.name}: ${this.features.ssidBits} bits of SubstreamID, not ${S1CDMax}`,
      );
    }
    const table = new CDTable(
      S1CDMax,
      this.features.twoLevelCDTable,
      this.#memory,
      this.#allocator,
      (SubstreamID, leaf) => this.#sync([cfgiCD(StreamID, SubstreamID, this.security, leaf)]),
    );
    this.#streamTable.write(StreamID, stage1STE(table.base, table.S1CDMax, table.S1Fmt));
    return table;
  }

  /** Gives a substream a stage 1 context, or none. */
  setSubstream(table: CDTable, SubstreamID: number, context: Context | undefined): void {
    const words = context && contextDescriptor(context.tables, context.ASID, context.stall);
    table.write(SubstreamID, words);
  }

  /**
   * Replaces a stream's STE step by step, for software that does other things while it waits: each step ends with
   * the command that must have completed before the next.
   */
  *changeSTE(StreamID: number, words: Uint32Array): Generator<CommandWords, void> {
    for (const { leaf } of this.#streamTable.changes(StreamID, words))
      yield cfgiSTE(StreamID, this.security, leaf);
  }

  /** Moves the level 2 table of a stream, in the same way. */
  *moveStreamTable(StreamID: number): Generator<CommandWords, void> {
    for (const _ of this.#streamTable.relocations(StreamID)) yield cfgiAll(this.security);
  }

  bypass(StreamID: number): void {
    this.#streamTable.write(StreamID, BYPASS_STE);
  }

  abort(StreamID: number): void {
    this.#streamTable.write(StreamID, ABORT_STE);
  }

  /** Gives a stream an STE that was made elsewhere: a hypervisor's. */
  writeSTE(StreamID: number, words: Uint32Array): void {
    this.#streamTable.write(StreamID, words);
  }

  /** Takes a VMID for a stage 2 whose tables are kept elsewhere. */
  allocateVMID(): number {
    return this.#VMIDs.allocate();
  }

  /** Gives a VMID back, after its TLB entries have gone. */
  freeVMID(VMID: number): void {
    this.#sync([tlbiS12VMAll(VMID)]);
    this.#VMIDs.free(VMID);
  }

  /** Makes a stream's STE invalid: its accesses abort and are recorded as C_BAD_STE. */
  detach(StreamID: number): void {
    this.#streamTable.clear(StreamID);
  }

  /** Provides for a stream, so that what is done with it later does not fail for want of memory. @throws DriverError */
  reserve(StreamID: number): void {
    this.#streamTable.reserve(StreamID);
  }

  /** Lets streams go on under other StreamIDs, which are reserved. No access may be in flight. */
  renumber(moves: readonly StreamMove[]): void {
    const table = this.#streamTable;
    const entries = moves.map(({ from }) => table.read(from));
    for (const { from } of moves) table.clear(from);
    for (const [index, { to }] of moves.entries()) table.write(to, entries[index]!);
  }

  /** Answers a stall record. The access goes on or ends in its own time: nothing is waited for (4.7.1). */
  resume(StreamID: number, STAG: number, action: ResumeAction): void {
    this.commands.issue([resume(StreamID, this.security, STAG, action)]);
  }

  #format(stage: 1 | 2, options: ContextOptions): TableFormat {
    const { granule } = options;
    if (!this.features.granules.has(granule)) {
      throw new DriverError(`${this.#registers.name}: no ${granule} granule`);
    }
    // 52-bit output addresses need 64KB granules here; 56 bits need 128-bit descriptors.
    const outputBits = Math.min(this.features.outputBits, granule === '64KiB' ? 52 : 48);
    const inputBits = options.inputBits ?? (stage === 1 ? VA_BITS : Math.min(outputBits, VA_BITS));
    return { stage, granule, inputBits, outputBits, blocks: options.blocks ?? true };
  }

  #commandsFor(invalidation: Invalidation, format: TableFormat, ASID: number, VMID: number): CommandWords[] {
    return invalidationCommands(invalidation, format, { ASID, VMID }, this.features.rangeInvalidation);
  }

  #invalidate(context: Context, invalidation: Invalidation): void {
    const { tables, ASID, VMID } = context;
    if (invalidation.ranges.length === 0) return;
    this.#sync(this.#commandsFor(invalidation, tables.format, ASID, VMID));
    tables.release(invalidation);
  }

  /** Everything that this Security state's streams may have left in a TLB. */
  #invalidateAllTlbs(): CommandWords[] {
    if (this.security === SECURE) {
      // With stage 2, Secure EL2 is there, and CMD_TLBI_NH_ALL is for one VMID (4.4.2.1).
      const below = this.features.stage2 ? [tlbiSNHAll(), tlbiSEL2All()] : [tlbiNHAll(0)];
      return [...below, tlbiEL3All()];
    }
    return this.features.hyp && this.features.stage1 ? [tlbiEL2All(), tlbiNSNHAll()] : [tlbiNSNHAll()];
  }

  /** Before the queue is enabled nothing is cached: {@link enable} invalidates everything anyway. */
  #sync(commands: readonly CommandWords[]): void {
    if (this.#translating) this.commands.sync(commands);
  }
}
