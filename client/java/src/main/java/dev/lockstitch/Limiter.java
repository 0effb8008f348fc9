package dev.lockstitch;

import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/** Starts saves while there is room for them, in the order of the calls. */
final class Limiter {
  /** A save that waits for room. {@code answer}: completes when nobody wants its start any more. */
  private record Entry(long size, CompletableFuture<?> answer, Runnable start) {
    @Override
    public boolean equals(Object other) {
      return this == other;
    }

    @Override
    public int hashCode() {
      return System.identityHashCode(this);
    }
  }

  private final FlowLimits limits;
  private final Set<Entry> waiting = new LinkedHashSet<>();
  private int saves;
  private long bytes;
  private boolean starting; // a thread starts those that have waited

  Limiter(FlowLimits limits) {
    this.limits = limits;
  }

  /** How many saves have begun and not ended. */
  synchronized int saves() {
    return saves;
  }

  /**
   * Starts a save of this many bytes, now or when there is room. Each start is to be followed by
   * {@link #leave}. Returns whether it is now.
   */
  boolean enter(long size, CompletableFuture<?> answer, Runnable start) {
    Entry entry;
    synchronized (this) {
      if (waiting.isEmpty() && !starting && !isFull(size)) {
        take(size);
        entry = null;
      } else {
        entry = new Entry(size, answer, start);
        waiting.add(entry);
      }
    }
    if (entry == null) {
      start.run();
      return true;
    }
    answer.whenComplete((given, error) -> giveUp(entry));
    return false;
  }

  /** Ends a save of this many bytes. */
  void leave(long size) {
    synchronized (this) {
      saves--;
      bytes -= size;
    }
    startWaiting();
  }

  /** Fails the saves that wait. */
  void close(LockstitchException error) {
    List<Entry> all;
    synchronized (this) {
      all = List.copyOf(waiting);
    }
    all.forEach(entry -> entry.answer().completeExceptionally(error.again()));
  }

  private void giveUp(Entry entry) {
    boolean removed;
    synchronized (this) {
      removed = waiting.remove(entry);
    }
    if (removed) {
      startWaiting(); // smaller ones may have waited behind it
    }
  }

  /** By one thread at a time, so that the order stays. */
  private void startWaiting() {
    synchronized (this) {
      if (starting) {
        return;
      }
      starting = true;
    }
    for (Entry entry = next(); entry != null; entry = next()) {
      entry.start().run();
    }
  }

  private synchronized Entry next() {
    Iterator<Entry> first = waiting.iterator();
    Entry entry = first.hasNext() ? first.next() : null;
    if (entry == null || isFull(entry.size())) {
      starting = false;
      return null;
    }
    first.remove();
    take(entry.size());
    return entry;
  }

  private void take(long size) {
    saves++;
    bytes += size;
  }

  private boolean isFull(long size) {
    return saves > 0 && (saves >= limits.saves() || bytes + size > limits.bytes());
  }
}
