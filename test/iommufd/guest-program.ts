/**
 * Random guests: what software does with its SMMU, as data, and how it is done upon a world. After each change of a structure
 * comes the invalidation that the architecture asks for, of one kind or another, so that no cache decides what is seen. For
 * the same reason no two CDs have one ASID, and there are global entries only where all CDs are alike and have the same tables: a
 * TLB may give what it holds for an ASID, or for all of them, to whoever asks (IHI 0070 3.17, 5.4.1).
 */
import fc from 'fast-check';
import { encode } from '../../src/arch/layout.js';
import { BANKS, type RegisterKey } from '../../src/arch/registers.js';
import { NON_SECURE } from '../../src/arch/security.js';
import { CD, STE } from '../../src/arch/structures.js';
import {
  type CommandWords,
  cfgiAll,
  cfgiCD,
  cfgiCDAll,
  cfgiSTE,
  sync,
  tlbiNHAll,
  tlbiNHASID,
  tlbiNHVA,
  tlbiNSNHAll,
} from '../../src/software/commands.js';
import { GUEST_BYTES, GUEST_RAM } from './bench.js';
import { type Access, STREAM_IDS, type World } from './worlds.js';

const at = (offset: number) => GUEST_RAM + offset;
/** Where the guest has its structures; everything above 4 MiB is data. */
const STREAM_TABLE = at(0x1_0000);
const LEVEL_2 = at(0x2_0000);
const COMMAND_QUEUE = at(0x3_0000);
const EVENT_QUEUE = at(0x3_4000);
/** Arrays of four CDs. */
const CDS = at(0x4_0000);
const TABLES = at(0x10_0000);
const LOG2_COMMANDS = 4;
const LOG2_EVENTS = 3;
const TREES = 3;
const CD_ARRAYS = 3;
const CDS_PER_ARRAY = 4;
/** A tree's tables: levels 1, 2 and 3. */
const TREE_BYTES = 0x4000;
const DATA_PAGES = (GUEST_BYTES - 0x40_0000) / 0x1000;
const BLOCK_BYTES = 0x20_0000;

const pick = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const bit = fc.boolean();
const small = (max: number) => fc.nat(max - 1);

const GOOD_CD = {
  V: 1,
  AA64: 1,
  T0SZ: 25,
  TG0: 0,
  EPD0: 0,
  EPD1: 0,
  T1SZ: 25,
  TG1: 2,
  IPS: 4,
  AFFD: 0,
  WXN: 0,
  PAN: 0,
  TBI0: 0,
  A: 1,
  R: 1,
  S: 0,
  HAD0: 0,
  HA: 0,
  HD: 0,
  ENDI: 0,
};
const GOOD_STE = {
  V: 1,
  Config: 5,
  S1CDMax: 0,
  S1DSS: 2,
  S1Fmt: 0,
  S1STALLD: 0,
  S1CIR: 1,
  EATS: 0,
  STRW: 0,
  SHCFG: 1,
  PRIVCFG: 0,
  INSTCFG: 0,
  MTCFG: 0,
  MEV: 0,
  S2VMID: 0,
  S2T0SZ: 0,
  S2R: 0,
  CONT: 0,
};

const GOOD_TABLE = { op: 'enable', twoLevel: true, RECINVSID: true, broken: false } as const;

const mostly = <T>(good: T, other: fc.Arbitrary<T>) =>
  fc.oneof({ arbitrary: fc.constant(good), weight: 3 }, { arbitrary: other, weight: 2 });

const leaf = fc.record({
  op: fc.constant('leaf' as const),
  tree: small(TREES),
  /** Page of the level 3 table, or a block beside it. */
  block: bit,
  index: small(4),
  valid: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
  page: small(DATA_PAGES),
  /** The address space ends before this one. */
  outside: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  AP: pick(1, 1, 1, 0, 2, 3),
  AF: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
  nG: bit,
  UXN: bit,
  /** Writable-clean with AP[2]: the SMMU may make it writable (DDI 0487 D8.5). */
  DBM: bit,
  flush: small(5),
});
const cd = fc.record({
  op: fc.constant('cd' as const),
  array: small(CD_ARRAYS),
  index: pick(0, 0, 0, 1, 2),
  tree: small(TREES),
  fields: mostly(
    GOOD_CD,
    fc.record({
      V: pick(1, 1, 1, 1, 0),
      AA64: pick(1, 1, 1, 1, 1, 0),
      T0SZ: pick(25, 25, 25, 25, 30, 12),
      TG0: pick(0, 0, 0, 0, 3),
      EPD0: pick(0, 0, 0, 1),
      EPD1: pick(1, 0),
      T1SZ: pick(25),
      TG1: pick(2),
      IPS: pick(4, 5, 4, 0),
      AFFD: pick(0, 0, 1),
      WXN: pick(0, 0, 1),
      PAN: pick(0, 0, 1),
      TBI0: pick(0, 1),
      A: pick(1, 0),
      R: pick(1, 1, 0),
      S: pick(0, 0, 0, 0, 0, 1),
      HAD0: pick(0, 1),
      HA: pick(0, 1),
      HD: pick(0, 1),
      ENDI: pick(0, 0, 0, 0, 0, 1),
    }),
  ),
  flush: small(4),
});
const ste = fc.record({
  op: fc.constant('ste' as const),
  device: small(STREAM_IDS.length),
  array: small(CD_ARRAYS),
  fields: mostly(
    GOOD_STE,
    fc.record({
      V: pick(1, 1, 1, 1, 0),
      Config: pick(5, 5, 5, 5, 4, 0, 6, 7, 2),
      S1CDMax: pick(0, 0, 2, 1, 5),
      S1DSS: pick(0, 1, 2, 3),
      S1Fmt: pick(0, 0, 0, 3),
      S1STALLD: pick(0, 0, 0, 0, 1),
      S1CIR: small(4),
      // Not the guest's, or without a feature: these change nothing.
      EATS: pick(0, 1),
      STRW: small(4),
      SHCFG: small(4),
      PRIVCFG: small(4),
      INSTCFG: small(4),
      MTCFG: small(2),
      MEV: small(2),
      S2VMID: small(4),
      S2T0SZ: small(64),
      S2R: small(2),
      CONT: small(4),
    }),
  ),
  flush: small(3),
});
const access = fc.record({
  op: fc.constant('access' as const),
  device: small(STREAM_IDS.length),
  kind: pick('page', 'page', 'page', 'page', 'page', 'block', 'upper', 'physical', 'far'),
  page: pick(0, 0, 1, 1, 2, 3, 5),
  offset: small(64).map((n) => n * 8),
  write: bit,
  privileged: bit,
  instruction: pick(false, false, false, true),
  SubstreamID: pick(-1, -1, -1, -1, -1, -1, -1, 0, 1, 2, 7),
  data: fc.nat(255),
});
const control = fc.oneof(
  fc.record({
    op: fc.constant('enable' as const),
    twoLevel: bit,
    RECINVSID: bit,
    broken: pick(false, false, false, true),
  }),
  fc.record({ op: fc.constant('disable' as const), enable: bit }),
  fc.record({ op: fc.constant('gbpa' as const), abort: bit }),
  fc.record({ op: fc.constant('events' as const), enabled: bit }),
  fc.record({ op: fc.constant('drain' as const) }),
  fc.record({ op: fc.constant('illegal' as const) }),
  fc.record({ op: fc.constant('invalidate' as const), what: small(6), StreamID: small(80), ASID: small(4) }),
  fc.record({
    op: fc.constant('disturb' as const),
    how: pick('replug' as const, 'remap' as const),
    device: small(STREAM_IDS.length),
  }),
  fc.record({ op: fc.constant('reset' as const), enable: bit }),
);

export const operation = fc.oneof(
  { arbitrary: leaf, weight: 4 },
  { arbitrary: cd, weight: 3 },
  { arbitrary: ste, weight: 4 },
  { arbitrary: access, weight: 12 },
  { arbitrary: control, weight: 3 },
);

/** A guest's life. */
export const randomLife = (maxLength: number) =>
  fc.record({
    /** It has global entries. */
    global: bit,
    steps: fc.array(operation, { maxLength, size: 'max' }),
  });

export type Life = ReturnType<typeof randomLife> extends fc.Arbitrary<infer T> ? T : never;

export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;
type Of<Op extends Operation['op']> = Extract<Operation, { readonly op: Op }>;

const WATCHED: readonly RegisterKey[] = [
  'CR0',
  'CR0ACK',
  'CR2',
  'GBPA',
  'GERROR',
  'GERRORN',
  'CMDQ_PROD',
  'CMDQ_CONS',
  'EVENTQ_PROD',
  'EVENTQ_CONS',
  'STRTAB_BASE',
  'STRTAB_BASE_CFG',
  'IRQ_CTRLACK',
];
const offsetOf = (key: RegisterKey) => BANKS[NON_SECURE][key].offset;

/** Software on one world. */
export class GuestSoftware {
  readonly #world: World;
  readonly #active = new Set<string>();
  readonly #global: boolean;
  /** The tree of each CD, by its ASID. */
  readonly #trees: number[] = [];
  #twoLevel = false;

  private constructor(world: World, global: boolean) {
    this.#world = world;
    this.#global = global;
  }

  /** From reset, with some streams that translate. @param global it has global entries. */
  static async boot(world: World, global: boolean): Promise<GuestSoftware> {
    const software = new GuestSoftware(world, global);
    await software.#boot();
    return software;
  }

  async #boot(): Promise<void> {
    const world = this.#world;
    await world.reset();
    world.memory.fill(GUEST_RAM, 0, GUEST_BYTES);
    for (let tree = 0; tree < TREES; tree++) this.#buildTree(tree);
    await this.#start();
    for (let array = 0; array < CD_ARRAYS; array++) {
      for (let index = 0; index < CDS_PER_ARRAY; index++) {
        const tree = index % TREES;
        await this.#cd({ op: 'cd', array, index, tree, fields: GOOD_CD, flush: 0 });
      }
    }
    for (const [device, array] of [
      [0, 0],
      [1, 1],
      [2, 2],
    ] as const) {
      const fields = { ...GOOD_STE, S1CDMax: device === 1 ? 2 : 0 };
      await this.#ste({ op: 'ste', device, array, fields, flush: 0 });
    }
    await this.#enable(GOOD_TABLE);
    world.takeInterrupts();
  }

  /** Does one thing. @returns what of it the guest can see. */
  async perform(operation: Operation): Promise<unknown> {
    return [await this.#perform(operation), this.#world.takeInterrupts(), this.registers()];
  }

  registers(): string {
    return WATCHED.map((key) => `${key}=${this.#read(key).toString(16)}`).join(' ');
  }

  /** Everything: the event queue is part of it. */
  memory(): Uint8Array {
    return this.#world.memory.readBytes(GUEST_RAM, GUEST_BYTES);
  }

  async #perform(operation: Operation): Promise<unknown> {
    switch (operation.op) {
      case 'leaf':
        return await this.#leaf(operation);
      case 'cd':
        return await this.#cd(operation);
      case 'ste':
        return await this.#ste(operation);
      case 'access':
        return await this.#access(operation);
      case 'enable':
        return await this.#enable(operation);
      case 'disable':
        await this.#setCr0('SMMUEN', false);
        return operation.enable ? await this.#enable(GOOD_TABLE) : undefined;
      case 'gbpa':
        return await this.#write('GBPA', 2 ** 31 + (operation.abort ? 2 ** 20 : 0));
      case 'events':
        return await this.#setCr0('EVENTQEN', operation.enabled);
      case 'drain':
        return await this.#write('EVENTQ_CONS', this.#read('EVENTQ_PROD'));
      case 'illegal':
        return await this.#issue([new Uint32Array([0xff, 0, 0, 0])]);
      case 'invalidate':
        return await this.#issue([this.#invalidation(operation)]);
      case 'disturb':
        return await this.#world.disturb(operation.how, operation.device);
      case 'reset':
        await this.#world.reset();
        await this.#start();
        return operation.enable ? await this.#enable(GOOD_TABLE) : undefined;
    }
  }

  /** From reset to a working SMMU whose translation is off. */
  async #start(): Promise<void> {
    this.#active.clear();
    await this.#write64('CMDQ_BASE', BigInt(COMMAND_QUEUE | LOG2_COMMANDS));
    await this.#write('CMDQ_PROD', 0);
    await this.#write('CMDQ_CONS', 0);
    await this.#write64('EVENTQ_BASE', BigInt(EVENT_QUEUE | LOG2_EVENTS));
    await this.#write('EVENTQ_PROD', 0);
    await this.#write('EVENTQ_CONS', 0);
    await this.#write('IRQ_CTRL', 5);
    await this.#setCr0('CMDQEN', true);
    await this.#setCr0('EVENTQEN', true);
    await this.#issue([cfgiAll(NON_SECURE), tlbiNSNHAll()]);
  }

  async #enable({ twoLevel, RECINVSID, broken }: Of<'enable'>): Promise<void> {
    await this.#setCr0('SMMUEN', false);
    this.#twoLevel = twoLevel;
    await this.#write('CR2', RECINVSID ? 2 : 0);
    // A table that is no memory: every stream fails.
    await this.#write64('STRTAB_BASE', BigInt(broken ? 0x1_0000_0000 : STREAM_TABLE));
    await this.#write('STRTAB_BASE_CFG', twoLevel ? (1 << 16) | (6 << 6) | 8 : 6);
    this.#writeStreams();
    await this.#issue([cfgiAll(NON_SECURE), tlbiNSNHAll()]);
    await this.#setCr0('SMMUEN', true);
  }

  /** Where the STE of a StreamID is: in a linear table of 64, or in the second level, of which each part has 64. */
  #steAddress(StreamID: number): number {
    return LEVEL_2 + StreamID * 64;
  }

  /** A linear table is the first part of the second level, copied. */
  #writeStreams(): void {
    const { memory } = this.#world;
    if (this.#twoLevel) {
      for (let index = 0; index < 2; index++)
        memory.store64(STREAM_TABLE + 8 * index, BigInt(LEVEL_2 + index * 4096) | 7n);
      return;
    }
    memory.writeBytes(STREAM_TABLE, memory.readBytes(LEVEL_2, 4096));
  }

  async #ste({ device, array, fields, flush }: Of<'ste'>): Promise<void> {
    const StreamID = STREAM_IDS[device]!;
    const words = encode(STE, { ...fields, S1ContextPtr: BigInt(CDS + array * 0x1000) >> 6n });
    this.#world.memory.writeBytes(this.#steAddress(StreamID), new Uint8Array(words.buffer));
    this.#writeStreams();
    const range = cfgiAll(NON_SECURE);
    const commands = [cfgiSTE(StreamID, NON_SECURE, false), cfgiSTE(StreamID, NON_SECURE, true), range];
    await this.#issue([commands[flush]!]);
  }

  async #cd({ array, index, flush, ...wanted }: Of<'cd'>): Promise<void> {
    const ASID = array * CDS_PER_ARRAY + index;
    const tree = this.#global ? 0 : wanted.tree;
    const fields = this.#global ? { ...GOOD_CD, V: wanted.fields.V } : wanted.fields;
    this.#trees[ASID] = tree;
    const root = this.#table(tree, 1);
    const words = encode(CD, {
      ...fields,
      ASID,
      TTB0: BigInt(root) >> 4n,
      TTB1: BigInt(root) >> 4n,
      MAIR0: 0xff,
    });
    const address = CDS + array * 0x1000 + index * 64;
    this.#world.memory.writeBytes(address, new Uint8Array(words.buffer));
    const perStream = (command: (StreamID: number) => CommandWords) => STREAM_IDS.map(command);
    const choices = [
      [cfgiAll(NON_SECURE)],
      perStream((StreamID) => cfgiCDAll(StreamID, NON_SECURE)),
      perStream((StreamID) => cfgiCD(StreamID, index, NON_SECURE, true)),
      perStream((StreamID) => cfgiSTE(StreamID, NON_SECURE, true)),
    ];
    // The ASID may have meant another tree.
    await this.#issue([...choices[flush]!, tlbiNHAll(0)]);
  }

  async #leaf(operation: Of<'leaf'>): Promise<void> {
    const { block, index, valid, page, outside, AP, AF, nG, UXN, DBM, flush } = operation;
    const tree = this.#global ? 0 : operation.tree;
    const level = block ? 2 : 3;
    const size = block ? BLOCK_BYTES : 0x1000;
    const inside = at(0x40_0000) + Math.floor((page * 0x1000) / size) * size;
    const output = outside ? 0x40_0000_0000 + page * size : inside;
    // Blocks are beside the level 3 table.
    const entry = block ? 1 + index : index;
    const attributes =
      (BigInt(AP) << 6n) |
      (AF ? 1n << 10n : 0n) |
      (nG || !this.#global ? 1n << 11n : 0n) |
      (UXN ? 1n << 54n : 0n) |
      (DBM ? 1n << 51n : 0n) |
      (block ? 1n : 3n);
    this.#world.memory.store64(
      this.#table(tree, level) + entry * 8,
      valid ? BigInt(output) | attributes : 0n,
    );
    const input = BigInt(entry) * BigInt(size);
    const both = [input, input + (2n ** 64n - 2n ** 39n)];
    const range = { TG: 1, TTL: 0, NUM: 1, SCALE: 0 };
    const ASIDs = this.#trees.flatMap((used, ASID) => (used === tree ? [ASID] : []));
    const choices: CommandWords[][] = [
      [tlbiNHAll(0)],
      [tlbiNSNHAll()],
      // Global entries are of no ASID: TLBI_NH_ASID leaves them.
      [...ASIDs.map((ASID) => tlbiNHASID(0, ASID)), tlbiNHAll(0)],
      both.flatMap((address) => ASIDs.map((ASID) => tlbiNHVA(0, ASID, { address, leaf: true }))),
      both.flatMap((address) => ASIDs.map((ASID) => tlbiNHVA(0, ASID, { address, leaf: false, range }))),
    ];
    await this.#issue(choices[flush]!);
  }

  async #access(operation: Of<'access'>): Promise<unknown> {
    const { device, write, privileged, instruction, page, offset, data } = operation;
    // Under GBPA a physical SMMU has an STE all the same, and that knows no SubstreamIDs (a difference of its own).
    const SubstreamID = this.#active.has('SMMUEN') ? operation.SubstreamID : -1;
    const within = BigInt(page * 0x1000 + offset);
    const iova: Record<Of<'access'>['kind'], bigint> = {
      page: within,
      block: BigInt((1 + (page % 5)) * BLOCK_BYTES) + within,
      upper: 2n ** 64n - 2n ** 39n + within,
      physical: BigInt(at(0x40_0000)) + within,
      far: 2n ** BigInt(40 + page * 4) + within,
    };
    const access: Access = {
      device,
      iova: iova[operation.kind],
      write,
      privileged,
      instruction,
      SubstreamID,
    };
    const bytes = Uint8Array.from({ length: 8 }, (_, index) => data + index);
    const seen = await this.#world.access(access, bytes);
    // Where the SMMU is in another thread, the event of an access that is over is there after a CMD_SYNC (4.7.3).
    if (this.#world.threaded) await this.#issue([]);
    return seen;
  }

  #invalidation({ what, StreamID, ASID }: Of<'invalidate'>): CommandWords {
    const choices = [
      cfgiSTE(StreamID, NON_SECURE, true),
      cfgiCD(StreamID, ASID, NON_SECURE, false),
      cfgiCDAll(StreamID, NON_SECURE),
      tlbiNHASID(0, ASID),
      tlbiNHVA(0, ASID, { address: BigInt(StreamID) << 12n, leaf: false }),
      cfgiAll(NON_SECURE),
    ];
    return choices[what]!;
  }

  #buildTree(tree: number): void {
    const { memory } = this.#world;
    memory.store64(this.#table(tree, 1), BigInt(this.#table(tree, 2)) | 3n);
    memory.store64(this.#table(tree, 2), BigInt(this.#table(tree, 3)) | 3n);
    for (let index = 0; index < 4; index++) {
      // Read and write for all, AF, nG.
      const page = BigInt(at(0x40_0000) + (tree * 16 + index) * 0x1000);
      memory.store64(this.#table(tree, 3) + index * 8, page | 0xc43n);
    }
  }

  #table(tree: number, level: number): number {
    return TABLES + tree * TREE_BYTES + (level - 1) * 0x1000;
  }

  /** Issues commands and a CMD_SYNC; puts a CMD_SYNC in the place of one that stops the queue, and says so. */
  async #issue(commands: readonly CommandWords[]): Promise<string[]> {
    const errors: string[] = [];
    const mask = 2 ** (LOG2_COMMANDS + 1) - 1;
    for (const command of [...commands, sync()]) {
      const prod = this.#read('CMDQ_PROD') & mask;
      this.#store(prod, command);
      await this.#write('CMDQ_PROD', (prod + 1) & mask);
      const active = (this.#read('GERROR') ^ this.#read('GERRORN')) & 1;
      if (active === 0) continue;
      const cons = this.#read('CMDQ_CONS');
      errors.push(`CMDQ_CONS ${cons.toString(16)}`);
      this.#store(cons & mask, sync());
      await this.#write('GERRORN', this.#read('GERRORN') ^ 1);
    }
    return errors;
  }

  #store(index: number, command: CommandWords): void {
    const slot = COMMAND_QUEUE + (index % 2 ** LOG2_COMMANDS) * 16;
    this.#world.memory.writeBytes(slot, new Uint8Array(command.slice().buffer));
  }

  async #setCr0(field: 'SMMUEN' | 'EVENTQEN' | 'CMDQEN', on: boolean): Promise<void> {
    if (on) this.#active.add(field);
    else this.#active.delete(field);
    const value = [...this.#active].reduce(
      (sum, name) => sum | (1 << BANKS[NON_SECURE].CR0.fields[name]!.lo),
      0,
    );
    await this.#write('CR0', value);
  }

  #read(key: RegisterKey): number {
    return this.#world.readRegister(offsetOf(key)) >>> 0;
  }

  async #write(key: RegisterKey, value: number): Promise<void> {
    await this.#world.writeRegister(offsetOf(key), 4, BigInt(value >>> 0));
  }

  async #write64(key: RegisterKey, value: bigint): Promise<void> {
    await this.#world.writeRegister(offsetOf(key), 8, value);
  }
}
