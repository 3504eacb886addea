/**
 * The built-in faults of the SMMU and of the software (REQUIREMENTS H3): the checker proves itself on them. Each wraps what
 * joins the parts of a run (faults.ts); the parts themselves are those of every run.
 *
 * A fault that would show in the first access strikes only now and then, as the ones that are hard to find do.
 */
import {
  CMD_CFGI_CD,
  CMD_CFGI_CD_ALL,
  CMD_CFGI_STE,
  CMD_RESUME,
  CMD_TLBI_EL2_ALL,
  CMD_TLBI_NH_ALL,
  CMD_TLBI_NH_ASID,
  CMD_TLBI_NSNH_ALL,
  CMD_TLBI_S2_IPA,
  COMMAND,
} from '../../arch/commands.js';
import { EVENT } from '../../arch/events.js';
import { get, put } from '../../arch/layout.js';
import { NON_SECURE, SECURE } from '../../arch/security.js';
import { CD, STE } from '../../arch/structures.js';
import {
  BANK_SECURITY,
  type EventChannel,
  MESSAGE_BANK,
  MESSAGE_COMMAND,
  type TbuChannel,
} from '../../smmu/maintenance.js';
import type { CommandWords } from '../../software/commands.js';
import type { Faults } from './faults.js';
import type { MutationName } from './mutation-names.js';
import {
  ForgetfulLink,
  ImpatientStalls,
  LateWrites,
  LostSubstreams,
  LostUpdates,
  NextPage,
  OtherSpace,
  SharedTags,
  StructureSpace,
  TornMemory,
} from './mutation-parts.js';

/** Every so many chances, the fault strikes. */
const SELDOM = 4;

/** The largest NUM of a range is 31. */
const NUM_MAX = 32;

/** CDs and STEs are loaded as eight double-words, descriptors one by one. */
const STRUCTURE_WORDS = 8;

interface Mutation {
  /** What is wrong, in one sentence. */
  readonly what: string;
  /** A new run's wrappers. */
  make(): Faults;
}

function isTlbi(words: ArrayLike<number>): boolean {
  const opcode = get(words, COMMAND.Opcode);
  return opcode >= CMD_TLBI_NH_ALL && opcode <= CMD_TLBI_NSNH_ALL;
}

function isCfgi(words: ArrayLike<number>): boolean {
  const opcode = get(words, COMMAND.Opcode);
  return opcode >= CMD_CFGI_STE && opcode <= CMD_CFGI_CD_ALL;
}

/** Says true every n-th time. */
function everyNth(n: number): () => boolean {
  let count = 0;
  return () => ++count % n === 0;
}

/** The software leaves some of its commands out. */
function leavesOut(unwanted: (words: CommandWords) => boolean): Faults {
  const strikes = everyNth(SELDOM);
  return {
    commands: (commands) =>
      commands.some(unwanted) && strikes() ? commands.filter((words) => !unwanted(words)) : commands,
  };
}

/** A TBU executes other messages than it was sent; undefined: none. `words` is a copy. */
function altersMessages(alter: (words: Int32Array) => Int32Array | undefined): Faults {
  return {
    messages: (tbu) => ({
      handle: (message) => {
        const altered = alter(message.slice());
        if (altered !== undefined) tbu.handle(altered);
      },
    }),
  };
}

/** The same for the commands among them; the words of the command begin at 1. */
function altersCommands(alter: (command: Int32Array) => boolean): Faults {
  return altersMessages((message) => {
    if (message[0] !== MESSAGE_COMMAND) return message;
    return alter(message.subarray(1)) ? message : undefined;
  });
}

/** A cache key lacks a field: the structures read as if it were zero, and so do the commands that name it. */
function ignoresKey(field: (words: Int32Array) => void, command: (words: Int32Array) => void): Faults {
  return {
    structures: (space) =>
      new StructureSpace(space, (words, count) => {
        if (count === STRUCTURE_WORDS) field(words);
      }),
    ...altersCommands((words) => {
      command(words);
      return true;
    }),
  };
}

/** Events go another way. */
function redirects(
  record: (to: EventChannel, hasSecure: boolean, ...event: Parameters<EventChannel['record']>) => void,
): Faults {
  return { events: (to, hasSecure) => ({ record: (...event) => record(to, hasSecure, ...event) }) };
}

/** A TCU that takes its TBUs' acknowledgements as `settled` says. */
function acknowledges(settled: (channel: TbuChannel) => boolean): Faults {
  return {
    channel: (channel) => ({
      broadcast: (message) => channel.broadcast(message),
      settled: () => settled(channel),
    }),
  };
}

/** CDs have AA64 where an STE has reserved bits, and both have eight double-words: an STE is told by V, which is bit 0. */
function isCD(words: Int32Array): boolean {
  return get(words, CD.fields.V) === 1 && get(words, CD.fields.AA64) === 1;
}

export const MUTATIONS: Readonly<Record<MutationName, Mutation>> = {
  'skip-tlbi': {
    what: 'the software leaves out a CMD_TLBI before its CMD_SYNC',
    make: () => leavesOut(isTlbi),
  },
  'skip-cfgi': {
    what: 'the software leaves out a CMD_CFGI before its CMD_SYNC',
    make: () => leavesOut(isCfgi),
  },
  'skip-sync': {
    what: 'the software goes on before its CMD_SYNC has completed',
    make: () => ({ impatient: true }),
  },
  'forget-combined': {
    what: 'after a change of stage 2 below a nested stream the software invalidates by IPA, and not what is combined with stage 1',
    make: () => ({ forgetsCombined: true }),
  },
  'torn-descriptor': {
    what: 'the software writes the two halves of a descriptor one after the other',
    make: () => ({ tables: (memory, point) => new TornMemory(memory, point) }),
  },
  'skip-resume': {
    what: 'the software leaves out a CMD_RESUME (machines with stall-model)',
    make: () => leavesOut((words) => get(words, COMMAND.Opcode) === CMD_RESUME),
  },
  'sync-without-wait': {
    what: 'CMD_SYNC and register updates do not wait for the TBUs',
    make: () => acknowledges(() => true),
  },
  'lost-acknowledgement': {
    what: 'the acknowledgement of a TBU gets lost',
    make: () => {
      const strikes = everyNth(40);
      let lost = false;
      return acknowledges((channel) => {
        if (!lost && channel.settled()) lost = strikes();
        return !lost && channel.settled();
      });
    },
  },
  'dropped-invalidation': {
    what: 'a TBU acknowledges a CMD_TLBI that it did not carry out',
    make: () => {
      const strikes = everyNth(SELDOM);
      return altersCommands((words) => !(isTlbi(words) && strikes()));
    },
  },
  'dropped-cfgi': {
    what: 'a TBU acknowledges a CMD_CFGI that it did not carry out',
    make: () => {
      const strikes = everyNth(SELDOM);
      return altersCommands((words) => !(isCfgi(words) && strikes()));
    },
  },
  'dropped-s2-ipa': {
    what: 'a TBU acknowledges a CMD_TLBI_S2_IPA that it did not carry out',
    make: () => altersCommands((words) => get(words, COMMAND.Opcode) !== CMD_TLBI_S2_IPA),
  },
  'wrong-asid': {
    what: 'a TBU takes the ASID of a CMD_TLBI wrong',
    make: () =>
      altersCommands((words) => {
        const opcode = get(words, COMMAND.Opcode);
        if (opcode >= CMD_TLBI_NH_ASID && opcode < CMD_TLBI_EL2_ALL)
          put(words, COMMAND.ASID, get(words, COMMAND.ASID) ^ 1);
        return true;
      }),
  },
  'wrong-substream': {
    what: 'a TBU takes the SubstreamID of a CMD_CFGI_CD wrong (machines with ssidsize)',
    make: () =>
      altersCommands((words) => {
        if (get(words, COMMAND.Opcode) === CMD_CFGI_CD)
          put(words, COMMAND.SubstreamID, get(words, COMMAND.SubstreamID) ^ 1);
        return true;
      }),
  },
  'short-range': {
    what: 'a CMD_TLBI by range ends one page short',
    make: () =>
      altersCommands((words) => {
        const granules = (get(words, COMMAND.NUM) + 1) * 2 ** get(words, COMMAND.SCALE);
        if (isTlbi(words) && get(words, COMMAND.TG) !== 0 && granules > 1 && granules <= NUM_MAX) {
          put(words, COMMAND.SCALE, 0);
          put(words, COMMAND.NUM, granules - 2);
        }
        return true;
      }),
  },
  'ignore-leaf': {
    what: 'Leaf == 0 is taken for Leaf == 1; it shows with `caching: stale`, which keeps level 1 descriptors',
    make: () =>
      altersCommands((words) => {
        if (isTlbi(words) || get(words, COMMAND.Opcode) === CMD_CFGI_STE) put(words, COMMAND.Leaf, 1);
        return true;
      }),
  },
  'deaf-to-registers': {
    what: 'a TBU does not follow SMMUEN and GBPA once it translates',
    make: () => {
      const known = [false, false];
      return altersMessages((message) => {
        if (message[0] !== MESSAGE_BANK) return message;
        const security = message[BANK_SECURITY]!;
        if (known[security]) return undefined;
        known[security] = message[1] !== 0;
        return message;
      });
    },
  },
  'ignore-asid': {
    what: 'the key of the TLB lacks the ASID',
    make: () =>
      ignoresKey(
        (words) => {
          if (isCD(words)) put(words, CD.fields.ASID, 0);
        },
        (words) => {
          if (isTlbi(words)) put(words, COMMAND.ASID, 0);
        },
      ),
  },
  'ignore-vmid': {
    what: 'the key of the TLB lacks the VMID',
    make: () =>
      ignoresKey(
        (words) => {
          if (!isCD(words)) put(words, STE.fields.S2VMID, 0);
        },
        (words) => {
          if (isTlbi(words)) put(words, COMMAND.VMID, 0);
        },
      ),
  },
  'ignore-sec-sid': {
    what: 'the key of a first-level TLB lacks SEC_SID',
    make: () => ({ link: (link) => new SharedTags(link) }),
  },
  'stale-permissions': {
    what: 'a TBU keeps the permissions of a page when it is invalidated',
    make: () => ({ link: (link) => new ForgetfulLink(link) }),
  },
  'ignore-ns': {
    what: 'the NS bit of a leaf is not looked at: a Secure stream stays in the Secure PA space',
    make: () => ({ link: (link) => new OtherSpace(link, SECURE, SECURE, everyNth(1)) }),
  },
  'leak-secure': {
    what: 'an access of a Non-secure stream goes to the Secure PA space',
    make: () => ({ link: (link) => new OtherSpace(link, NON_SECURE, SECURE, everyNth(SELDOM)) }),
  },
  'lost-substream': {
    what: 'an access loses its SubstreamID on its way (machines with ssidsize)',
    make: () => ({ link: (link) => new LostSubstreams(link, everyNth(SELDOM)) }),
  },
  'next-page': {
    what: 'a write goes to the page after the one that it was translated to',
    make: () => ({ link: (link) => new NextPage(link, everyNth(SELDOM)) }),
  },
  'late-write': {
    what: 'a write reaches memory after its batch has been acknowledged as finished',
    make: () => ({ link: (link) => new LateWrites(link) }),
  },
  'impatient-stall': {
    what: 'a stalled access ends before CMD_RESUME (machines with stall-model)',
    make: () => ({ link: (link) => new ImpatientStalls(link, everyNth(SELDOM)) }),
  },
  'lost-update': {
    what: 'a hardware update of a descriptor is taken for made, and is not (machines with httu)',
    make: () => ({ structures: (space) => new LostUpdates(space) }),
  },
  'lost-event': {
    what: 'an event record gets lost',
    make: () => {
      const strikes = everyNth(SELDOM);
      return redirects((to, _, ...event) => {
        if (!strikes()) to.record(...event);
      });
    },
  },
  'duplicate-event': {
    what: 'an event record is written twice',
    make: () => {
      const strikes = everyNth(SELDOM);
      return redirects((to, _, ...event) => {
        to.record(...event);
        if (strikes()) to.record(...event);
      });
    },
  },
  'wrong-queue': {
    what: 'an event of one Security state goes to the queue of the other, or nowhere where there is no other',
    make: () => {
      const strikes = everyNth(SELDOM);
      return redirects((to, hasSecure, words, security, stall) => {
        const other = security === SECURE ? NON_SECURE : SECURE;
        if (!strikes()) to.record(words, security, stall);
        else if (hasSecure) to.record(words, other, stall);
      });
    },
  },
  'wrong-streamid': {
    what: 'an event record names another StreamID',
    make: () => {
      const strikes = everyNth(SELDOM);
      return redirects((to, _, words, security, stall) => {
        const copy = words.slice();
        if (strikes()) put(copy, EVENT.StreamID, get(copy, EVENT.StreamID) ^ 8);
        to.record(copy, security, stall);
      });
    },
  },
};
