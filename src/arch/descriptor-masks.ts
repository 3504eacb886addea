/**
 * Single bits of translation table descriptors (DDI 0487 D8.3) as masks of their two words, for code that reads one after the
 * other. It imports nothing: a kernel in AssemblyScript reads it, too.
 */

/** Low word. */
export const DESC_VALID = 1 << 0;
export const DESC_TABLE_OR_PAGE = 1 << 1;
export const DESC_NS = 1 << 5;
export const DESC_AP1 = 1 << 6;
export const DESC_AP2 = 1 << 7;
export const DESC_S2AP_R = 1 << 6;
export const DESC_S2AP_W = 1 << 7;
/** AP[2] of stage 1 and S2AP[1] of stage 2: what a write makes of a writable-clean descriptor is its other value. */
export const DESC_DIRTY = 1 << 7;
export const DESC_AF = 1 << 10;
export const DESC_NG = 1 << 11;
/** High word (bit numbers less 32). */
export const DESC_DBM = 1 << 19;
export const DESC_PXN = 1 << 21;
export const DESC_UXN = 1 << 22;
export const DESC_PXNTABLE = 1 << 27;
export const DESC_UXNTABLE = 1 << 28;
export const DESC_APTABLE0 = 1 << 29;
export const DESC_APTABLE1 = 1 << 30;
export const DESC_NSTABLE = 1 << 31;
