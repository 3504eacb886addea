/** `npm start`: from a fresh clone to the default machine, in one command. */
import { build, install, root, run } from './setup.mjs';

const machine = 'machines/one-smmu.yaml';

console.log(`smmulator in ${root}`);
install();
build();
const args = process.argv.length > 2 ? process.argv.slice(2) : ['run', machine];
console.log(`Running: smmulator ${args.join(' ')}\n`);
run(process.execPath, ['dist/src/cli/main.js', ...args]);
