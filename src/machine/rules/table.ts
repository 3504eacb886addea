/** All diagnostics by code: what the reference page lists, and what machines/invalid has an example of each. */
import type { Rule } from '../diagnostics.js';
import { rules as accel } from './accel.js';
import { rules as addresses } from './addresses.js';
import { rules as buses } from './buses.js';
import { rules as features } from './features.js';
import { rules as ids } from './ids.js';
import { rules as interrupts } from './interrupts.js';
import { rules as memory } from './memory.js';
import { rules as references } from './references.js';
import { rules as schema } from './schema.js';
import { rules as secure } from './secure.js';
import { rules as software } from './software.js';
import { rules as streams } from './streams.js';

export const RULES: readonly Rule[] = [
  ...schema,
  ...ids,
  ...references,
  ...memory,
  ...buses,
  ...addresses,
  ...streams,
  ...secure,
  ...interrupts,
  ...features,
  ...accel,
  ...software,
];
