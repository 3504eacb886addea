/**
 * Says the result in one plain line, `N passed, N failed, N skipped`, as the last of a run. A suite that could not be
 * collected and an error outside every test count as failures: they hide tests that never ran.
 */
import type { Reporter, SerializedError, TestModule, TestSuite } from 'vitest/node';

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

/** A suite fails by itself when its hooks do, or its module cannot be loaded; failed tests are counted as such. */
function ownErrors(suite: TestModule | TestSuite): number {
  const nested = [...suite.children].reduce(
    (sum, child) => sum + (child.type === 'suite' ? ownErrors(child) : 0),
    0,
  );
  return nested + suite.errors().length;
}

function countModule(testModule: TestModule, count: Count): void {
  for (const test of testModule.children.allTests()) {
    const { state } = test.result();
    if (state === 'passed') count.passed++;
    else if (state === 'skipped') count.skipped++;
    // A test that is still pending when the run is over was never answered.
    else count.failed++;
  }
  count.failed += ownErrors(testModule);
}

export default class CountReporter implements Reporter {
  onTestRunEnd(testModules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const count: Count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const testModule of testModules) countModule(testModule, count);
    process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
  }
}
