/** The names of the built-in faults (REQUIREMENTS H3): what `--mutate` accepts. */

export const MUTATION_NAMES = ['skip-tlbi'] as const;
export type MutationName = (typeof MUTATION_NAMES)[number];
