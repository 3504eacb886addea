import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linearize, REGISTER, type RegisterAccess } from '../../src/stress/checker/linearizability.js';

function access(
  invoked: number,
  completed: number,
  write: boolean,
  value: bigint,
  part: RegisterAccess['part'] = 'whole',
): RegisterAccess {
  return { invoked, completed, write, value, part };
}

const write = (from: number, to: number, value: bigint, part?: RegisterAccess['part']) =>
  access(from, to, true, value, part);
const read = (from: number, to: number, value: bigint, part?: RegisterAccess['part']) =>
  access(from, to, false, value, part);

describe('B5 what a register may show', () => {
  it.each([
    ['old, while a write is under way', true, [[write(0, 9, 5n)], [read(1, 2, 0n)]]],
    ['new, while a write is under way', true, [[write(0, 9, 5n)], [read(1, 2, 5n)]]],
    ['new and then old again', false, [[write(0, 9, 5n)], [read(1, 2, 5n), read(3, 4, 0n)]]],
    ['old after the write has ended', false, [[write(0, 1, 5n)], [read(2, 3, 0n)]]],
    ['what nobody wrote', false, [[write(0, 9, 5n)], [read(1, 2, 7n)]]],
    [
      'two concurrent writes in the order that the reads tell',
      true,
      [[write(0, 9, 5n)], [write(0, 9, 6n)], [read(1, 2, 6n), read(3, 4, 5n)]],
    ],
    [
      'two concurrent writes in different orders for different readers',
      false,
      [
        [write(0, 9, 5n)],
        [write(0, 9, 6n)],
        [read(1, 3, 6n), read(4, 6, 5n)],
        [read(2, 3, 5n), read(5, 6, 6n)],
      ],
    ],
  ])('%s: %s', (_, ok, threads) => {
    expect(linearize(threads, REGISTER).ok).toBe(ok);
  });
});

describe('B6 halves of a 64-bit register', () => {
  const A = 0x1111_1111_2222_2222n;
  it.each([
    ['a write of one half leaves the other', true, [write(0, 1, A), write(2, 3, 7n, 'high')], 0x7_2222_2222n],
    ['a write of one half does not reach the other', false, [write(0, 1, A), write(2, 3, 7n, 'high')], 7n],
    ['a whole write is seen whole', true, [write(0, 9, A)], A],
    ['a whole write is not seen by halves', false, [write(0, 9, A)], 0x2222_2222n],
  ])('%s: %s', (_, ok, writes, value) => {
    expect(linearize([writes, [read(4, 5, value)]], REGISTER).ok).toBe(ok);
  });

  it('the halves are read on their own, too', () => {
    const halves = (low: bigint, high: bigint) => [read(2, 3, low, 'low'), read(4, 5, high, 'high')];
    const judge = (low: bigint, high: bigint) =>
      linearize([[write(0, 1, A)], halves(low, high)], REGISTER).ok;
    expect(judge(0x2222_2222n, 0x1111_1111n)).toBe(true);
    expect(judge(0x1111_1111n, 0x2222_2222n)).toBe(false);
  });

  it('names the operations that cannot be placed', () => {
    const impossible = read(2, 3, 9n);
    expect(linearize([[write(0, 1, A)], [impossible]], REGISTER).stuckAt).toEqual([impossible]);
  });
});

describe('B5 against every order', () => {
  /** The definition, word for word: some permutation that respects the real-time order and the register. */
  function byDefinition(left: readonly (readonly RegisterAccess[])[], state: bigint): boolean {
    const next = left.flatMap((own) => own.slice(0, 1));
    if (next.length === 0) return true;
    return left.some((own, thread) => {
      const first = own[0];
      if (first === undefined || left.flat().some(({ completed }) => completed < first.invoked)) return false;
      const after = REGISTER.apply(state, first);
      return after !== undefined && byDefinition(left.with(thread, own.slice(1)), after);
    });
  }

  it('the search finds an order exactly when there is one', () => {
    const operation = fc.record({
      length: fc.integer({ min: 1, max: 6 }),
      write: fc.boolean(),
      part: fc.constantFrom('whole', 'low', 'high') as fc.Arbitrary<RegisterAccess['part']>,
      value: fc.bigInt(0n, 2n),
    });
    const threads = fc.array(fc.array(operation, { maxLength: 3 }), { minLength: 1, maxLength: 3 });
    const verdicts = new Set<boolean>();
    fc.assert(
      fc.property(threads, (lists) => {
        const history = lists.map((list) => {
          let now = 0;
          return list.map(({ length, ...rest }) => {
            const invoked = now + 1;
            now = invoked + length;
            return { ...rest, invoked, completed: now };
          });
        });
        const { ok } = linearize(history, REGISTER);
        verdicts.add(ok);
        expect(ok).toBe(byDefinition(history, 0n));
      }),
      { numRuns: Number(process.env.SMMULATOR_RUNS ?? 500) },
    );
    expect(verdicts.size).toBe(2);
  });
});
