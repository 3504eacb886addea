import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    // For hangs only: property tests take long on a busy machine, and longer with SMMULATOR_RUNS.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: ['default', './test/reporter.ts'],
  },
});
