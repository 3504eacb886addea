/** StreamWorlds: the translation regime of a stream (IHI 0070 3.3.3, 5.2 STRW). They tag TLB entries (3.17). */

export const NS_EL1 = 0;
export const NS_EL2 = 1;
export const NS_EL2_E2H = 2;
export const SECURE_EL1 = 3;
export const S_EL2 = 4;
export const S_EL2_E2H = 5;
export const EL3 = 6;

export type StreamWorld =
  | typeof NS_EL1
  | typeof NS_EL2
  | typeof NS_EL2_E2H
  | typeof SECURE_EL1
  | typeof S_EL2
  | typeof S_EL2_E2H
  | typeof EL3;

export const STREAM_WORLD_NAMES = [
  'NS-EL1',
  'NS-EL2',
  'NS-EL2-E2H',
  'Secure',
  'S-EL2',
  'S-EL2-E2H',
  'EL3',
] as const;

/** any-EL2 or EL3: one table (TTB0), no ASID, one privilege level (IHI 0070 5.4.1). */
export function isSinglePrivilege(world: StreamWorld): boolean {
  return world === NS_EL2 || world === S_EL2 || world === EL3;
}

/** EL2 with a VHE host's two tables and ASIDs: what CR2.E2H makes of EL2 (IHI 0070 5.2 STRW). */
export function isE2h(world: StreamWorld): boolean {
  return world === NS_EL2_E2H || world === S_EL2_E2H;
}

/** Whether entries of the regime carry an ASID (IHI 0070 3.17). */
export function hasAsid(world: StreamWorld): boolean {
  return !isSinglePrivilege(world);
}
