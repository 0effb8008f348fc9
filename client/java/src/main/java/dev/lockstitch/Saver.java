package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.StateDelta;
import dev.lockstitch.v1.VersionedState;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * Saving: what changed where that is enough, the whole state where it is not, and concurrent saves
 * together.
 */
final class Saver implements SaveLane.Owner {
  private static final int LANES = 2;

  /** How long no stream is tried after it has turned out that there are none. */
  private static final long AVOID_NANOS = TimeUnit.MINUTES.toNanos(5);

  private final Caller caller;
  private final Memory memory; // null: send full states only
  private final boolean stream;
  private final List<SaveLane> lanes;
  private final Limiter limiter;
  private final Turns turns = new Turns();
  private final SaveIds saveIds = new SaveIds();

  private volatile boolean streamsKnown;
  private volatile long avoidUntil = System.nanoTime();

  Saver(Caller caller, Memory memory, FlowLimits flow, boolean stream) {
    this.caller = caller;
    limiter = new Limiter(flow);
    this.memory = memory;
    this.stream = stream;
    lanes =
        IntStream.range(0, LANES)
            .mapToObj(number -> new SaveLane(caller.transport, caller.retry, this))
            .toList();
  }

  CompletableFuture<Saved> save(Checkpoint checkpoint, SaveOptions options) {
    return save(checkpoint, options, saveIds);
  }

  /** {@code ids}: of the writer, whose saves to a checkpoint keep their order. */
  CompletableFuture<Saved> save(Checkpoint checkpoint, SaveOptions options, SaveIds ids) {
    SaveRequest request = options.conditions.toBuilder().setCheckpoint(checkpoint).build();
    try {
      Texts.check(request, knownState(checkpoint));
    } catch (InvalidArgumentException error) {
      return CompletableFuture.failedFuture(error);
    }
    Budget budget = caller.budget(options.timeout);
    SaveIds.Identified save = ids.identified(request); // before anything is waited for
    CompletableFuture<Saved> answer = new CompletableFuture<>();
    CompletableFuture<SaveResponse> work = sendInTurn(save.request(), budget);
    work.whenComplete(
        (given, error) -> {
          save.ended(error == null ? null : Futures.unwrap(error)); // before the caller knows
          Futures.settle(answer, given, error, Convert::saved);
        });
    Futures.endWith(work, answer);
    return answer;
  }

  /** The state that the session's next delta starts from, whose text has been checked. */
  private VersionedState knownState(Checkpoint checkpoint) {
    Memory.Base base = memory == null ? null : memory.get(Memory.Key.of(checkpoint));
    return base == null ? VersionedState.getDefaultInstance() : base.state();
  }

  /** Sends a save when there is room for it. */
  private CompletableFuture<SaveResponse> sendInTurn(SaveRequest full, Budget budget) {
    CompletableFuture<SaveResponse> answer = new CompletableFuture<>();
    long size = full.getSerializedSize();
    AtomicBoolean begun = new AtomicBoolean();
    Runnable start =
        () -> {
          begun.set(true);
          start(full, size, budget, answer);
        };
    if (!limiter.enter(size, answer, start)) {
      failLate(answer, budget, begun, "too many other saves of this client are in flight");
    }
    return answer;
  }

  /** There is room for a save of this many bytes, which this method gives back. */
  private void start(
      SaveRequest full, long size, Budget budget, CompletableFuture<SaveResponse> answer) {
    Checkpoint checkpoint = full.getCheckpoint();
    Memory.Key key = Memory.Key.of(checkpoint);
    boolean known = memory != null && checkpoint.hasState() && Delta.isKnown(checkpoint.getState());
    Optional<SaveRequest> smaller = known ? withDelta(full, memory.get(key)) : Optional.empty();
    CompletableFuture<SaveResponse> sent = send(smaller.orElse(full), budget);
    CompletableFuture<SaveResponse> work = smaller.isEmpty() ? sent : orFull(sent, full, budget);
    work.whenComplete(
        (given, error) -> {
          if (error == null && known && given.getRevision() != 0) {
            String id = given.getCheckpointId();
            memory.put(key, new Memory.Base(id, given.getRevision(), checkpoint.getState()));
          }
          limiter.leave(size);
          Futures.settle(answer, given, error);
        });
    Futures.endWith(work, answer);
  }

  /** Make a checkpoint that was loaded, in this revision, the base of the next delta. */
  void remember(Checkpoint checkpoint, long revision) {
    VersionedState state = checkpoint.getState();
    if (memory != null && revision != 0 && checkpoint.hasState() && Delta.isKnown(state)) {
      Memory.Key key = Memory.Key.of(checkpoint);
      memory.put(key, new Memory.Base(Sessions.idOf(checkpoint), revision, state));
    }
  }

  void close() {
    limiter.close(Transport.closedError());
    lanes.forEach(SaveLane::close);
  }

  /** Send what has no answer over new streams. */
  void restartStreams() {
    lanes.forEach(SaveLane::restart);
  }

  @Override
  public void streamsWork() {
    streamsKnown = true;
  }

  @Override
  public void avoidStreams(boolean unlessKnown) {
    if (!unlessKnown || !streamsKnown) {
      avoidUntil = System.nanoTime() + AVOID_NANOS;
    }
  }

  @Override
  public CompletableFuture<SaveResponse> saveAlone(SaveRequest request, Budget budget) {
    return caller.sendChecked(CheckpointServiceGrpc.getSaveMethod(), request, budget);
  }

  private CompletableFuture<SaveResponse> orFull(
      CompletableFuture<SaveResponse> sent, SaveRequest full, Budget budget) {
    CompletableFuture<SaveResponse> answer = new CompletableFuture<>();
    Futures.endWith(sent, answer);
    sent.whenComplete(
        (given, error) -> {
          boolean refused = error != null && Futures.unwrap(error) instanceof DeltaRefusedException;
          if (refused && !answer.isDone()) {
            Futures.join(send(full, budget), answer);
          } else {
            Futures.settle(answer, given, error);
          }
        });
    return answer;
  }

  /** The request with a delta in place of the state; empty: there is none, or no gain in it. */
  private static Optional<SaveRequest> withDelta(SaveRequest full, Memory.Base base) {
    Checkpoint checkpoint = full.getCheckpoint();
    if (base == null || base.checkpointId().equals(Sessions.idOf(checkpoint))) {
      return Optional.empty(); // it would replace what it starts from, and could not be repeated
    }
    Optional<StateDelta> delta = Delta.between(base.state(), checkpoint.getState());
    return delta
        .filter(made -> made.getSerializedSize() < checkpoint.getState().getSerializedSize())
        .map(
            made ->
                full.toBuilder()
                    .setCheckpoint(checkpoint.toBuilder().clearState())
                    .setBaseCheckpointId(base.checkpointId())
                    .setBaseRevision(base.revision())
                    .setDelta(made)
                    .build());
  }

  /** By the way that is best. Saves of one session arrive in the order of the calls. */
  private CompletableFuture<SaveResponse> send(SaveRequest request, Budget budget) {
    boolean shared = stream && limiter.saves() > 1 && System.nanoTime() - avoidUntil >= 0;
    CompletableFuture<SaveResponse> answer = new CompletableFuture<>();
    AtomicBoolean begun = new AtomicBoolean();
    Supplier<CompletableFuture<?>> start =
        () -> {
          begun.set(true);
          if (!answer.isDone()) {
            Futures.join(
                shared ? lane(request).save(request, budget) : saveAlone(request, budget), answer);
          }
          return answer;
        };
    if (!stream) {
      start.get();
    } else if (!turns.enter(request.getCheckpoint().getSessionId(), !shared, start)) {
      failLate(answer, budget, begun, "the save before it has no answer");
    }
    return answer;
  }

  /** Fails a save that has not begun when its time is up. {@code why}: what it waits for. */
  private void failLate(
      CompletableFuture<SaveResponse> answer, Budget budget, AtomicBoolean begun, String why) {
    Transport transport = caller.transport;
    Runnable late =
        () -> {
          if (!begun.get()) {
            transport.late(Budget.outOfTime(why)).thenAccept(answer::completeExceptionally);
          }
        };
    var alarm = transport.scheduler.schedule(late, budget.remaining(), TimeUnit.NANOSECONDS);
    answer.whenComplete((given, error) -> alarm.cancel(false));
  }

  private SaveLane lane(SaveRequest request) {
    return lanes.get(Math.floorMod(request.getCheckpoint().getSessionId().hashCode(), LANES));
  }
}
