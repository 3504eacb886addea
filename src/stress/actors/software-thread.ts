/**
 * A software thread of a stress run: the software of several programming interfaces, in turns. It boots them, then changes
 * things under running DMA until it is asked to stop, and makes the last checks when all devices are at rest.
 */
import { SECURITY_STATES } from '../../arch/security.js';
import { type Control, DONE, LATENCY_BUCKETS, RUNNING } from '../../runtime/shared/control.js';
import { recordLatency } from '../../runtime/shared/latency.js';
import { MachineView, memoryThreads } from '../../runtime/shared/shared-machine.js';
import { Signal } from '../../runtime/shared/signal.js';
import { SharedSmmuPort } from '../../runtime/threads/smmu-port.js';
import { ThreadLife } from '../../runtime/threads/thread-life.js';
import { SpaceMemory } from '../../software/port.js';
import type { Report } from '../checker/finding.js';
import { Ledger } from '../checker/ledger.js';
import { type DeviceFinding, readInbox } from './inbox.js';
import { faultsOf, findingsReport, post } from './lane-thread.js';
import type { SoftwareShare } from './messages.js';
import { SoftwareActor } from './software-actor.js';

/** How often the thread tells what it has done. */
const PUBLICATION_MS = 200;
/** Turns between two looks at the clock. */
const TURNS_PER_LOOK = 256;
/** Turns in which everybody waits, before the thread sleeps. */
const IDLE_TURNS = 64;
const NAP_MS = 0.1;
const POINTS_PER_NAP = 16;
const POINT_MS = 0.1;
/** An operation that takes longer will never end. */
const STUCK_MS = 10_000;

class StressSoftware {
  readonly actor: SoftwareActor;
  /** The SMMU has done something. */
  readonly progress: Signal;
  readonly #interface: number;
  readonly #report: Report;
  readonly #latencies: Record<string, Int32Array> = {};
  readonly #counted: Record<string, number> = {};
  #began = 0;
  #isStuck = false;

  constructor(view: MachineView, share: SoftwareShare, index: number, life: ThreadLife, report: Report) {
    const { plan, options } = share;
    const { smmu, security } = plan.interfaces[index]!;
    const spaces = view.spacesOf(smmu);
    this.actor = new SoftwareActor({
      plan,
      interface: index,
      ledger: new Ledger(plan, share.ledger),
      port: new SharedSmmuPort(view, smmu, security, () => life.beat()),
      memory: SECURITY_STATES.map((space) => new SpaceMemory(spaces[space])),
      ...options,
      faults: faultsOf(options),
      point: giveWay,
      report,
    });
    this.progress = new Signal(view.control.words, view.control.offsets.smmus[smmu]!.progress);
    this.#interface = index;
    this.#report = report;
  }

  /** @returns whether anything was done. */
  turn(): boolean {
    const { actor } = this;
    if (this.#isStuck) return false;
    if (actor.atRest) this.#began = performance.now();
    const before = actor.operations;
    const progress = actor.step();
    if (actor.operations > before) this.#record(performance.now() - this.#began);
    return progress === 'worked';
  }

  /** Adds what the software knows to what devices of its interface have found. */
  explain(findings: readonly DeviceFinding[]): void {
    for (const { index, interface: at, finding } of findings) {
      if (at === this.#interface) post({ type: 'explained', index, finding: this.actor.explain(finding) });
    }
  }

  /** Nobody waits for this software any more. */
  get isOver(): boolean {
    return this.actor.atRest || this.#isStuck;
  }

  publish(): void {
    if (!this.isOver && performance.now() - this.#began > STUCK_MS) this.#giveUp();
    const { statistics } = this.actor;
    post({ type: 'software', interface: this.#interface, statistics, latencies: this.#latencies });
  }

  /** The operation that has just ended is the one of which there is one more. */
  #record(ms: number): void {
    const { operations } = this.actor.statistics;
    for (const name of Object.keys(operations)) {
      if (operations[name] === this.#counted[name]) continue;
      this.#counted[name] = operations[name]!;
      this.#latencies[name] ??= new Int32Array(LATENCY_BUCKETS);
      recordLatency(this.#latencies[name], ms * 1e6);
      return;
    }
  }

  #giveUp(): void {
    this.#isStuck = true;
    this.#report({
      kind: 'software-stuck',
      actor: this.actor.name,
      summary: `an operation has not ended within ${STUCK_MS / 1000} s`,
      details: [],
    });
  }
}

const nobody = new Int32Array(new SharedArrayBuffer(4));
let points = 0;

/** Between the two halves of something that a mutation tears: time for others to see it. */
function giveWay(): void {
  points++;
  if (points % POINTS_PER_NAP === 0) Atomics.wait(nobody, 0, 0, POINT_MS);
}

class SoftwareThread {
  readonly #control: Control;
  readonly #life: ThreadLife;
  readonly #software: readonly StressSoftware[];
  readonly #inbox: SharedArrayBuffer;
  #turns = 0;
  #idleTurns = 0;
  #published = 0;

  constructor(share: SoftwareShare) {
    const { shared, index } = share;
    const view = MachineView.attach(shared, memoryThreads.software(shared.shape, index));
    const { control } = view;
    this.#control = control;
    this.#inbox = share.inbox;
    this.#life = new ThreadLife(control, control.offsets.software[index]!);
    const report = findingsReport(() => control.raiseFlag(control.offsets.stop));
    this.#software = share.interfaces.map((one) => new StressSoftware(view, share, one, this.#life, report));
    this.#life.state = RUNNING;
  }

  boot(): void {
    for (const { actor } of this.#software) actor.boot();
  }

  run(): void {
    const control = this.#control;
    // Software goes on while devices come to rest: they may wait for it.
    while (!control.areDevicesDone && !control.hasFailed) this.#turn();
    for (const { actor } of this.#software) actor.stop();
    this.#rest();
    const findings = readInbox(this.#inbox);
    for (const software of this.#software) software.explain(findings);
    for (const { actor } of this.#software) actor.finish();
    this.#rest();
    this.#publish();
    this.#life.state = DONE;
  }

  #rest(): void {
    while (!this.#control.hasFailed && this.#software.some(({ isOver }) => !isOver)) this.#turn();
  }

  #turn(): void {
    this.#life.beat();
    // Of several that wait, another one each time.
    const { progress } = this.#software[this.#turns % this.#software.length]!;
    const seen = progress.count;
    let worked = false;
    for (const software of this.#software) worked = software.turn() || worked;
    this.#idleTurns = worked ? 0 : this.#idleTurns + 1;
    if (this.#idleTurns > IDLE_TURNS) progress.sleep(seen, NAP_MS);
    this.#turns++;
    if (this.#turns % TURNS_PER_LOOK === 0 && performance.now() - this.#published > PUBLICATION_MS)
      this.#publish();
  }

  #publish(): void {
    this.#published = performance.now();
    for (const software of this.#software) software.publish();
  }
}

/** Boots, says so, and works until all devices are at rest. */
export function stressSoftware(share: SoftwareShare): void {
  const thread = new SoftwareThread(share);
  thread.boot();
  post({ type: 'booted', index: share.index });
  thread.run();
}
