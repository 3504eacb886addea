/** `npm test`: installs, builds, type-checks the tests and runs them all. Arguments go to vitest. */
import { build, install, runTool } from './setup.mjs';

install();
build();
console.log('Type-checking the tests (tsc --noEmit) ...');
runTool('typescript/bin/tsc', ['--noEmit', '-p', 'tsconfig.json']);
runTool('vitest/vitest.mjs', ['run', ...process.argv.slice(2)]);
