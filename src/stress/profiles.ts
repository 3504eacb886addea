/** The profiles of a stress run: how often the software does what, and what the devices try. */

/** Operations of the software, with their weights; what is not named is not done. */
export interface Profile {
  readonly map: number;
  readonly unmap: number;
}

export const PROFILES = {
  'map-unmap': { map: 5, unmap: 5 },
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
export const PROFILE_NAMES = Object.keys(PROFILES) as readonly ProfileName[];
