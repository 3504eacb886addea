import { describe, expect, test } from 'vitest';
import { NON_SECURE, SECURE } from '../../src/arch/security.js';
import { CR0, S_OFFSETS } from '../spec-numbers.js';
import { type Access, CDS, type CdFields, eventOf, type SteFields, TbuBench } from './tbu-bench.js';

/** S_CR0.SIF: no instruction fetch of a Secure stream leaves stage 1 for Non-secure space (IHI 0070 6.3.57). */
const L1 = 0x10_0000;
const SIF = 1 << 5;
const ON = CR0.SMMUEN | CR0.EVENTQEN | CR0.CMDQEN;
const CD: CdFields = { AA64: 1, T0SZ: 25, EPD1: 1, IPS: 5, TTB0: L1 >> 4, A: 1, R: 1, ASID: 1 };
const STAGE_1: SteFields = { Config: 5, S1ContextPtr: CDS >> 6, SHCFG: 1 };
/** AF, any privilege, executable. */
const BLOCK = 0x4000_0000n | 0x441n;
const NS = 1n << 5n;
const FETCH: Partial<Access> = { instruction: true };
const F_PERMISSION = { EventNumber: 0x13, StreamID: 1, RnW: 1, InD: 1, CLASS: 2, InputAddr: 0x1000n };

interface Setting {
  readonly sif?: number;
  readonly ste?: SteFields;
  readonly cd?: CdFields;
  readonly leaf?: bigint;
}

function bench({ sif = SIF, ste = STAGE_1, cd = {}, leaf = BLOCK | NS }: Setting): TbuBench {
  const made = new TbuBench({ secureCr0: ON | sif });
  for (const security of [NON_SECURE, SECURE] as const) {
    made.ste(1, ste, security);
    made.cd(CDS, { ...CD, ...cd }, security);
    made.store64(L1, leaf, security);
  }
  return made;
}

function outcome(made: TbuBench, access: Partial<Access> = FETCH, security = SECURE as 0 | 1) {
  const { outcome: result } = made.access({ StreamID: 1, iova: 0x1000, security, ...access });
  return [result, made.events(security)];
}

const FAULT = ['abort', [eventOf(F_PERMISSION)]];
const FINE = ['ok', []];

describe('6.3.57 S_CR0.SIF', () => {
  test('stage 1: a fetch from Non-secure space; nothing else', () => {
    expect(outcome(bench({}))).toEqual(FAULT);
    expect(outcome(bench({ sif: 0 }))).toEqual(FINE);
    expect(outcome(bench({ leaf: BLOCK }))).toEqual(FINE);
    expect(outcome(bench({}), {})).toEqual(FINE);
    expect(outcome(bench({}), { write: true, instruction: true }), '13.1.2: a write is Data').toEqual(FINE);
    expect(outcome(bench({}), FETCH, NON_SECURE)).toEqual(FINE);
  });

  test('the space is that of NSTable and NSCFGx, too', () => {
    expect(outcome(bench({ leaf: BLOCK, cd: { NSCFG0: 1 } }))).toEqual(FAULT);
    const made = bench({ leaf: BigInt(L1 + 0x1000) | 3n | (1n << 63n) });
    made.store64(L1 + 0x1000, BLOCK, NON_SECURE);
    expect(outcome(made)).toEqual(FAULT);
  });

  test('after STE.INSTCFG', () => {
    expect(outcome(bench({ ste: { ...STAGE_1, INSTCFG: 3 } }), {})).toEqual(FAULT);
    expect(outcome(bench({ ste: { ...STAGE_1, INSTCFG: 2 } }))).toEqual(FINE);
  });

  test('CD.A and CD.R govern it where stage 1 translates', () => {
    expect(outcome(bench({ cd: { R: 0 } }))).toEqual(['abort', []]);
    expect(outcome(bench({ cd: { A: 0 } }))).toEqual(['raz-wi', [eventOf(F_PERMISSION)]]);
  });

  test.each([
    ['STE.Config 0b100', { Config: 4, SHCFG: 1 }],
    ['S1DSS bypass', { ...STAGE_1, S1CDMax: 2, S1DSS: 1 }],
  ])('%s: the incoming NS, or NSCFG; A and R have no say', (_, ste) => {
    const cd = { A: 0, R: 0 };
    expect(outcome(bench({ ste, cd }), { ...FETCH, ns: true })).toEqual(FAULT);
    expect(outcome(bench({ ste, cd }), { ...FETCH, ns: false })).toEqual(FINE);
    expect(outcome(bench({ ste, cd }), { ns: true })).toEqual(FINE);
    expect(outcome(bench({ ste: { ...ste, NSCFG: 3 }, cd }), { ...FETCH, ns: false })).toEqual(FAULT);
    expect(outcome(bench({ ste: { ...ste, NSCFG: 2 }, cd }), { ...FETCH, ns: true })).toEqual(FINE);
    expect(outcome(bench({ sif: 0, ste, cd }), { ...FETCH, ns: true })).toEqual(FINE);
  });

  test('SMMUEN == 0: terminated, and nothing is recorded', () => {
    const made = bench({});
    made.write(S_OFFSETS.S_CR0, CR0.EVENTQEN | CR0.CMDQEN | SIF, 4, SECURE);
    expect(outcome(made, { ...FETCH, ns: true })).toEqual(['abort', []]);
    expect(outcome(made, { ...FETCH, ns: false })).toEqual(FINE);
    expect(outcome(made, { ns: true })).toEqual(FINE);
    made.write(S_OFFSETS.S_CR0, CR0.EVENTQEN | CR0.CMDQEN, 4, SECURE);
    expect(outcome(made, { ...FETCH, ns: true })).toEqual(FINE);
  });

  test('a cached translation carries it: read from, not fetched from', () => {
    const made = bench({});
    for (let i = 0; i < 2; i++) expect(outcome(made, {})).toEqual(FINE);
    expect(outcome(made)).toEqual(FAULT);
  });
});
