import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CHOICES } from '../../src/arch/choices.js';

const src = fileURLToPath(new URL('../../src/', import.meta.url));

/** The ids that comments name, as `choice: prefetch` or `choices: illegal-register-access, pair-access`. */
function namedIn(text: string): string[] {
  const comments = (text.match(/^\s*(?:\/\*\*|\*|\/\/).*$/gm) ?? [])
    .map((line) => line.replace(/^\s*(?:\/\*\*|\*\/|\*|\/\/) ?/, '').replace(/ \*\/$/, ''))
    .join(' ');
  const named = comments.matchAll(/\bchoices?: ([a-z\d-]+(?:, [a-z\d-]+)*)/gi);
  return [...named].flatMap(([, ids]) => ids!.split(', '));
}

const named = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') && !path.endsWith('choices.ts'))
  .flatMap((path) => namedIn(readFileSync(`${src}${path}`, 'utf8')));

describe('the choices that the architecture leaves open', () => {
  it('are each named by the code that carries them out', () => {
    const unnamed = CHOICES.map(({ id }) => id).filter((id) => !named.includes(id));
    expect(unnamed).toEqual([]);
  });

  it('are all that code names', () => {
    const ids = new Set(CHOICES.map(({ id }) => id));
    expect(named.filter((id) => !ids.has(id))).toEqual([]);
  });

  it('have an id each, and one of their options', () => {
    expect(new Set(CHOICES.map(({ id }) => id)).size).toBe(CHOICES.length);
    for (const { id, options, ours } of CHOICES) expect(options[ours], id).toBeDefined();
  });
});
