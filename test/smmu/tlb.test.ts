import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { STAGE_1, STAGE_2 } from '../../src/smmu/tbu/kernel-layout.js';
import { Tlb } from '../../src/smmu/tbu/tlb.js';
import { TlbFill, TlbScope } from '../../src/smmu/tbu/tlb-entry.js';

interface Model {
  stage: 0 | 1;
  world: number;
  vmid: number;
  asid: number;
  global: boolean;
  first: number;
  pages: number;
  leafFirst: number;
  leafPages: number;
  granuleBits: number;
  level: number;
  out: number;
}

const TWO_32 = 0x1_0000_0000;

const entry = fc.record({
  stage: fc.constantFrom(STAGE_1, STAGE_2),
  world: fc.constantFrom(0, 3),
  vmid: fc.integer({ min: 0, max: 2 }),
  asid: fc.constantFrom(0, 1, 0xffff),
  global: fc.boolean(),
  page: fc.oneof(
    fc.integer({ min: 0, max: 2048 }),
    fc.constantFrom(2 ** 40, 2 ** 40 + 511, 2 ** 33 + 7, 2 ** 39),
  ),
  sizeBits: fc.constantFrom(12, 14, 21, 30),
  wider: fc.constantFrom(0, 9),
  granuleBits: fc.constantFrom(12, 14, 16),
  level: fc.integer({ min: -1, max: 3 }),
  out: fc.integer({ min: 0, max: 2 ** 36 }),
});

function fillOf(e: Parameters<typeof modelOf>[0]): TlbFill {
  const fill = new TlbFill();
  const outPages = 2 ** (e.sizeBits - 12);
  Object.assign(fill, {
    stage: e.stage,
    world: e.world,
    vmid: e.vmid,
    asid: e.asid,
    global: e.global,
    pageLo: e.page | 0,
    pageHi: (e.page / TWO_32) | 0,
    sizeBits: e.sizeBits,
    leafBits: e.sizeBits + e.wider,
    granuleBits: e.granuleBits,
    level: e.level,
    outPage: e.out * outPages + (e.page % outPages),
    own: 0x3f,
    parent: 0x3f,
  });
  return fill;
}

function modelOf(e: {
  stage: 0 | 1;
  world: number;
  vmid: number;
  asid: number;
  global: boolean;
  page: number;
  sizeBits: number;
  wider: number;
  granuleBits: number;
  level: number;
  out: number;
}): Model {
  const pages = 2 ** (e.sizeBits - 12);
  const leafPages = pages * 2 ** e.wider;
  return {
    stage: e.stage,
    world: e.world,
    vmid: e.vmid,
    asid: e.asid,
    global: e.global,
    first: Math.floor(e.page / pages) * pages,
    pages,
    leafFirst: Math.floor(e.page / leafPages) * leafPages,
    leafPages,
    granuleBits: e.granuleBits,
    level: e.level,
    out: e.out * pages,
  };
}

function find(
  models: readonly Model[],
  stage: number,
  world: number,
  vmid: number,
  asid: number,
  page: number,
) {
  return models.filter(
    (m) =>
      m.stage === stage &&
      m.world === world &&
      m.vmid === vmid &&
      (m.global || m.asid === asid) &&
      page >= m.first &&
      page < m.first + m.pages,
  );
}

describe('second-level TLB against a list (IHI 0070 3.17, 4.4; D15-D19)', () => {
  test('look-ups find what was filled and not invalidated, and nothing else', () => {
    const invalidation = fc.record({
      worlds: fc.constantFrom(1, 8, 9),
      stages: fc.constantFrom(1, 2, 3),
      vmid: fc.constantFrom(-1, 0, 1),
      asid: fc.constantFrom(-1, 1, 0xffff),
      global: fc.boolean(),
      page: fc.constantFrom(-1, 0, 3, 512, 2 ** 40),
      count: fc.constantFrom(1, 16, 600),
      granuleBits: fc.constantFrom(0, 12, 16),
      level: fc.constantFrom(-2, 2, 3),
    });
    const step = fc.oneof(
      { weight: 6, arbitrary: entry.map((fill) => ({ fill })) },
      { weight: 1, arbitrary: invalidation.map((invalidate) => ({ invalidate })) },
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.constantFrom(Number.POSITIVE_INFINITY, 4096),
        (steps, limit) => {
          const tlb = new Tlb(limit);
          let models: Model[] = [];
          const probe = (m: Model) => {
            for (const page of [m.first, m.first + m.pages - 1, m.first + m.pages]) {
              for (const asid of [0, 1, 0xffff]) {
                const expected = find(models, m.stage, m.world, m.vmid, asid, page);
                const hit = tlb.lookup(m.stage, m.world as 0, m.vmid, asid, 0, page | 0, (page / TWO_32) | 0);
                expect(hit >= 0).toBe(expected.length > 0);
                if (hit >= 0) {
                  const out = tlb.outPage(hit, page | 0);
                  expect(expected.map((e) => e.out + (page - e.first))).toContain(out);
                }
              }
            }
          };
          for (const step of steps) {
            if ('fill' in step) {
              const e = step.fill;
              const asids = e.global ? [0, 1, 0xffff] : [e.asid];
              // A fill follows a miss: an entry that would match already is not made a second time.
              if (asids.some((asid) => find(models, e.stage, e.world, e.vmid, asid, e.page).length > 0))
                continue;
              tlb.fill(fillOf(e));
              models.push(modelOf(e));
            } else {
              const i = step.invalidate;
              const scope = new TlbScope().reset(i.worlds, i.stages);
              scope.vmid = i.vmid;
              scope.asid = i.asid;
              scope.global = i.global;
              if (i.page >= 0) {
                scope.firstPage = i.page;
                scope.lastPage = i.page + i.count - 1;
              }
              scope.granuleBits = i.granuleBits;
              scope.level = i.level;
              tlb.invalidate(scope);
              models = models.filter(
                (m) =>
                  !(
                    (i.worlds >> m.world) & 1 &&
                    (i.stages >> m.stage) & 1 &&
                    (i.vmid < 0 || i.vmid === m.vmid) &&
                    (i.asid < 0 || (m.global ? i.global : m.asid === i.asid)) &&
                    (i.page < 0 || (m.leafFirst < i.page + i.count && m.leafFirst + m.leafPages > i.page)) &&
                    (i.granuleBits === 0 || i.granuleBits === m.granuleBits) &&
                    (i.level === -2 || i.level === m.level)
                  ),
              );
            }
            for (const m of models.slice(-6)) probe(m);
            expect(tlb.size).toBe(models.length);
          }
        },
      ),
    );
  });

  test('H5: a bounded TLB forgets the oldest, off keeps nothing', () => {
    const page = (n: number) => {
      const fill = new TlbFill();
      fill.pageLo = n;
      fill.outPage = n + 100;
      return fill;
    };
    const tlb = new Tlb(2);
    for (const n of [1, 2, 3]) tlb.fill(page(n));
    expect(tlb.lookup(STAGE_1, 0, 0, 0, 0, 1, 0)).toBe(-1);
    expect(tlb.outPage(tlb.lookup(STAGE_1, 0, 0, 0, 0, 3, 0), 3)).toBe(103);
    expect(tlb.evictedBits).toBe(12);
    const off = new Tlb(0);
    off.fill(page(1));
    expect(off.lookup(STAGE_1, 0, 0, 0, 0, 1, 0)).toBe(-1);
  });
});
