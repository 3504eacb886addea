/**
 * What the author of a machine file is told: stable codes, exact places, one sentence of help.
 *
 * The reporter keeps the promise that nothing is reported twice: a value that was reported as an error is
 * marked, and rules look at marked values no more.
 */
import type { Sources } from './source.js';

export type Severity = 'error' | 'warning';

export interface Diagnostic {
  readonly code: string;
  readonly severity: Severity;
  readonly file: string;
  /** Counted from 1, as `column`, which counts characters. */
  readonly line: number;
  readonly column: number;
  /** As in `--set`: `smmus.smmu0.oas`. */
  readonly path: string;
  readonly message: string;
  readonly help: string;
}

/** A rule as the reference page lists it. Its check stands beside it, in the file of its group. */
export interface Rule {
  readonly code: string;
  readonly severity: Severity;
  /** What the machine's author did, in one sentence. */
  readonly text: string;
}

export function errorRule(code: string, text: string): Rule {
  return { code, severity: 'error', text };
}

export function warningRule(code: string, text: string): Rule {
  return { code, severity: 'warning', text };
}

/** Where something stands in the file, and what `--set` would call it. */
export interface Place {
  readonly offset: number;
  readonly path: string;
}

/** Where a value came from; `none` when nobody gave one and there is no default. */
export type Origin = 'own' | 'command-line' | 'global' | 'default' | 'none';

/** One property of one item as it is in effect, wherever it came from. */
export interface Value<T> {
  readonly value: T | undefined;
  readonly origin: Origin;
  /** The value itself, or the start of the item where the item has none of its own. */
  readonly at: Place;
  /** The machine-wide default that supplied the value, shared by all instances that take it. */
  readonly shared?: Value<T>;
  /** True once an error names this value: it causes no further diagnostics. */
  reported: boolean;
}

/** The value in effect, or undefined when there is none or when it was reported already. */
export function usable<T>(value: Value<T>): T | undefined {
  return isReported(value) ? undefined : value.value;
}

export function isReported(value: Value<unknown>): boolean {
  return value.reported || value.shared?.reported === true;
}

/** Whether the item, the command line or a global gave a value: not a default. */
export function isGiven(value: Value<unknown>): boolean {
  return value.origin !== 'default' && value.origin !== 'none';
}

interface Found {
  readonly offset: number;
  readonly diagnostic: Diagnostic;
}

export class Reporter {
  readonly #sources: Sources;
  readonly #found: Found[] = [];

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  /** Reports at a place that is no value, as a key or an item. */
  at(rule: Rule, place: Place, message: string, help: string): void {
    const { file, line, column } = this.#sources.locate(place.offset);
    const { code, severity } = rule;
    this.#found.push({
      offset: place.offset,
      diagnostic: { code, severity, file, line, column, path: place.path, message, help },
    });
  }

  /** Reports a value of one item; an error marks it. */
  value(rule: Rule, value: Value<unknown>, message: string, help: string): void {
    this.at(rule, value.at, message, help);
    if (rule.severity === 'error') value.reported = true;
  }

  /** Reports a value that is wrong whoever takes it: one that a global supplies is reported once, there. */
  intrinsic(rule: Rule, value: Value<unknown>, message: string, help: string): void {
    const origin = value.shared ?? value;
    if (!origin.reported) this.value(rule, origin, message, help);
  }

  /** All diagnostics in file order. */
  diagnostics(): Diagnostic[] {
    return this.#found
      .map((found, index) => ({ ...found, index }))
      .sort((a, b) => a.offset - b.offset || a.index - b.index)
      .map(({ diagnostic }) => diagnostic);
  }

  get failed(): boolean {
    return this.#found.some(({ diagnostic }) => diagnostic.severity === 'error');
  }
}
