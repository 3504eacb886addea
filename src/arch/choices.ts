/**
 * Every choice that the architecture leaves open and this simulator makes: IMPLEMENTATION DEFINED, CONSTRAINED
 * UNPREDICTABLE, UNKNOWN, permitted but not required. Code names the id of the choice that it carries out; the
 * reference page lists them.
 */

export interface Choice {
  readonly id: string;
  /** Section of IHI 0070. */
  readonly section: string;
  readonly question: string;
  readonly options: readonly string[];
  /** Index into `options`. */
  readonly ours: number;
  readonly why: string;
}

export const CHOICES: readonly Choice[] = [
  {
    id: 'illegal-register-access',
    section: '6.2',
    question: 'An access of 8 or 16 bits, or one that is not aligned to its size.',
    options: ['RAZ/WI', 'observed by the registers it spans', 'abort'],
    ours: 0,
    why: 'Never partially applied, and a guest cannot be stopped by it.',
  },
  {
    id: 'pair-access',
    section: '6.2',
    question: 'A 64-bit access to two adjacent 32-bit registers.',
    options: ['RAZ/WI', 'both, as two 32-bit accesses', 'one of the two', 'abort'],
    ours: 0,
    why: 'It never writes the neighbour by accident.',
  },
  {
    id: 'wide-access-atomicity',
    section: '6.2',
    question: 'Whether a 64-bit access to a 64-bit register is single-copy atomic.',
    options: ['atomic', 'two 32-bit halves'],
    ours: 0,
    why: 'Other threads read the registers; they see the old value or the new one.',
  },
  {
    id: 'page-1-undefined',
    section: '6.2',
    question: 'Undefined locations of page 1, and the page 0 offsets of registers that are in page 1.',
    options: ['RES0 and RAZ/WI', 'page 0 and page 1 alias'],
    ours: 0,
    why: 'Software that uses the wrong page is found out.',
  },
  {
    id: 'identification-registers',
    section: '6.2.1',
    question: 'The ID_REGS space 0xFD0 to 0xFFC and the IMPLEMENTATION DEFINED ranges.',
    options: ['RAZ/WI', 'CoreSight identification'],
    ours: 0,
    why: 'Nothing that would let software mistake this for a certain implementation.',
  },
  {
    id: 'reset-unknown',
    section: '6.3',
    question: 'Fields that reset to an UNKNOWN value.',
    options: ['zero', 'arbitrary'],
    ours: 0,
    why: 'Runs are reproducible.',
  },
  {
    id: 'gbpa-reset',
    section: '6.3.14',
    question: 'GBPA and S_GBPA after reset.',
    options: ['bypass, all attributes "use incoming"', 'abort'],
    ours: 0,
    why: 'As in QEMU: devices work before software configures the SMMU.',
  },
  {
    id: 'gbpa-without-update',
    section: '6.3.14.1',
    question: 'GBPA written without Update, or while an Update is under way.',
    options: ['ignored', 'stored', 'takes effect'],
    ours: 0,
    why: 'The only behaviour that SMMUv3.2 permits.',
  },
  {
    id: 'agbpa',
    section: '6.3.15',
    question: 'AGBPA.',
    options: ['RES0', 'implementation attributes'],
    ours: 0,
    why: 'No further attributes are modelled.',
  },
  {
    id: 'guarded-write',
    section: '6.3.9, 6.3.11, 6.3.12, 6.3.24, 6.3.26, 6.3.29',
    question: 'A write to a guarded register or field while its guard is set or is being changed.',
    options: ['ignored', 'stored'],
    ours: 0,
    why: 'The only behaviour that SMMUv3.2 permits.',
  },
  {
    id: 'update-under-way',
    section: '6.3.9',
    question: 'A CR0 field written with another value before its Update has completed.',
    options: ['the new value is ignored', 'completes with any of the values', 'cancels the Update'],
    ours: 0,
    why: 'Every Update that was begun completes as it was begun.',
  },
  {
    id: 'cmdq-cons-err-write',
    section: '6.3.28',
    question: 'CMDQ_CONS.ERR in a write to the register, and after its error was acknowledged.',
    options: ['writes ignored, the last code stays', 'takes the written value'],
    ours: 0,
    why: 'The reason of the last error stays readable.',
  },
  {
    id: 'queue-index-spare-bits',
    section: '6.3.27, 6.3.96',
    question: 'Bits above the wrap flag of the queue indexes that software owns.',
    options: ['stored, no effect', 'read as zero'],
    ours: 0,
    why: 'The indexes that the SMMU owns are RAZ there, as required.',
  },
  {
    id: 'inconsistent-indexes',
    section: '3.5.1',
    question: 'A queue whose indexes are further apart than its size.',
    options: ['nothing is consumed; an output queue counts as full', 'entries at UNKNOWN locations'],
    ours: 0,
    why: 'A bad index cannot make commands run twice or a record overwrite another.',
  },
  {
    id: 'gerrorn-inactive-toggle',
    section: '6.3.20',
    question: 'Software toggles a GERRORN bit whose error is inactive.',
    options: ['the error is active, without interrupt', 'no error is active'],
    ours: 0,
    why: 'An error is active exactly when the two registers differ; only the SMMU raises interrupts.',
  },
  {
    id: 'inv-all-while-enabled',
    section: '6.3.62',
    question: 'S_INIT.INV_ALL written while an SMMUEN is set or being set.',
    options: ['ignored', 'performed'],
    ours: 0,
    why: 'It is meant for the time before the SMMU is used.',
  },
  {
    id: 'command-reserved-fields',
    section: '4.1.5',
    question: 'Reserved fields of a command that are not zero.',
    options: ['ignored', 'CERROR_ILL'],
    ours: 0,
    why: 'What a later architecture version defines does not stop the queue.',
  },
  {
    id: 'atc-inv-size',
    section: '4.5.1',
    question: 'CMD_ATC_INV with a Size above 52.',
    options: ['legal', 'CERROR_ILL'],
    ours: 0,
    why: 'Permitted, not required.',
  },
  {
    id: 'prefetch',
    section: '4.2',
    question: 'Whether prefetch commands fetch.',
    options: ['consumed without effect', 'fetch'],
    ours: 0,
    why: 'An implementation is not required to prefetch anything.',
  },
  {
    id: 'sev',
    section: '4.7.3',
    question: 'CMD_SYNC with SIG_SEV.',
    options: ['completes; there is no PE that would wake', 'sends an event'],
    ours: 0,
    why: 'The machine has no PE in WFE.',
  },
  {
    id: 'event-queue-abort',
    section: '7.2.2',
    question: 'Whether an external abort on an Event queue write is synchronous.',
    options: ['synchronous', 'asynchronous'],
    ours: 0,
    why: 'All entries up to PROD stay valid.',
  },
  {
    id: 'interrupt-wires',
    section: '3.18',
    question: 'Whether there are wired interrupts beside MSIs.',
    options: ['both; the wire pulses whatever the MSI address', 'MSIs only'],
    ours: 0,
    why: 'A machine wires what it likes.',
  },
];
