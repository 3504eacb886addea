/**
 * The DMA thread of devices that were plugged in: it runs as long as the machine, takes devices on while others work, and
 * sleeps when none does. Work comes and results go through a message port; the loop looks at it when it is called.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { DONE, RUNNING, WAITING } from '../shared/control.js';
import type { SharedMachine } from '../shared/shared-machine.js';
import { Signal } from '../shared/signal.js';
import { awaitStalled, type DeviceWork, Lane, type LaneDevice } from './dma-lane.js';
import { ThreadLife } from './thread-life.js';

/** Longest sleep: the heartbeat of the idle thread. */
const NAP_MS = 100;

export interface PluggedLaneTask {
  readonly shared: SharedMachine;
  readonly lane: number;
  /** Takes DeviceWork, answers each with its DeviceResult. */
  readonly port: MessagePort;
}

/** Runs until the machine stops. */
export function runPluggedLane({ shared, lane: index, port }: PluggedLaneTask): void {
  const lane = new Lane(shared, index);
  const { control } = lane.view;
  const life = new ThreadLife(control, control.offsets.lanes[index]!);
  const calls = new Signal(control.words, control.offsets.plugged);
  let devices: LaneDevice[] = [];
  for (let heard = calls.count - 1; !control.stopRequested && !control.hasFailed; ) {
    life.state = RUNNING;
    life.beat();
    if (calls.count !== heard) {
      heard = calls.count;
      for (const work of received(port)) devices.push(lane.adopt(work));
    }
    for (const device of devices) {
      if (!device.finished) device.batch();
      if (device.finished) port.postMessage(device.result());
    }
    devices = devices.filter((device) => !device.finished);
    awaitStalled(devices);
    if (devices.length === 0) {
      life.state = WAITING;
      calls.sleep(heard, NAP_MS);
    }
  }
  for (const device of devices) port.postMessage(device.result());
  port.close();
  life.state = DONE;
}

function received(port: MessagePort): DeviceWork[] {
  const work: DeviceWork[] = [];
  for (;;) {
    const next = receiveMessageOnPort(port);
    if (next === undefined) return work;
    work.push(next.message as DeviceWork);
  }
}
