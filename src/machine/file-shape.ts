/**
 * The machine file: every section, key, type and default, said once.
 *
 * The reader, `--set`, `--global`, the JSON Schema and the reference page follow these declarations. Words are
 * QEMU's where QEMU has them.
 */
import { CACHINGS, REPLACEMENTS } from '../smmu/config.js';
import {
  address,
  bigInteger,
  entries,
  granule,
  idOrOff,
  integer,
  orAuto,
  type SwitchState,
  size,
  sourceText,
  text,
  toggle,
  word,
} from './kinds.js';
import { dictionary, type Item, key, list, record } from './shape.js';

/** Interrupt outputs in the order in which left-out numbers are assigned (IHI 0070 3.18). */
export const IRQ_NAMES = ['eventq', 'priq', 'cmd-sync', 'gerror'] as const;

export const DEFAULT_TLB_ENTRIES = 4096;
export const DEFAULT_CONFIG_CACHE_ENTRIES = 1024;

/** Outcomes that a step can expect: success, an abort without an event, or an event (IHI 0070 7.3). */
export const EXPECTATIONS = [
  'ok',
  'abort',
  'F_UUT',
  'C_BAD_STREAMID',
  'F_STE_FETCH',
  'C_BAD_STE',
  'F_BAD_ATS_TREQ',
  'F_STREAM_DISABLED',
  'F_TRANSL_FORBIDDEN',
  'C_BAD_SUBSTREAMID',
  'F_CD_FETCH',
  'C_BAD_CD',
  'F_WALK_EABT',
  'F_TRANSLATION',
  'F_ADDR_SIZE',
  'F_ACCESS',
  'F_PERMISSION',
  'F_TLB_CONFLICT',
  'F_CFG_CONFLICT',
  'F_VMS_FETCH',
] as const;

const id = (what: string) => key(text(), `Name of the ${what}.`, { required: true });
const off: { readonly global: true; readonly fallback: SwitchState } = { global: true, fallback: 'off' };
const on: { readonly global: true; readonly fallback: SwitchState } = { global: true, fallback: 'on' };
const iova = () => bigInteger({ min: 0n, max: 2n ** 64n - 1n, expected: 'a 64-bit address, as 0x10000000' });
const registerWord = (name: string) =>
  key(integer(0, 0xffff_ffff, 'a 32-bit register value'), `Raw value of SMMU_${name}.`);

export const REGION_SHAPE = {
  id: id('region'),
  base: key(address(), 'Physical address of the first byte, 4 KiB aligned.', { required: true }),
  size: key(size(), 'Bytes, a multiple of 4 KiB.', { required: true }),
  security: key(word('non-secure', 'secure'), 'The physical address space that the region is part of.', {
    fallback: 'non-secure',
  }),
  'backed-by': key(
    text(),
    "A guest's memory: the region of the host that holds its bytes. It is in no default address space.",
  ),
  offset: key(address(), 'Where in that region it begins, 4 KiB aligned.', { fallback: 0 }),
} as const;

const ROOTS = ['pcie', 'pxb-pcie'] as const;
const PORTS = ['pcie-root-port'] as const;
const PLACED = ['pxb-pcie', 'pcie-root-port'] as const;

export const BUS_SHAPE = {
  id: id('bus'),
  type: key(
    word('pcie', 'pxb-pcie', 'pcie-root-port'),
    'pcie: the default root complex. pxb-pcie: a further root complex. pcie-root-port: a port with a bus below it.',
    { required: true },
  ),
  'bus-nr': key(
    integer(0, 255, 'a bus number of 0 to 255'),
    'Bus number of the root complex. Default of pcie: 0.',
    {
      only: ROOTS,
      required: ['pxb-pcie'],
    },
  ),
  'bypass-iommu': key(toggle(), 'on: devices of this root complex reach memory without an SMMU.', {
    only: ROOTS,
    ...off,
  }),
  bus: key(text(), 'The bus that the port (or the host bridge of a pxb-pcie) sits on.', {
    only: PLACED,
    required: PORTS,
  }),
  addr: key(
    sourceText('a slot and a function, as "02.0"'),
    'Its slot (hex) and function on that bus: "02.0".',
    {
      only: PLACED,
      required: PORTS,
    },
  ),
  secondary: key(integer(0, 255, 'a bus number of 0 to 255'), 'Number of the bus below the port.', {
    only: PORTS,
    required: PORTS,
  }),
  subordinate: key(
    integer(0, 255, 'a bus number of 0 to 255'),
    'Highest bus number below the port. Default: secondary.',
    { only: PORTS },
  ),
} as const;

const irq = (output: string) =>
  key(
    integer(0, undefined, 'an interrupt number: a whole number from 0'),
    `Interrupt number of ${output}. Default: one that the file does not use.`,
  );

export const IRQS_SHAPE = {
  eventq: irq('the Event queue'),
  priq: irq('the PRI queue'),
  'cmd-sync': irq('CMD_SYNC'),
  gerror: irq('global errors'),
} as const;

export const IDR_SHAPE = {
  IDR0: registerWord('IDR0'),
  IDR1: registerWord('IDR1'),
  IDR3: registerWord('IDR3'),
  IDR5: registerWord('IDR5'),
  IIDR: registerWord('IIDR'),
  AIDR: registerWord('AIDR'),
  S_IDR0: registerWord('S_IDR0'),
  S_IDR1: registerWord('S_IDR1'),
} as const;

export const SMMU_DRIVER = 'arm-smmuv3';

export const SMMU_SHAPE = {
  id: id('SMMU'),
  base: key(address(), 'Physical address of register page 0, 64 KiB aligned; the window is 128 KiB.', {
    required: true,
  }),
  'primary-bus': key(text(), 'The root complex (pcie, pxb-pcie) whose devices the SMMU serves.'),
  memory: key(text(), 'Address space of Non-secure accesses.', { global: true, fallback: 'system' }),
  'secure-memory': key(text(), 'Address space of Secure accesses. Absent: not wired.', { global: true }),
  'secure-impl': key(
    toggle(),
    'Secure state (S_IDR1.SECURE_IMPL). Absent or auto: on exactly when secure-memory is wired.',
    { global: true, fallback: 'auto' },
  ),
  sel2: key(
    toggle(),
    'Secure EL2 and Secure stage 2 (S_IDR1.SEL2): needs Secure support, stage: nested and an SMMUv3.2 (ril: on).',
    off,
  ),
  's-init': key(
    word('secure', 'non-secure'),
    'Who reaches SMMU_S_INIT: Secure register accesses alone, or Non-secure ones too, for machines without Secure software.',
    { global: true, fallback: 'secure' },
  ),
  stage: key(word('1', '2', 'nested'), 'Translation stages: IDR0.S1P and IDR0.S2P.', {
    global: true,
    fallback: '1',
  }),
  oas: key(
    orAuto(bigInteger({ min: -(2n ** 63n), expected: 'a number of bits' })),
    "Output address size in bits (IDR5.OAS): 32, 36, 40, 42, 44, 48 or 52. auto: the host's, with accel.",
    { global: true, fallback: 44n },
  ),
  sidsize: key(
    integer(0, 32, 'a number of 0 to 32 bits'),
    'StreamID bits (IDR1.SIDSIZE, S_IDR1.S_SIDSIZE).',
    {
      global: true,
      fallback: 16,
    },
  ),
  ssidsize: key(
    orAuto(integer(0, 20, 'a number of 0 to 20 bits')),
    "SubstreamID bits (IDR1.SSIDSIZE); 0: none. auto: the host's, with accel.",
    { global: true, fallback: 0 },
  ),
  irqs: key(record(IRQS_SHAPE), 'Wired interrupts.'),
  ats: key(toggle(), 'PCIe ATS (IDR0.ATS). Not implemented yet.', off),
  ril: key(toggle(), 'Range invalidation and level hints (IDR3.RIL). off makes it an SMMUv3.1 (AIDR).', on),
  ttf: key(word('aarch64', 'both'), 'Table formats (IDR0.TTF). both adds VMSAv8-32 LPAE.', {
    global: true,
    fallback: 'aarch64',
  }),
  granules: key(list(granule()), 'Translation granules (IDR5.GRANx): 4KiB, 16KiB, 64KiB. Default: all.', {
    global: true,
  }),
  httu: key(
    word('off', 'access', 'dirty', 'tables'),
    'Hardware update of translation tables (IDR0.HTTU): of the Access flag, of the dirty state as well, of the Access flag of Table descriptors as well.',
    { global: true, fallback: 'off' },
  ),
  'stall-model': key(
    word('terminate', 'stall', 'forced'),
    'Fault model (IDR0.STALL_MODEL): terminate only, stall and terminate, or stall forced, which no PCI system can have.',
    { global: true, fallback: 'terminate' },
  ),
  msi: key(toggle(), 'Message signalled interrupts (IDR0.MSI, S_IDR0.MSI).', off),
  cmdqs: key(
    integer(0, 19, 'a log2 size of 0 to 19'),
    'Largest Command queue, log2 of entries (IDR1.CMDQS).',
    {
      global: true,
      fallback: 19,
    },
  ),
  eventqs: key(
    integer(0, 19, 'a log2 size of 0 to 19'),
    'Largest Event queue, log2 of entries (IDR1.EVENTQS).',
    {
      global: true,
      fallback: 19,
    },
  ),
  vmid16: key(toggle(), '16-bit VMIDs (IDR0.VMID16); advertised where there is a stage 2.', on),
  asid16: key(toggle(), '16-bit ASIDs (IDR0.ASID16).', on),
  iidr: key(
    integer(0, 0xffff_ffff, 'a 32-bit register value'),
    'SMMU_IIDR. Default: implementer Arm, nothing else.',
    {
      global: true,
      fallback: 0x43b,
    },
  ),
  tlb: key(entries(DEFAULT_TLB_ENTRIES), `TLB entries, off or unbounded. Default: ${DEFAULT_TLB_ENTRIES}.`, {
    global: true,
    fallback: DEFAULT_TLB_ENTRIES,
  }),
  'config-cache': key(
    entries(DEFAULT_CONFIG_CACHE_ENTRIES),
    `Configuration cache entries, off or unbounded. Default: ${DEFAULT_CONFIG_CACHE_ENTRIES}.`,
    { global: true, fallback: DEFAULT_CONFIG_CACHE_ENTRIES },
  ),
  caching: key(
    word(...CACHINGS),
    'What the caches keep. normal: valid STEs and CDs, translations that permit their access. stale: L1STDs, L1CDs, table descriptors and denied translations, too. maximally-stale: invalid structures as well.',
    { global: true, fallback: 'normal' },
  ),
  replacement: key(
    word(...REPLACEMENTS),
    'Which entry of a full cache goes: the oldest, the least recently used, or one at random.',
    { global: true, fallback: 'oldest' },
  ),
  'cache-seed': key(integer(0, 0xffff_ffff, 'a 32-bit number'), 'Seed of the random replacement.', {
    global: true,
    fallback: 0,
  }),
  'speculative-fills': key(
    toggle(),
    'After a miss, fetch the neighbouring STE, CD and page as well (IHI 0070 3.14, 3.21).',
    off,
  ),
  accel: key(idOrOff(), 'off, or the SMMU that translates for this one: the physical one below a guest.', {
    global: true,
    fallback: 'off',
  }),
  idr: key(
    record(IDR_SHAPE),
    'Raw ID register words, in place of what the properties make. The last resort.',
  ),
} as const;

export const DEVICE_SHAPE = {
  id: id('device'),
  type: key(
    word('dma-engine', 'iommu-testdev', 'vfio-pci'),
    'What the device is. vfio-pci: a device of the host, passed through.',
    { required: true },
  ),
  bus: key(text(), 'The bus it sits on.', { required: true }),
  addr: key(
    sourceText('a slot and a function, as "02.0"'),
    'Its slot (hex) and function on that bus: "02.0".',
    {
      required: true,
    },
  ),
  host: key(text(), 'The device of the host that is passed through.', {
    only: ['vfio-pci'],
    required: ['vfio-pci'],
  }),
  'sec-sid': key(word('non-secure', 'secure'), 'Security state of the stream (SEC_SID).', {
    global: true,
    fallback: 'non-secure',
  }),
} as const;

export const ID_MAP_SHAPE = {
  bus: key(text(), 'The root complex whose Requester IDs are mapped.', { required: true }),
  'rid-base': key(integer(0, 0xffff, 'a Requester ID up to 0xffff'), 'First Requester ID.', {
    required: true,
  }),
  count: key(integer(1, 2 ** 32, 'a count of at least 1'), 'How many Requester IDs.', { required: true }),
  smmu: key(text(), 'The SMMU that serves them.', { required: true }),
  'sid-base': key(integer(0, undefined, 'a StreamID: a whole number from 0'), 'StreamID of the first.', {
    required: true,
  }),
} as const;

export const MAPPING_SHAPE = {
  iova: key(iova(), 'First input address, a multiple of the granule.', { required: true }),
  size: key(size(), 'Bytes, a multiple of the granule.', { required: true }),
  pa: key(address(), 'First physical address. Default: chosen by the boot software.'),
  access: key(word('rw', 'r', 'w'), 'What the device may do there.', { fallback: 'rw' }),
  security: key(word('non-secure', 'secure'), 'Output address space of a Secure stream. Default: its own.'),
  populate: key(
    word('at-boot', 'on-fault'),
    'When the page tables map it: at boot, or page by page when an access stalls there. on-fault needs faults: stall.',
    { fallback: 'at-boot' },
  ),
} as const;

export const SOFTWARE_SHAPE = {
  device: key(text(), 'The device whose stream is programmed.', { required: true }),
  config: key(word('translate', 'bypass', 'abort'), 'STE.Config.', { fallback: 'translate' }),
  granule: key(granule(), 'Translation granule: 4KiB, 16KiB or 64KiB.', { fallback: 4096 }),
  faults: key(
    word('terminate', 'stall'),
    'What becomes of an access whose translation faults (CD.S, STE.S2S): aborted, or held until the software has mapped what it populates on fault, or else aborts it.',
    { fallback: 'terminate' },
  ),
  context: key(
    text(),
    'Devices with one context share a CD, an ASID and all mappings. Default: the device alone.',
  ),
  mappings: key(list(record(MAPPING_SHAPE)), 'What the page tables map.'),
} as const;

export const WORKLOAD_SHAPE = {
  device: key(text(), 'The device that does the accesses.', { required: true }),
  op: key(
    word('fill', 'check', 'copy', 'read'),
    'fill: write a pattern. check: read and compare with it. copy: read at iova, write at to. read: read and discard.',
    { required: true },
  ),
  iova: key(iova(), 'First address of the accesses.', { required: true }),
  to: key(iova(), 'First address of the writes of copy.'),
  size: key(size(), 'Bytes in all.', { required: true }),
  block: key(size(4096), 'Bytes of one access, 1 to 4096.', { fallback: 4096 }),
  repeat: key(integer(1, 2 ** 32, 'a number of rounds, at least 1'), 'Rounds.', { fallback: 1 }),
  pattern: key(integer(0, 0xffff_ffff, 'a 32-bit number'), 'Seed of the pattern of fill and check.', {
    fallback: 0,
  }),
  expect: key(
    word(...EXPECTATIONS),
    'What every access does: ok, abort (without an event), or the event that it causes.',
    { fallback: 'ok' },
  ),
} as const;

export const MACHINE_SHAPE = {
  machine: key(text(), 'Name of the machine.', { required: true }),
  memory: key(list(record(REGION_SHAPE)), 'Memory regions.', { required: true }),
  'address-spaces': key(
    dictionary(list(text())),
    'Region ids by address space, in priority order: the first region that claims an address has it. Defaults: system, all non-secure regions; secure, where a region is secure, the secure regions over the others.',
  ),
  global: key(
    { kind: 'raw' },
    "Machine-wide defaults by driver and property, as QEMU's -global: arm-smmuv3.stage: nested.",
  ),
  buses: key(list(record(BUS_SHAPE, 'type')), 'PCIe root complexes and root ports.'),
  smmus: key(list(record(SMMU_SHAPE, SMMU_DRIVER)), 'SMMUv3 instances.'),
  devices: key(list(record(DEVICE_SHAPE, 'type')), 'DMA masters.'),
  'id-maps': key(
    list(record(ID_MAP_SHAPE)),
    'Requester ID to StreamID, as in an IORT. A bus without maps has the identity into the SMMU above it.',
  ),
  software: key(list(record(SOFTWARE_SHAPE)), 'What boot software programs for each stream.'),
  workload: key(
    list(record(WORKLOAD_SHAPE)),
    'What the devices then do. Steps of one device run in order, devices run concurrently.',
  ),
} as const;

/** Drivers that `global` and `--global` know, with the shape of their properties. */
export const DRIVERS = {
  [SMMU_DRIVER]: SMMU_SHAPE,
  pcie: BUS_SHAPE,
  'pxb-pcie': BUS_SHAPE,
  'dma-engine': DEVICE_SHAPE,
  'iommu-testdev': DEVICE_SHAPE,
  'vfio-pci': DEVICE_SHAPE,
} as const;

export type RegionItem = Item<typeof REGION_SHAPE>;
export type BusItem = Item<typeof BUS_SHAPE>;
export type SmmuItem = Item<typeof SMMU_SHAPE>;
export type DeviceItem = Item<typeof DEVICE_SHAPE>;
export type IdMapItem = Item<typeof ID_MAP_SHAPE>;
export type SoftwareItem = Item<typeof SOFTWARE_SHAPE>;
export type MappingItem = Item<typeof MAPPING_SHAPE>;
export type StepItem = Item<typeof WORKLOAD_SHAPE>;
export type MachineItem = Item<typeof MACHINE_SHAPE>;
