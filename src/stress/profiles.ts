/** The profiles of a stress run: how often the software does what. */

/** Operations of the software, in the order in which a seed draws them. */
export const OPERATIONS = [
  'map',
  'unmap',
  'protect',
  'lose-tables',
  'switch-ste',
  'switch-cd',
  'configure',
  'move-table',
  'toggle',
  'gbpa',
  'silence-events',
  'neglect-events',
  'talk',
  'err',
  'drain-events',
] as const;
export type OperationName = (typeof OPERATIONS)[number];

/** Weights; what is not named is not done. */
export type Profile = Readonly<Partial<Record<OperationName, number>>>;

export const PROFILES = {
  /** Mappings come and go. */
  'map-unmap': { map: 50, unmap: 40, 'drain-events': 10 },
  /** Descriptors, CDs and STEs change as often as they can under the eyes of the walkers. */
  'descriptor-tearing': {
    ...{
      map: 20,
      unmap: 15,
      protect: 30,
      'lose-tables': 2,
      'switch-ste': 10,
      'switch-cd': 10,
      'move-table': 5,
    },
    'drain-events': 10,
  },
  /** Every scope of invalidation, and far more of it than is needed. */
  'invalidate-vs-dma': { map: 30, unmap: 25, protect: 5, talk: 30, 'drain-events': 10 },
  /** All that there is, faults, overflows and errors included. */
  everything: {
    ...{ map: 30, unmap: 20, protect: 12, 'lose-tables': 1, 'switch-ste': 5, 'switch-cd': 4, configure: 4 },
    ...{ 'move-table': 2, toggle: 3, gbpa: 1, 'silence-events': 1, 'neglect-events': 1, talk: 5, err: 1 },
    'drain-events': 11,
  },
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
export const PROFILE_NAMES = Object.keys(PROFILES) as readonly ProfileName[];
