/**
 * What an accelerated SMMU may offer on a host's SMMU (REQUIREMENTS C20, C21): the guest's CDs and tables are read by the
 * physical one, which must know everything that the guest's ID registers promise.
 */
import { IDR0, IDR1, IDR3, IDR5, OAS_BITS, STALL_MODEL } from '../../arch/id-registers.js';
import { type Field, get, set } from '../../arch/layout.js';
import type { IdRegisters } from '../../smmu/config.js';
import type { HwInfo } from '../host-smmu.js';

type Register = 'IDR0' | 'IDR1' | 'IDR3' | 'IDR5';

interface Capability {
  /** As messages name it. */
  readonly name: string;
  readonly register: Register;
  readonly field: Field;
  /** Whether the guest's value can be had on the host's. */
  readonly fits: (guest: number, host: number) => boolean;
  readonly print?: (value: number) => string;
}

const atMost = (guest: number, host: number) => guest <= host;
/** A 1 takes something away. */
const atLeast = (guest: number, host: number) => guest >= host;
const subset = (guest: number, host: number) => (guest & ~host) === 0;
/** TTENDIAN: a host that does either does the guest's. */
const MIXED = 0;
const endianness = (guest: number, host: number) => host === MIXED || guest === host;
const labelled = (field: Field) => (value: number) => field.values?.[value] ?? String(value);

const { fields: F0 } = IDR0;
const { fields: F1 } = IDR1;
const { fields: F3 } = IDR3;
const { fields: F5 } = IDR5;

const CAPABILITIES: readonly Capability[] = [
  {
    name: 'Stream table format (ST_LEVEL)',
    register: 'IDR0',
    field: F0.ST_LEVEL,
    fits: atMost,
    print: labelled(F0.ST_LEVEL),
  },
  {
    name: 'translation table format (TTF)',
    register: 'IDR0',
    field: F0.TTF,
    fits: subset,
    print: labelled(F0.TTF),
  },
  {
    name: 'table endianness (TTENDIAN)',
    register: 'IDR0',
    field: F0.TTENDIAN,
    fits: endianness,
    print: labelled(F0.TTENDIAN),
  },
  { name: '2-level CD tables (CD2L)', register: 'IDR0', field: F0.CD2L, fits: atMost },
  { name: 'ASID size (ASID16)', register: 'IDR0', field: F0.ASID16, fits: atMost },
  { name: 'hardware update (HTTU)', register: 'IDR0', field: F0.HTTU, fits: atMost },
  { name: 'RAZ/WI termination (TERM_MODEL)', register: 'IDR0', field: F0.TERM_MODEL, fits: atLeast },
  { name: 'ATS', register: 'IDR0', field: F0.ATS, fits: atMost },
  { name: 'StreamID bits (SIDSIZE)', register: 'IDR1', field: F1.SIDSIZE, fits: atMost },
  { name: 'SubstreamID bits (SSIDSIZE)', register: 'IDR1', field: F1.SSIDSIZE, fits: atMost },
  { name: 'hierarchical attributes (HAD)', register: 'IDR3', field: F3.HAD, fits: atMost },
  { name: 'small tables (STT)', register: 'IDR3', field: F3.STT, fits: atMost },
  { name: 'range invalidation (RIL)', register: 'IDR3', field: F3.RIL, fits: atMost },
  { name: 'E0PD', register: 'IDR3', field: F3.E0PD, fits: atMost },
  {
    name: 'output address size (OAS)',
    register: 'IDR5',
    field: F5.OAS,
    fits: atMost,
    print: (value) => `${OAS_BITS[value]} bits`,
  },
  { name: '4KB granule (GRAN4K)', register: 'IDR5', field: F5.GRAN4K, fits: atMost },
  { name: '16KB granule (GRAN16K)', register: 'IDR5', field: F5.GRAN16K, fits: atMost },
  { name: '64KB granule (GRAN64K)', register: 'IDR5', field: F5.GRAN64K, fits: atMost },
  { name: '52-bit descriptors (DS)', register: 'IDR5', field: F5.DS, fits: atMost },
  { name: 'virtual address size (VAX)', register: 'IDR5', field: F5.VAX, fits: atMost },
];

/** What a guest's SMMU promises and the host's cannot keep: a sentence each, with both values. */
export function capabilityMismatches(guest: IdRegisters, host: HwInfo): string[] {
  return CAPABILITIES.flatMap(({ name, register, field, fits, print = String }) => {
    const wanted = get([guest[register]], field);
    const there = get([host[register]], field);
    return fits(wanted, there)
      ? []
      : [`${name}: ${print(wanted)} for the guest, ${print(there)} on the host`];
  });
}

/** Properties that can be left to the first device's host. */
export type AutoProperty = 'oas' | 'ssidsize' | 'ril' | 'ats';

const AUTO: Readonly<Record<AutoProperty, readonly [Register, Field][]>> = {
  oas: [['IDR5', F5.OAS]],
  // Two-level CD tables are worth offering where there are substreams.
  ssidsize: [
    ['IDR1', F1.SSIDSIZE],
    ['IDR0', F0.CD2L],
  ],
  ril: [['IDR3', F3.RIL]],
  ats: [['IDR0', F0.ATS]],
};

/** The guest's ID registers with the host's values for some properties. They stay so from then on. */
export function resolveAuto(guest: IdRegisters, auto: Iterable<AutoProperty>, host: HwInfo): IdRegisters {
  const resolved: Record<string, number> = { ...guest };
  for (const property of auto) {
    for (const [register, field] of AUTO[property]) {
      const words = [resolved[register]!];
      set(words, field, get([host[register]], field));
      resolved[register] = words[0]! >>> 0;
    }
  }
  return { ...guest, ...resolved };
}

/** What a physical SMMU cannot give to a guest at all: it decides for itself, in fields of the STE that are not the guest's. */
export function withoutHostFields(guest: IdRegisters): IdRegisters {
  const idr0 = [guest.IDR0];
  for (const field of [F0.S2P, F0.VMID16, F0.Hyp, F0.VMW]) set(idr0, field, 0);
  set(idr0, F0.STALL_MODEL, STALL_MODEL.terminate);
  const idr1 = [guest.IDR1];
  for (const field of [F1.ATTR_PERMS_OVR, F1.ATTR_TYPES_OVR]) set(idr1, field, 0);
  const idr3 = [guest.IDR3];
  for (const field of [F3.XNX, F3.FWB]) set(idr3, field, 0);
  return { ...guest, IDR0: idr0[0]! >>> 0, IDR1: idr1[0]! >>> 0, IDR3: idr3[0]! >>> 0 };
}
