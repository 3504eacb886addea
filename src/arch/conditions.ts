/**
 * When a register, field or command exists: conditions over the ID registers, as data, so that the register file, the
 * command decoder and the reference pages read the same statement (IHI 0070 6.3.1 to 6.3.6, 6.3.52 to 6.3.53).
 */
import { IDR0, IDR1, IDR3, IDR5, S_IDR0, S_IDR1 } from './id-registers.js';
import { type Field, get, type Layout } from './layout.js';

const ID_LAYOUTS = { IDR0, IDR1, IDR3, IDR5, S_IDR0, S_IDR1 } as const;

export type IdRegisterName = keyof typeof ID_LAYOUTS;
type FieldOf<R extends IdRegisterName> = keyof (typeof ID_LAYOUTS)[R]['fields'] & string;

/** The ID registers' words. */
export type IdWords = Readonly<Record<IdRegisterName, number>>;

export interface Condition {
  readonly register: IdRegisterName;
  readonly field: string;
  /** Values under which it holds; absent: every value but zero. */
  readonly values?: readonly number[];
}

/** All must hold; none at all always holds. */
export type Conditions = readonly Condition[];

export const ALWAYS: Conditions = [];

/** `when('IDR0', 'PRI')`: IDR0.PRI is not zero. `when('IDR0', 'STALL_MODEL', 0, 2)`: it is one of these. */
export function when<R extends IdRegisterName>(
  register: R,
  field: FieldOf<R>,
  ...values: number[]
): Condition {
  return values.length === 0 ? { register, field } : { register, field, values };
}

export function holds(conditions: Conditions, words: IdWords): boolean {
  return conditions.every(({ register, field, values }) => {
    const of: Layout = ID_LAYOUTS[register];
    const value = get([words[register]], of.fields[field] as Field);
    return values === undefined ? value !== 0 : values.includes(value);
  });
}

/** As the spec writes it: `IDR0.MSI == 1`. */
export function describe(conditions: Conditions): string {
  return conditions
    .map(({ register, field, values }) =>
      values === undefined ? `${register}.${field} != 0` : `${register}.${field} == ${values.join(' or ')}`,
    )
    .join(' and ');
}
