/** The built-in faults (REQUIREMENTS H3): what `--mutate` accepts. mutations.ts says what each does. */

export const MUTATION_NAMES = [
  // Faults of the software.
  'skip-tlbi',
  'skip-cfgi',
  'skip-sync',
  'forget-combined',
  'torn-descriptor',
  'skip-resume',
  // Faults between the TCU and its TBUs.
  'sync-without-wait',
  'lost-acknowledgement',
  'dropped-invalidation',
  'dropped-cfgi',
  'dropped-s2-ipa',
  'wrong-asid',
  'wrong-substream',
  'short-range',
  'ignore-leaf',
  'deaf-to-registers',
  // Faults in a TBU.
  'ignore-asid',
  'ignore-vmid',
  'ignore-sec-sid',
  'stale-permissions',
  'ignore-ns',
  'leak-secure',
  'lost-substream',
  'next-page',
  'late-write',
  'impatient-stall',
  'lost-update',
  // Faults with events.
  'lost-event',
  'duplicate-event',
  'wrong-queue',
  'wrong-streamid',
] as const;

export type MutationName = (typeof MUTATION_NAMES)[number];
