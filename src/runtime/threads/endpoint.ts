/** comlink's endpoint over a Node message port or worker, typed; comlink brings one that is not. */
import type { Endpoint } from 'comlink';

type Listener = Parameters<Endpoint['addEventListener']>[1];

/** What worker_threads' Worker and MessagePort have in common. */
interface NodePort {
  postMessage(message: unknown, transfer?: readonly never[]): void;
  on(event: 'message', listener: (data: unknown) => void): unknown;
  off(event: 'message', listener: (data: unknown) => void): unknown;
}

export function endpointOf(port: NodePort): Endpoint {
  const listeners = new Map<Listener, (data: unknown) => void>();
  return {
    postMessage: (message: unknown) => port.postMessage(message),
    addEventListener: (_type, listener) => {
      const forward = (data: unknown) => {
        const event = { data } as MessageEvent;
        if (typeof listener === 'function') listener(event);
        else listener.handleEvent(event);
      };
      listeners.set(listener, forward);
      port.on('message', forward);
    },
    removeEventListener: (_type, listener) => {
      const forward = listeners.get(listener);
      if (forward === undefined) return;
      listeners.delete(listener);
      port.off('message', forward);
    },
  };
}
