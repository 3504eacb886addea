/**
 * VMSAv8-64 translation table descriptors (DDI 0487 D8.3), 64-bit format, as layouts and as masks on the two words.
 * The walker uses the masks; printers and encoders use the layouts.
 */
import { f, type Layout, layout, res } from './layout.js';

export const TABLE_DESCRIPTOR = layout('Table', 'D8.3.1', 64, {
  Valid: f(0),
  Type: f(1),
  Res2: res(11, 2),
  NextLevelTable: f(49, 12),
  Res50: res(58, 50),
  PXNTable: f(59),
  UXNTable: f(60),
  APTable: f(62, 61),
  NSTable: f(63),
});

export const S1_LEAF_DESCRIPTOR = layout('Stage 1 block or page', 'D8.3.1', 64, {
  Valid: f(0),
  Type: f(1),
  AttrIndx: f(4, 2),
  NS: f(5),
  AP: f(7, 6),
  SH: f(9, 8),
  AF: f(10),
  nG: f(11),
  OutputAddress: f(49, 12),
  GP: f(50),
  DBM: f(51),
  Contiguous: f(52),
  PXN: f(53),
  UXN: f(54),
  SW_RESERVED: res(58, 55),
  PBHA: f(62, 59),
  Res63: res(63),
});

export const S2_LEAF_DESCRIPTOR = layout('Stage 2 block or page', 'D8.3.1', 64, {
  Valid: f(0),
  Type: f(1),
  MemAttr: f(5, 2),
  S2AP: f(7, 6),
  SH: f(9, 8),
  AF: f(10),
  Res11: res(11),
  OutputAddress: f(49, 12),
  Res50: res(50),
  DBM: f(51),
  Contiguous: f(52),
  XN: f(54, 53),
  SW_RESERVED: res(58, 55),
  PBHA: f(62, 59),
  Res63: res(63),
});

/**
 * The same descriptor with a 52-bit address. DS has OA[51:50] in [9:8], where SH or RES0 is; the 64KB granule has
 * OA[51:48] in [15:12], below the address (DDI 0487 D8.3.1).
 */
export function wideDescriptor(of: Layout, is64KB: boolean): Layout {
  const { SH: _, Res2, ...fields } = of.fields;
  const name = 'NextLevelTable' in fields ? 'NextLevelTable' : 'OutputAddress';
  if (is64KB) {
    return layout(of.name, of.section, 64, {
      ...of.fields,
      [name]: f(49, 16),
      [`${name}[51:48]`]: f(15, 12),
    });
  }
  return layout(of.name, of.section, 64, {
    ...fields,
    ...(Res2 && { Res2: res(7, 2), Res10: res(11, 10) }),
    [`${name}[51:50]`]: f(9, 8),
  });
}
