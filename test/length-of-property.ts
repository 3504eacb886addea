/** How long a property test runs: a number of cases in the suite, a time when someone leaves it alone for an hour. */

/**
 * SMMULATOR_RUNS says another number of cases. SMMULATOR_MINUTES has that many cases, with another seed each time, repeated until
 * the time is up: fast-check's own time limit would leave the last case running.
 * @param caseTime the longest that a case may take, in milliseconds.
 */
export function lengthOfProperty(cases: number, caseTime: number) {
  const numRuns = Number(process.env.SMMULATOR_RUNS ?? cases);
  const time = Number(process.env.SMMULATOR_MINUTES ?? 0) * 60_000;
  return {
    /** In milliseconds. */
    timeout: time + 60_000 + numRuns * caseTime,
    /** Has the property checked, once or for the time. */
    async check(property: (limits: { readonly numRuns: number }) => Promise<void>): Promise<void> {
      const end = performance.now() + time;
      let rounds = 0;
      do {
        await property({ numRuns });
        rounds++;
      } while (performance.now() < end);
      if (time > 0) console.info(`${rounds * numRuns} cases`);
    },
  };
}
