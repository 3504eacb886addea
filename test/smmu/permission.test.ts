import { describe, expect, test } from 'vitest';
import type { Cd } from '../../src/smmu/tbu/cd.js';
import { accessBit, stage1Permissions, stage2Permissions } from '../../src/smmu/tbu/permission.js';
import { stage1Letters, stage2Letters } from '../reference/permissions.js';

/** Letters as in the oracle, by the kind of access that each bit permits. */
function letters(mask: number): string {
  const kinds: [string, number][] = [
    ['r', accessBit(false, false, true)],
    ['w', accessBit(true, false, true)],
    ['x', accessBit(false, true, true)],
    ['R', accessBit(false, false, false)],
    ['W', accessBit(true, false, false)],
    ['X', accessBit(false, true, false)],
  ];
  return kinds.flatMap(([letter, bit]) => (mask & bit ? [letter] : [])).join('');
}
const sorted = (text: string) => [...text].sort().join('');
const flags = [false, true];

describe('permissions', () => {
  test('D8.4.1.2, 5.4 PAN, EPAN, WXN: every leaf, hierarchy, control and privilege scheme', () => {
    for (let i = 0; i < 2 ** 12; i++) {
      const bit = (n: number) => ((i >> n) & 1) === 1;
      const [UXN, PXN, UXNTable, PXNTable] = [bit(0), bit(1), bit(2), bit(3)];
      const AP = (i >> 4) & 3;
      const APTable = (i >> 6) & 3;
      const checks = { WXN: bit(8), PAN: bit(9), EPAN: bit(10), single: bit(11) };
      if (checks.single && checks.PAN) continue;
      const lo = AP << 6;
      const hi = (UXN ? 1 << 22 : 0) | (PXN ? 1 << 21 : 0);
      const table = (UXNTable ? 1 << 28 : 0) | (PXNTable ? 1 << 27 : 0) | (APTable << 29);
      const cd = { aa64: true, wxn: checks.WXN, pan: checks.PAN, epan: checks.EPAN } as Cd;
      const effectiveAp = (AP & (APTable & 1 ? 2 : 3)) | (APTable & 2);
      const expected = stage1Letters(UXN || UXNTable, PXN || PXNTable, effectiveAp, checks);
      expect(sorted(letters(stage1Permissions(lo, hi, table, cd, checks.single))), `${i}`).toBe(
        sorted(expected),
      );
    }
  });

  test('D8.4.2: stage 2, with and without XNX', () => {
    for (const xnx of flags) {
      for (let S2AP = 0; S2AP < 4; S2AP++) {
        for (let XN = 0; XN < 4; XN++) {
          const mask = stage2Permissions(S2AP << 6, XN << 21, xnx, false);
          expect(sorted(letters(mask)), `${S2AP} ${XN} ${xnx}`).toBe(sorted(stage2Letters(S2AP, XN, xnx)));
        }
      }
    }
  });
});
