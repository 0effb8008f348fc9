/** Callbacks for a signal, with one listener for all: Node warns of a leak from the eleventh listener of a signal on. */

const CALLBACKS = new WeakMap<AbortSignal, Set<() => void>>();

/** Call back when the signal is given. The result takes the callback back. */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) {
    return () => {};
  }
  const callbacks = CALLBACKS.get(signal) ?? listen(signal);
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}

function listen(signal: AbortSignal): Set<() => void> {
  const callbacks = new Set<() => void>();
  CALLBACKS.set(signal, callbacks);
  const callAll = () => {
    for (const callback of callbacks) {
      callback();
    }
  };
  signal.addEventListener("abort", callAll, { once: true });
  return callbacks;
}
