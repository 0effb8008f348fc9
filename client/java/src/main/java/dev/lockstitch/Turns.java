package dev.lockstitch;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;

/**
 * Starts the saves of each session in the order of the calls. A save that has a call of its own
 * ends before the next one starts, since nothing else keeps their order.
 */
final class Turns {
  /** {@code start} returns what completes at the end of the save. */
  private record Entry(boolean alone, Supplier<CompletableFuture<?>> start) {}

  /** What waits, for each session that has a save with a call of its own. */
  private final Map<String, Queue<Entry>> queues = new HashMap<>();

  /** Starts a save when its turn comes. Returns whether that is now. */
  boolean enter(String session, boolean alone, Supplier<CompletableFuture<?>> start) {
    Entry entry = new Entry(alone, start);
    synchronized (queues) {
      Queue<Entry> queue = queues.get(session);
      if (queue != null) {
        queue.add(entry);
        return false;
      }
      if (alone) {
        queues.put(session, new ArrayDeque<>());
      }
    }
    if (alone) {
      run(session, entry);
    } else {
      start.get();
    }
    return true;
  }

  private void run(String session, Entry first) {
    for (Entry entry = first; entry != null; entry = next(session)) {
      CompletableFuture<?> end = entry.start().get();
      if (entry.alone() && !end.isDone()) {
        end.whenComplete((given, error) -> run(session, next(session)));
        return;
      }
    }
  }

  private Entry next(String session) {
    synchronized (queues) {
      Entry next = queues.get(session).poll();
      if (next == null) {
        queues.remove(session);
      }
      return next;
    }
  }
}
