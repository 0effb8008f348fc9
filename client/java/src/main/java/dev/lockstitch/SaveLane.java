package dev.lockstitch;

import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.SaveStreamRequest;
import dev.lockstitch.v1.SaveStreamResponse;
import io.grpc.Status.Code;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * Saves of some sessions, over one SaveStream after the other: in their order, and what has no
 * answer when a stream ends once more on the next.
 */
final class SaveLane {
  /** A stream that nobody uses is closed after this time, or twice this time at most. */
  private static final long IDLE_SECONDS = 5;

  /** How many saves and bytes go in one message at most, unless a single save is larger. */
  private static final int BATCH_SAVES = 64;

  private static final long BATCH_BYTES = 256 << 10;

  /**
   * How long a save waits for others that can go in the same message, for each save in flight: the
   * more are in flight, the more follow soon. Responses end the wait.
   */
  private static final long GATHER_NANOS = TimeUnit.MICROSECONDS.toNanos(250);

  private static final long MOST_GATHER_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

  /** How long a stream is used, so that clients spread over the servers that there are by then. */
  private static final long STREAM_SECONDS = 300;

  /** Whom a lane tells how streams fare. */
  interface Owner {
    /** A save was answered. */
    void streamsWork();

    /** There are no streams here; {@code unlessKnown}: unless one has brought an answer before. */
    void avoidStreams(boolean unlessKnown);

    /** Save by a call of its own. */
    CompletableFuture<SaveResponse> saveAlone(SaveRequest request, Budget budget);
  }

  private final Transport transport;
  private final RetryPolicy retry;
  private final Owner owner;
  private final TreeMap<Long, SaveItem> waiting = new TreeMap<>(); // all that have no answer
  private final TreeMap<Long, SaveItem> unsent = new TreeMap<>();
  private final Set<String> held = new HashSet<>(); // sessions that have to wait for a moment
  private long number;
  private Stream stream; // null: there is none
  private boolean recovering;
  private boolean gathering;
  private Future<?> alarm; // null: there is none
  private long alarmAt;
  private int failures; // streams in a row that have brought nothing
  private LockstitchException fault; // what has gone wrong since the last answer

  SaveLane(Transport transport, RetryPolicy retry, Owner owner) {
    this.transport = transport;
    this.retry = retry;
    this.owner = owner;
  }

  CompletableFuture<SaveResponse> save(SaveRequest request, Budget budget) {
    SaveItem item;
    synchronized (this) {
      item = new SaveItem(++number, request, budget);
      waiting.put(item.number, item);
      unsent.put(item.number, item);
    }
    setAlarm(budget.remaining());
    transport.guardFirst(item.answer::completeExceptionally, item.answer);
    item.answer.whenComplete((given, error) -> remove(item)); // where the caller has cancelled it
    wakeSoon();
    return item.answer;
  }

  /** There is one alarm for all timeouts, which does not come after the first of them. */
  private synchronized void setAlarm(long nanos) {
    long when = System.nanoTime() + nanos;
    if (alarm == null || when - alarmAt < 0) {
      if (alarm != null) {
        alarm.cancel(false);
      }
      alarmAt = when;
      alarm = schedule(this::expireDue, nanos);
    }
  }

  private void expireDue() {
    List<SaveItem> due = new ArrayList<>();
    synchronized (this) {
      alarm = null;
      long next = Long.MAX_VALUE;
      for (SaveItem item : waiting.values()) {
        long remaining = item.budget.remaining();
        if (remaining == 0) {
          due.add(item);
        } else {
          next = Math.min(next, remaining);
        }
      }
      if (next != Long.MAX_VALUE) {
        setAlarm(next);
      }
    }
    due.forEach(this::expire);
  }

  /** Gives up the stream, and sends what has no answer over another one. */
  synchronized void restart() {
    if (stream != null) {
      stream.drop();
    }
  }

  void close() {
    failAll(Transport.closedError());
  }

  private synchronized void wake() {
    if (waiting.isEmpty() || recovering) {
      return;
    }
    if (stream == null) {
      open();
    } else {
      stream.pump();
    }
  }

  /** Sends what there is, after a moment if more can come that shares a message with it. */
  private synchronized void wakeSoon() {
    int inFlight = waiting.size() - unsent.size();
    boolean full = unsent.size() >= BATCH_SAVES;
    if (stream == null || !stream.takesBatches() || inFlight == 0 || full) {
      wake();
    } else if (!gathering) {
      gathering = true;
      schedule(this::gathered, Math.min(inFlight * GATHER_NANOS, MOST_GATHER_NANOS));
    }
  }

  private synchronized void gathered() {
    gathering = false;
    wake();
  }

  private void open() {
    failures++;
    unsent.clear();
    unsent.putAll(waiting);
    waiting.values().forEach(item -> item.sent = false);
    stream = new Stream(transport.link());
    transport.openSaveStream(stream.link, stream);
  }

  /** The next items to send, this many at most; empty: there is nothing to send now. */
  private List<SaveItem> take(int most) {
    List<SaveItem> items = new ArrayList<>();
    long bytes = 0;
    for (SaveItem item : unsent.values()) {
      if (!held.contains(item.session())) {
        bytes += item.request.getSerializedSize();
        if (items.size() == most || !items.isEmpty() && bytes > BATCH_BYTES) {
          break;
        }
        items.add(item);
      }
    }
    for (SaveItem item : items) {
      unsent.remove(item.number);
      item.sent = true;
    }
    return items;
  }

  private synchronized void remove(SaveItem item) {
    waiting.remove(item.number);
    unsent.remove(item.number);
    if (waiting.isEmpty() && alarm != null) {
      alarm.cancel(false); // it would keep the thread of the scheduler
      alarm = null;
    }
  }

  private void answered(SaveStreamResponse answer) {
    owner.streamsWork();
    SaveItem item;
    synchronized (this) {
      failures = 0;
      fault = null;
      item = waiting.get(answer.getRequestId());
    }
    if (item == null) {
      return; // nobody waits for it any more
    }
    switch (answer.getResultCase()) {
      case SAVED -> item.answer.complete(answer.getSaved());
      case ERROR -> refused(item, Errors.from(answer.getError()));
      case RESULT_NOT_SET ->
          item.answer.completeExceptionally(
              Errors.of(Code.INTERNAL, "an answer without a result", null));
    }
  }

  /** Fail, or send it again later, and what of its session has not gone out after it. */
  private void refused(SaveItem item, LockstitchException error) {
    long pause = RetryPolicy.pauseNanos(retry, error, ++item.refusals);
    if (pause < 0 || pause >= item.budget.remaining()) {
      item.answer.completeExceptionally(error);
      return;
    }
    boolean first;
    synchronized (this) {
      fault = error;
      item.sent = false;
      unsent.put(item.number, item);
      first = held.add(item.session());
    }
    if (first) {
      schedule(() -> release(item.session()), pause);
    }
  }

  private void release(String session) {
    synchronized (this) {
      held.remove(session);
    }
    wake();
  }

  private void ended(Stream which, LockstitchException error) {
    transport.ended();
    boolean barren;
    synchronized (this) {
      if (stream != which) {
        return;
      }
      stream = null;
      fault = error == null ? fault : error;
      barren = failures > 0;
      recovering = !waiting.isEmpty();
      if (!recovering) {
        return;
      }
    }
    recover(error, barren);
  }

  /**
   * Do what is to be done before the next stream. {@code error}: how the last one ended; null: in
   * peace.
   */
  private void recover(LockstitchException error, boolean barren) {
    if (transport.isClosed()) {
      failAll(Transport.closedError());
      return;
    }
    if (error instanceof UnimplementedException) {
      owner.avoidStreams(false);
    }
    boolean foreign = error != null && !(error instanceof UnavailableException);
    if (error instanceof UnauthenticatedException || error instanceof PermissionDeniedException) {
      failAll(error);
      goOn();
    } else if (retry == null || barren && foreign) {
      saveAlone(toSaveAlone());
    } else {
      schedule(this::goOn, barren ? retry.backoffNanos(failures) : 0);
    }
  }

  private synchronized List<SaveItem> toSaveAlone() {
    List<SaveItem> sent = waiting.values().stream().filter(item -> item.sent).toList();
    return new ArrayList<>(sent.isEmpty() ? waiting.values() : sent);
  }

  /**
   * By calls of their own, so that whichever ended the stream gets its own error. One by one: in
   * order.
   */
  private void saveAlone(List<SaveItem> items) {
    if (items.isEmpty()) {
      goOn();
      return;
    }
    SaveItem item = items.remove(0);
    if (item.answer.isDone()) {
      saveAlone(items);
      return;
    }
    CompletableFuture<SaveResponse> alone = owner.saveAlone(item.request, item.budget);
    Futures.endWith(alone, item.answer);
    alone.whenComplete(
        (given, error) -> {
          Futures.settle(item.answer, given, error);
          saveAlone(items);
        });
  }

  private void goOn() {
    synchronized (this) {
      recovering = false;
    }
    wake();
  }

  private void expire(SaveItem item) {
    boolean sent;
    LockstitchException why;
    synchronized (this) {
      sent = item.sent;
      why = Budget.outOfTime(fault);
    }
    if (item.answer.isDone()) {
      return;
    }
    transport.late(why).thenAccept(item.answer::completeExceptionally);
    if (!sent) {
      return;
    }
    owner.avoidStreams(true); // there may be a proxy that waits for the end of the stream
    long suspicious = item.budget.suspiciousNanos();
    synchronized (this) {
      boolean inFlight = waiting.values().stream().anyMatch(one -> one.sent);
      if (stream != null && (!inFlight || stream.silence() >= suspicious)) {
        stream.drop(); // it may be stuck: whoever else is on it gets the next one
      }
    }
    transport.renewIfSilent(suspicious);
  }

  private void failAll(LockstitchException error) {
    List<SaveItem> all;
    synchronized (this) {
      all = new ArrayList<>(waiting.values());
    }
    all.forEach(item -> item.answer.completeExceptionally(error.again()));
  }

  private Future<?> schedule(Runnable work, long nanos) {
    try {
      return transport.scheduler.schedule(work, nanos, TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException error) { // the client is closed
      failAll(Transport.closedError());
      return CompletableFuture.completedFuture(null);
    }
  }

  /** One SaveStream call. */
  private final class Stream
      implements ClientResponseObserver<SaveStreamRequest, SaveStreamResponse> {
    private final long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(STREAM_SECONDS);
    private final Link link;
    private volatile int most = 1; // saves in a message
    private ClientCallStreamObserver<SaveStreamRequest> call;
    private volatile long heard = System.nanoTime();
    private boolean used = true;
    private boolean closing;

    Stream(Link link) {
      this.link = link;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<SaveStreamRequest> begun) {
      call = begun;
      call.setOnReadyHandler(SaveLane.this::wake);
      watchLater();
    }

    boolean takesBatches() {
      return most > 1;
    }

    /** Nanoseconds since the last response, or since the beginning. */
    long silence() {
      return System.nanoTime() - heard;
    }

    /** Send what there is, as long as the connection takes it. The lane is locked. */
    void pump() {
      while (!closing && call.isReady()) {
        List<SaveItem> items = take(most);
        if (items.isEmpty()) {
          return;
        }
        used = true;
        call.onNext(SaveItem.message(items));
      }
    }

    void drop() {
      closing = true;
      call.cancel("it may be stuck", null);
    }

    @Override
    public void onNext(SaveStreamResponse answer) {
      heard = System.nanoTime();
      transport.answered(link);
      if (answer.getTakesBatches()) {
        most = BATCH_SAVES;
      }
      if (answer.getBatchCount() == 0) {
        answered(answer);
      } else {
        answer.getBatchList().forEach(SaveLane.this::answered);
      }
      wake(); // with what has come since
    }

    @Override
    public void onError(Throwable error) {
      boolean dropped;
      synchronized (SaveLane.this) {
        dropped = closing;
        closing = true;
      }
      ended(this, dropped ? null : Errors.asTheServers(Errors.from(error)));
    }

    @Override
    public void onCompleted() {
      ended(this, null);
    }

    private void watchLater() {
      schedule(this::watch, TimeUnit.SECONDS.toNanos(IDLE_SECONDS));
    }

    /** Have the call end when it is idle or old. */
    private void watch() {
      synchronized (SaveLane.this) {
        if (closing || stream != this) {
          return;
        }
        if (!used && waiting.isEmpty() || System.nanoTime() - until > 0) {
          closing = true;
          call.onCompleted();
          return;
        }
        used = false;
      }
      watchLater();
    }
  }
}
