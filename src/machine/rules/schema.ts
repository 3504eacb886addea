/** Rules of form: what YAML and the shape of a machine file demand, before anything means something. */
import { errorRule, type Place, type Reporter } from '../diagnostics.js';

export const yamlSyntax = errorRule(
  'yaml-syntax',
  'The file is not YAML 1.2, has a key twice in one mapping, or holds more than one document. Nothing else is reported.',
);

export const schema = errorRule(
  'schema',
  'An unknown key, a missing key, a value of the wrong type or out of its list or range.',
);

export const rules = [yamlSyntax, schema] as const;

/** The nearest of some known words, and whether it is near enough to be what was meant. */
export function nearest(word: string, known: readonly string[]): { word: string; resembles: boolean } {
  let best = '';
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = editDistance(normalize(word), normalize(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  const length = Math.min(word.length, best.length);
  return { word: best, resembles: bestDistance <= Math.max(1, Math.floor(length / 3)) };
}

/** `Primary_Bus` and `primary-bus` differ in fashion only. */
function normalize(word: string): string {
  return word.toLowerCase().replaceAll('_', '-');
}

/** Insertions, deletions, substitutions and swaps of neighbours. Only the start of a very long word counts. */
function editDistance(left: string, right: string): number {
  const [a, b] = [left.slice(0, 64), right.slice(0, 64)];
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]! + Math.abs(left.length - a.length);
}

export function reportUnknownKey(
  reporter: Reporter,
  place: Place,
  name: string,
  owner: string,
  known: readonly string[],
): { word: string; resembles: boolean } {
  const near = nearest(name, known);
  reporter.at(
    schema,
    place,
    `unknown key '${name}' in ${owner}; the nearest known one is '${near.word}'`,
    near.resembles ? `write '${near.word}'` : `known keys are ${known.join(', ')}`,
  );
  return near;
}

export function reportMissingKey(
  reporter: Reporter,
  place: Place,
  name: string,
  owner: string,
  doc: string,
): void {
  reporter.at(schema, place, `${owner} has no '${name}'`, `add '${name}': ${doc}`);
}

export function reportWrongValue(
  reporter: Reporter,
  place: Place,
  name: string,
  found: string,
  expected: string,
  suffix = '',
): void {
  reporter.at(schema, place, `'${name}' is ${found}, which is not ${expected}${suffix}`, `write ${expected}`);
}
