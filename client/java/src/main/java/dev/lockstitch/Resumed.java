package dev.lockstitch;

import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * Answers that go on where they broke off, as long as one comes within the time of a call. Close
 * it, which any thread may do and which ends the loop, or read it to its end: {@code try (var
 * answers = client.watchSession("s")) { for (var answer : answers) ... }}. One thread can read it,
 * once.
 *
 * @param <T> the answers
 */
public final class Resumed<T> implements Iterable<T>, AutoCloseable {
  private final Caller caller;
  private final Attempts<?, T> attempts;
  private Budget budget;
  private T next;
  private volatile boolean ended;
  private boolean brought; // whether the call that is open has brought something
  private int failures;
  private long silenceNanos; // 0: what the call's deadline says

  /**
   * How it is begun, and begun anew.
   *
   * @param begin gives null where there is nothing more to ask for
   * @param take makes of an answer what is given; null where that ends it all
   * @param goOn whether another call is to be made after one that ended in peace
   */
  private record Attempts<A, T>(
      Function<Budget, Answers<A>> begin, Function<A, T> take, BooleanSupplier goOn, Open<A> open) {
    boolean isOpen() {
      return open.get() != null;
    }

    /** Whether there is a call. */
    boolean begin(Budget budget) {
      return open.set(begin.apply(budget));
    }

    /** Whether there was an answer; {@code given} is what it came to. */
    boolean read(Resumed<T> given) {
      Answers<A> answers = open.get();
      A answer = answers == null ? null : answers.next();
      given.next = answer == null ? null : take.apply(answer);
      given.ended |= answer != null && given.next == null;
      return answer != null;
    }

    void cancel() {
      Answers<A> answers = open.get();
      if (answers != null) {
        answers.cancel("it is silent");
      }
    }

    void leave() {
      open.leave();
    }

    void close() {
      open.close();
    }
  }

  private static final class Open<A> {
    private Answers<A> answers;
    private boolean closed;

    synchronized Answers<A> get() {
      return answers;
    }

    /** Whether there is a call. One that begins after the end is closed at once. */
    synchronized boolean set(Answers<A> begun) {
      if (closed && begun != null) {
        begun.close();
        return false;
      }
      answers = begun;
      return begun != null;
    }

    synchronized void leave() {
      if (answers != null) {
        answers.close();
        answers = null;
      }
    }

    synchronized void close() {
      closed = true;
      leave();
    }
  }

  <A> Resumed(
      Caller caller,
      Function<Budget, Answers<A>> begin,
      Function<A, T> take,
      BooleanSupplier goOn) {
    this.caller = caller;
    attempts = new Attempts<>(begin, take, goOn, new Open<>());
    budget = caller.budget(null);
  }

  /** A call that is silent for so long is dead. */
  Resumed<T> silentAtMost(Duration most) {
    silenceNanos = most.toNanos();
    return this;
  }

  @Override
  public Iterator<T> iterator() {
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        while (next == null && !ended) {
          fetch();
        }
        return next != null;
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        T given = next;
        next = null;
        return given;
      }
    };
  }

  /** The answers as a stream, which is to be closed. */
  public Stream<T> stream() {
    int kind = Spliterator.ORDERED | Spliterator.NONNULL;
    return StreamSupport.stream(Spliterators.spliteratorUnknownSize(iterator(), kind), false)
        .onClose(this::close);
  }

  @Override
  public void close() {
    ended = true;
    attempts.close();
  }

  private void fetch() {
    try {
      if (!attempts.isOpen() && !attempts.begin(budget)) {
        close();
      } else if (read()) {
        brought = true;
        failures = 0;
        budget = caller.budget(null);
      } else {
        attempts.leave();
        ended = !attempts.goOn().getAsBoolean();
      }
    } catch (LockstitchException error) {
      if (!ended) { // else another thread has closed it, which ends the loop
        goOnAfter(error);
      }
    }
    if (ended) {
      close();
    }
  }

  private boolean read() {
    if (silenceNanos == 0) {
      return attempts.read(this);
    }
    AtomicBoolean silent = new AtomicBoolean();
    Runnable bark =
        () -> {
          silent.set(true);
          attempts.cancel();
        };
    long most = brought ? silenceNanos : Math.min(silenceNanos, budget.remaining());
    var dog = caller.transport.scheduler.schedule(bark, most, TimeUnit.NANOSECONDS);
    try {
      return attempts.read(this);
    } catch (CancelledException error) {
      if (!silent.get()) {
        throw error;
      }
      caller.transport.renewIfSilent(most);
      throw caller.transport.late(Budget.outOfTime("the call is silent")).join().again();
    } finally {
      dog.cancel(false);
    }
  }

  /** A reader who takes time outlasts a deadline: then the next call goes on. */
  private void goOnAfter(LockstitchException error) {
    attempts.leave();
    failures++;
    boolean late = error instanceof DeadlineExceededException && brought && caller.retry != null;
    brought = false;
    long pause = late ? 0 : RetryPolicy.pauseNanos(caller.retry, error, failures);
    if (pause < 0 || pause >= budget.remaining() && !late) {
      close();
      throw error;
    }
    if (late) {
      budget = caller.budget(null);
    }
    Caller.sleep(pause);
  }
}
