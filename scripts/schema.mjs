// Writes machines/machine.schema.json from the declarations in src/machine. Needs a build.
import { writeFile } from 'node:fs/promises';
import { jsonSchemaText } from '../dist/src/machine/json-schema.js';

await writeFile(new URL('../machines/machine.schema.json', import.meta.url), jsonSchemaText());
