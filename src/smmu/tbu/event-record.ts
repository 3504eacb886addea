/** The event record that a TBU is making (IHI 0070 7.3). One, reused: the channel copies it. */
import { C_BAD_SUBSTREAMID, CLASS_IN, EVENT } from '../../arch/events.js';
import { type Field, put } from '../../arch/layout.js';
import { NON_SECURE, SECURE, type SecurityState } from '../../arch/security.js';
import type { Transaction } from '../transaction.js';
import { EXECUTE, PRIV_READ } from './permission.js';

const TWO_32 = 0x1_0000_0000;

/** A field's bit, within its word. */
const bit = ({ lo }: Field) => 1 << (lo & 31);
// The words of what all faults say are made whole: field by field it was a third of a fault's time.
const SUBSTREAM_SHIFT = EVENT.SubstreamID.lo;
const SSV = bit(EVENT.SSV);
const PNU = bit(EVENT.PnU);
const IND = bit(EVENT.InD);
const RNW = bit(EVENT.RnW);
const IN = CLASS_IN << (EVENT.CLASS.lo & 31);

export class EventRecord {
  readonly words = new Int32Array(8);

  /** What every record says: the event and whose access it was. */
  start(txn: Transaction, event: number): void {
    const { words } = this;
    words[0] = event;
    // C_BAD_SUBSTREAMID has no SSV: its SubstreamID is always valid (7.3.9).
    if (txn.SubstreamID >= 0) {
      words[0] = event | (txn.SubstreamID << SUBSTREAM_SHIFT) | (event === C_BAD_SUBSTREAMID ? 0 : SSV);
    }
    words[1] = txn.StreamID;
    for (let i = 2; i < 8; i++) words[i] = 0;
  }

  /**
   * The fields that all faults of the translation process have (7.3.12-7.3.16), CLASS IN.
   * @param need the permission bit that the access needed.
   */
  startFault(txn: Transaction, need: number, event: number): void {
    this.start(txn, event);
    const { words } = this;
    words[3] =
      (need >= PRIV_READ ? PNU : 0) | ((need & EXECUTE) !== 0 ? IND : 0) | (txn.write ? 0 : RNW) | IN;
    words[4] = txn.iovaLo;
    words[5] = txn.iovaHi;
  }

  /**
   * What was being done: the access itself, or the fetch of a descriptor or CD for it.
   * @param readRefused a stage 2 Permission fault on such a fetch was against a read, not an update (7.3.16 TTRnW).
   */
  forWalk(faultClass: number, readRefused: boolean): void {
    put(this.words, EVENT.CLASS, faultClass);
    if (readRefused && faultClass !== CLASS_IN) put(this.words, EVENT.TTRnW, 1);
  }

  /**
   * The fault was at stage 2; of a Secure stream, NSIPA says in which IPA space (7.3).
   * @param ipa cut to the output address size, 2^OAS: an IPA of VMSAv8-32 LPAE can be larger (7.3.13).
   */
  stage2(security: SecurityState, ipaSpace: SecurityState, ipa: number, oasLimit: number): void {
    put(this.words, EVENT.S2, 1);
    if (security === SECURE && ipaSpace === NON_SECURE) put(this.words, EVENT.NSIPA, 1);
    const within = ipa % oasLimit;
    this.words[6] = within & ~0xfff;
    this.words[7] = within / TWO_32;
  }

  /** @param address cut to the output address size, 2^OAS. */
  fetchAddr(address: number, oasLimit: number): void {
    const within = address % oasLimit;
    this.words[6] = within & ~7;
    this.words[7] = within / TWO_32;
  }
}
