/**
 * What a stress run's software does with the registers: SMMUEN off and on, GBPA, the Event queue off and on, commands that
 * nothing asks for and commands that are illegal.
 */
import { CERROR_ILL } from '../../arch/commands.js';
import { BANKS } from '../../arch/registers.js';
import type { CommandWords } from '../../software/commands.js';
import type { Alternative } from '../checker/ledger.js';
import { DISABLED_ABORT, DISABLED_BYPASS, TRANSLATING } from '../checker/legal.js';
import type { Operation } from './command-flow.js';
import type { EventWork } from './event-work.js';
import type { SoftwareKit } from './kit.js';
import { idleTalk } from './scopes.js';

const ENABLED: Alternative = { what: TRANSLATING, detail: 0 };
const ON = { CMDQEN: 1, EVENTQEN: 1, SMMUEN: 1 } as const;
/** Turns that the software leaves to others while something is off. */
const PAUSE_MAX = 12;
/** Turns without a look at the Event queue: enough to let it overflow. */
const NEGLECT_MAX = 300;
/** No command has this opcode. */
const ILLEGAL_OPCODE = 0xff;

export class ControlWork {
  readonly #kit: SoftwareKit;
  readonly #events: EventWork;
  /** GBPA.ABORT as it is. */
  #aborts: boolean;

  constructor(kit: SoftwareKit, events: EventWork) {
    const { registers } = kit;
    this.#kit = kit;
    this.#events = events;
    this.#aborts = (registers.read('GBPA') & registers.encode('GBPA', { ABORT: 1 })) !== 0;
    this.#declare([ENABLED]);
  }

  /** Translation off for a while, perhaps with another GBPA meanwhile. */
  *toggle(): Operation {
    const { random } = this.#kit;
    this.#declare([ENABLED, this.#disabled()]);
    yield* this.#events.endStalls(this.#kit.own.streams, this.#writeCR0({ ...ON, SMMUEN: 0 }));
    this.#declare([this.#disabled()]);
    yield* this.#pause(PAUSE_MAX);
    if (random.chance(50)) {
      const before = this.#disabled();
      this.#aborts = !this.#aborts;
      this.#declare([before, this.#disabled()]);
      yield* this.#writeGBPA();
      this.#declare([this.#disabled()]);
      yield* this.#pause(PAUSE_MAX);
    }
    this.#declare([this.#disabled(), ENABLED]);
    yield* this.#writeCR0(ON);
    this.#declare([ENABLED]);
  }

  /** GBPA while translation is on: nothing changes for any stream. */
  *changeGBPA(): Operation {
    this.#aborts = this.#kit.random.chance(50);
    yield* this.#writeGBPA();
  }

  /** The Event queue off for a while: records are lost, and no overflow tells of it (7.2.1). */
  *silenceEvents(): Operation {
    yield* this.#writeCR0({ ...ON, EVENTQEN: 0 });
    yield* this.#pause(PAUSE_MAX);
    yield* this.#writeCR0(ON);
    this.#kit.events?.lost();
  }

  /** Nobody looks at the Event queue for long. */
  *neglect(): Operation {
    yield* this.#pause(NEGLECT_MAX);
  }

  /** Invalidations and prefetches that nothing asks for. */
  *talk(): Operation {
    const { flow, contexts, plan, own, driver, random } = this.#kit;
    const { StreamID } = plan.streams[random.pick(own.streams)]!;
    yield* flow.sync(idleTalk(contexts, StreamID, own.security, driver.features, random));
  }

  /** A command that does not exist: the SMMU stops there and says so, and goes on when it is told to (7.1). */
  *err(): Operation {
    const command: CommandWords = new Uint32Array([ILLEGAL_OPCODE, 0, 0, 0]);
    const said = yield* this.#kit.flow.expectError(command);
    const wanted = BANKS[this.#kit.own.security].CMDQ_CONS.fields.ERR!.values![CERROR_ILL]!;
    if (said === wanted) return;
    this.#kit.report({
      kind: 'wrong-outcome',
      actor: this.#kit.own.name,
      summary: `an illegal command gave ${said ?? 'no error'}, not ${wanted}`,
      details: [],
    });
  }

  #disabled(): Alternative {
    return { what: this.#aborts ? DISABLED_ABORT : DISABLED_BYPASS, detail: 0 };
  }

  *#pause(maximum: number): Operation {
    for (let turns = this.#kit.random.below(maximum); turns > 0; turns--) yield 'idle';
  }

  *#writeCR0(values: Readonly<Record<string, number>>): Operation {
    const { registers } = this.#kit;
    const wanted = registers.encode('CR0', values);
    registers.write('CR0', wanted);
    yield 'worked';
    while (registers.read('CR0ACK') !== wanted) yield 'idle';
  }

  *#writeGBPA(): Operation {
    const { registers } = this.#kit;
    const Update = registers.encode('GBPA', { Update: 1 });
    const ABORT = registers.encode('GBPA', { ABORT: 1 });
    const current = registers.read('GBPA');
    registers.write('GBPA', (this.#aborts ? current | ABORT : current & ~ABORT) | Update);
    yield 'worked';
    while ((registers.read('GBPA') & Update) !== 0) yield 'idle';
  }

  #declare(alternatives: readonly Alternative[]): void {
    const { ledger, index } = this.#kit;
    ledger.declare(ledger.interfaceCell(index), alternatives);
  }
}
